//! Executions: found, read, steered, removed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lists::{LIMIT, Page, Window};
use super::operation::{Answer, Asked, Listens, Operation, Shape, Success, Verb, shape};
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::caller::Scope;
use crate::handlers::control_execution::{self, control_execution};
use crate::handlers::delete_execution::{self, delete_execution};
use crate::handlers::diff_executions::{self, diff_executions};
use crate::handlers::execution_logs::{self, LogFormat, NodeLog, StoredTransition};
use crate::handlers::execution_messages::{self, StoredMessage, execution_messages};
use crate::handlers::execution_metrics::{self, execution_metrics};
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::list_executions::{self, ListedExecution, list_executions};
use crate::handlers::see_result::{self, Detail, see_result};

const EXECUTION: Shape = shape::<ExecutionObject>("Execution");
const READS: &[Scope] = &[Scope::ExecutionRead];
const STEERS: &[Scope] = &[Scope::ExecutionControl];

const STEERED: &[Success] =
    &[Success { status: 200, about: "It was carried out; the execution as it is now.", body: Some(EXECUTION) }];

/// Which execution, and how much of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadRequest {
    pub id: String,
    /// Everything: as `detail=full`.
    #[serde(default)]
    pub verbose: bool,
    /// How much (`summary`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<Detail>,
    /// Only this node: its id or label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// Seconds to wait for the end or a pause (0, up to 25).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(max = 25))]
    pub wait: Option<u32>,
    /// Also the events after this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since_seq: Option<u64>,
    /// From `omitted`: goes on where a value was cut.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cursor: Option<String>,
    /// Characters to show at most (20000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_chars: Option<usize>,
}

/// Which part of the log, and in which form.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogsRequest {
    pub id: String,
    /// `nodes`: an entry for each run of a node; `transitions`: every event as it is stored.
    #[serde(default)]
    pub format: LogFormat,
    /// Only this node: its id or label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<String>,
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

/// The runs of nodes, or the events.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum LogPage {
    Nodes(Page<NodeLog>),
    Transitions(Page<StoredTransition>),
}

/// Why it is to end.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// With what it is to go on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    pub id: String,
    /// Values of nodes that then do not run, by id or label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub override_values: Option<Map<String, Value>>,
    /// The node that waits, when several do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// A higher budget, where it waits for one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
}

/// What somebody answers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputRequest {
    pub id: String,
    /// The answer; to several: node to answer.
    #[serde(default)]
    pub value: Option<Value>,
    /// The node that asks, when several do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// Seconds to wait for what comes next (0, up to 25).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(max = 25))]
    pub wait: Option<u32>,
}

/// The operations on executions.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        id: "listExecutions",
        verb: Verb::Get,
        path: "/api/v1/executions",
        group: "executions",
        summary: "List executions, newest first",
        handler: "list_executions",
        scopes: READS,
        request: Some(shape::<list_executions::Request>("ListExecutions")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "Those that fit, without outputs.",
            body: Some(shape::<Page<ListedExecution>>("ExecutionList")),
        }],
        refusals: &[],
        call: |asked| Box::pin(list(asked)),
    },
    Operation {
        id: "readExecution",
        verb: Verb::Get,
        path: "/api/v1/executions/{id}",
        group: "executions",
        summary: "Read an execution, or wait for its end",
        handler: "see_result",
        scopes: READS,
        request: Some(shape::<ReadRequest>("ReadExecution")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success { status: 200, about: "The execution, whatever became of it.", body: Some(EXECUTION) }],
        refusals: &[404],
        call: |asked| Box::pin(read(asked)),
    },
    Operation {
        id: "deleteExecution",
        verb: Verb::Delete,
        path: "/api/v1/executions/{id}",
        group: "executions",
        summary: "Delete an execution that has ended; only the owner of the server may",
        handler: "delete_execution",
        scopes: &[],
        request: Some(shape::<delete_execution::Request>("DeleteExecution")),
        names: &[("id", "execution_id")],
        hidden: &[],
        listens: Listens::Nothing,
        successes: &[Success { status: 204, about: "It is gone, with all that it started.", body: None }],
        refusals: &[404, 409],
        call: |asked| Box::pin(delete(asked)),
    },
    Operation {
        id: "executionLogs",
        verb: Verb::Get,
        path: "/api/v1/executions/{id}/logs",
        group: "executions",
        summary: "Read what its nodes did, or its log as it is stored",
        handler: "execution_logs",
        scopes: READS,
        request: Some(shape::<LogsRequest>("ExecutionLogs")),
        names: &[],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "The runs of nodes, or the events.",
            body: Some(shape::<LogPage>("LogList")),
        }],
        refusals: &[404],
        call: |asked| Box::pin(logs(asked)),
    },
    Operation {
        id: "executionMessages",
        verb: Verb::Get,
        path: "/api/v1/executions/{id}/messages",
        group: "executions",
        summary: "Read its conversation, oldest message first",
        handler: "execution_messages",
        scopes: READS,
        request: Some(shape::<execution_messages::Request>("ExecutionMessages")),
        names: &[("id", "execution_id"), ("node_id", "node"), ("person_id", "person")],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "The messages.",
            body: Some(shape::<Page<StoredMessage>>("MessageList")),
        }],
        refusals: &[404],
        call: |asked| Box::pin(messages(asked)),
    },
    Operation {
        id: "executionMetrics",
        verb: Verb::Get,
        path: "/api/v1/executions/{id}/metrics",
        group: "executions",
        summary: "Say where its time and tokens went",
        handler: "execution_metrics",
        scopes: READS,
        request: Some(shape::<execution_metrics::Request>("ExecutionMetrics")),
        names: &[("id", "execution_id")],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "Times, tokens, the critical path, what could be better.",
            body: Some(shape::<execution_metrics::Response>("Metrics")),
        }],
        refusals: &[404],
        call: |asked| Box::pin(metrics(asked)),
    },
    Operation {
        id: "compareExecutions",
        verb: Verb::Get,
        path: "/api/v1/executions/{id}/diff/{other}",
        group: "executions",
        summary: "Say where two executions part, and how their diagrams differ",
        handler: "diff_executions",
        scopes: READS,
        request: Some(shape::<diff_executions::Request>("CompareExecutions")),
        names: &[("id", "a"), ("other", "b")],
        hidden: &[],
        listens: Listens::IfNoneMatch,
        successes: &[Success {
            status: 200,
            about: "The differences.",
            body: Some(shape::<diff_executions::Response>("Difference")),
        }],
        refusals: &[404],
        call: |asked| Box::pin(compare(asked)),
    },
    Operation {
        id: "stopExecution",
        verb: Verb::Post,
        path: "/api/v1/executions/{id}/stop",
        group: "executions",
        summary: "Abort an execution",
        handler: "control_execution",
        scopes: STEERS,
        request: Some(shape::<StopRequest>("StopExecution")),
        names: &[],
        hidden: &[],
        listens: Listens::Nothing,
        successes: STEERED,
        refusals: &[404, 409],
        call: |asked| Box::pin(stop(asked)),
    },
    Operation {
        id: "resumeExecution",
        verb: Verb::Post,
        path: "/api/v1/executions/{id}/resume",
        group: "executions",
        summary: "Let an execution go on, or open one again that failed",
        handler: "control_execution",
        scopes: STEERS,
        request: Some(shape::<ResumeRequest>("ResumeExecution")),
        names: &[],
        hidden: &[],
        listens: Listens::Nothing,
        successes: STEERED,
        refusals: &[404, 409],
        call: |asked| Box::pin(resume(asked)),
    },
    Operation {
        id: "answerExecution",
        verb: Verb::Post,
        path: "/api/v1/executions/{id}/input",
        group: "executions",
        summary: "Answer a node that asks",
        handler: "control_execution",
        scopes: STEERS,
        request: Some(shape::<InputRequest>("AnswerExecution")),
        names: &[],
        hidden: &[],
        listens: Listens::Nothing,
        successes: STEERED,
        refusals: &[404, 409],
        call: |asked| Box::pin(input(asked)),
    },
    Operation {
        id: "controlExecution",
        verb: Verb::Post,
        path: "/api/v1/executions/{id}/control",
        group: "executions",
        summary: "Steer an execution: pause, resume, abort, complete, answer, step, set_breakpoints, set_output, inspect",
        handler: "control_execution",
        scopes: &[],
        request: Some(shape::<control_execution::Request>("ControlExecution")),
        names: &[("id", "execution_id"), ("wait", "wait_seconds")],
        hidden: &[],
        listens: Listens::Nothing,
        successes: STEERED,
        refusals: &[404, 409],
        call: |asked| Box::pin(control(asked)),
    },
];

async fn list(asked: Asked) -> Result<Answer, Error> {
    let mut request: list_executions::Request = asked.request()?;
    let window = Window { limit: request.limit, offset: request.offset };
    request.limit.get_or_insert(LIMIT);
    let found = list_executions(&asked.app, &asked.caller, request).await?;
    Answer::ok(Page { next_cursor: found.next_cursor, ..window.page(found.executions, found.total) })
}

async fn read(asked: Asked) -> Result<Answer, Error> {
    let request: ReadRequest = asked.request()?;
    let request = see_result::Request {
        execution_id: request.id,
        detail: request.detail.or(request.verbose.then_some(Detail::Full)),
        node: request.node,
        wait_seconds: request.wait,
        since_seq: request.since_seq,
        cursor: request.cursor,
        max_chars: request.max_chars,
    };
    Answer::ok(see_result(&asked.app, &asked.caller, request, asked.waiting()).await?)
}

async fn delete(asked: Asked) -> Result<Answer, Error> {
    delete_execution(&asked.app, &asked.caller, asked.request()?).await?;
    Ok(Answer::nothing())
}

/// Reads the log in the form that is asked for.
///
/// # Errors
///
/// As the handler.
pub async fn log_page(asked: &Asked, request: LogsRequest) -> Result<LogPage, Error> {
    let window = Window { limit: request.limit, offset: request.offset };
    let of_handler = execution_logs::Request {
        execution_id: request.id,
        node: request.node_id,
        after: request.after,
        limit: Some(request.limit.unwrap_or(LIMIT)),
        offset: request.offset,
    };
    Ok(match request.format {
        LogFormat::Nodes => {
            let found = execution_logs::execution_logs(&asked.app, &asked.caller, of_handler).await?;
            LogPage::Nodes(window.page(found.logs, found.total as u64))
        }
        LogFormat::Transitions => {
            let found = execution_logs::execution_transitions(&asked.app, &asked.caller, of_handler).await?;
            LogPage::Transitions(window.page(found.transitions, found.total as u64))
        }
    })
}

async fn logs(asked: Asked) -> Result<Answer, Error> {
    let request: LogsRequest = asked.request()?;
    Answer::ok(log_page(&asked, request).await?)
}

async fn messages(asked: Asked) -> Result<Answer, Error> {
    let mut request: execution_messages::Request = asked.request()?;
    let window = Window { limit: request.limit, offset: request.offset };
    request.limit.get_or_insert(LIMIT);
    let found = execution_messages(&asked.app, &asked.caller, request).await?;
    Answer::ok(window.page(found.messages, found.total as u64))
}

async fn metrics(asked: Asked) -> Result<Answer, Error> {
    Answer::ok(execution_metrics(&asked.app, &asked.caller, asked.request()?).await?)
}

async fn compare(asked: Asked) -> Result<Answer, Error> {
    let request: diff_executions::Request = asked.request()?;
    for id in [&request.a, &request.b] {
        // The same handler compares diagrams by name, which has a path of its own.
        crate::ids::ExecutionId::parse(id)?;
    }
    Answer::ok(diff_executions(&asked.app, &asked.caller, request).await?)
}

/// Carries an action out and returns the execution as it is then.
///
/// # Errors
///
/// As the handler.
pub async fn act(asked: &Asked, mut request: control_execution::Request) -> Result<ExecutionObject, Error> {
    request.wait_seconds.get_or_insert(0);
    control_execution(&asked.app, &asked.caller, request, asked.waiting()).await
}

async fn stop(asked: Asked) -> Result<Answer, Error> {
    let StopRequest { id, reason } = asked.request()?;
    Answer::ok(stopped(&asked, id, reason).await?)
}

/// Aborts an execution.
///
/// # Errors
///
/// As the handler.
pub async fn stopped(asked: &Asked, id: String, reason: Option<String>) -> Result<ExecutionObject, Error> {
    let request =
        control_execution::Request { execution_id: id, action: "abort".to_owned(), reason, ..Default::default() };
    act(asked, request).await
}

async fn resume(asked: Asked) -> Result<Answer, Error> {
    let request: ResumeRequest = asked.request()?;
    Answer::ok(resumed(&asked, request).await?)
}

/// Gives nodes the values that are to stand for their own, and lets the execution go on.
///
/// # Errors
///
/// As the handler.
pub async fn resumed(asked: &Asked, request: ResumeRequest) -> Result<ExecutionObject, Error> {
    let ResumeRequest { id, override_values, node, value } = request;
    let action = |action: &str, node: Option<String>, value: Option<Value>| control_execution::Request {
        execution_id: id.clone(),
        action: action.to_owned(),
        node,
        value,
        ..Default::default()
    };
    let mut last = None;
    for (node, value) in override_values.unwrap_or_default() {
        last = Some(act(asked, action("set_output", Some(node), Some(value))).await?);
    }
    match last {
        // The value was all that it waited for.
        Some(execution) if execution.status != Status::Paused => Ok(execution),
        _ => act(asked, action("resume", node, value)).await,
    }
}

async fn input(asked: Asked) -> Result<Answer, Error> {
    let InputRequest { id, value, node, wait } = asked.request()?;
    let request = control_execution::Request {
        execution_id: id,
        action: "answer".to_owned(),
        node,
        value,
        wait_seconds: wait,
        reason: None,
    };
    Answer::ok(act(&asked, request).await?)
}

async fn control(asked: Asked) -> Result<Answer, Error> {
    Answer::ok(act(&asked, asked.request()?).await?)
}
