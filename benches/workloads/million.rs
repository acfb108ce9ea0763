//! A million nodes in one process, 64 runs at a time: whether memory stays flat, and how fast results are shown
//! meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dipeo::handlers::run_diagram::Waiting;
use dipeo::handlers::{App, Caller, see_result};

use crate::diagrams::{self, N_STEPS};
use crate::measure::{Memory, timed_async};
use crate::place::{Place, close, run_to_end};
use crate::table::{Figure, Finding, Latencies};
use crate::{Bench, Outcome};

const AT_ONCE: usize = 64;
/// Runs of a chain of effects that make a million nodes.
const N_RUNS: usize = 1_000_000 / N_STEPS;
/// Between two calls of the client that looks on.
const BREATH: Duration = Duration::from_millis(20);

/// Memory at each tenth of the way, and the times of `see_result`.
pub fn million(bench: &Bench) -> Outcome<Vec<Finding>> {
    let place = Place::new()?;
    let app = place.app("full")?;
    let (memory, seen) = bench.runtime.block_on(async {
        let first = run_to_end(&app, &diagrams::chain_effect()).await?;
        let (done, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let onlooker = tokio::spawn(look_on(Arc::clone(&app), first.execution_id, Arc::clone(&is_over)));
        let workers: Vec<_> = (0..AT_ONCE).map(|_| tokio::spawn(work(Arc::clone(&app), Arc::clone(&done)))).collect();
        let mut memory = Vec::new();
        for tenth in 1..=10 {
            while done.load(Ordering::Relaxed) < N_RUNS * tenth / 10 && workers.iter().any(|it| !it.is_finished()) {
                tokio::time::sleep(BREATH).await;
            }
            memory.push(Memory::of(std::process::id())?.now_kib);
        }
        for worker in workers {
            worker.await??;
        }
        is_over.store(1, Ordering::Relaxed);
        let seen = onlooker.await??;
        close(&app).await;
        Outcome::Ok((memory, seen))
    })?;
    let shown = memory.iter().map(|kib| format!("{:.0}", *kib as f64 * 1_024.0 / 1e6)).collect::<Vec<_>>().join(" ");
    Ok(vec![
        Finding::Figure(Figure {
            name: "resident memory at each tenth of a million nodes, MB".into(),
            value: shown,
            goal: "flat".into(),
        }),
        Finding::Latencies(Latencies {
            name: "see_result while 64 runs go on".into(),
            all: seen,
            goal: "p99 < 20 ms".into(),
        }),
    ])
}

async fn work(app: Arc<App>, done: Arc<AtomicUsize>) -> Outcome<()> {
    let diagram = diagrams::chain_effect();
    while done.fetch_add(1, Ordering::Relaxed) < N_RUNS {
        run_to_end(&app, &diagram).await?;
    }
    Ok(())
}

/// Asks for an ended run and for the newest one by turns, until all is over.
async fn look_on(app: Arc<App>, ended: String, is_over: Arc<AtomicUsize>) -> Outcome<Vec<Duration>> {
    let caller = Caller::Terminal { working_dir: app.config.workspace.clone() };
    let mut seen = Vec::new();
    while is_over.load(Ordering::Relaxed) == 0 {
        let newest = dipeo::handlers::list_executions::newest_execution(&app, &caller, Default::default()).await?;
        for id in [ended.clone(), newest.map_or_else(String::new, |it| it.execution_id)] {
            let request = see_result::Request { execution_id: id, ..Default::default() };
            let (shown, time) = timed_async(see_result::see_result(&app, &caller, request, Waiting::default())).await;
            shown?;
            seen.push(time);
        }
        tokio::time::sleep(BREATH).await;
    }
    Ok(seen)
}
