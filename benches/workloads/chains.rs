//! Runs inside this process, durable (FULL), against a thread that commits as many rows. Each round has a new
//! workspace and a new database; its first run is not measured. Syncs and memory are counted in processes of their
//! own (`counted`).

use std::sync::Arc;

use dipeo::handlers::App;
use serde_json::Value;

use crate::bare_writer::BareWriter;
use crate::counted::{Counted, Side, counted};
use crate::diagrams::{self, N_STEPS};
use crate::measure::{Cpu, Sample, Stopwatch, interleave};
use crate::place::{Place, close, run_to_end};
use crate::table::{Finding, Timing};
use crate::{Bench, Outcome};

/// How the basis commits the same number of rows.
#[derive(Clone, Copy)]
enum Basis {
    /// Each step waits for its own commit.
    EachStep,
    /// All steps are queued at once and share what they can.
    AllTogether,
    /// One commit for the whole run.
    OncePerRun,
}

pub struct Chain {
    pub name: &'static str,
    diagram: String,
    /// Different nodes that have to have run.
    n_nodes: u64,
    /// Steps that count in one run.
    n_steps: usize,
    /// Value of `i` at the end, where the steps count.
    last_i: Option<usize>,
    at_once: usize,
    /// How often that many are run, one after the other, in one round.
    pub times: usize,
    basis: Basis,
    goal: &'static str,
}

impl Chain {
    fn new(name: &'static str, diagram: String, goal: &'static str) -> Self {
        Self {
            name,
            diagram,
            n_nodes: N_STEPS as u64 + 2,
            n_steps: N_STEPS,
            last_i: None,
            at_once: 1,
            times: 10,
            basis: Basis::EachStep,
            goal,
        }
    }

    pub fn n_units(&self) -> u64 {
        (self.n_steps * self.at_once * self.times) as u64
    }
}

/// Every chain there is.
pub fn all() -> Vec<Chain> {
    let pure = Chain::new("chain-pure", diagrams::chain_pure(), "≤ 50 µs beyond bare; ≤ 2 commits waited for in a run");
    let effect = |name, goal| Chain::new(name, diagrams::chain_effect(), goal);
    let loop_goal = "≤ 70 µs beyond bare for a code node and a condition";
    let fan_out = Chain::new("fan-out", diagrams::fan_out(), "≤ 1/8 commit per step");
    let condition_goal = "≤ 20 µs beyond bare";
    let pure_of = |name, diagram, goal| Chain { basis: Basis::OncePerRun, ..Chain::new(name, diagram, goal) };
    vec![
        Chain { last_i: Some(N_STEPS), basis: Basis::OncePerRun, ..pure },
        effect("chain-effect", "wall ≤ 1.5x, CPU ≤ 2x; ≤ 1 commit per step"),
        Chain { n_nodes: 4, last_i: Some(N_STEPS), ..pure_of("loop", diagrams::loop_of_100(), loop_goal) },
        Chain { basis: Basis::AllTogether, ..fan_out },
        Chain { at_once: 16, times: 3, ..effect("concurrent-16", "≥ 4,950 steps/s; ≤ 1/8 commit per step") },
        Chain {
            at_once: 64, times: 1, ..effect("concurrent-64", "≤ 2.5x (40 % of its rate); ≤ 1/8 commit per step")
        },
        pure_of("node-condition", diagrams::chain_of_conditions(), condition_goal),
        pure_of("node-template", diagrams::chain_of_templates(), condition_goal),
    ]
}

/// The chain of this name.
pub fn named(name: &str) -> Outcome<Chain> {
    all().into_iter().find(|it| it.name == name).ok_or_else(|| format!("there is no chain `{name}`").into())
}

/// Both sides of the chain of this name: times in turns, then syncs and memory.
pub fn compare(bench: &Bench, name: &str) -> Outcome<Vec<Finding>> {
    let chain = Arc::new(named(name)?);
    let (ours, bare) = interleave(bench.rounds, || ours(bench, &chain), || bare(bench, &chain))?;
    let timing = Timing { name: chain.name.into(), unit: "step", ours, bare: Some(bare), goal: chain.goal.into() };
    let counts =
        Counted { name: chain.name.into(), ours: counted(Side::Ours, &chain)?, bare: counted(Side::Bare, &chain)? };
    Ok(vec![Finding::Timing(timing), Finding::Counted(counts)])
}

pub fn ours(bench: &Bench, chain: &Arc<Chain>) -> Outcome<Sample> {
    let place = Place::new()?;
    let app = place.app("full")?;
    bench.runtime.block_on(async {
        run_checked(&app, chain).await?;
        let store = app.store()?;
        let commits_before = store.commits();
        let stopwatch = Stopwatch::start(Cpu::own())?;
        for _ in 0..chain.times {
            let runs: Vec<_> = (0..chain.at_once)
                .map(|_| {
                    let (app, chain) = (Arc::clone(&app), Arc::clone(chain));
                    tokio::spawn(async move { run_checked(&app, &chain).await })
                })
                .collect();
            for run in runs {
                run.await??;
            }
        }
        let sample = stopwatch.stop(chain.n_units())?;
        let commits = store.commits() - commits_before;
        close(&app).await;
        Ok(Sample { commits: Some(commits), ..sample })
    })
}

/// Runs it once and checks that every node did its work.
async fn run_checked(app: &App, chain: &Chain) -> Outcome<()> {
    let execution = run_to_end(app, &chain.diagram).await?;
    if execution.executed_nodes_count != Some(chain.n_nodes) {
        return Err(format!("{:?} nodes ran instead of {}", execution.executed_nodes_count, chain.n_nodes).into());
    }
    let last_i = execution.final_output.as_ref().and_then(|it| it.get("i")).and_then(Value::as_u64);
    if chain.last_i.is_some() && last_i != chain.last_i.map(|it| it as u64) {
        return Err(format!("the steps counted to {last_i:?}").into());
    }
    Ok(())
}

pub fn bare(bench: &Bench, chain: &Chain) -> Outcome<Sample> {
    let place = Place::new()?;
    let writer = BareWriter::start(&place)?;
    let n_warm = 1;
    let sample = bench.runtime.block_on(async {
        writer.run(0).commit(1).await?;
        let stopwatch = Stopwatch::start(Cpu::own())?;
        for _ in 0..chain.times {
            bare_runs(&writer, chain).await?;
        }
        stopwatch.stop(chain.n_units())
    })?;
    Ok(Sample { commits: Some(writer.finish()? - n_warm), ..sample })
}

async fn bare_runs(writer: &BareWriter, chain: &Chain) -> Outcome<()> {
    let (n_tasks, n_commits, n_rows) = match chain.basis {
        Basis::EachStep => (chain.at_once, chain.n_steps, 1),
        Basis::AllTogether => (chain.at_once * chain.n_steps, 1, 1),
        Basis::OncePerRun => (chain.at_once, 1, chain.n_steps),
    };
    let tasks: Vec<_> = (0..n_tasks)
        .map(|n| {
            let mut run = writer.run(n as u64);
            tokio::spawn(async move {
                for _ in 0..n_commits {
                    run.commit(n_rows).await?;
                }
                Outcome::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}
