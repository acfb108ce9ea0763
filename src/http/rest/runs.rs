//! Starting executions: of a diagram of the workspace, of a text, from a place in another one, from recordings.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::operation::{Answer, Asked, Listens, Operation, Success, Verb, shape};
use crate::error::Error;
use crate::handlers::caller::Scope;
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::fork_execution::{self, fork_execution};
use crate::handlers::replay_execution::{self, replay_execution};
use crate::handlers::run_diagram::{self, run_diagram};

/// How a run is to go.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// Name of a diagram of the workspace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// A whole diagram as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<String>,
    /// light, readable or native (detected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format: Option<String>,
    /// Values of the diagram's inputs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub variables: Option<Map<String, Value>>,
    /// `full`: as written; `mock`: without any outside effect; `debug`: pauses before the breakpoints.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<String>,
    /// Nodes, by label or id, before which the run pauses.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub breakpoints: Vec<String>,
    /// Seconds of running time (`EXECUTION_TIMEOUT` of the server, 3600).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout: Option<f64>,
    /// usd, tokens, calls, seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget: Option<Map<String, Value>>,
    /// `caller`: you answer every prompt; `scripted`: the diagram's script does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub models: Option<String>,
    /// Template warnings become failures.
    #[serde(default)]
    pub strict: bool,
    /// Seconds to wait for the end or a pause (0, up to 25).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(max = 25))]
    pub wait: Option<u32>,
    /// As the header `Idempotency-Key`: the same key within 24 h returns the first execution.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idempotency_key: Option<String>,
}

const EXECUTION: super::operation::Shape = shape::<ExecutionObject>("Execution");

/// How something that was started is answered.
pub const STARTED: &[Success] = &[
    Success { status: 200, about: "It has ended, or is paused.", body: Some(EXECUTION) },
    Success { status: 202, about: "It was started and goes on.", body: Some(EXECUTION) },
];

/// The operations that start something.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "runDiagram",
        verb: Verb::Post,
        path: "/api/v1/diagrams/{name}/run",
        group: "runs",
        summary: "Run a diagram of the workspace",
        handler: "run_diagram",
        scopes: &[Scope::ExecutionRun],
        request: Some(shape::<RunRequest>("RunRequest")),
        names: &[],
        hidden: &["content", "format"],
        listens: Listens::IdempotencyKey,
        successes: STARTED,
        refusals: &[404, 409],
        call: |asked| Box::pin(run(asked)),
    },
    Operation {
        id: "runText",
        verb: Verb::Post,
        path: "/api/v1/run",
        group: "runs",
        summary: "Run a diagram that is sent along; it counts as submitted",
        handler: "run_diagram",
        scopes: &[Scope::ExecutionRun],
        request: Some(shape::<RunRequest>("RunRequest")),
        names: &[],
        hidden: &["name"],
        listens: Listens::IdempotencyKey,
        successes: STARTED,
        refusals: &[404, 409],
        call: |asked| Box::pin(run(asked)),
    },
    Operation {
        id: "forkExecution",
        verb: Verb::Post,
        path: "/api/v1/executions/{id}/fork",
        group: "runs",
        summary: "Take over what an execution did before a node, and go on from there with what is changed",
        handler: "fork_execution",
        scopes: &[Scope::ExecutionRun],
        request: Some(shape::<fork_execution::Request>("ForkRequest")),
        names: &[("id", "execution_id"), ("wait", "wait_seconds")],
        hidden: &[],
        listens: Listens::IdempotencyKey,
        successes: STARTED,
        refusals: &[404, 409],
        call: |asked| Box::pin(fork(asked)),
    },
    Operation {
        id: "replayExecution",
        verb: Verb::Post,
        path: "/api/v1/executions/{id}/replay",
        group: "runs",
        summary: "Run an execution once more from its recordings",
        handler: "replay_execution",
        scopes: &[Scope::ExecutionRun],
        request: Some(shape::<replay_execution::Request>("ReplayRequest")),
        names: &[("id", "execution_id"), ("wait", "wait_seconds")],
        hidden: &[],
        listens: Listens::IdempotencyKey,
        successes: STARTED,
        refusals: &[404, 409],
        call: |asked| Box::pin(replay(asked)),
    },
];

/// What was started: 202 as long as it goes on.
///
/// # Errors
///
/// `INTERNAL` for an object that cannot be written.
pub fn started(execution: &ExecutionObject) -> Result<Answer, Error> {
    let is_settled = execution.status.has_ended() || execution.status.name() == "paused";
    let status = if is_settled { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(Answer::with(status, execution)?.at(&format!("/api/v1/executions/{}", execution.execution_id)))
}

/// Runs what was asked for.
///
/// # Errors
///
/// As the handler.
pub async fn run_asked(asked: &Asked, request: RunRequest) -> Result<ExecutionObject, Error> {
    let idempotency_key = one_key(asked, request.idempotency_key)?;
    let extras = run_diagram::Extras {
        mode: request.mode,
        breakpoints: request.breakpoints,
        strict: request.strict,
        ..run_diagram::Extras::default()
    };
    let request = run_diagram::Request {
        diagram: request.name,
        content: request.content,
        format_type: request.format,
        input_data: request.variables,
        wait_seconds: Some(request.wait.unwrap_or(0)),
        timeout: request.timeout,
        budget: request.budget,
        models: request.models,
        idempotency_key,
    };
    run_diagram(&asked.app, &asked.caller, request, extras, asked.waiting()).await
}

async fn run(asked: Asked) -> Result<Answer, Error> {
    let request: RunRequest = asked.request()?;
    started(&run_asked(&asked, request).await?)
}

/// The key in the header or in the body.
fn one_key(asked: &Asked, in_body: Option<String>) -> Result<Option<String>, Error> {
    match (&asked.conditions.idempotency_key, in_body) {
        (Some(header), Some(body)) if *header != body => {
            Err(Error::invalid("INVALID_INPUT", "`Idempotency-Key` and `idempotency_key` are not the same")
                .hint("send one of them"))
        }
        (header, body) => Ok(body.or_else(|| header.clone())),
    }
}

async fn fork(asked: Asked) -> Result<Answer, Error> {
    let mut request: fork_execution::Request = asked.request()?;
    request.wait_seconds.get_or_insert(0);
    let idempotency_key = one_key(&asked, None)?;
    let extras = fork_execution::Extras { idempotency_key, ..fork_execution::Extras::default() };
    started(&fork_execution(&asked.app, &asked.caller, request, extras, asked.waiting()).await?)
}

async fn replay(asked: Asked) -> Result<Answer, Error> {
    let mut request: replay_execution::Request = asked.request()?;
    request.wait_seconds.get_or_insert(0);
    let idempotency_key = one_key(&asked, None)?;
    let extras = replay_execution::Extras { idempotency_key, ..replay_execution::Extras::default() };
    started(&replay_execution(&asked.app, &asked.caller, request, extras, asked.waiting()).await?)
}
