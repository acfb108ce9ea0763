//! One side of a comparison in a process of its own, started from this very program: how often it makes the disk
//! sync, counted by `strace` where that is installed, and how much memory it takes at most.

use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::chains::{self, Chain};
use crate::measure::Memory;
use crate::{Bench, Outcome};

/// The role in which this program is started to be one side; then come the side, the chain and how often.
pub const ROLE: &str = "side";

/// Whose turn it is.
#[derive(Clone, Copy)]
pub enum Side {
    Ours,
    Bare,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Bare => "bare",
        }
    }
}

/// What the kernel saw of a side.
pub struct Counts {
    /// Calls of `fdatasync` and `fsync` per step; `None` without `strace`.
    pub syncs: Option<f64>,
    pub peak_kib: u64,
}

/// What it saw of both.
pub struct Counted {
    pub name: String,
    pub ours: Counts,
    pub bare: Counts,
}

/// Runs one side as often as the chain says and twice as often: the difference leaves out how a database is made.
pub fn counted(side: Side, chain: &Chain) -> Outcome<Counts> {
    let (once, peak_kib) = run_apart(side, chain, 1)?;
    let (twice, _) = run_apart(side, chain, 2)?;
    let syncs = once.zip(twice).map(|(once, twice)| twice.saturating_sub(once) as f64 / chain.n_units() as f64);
    Ok(Counts { syncs, peak_kib })
}

fn run_apart(side: Side, chain: &Chain, times: usize) -> Outcome<(Option<u64>, u64)> {
    let times = (chain.times * times).to_string();
    let arguments = [ROLE, side.name(), chain.name, &times];
    let program = std::env::current_exe()?;
    let report = tempfile::NamedTempFile::new()?;
    let has_strace = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let output = if has_strace {
        let mut command = Command::new("strace");
        command.args(["-f", "-c", "-e", "trace=fdatasync,fsync", "-o"]).arg(report.path()).arg(program).args(arguments);
        command.stderr(Stdio::inherit()).output()?
    } else {
        Command::new(program).args(arguments).stderr(Stdio::inherit()).output()?
    };
    let peak = String::from_utf8_lossy(&output.stdout);
    let peak_kib = peak.trim().parse().map_err(|_| format!("one side of {} ended as {}", chain.name, output.status))?;
    let syncs = if has_strace { Some(calls(&std::fs::read_to_string(report.path())?)) } else { None };
    Ok((syncs, peak_kib))
}

/// Adds up the calls of `strace -c`: the fourth column of the lines that end in the name of a call.
fn calls(report: &str) -> u64 {
    let of_line = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let is_sync = matches!(cells.last(), Some(&"fdatasync" | &"fsync"));
        is_sync.then(|| cells.get(3)?.parse::<u64>().ok()).flatten()
    };
    report.lines().filter_map(of_line).sum()
}

/// Is one side: prints the most memory it took, in KiB.
pub fn be_side(bench: &Bench, arguments: &[String]) -> Outcome<()> {
    let [side, name, times] = arguments else { return Err("a side wants its name, a chain and how often".into()) };
    let mut chain = chains::named(name)?;
    chain.times = times.parse()?;
    let chain = Arc::new(chain);
    match side.as_str() {
        "ours" => chains::ours(bench, &chain)?,
        _ => chains::bare(bench, &chain)?,
    };
    println!("{}", Memory::of(std::process::id())?.peak_kib);
    Ok(())
}
