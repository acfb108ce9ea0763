//! Processes from `exec` to their answer, and the memory they take.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::http_client::{self, HttpServer, Target};
use crate::measure::{Cpu, Memory, Parts, Sample, Series, Stopwatch, interleave};
use crate::place::{Place, close, run_to_end};
use crate::stdio_client::StdioServer;
use crate::table::{Finding, Size, Timing};
use crate::wire::Message;
use crate::{Bench, Outcome, bare_mcp, diagrams};

/// Starts of one side in one round.
const N_STARTS: u64 = 10;
/// Executions in the database that a server starts with.
const N_EXECUTIONS: usize = 1_000;
/// Size of an answer nobody asks for.
const ANY_BYTES: usize = 100;
/// The load before memory is looked at again: runs of 100 steps, then calls.
const N_RUNS: u64 = 64;
const N_CALLS: u64 = 20_000;
const IN_FLIGHT: usize = 16;

const DIAGRAM: &str = "run_3.light.yaml";

/// `dipeo run` of three nodes, from `exec` to exit.
pub fn run_3(bench: &Bench) -> Outcome<Vec<Finding>> {
    let used = prepared()?;
    run_once(&used)?;
    let (mut empty, mut existing) = (Series::default(), Series::default());
    for _ in 0..bench.rounds {
        empty.0.push(runs(|_| prepared(), run_once)?);
        existing.0.push(runs(|_| Ok(&used), |place| run_once(place))?);
    }
    let timing = |name: &str, ours| {
        Finding::Timing(Timing { name: name.into(), unit: "run", ours, bare: None, goal: "≤ 30 ms".into() })
    };
    let memory = (0..bench.rounds).map(|_| peak_of_run(&used)).collect::<Outcome<Vec<_>>>()?;
    let peak_kib = memory.iter().map(|it| it.peak_kib).max().unwrap_or_default();
    let size = Size { name: "dipeo run".into(), memory: Memory { now_kib: 0, peak_kib }, goal: "≤ 25 MB".into() };
    Ok(vec![
        timing("run-3, empty database", empty),
        timing("run-3, existing database", existing),
        Finding::Memory(size),
    ])
}

fn prepared() -> Outcome<Place> {
    let place = Place::new()?;
    place.write(DIAGRAM, &diagrams::run_3())?;
    Ok(place)
}

/// Times `work` on what `prepare` makes, ten times.
pub fn runs<P>(prepare: impl Fn(u64) -> Outcome<P>, work: impl Fn(&P) -> Outcome<()>) -> Outcome<Sample> {
    let places = (0..N_STARTS).map(prepare).collect::<Outcome<Vec<P>>>()?;
    let mut parts = Parts::default();
    let stopwatch = Stopwatch::start(Cpu::Ended)?;
    for place in &places {
        parts.time(|| work(place))?;
    }
    Ok(parts.replace_wall(stopwatch.stop(N_STARTS)?))
}

fn run_command(place: &Place) -> Command {
    let mut command = place.command();
    command.args(["run", DIAGRAM]).stdin(Stdio::null());
    command
}

fn run_once(place: &Place) -> Outcome<()> {
    let output = run_command(place).output()?;
    let written = std::fs::read_to_string(place.root().join("files/hello.txt")).unwrap_or_default();
    if output.status.success() && written.contains("hello") {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// The peak is only shown while the process lives, so it is asked for again and again; such runs are not timed.
fn peak_of_run(place: &Place) -> Outcome<Memory> {
    let mut child = run_command(place).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut last = Memory::default();
    while child.try_wait()?.is_none() {
        last = Memory::of(child.id()).unwrap_or(last);
    }
    Ok(last)
}

/// From `exec` to the answer of `tools/list` over standard streams, in a workspace with 1,000 executions.
pub fn cold_start(bench: &Bench) -> Outcome<Vec<Finding>> {
    let place = with_executions(bench)?;
    let ours = || {
        let mut command = place.command();
        command.arg("mcp");
        Ok(command)
    };
    let (ours, bare) = interleave(bench.rounds, || starts(ours), || starts(|| bare_mcp::stdio_command(ANY_BYTES)))?;
    Ok(vec![Finding::Timing(Timing {
        name: "cold start".into(),
        unit: "start",
        ours,
        bare: Some(bare),
        goal: "≤ 30 ms, ≤ 10x".into(),
    })])
}

fn with_executions(bench: &Bench) -> Outcome<Place> {
    let place = Place::new()?;
    let app = place.app("normal")?;
    bench.runtime.block_on(async {
        let diagram = diagrams::smallest();
        for _ in 0..N_EXECUTIONS {
            run_to_end(&app, &diagram).await?;
        }
        close(&app).await;
        Outcome::Ok(())
    })?;
    Ok(place)
}

/// The CPU time includes how each process ends, the wall time does not.
pub fn starts(command: impl Fn() -> Outcome<Command>) -> Outcome<Sample> {
    let list = Message::new("tools/list", &json!({}));
    let mut parts = Parts::default();
    let stopwatch = Stopwatch::start(Cpu::Ended)?;
    for _ in 0..N_STARTS {
        let server = parts.time(|| {
            let mut server = StdioServer::start(command()?)?;
            server.initialize()?;
            server.request(&list)?;
            Ok(server)
        })?;
        server.finish()?;
    }
    Ok(parts.replace_wall(stopwatch.stop(N_STARTS)?))
}

/// What servers take when they have just answered, and `dipeo serve` after a load.
pub fn memory(bench: &Bench) -> Outcome<Vec<Finding>> {
    let place = Place::new()?;
    let mut mcp = place.command();
    mcp.arg("mcp");
    let mut serve = place.command();
    serve.args(["serve", "--port", "0"]);
    let served = HttpServer::start(serve)?;
    let (idle, loaded) = (Memory::of(served.pid())?, loaded(bench, &served)?);
    let size = |name: &str, memory, goal: &str| Finding::Memory(Size { name: name.into(), memory, goal: goal.into() });
    Ok(vec![
        size("dipeo mcp, idle", idle_stdio(mcp)?, "≤ 25 MB"),
        size("dipeo serve, idle", idle, "≤ 25 MB"),
        size(&format!("dipeo serve after {N_RUNS} runs and {N_CALLS} calls"), loaded, "≤ 60 MB"),
        size("bare server on stdio, idle", idle_stdio(bare_mcp::stdio_command(ANY_BYTES)?)?, ""),
    ])
}

fn idle_stdio(command: Command) -> Outcome<Memory> {
    let mut server = StdioServer::start(command)?;
    server.initialize()?;
    server.request(&Message::new("tools/list", &json!({})))?;
    let memory = Memory::of(server.pid())?;
    server.finish()?;
    Ok(memory)
}

fn loaded(bench: &Bench, server: &HttpServer) -> Outcome<Memory> {
    let target = |message| Target { address: server.address.clone(), path: "/mcp/messages", message };
    let run = target(Message::call("dipeo_run", &json!({"content": diagrams::chain_effect()})));
    bench.runtime.block_on(async {
        http_client::load(&run, N_RUNS, IN_FLIGHT, None).await?;
        let result: serde_json::Value = serde_json::from_str(&http_client::request(&run).await?)?;
        let arguments = json!({"execution_id": result["structuredContent"]["execution_id"]});
        let see = target(Message::call("see_result", &arguments));
        http_client::load(&see, N_CALLS, IN_FLIGHT, None).await
    })?;
    Memory::of(server.pid())
}
