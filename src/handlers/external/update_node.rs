//! Takes what a foreign runner says of a node. Of an execution that is run here, the same request gives a node that
//! a breakpoint or an operator holds its value.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::caller::Scope;
use super::super::control_execution::{self, control_execution};
use super::super::execution_object::ExecutionObject;
use super::super::present::{self, View};
use super::super::run_diagram::Waiting;
use super::super::{App, Caller};
use super::is_external;
use super::report::{Reported, append};
use crate::clock::Timestamp;
use crate::engine::Status;
use crate::engine::event::{Event, NodeCompleted, NodeError, NodeSkipped, NodeStarted, StoredOutput};
use crate::engine::state::{ExecutionState, NodeState};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::Published;

/// Longest value that is taken, in bytes of JSON (platform.md 14).
const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What became of which node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub execution_id: String,
    /// By id or label.
    pub node_id: String,
    /// running, completed, failed or skipped.
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output: Option<Value>,
    /// Why it failed, or was skipped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Appends the report and returns the execution. A node that runs, or has completed with the same value, may be
/// reported so again. A node that runs again begins another round.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `NODE_NOT_FOUND`, `INVALID_INPUT`, `TOO_LARGE`,
/// `EXECUTION_ENDED`; of an execution that is run here `NOT_PAUSED` unless an operator or a breakpoint holds the node,
/// and what `set_output` says.
pub async fn update_node_state(app: &App, caller: &Caller, request: Request) -> Result<ExecutionObject, Error> {
    caller.require(&[Scope::ExecutionControl])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    let head = app.visible(caller, &id)?;
    let status = status(&request.status)?;
    if !is_external(&head) {
        return give_value(app, caller, request, status).await;
    }
    let mut output = request.output.clone().unwrap_or_default();
    app.scrubber().scrub_value(&mut output);
    if output.to_string().len() > OUTPUT_BYTES_MAX {
        return Err(Error::limit("TOO_LARGE", format!("`output` has more than {OUTPUT_BYTES_MAX} bytes"))
            .hint("keep large values in files"));
    }
    let error = request.error.as_deref().map(|it| app.scrubber().text(it).into_owned());
    let report = Report { status, output: Arc::new(output), error };
    append(app, &id, |state, now| {
        if state.status.has_ended() {
            let message = format!("`{id}` is {}", state.status.name());
            return Err(Error::conflict("EXECUTION_ENDED", message).hint("register another execution"));
        }
        let idx = state.find(&request.node_id).ok_or_else(|| unknown(state, &request.node_id))?;
        Ok(report.events(&state.nodes[idx], now).into_iter().map(|it| (Some(idx), it)).collect::<Vec<Reported>>())
    })
    .await?;
    present::execution(app, &id, &View::of(caller))
}

async fn give_value(app: &App, caller: &Caller, request: Request, status: Status) -> Result<ExecutionObject, Error> {
    let (Status::Completed, Some(value)) = (status, request.output) else {
        let id = &request.execution_id;
        return Err(Error::conflict("NOT_PAUSED", format!("`{id}` is run here: its nodes are not reported"))
            .hint("a node that a breakpoint or an operator holds can be given its value: `completed` with `output`"));
    };
    let control = control_execution::Request {
        execution_id: request.execution_id,
        action: "set_output".to_owned(),
        node: Some(request.node_id),
        value: Some(value),
        wait_seconds: Some(0),
        reason: None,
    };
    control_execution(app, caller, control, Waiting::default()).await
}

fn status(text: &str) -> Result<Status, Error> {
    let taken = [Status::Running, Status::Completed, Status::Failed, Status::Skipped];
    taken.into_iter().find(|it| it.name().eq_ignore_ascii_case(text.trim())).ok_or_else(|| {
        let shown: String = text.chars().filter(|it| !it.is_control()).take(40).collect();
        Error::invalid("INVALID_INPUT", format!("`status` is `{shown}`"))
            .hint("report running, completed, failed or skipped")
    })
}

fn unknown(state: &ExecutionState, reference: &str) -> Error {
    let labels: Vec<&str> = state.nodes.iter().map(|it| it.outline.label.as_str()).collect();
    let shown: String = reference.chars().filter(|it| !it.is_control()).take(80).collect();
    Error::not_found("NODE_NOT_FOUND", format!("the diagram has no node `{shown}`"))
        .hint(format!("its nodes are: {}", labels.join(", ")))
}

/// What a runner said of a node.
struct Report {
    status: Status,
    output: Arc<Value>,
    error: Option<String>,
}

impl Report {
    fn events(&self, node: &NodeState, now: Timestamp) -> Vec<Event> {
        let is_running = node.status == Status::Running;
        let again = node.status == self.status;
        match self.status {
            Status::Running if is_running => Vec::new(),
            Status::Completed if again && node.output.as_deref() == Some(&*self.output) => Vec::new(),
            Status::Failed if again && message_of(node) == self.error.as_deref() => Vec::new(),
            Status::Skipped if again => Vec::new(),
            Status::Skipped => vec![Event::NodeSkipped(NodeSkipped { reason: self.reason("its runner skipped it") })],
            _ => {
                let iteration = if is_running { node.started } else { node.started + 1 };
                let begun = (!is_running).then(|| started(node, iteration));
                let began_at = node.started_at.filter(|_| is_running).unwrap_or(now);
                begun.into_iter().chain(self.end(node, iteration, now.since_ms(began_at))).collect()
            }
        }
    }

    fn end(&self, node: &NodeState, iteration: u32, duration_ms: i64) -> Option<Event> {
        match self.status {
            Status::Completed => Some(Event::NodeCompleted(NodeCompleted {
                iteration,
                attempt: 1,
                output: StoredOutput { body: Arc::clone(&self.output), forms: None },
                handles: Published::default(),
                duration_ms,
                store_ms: 0,
                meta: Map::new(),
                variables: Map::new(),
                exposed: Map::new(),
                warnings: Vec::new(),
            })),
            Status::Failed => {
                let error = self.failure(node, iteration);
                Some(Event::NodeError(NodeError { iteration, error, handled: false, warnings: Vec::new() }))
            }
            _ => None,
        }
    }

    /// The error object of a failed node, as the engine writes it.
    fn failure(&self, node: &NodeState, iteration: u32) -> Value {
        let error = Error::external("NODE_FAILED", self.reason("its runner did not say why"))
            .hint("see what the runner of this execution says");
        let mut object = error.to_json();
        object["node"] = node.outline.label.as_str().into();
        object["node_id"] = node.outline.id.as_str().into();
        object["iteration"] = iteration.into();
        object
    }

    fn reason(&self, otherwise: &str) -> String {
        self.error.clone().filter(|it| !it.trim().is_empty()).unwrap_or_else(|| otherwise.to_owned())
    }
}

fn message_of(node: &NodeState) -> Option<&str> {
    node.error.as_ref().and_then(|it| it.get("message")?.as_str())
}

fn started(node: &NodeState, iteration: u32) -> Event {
    Event::NodeStarted(NodeStarted {
        kind: node.outline.kind.clone(),
        iteration,
        attempt: 1,
        inputs: Default::default(),
        effect: true,
    })
}
