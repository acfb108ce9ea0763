//! Turns a stored execution back into something that can run: source to plan, rows to log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::supervisor::Supervisor;
use super::surroundings::World;
use crate::clock::Clock;
use crate::compile::{Compiled, Plan};
use crate::diagram::{Format, Service};
use crate::engine::event::{Closing, Event, ExecutionStarted, NodeOutline, Status};
use crate::engine::journal::{Batch, Journal, Recording, Summary, Transition};
use crate::engine::run::{Launch, LogEntry, Mode, Recorded, RunOptions};
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::meter;
use crate::nodes::Rights;
use crate::nodes::budget::{Entry, Ledger, Limit, Scope};
use crate::nodes::memory::Message;
use crate::store::{ExecutionRow, Source, Store, TransitionRow};

/// What of a run's options is stored with it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StoredOptions {
    /// Seconds of running time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub models: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub strict: bool,
    /// `full`, `mock` or `debug`; absent = full.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub breakpoints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base_dir: Option<PathBuf>,
    /// Executions above this one.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub depth: u32,
    /// How many of its parent's messages a child began with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub inherits: Option<usize>,
    /// Whether what its nodes heard from outside was kept.
    #[serde(rename = "recorded", skip_serializing_if = "std::ops::Not::not", default)]
    pub is_recorded: bool,
    /// The execution whose recordings answer this one: never itself a replay.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replay_of: Option<String>,
    /// What the run's model calls may spend: of the diagram's budget and that of whoever started it the smaller.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget: Option<Limit>,
    /// Whether its parent pays as well.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub paid_above: bool,
    /// How often each node may run, if the caller said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_iterations: Option<u32>,
    /// Prompt and schema files as they were when the run began.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub texts: BTreeMap<String, String>,
}

fn is_zero(depth: &u32) -> bool {
    *depth == 0
}

impl StoredOptions {
    /// Reads those of an execution.
    pub(super) fn of(row: &ExecutionRow) -> Self {
        row.options.as_deref().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default()
    }

    /// The options as the engine takes them.
    pub fn to_run_options(&self) -> RunOptions {
        RunOptions {
            timeout: self.timeout.and_then(|it| Duration::try_from_secs_f64(it).ok()),
            models: self.models.as_deref().and_then(Service::parse),
            strict: self.strict,
            mode: self.mode.as_deref().and_then(Mode::parse).unwrap_or_default(),
            breakpoints: self.breakpoints.clone(),
            depth: self.depth,
            node_iterations: self.max_iterations,
            is_recorded: self.is_recorded,
        }
    }
}

/// The first event of an execution of `compiled`.
pub fn first_event(
    compiled: &Compiled,
    options: &StoredOptions,
    rights: &Rights,
    diagram: &str,
    inputs: serde_json::Map<String, serde_json::Value>,
) -> ExecutionStarted {
    let plan = compiled.plan.as_ref();
    let nodes = plan.map_or_else(Vec::new, |plan| {
        plan.nodes
            .iter()
            .enumerate()
            .map(|(idx, node)| NodeOutline {
                id: node.id.to_string(),
                label: node.label.to_string(),
                kind: node.kind.name().to_owned(),
                is_last: plan.graph.outgoing(idx).is_empty(),
            })
            .collect()
    });
    let total = plan.filter(|it| it.graph.loops().is_empty()).map(|it| it.nodes.len() as u64);
    ExecutionStarted {
        diagram: Some(diagram.to_owned()),
        origin: rights.origin.name().to_owned(),
        inputs,
        models: options.models.clone(),
        timeout: options.timeout,
        budgets: plan.map_or_else(Vec::new, |it| budgets(it, options)),
        nodes,
        total,
        forked_from: None,
    }
}

/// The budgets of a run: its own, those of its persons and those of its nodes.
fn budgets(plan: &Plan, options: &StoredOptions) -> Vec<Entry> {
    let of_persons =
        plan.persons.iter().filter_map(|it| Some((Scope::Person(it.id.clone()), Limit::of(it.budget.as_ref()?))));
    let of_nodes = plan
        .nodes
        .iter()
        .filter_map(|it| Some((Scope::Node(it.id.to_string()), Limit::of(it.policy.budget.as_ref()?))));
    let run = (Scope::Run, options.budget.unwrap_or_default());
    let all = std::iter::once(run).chain(of_persons).chain(of_nodes);
    // A replay spends nothing; its calls are those of a limited run all the same.
    let all = all.map(|(scope, limit)| (scope, if options.replay_of.is_some() { limit.lifted() } else { limit }));
    Ledger::new(all).entries().to_vec()
}

/// Reads everything a run needs from the store.
///
/// # Errors
///
/// `EXECUTION_NOT_FOUND`, `INTERRUPTED` when the stored source does not compile any more.
pub fn from_store(
    store: &Arc<Store>,
    supervisor: &Arc<Supervisor>,
    execution_id: &ExecutionId,
) -> Result<Launch, Error> {
    let row = store
        .execution(execution_id)?
        .ok_or_else(|| Error::not_found("EXECUTION_NOT_FOUND", format!("there is no execution `{execution_id}`")))?;
    let options = StoredOptions::of(&row);
    let rights = rights_of(&row)?;
    let (_, compiled) = recompile(store, supervisor, &row, &options, &rights)?;
    let plan = compiled.plan.ok_or_else(|| Error::internal("a diagram without an error has no plan"))?;
    let recorded = recorded(store, &options)?;
    let log = store.transitions(execution_id, 0, None)?.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let messages = messages_of(store, execution_id, None)?;
    Ok(Launch {
        execution_id: execution_id.clone(),
        owner: Arc::clone(supervisor.owner()),
        plan: Arc::new(plan),
        rights: Arc::new(rights),
        options: options.to_run_options(),
        log: log.into_iter().flatten().collect(),
        messages,
        recorded,
        above: options.paid_above.then(|| supervisor.above(execution_id)),
        on_token: None,
        awaits_order: awaits_order(store, execution_id)?,
    })
}

/// Whether the first thing asked of an execution decides whether anything may start in it.
fn awaits_order(store: &Store, execution_id: &ExecutionId) -> Result<bool, Error> {
    let first = store.pending_controls(execution_id)?.into_iter().next();
    Ok(first.is_some_and(|it| matches!(it.action.as_str(), "pause" | "abort" | "complete" | "set_breakpoints")))
}

/// Returns what an execution remembers, in order: what it inherited, then its own conversation with that of its
/// children where they completed. With `count` only the first so many.
///
/// # Errors
///
/// What the database says.
pub(super) fn messages_of(
    store: &Store,
    execution_id: &ExecutionId,
    count: Option<usize>,
) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    let row = store.execution(execution_id)?;
    let options: StoredOptions =
        row.as_ref().and_then(|it| serde_json::from_str(it.options.as_deref()?).ok()).unwrap_or_default();
    let parent = row.and_then(|it| it.head.parent_execution_id);
    if let (Some(inherits), Some(parent)) = (options.inherits, parent) {
        messages = messages_of(store, &ExecutionId::parse(&parent)?, Some(inherits))?;
    }
    messages.extend(own_messages(store, execution_id)?);
    messages.truncate(count.unwrap_or(usize::MAX));
    Ok(messages)
}

/// Returns what an execution and its children said, in the order of the completions.
///
/// # Errors
///
/// What the database says.
pub(super) fn own_messages(store: &Store, execution_id: &ExecutionId) -> Result<Vec<Message>, Error> {
    let stored = store.get_execution_messages(execution_id, None, None)?.into_iter().map(|it| it.message);
    // What a fork took over may name children of the execution it came from.
    let is_fork = || Ok::<_, Error>(store.head(execution_id)?.is_some_and(|it| it.is_fork()));
    if store.children(execution_id)?.is_empty() && !is_fork()? {
        return Ok(stored.collect());
    }
    let mut by_node: HashMap<(String, u32), Vec<Message>> = HashMap::new();
    for message in stored {
        by_node.entry((message.node_id.clone(), message.iteration)).or_default().push(message);
    }
    let mut messages = Vec::new();
    for row in store.transitions(execution_id, 0, None)? {
        let Some(LogEntry { node_id: Some(node), event: Event::NodeCompleted(it), .. }) = entry(row)? else { continue };
        messages.extend(by_node.remove(&(node, it.iteration)).unwrap_or_default());
        for child in it.meta.get("children").and_then(Value::as_array).into_iter().flatten() {
            let child = ExecutionId::parse(child.as_str().unwrap_or_default())?;
            messages.extend(own_messages(store, &child)?);
        }
    }
    Ok(messages)
}

/// What the diagram of an execution may do.
///
/// # Errors
///
/// `INTERNAL` when that is not stored as it should be.
pub(super) fn rights_of(row: &ExecutionRow) -> Result<Rights, Error> {
    serde_json::from_str(row.rights.as_deref().unwrap_or_default())
        .map_err(|e| Error::internal("the stored rights of the execution are malformed").source(e))
}

/// Reads what answers a replay; `None` for every other execution.
///
/// # Errors
///
/// `NOT_RECORDED` when what it repeats is gone; what the database says.
pub(super) fn recorded(store: &Store, options: &StoredOptions) -> Result<Option<Recorded>, Error> {
    let Some(source) = &options.replay_of else { return Ok(None) };
    let source = ExecutionId::parse(source)?;
    let log = store.transitions(&source, 0, None)?.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    if log.is_empty() {
        return Err(Error::not_found("NOT_RECORDED", format!("`{source}`, which this execution repeats, is deleted"))
            .hint("start the diagram again"));
    }
    let recordings = recordings_of(store, &source)?;
    Ok(Some(Recorded::new(source, log.into_iter().flatten().collect(), recordings)))
}

/// What an execution heard; a fork also what was heard before it parted.
fn recordings_of(store: &Store, source: &ExecutionId) -> Result<Vec<Recording>, Error> {
    let mut recordings = store.recordings(source)?;
    let head = store.head(source)?.filter(|it| it.parent_relation.as_deref() == Some("fork"));
    if let Some(parent) = head.and_then(|it| it.parent_execution_id) {
        let round = |it: &Recording| (it.node_id.to_string(), it.iteration);
        let own: HashSet<_> = recordings.iter().map(round).collect();
        let before = recordings_of(store, &ExecutionId::parse(&parent)?)?;
        recordings.extend(before.into_iter().filter(|it| !own.contains(&round(it))));
    }
    Ok(recordings)
}

/// Compiles what an execution runs once more, with the files that it was compiled with.
///
/// # Errors
///
/// `INTERRUPTED` when its text is gone or does not compile any more.
pub(super) fn recompile(
    store: &Store,
    supervisor: &Supervisor,
    row: &ExecutionRow,
    options: &StoredOptions,
    rights: &Rights,
) -> Result<(Source, Compiled), Error> {
    let interrupted = |what: String| {
        Error::external("INTERRUPTED", what).hint("start the diagram again; what was committed is still in its log")
    };
    let sha256 = row.source_sha256.as_deref().unwrap_or_default();
    let source = store.source(sha256)?.ok_or_else(|| interrupted("the text of its diagram is not stored".into()))?;
    let world = World {
        needs_no_keys: true,
        began_before: true,
        read: Mutex::new(options.texts.clone()),
        ..World::new(supervisor, options.base_dir.clone(), rights.clone())
    };
    let compiled = supervisor.parsed.compile(&source.content, Format::parse(&source.format), &world);
    if compiled.plan.is_none() {
        let first = compiled.diagnostics.first().map(|it| format!("{} {}", it.code, it.message)).unwrap_or_default();
        return Err(interrupted(format!("its diagram does not compile any more: {first}")));
    }
    Ok((source, compiled))
}

/// Reads one row of the log; rows of phases this version does not use are passed over.
///
/// # Errors
///
/// `INTERNAL` for a malformed row.
pub fn entry(row: TransitionRow) -> Result<Option<LogEntry>, Error> {
    Ok(Event::parse(&row.phase, &row.payload)?.map(|event| LogEntry {
        seq: row.seq,
        node_id: row.node_id,
        event,
        at: row.created_at,
    }))
}

/// Folds the rows of an execution.
///
/// # Errors
///
/// As [`entry`].
pub fn fold(state: &mut ExecutionState, rows: Vec<TransitionRow>) -> Result<u64, Error> {
    let mut last_seq = 0;
    for row in rows {
        last_seq = row.seq;
        if let Some(entry) = entry(row)? {
            let node = entry.node_id.as_deref().and_then(|it| state.node_idx(it));
            state.apply(&entry.event, node, entry.at);
        }
    }
    Ok(last_seq)
}

/// Ends an execution that cannot go on, visibly.
///
/// # Errors
///
/// What the database says.
pub async fn give_up(
    store: &Arc<Store>,
    supervisor: &Supervisor,
    clock: &dyn Clock,
    execution_id: &ExecutionId,
    error: &Error,
) -> Result<(), Error> {
    let mut state = ExecutionState::new();
    let last_seq = fold(&mut state, store.transitions(execution_id, 0, None)?)?;
    let now = clock.now();
    let closing = Closing {
        error: Some(error.to_json()),
        outputs: Some(state.outputs()),
        counts: state.counts(),
        llm_usage: state.usage,
        warnings: state.warnings.clone(),
        handled_errors: state.handled_errors.clone(),
        total_duration_ms: now.since_ms(state.started_at),
        ..Closing::default()
    };
    let event = Event::ExecutionError(closing);
    state.apply(&event, None, now);
    let batch = Batch {
        execution_id: execution_id.clone(),
        owner: Arc::clone(supervisor.owner()),
        transitions: vec![Transition {
            seq: last_seq + 1,
            node_id: None,
            phase: event.phase(),
            payload: event.payload(),
            created_at: now,
        }],
        messages: Vec::new(),
        recordings: Vec::new(),
        carried_out: Vec::new(),
        summary: Summary {
            status: Status::Failed,
            pause_reason: None,
            error_code: Some(error.code().to_owned()),
            ended_at: Some(now),
            deadline_at: None,
            last_seq: last_seq + 1,
            last_activity_at: now,
        },
        projection: Some(Box::new(state.projection())),
    };
    if let Some(meters) = meter::on() {
        meters.execution_ended(meter::End::Failed, state.running_ms);
    }
    store.append(batch).await?.durable().await
}
