//! What Linux tells of this process in `/proc`. Other systems tell it otherwise; there it is left out.

use std::path::Path;

/// Ticks of a second in `/proc/PID/stat`: part of what Linux promises to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Each value is absent where the system does not tell it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Process {
    pub resident_bytes: Option<f64>,
    pub virtual_bytes: Option<f64>,
    pub cpu_seconds: Option<f64>,
    pub threads: Option<f64>,
    pub open_fds: Option<f64>,
    pub max_fds: Option<f64>,
}

/// Asks the system.
pub(super) fn read() -> Process {
    let folder = Path::new("/proc/self");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    let open_fds = std::fs::read_dir(folder.join("fd")).ok().map(|it| it.count() as f64);
    Process { open_fds, ..told(&text("status"), &text("stat"), &text("limits")) }
}

fn told(status: &str, stat: &str, limits: &str) -> Process {
    let line = |name: &str| status.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(':'));
    let first_number = |text: &str| text.split_ascii_whitespace().next()?.parse::<f64>().ok();
    let bytes = |name: &str| line(name).and_then(first_number).map(|kilobytes| kilobytes * 1_024.0);
    Process {
        resident_bytes: bytes("VmRSS"),
        virtual_bytes: bytes("VmSize"),
        cpu_seconds: cpu_seconds(stat),
        threads: line("Threads").and_then(first_number),
        open_fds: None,
        max_fds: limits.lines().find_map(|it| it.strip_prefix("Max open files")).and_then(first_number),
    }
}

/// Fields 14 and 15. The name of the program, which may hold anything, ends at the last bracket.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_linux_are_read() {
        let status = "Name:\tdipeo\nVmPeak:\t  9 kB\nVmSize:\t  204800 kB\nVmRSS:\t   10240 kB\nThreads:\t7\n";
        let stat = "42 (di) (peo) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 7 0 1 2 3";
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096   files\n";
        let expected = Process {
            resident_bytes: Some(10_485_760.0),
            virtual_bytes: Some(209_715_200.0),
            cpu_seconds: Some(3.0),
            threads: Some(7.0),
            open_fds: None,
            max_fds: Some(1_024.0),
        };
        assert_eq!(told(status, stat, limits), expected);
    }

    #[test]
    fn what_the_system_does_not_tell_is_absent() {
        assert_eq!(told("", "", ""), Process::default());
        let unlimited = "Max open files            unlimited            unlimited            files\n";
        assert_eq!(told("VmRSS:\tmuch", "1 (x) S 1", unlimited), Process::default());
    }
}
