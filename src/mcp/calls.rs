//! Carries out a tool call: arguments to a handler's request, its response to a result.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use rmcp::model::{CallToolResponse, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::Value;
use tracing::Instrument;

use super::questions::{self, Retry, Waited};
use super::server::McpServer;
use super::tools::ToolName;
use super::{answer, arguments, tasks, time_travel};
use crate::error::Error;
use crate::handlers::run_diagram::Waiting;
use crate::handlers::{
    Caller, compile_diagram, control_execution, diff_executions, fetch, fork_execution, replay_execution, run_diagram,
    search, see_result,
};
use crate::spans::{self, Parent};

/// Carries out `tool`; `retry` is what a client sends with its second call. What a model can do something about
/// is an error result.
///
/// # Errors
///
/// -32602 for a `requestState` that is not ours.
pub async fn call(
    server: &McpServer,
    tool: ToolName,
    arguments: JsonObject,
    retry: Retry,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let _open = server.open_calls().token();
    // A panic would otherwise leave the request without an answer for ever.
    let told = |name: &str| context.meta.get(name).and_then(Value::as_str);
    let parent = Parent { traceparent: told("traceparent"), tracestate: told("tracestate") };
    let span = spans::tool_call(tool.name(), parent);
    let call = AssertUnwindSafe(dispatch(server, tool, arguments, retry, context)).catch_unwind();
    let outcome = call.instrument(span.clone()).await;
    if let Ok(Err(error)) = &outcome {
        spans::fail(&span, error.code());
    }
    match outcome {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) if error.code() == "INVALID_REQUEST_STATE" => {
            Err(ErrorData::invalid_params(error.message().to_owned(), Some(answer::error_shown(&error))))
        }
        Ok(Err(error)) => Ok(answer::failure(&error.scrubbed(server.app().scrubber())).into()),
        Err(_) => Ok(answer::failure(&Error::internal(format!("`{}` stopped unexpectedly", tool.name()))).into()),
    }
}

/// The work on one call. Behind a box: as one future it would be as large as the largest of all tools, and moved
/// around for the smallest call.
type Carried<'a> = Pin<Box<dyn Future<Output = Result<CallToolResponse, Error>> + Send + 'a>>;

/// One call, for whoever carries it out.
struct Incoming<'a> {
    server: &'a McpServer,
    caller: &'a Caller,
    context: &'a RequestContext<RoleServer>,
    tool: ToolName,
    arguments: JsonObject,
    retry: Retry,
}

impl<'a> Incoming<'a> {
    /// The call as one that may wait and ask, and its arguments.
    fn split(self) -> (questions::Call<'a>, JsonObject) {
        let call =
            questions::Call::new(self.server, self.context, self.caller, (self.tool, &self.arguments), self.retry);
        (call, self.arguments)
    }
}

async fn dispatch(
    server: &McpServer,
    tool: ToolName,
    arguments: JsonObject,
    retry: Retry,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, Error> {
    let caller = &server.caller(context);
    let call = Incoming { server, caller, context, tool, arguments, retry };
    let work: Carried<'_> = match tool {
        ToolName::DipeoRun => Box::pin(run(call)),
        ToolName::SeeResult => Box::pin(see(call)),
        ToolName::ControlExecution => Box::pin(control(call)),
        ToolName::CompileDiagram => Box::pin(compile(call)),
        ToolName::Search => Box::pin(find(call)),
        ToolName::Fetch => Box::pin(read(call)),
    };
    work.await
}

async fn run(call: Incoming<'_>) -> Result<CallToolResponse, Error> {
    let (server, caller, context) = (call.server, call.caller, call.context);
    let (call, arguments) = call.split();
    let request: run_diagram::Request = arguments::read(ToolName::DipeoRun, arguments)?;
    let wait_seconds = request.wait_seconds;
    let extras = run_diagram::Extras { task_after: tasks::after(server, context), ..Default::default() };
    let became_task = AtomicBool::new(false);
    let is_task = &became_task;
    let run = |waiting| async move {
        let ran = run_diagram::run_or_task(server.app(), caller, request, extras, waiting).await?;
        is_task.store(ran.is_task, Ordering::Relaxed);
        Ok(ran.execution)
    };
    match call.carry_out(wait_seconds, run).await? {
        Waited::Done(execution, _) if is_task.load(Ordering::Relaxed) => {
            Ok(tasks::created(server, caller, &execution.execution_id)?.into())
        }
        waited => waited.respond(answer::run),
    }
}

async fn see(call: Incoming<'_>) -> Result<CallToolResponse, Error> {
    let (app, caller) = (call.server.app(), call.caller);
    let (call, arguments) = call.split();
    let request: see_result::Request = arguments::read(ToolName::SeeResult, arguments)?;
    let wait_seconds = request.wait_seconds.unwrap_or_default();
    let look = |request| see_result::shown(app, caller, request, Waiting::default());
    if wait_seconds == 0 && call.is_first() {
        return Ok(look(request).await?.form(answer::execution)?.into());
    }
    let again = see_result::Request { wait_seconds: None, ..request.clone() };
    let see = |waiting| see_result::see_result(app, caller, request, waiting);
    match Box::pin(call.carry_out(Some(wait_seconds), see)).await? {
        Waited::Done(execution, false) => Ok(answer::execution(&execution)?.into()),
        // After an answer, what was asked to be seen is looked at once more.
        Waited::Done(_, true) => Ok(look(again).await?.form(answer::execution)?.into()),
        asks @ Waited::Asks(_) => asks.respond(answer::execution),
    }
}

async fn control(call: Incoming<'_>) -> Result<CallToolResponse, Error> {
    let (app, caller) = (call.server.app(), call.caller);
    let (call, arguments) = call.split();
    let request: control_execution::Request = arguments::read(ToolName::ControlExecution, arguments)?;
    if request.action == "inspect" {
        let inspected = control_execution::control_execution(app, caller, request, Waiting::default());
        let seen = Box::pin(inspected).await?;
        return Ok(answer::execution(&seen)?.into());
    }
    let wait_seconds = request.wait_seconds;
    let waited = match request.action.as_str() {
        "diff" => {
            let request = time_travel::diff(request)?;
            let diff = Box::pin(diff_executions::diff_executions(app, caller, request)).await?;
            return Ok(answer::structured(&diff)?.into());
        }
        "fork" => {
            let request = time_travel::fork(request)?;
            let extras = fork_execution::Extras::default();
            let fork = |waiting| fork_execution::fork_execution(app, caller, request, extras, waiting);
            Box::pin(call.carry_out(wait_seconds, fork)).await?
        }
        "replay" => {
            let request = replay_execution::Request { execution_id: request.execution_id, wait_seconds };
            let extras = replay_execution::Extras::default();
            let replay = |waiting| replay_execution::replay_execution(app, caller, request, extras, waiting);
            Box::pin(call.carry_out(wait_seconds, replay)).await?
        }
        _ => {
            let control = |waiting| control_execution::control_execution(app, caller, request, waiting);
            Box::pin(call.carry_out(wait_seconds, control)).await?
        }
    };
    waited.respond(answer::execution)
}

async fn compile(call: Incoming<'_>) -> Result<CallToolResponse, Error> {
    let request = arguments::read(call.tool, call.arguments)?;
    let extras = compile_diagram::Extras::default();
    let report = compile_diagram::compile_diagram(call.server.app(), call.caller, request, extras).await?;
    Ok(answer::report(&report)?.into())
}

async fn find(call: Incoming<'_>) -> Result<CallToolResponse, Error> {
    let request = arguments::read(call.tool, call.arguments)?;
    Ok(answer::document(&search::search(call.server.app(), call.caller, request).await?)?.into())
}

async fn read(call: Incoming<'_>) -> Result<CallToolResponse, Error> {
    let request = arguments::read(call.tool, call.arguments)?;
    Ok(answer::document(&fetch::fetch(call.server.app(), call.caller, request).await?)?.into())
}
