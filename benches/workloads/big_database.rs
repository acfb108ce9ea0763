//! A database of 100,000 executions: how quick lists and results are in it, and how small it gets when all but
//! 1,000 are pruned while another process writes.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use dipeo::clock::Timestamp;
use dipeo::engine::{Batch, Event, Journal, Status, Summary, Transition};
use dipeo::handlers::list_executions::{self, list_executions};
use dipeo::handlers::run_diagram::Waiting;
use dipeo::handlers::see_result::{self, see_result};
use dipeo::handlers::{App, Caller};
use dipeo::ids::ExecutionId;
use dipeo::nodes::memory::Message;
use dipeo::nodes::rights::Origin;
use dipeo::store::{ExecutionKind, ExecutionRow, NewExecution, SavedMessage, Source, Store, TransitionRow};

use crate::cold;
use crate::measure::{Series, timed};
use crate::place::{Place, close, run_to_end};
use crate::table::{Crowded, Figure, Finding, Latencies, Timing};
use crate::{Bench, Outcome, diagrams};

const N_EXECUTIONS: u32 = 100_000;
const N_KEPT: u32 = 1_000;
/// Executions written together; the writer puts as many into one commit.
const N_TOGETHER: u32 = 512;
const N_DIAGRAMS: u32 = 50;
/// Calls of each kind that are measured one by one.
const N_CALLS: u32 = 1_000;
/// Durable writes of the process that goes on, before pruning begins.
const N_WRITES_ALONE: usize = 2_000;
const OWNER: &str = "bench";

/// Lists and results among 100,000 executions, then pruning.
pub fn big_database(bench: &Bench) -> Outcome<Vec<Finding>> {
    let place = Place::new()?;
    let app = place.app("normal")?;
    let (built, took) = timed(|| bench.runtime.block_on(fill(&app)));
    built?;
    bench.runtime.block_on(close(&app));
    drop(app);
    let mut findings = vec![figure("filling the database", format!("{:.1} s", took.as_secs_f64()), "")];
    let mut latest = Series::default();
    let (mut listed, mut started) = (Series::default(), Series::default());
    for _ in 0..bench.rounds {
        latest.0.push(cold::runs(|_| Ok(&place), |place| shows(place, &["results", "--latest"]))?);
        listed.0.push(cold::runs(|_| Ok(&place), |place| shows(place, &["results", "--status", "failed"]))?);
        started.0.push(cold::starts(|| {
            let mut command = place.command();
            command.arg("mcp");
            Ok(command)
        })?);
    }
    findings.push(process("dipeo mcp to tools/list, 100,000 executions", started));
    findings.push(process("results --latest, 100,000 executions", latest));
    findings.push(process("results --status failed, 100,000 executions", listed));
    findings.extend(bench.runtime.block_on(calls(&place))?);
    findings.extend(bench.runtime.block_on(pruned(&place))?);
    Ok(findings)
}

fn process(name: &str, ours: Series) -> Finding {
    Finding::Timing(Timing { name: name.into(), unit: "process", ours, bare: None, goal: "< 20 ms".into() })
}

fn figure(name: &str, value: String, goal: &str) -> Finding {
    Finding::Figure(Figure { name: name.into(), value, goal: goal.into() })
}

fn shows(place: &Place, arguments: &[&str]) -> Outcome<()> {
    let output = place.command().args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() && output.stdout.starts_with(b"exec_") {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// An execution that really ran, to be repeated with other names and times.
struct Template {
    row: ExecutionRow,
    log: Vec<TransitionRow>,
    source: Source,
}

async fn fill(app: &App) -> Outcome<()> {
    let ran = run_to_end(app, &diagrams::run_3()).await?;
    let store = app.store()?;
    let id = ExecutionId::parse(&ran.execution_id)?;
    let row = store.execution(&id)?.ok_or("the run is not stored")?;
    let source = store.source(row.source_sha256.as_deref().unwrap_or_default())?.ok_or("no text")?;
    let template = Template { log: store.transitions(&id, 0, None)?, row, source };
    let mut n = 0;
    while n < N_EXECUTIONS {
        let end = (n + N_TOGETHER).min(N_EXECUTIONS);
        let written = (n..end).map(|n| write(store, &template, n));
        futures_util::future::try_join_all(written).await?;
        n = end;
    }
    Ok(())
}

async fn write(store: &Arc<Store>, template: &Template, n: u32) -> Outcome<()> {
    // One a minute, the last one now.
    let shift_ms = -60_000 * i64::from(N_EXECUTIONS - n);
    let at = |moment: Timestamp| moment.plus_ms(shift_ms);
    let (row, head) = (&template.row, &template.row.head);
    let transition = |it: &TransitionRow| -> Outcome<Transition> {
        let event = Event::parse(&it.phase, &it.payload)?.ok_or("an unknown phase")?;
        let node_id = it.node_id.as_deref().map(Arc::from);
        let created_at = at(it.created_at);
        Ok(Transition { seq: it.seq, node_id, phase: event.phase(), payload: it.payload.clone(), created_at })
    };
    let log = template.log.iter().map(transition).collect::<Outcome<Vec<_>>>()?;
    let (first, rest) = log.split_at(1);
    let new = NewExecution {
        execution_id: id_of(n)?,
        diagram_id: format!("diagram_{}", n % N_DIAGRAMS),
        source: template.source.clone(),
        revision: None,
        origin: Origin::Local,
        kind: ExecutionKind::Run,
        parent: None,
        mode: None,
        rights: row.rights.clone().unwrap_or_default(),
        options: row.options.clone().unwrap_or_default(),
        variables: "{}".to_owned(),
        principal: head.principal.clone(),
        idempotency: None,
        started_at: at(head.started_at),
        owner: Some(OWNER.into()),
        transitions: first.to_vec(),
        messages: Vec::new(),
    };
    store.create_execution(new).await?;
    let ended_at = head.ended_at.map(at);
    let batch = Batch {
        execution_id: id_of(n)?,
        owner: OWNER.into(),
        transitions: rest.to_vec(),
        messages: Vec::new(),
        recordings: Vec::new(),
        carried_out: Vec::new(),
        summary: Summary {
            status: if n.is_multiple_of(10) { Status::Failed } else { Status::Completed },
            pause_reason: None,
            error_code: None,
            ended_at,
            deadline_at: None,
            last_seq: head.last_seq,
            last_activity_at: ended_at.unwrap_or_default(),
        },
        projection: Some(Box::new(row.projection.clone())),
    };
    Ok(store.append(batch).await?.durable().await?)
}

/// Ids are random in life: neighbours in time lie far apart in every index on them.
fn id_of(n: u32) -> Outcome<ExecutionId> {
    let scattered = u64::from(n).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Ok(ExecutionId::parse(&format!("exec_{scattered:016x}{n:016x}"))?)
}

/// Single calls of a process that has just started.
async fn calls(place: &Place) -> Outcome<Vec<Finding>> {
    let app = place.app("full")?;
    let caller = Caller::Terminal { working_dir: place.root() };
    let mut findings = Vec::new();
    let lists = [
        ("list_executions", list_executions::Request::default()),
        (
            "list_executions, one status",
            list_executions::Request { status: Some(Status::Failed), ..Default::default() },
        ),
        (
            "list_executions, one diagram",
            list_executions::Request { diagram: Some("diagram_7".into()), ..Default::default() },
        ),
    ];
    for (name, request) in lists {
        let mut all = Vec::new();
        for _ in 0..N_CALLS / 5 {
            let (found, took) = crate::measure::timed_async(list_executions(&app, &caller, request.clone())).await;
            if found?.executions.len() != 20 {
                return Err("a list of 20 was expected".into());
            }
            all.push(took);
        }
        findings.push(latencies(name, all));
    }
    let mut all = Vec::new();
    for n in 0..N_CALLS {
        let execution_id = id_of(n * (N_EXECUTIONS / N_CALLS))?.to_string();
        let request = see_result::Request { execution_id, ..Default::default() };
        let (found, took) = crate::measure::timed_async(see_result(&app, &caller, request, Waiting::default())).await;
        found?;
        all.push(took);
    }
    findings.push(latencies("see_result, each another one", all));
    close(&app).await;
    Ok(findings)
}

fn latencies(name: &str, all: Vec<Duration>) -> Finding {
    Finding::Latencies(Latencies { name: name.into(), all, goal: "p99 < 20 ms".into() })
}

/// Prunes all but 1,000 in a process of its own, while this one writes durably and runs diagrams.
async fn pruned(place: &Place) -> Outcome<Vec<Finding>> {
    let app = place.app("full")?;
    app.supervisor()?.register().await?;
    let store = Arc::clone(app.store()?);
    let before = store.space()?.file_bytes;
    let mut writes = Writes { store: Arc::clone(&store), n: 0 };
    let mut alone = Vec::new();
    for _ in 0..N_WRITES_ALONE {
        alone.push(writes.one().await?);
    }
    let mut command = place.command();
    command.args(["maintenance", "prune", "--keep", &N_KEPT.to_string(), "--json"]);
    let pruning = std::thread::spawn(move || timed(|| command.output()));
    let (mut beside, mut log_bytes_max, mut n_runs) = (Vec::new(), 0, 0_u32);
    while !pruning.is_finished() {
        beside.push(writes.one().await?);
        log_bytes_max = log_bytes_max.max(store.space()?.log_bytes);
        if beside.len() % 50 == 0 {
            run_to_end(&app, &diagrams::smallest()).await?;
            n_runs += 1;
        }
    }
    let (output, took) = pruning.join().map_err(|_| "pruning panicked")?;
    let output = output?;
    if !output.status.success() {
        return Err(format!("pruning failed: {}", String::from_utf8_lossy(&output.stdout)).into());
    }
    let after = store.space()?;
    close(&app).await;
    let megabytes = |n_bytes: u64| format!("{:.1} MB", n_bytes as f64 / 1e6);
    let share = after.file_bytes as f64 / before as f64 * 100.0;
    Ok(vec![
        Finding::Crowded(Crowded {
            name: format!("durable write beside pruning in another process ({n_runs} runs meanwhile)"),
            alone,
            beside,
            goal: "p99 < 50 ms".into(),
        }),
        figure("pruning 100,000 to 1,000 took", format!("{:.1} s", took.as_secs_f64()), ""),
        figure("file before", megabytes(before), ""),
        figure("file after", format!("{} ({share:.2} %)", megabytes(after.file_bytes)), "< 3 %"),
        figure("largest write-ahead log", megabytes(log_bytes_max), "< 64 MiB"),
        figure("write-ahead log after", megabytes(after.log_bytes), ""),
    ])
}

/// Small durable writes, one after the other.
struct Writes {
    store: Arc<Store>,
    n: u64,
}

impl Writes {
    async fn one(&mut self) -> Outcome<Duration> {
        self.n += 1;
        let message = Message {
            id: format!("bench:{}", self.n),
            seq: self.n,
            from: "bench".to_owned(),
            to: "bench".to_owned(),
            person_id: "bench".to_owned(),
            role: "user".to_owned(),
            content: "x".repeat(256),
            node_id: "n".to_owned(),
            iteration: 1,
            kind: "message".to_owned(),
        };
        let saved = SavedMessage { execution_id: id_of(N_EXECUTIONS - 1)?, message, token_count: None };
        let (written, took) = crate::measure::timed_async(self.store.save_message(saved)).await;
        written?;
        Ok(took)
    }
}
