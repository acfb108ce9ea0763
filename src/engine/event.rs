//! Transitions: what happens to an execution, one row of the log each (diagrams.md 5.3). The log is the
//! truth; everything else about an execution is folded from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::nodes::budget::{self, Amount};
use crate::nodes::report::ItemDone;
use crate::nodes::{Forms, PauseReason, Published, Question};

/// The status of an execution or of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Running,
    Paused,
    Completed,
    Failed,
    Aborted,
    Skipped,
    MaxiterReached,
}

impl Status {
    const ALL: [Self; 8] = [
        Self::Pending,
        Self::Running,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Aborted,
        Self::Skipped,
        Self::MaxiterReached,
    ];

    /// The word stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Skipped => "skipped",
            Self::MaxiterReached => "maxiter_reached",
        }
    }

    /// Reads what [`Status::name`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == text)
    }

    /// Whether an execution of this status has ended.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Aborted)
    }
}

/// One event of an execution.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    ExecutionStarted(ExecutionStarted),
    NodeStarted(NodeStarted),
    NodeCompleted(NodeCompleted),
    NodeOutput(NodeOutput),
    NodeError(NodeError),
    NodeRetry(NodeRetry),
    NodeSkipped(NodeSkipped),
    InteractivePrompt(InteractivePrompt),
    InteractiveResponse(InteractiveResponse),
    ExecutionPaused(ExecutionPaused),
    ExecutionResumed(ExecutionResumed),
    Control(ControlApplied),
    BudgetReserved(BudgetReserved),
    BudgetSettled(BudgetSettled),
    ToolCallStarted(ToolCallStarted),
    ToolCallFinished(ToolCallFinished),
    ExecutionLog(ExecutionLog),
    ExecutionCompleted(Closing),
    ExecutionError(Closing),
    ExecutionAborted(Closing),
}

/// The first event: everything needed to understand the rest without the diagram at hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecutionStarted {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram: Option<String>,
    pub origin: String,
    pub inputs: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub models: Option<String>,
    /// Seconds of running time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout: Option<f64>,
    /// What model calls may spend, scope by scope.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub budgets: Vec<budget::Entry>,
    pub nodes: Vec<NodeOutline>,
    /// Node executions in all when the plan has no loops; what progress is measured against.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
    /// It goes on from a place in another execution: what follows up to `execution_resumed` was copied from there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forked_from: Option<ForkedFrom>,
}

/// The place in another execution from which a fork goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ForkedFrom {
    pub execution_id: String,
    /// Label of the first node that was not taken over.
    pub node: String,
    /// Which run of that node, from 1.
    pub iteration: u32,
}

/// A node as the log names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOutline {
    pub id: String,
    pub label: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Nothing leaves from it: its value is a result in a diagram without endpoints.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub is_last: bool,
}

/// A node took its tokens and starts an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStarted {
    #[serde(rename = "type")]
    pub kind: String,
    pub iteration: u32,
    pub attempt: u32,
    /// Input name to `<node id>:<iteration>` of the completion it came from.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub inputs: BTreeMap<String, String>,
    pub effect: bool,
}

/// A node has a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeCompleted {
    pub iteration: u32,
    pub attempt: u32,
    pub output: StoredOutput,
    pub handles: Published,
    pub duration_ms: i64,
    /// Of `duration_ms` what its effects waited until the start of their attempts was durable.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub store_ms: i64,
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub meta: Map<String, Value>,
    /// `custom_data` of a start.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub variables: Map<String, Value>,
    /// Variables of `expose_index_as`.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub exposed: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<Warning>,
}

/// One item of a batch is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeOutput {
    pub iteration: u32,
    #[serde(flatten)]
    pub item: ItemDone,
}

/// A value as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredOutput {
    pub body: std::sync::Arc<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forms: Option<std::sync::Arc<Forms>>,
}

/// A run warning W6xx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    pub code: String,
    pub node: String,
    pub name: String,
    pub message: String,
}

/// A node failed for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeError {
    pub iteration: u32,
    pub error: Value,
    /// Continued by `on_error: continue`.
    pub handled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<Warning>,
}

/// A failed attempt that is repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeRetry {
    pub iteration: u32,
    /// The attempt that comes next.
    pub attempt: u32,
    pub error: Value,
    pub delay_ms: u64,
}

/// A node that will not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSkipped {
    pub reason: String,
}

/// A node asks and waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InteractivePrompt {
    pub iteration: u32,
    #[serde(flatten)]
    pub question: Question,
}

/// A question was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InteractiveResponse {
    pub iteration: u32,
    pub value: Value,
    /// Who answered, from where: `terminal`, `mcp`, `elicitation`, `ada via task` …; `child` when a child went on
    /// that nobody answered.
    pub by: String,
}

/// Only waiting nodes are left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionPaused {
    pub reason: PauseReason,
    pub waiting_for: Vec<String>,
}

/// It runs again: after an answer, because another process took it over (`by: recovery`), or because somebody
/// opened it again after it had failed or was aborted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionResumed {
    pub by: String,
}

/// A control action was carried out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlApplied {
    pub action: String,
    pub by: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// `set_breakpoints`: ids of the nodes before which the run pauses from now on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub nodes: Vec<String>,
    /// `set_output` of a node that has not started: the value it will have.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    /// The budget that was raised, to these limits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raised: Option<budget::Raise>,
}

impl ControlApplied {
    /// An action without particulars.
    pub fn new(action: &str, by: &str) -> Self {
        Self { action: action.to_owned(), by: by.to_owned(), ..Self::default() }
    }
}

/// A part of the budgets was taken for a call that is about to be made. One that is never settled counts as
/// spent: nobody knows what became of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetReserved {
    pub id: u64,
    /// Whose call it is; absent when a child execution makes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<String>,
    pub amount: Amount,
}

/// What that call really spent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSettled {
    pub id: u64,
    pub spent: Amount,
}

/// A model used a tool on its way to the reply. Both ends of a call are recorded with the reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCallStarted {
    pub call_id: String,
    pub tool: String,
    #[serde(default)]
    pub arguments: Value,
}

/// What the tool gave back, as far as the service tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCallFinished {
    pub call_id: String,
    pub is_error: bool,
    #[serde(default)]
    pub output: Value,
}

/// A line of the run's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionLog {
    pub level: String,
    pub message: String,
}

/// The last event of every execution that has ended, so that a result is one read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    /// Label to value (diagrams.md 5.6).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outputs: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Value>,
    /// Who aborted or completed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    pub total_duration_ms: i64,
    /// Node id to number of executions.
    pub counts: Map<String, Value>,
    pub llm_usage: TokenUsage,
    /// Of each scope with a budget: what it is, and what was spent of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub budgets: Vec<SpentBudget>,
    pub messages_count: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_message: Option<LastMessage>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub handled_errors: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<Warning>,
    /// Labels of nodes that never ran.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub skipped: Vec<String>,
    /// Ids of persons' nodes at whose `max_iteration` a token waits.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub exhausted: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recovered: Option<u64>,
}

/// What a scope might spend and has spent, in the words of a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpentBudget {
    pub scope: budget::Scope,
    pub limit: Map<String, Value>,
    pub spent: Map<String, Value>,
}

/// The newest message of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastMessage {
    pub role: String,
    pub content: String,
    pub node_id: String,
    pub timestamp: String,
}

/// Tokens of a run, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    pub input: u64,
    pub output: u64,
    pub cached: u64,
    pub total: u64,
    /// In US dollars, of the calls whose price is known; `None` when nobody sends a bill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Calls that cost something nobody knows.
    #[serde(skip_serializing_if = "is_none")]
    pub unpriced_calls: u64,
}

fn is_none(n_calls: &u64) -> bool {
    *n_calls == 0
}

fn is_zero(ms: &i64) -> bool {
    *ms == 0
}

impl TokenUsage {
    /// Counts `more` in.
    pub fn add(&mut self, more: Self) {
        self.input += more.input;
        self.output += more.output;
        self.cached += more.cached;
        self.total += more.total;
        self.unpriced_calls += more.unpriced_calls;
        self.cost_usd = match (self.cost_usd, more.cost_usd) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
        };
    }
}

impl Event {
    /// The phase of surface.md 6.1.
    pub fn phase(&self) -> &'static str {
        match self {
            Self::ExecutionStarted(_) => "execution_started",
            Self::NodeStarted(_) => "node_started",
            Self::NodeCompleted(_) => "node_completed",
            Self::NodeOutput(_) => "node_output",
            Self::NodeError(_) => "node_error",
            Self::NodeRetry(_) => "node_retry",
            Self::NodeSkipped(_) => "node_skipped",
            Self::InteractivePrompt(_) => "interactive_prompt",
            Self::InteractiveResponse(_) => "interactive_response",
            Self::ExecutionPaused(_) => "execution_paused",
            Self::ExecutionResumed(_) => "execution_resumed",
            Self::Control(_) => "control",
            Self::BudgetReserved(_) => "budget_reserved",
            Self::BudgetSettled(_) => "budget_settled",
            Self::ToolCallStarted(_) => "tool_call_started",
            Self::ToolCallFinished(_) => "tool_call_finished",
            Self::ExecutionLog(_) => "execution_log",
            Self::ExecutionCompleted(_) => "execution_completed",
            Self::ExecutionError(_) => "execution_error",
            Self::ExecutionAborted(_) => "execution_aborted",
        }
    }

    /// Returns the payload: JSON text that begins with `{"v":1`.
    pub fn payload(&self) -> String {
        let body = match self {
            Self::ExecutionStarted(it) => serde_json::to_string(it),
            Self::NodeStarted(it) => serde_json::to_string(it),
            Self::NodeCompleted(it) => serde_json::to_string(it),
            Self::NodeOutput(it) => serde_json::to_string(it),
            Self::NodeError(it) => serde_json::to_string(it),
            Self::NodeRetry(it) => serde_json::to_string(it),
            Self::NodeSkipped(it) => serde_json::to_string(it),
            Self::InteractivePrompt(it) => serde_json::to_string(it),
            Self::InteractiveResponse(it) => serde_json::to_string(it),
            Self::ExecutionPaused(it) => serde_json::to_string(it),
            Self::ExecutionResumed(it) => serde_json::to_string(it),
            Self::Control(it) => serde_json::to_string(it),
            Self::BudgetReserved(it) => serde_json::to_string(it),
            Self::BudgetSettled(it) => serde_json::to_string(it),
            Self::ToolCallStarted(it) => serde_json::to_string(it),
            Self::ToolCallFinished(it) => serde_json::to_string(it),
            Self::ExecutionLog(it) => serde_json::to_string(it),
            Self::ExecutionCompleted(it) | Self::ExecutionError(it) | Self::ExecutionAborted(it) => {
                serde_json::to_string(it)
            }
        };
        // Every payload is a struct of JSON values, and maps with text keys cannot fail to serialise.
        let body = body.unwrap_or_else(|_| "{}".to_owned());
        if body.len() > 2 { format!("{{\"v\":1,{}", &body[1..]) } else { "{\"v\":1}".to_owned() }
    }

    /// Reads a row of the log; `None` for a phase this version does not use, and for what the original program
    /// wrote: its payloads have no version.
    ///
    /// # Errors
    ///
    /// `Internal` when the payload is not what the phase carries.
    pub fn parse(phase: &str, payload: &str) -> Result<Option<Self>, Error> {
        fn read<'a, T: Deserialize<'a>>(phase: &str, payload: &'a str) -> Result<T, Error> {
            serde_json::from_str(payload)
                .map_err(|e| Error::internal(format!("the log holds a malformed `{phase}`")).source(e))
        }
        if !payload.starts_with("{\"v\":1") {
            return Ok(None);
        }
        Ok(Some(match phase {
            "execution_started" => Self::ExecutionStarted(read(phase, payload)?),
            "node_started" => Self::NodeStarted(read(phase, payload)?),
            "node_completed" => Self::NodeCompleted(read(phase, payload)?),
            "node_output" => Self::NodeOutput(read(phase, payload)?),
            "node_error" => Self::NodeError(read(phase, payload)?),
            "node_retry" => Self::NodeRetry(read(phase, payload)?),
            "node_skipped" => Self::NodeSkipped(read(phase, payload)?),
            "interactive_prompt" => Self::InteractivePrompt(read(phase, payload)?),
            "interactive_response" => Self::InteractiveResponse(read(phase, payload)?),
            "execution_paused" => Self::ExecutionPaused(read(phase, payload)?),
            "execution_resumed" => Self::ExecutionResumed(read(phase, payload)?),
            "control" => Self::Control(read(phase, payload)?),
            "budget_reserved" => Self::BudgetReserved(read(phase, payload)?),
            "budget_settled" => Self::BudgetSettled(read(phase, payload)?),
            "tool_call_started" => Self::ToolCallStarted(read(phase, payload)?),
            "tool_call_finished" => Self::ToolCallFinished(read(phase, payload)?),
            "execution_log" => Self::ExecutionLog(read(phase, payload)?),
            "execution_completed" => Self::ExecutionCompleted(read(phase, payload)?),
            "execution_error" => Self::ExecutionError(read(phase, payload)?),
            "execution_aborted" => Self::ExecutionAborted(read(phase, payload)?),
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_begins_with_its_version_and_reads_back() {
        let question = Question::new(PauseReason::Input, "Name?");
        let events = [
            Event::ExecutionStarted(ExecutionStarted { origin: "local".into(), ..Default::default() }),
            Event::NodeSkipped(NodeSkipped { reason: "branch not taken".into() }),
            Event::InteractivePrompt(InteractivePrompt { iteration: 1, question }),
            Event::ExecutionPaused(ExecutionPaused { reason: PauseReason::Model, waiting_for: vec!["a".into()] }),
            Event::ExecutionCompleted(Closing::default()),
        ];
        for event in events {
            let payload = event.payload();
            assert!(payload.starts_with("{\"v\":1"), "{payload}");
            assert_eq!(Event::parse(event.phase(), &payload).expect("own payload"), Some(event));
        }
    }
}
