//! What the nodes of an execution did, one entry for each run of a node, or the log itself as it is stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::caller::Scope;
use super::execution_messages::{find_node, outlines};
use super::list_executions::checked_limit;
use super::{App, Caller, launch};
use crate::clock::Timestamp;
use crate::engine::Status;
use crate::engine::event::{Event, NodeOutline};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::store::TransitionRow;

/// What to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One entry for each run of a node.
    #[default]
    Nodes,
    /// Every event as it is stored.
    Transitions,
}

/// Which part of the log.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub execution_id: String,
    /// Only this node: its id or label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// Only events after this `seq` (transitions).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<u64>,
    /// At most so many (100, up to 1000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// How many of the first to leave out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<usize>,
}

/// The runs of nodes, in the order in which they began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub logs: Vec<NodeLog>,
    /// How many there are in all that fit.
    pub total: usize,
}

/// The events, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TransitionsResponse {
    pub transitions: Vec<StoredTransition>,
    /// How many there are in all that fit.
    pub total: usize,
}

/// One run of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeLog {
    pub node_id: String,
    pub label: String,
    #[serde(rename = "type")]
    pub node_type: String,
    /// Which of its runs this is, from 1; 0 when it never ran.
    pub iteration: u32,
    pub status: Status,
    /// By name, as the nodes before it published them.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub input: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<i64>,
    /// Attempts after the first.
    pub retry_count: u32,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// One event as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredTransition {
    pub seq: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<String>,
    pub phase: String,
    pub payload: Value,
    pub created_at: String,
}

/// Returns what the nodes did.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `NODE_NOT_FOUND`, `INVALID_INPUT` for a
/// limit out of range.
pub async fn execution_logs(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let Asked { id, node, limit, offset, .. } = Asked::read(app, caller, &request)?;
    let mut book = Book::default();
    for row in app.store()?.transitions(&id, 0, None)? {
        book.take(row)?;
    }
    let all = book.logs.into_iter().filter(|it| node.as_ref().is_none_or(|node| it.node_id == *node));
    let all: Vec<NodeLog> = all.collect();
    let total = all.len();
    let shown = all.into_iter().skip(offset).take(limit).map(|it| scrubbed(app, it));
    Ok(Response { logs: shown.collect(), total })
}

/// Returns the events as they are stored.
///
/// # Errors
///
/// As [`execution_logs`].
pub async fn execution_transitions(app: &App, caller: &Caller, request: Request) -> Result<TransitionsResponse, Error> {
    let Asked { id, node, limit, offset } = Asked::read(app, caller, &request)?;
    let rows = app.store()?.transitions(&id, request.after.unwrap_or(0), None)?.into_iter();
    let rows: Vec<TransitionRow> = rows.filter(|it| node.is_none() || it.node_id.as_ref() == node.as_ref()).collect();
    let total = rows.len();
    let shown = rows.into_iter().skip(offset).take(limit).map(|row| {
        let mut payload: Value = serde_json::from_str(&row.payload).unwrap_or_default();
        app.scrubber().scrub_value(&mut payload);
        let created_at = row.created_at.to_rfc3339();
        StoredTransition { seq: row.seq, node_id: row.node_id, phase: row.phase, payload, created_at }
    });
    Ok(TransitionsResponse { transitions: shown.collect(), total })
}

struct Asked {
    id: ExecutionId,
    node: Option<String>,
    limit: usize,
    offset: usize,
}

impl Asked {
    fn read(app: &App, caller: &Caller, request: &Request) -> Result<Self, Error> {
        caller.require(&[Scope::ExecutionRead])?;
        let id = ExecutionId::parse(&request.execution_id)?;
        let limit = checked_limit(request.limit, 100)?;
        app.visible(caller, &id)?;
        let nodes = outlines(app.store()?, &id)?;
        let node = request.node.as_deref().map(|it| find_node(&nodes, it)).transpose()?;
        Ok(Self { id, node, limit, offset: request.offset.unwrap_or(0) })
    }
}

fn scrubbed(app: &App, mut log: NodeLog) -> NodeLog {
    let scrubber = app.scrubber();
    log.input.values_mut().for_each(|it| scrubber.scrub_value(it));
    [&mut log.output, &mut log.error].into_iter().flatten().for_each(|it| scrubber.scrub_value(it));
    log
}

/// The log, read event by event.
#[derive(Default)]
struct Book {
    nodes: HashMap<String, NodeOutline>,
    logs: Vec<NodeLog>,
    began: HashMap<usize, Timestamp>,
    /// What each run of a node published, by `<node id>:<iteration>`.
    outputs: HashMap<String, Arc<Value>>,
}

impl Book {
    fn take(&mut self, row: TransitionRow) -> Result<(), Error> {
        let Some(entry) = launch::entry(row)? else { return Ok(()) };
        if let Event::ExecutionStarted(it) = &entry.event {
            self.nodes = it.nodes.iter().map(|it| (it.id.clone(), it.clone())).collect();
        }
        let Some(node_id) = entry.node_id else { return Ok(()) };
        self.of_node(&node_id, entry.event, entry.at);
        Ok(())
    }

    fn of_node(&mut self, node_id: &str, event: Event, at: Timestamp) {
        match event {
            Event::NodeStarted(it) => self.begin(node_id, it.iteration, &it.inputs, at),
            Event::NodeCompleted(it) => {
                self.outputs.insert(format!("{node_id}:{}", it.iteration), Arc::clone(&it.output.body));
                if let Some(log) = self.end(node_id, it.iteration, Status::Completed, at) {
                    log.duration_ms = Some(it.duration_ms);
                    log.output = Some(Value::clone(&it.output.body));
                }
            }
            Event::NodeError(it) => {
                if let Some(log) = self.end(node_id, it.iteration, Status::Failed, at) {
                    log.error = Some(it.error);
                }
            }
            Event::NodeRetry(it) => {
                if let Some(at) = self.find(node_id, it.iteration) {
                    self.logs[at].retry_count += 1;
                }
            }
            Event::NodeSkipped(it) => {
                let skipped = self.entry(node_id, 0, Status::Skipped);
                self.logs.push(NodeLog { reason: Some(it.reason), ..skipped });
            }
            Event::InteractivePrompt(it) => self.set_status(node_id, it.iteration, Status::Paused),
            Event::InteractiveResponse(it) => self.set_status(node_id, it.iteration, Status::Running),
            _ => {}
        }
    }

    fn begin(&mut self, node_id: &str, iteration: u32, inputs: &BTreeMap<String, String>, at: Timestamp) {
        let known = self.find(node_id, iteration);
        let place = known.unwrap_or_else(|| {
            self.logs.push(self.entry(node_id, iteration, Status::Running));
            self.logs.len() - 1
        });
        // A further attempt, or one after a failure that was repaired, belongs to the same run.
        self.began.entry(place).or_insert(at);
        let input = inputs
            .iter()
            .filter_map(|(name, source)| self.outputs.get(source).map(|it| (name.clone(), Value::clone(it))));
        let input = input.collect();
        let log = &mut self.logs[place];
        (log.status, log.error, log.completed_at, log.input) = (Status::Running, None, None, input);
        log.started_at.get_or_insert_with(|| at.to_rfc3339());
    }

    fn end(&mut self, node_id: &str, iteration: u32, status: Status, at: Timestamp) -> Option<&mut NodeLog> {
        let place = self.find(node_id, iteration)?;
        let began = self.began.get(&place).copied();
        let log = &mut self.logs[place];
        log.status = status;
        log.completed_at = Some(at.to_rfc3339());
        log.duration_ms = began.map(|it| at.since_ms(it));
        Some(log)
    }

    fn set_status(&mut self, node_id: &str, iteration: u32, status: Status) {
        if let Some(place) = self.find(node_id, iteration) {
            self.logs[place].status = status;
        }
    }

    fn find(&self, node_id: &str, iteration: u32) -> Option<usize> {
        self.logs.iter().rposition(|it| it.node_id == node_id && it.iteration == iteration)
    }

    fn entry(&self, node_id: &str, iteration: u32, status: Status) -> NodeLog {
        let known = self.nodes.get(node_id);
        NodeLog {
            node_id: node_id.to_owned(),
            label: known.map_or(node_id, |it| &it.label).to_owned(),
            node_type: known.map(|it| it.kind.clone()).unwrap_or_default(),
            iteration,
            status,
            input: Map::new(),
            output: None,
            error: None,
            started_at: None,
            completed_at: None,
            duration_ms: None,
            retry_count: 0,
            reason: None,
        }
    }
}
