//! The execution object: one shape for `run`, `results`, `see_result` on every surface
//! (surface.md 1.4). Absent is absent: nothing is null.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::engine::Status;
use crate::engine::event::ForkedFrom;

/// An execution as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutionObject {
    /// To a model, before anything that a workflow wrote.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data_notice: Option<String>,
    pub execution_id: String,
    /// The same id, under the name the command line guide uses.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session_id: Option<String>,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// Endpoint label to value; without endpoints, the last nodes that completed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outputs: Option<Map<String, Value>>,
    /// The only output, else the map.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub final_output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub executed_nodes_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub messages_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_message: Option<ShownMessage>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub llm_usage: Option<ShownUsage>,
    /// What it may spend and has spent, when something is limited.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget: Option<ShownBudget>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<RunWarning>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pause_reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waiting_for: Vec<Waiting>,
    /// Why it failed: `{code, message, hint?, node, label, iteration, ...}`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Value>,
    /// Failures continued by `on_error: continue`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub handled_errors: Vec<Value>,
    /// Labels of nodes that never ran.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub skipped_nodes: Vec<String>,
    /// How often another process took it over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recovered: Option<u64>,
    /// The execution that started this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_execution_id: Option<String>,
    /// `child`, `launched`, `fork` or `replay`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_relation: Option<String>,
    /// From where in its parent a fork went on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forked_from: Option<ForkedFrom>,
    /// The executions that this one started.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub children: Vec<String>,
    /// Of a replay that has ended: whether the same came out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repeats: Option<Repeated>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub progress: Option<Progress>,
    /// What to do next, as a call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
    /// What was cut, and where to read it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub omitted: Vec<Omitted>,
    // What `detail` and `--verbose` add.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub executed_nodes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_outputs: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nodes: Option<Vec<ShownNode>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conversation: Option<Vec<ShownMessage>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub variables: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exec_counts: Option<Map<String, Value>>,
    /// What happened after `since_seq`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub events: Option<Vec<ShownEvent>>,
    /// The number of the last event shown; the `since_seq` of the next call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_seq: Option<u64>,
    /// With a `cursor`: where the text that was cut goes on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<Part>,
    /// What `inspect` adds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub inspection: Option<Box<Inspection>>,
}

/// An execution as it is inside, and one of its nodes with what it would see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inspection {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<InspectedNode>,
    /// Names that every node sees.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub variables: Map<String, Value>,
    /// Labels of the nodes that start next, if nothing holds them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ready: Vec<String>,
    /// Labels of the nodes that have begun and not completed: they run, wait, or are held.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub under_way: Vec<String>,
    /// Labels of the nodes before which it pauses.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub breakpoints: Vec<String>,
}

/// A node, and what its next or present run sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InspectedNode {
    pub node_id: String,
    pub label: String,
    #[serde(rename = "type")]
    pub node_type: String,
    pub status: Status,
    /// Which of its runs this is, from 1.
    pub iteration: u32,
    /// By name, as far as they have come.
    pub inputs: Map<String, Value>,
    /// Input name to `<label>:<iteration>` of the node it came from.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub sources: Map<String, Value>,
    /// Labels of the nodes that can still bring it something.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waits_for: Vec<String>,
    /// The value that `set_output` gave it: it will not run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub given: Option<Value>,
}

/// How a replay stands to what it repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Repeated {
    /// What was repeated.
    pub execution_id: String,
    /// Status, outputs and the output of every node are the same, ids of executions aside.
    #[serde(rename = "equal")]
    pub is_equal: bool,
    /// `status`, `outputs`, `node LABEL:ITERATION`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub differs: Vec<String>,
}

/// One event of the log, in short; its payload is in `dipeo://executions/{id}/transitions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownEvent {
    pub seq: u64,
    pub phase: String,
    /// Node label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// The code of a failure, the text of a log entry.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    pub at: String,
}

/// A piece of one long text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// As in `omitted`: `output of save`.
    pub what: String,
    /// Characters before this piece.
    pub from: u64,
    /// Characters of the whole.
    pub of: u64,
    pub text: String,
}

/// How far a running execution is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    /// Node executions committed.
    pub done: u64,
    /// Node executions in all; absent when the diagram has loops.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
}

/// A question that waits for somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    pub node_id: String,
    pub label: String,
    /// Given as `node`, names this question and no later one of the node; for nodes that may ask several in a row.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub question: Option<String>,
    /// `input`, `approval`, `model`, `budget` or `operator`.
    pub reason: String,
    pub prompt: String,
    /// `model`: system prompt, memory and prompt as the model is to be sent them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub messages: Vec<Value>,
    /// `model`: who is asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<String>,
    /// JSON Schema the answer must fit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub options: Option<Vec<Value>>,
    /// Only a person may answer, no model.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub human_only: bool,
    /// The child execution that asks; answering here answers it there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution_id: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub since: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deadline: Option<String>,
}

/// A run warning W6xx.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunWarning {
    pub code: String,
    /// Node label; absent when it is about the whole result.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub node: String,
    /// What it is about: the unresolved path, the connection.
    pub name: String,
    pub message: String,
}

/// Tokens of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownUsage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub total_tokens: u64,
    /// In US dollars, of the calls whose price is known; absent when nobody sends a bill.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost_usd: Option<f64>,
    /// Calls that cost something nobody knows: `cost_usd` is without them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unpriced_calls: Option<u64>,
    /// The same by person id, when everything is asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by_person: Option<Map<String, Value>>,
}

/// Budgets in their own words: `usd`, `tokens`, `calls`, `seconds`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownBudget {
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub limit: Map<String, Value>,
    /// Of what is limited.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub spent: Map<String, Value>,
    /// `{limit, spent}` by person id.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub persons: Map<String, Value>,
    /// `{limit, spent}` by node id.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub nodes: Map<String, Value>,
}

/// A message of the conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownMessage {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    pub role: String,
    pub content: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person_id: Option<String>,
    pub node_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iteration: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub timestamp: String,
}

/// A node with what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownNode {
    pub node_id: String,
    pub label: String,
    #[serde(rename = "type")]
    pub node_type: String,
    pub status: Status,
    /// How often it ran.
    pub iterations: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub llm_usage: Option<ShownUsage>,
    /// Who answered its questions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub answers: Vec<ShownAnswer>,
}

/// Who answered one question of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownAnswer {
    /// Which run of the node asked.
    pub iteration: u32,
    /// `terminal`, `mcp`, `elicitation`, `ada via mcp` …
    pub by: String,
    pub at: String,
}

/// Something that was cut from a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Omitted {
    /// `output of save`, `conversation` …
    pub what: String,
    /// Characters or items left out.
    pub count: u64,
    /// Where the whole is.
    pub uri: String,
    /// For `see_result`: goes on where this was cut.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cursor: Option<String>,
}
