//! The node executions of an execution in the order in which they began: one entry for each round of each node.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::caller::Scope;
use super::execution_object::ShownUsage;
use super::launch::entry;
use super::present::shown_usage;
use super::{App, Caller};
use crate::clock::Timestamp;
use crate::engine::Status;
use crate::engine::event::Event;
use crate::engine::state::usage_of;
use crate::error::Error;
use crate::ids::ExecutionId;

/// Which execution.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub execution_id: String,
}

/// What ran, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub execution_id: String,
    pub status: Status,
    pub nodes: Vec<Step>,
    /// How many entries there are.
    pub total_nodes: usize,
    pub started_at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<String>,
}

/// One round of one node, all its attempts together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    pub node_id: String,
    /// Its label.
    pub node_name: String,
    /// Which of its runs, from 1.
    pub iteration: u32,
    pub status: Status,
    pub started_at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<String>,
    /// Milliseconds from its start to its end, waiting included.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_usage: Option<ShownUsage>,
}

/// Lists what ran.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`; what the database says.
pub async fn execution_order(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    let head = app.visible(caller, &id)?;
    let mut order = Order::default();
    for row in app.store()?.transitions(&id, 0, None)? {
        if let Some(entry) = entry(row)? {
            order.take(entry.node_id.as_deref(), &entry.event, entry.at);
        }
    }
    Ok(Response {
        execution_id: head.execution_id,
        status: head.status,
        total_nodes: order.steps.len(),
        nodes: order.steps.into_iter().map(|(step, _)| step).collect(),
        started_at: head.started_at.to_rfc3339(),
        ended_at: head.ended_at.map(|it| it.to_rfc3339()),
    })
}

/// The fold of a log into its steps.
#[derive(Default)]
struct Order {
    labels: HashMap<String, String>,
    /// Each with the moment it began.
    steps: Vec<(Step, Timestamp)>,
    /// Where the newest round of a node stands in `steps`.
    newest: HashMap<String, usize>,
}

impl Order {
    fn take(&mut self, node: Option<&str>, event: &Event, at: Timestamp) {
        match (event, node) {
            (Event::ExecutionStarted(it), _) => {
                self.labels = it.nodes.iter().map(|it| (it.id.clone(), it.label.clone())).collect();
            }
            (Event::NodeStarted(it), Some(node)) => self.begin(node, it.iteration, at),
            (Event::NodeCompleted(it), Some(node)) => {
                let usage = usage_of(&it.meta).and_then(shown_usage);
                self.end(node, at, |step| (step.status, step.token_usage) = (Status::Completed, usage));
            }
            (Event::NodeError(it), Some(node)) => {
                let usage = it.error.get("details").and_then(Value::as_object).and_then(usage_of);
                self.end(node, at, |step| {
                    (step.status, step.error) = (Status::Failed, Some(it.error.clone()));
                    step.token_usage = usage.and_then(shown_usage);
                });
            }
            (Event::InteractivePrompt(_), Some(node)) => self.change(node, |it| it.status = Status::Paused),
            (Event::InteractiveResponse(_), Some(node)) => self.change(node, |it| it.status = Status::Running),
            (Event::ExecutionCompleted(_) | Event::ExecutionError(_) | Event::ExecutionAborted(_), _) => {
                let is_open = |it: &Step| matches!(it.status, Status::Running | Status::Paused);
                let open: Vec<String> =
                    self.steps.iter().filter(|it| is_open(&it.0)).map(|it| it.0.node_id.clone()).collect();
                open.iter().for_each(|node| self.end(node, at, |it| it.status = Status::Aborted));
            }
            _ => {}
        }
    }

    /// Another attempt of a round, or the same one after a crash, is no step of its own.
    fn begin(&mut self, node: &str, iteration: u32, at: Timestamp) {
        let known = self.newest.get(node).filter(|it| self.steps[**it].0.iteration == iteration).copied();
        if let Some(known) = known {
            let step = &mut self.steps[known].0;
            step.status = Status::Running;
            (step.ended_at, step.duration, step.error) = (None, None, None);
            return;
        }
        self.newest.insert(node.to_owned(), self.steps.len());
        let step = Step {
            node_id: node.to_owned(),
            node_name: self.labels.get(node).cloned().unwrap_or_else(|| node.to_owned()),
            iteration,
            status: Status::Running,
            started_at: at.to_rfc3339(),
            ended_at: None,
            duration: None,
            error: None,
            token_usage: None,
        };
        self.steps.push((step, at));
    }

    fn change(&mut self, node: &str, change: impl FnOnce(&mut Step)) {
        if let Some(at) = self.newest.get(node) {
            change(&mut self.steps[*at].0);
        }
    }

    fn end(&mut self, node: &str, at: Timestamp, change: impl FnOnce(&mut Step)) {
        let Some(found) = self.newest.get(node) else { return };
        let (step, began) = &mut self.steps[*found];
        change(step);
        step.ended_at = Some(at.to_rfc3339());
        step.duration = Some(at.since_ms(*began));
    }
}
