//! How long an execution took and where the time went, computed from its log: every execution has metrics.

mod findings;
mod paths;
mod runs;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::runs::{Phases, Ran, Runs};
use super::caller::Scope;
use super::{App, Caller, launch, present};
use crate::diagram::{Format, parse};
use crate::engine::Status;
use crate::engine::event::TokenUsage;
use crate::engine::run::LogEntry;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::secret::Scrubber;
use crate::store::Store;

/// Which execution.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub execution_id: String,
}

/// The metrics of an execution. Those of one that still runs go up to the present moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub execution_id: String,
    pub status: Status,
    /// From its start to its end, pauses included.
    pub total_duration_ms: i64,
    /// Runs of nodes, each iteration counted.
    pub node_count: u64,
    /// What the execution spent itself: what a fork took over was paid for elsewhere.
    pub total_token_usage: Tokens,
    /// Runs above a tenth of the whole or above a second, the longest first.
    pub bottlenecks: Vec<Step>,
    /// The longest chain of runs of which each needed the one before it.
    pub critical_path: Vec<Step>,
    /// How many runs that chain has.
    pub critical_path_length: u64,
    /// How long that chain took without waiting for a place: no run of this diagram can be faster.
    pub critical_path_ms: i64,
    /// Ids of nodes that need nothing from each other.
    pub parallelizable_groups: Vec<Vec<String>>,
    /// What could be better.
    pub optimizations: Vec<Finding>,
    /// Every run of a node, in the order of their start.
    pub node_breakdown: Vec<NodeMetrics>,
}

/// Tokens, and what they cost where that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
    pub total: u64,
    /// In US dollars.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost_usd: Option<f64>,
}

/// A run of a node, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub node_id: String,
    pub label: String,
    pub node_type: String,
    pub iteration: u32,
    pub duration_ms: i64,
}

/// A run of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeMetrics {
    pub node_id: String,
    pub label: String,
    pub node_type: String,
    pub iteration: u32,
    pub duration_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_usage: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<NodeFailure>,
    /// Taken over by a fork: it ran in another execution.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub copied: bool,
    pub module_timings: Timings,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeFailure {
    pub code: String,
    pub message: String,
}

/// Where the time of a run went, in milliseconds. `queue` and `inputs` lie before its start, the others add up to
/// its duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// From its last input to its start, while the execution ran.
    pub queue: i64,
    /// From its first input to the last thing it had to wait for: another input, its own round before.
    pub inputs: i64,
    /// The node itself.
    pub effect: i64,
    /// Until its start was on the disk; only nodes with an effect outside wait for that.
    pub store: i64,
    /// Until somebody answered.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub waiting: i64,
    /// Between two attempts, or between two processes.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub idle: i64,
}

fn is_zero(ms: &i64) -> bool {
    *ms == 0
}

/// Something that could be better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub kind: FindingKind,
    /// What it is and what to do, with the labels of the nodes.
    pub message: String,
    /// Ids of the nodes.
    pub nodes: Vec<String>,
    /// At most so much of the time could be saved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub saves_ms: Option<i64>,
}

/// What could be better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A node waited for a place while others ran of which it needs nothing.
    OneAfterAnother,
    /// The same model was asked the same more than once.
    RepeatedCall,
    /// The value of a node goes nowhere.
    UnusedOutput,
}

/// Returns the metrics of an execution.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, what the database says.
pub async fn execution_metrics(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    let head = app.visible(caller, &id)?;
    let store = app.store()?;
    let log = store.transitions(&id, 0, None)?.into_iter().map(launch::entry).collect::<Result<Vec<_>, _>>()?;
    let log: Vec<LogEntry> = log.into_iter().flatten().collect();
    let runs = runs::fold(&log, &connections(store, &id)?, head.started_at, app.clock.now());
    let runs = Runs { status: head.status, ..runs };
    let optimizations = findings::findings(&runs, &store.recordings(&id)?);
    Ok(response(&id, &runs, optimizations, app.scrubber()))
}

/// The connections of the diagram that ran, as pairs of node ids; none when its text is not stored any more.
fn connections(store: &Store, id: &ExecutionId) -> Result<Vec<(String, String)>, Error> {
    let sha256 = store.execution(id)?.and_then(|it| it.source_sha256);
    let source = sha256.as_deref().map_or(Ok(None), |it| store.source(it))?;
    let diagram = source.and_then(|it| parse(&it.content, Format::parse(&it.format)).diagram);
    let Some(diagram) = diagram else { return Ok(Vec::new()) };
    let id = |node: usize| diagram.nodes[node].id.clone();
    Ok(diagram.connections.iter().map(|it| (id(it.from), id(it.to))).collect())
}

fn response(id: &ExecutionId, runs: &Runs, optimizations: Vec<Finding>, scrubber: &Scrubber) -> Response {
    let steps = |chosen: &[usize]| chosen.iter().map(|it| step(runs, &runs.all[*it])).collect::<Vec<_>>();
    let path = paths::critical_path(&runs.all);
    let mut total = TokenUsage::default();
    runs.all.iter().filter(|it| !it.is_copied).for_each(|it| total.add(it.tokens));
    let groups = paths::parallel_groups(&runs.all).into_iter();
    Response {
        execution_id: id.to_string(),
        status: runs.status,
        total_duration_ms: runs.total_ms,
        node_count: runs.all.len() as u64,
        total_token_usage: total.into(),
        bottlenecks: steps(&findings::bottlenecks(runs)),
        critical_path: steps(&path),
        critical_path_length: path.len() as u64,
        critical_path_ms: path.iter().map(|it| runs.all[*it].duration_ms).fold(0, i64::saturating_add),
        parallelizable_groups: groups
            .map(|group| group.into_iter().map(|it| runs.nodes[it].id.clone()).collect())
            .collect(),
        optimizations,
        node_breakdown: runs.all.iter().map(|it| node_metrics(runs, it, scrubber)).collect(),
    }
}

fn step(runs: &Runs, run: &Ran) -> Step {
    let node = &runs.nodes[run.node];
    Step {
        node_id: node.id.clone(),
        label: node.label.clone(),
        node_type: node.kind.clone(),
        iteration: run.iteration,
        duration_ms: run.duration_ms,
    }
}

fn node_metrics(runs: &Runs, run: &Ran, scrubber: &Scrubber) -> NodeMetrics {
    let Step { node_id, label, node_type, iteration, duration_ms } = step(runs, run);
    let spent = present::shown_usage(run.tokens).is_some();
    NodeMetrics {
        node_id,
        label,
        node_type,
        iteration,
        duration_ms,
        token_usage: spent.then(|| run.tokens.into()),
        error: run.error.as_ref().map(|it| failure(it, scrubber)),
        copied: run.is_copied,
        module_timings: run.phases.into(),
    }
}

fn failure(error: &Value, scrubber: &Scrubber) -> NodeFailure {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    NodeFailure { code: text("code").to_owned(), message: scrubber.text(text("message")).into_owned() }
}

impl From<TokenUsage> for Tokens {
    fn from(it: TokenUsage) -> Self {
        Self { input: it.input, output: it.output, total: it.total, cost_usd: it.cost_usd.map(present::rounded) }
    }
}

impl From<Phases> for Timings {
    fn from(it: Phases) -> Self {
        let Phases { queue, inputs, effect, store, waiting, idle } = it;
        Self { queue, inputs, effect, store, waiting, idle }
    }
}
