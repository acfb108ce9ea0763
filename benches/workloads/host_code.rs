//! Python on the host, warm: a chain of such nodes beside a chain of effects that do nothing, which costs the same
//! commits, and beside starting the interpreter.

use std::process::{Command, Stdio};

use crate::diagrams::{self, N_STEPS};
use crate::measure::{Cpu, Sample, Series, Side, Stopwatch, take_turns};
use crate::place::{Place, close, run_to_end};
use crate::table::{Figure, Finding, Timing};
use crate::{Bench, Outcome};

/// Starts of the interpreter in one round.
const N_STARTS: u64 = 20;

/// A node of host code, what it costs beyond an effect, and how often that goes into a start.
pub fn host_code(bench: &Bench) -> Outcome<Vec<Finding>> {
    if start_python().is_err() {
        eprintln!("skipped: python3 is not installed");
        return Ok(Vec::new());
    }
    let sides: Vec<Side<'_>> = vec![
        Box::new(|| chain(bench, &diagrams::chain_of_host_code())),
        Box::new(|| chain(bench, &diagrams::chain_effect())),
        Box::new(starts),
    ];
    let mut all = take_turns(bench.rounds, sides)?.into_iter();
    let mut next = || all.next().unwrap_or_default();
    let (host, effect, starts): (Series, Series, Series) = (next(), next(), next());
    let (beyond_us, start_us) = (host.median_us() - effect.median_us(), starts.median_us());
    let figure =
        |name: &str, value: String, goal: &str| Finding::Figure(Figure { name: name.into(), value, goal: goal.into() });
    let mut findings = vec![
        figure("warm host Python beyond an effect without work, per node", format!("{beyond_us:.1} µs"), ""),
        figure("starting python3", format!("{:.2} ms", start_us / 1_000.0), ""),
        figure("start beside warm node", format!("{:.0}x", start_us / beyond_us), "≥ 100x"),
    ];
    findings.push(Finding::Timing(Timing {
        name: "node-host-code (other side: chain-effect)".into(),
        unit: "step",
        ours: host,
        bare: Some(effect),
        goal: String::new(),
    }));
    Ok(findings)
}

fn chain(bench: &Bench, diagram: &str) -> Outcome<Sample> {
    let place = Place::new()?;
    let app = place.app("full")?;
    bench.runtime.block_on(async {
        run_to_end(&app, diagram).await?;
        let stopwatch = Stopwatch::start(Cpu::own())?;
        for _ in 0..5 {
            run_to_end(&app, diagram).await?;
        }
        let sample = stopwatch.stop(5 * N_STEPS as u64)?;
        close(&app).await;
        Ok(sample)
    })
}

fn starts() -> Outcome<Sample> {
    let stopwatch = Stopwatch::start(Cpu::Ended)?;
    for _ in 0..N_STARTS {
        start_python()?;
    }
    stopwatch.stop(N_STARTS)
}

/// Without the user's start-up hooks.
fn start_python() -> Outcome<()> {
    let status = Command::new("python3").args(["-I", "-S", "-c", "pass"]).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(format!("python3 ended as {status}").into()) }
}
