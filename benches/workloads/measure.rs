//! Wall time, CPU time and memory of processes, as the kernel counts them, and what is made of many samples.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Length of one tick of the kernel's CPU accounting; Linux has shown 100 per second on every machine since
/// version 2.6. Single samples are this coarse, so CPU times are summed over all rounds.
const TICK: Duration = Duration::from_millis(10);

/// Whose CPU time counts.
#[derive(Clone, Copy, Debug)]
pub enum Cpu {
    /// A process and everything it started.
    Tree(u32),
    /// Processes this one started and that have ended.
    Ended,
}

impl Cpu {
    /// This process and everything it started.
    pub fn own() -> Self {
        Self::Tree(std::process::id())
    }

    fn now(self) -> Outcome<Duration> {
        let ticks = match self {
            Self::Ended => Times::of(std::process::id())?.children,
            Self::Tree(root) => ticks_of_tree(root)?,
        };
        Ok(TICK * u32::try_from(ticks)?)
    }
}

struct Times {
    parent: u32,
    own: u64,
    /// Of children that have ended and were waited for.
    children: u64,
}

impl Times {
    fn of(pid: u32) -> Outcome<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is a name in brackets and may hold anything.
        let (_, rest) = text.rsplit_once(')').ok_or("no name in `/proc/PID/stat`")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |idx: usize| -> Outcome<u64> { Ok(fields.get(idx).ok_or("a short `/proc/PID/stat`")?.parse()?) };
        Ok(Self {
            parent: u32::try_from(number(1)?)?,
            own: number(11)? + number(12)?,
            children: number(13)? + number(14)?,
        })
    }
}

fn ticks_of_tree(root: u32) -> Outcome<u64> {
    let mut all = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process may end while this one looks; its parent then holds its time.
        if let Ok(times) = Times::of(pid) {
            all.insert(pid, times);
        }
    }
    let is_inside = |pid: &u32| {
        let mut pid = *pid;
        while pid != root {
            match all.get(&pid) {
                Some(times) if times.parent != 0 => pid = times.parent,
                _ => return false,
            }
        }
        true
    };
    Ok(all.iter().filter(|(pid, _)| is_inside(pid)).map(|(_, it)| it.own + it.children).sum())
}

/// Runs while something is measured.
pub struct Stopwatch {
    cpu: Cpu,
    cpu_before: Duration,
    started: Instant,
}

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the machine's time is what is measured")]
    pub fn start(cpu: Cpu) -> Outcome<Self> {
        Ok(Self { cpu, cpu_before: cpu.now()?, started: Instant::now() })
    }

    /// Ends the measurement of `units` steps, calls or starts.
    pub fn stop(self, units: u64) -> Outcome<Sample> {
        let wall = self.started.elapsed();
        Ok(Sample { units, wall, cpu: self.cpu.now()?.saturating_sub(self.cpu_before), commits: None })
    }
}

/// Adds up the wall time of parts of something, such as starts without the clean-up after each.
#[derive(Default)]
pub struct Parts(Duration);

impl Parts {
    #[expect(clippy::disallowed_methods, reason = "the machine's time is what is measured")]
    pub fn time<T>(&mut self, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let started = Instant::now();
        let value = work()?;
        self.0 += started.elapsed();
        Ok(value)
    }

    /// A sample with this wall time instead of its own.
    pub fn replace_wall(self, sample: Sample) -> Sample {
        Sample { wall: self.0, ..sample }
    }
}

/// Runs `work` and says how long it took.
#[expect(clippy::disallowed_methods, reason = "the machine's time is what is measured")]
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let value = work();
    (value, started.elapsed())
}

/// As [`timed`], for what is waited for.
#[expect(clippy::disallowed_methods, reason = "the machine's time is what is measured")]
pub async fn timed_async<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let value = work.await;
    (value, started.elapsed())
}

/// One side of one round.
#[derive(Clone, Debug)]
pub struct Sample {
    pub units: u64,
    pub wall: Duration,
    pub cpu: Duration,
    /// Transactions committed meanwhile; each is one sync of the disk.
    pub commits: Option<u64>,
}

/// All rounds of one side.
#[derive(Clone, Debug, Default)]
pub struct Series(pub Vec<Sample>);

impl Series {
    fn walls_us(&self) -> Vec<f64> {
        let mut walls: Vec<f64> = self.0.iter().map(|it| it.wall.as_secs_f64() * 1e6 / it.units as f64).collect();
        walls.sort_by(f64::total_cmp);
        walls
    }

    /// Median over the rounds, in microseconds per unit.
    pub fn median_us(&self) -> f64 {
        let walls = self.walls_us();
        let middle = walls.len() / 2;
        if walls.len() % 2 == 1 { walls[middle] } else { f64::midpoint(walls[middle - 1], walls[middle]) }
    }

    /// The best round, in microseconds per unit.
    pub fn best_us(&self) -> f64 {
        self.walls_us()[0]
    }

    /// CPU time over all rounds, in microseconds per unit.
    pub fn cpu_us(&self) -> f64 {
        self.0.iter().map(|it| it.cpu.as_secs_f64() * 1e6).sum::<f64>() / self.units()
    }

    /// Commits over all rounds per unit.
    pub fn commits(&self) -> Option<f64> {
        let commits: Option<u64> = self.0.iter().map(|it| it.commits).sum();
        commits.map(|it| it as f64 / self.units())
    }

    fn units(&self) -> f64 {
        self.0.iter().map(|it| it.units).sum::<u64>() as f64
    }
}

/// One side of a comparison: takes its turn and says what it measured.
pub type Side<'a> = Box<dyn FnMut() -> Outcome<Sample> + 'a>;

/// Lets all sides take turns, so that a busy moment of the machine meets each of them.
pub fn take_turns(rounds: usize, mut sides: Vec<Side<'_>>) -> Outcome<Vec<Series>> {
    let mut all = vec![Series::default(); sides.len()];
    for _ in 0..rounds {
        for (series, side) in all.iter_mut().zip(&mut sides) {
            series.0.push(side()?);
        }
    }
    Ok(all)
}

/// [`take_turns`] of two.
pub fn interleave<'a>(
    rounds: usize,
    ours: impl FnMut() -> Outcome<Sample> + 'a,
    bare: impl FnMut() -> Outcome<Sample> + 'a,
) -> Outcome<(Series, Series)> {
    let mut all = take_turns(rounds, vec![Box::new(ours), Box::new(bare)])?.into_iter();
    Ok((all.next().unwrap_or_default(), all.next().unwrap_or_default()))
}

/// The three load averages of the machine.
pub fn load_average() -> Outcome<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Memory of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident now, in KiB.
    pub now_kib: u64,
    /// Most that was ever resident, in KiB.
    pub peak_kib: u64,
}

impl Memory {
    pub fn of(pid: u32) -> Outcome<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> Outcome<u64> {
            let line = text.lines().find(|it| it.starts_with(name)).ok_or("the process has ended")?;
            Ok(line.split_whitespace().nth(1).ok_or("a short `/proc/PID/status`")?.parse()?)
        };
        Ok(Self { now_kib: field("VmRSS:")?, peak_kib: field("VmHWM:")? })
    }
}
