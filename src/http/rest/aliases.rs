//! The paths of Tool Hub for diagrams ("workflows") and executions: each is one of the use cases, asked in its words
//! and answered in its shapes (platform.md 4, 5, 18). Nodes of Tool Hub's own kinds are not read, so workflows are
//! made and replaced at `/api/v1/diagrams`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::executions::{LogsRequest, ResumeRequest, StopRequest, resumed, stopped};
use super::operation::{Answer, Asked, Listens, Operation, Success, Verb, shape};
use super::runs::{RunRequest, run_asked};
use super::words::{ListedRun, Logs, Message, Run, RunDetail, Runs, Validity, Version, Versions, Workflow, Workflows};
use super::{executions, words};
use crate::error::Error;
use crate::handlers::caller::Scope;
use crate::handlers::delete_diagram::{self, delete_diagram};
use crate::handlers::diagram_revisions::{self, LabelRequest, ListRequest, RestoreRequest};
use crate::handlers::execution_logs::{self, LogFormat};
use crate::handlers::list_diagrams::{self, list_diagrams};
use crate::handlers::list_executions::{self, list_executions};
use crate::handlers::read_diagram::{self, read_diagram};
use crate::handlers::save_diagram::Expected;
use crate::handlers::see_result::{self, Detail, see_result};
use crate::handlers::validate_diagram::{self, validate_diagram};

const READS: &[Scope] = &[Scope::DiagramRead];
const WRITES: &[Scope] = &[Scope::DiagramRead, Scope::DiagramWrite];
const SEES: &[Scope] = &[Scope::ExecutionRead];
const STEERS: &[Scope] = &[Scope::ExecutionControl];

/// A workflow to run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunWorkflow {
    pub id: String,
    /// The inputs as an object or as its text; any other text is the input `input`.
    #[serde(default)]
    pub input: Option<Value>,
    /// `full`, `mock` or `debug`.
    #[serde(default)]
    pub mode: Option<String>,
    /// Seconds to wait for the end (0, up to 25).
    #[serde(default)]
    #[schemars(range(max = 25))]
    pub wait: Option<u32>,
}

/// Which executions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRuns {
    /// Ours, or Tool Hub's: queued, retrying, cancelled, stopped, timed_out.
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub workflow_id: Option<String>,
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    #[serde(default)]
    pub offset: Option<usize>,
}

/// Which execution.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadRun {
    pub id: String,
}

const fn ok(body: super::operation::Shape) -> Success {
    Success { status: 200, about: "As Tool Hub shows it.", body: Some(body) }
}

/// What is the same in all of them.
const BASE: Operation = Operation {
    id: "",
    verb: Verb::Get,
    path: "",
    group: "aliases",
    summary: "",
    handler: "",
    scopes: READS,
    request: None,
    names: &[],
    hidden: &[],
    listens: Listens::Nothing,
    successes: &[],
    refusals: &[404],
    call: |_| Box::pin(async { Ok(Answer::nothing()) }),
};

/// The aliases.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "listWorkflows",
        path: "/api/workflows",
        summary: "listDiagrams, as workflows",
        handler: "list_diagrams",
        request: Some(shape::<list_diagrams::Request>("ListWorkflows")),
        hidden: &["format"],
        successes: &[ok(shape::<Workflows>("Workflows"))],
        refusals: &[],
        call: |asked| Box::pin(list_workflows(asked)),
        ..BASE
    },
    Operation {
        id: "readWorkflow",
        path: "/api/workflows/{id}",
        summary: "readDiagram, as a workflow",
        handler: "read_diagram",
        request: Some(shape::<read_diagram::Request>("ReadWorkflow")),
        names: &[("id", "name")],
        hidden: &["format", "revision"],
        successes: &[ok(shape::<Workflow>("Workflow"))],
        call: |asked| Box::pin(read_workflow(asked)),
        ..BASE
    },
    Operation {
        id: "deleteWorkflow",
        verb: Verb::Delete,
        path: "/api/workflows/{id}",
        summary: "deleteDiagram",
        handler: "delete_diagram",
        scopes: &[Scope::DiagramWrite],
        request: Some(shape::<delete_diagram::Request>("DeleteWorkflow")),
        names: &[("id", "name")],
        successes: &[Success { status: 204, about: "It is gone.", body: None }],
        refusals: &[404, 409],
        call: |asked| Box::pin(delete_workflow(asked)),
        ..BASE
    },
    Operation {
        id: "runWorkflow",
        verb: Verb::Post,
        path: "/api/workflows/{id}/run",
        summary: "runDiagram",
        handler: "run_diagram",
        scopes: &[Scope::ExecutionRun],
        request: Some(shape::<RunWorkflow>("RunWorkflow")),
        listens: Listens::IdempotencyKey,
        successes: &[ok(shape::<Run>("WorkflowRun"))],
        refusals: &[404, 409],
        call: |asked| Box::pin(run_workflow(asked)),
        ..BASE
    },
    Operation {
        id: "validateWorkflow",
        verb: Verb::Post,
        path: "/api/workflows/{id}/validate",
        summary: "validateDiagram",
        handler: "validate_diagram",
        request: Some(shape::<validate_diagram::Request>("ValidateWorkflow")),
        names: &[("id", "diagram")],
        successes: &[ok(shape::<Validity>("WorkflowValidity"))],
        call: |asked| Box::pin(validate_workflow(asked)),
        ..BASE
    },
    Operation {
        id: "listWorkflowVersions",
        path: "/api/workflows/{id}/versions",
        summary: "listRevisions, as versions",
        handler: "diagram_revisions::list",
        request: Some(shape::<ListRequest>("ListVersions")),
        names: &[("id", "name")],
        successes: &[ok(shape::<Versions>("Versions"))],
        call: |asked| Box::pin(list_versions(asked)),
        ..BASE
    },
    Operation {
        id: "listVersions",
        path: "/api/versions",
        summary: "listRevisions, as versions",
        handler: "diagram_revisions::list",
        request: Some(shape::<ListRequest>("ListVersions")),
        names: &[("workflow_id", "name"), ("workflowId", "name")],
        successes: &[ok(shape::<Versions>("Versions"))],
        call: |asked| Box::pin(list_versions(asked)),
        ..BASE
    },
    Operation {
        id: "saveWorkflowVersion",
        verb: Verb::Post,
        path: "/api/workflows/{id}/versions",
        summary: "labelRevision",
        handler: "diagram_revisions::label",
        scopes: WRITES,
        request: Some(shape::<LabelRequest>("SaveVersion")),
        names: &[("id", "name")],
        successes: &[Success { status: 201, about: "The version.", body: Some(shape::<Version>("Version")) }],
        refusals: &[404, 409],
        call: |asked| Box::pin(save_version(asked)),
        ..BASE
    },
    Operation {
        id: "restoreWorkflowVersion",
        verb: Verb::Post,
        path: "/api/workflows/{id}/versions/{version_id}/restore",
        summary: "restoreRevision; the version by its number or id",
        handler: "diagram_revisions::restore",
        scopes: WRITES,
        request: Some(shape::<RestoreVersion>("RestoreVersion")),
        successes: &[ok(shape::<Workflow>("Workflow"))],
        refusals: &[404, 409],
        call: |asked| Box::pin(restore_version(asked)),
        ..BASE
    },
    Operation {
        id: "listRuns",
        path: "/api/executions",
        summary: "listExecutions",
        handler: "list_executions",
        scopes: SEES,
        request: Some(shape::<ListRuns>("ListRuns")),
        names: &[("workflow_id", "workflow_id"), ("workflowId", "workflow_id")],
        successes: &[ok(shape::<Runs>("WorkflowRuns"))],
        refusals: &[],
        call: |asked| Box::pin(list_runs(asked)),
        ..BASE
    },
    Operation {
        id: "readRun",
        path: "/api/executions/{id}",
        summary: "readExecution, with what its nodes did",
        handler: "see_result",
        scopes: SEES,
        request: Some(shape::<ReadRun>("ReadRun")),
        successes: &[ok(shape::<RunDetail>("WorkflowRunDetail"))],
        call: |asked| Box::pin(read_run(asked)),
        ..BASE
    },
    Operation {
        id: "runLogs",
        path: "/api/executions/{id}/logs",
        summary: "executionLogs, as a bare list",
        handler: "execution_logs",
        scopes: SEES,
        request: Some(shape::<LogsRequest>("RunLogs")),
        hidden: &["format", "after"],
        successes: &[ok(shape::<Logs>("WorkflowLogs"))],
        call: |asked| Box::pin(run_logs(asked)),
        ..BASE
    },
    Operation {
        id: "stopRun",
        verb: Verb::Post,
        path: "/api/executions/{id}/stop",
        summary: "stopExecution",
        handler: "control_execution",
        scopes: STEERS,
        request: Some(shape::<StopRequest>("StopRun")),
        successes: &[ok(shape::<Message>("RunMessage"))],
        refusals: &[404, 409],
        call: |asked| Box::pin(stop_run(asked)),
        ..BASE
    },
    Operation {
        id: "resumeRun",
        verb: Verb::Post,
        path: "/api/executions/{id}/resume",
        summary: "resumeExecution",
        handler: "control_execution",
        scopes: STEERS,
        request: Some(shape::<ResumeRequest>("ResumeRun")),
        successes: &[ok(shape::<Message>("RunMessage"))],
        refusals: &[404, 409],
        call: |asked| Box::pin(resume_run(asked)),
        ..BASE
    },
];

/// Which version is to come back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreVersion {
    pub id: String,
    /// `3`, or `NAME@3` as versions are called.
    pub version_id: String,
    #[serde(default)]
    pub message: Option<String>,
}

async fn list_workflows(asked: Asked) -> Result<Answer, Error> {
    let mut request: list_diagrams::Request = asked.request()?;
    let (limit, offset) = (*request.limit.get_or_insert(100), request.offset.unwrap_or(0));
    let found = list_diagrams(&asked.app, &asked.caller, request).await?;
    let mut workflows = Vec::new();
    for it in found.diagrams {
        let request = read_diagram::Request { name: it.name, ..Default::default() };
        // What went away, or is read no more, since it was listed is not there.
        if let Ok(read) = read_diagram(&asked.app, &asked.caller, request).await {
            workflows.push(Workflow::of(read));
        }
    }
    Answer::ok(Workflows { workflows, total: found.total as u64, limit, offset })
}

async fn read_workflow(asked: Asked) -> Result<Answer, Error> {
    let read = read_diagram(&asked.app, &asked.caller, asked.request()?).await?;
    Answer::ok(Workflow::of(read))
}

async fn delete_workflow(asked: Asked) -> Result<Answer, Error> {
    delete_diagram(&asked.app, &asked.caller, asked.request()?, Expected::Anything).await?;
    Ok(Answer::nothing())
}

async fn run_workflow(asked: Asked) -> Result<Answer, Error> {
    let RunWorkflow { id, input, mode, wait } = asked.request()?;
    let variables = input.map(variables_of).unwrap_or_default();
    let request = RunRequest {
        name: Some(id),
        variables: Some(variables.clone()),
        mode: mode.clone(),
        wait,
        ..RunRequest::default()
    };
    let execution = run_asked(&asked, request).await?;
    Answer::ok(Run::of(execution, mode, variables))
}

/// An object, or text that is one, gives the inputs; any other text is the input `input` (platform.md 5).
fn variables_of(input: Value) -> Map<String, Value> {
    let read = match &input {
        Value::String(text) => serde_json::from_str::<Map<String, Value>>(text).ok(),
        Value::Object(map) => Some(map.clone()),
        _ => None,
    };
    read.unwrap_or_else(|| Map::from_iter([("input".to_owned(), input)]))
}

async fn validate_workflow(asked: Asked) -> Result<Answer, Error> {
    Answer::ok(Validity::of(validate_diagram(&asked.app, &asked.caller, asked.request()?).await?))
}

async fn list_versions(asked: Asked) -> Result<Answer, Error> {
    let mut request: ListRequest = asked.request()?;
    let (limit, offset) = (*request.limit.get_or_insert(100), request.offset.unwrap_or(0));
    let name = request.name.clone();
    let found = diagram_revisions::list(&asked.app, &asked.caller, request).await?;
    let versions = found.revisions.into_iter().map(|it| Version::of(&name, it)).collect();
    Answer::ok(Versions { versions, total: found.total as u64, limit, offset })
}

async fn save_version(asked: Asked) -> Result<Answer, Error> {
    let request: LabelRequest = asked.request()?;
    let name = request.name.clone();
    let labelled = diagram_revisions::label(&asked.app, &asked.caller, request).await?;
    Answer::with(axum::http::StatusCode::CREATED, Version::of(&name, labelled))
}

async fn restore_version(asked: Asked) -> Result<Answer, Error> {
    let RestoreVersion { id, version_id, message } = asked.request()?;
    let number = version_id.rsplit('@').next().unwrap_or_default();
    let revision = number.parse().map_err(|_| {
        let shown: String = version_id.chars().filter(|it| !it.is_control()).take(60).collect();
        Error::not_found("REVISION_NOT_FOUND", format!("`{shown}` is no version")).hint("versions are called `NAME@N`")
    })?;
    let request = RestoreRequest { name: id, revision, message };
    let restored = diagram_revisions::restore(&asked.app, &asked.caller, request, Expected::Anything).await?;
    Answer::ok(Workflow::of(restored))
}

async fn list_runs(asked: Asked) -> Result<Answer, Error> {
    let ListRuns { status, workflow_id, limit, offset } = asked.request()?;
    let limit = limit.unwrap_or(100);
    let request = list_executions::Request {
        status: status.as_deref().map(words::status).transpose()?,
        diagram: workflow_id,
        limit: Some(limit),
        offset,
        ..Default::default()
    };
    let found = list_executions(&asked.app, &asked.caller, request).await?;
    let executions = found.executions.into_iter().map(ListedRun::of).collect();
    Answer::ok(Runs { executions, total: found.total, limit, offset: offset.unwrap_or(0) })
}

async fn read_run(asked: Asked) -> Result<Answer, Error> {
    let ReadRun { id } = asked.request()?;
    let request = see_result::Request { execution_id: id.clone(), detail: Some(Detail::Outputs), ..Default::default() };
    let execution = see_result(&asked.app, &asked.caller, request, asked.waiting()).await?;
    let request = execution_logs::Request { execution_id: id, limit: Some(1_000), ..Default::default() };
    let logs = execution_logs::execution_logs(&asked.app, &asked.caller, request).await?;
    Answer::ok(RunDetail::of(execution, logs.logs))
}

async fn run_logs(asked: Asked) -> Result<Answer, Error> {
    let request: LogsRequest = asked.request()?;
    let request = LogsRequest { format: LogFormat::Nodes, ..request };
    match executions::log_page(&asked, request).await? {
        executions::LogPage::Nodes(page) => Answer::ok(Logs(page.items)),
        executions::LogPage::Transitions(_) => Err(Error::internal("the log came in another form")),
    }
}

async fn stop_run(asked: Asked) -> Result<Answer, Error> {
    let StopRequest { id, reason } = asked.request()?;
    let stopped = stopped(&asked, id, reason)
        .await
        .map_err(|e| as_refused(e, &["EXECUTION_ENDED"], "EXECUTION_NOT_STOPPABLE"))?;
    Answer::ok(Message::of("Execution stopped", &stopped))
}

async fn resume_run(asked: Asked) -> Result<Answer, Error> {
    let request: ResumeRequest = asked.request()?;
    let resumed = resumed(&asked, request)
        .await
        .map_err(|e| as_refused(e, &["EXECUTION_ENDED", "NOT_PAUSED"], "EXECUTION_NOT_RESUMABLE"))?;
    Answer::ok(Message::of("Execution resumed", &resumed))
}

/// What Tool Hub calls a wrong request, and we a conflict.
fn as_refused(error: Error, codes: &[&str], code: &'static str) -> Error {
    if !codes.contains(&error.code()) {
        return error;
    }
    let refused = Error::invalid(code, error.message().to_owned());
    match error.hint_text() {
        Some(hint) => refused.hint(hint.to_owned()),
        None => refused,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_input_of_a_workflow_is_an_object_or_one_text() {
        for (input, expected) in [
            (json!({"a": 1}), json!({"a": 1})),
            (json!("{\"a\": 1}"), json!({"a": 1})),
            (json!("hello"), json!({"input": "hello"})),
            (json!("[1]"), json!({"input": "[1]"})),
            (json!(3), json!({"input": 3})),
        ] {
            assert_eq!(Value::Object(variables_of(input.clone())), expected, "{input}");
        }
    }
}
