//! The tasks extension: a run that takes longer becomes a task for a client that says, with this very request,
//! that it can have one. Everything about it comes from the handler [`task`]; nothing is remembered here.

use std::time::Duration;

use rmcp::model::{
    CreateTaskResult, DetailedTask, ErrorCode, GetTaskResult, InputRequests, InputResponses, JsonObject,
    ProtocolVersion, Task, TaskPayload, TaskStatus,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};

use super::answer;
use super::questions::form::{Form, Reply};
use super::resources::protocol_error;
use super::server::McpServer;
use crate::config::Tasks;
use crate::error::{Error, ErrorKind};
use crate::handlers::Caller;
use crate::handlers::caller::Door;
use crate::handlers::questions::{self, OpenQuestion};
use crate::handlers::run_diagram::Waiting;
use crate::handlers::task::{self, State};

/// How long a run may take before it becomes a task (mcp.md 2.4).
const AFTER: Duration = Duration::from_secs(2);
/// How often a client should look.
const POLL_INTERVAL_MS: u64 = 1_000;

/// After what time a call becomes a task; `None` when its client cannot have one. What a client said when it
/// introduced itself does not count: there are some that then cannot read a task.
pub fn after(server: &McpServer, context: &RequestContext<RoleServer>) -> Option<Duration> {
    let is_modern = context.meta.protocol_version().is_some_and(|it| it >= ProtocolVersion::V_2026_07_28);
    let has_tasks = context.meta.client_capabilities().is_some_and(|it| it.supports_tasks());
    let is_on = server.app().config.mcp.tasks == Tasks::Auto;
    (is_modern && has_tasks && is_on).then_some(AFTER)
}

/// The answer to a call that became a task.
///
/// # Errors
///
/// What the database says.
pub fn created(server: &McpServer, caller: &Caller, execution_id: &str) -> Result<CreateTaskResult, Error> {
    let task = task::task(server.app(), caller, execution_id)?;
    Ok(CreateTaskResult::new(shown(&task, TaskStatus::Working)))
}

/// `tasks/get`.
///
/// # Errors
///
/// `-32602` for an id that is none of the caller's.
pub fn get(server: &McpServer, context: &RequestContext<RoleServer>, id: &str) -> Result<GetTaskResult, ErrorData> {
    let caller = caller(server, context);
    let task = task::task(server.app(), &caller, id).map_err(|it| refused(&it))?;
    let payload = match task.state {
        State::Working => TaskPayload::Working,
        State::Asks => asks(server, context, &caller, id).map_err(|it| refused(&it))?,
        State::Cancelled => TaskPayload::Cancelled,
        State::Ended => TaskPayload::Completed { result: result(&task).map_err(|it| refused(&it))? },
    };
    let detailed = DetailedTask::new(shown(&task, payload.status()), payload);
    Ok(GetTaskResult::new(detailed))
}

/// `tasks/update`: answers questions with what the user put into their forms. A form that was declined leaves its
/// question open. Answers before one that is refused stay given.
///
/// # Errors
///
/// `-32602` for an id that is none of the caller's, an answer to what is not asked (any more), or one that does
/// not fit.
pub async fn update(
    server: &McpServer,
    context: &RequestContext<RoleServer>,
    id: &str,
    responses: &InputResponses,
) -> Result<(), ErrorData> {
    let caller = caller(server, context);
    task::task(server.app(), &caller, id).map_err(|it| refused(&it))?;
    let open = open_forms(server, context, &caller, id).map_err(|it| refused(&it))?;
    for (key, sent) in responses {
        let Some((question, form)) = open.iter().find(|it| key_of(&it.0) == *key) else {
            let shown: String = key.chars().take(80).collect();
            return Err(ErrorData::invalid_params(format!("the task asks for no `{shown}`"), None));
        };
        let Reply::Answer(value) = form.reply(sent).map_err(|it| refused(&it))? else { continue };
        let answered = questions::answer(server.app(), &caller, &question.asked, value, Some(0), Waiting::default());
        // On the heap, as every call that may wait: the future of a request is as large as its largest part, and is
        // copied for each request.
        Box::pin(answered).await.map_err(|it| refused(&it))?;
    }
    Ok(())
}

/// The forms that a task shows its client; none for a client that did not say with this request that it can show
/// any, or when no flat form can ask what waits.
fn open_forms(
    server: &McpServer,
    context: &RequestContext<RoleServer>,
    caller: &Caller,
    id: &str,
) -> Result<Vec<(OpenQuestion, Form)>, Error> {
    let elicitation = context.meta.client_capabilities().and_then(|it| it.elicitation);
    // `{}` is what clients declared before there was anything else than forms.
    if !elicitation.is_some_and(|it| it.form.is_some() || it.url.is_none()) {
        return Ok(Vec::new());
    }
    let open = questions::open_questions(server.app(), caller, id)?.questions;
    Ok(open.into_iter().filter_map(|it| Form::of(&it.waiting).map(|form| (it, form))).collect())
}

fn asks(
    server: &McpServer,
    context: &RequestContext<RoleServer>,
    caller: &Caller,
    id: &str,
) -> Result<TaskPayload, Error> {
    let mut input_requests = InputRequests::new();
    for (question, form) in open_forms(server, context, caller, id)? {
        input_requests.insert(key_of(&question), form.input_request(None)?);
    }
    Ok(if input_requests.is_empty() { TaskPayload::Working } else { TaskPayload::InputRequired { input_requests } })
}

/// Names a question for as long as its task lives: each round of a node asks others.
fn key_of(question: &OpenQuestion) -> String {
    let asked = &question.asked;
    format!("{}:{}:{}.{}", asked.asking_id, asked.node_id, asked.iteration, asked.number)
}

/// `tasks/cancel`: aborts the execution.
///
/// # Errors
///
/// `-32602` for an id that is none of the caller's.
pub async fn cancel(server: &McpServer, context: &RequestContext<RoleServer>, id: &str) -> Result<(), ErrorData> {
    let caller = caller(server, context);
    Box::pin(task::cancel_task(server.app(), &caller, id)).await.map_err(|it| refused(&it))
}

fn caller(server: &McpServer, context: &RequestContext<RoleServer>) -> Caller {
    server.caller(context).through(Door::Task)
}

/// What the call would have answered.
fn result(task: &task::Task) -> Result<JsonObject, Error> {
    let result = answer::run(&task.execution)?;
    match serde_json::to_value(result) {
        Ok(serde_json::Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::internal("the result is no object")),
        Err(error) => Err(Error::internal("the result has no JSON form").source(error)),
    }
}

/// Executions are kept until a person deletes them, so a task has no time to live.
fn shown(task: &task::Task, status: TaskStatus) -> Task {
    let execution = &task.execution;
    let shown = Task::new(&execution.execution_id, status, &task.created_at, &task.updated_at)
        .with_poll_interval_ms(POLL_INTERVAL_MS);
    match &task.message {
        Some(message) => shown.with_status_message(message),
        None => shown,
    }
}

fn refused(error: &Error) -> ErrorData {
    let mut refused = protocol_error(error);
    // What a caller sent wrong or too late, whatever it is.
    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Conflict) {
        refused.code = ErrorCode::INVALID_PARAMS;
        refused.data = Some(error.to_json());
    }
    refused
}
