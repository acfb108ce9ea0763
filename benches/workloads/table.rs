//! Prints what was found, as tables that can stand in the README.

use std::time::Duration;

use crate::counted::{Counted, Counts};
use crate::measure::{Memory, Series};

/// What a workload found.
pub enum Finding {
    Timing(Timing),
    Counted(Counted),
    Memory(Size),
    Crowded(Crowded),
    Latencies(Latencies),
    Figure(Figure),
}

/// Times of both sides.
pub struct Timing {
    pub name: String,
    /// What the times are of: `step`, `call`, `start`.
    pub unit: &'static str,
    pub ours: Series,
    pub bare: Option<Series>,
    pub goal: String,
}

/// Memory of a process.
pub struct Size {
    pub name: String,
    pub memory: Memory,
    pub goal: String,
}

/// Times of single calls of one client, without others and beside them.
pub struct Crowded {
    pub name: String,
    pub alone: Vec<Duration>,
    pub beside: Vec<Duration>,
    pub goal: String,
}

/// Times of single calls.
pub struct Latencies {
    pub name: String,
    pub all: Vec<Duration>,
    pub goal: String,
}

/// Anything else that was measured.
pub struct Figure {
    pub name: String,
    pub value: String,
    pub goal: String,
}

/// Prints a table for each kind of finding, leaving out what is empty.
pub fn print(findings: &[Finding]) {
    let timings: Vec<&Timing> =
        findings.iter().filter_map(|it| if let Finding::Timing(it) = it { Some(it) } else { None }).collect();
    if !timings.is_empty() {
        println!(
            "| workload | per | ours: median | best | per second | CPU | commits | other side: median | best | CPU | commits | wall | CPU | goal |"
        );
        println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|");
        timings.iter().for_each(|it| println!("{}", timing_line(it)));
    }
    let counts: Vec<&Counted> =
        findings.iter().filter_map(|it| if let Finding::Counted(it) = it { Some(it) } else { None }).collect();
    if !counts.is_empty() {
        println!("\n| workload | syncs per step: ours | bare | peak memory: ours | bare |");
        println!("|---|--:|--:|--:|--:|");
        let syncs = |it: &Counts| it.syncs.map_or("no strace".to_owned(), |it| format!("{it:.3}"));
        for Counted { name, ours, bare } in counts {
            let (ours_peak, bare_peak) = (megabytes(ours.peak_kib), megabytes(bare.peak_kib));
            println!("| {name} | {} | {} | {ours_peak} | {bare_peak} |", syncs(ours), syncs(bare));
        }
    }
    let sizes: Vec<&Size> =
        findings.iter().filter_map(|it| if let Finding::Memory(it) = it { Some(it) } else { None }).collect();
    if !sizes.is_empty() {
        println!("\n| process | resident | peak | goal |\n|---|--:|--:|---|");
        for Size { name, memory, goal } in sizes {
            println!("| {name} | {} | {} | {goal} |", megabytes(memory.now_kib), megabytes(memory.peak_kib));
        }
    }
    let crowds: Vec<&Crowded> =
        findings.iter().filter_map(|it| if let Finding::Crowded(it) = it { Some(it) } else { None }).collect();
    if !crowds.is_empty() {
        println!("\n| call | alone: median | p99 | beside others: median | p99 | median | p99 | goal |");
        println!("|---|--:|--:|--:|--:|--:|--:|---|");
        crowds.iter().for_each(|it| println!("{}", crowd_line(it)));
    }
    let latencies: Vec<&Latencies> =
        findings.iter().filter_map(|it| if let Finding::Latencies(it) = it { Some(it) } else { None }).collect();
    if !latencies.is_empty() {
        println!("\n| call | median | p99 | goal |\n|---|--:|--:|---|");
        for Latencies { name, all, goal } in latencies {
            println!("| {name} | {} | {} | {goal} |", time(quantile_us(all, 0.5)), time(quantile_us(all, 0.99)));
        }
    }
    let figures: Vec<&Figure> =
        findings.iter().filter_map(|it| if let Finding::Figure(it) = it { Some(it) } else { None }).collect();
    if !figures.is_empty() {
        println!("\n| figure | value | goal |\n|---|--:|---|");
        for Figure { name, value, goal } in figures {
            println!("| {name} | {value} | {goal} |");
        }
    }
}

fn crowd_line(Crowded { name, alone, beside, goal }: &Crowded) -> String {
    let at = |part: f64| (quantile_us(alone, part), quantile_us(beside, part));
    let ((median, median_beside), (p99, p99_beside)) = (at(0.5), at(0.99));
    format!(
        "| {name} | {} | {} | {} | {} | {:.2}x | {:.2}x | {goal} |",
        time(median),
        time(p99),
        time(median_beside),
        time(p99_beside),
        median_beside / median,
        p99_beside / p99
    )
}

/// The smallest time that this part of all does not exceed, in microseconds.
fn quantile_us(all: &[Duration], part: f64) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let idx = (part * sorted.len() as f64) as usize;
    sorted.get(idx.min(sorted.len().saturating_sub(1))).map_or(0.0, |it| it.as_secs_f64() * 1e6)
}

fn timing_line(timing: &Timing) -> String {
    let Timing { name, unit, ours, bare, goal } = timing;
    let commits = |series: &Series| series.commits().map(|it| format!("{it:.3}")).unwrap_or_default();
    let mut cells = vec![
        name.clone(),
        (*unit).to_owned(),
        time(ours.median_us()),
        time(ours.best_us()),
        format!("{:.0}", 1e6 / ours.median_us()),
        time(ours.cpu_us()),
        commits(ours),
    ];
    match bare {
        Some(bare) => cells.extend([
            time(bare.median_us()),
            time(bare.best_us()),
            time(bare.cpu_us()),
            commits(bare),
            format!("{:.2}x", ours.median_us() / bare.median_us()),
            format!("{:.2}x", ours.cpu_us() / bare.cpu_us()),
        ]),
        None => cells.extend(vec![String::new(); 6]),
    }
    cells.push(goal.clone());
    format!("| {} |", cells.join(" | "))
}

fn time(us: f64) -> String {
    if us < 1_000.0 { format!("{us:.1} µs") } else { format!("{:.2} ms", us / 1_000.0) }
}

fn megabytes(kib: u64) -> String {
    if kib == 0 { String::new() } else { format!("{:.1} MB", kib as f64 * 1_024.0 / 1e6) }
}
