//! `see_result` of a finished run of three nodes, over both transports, against a bare server that returns a
//! constant of the same size; over standard streams also against such a server made with the TypeScript SDK.
//! Each side of each round is a process of its own.

use std::process::Command;

use serde_json::{Value, json};

use crate::http_client::{self, HttpServer, Target};
use crate::measure::{Cpu, Sample, Series, Side, Stopwatch, interleave, take_turns};
use crate::place::{Place, close, run_to_end};
use crate::stdio_client::StdioServer;
use crate::table::{Finding, Timing};
use crate::wire::Message;
use crate::{Bench, Outcome, bare_mcp, diagrams, typescript};

/// Requests in flight.
const IN_FLIGHT: [usize; 2] = [1, 16];
const IN_FLIGHT_STDIO: [usize; 3] = [1, 16, 64];
/// Calls of one side in one round, and those before them that are not measured.
const N_CALLS: usize = 10_000;
const N_WARM: usize = 1_000;

/// A workspace with one finished execution.
pub struct Finished {
    place: Place,
    execution_id: String,
}

impl Finished {
    pub fn new(bench: &Bench) -> Outcome<Self> {
        let place = Place::new()?;
        let app = place.app("full")?;
        let execution = bench.runtime.block_on(async {
            let execution = run_to_end(&app, &diagrams::run_3()).await;
            close(&app).await;
            execution
        })?;
        Ok(Self { place, execution_id: execution.execution_id })
    }

    /// What shows it.
    pub fn arguments(&self) -> Value {
        json!({"execution_id": self.execution_id})
    }

    /// The program in this workspace.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command();
        command.args(arguments);
        command
    }
}

pub fn over_stdio(bench: &Bench) -> Outcome<Vec<Finding>> {
    let finished = Finished::new(bench)?;
    let (see_result, echo) = (Message::call("see_result", &finished.arguments()), Message::call("echo", &json!({})));
    let (_, result) = stdio_side(finished.command(&["mcp"]), &see_result, 1)?;
    let has_typescript = typescript::is_there();
    let mut findings = Vec::new();
    for in_flight in IN_FLIGHT_STDIO {
        let turn = |command: Command, message: &Message| stdio_side(command, message, in_flight).map(|(it, _)| it);
        let mut sides: Vec<Side<'_>> = vec![
            Box::new(|| turn(finished.command(&["mcp"]), &see_result)),
            Box::new(|| turn(bare_mcp::stdio_command(result.len())?, &echo)),
        ];
        if has_typescript {
            sides.push(Box::new(|| turn(typescript::command(result.len()), &echo)));
        }
        let mut all = take_turns(bench.rounds, sides)?.into_iter();
        let (Some(ours), Some(bare)) = (all.next(), all.next()) else { return Err("a side is missing".into()) };
        let name = format!("echo-stdio, {in_flight} in flight");
        findings.push(finding(name.clone(), (ours.clone(), bare), "≥ 90 % of its rate (≤ 1.11x)"));
        if let Some(typescript) = all.next() {
            let goal = "≥ 1.5 times its rate (≤ 0.67x)";
            findings.push(finding(format!("{name}, beside the TypeScript SDK"), (ours, typescript), goal));
        }
    }
    Ok(findings)
}

/// Measures one process and returns what it answers.
fn stdio_side(command: Command, message: &Message, in_flight: usize) -> Outcome<(Sample, String)> {
    let mut server = StdioServer::start(command)?;
    server.initialize()?;
    let expected = server.request(message)?;
    server.load(message, N_WARM, in_flight, &expected)?;
    let stopwatch = Stopwatch::start(Cpu::Tree(server.pid()))?;
    server.load(message, N_CALLS, in_flight, &expected)?;
    let sample = stopwatch.stop(N_CALLS as u64)?;
    server.finish()?;
    Ok((sample, expected))
}

pub fn over_http(bench: &Bench) -> Outcome<Vec<Finding>> {
    let finished = Finished::new(bench)?;
    let arguments = finished.arguments();
    let eras = [
        // The path that answers a client without a session, and the endpoint for clients of the new revision.
        ("", "/mcp/messages", Message::call("see_result", &arguments), Message::call("echo", &json!({}))),
        (" modern", "/mcp", Message::modern_call("see_result", &arguments), Message::modern_call("echo", &json!({}))),
    ];
    let mut findings = Vec::new();
    for (era, path, see_result, echo) in eras {
        let serve = || finished.command(&["serve", "--port", "0"]);
        let (_, result) = http_side(bench, serve(), path, &see_result, 1)?;
        for in_flight in IN_FLIGHT {
            let sides = interleave(
                bench.rounds,
                || http_side(bench, serve(), path, &see_result, in_flight).map(|(sample, _)| sample),
                || {
                    let command = bare_mcp::http_command(result.len())?;
                    http_side(bench, command, "/mcp", &echo, in_flight).map(|(sample, _)| sample)
                },
            )?;
            let goal = "≥ 90 % of its rate (≤ 1.11x), ≤ 1.15x its CPU";
            findings.push(finding(format!("echo-http{era}, {in_flight} in flight"), sides, goal));
        }
    }
    Ok(findings)
}

/// As [`stdio_side`], over HTTP.
fn http_side(
    bench: &Bench,
    command: Command,
    path: &'static str,
    message: &Message,
    in_flight: usize,
) -> Outcome<(Sample, String)> {
    let server = HttpServer::start(command)?;
    let target = Target { address: server.address.clone(), path, message: message.clone() };
    bench.runtime.block_on(async {
        let expected = http_client::request(&target).await?;
        http_client::load(&target, N_WARM as u64, in_flight, Some(&expected)).await?;
        let stopwatch = Stopwatch::start(Cpu::Tree(server.pid()))?;
        http_client::load(&target, N_CALLS as u64, in_flight, Some(&expected)).await?;
        Ok((stopwatch.stop(N_CALLS as u64)?, expected))
    })
}

fn finding(name: String, (ours, bare): (Series, Series), goal: &str) -> Finding {
    Finding::Timing(Timing { name, unit: "call", ours, bare: Some(bare), goal: goal.to_owned() })
}
