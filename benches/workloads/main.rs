//! Measures what a run, a call and a start cost, each beside a bare program that does the least that could do
//! the same (`../README.md`). Times are printed and never judged here; what a workload returns is checked.
//!
//! | file | what it holds |
//! |---|---|
//! | `chains` `diagrams` | runs inside this process: chains, the loop, the fan-out, many at once |
//! | `counted` | the same in processes of their own, for syncs and memory |
//! | `host_code` `million` | a warm interpreter beside its start; a million nodes, and calls beside them |
//! | `bare_writer` | their basis: a thread that commits rows |
//! | `echo` `http_client` `stdio_client` `wire` | tool calls over both transports |
//! | `bare_mcp` | their basis: a server of the same library with one tool, started from this very program |
//! | `typescript` | the same server made with the TypeScript SDK, where that is installed |
//! | `crowd` | a good client of a server that many others use badly |
//! | `big_database` | lists, results and pruning among 100,000 executions |
//! | `cold` | processes from `exec` to their answer, and how much memory they take |
//! | `place` `measure` `table` | a workspace, a stopwatch, the output |

mod bare_mcp;
mod bare_writer;
mod big_database;
mod chains;
mod cold;
mod counted;
mod crowd;
mod diagrams;
mod echo;
mod host_code;
mod http_client;
mod measure;
mod million;
mod place;
mod stdio_client;
mod table;
mod typescript;
mod wire;

use std::path::Path;
use std::process::ExitCode;

use table::Finding;

/// What can go wrong ends the program with a sentence.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Rounds of each workload unless `--rounds` says otherwise; below five a median says little.
const ROUNDS: usize = 7;

/// What the workloads share.
pub struct Bench {
    runtime: tokio::runtime::Runtime,
    /// How often both sides of a comparison take their turn.
    rounds: usize,
}

type Workload = fn(&Bench) -> Outcome<Vec<Finding>>;

/// Every workload, in the order of the table; an argument chooses those whose name contains it.
const ALL: &[(&str, Workload)] = &[
    ("chain-pure", |bench| chains::compare(bench, "chain-pure")),
    ("chain-effect", |bench| chains::compare(bench, "chain-effect")),
    ("loop", |bench| chains::compare(bench, "loop")),
    ("fan-out", |bench| chains::compare(bench, "fan-out")),
    ("concurrent-16", |bench| chains::compare(bench, "concurrent-16")),
    ("concurrent-64", |bench| chains::compare(bench, "concurrent-64")),
    ("node-condition", |bench| chains::compare(bench, "node-condition")),
    ("node-template", |bench| chains::compare(bench, "node-template")),
    ("node-host-code", host_code::host_code),
    ("million", million::million),
    ("run-3", cold::run_3),
    ("echo-stdio", echo::over_stdio),
    ("echo-http", echo::over_http),
    ("crowd", crowd::crowd),
    ("cold-start", cold::cold_start),
    ("memory", cold::memory),
    ("big-database", big_database::big_database),
];

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<String>) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let [role, size] = arguments.as_slice()
        && bare_mcp::ROLES.contains(&role.as_str())
    {
        return runtime.block_on(bare_mcp::serve(role, size.parse()?));
    }
    if arguments.first().is_some_and(|it| it == counted::ROLE) {
        return counted::be_side(&Bench { runtime, rounds: 1 }, &arguments[1..]);
    }
    let (mut rounds, mut filters) = (ROUNDS, Vec::new());
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            // Said by `cargo bench`.
            "--bench" => {}
            "--rounds" => rounds = rest.next().ok_or("`--rounds` wants a number")?.parse()?,
            "--diagrams" => return diagrams::write_all(Path::new(&rest.next().ok_or("`--diagrams` wants a folder")?)),
            "--list" => {
                ALL.iter().for_each(|(name, _)| println!("{name}"));
                return Ok(());
            }
            other if other.starts_with('-') => return Err(format!("there is no flag `{other}`").into()),
            _ => filters.push(argument),
        }
    }
    measure_all(&Bench { runtime, rounds: rounds.max(1) }, &filters)
}

fn measure_all(bench: &Bench, filters: &[String]) -> Outcome<()> {
    let is_wanted = |name: &str| filters.is_empty() || filters.iter().any(|it| name.contains(it.as_str()));
    let load_before = measure::load_average()?;
    let mut findings = Vec::new();
    for (name, workload) in ALL.iter().filter(|(name, _)| is_wanted(name)) {
        eprintln!("{name} …");
        findings.extend(workload(bench).map_err(|error| format!("{name}: {error}"))?);
    }
    if findings.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        return Err(format!("no workload is named like that; there are: {}", names.join(", ")).into());
    }
    table::print(&findings);
    println!(
        "\n{} interleaved rounds; load average {load_before} before, {} after",
        bench.rounds,
        measure::load_average()?
    );
    Ok(())
}
