//! The shapes in which Tool Hub shows workflows and executions, made from ours.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::compile::report::{DiagnosticReport, Report};
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::diagram_revisions::Revision;
use crate::handlers::execution_logs::NodeLog;
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::list_executions::ListedExecution;
use crate::handlers::read_diagram;

/// A diagram.
#[derive(Serialize, JsonSchema)]
pub struct Workflow {
    pub id: String,
    pub name: String,
    pub description: String,
    /// `{id, type, data, position}`
    pub nodes: Vec<Value>,
    /// `{id, source, target, sourceHandle, targetHandle}`
    pub edges: Vec<Value>,
    pub created_at: String,
    pub updated_at: String,
    pub version: u64,
}

/// Diagrams.
#[derive(Serialize, JsonSchema)]
pub struct Workflows {
    pub workflows: Vec<Workflow>,
    pub total: u64,
    pub limit: usize,
    pub offset: usize,
}

impl Workflow {
    /// Shows a diagram.
    pub fn of(read: read_diagram::Response) -> Self {
        let diagram = read.diagram.unwrap_or_default();
        Self {
            id: read.name.clone(),
            name: read.name,
            description: read.description.unwrap_or_default(),
            nodes: diagram["nodes"].as_object().into_iter().flatten().map(node).collect(),
            edges: diagram["arrows"].as_array().into_iter().flatten().map(edge).collect(),
            created_at: read.created_at,
            updated_at: read.updated_at,
            version: read.revision,
        }
    }
}

fn node((id, node): (&String, &Value)) -> Value {
    let position = node.get("position").cloned().unwrap_or_else(|| json!({"x": 0, "y": 0}));
    json!({"id": id.trim(), "type": node["type"], "data": node["data"], "position": position})
}

/// The two ends of an arrow are names of handles: `<node>_<handle>_<direction>`.
fn edge(arrow: &Value) -> Value {
    let end = |key: &str| {
        let text = arrow[key].as_str().unwrap_or_default();
        let (rest, _) = text.rsplit_once('_').unwrap_or((text, ""));
        let (node, handle) = rest.rsplit_once('_').unwrap_or((rest, "default"));
        (node.to_owned(), handle.to_owned())
    };
    let ((source, source_handle), (target, target_handle)) = (end("source"), end("target"));
    json!({
        "id": arrow["id"],
        "source": source,
        "target": target,
        "sourceHandle": source_handle,
        "targetHandle": target_handle,
    })
}

/// What compiling said.
#[derive(Serialize, JsonSchema)]
pub struct Validity {
    pub valid: bool,
    pub errors: Vec<Problem>,
}

/// One error.
#[derive(Serialize, JsonSchema)]
pub struct Problem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    pub message: String,
    pub code: String,
    pub line: u32,
}

impl Validity {
    /// Shows a report.
    pub fn of(report: Report) -> Self {
        let problem =
            |it: DiagnosticReport| Problem { node_id: it.node_id, message: it.message, code: it.code, line: it.line };
        Self { valid: report.valid, errors: report.errors.into_iter().map(problem).collect() }
    }
}

/// A revision.
#[derive(Serialize, JsonSchema)]
pub struct Version {
    /// `NAME@N`
    pub id: String,
    pub workflow_id: String,
    pub version_number: u64,
    pub message: String,
    pub created_at: String,
}

/// Revisions, newest first.
#[derive(Serialize, JsonSchema)]
pub struct Versions {
    pub versions: Vec<Version>,
    pub total: u64,
    pub limit: usize,
    pub offset: usize,
}

impl Version {
    /// Shows a revision of a diagram.
    pub fn of(name: &str, revision: Revision) -> Self {
        Self {
            id: format!("{name}@{}", revision.n),
            workflow_id: name.to_owned(),
            version_number: revision.n,
            message: revision.message,
            created_at: revision.created_at,
        }
    }
}

/// An execution that was just started.
#[derive(Serialize, JsonSchema)]
pub struct Run {
    pub id: String,
    pub execution_id: String,
    pub workflow_id: String,
    pub status: Status,
    pub mode: String,
    pub trigger_type: String,
    pub trigger_id: Option<String>,
    pub input: Map<String, Value>,
    pub created_at: String,
    pub started_at: String,
}

impl Run {
    /// Shows an execution that was asked for like this.
    pub fn of(execution: ExecutionObject, mode: Option<String>, input: Map<String, Value>) -> Self {
        let started_at = execution.started_at.unwrap_or_default();
        Self {
            id: execution.execution_id.clone(),
            execution_id: execution.execution_id,
            workflow_id: execution.diagram_id.unwrap_or_default(),
            status: execution.status,
            mode: mode.unwrap_or_else(|| "full".to_owned()),
            trigger_type: "api".to_owned(),
            trigger_id: None,
            input,
            created_at: started_at.clone(),
            started_at,
        }
    }
}

/// An execution in a list.
#[derive(Serialize, JsonSchema)]
pub struct ListedRun {
    pub id: String,
    pub execution_id: String,
    pub workflow_id: String,
    pub status: Status,
    pub started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Executions, newest first.
#[derive(Serialize, JsonSchema)]
pub struct Runs {
    pub executions: Vec<ListedRun>,
    pub total: u64,
    pub limit: usize,
    pub offset: usize,
}

impl ListedRun {
    /// Shows an execution.
    pub fn of(listed: ListedExecution) -> Self {
        Self {
            id: listed.execution_id.clone(),
            execution_id: listed.execution_id,
            workflow_id: listed.diagram_id.unwrap_or_default(),
            status: listed.status,
            started_at: listed.started_at,
            completed_at: listed.ended_at,
            duration_ms: listed.duration_ms,
            error: listed.error_code,
        }
    }
}

/// An execution with what its nodes did.
#[derive(Serialize, JsonSchema)]
pub struct RunDetail {
    #[serde(flatten)]
    pub run: ListedRun,
    pub output: Option<Value>,
    pub node_logs: Vec<NodeLog>,
    pub total_tokens: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub estimated_cost: f64,
}

impl RunDetail {
    /// Shows an execution.
    pub fn of(execution: ExecutionObject, node_logs: Vec<NodeLog>) -> Self {
        let usage = execution.llm_usage.unwrap_or_default();
        let message = execution.error.as_ref().and_then(|it| it["message"].as_str()).map(str::to_owned);
        Self {
            run: ListedRun {
                id: execution.execution_id.clone(),
                execution_id: execution.execution_id,
                workflow_id: execution.diagram_id.unwrap_or_default(),
                status: execution.status,
                started_at: execution.started_at.unwrap_or_default(),
                completed_at: execution.ended_at,
                duration_ms: execution.duration_ms,
                error: message,
            },
            output: execution.final_output,
            node_logs,
            total_tokens: usage.total_tokens,
            prompt_tokens: usage.input_tokens,
            completion_tokens: usage.output_tokens,
            estimated_cost: usage.cost_usd.unwrap_or_default(),
        }
    }
}

/// What the nodes did.
#[derive(Serialize, JsonSchema)]
pub struct Logs(pub Vec<NodeLog>);

/// What came of steering.
#[derive(Serialize, JsonSchema)]
pub struct Message {
    pub message: String,
    pub execution_id: String,
    pub status: Status,
}

impl Message {
    /// Says so of an execution.
    pub fn of(message: &str, execution: &ExecutionObject) -> Self {
        Self { message: message.to_owned(), execution_id: execution.execution_id.clone(), status: execution.status }
    }
}

/// Reads the word for a status, ours or theirs (platform.md 1).
///
/// # Errors
///
/// `INVALID_INPUT` for another word.
pub fn status(word: &str) -> Result<Status, Error> {
    let ours = match word {
        "queued" => "pending",
        "retrying" => "running",
        "cancelled" | "stopped" => "aborted",
        "timed_out" => "failed",
        other => other,
    };
    serde_json::from_value(json!(ours)).map_err(|_| {
        let shown: String = word.chars().filter(|it| !it.is_control()).take(40).collect();
        Error::invalid("INVALID_INPUT", format!("`{shown}` is no status"))
            .hint("write pending, running, paused, completed, failed or aborted")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_tool_hub_are_read_as_ours() {
        for (word, expected) in [
            ("queued", Some(Status::Pending)),
            ("retrying", Some(Status::Running)),
            ("cancelled", Some(Status::Aborted)),
            ("stopped", Some(Status::Aborted)),
            ("timed_out", Some(Status::Failed)),
            ("completed", Some(Status::Completed)),
            ("done", None),
        ] {
            assert_eq!(status(word).ok(), expected, "{word}");
        }
    }
}
