//! Carries out a tool call: arguments to a handler's request, its response to a result.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use rmcp::model::{CallToolResponse, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};

use super::questions::{self, Retry, Waited};
use super::server::McpServer;
use super::tools::ToolName;
use super::{answer, arguments, tasks};
use crate::error::Error;
use crate::handlers::run_diagram::Waiting;
use crate::handlers::{compile_diagram, control_execution, fetch, run_diagram, search, see_result};

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
    let outcome = AssertUnwindSafe(dispatch(server, tool, arguments, retry, context)).catch_unwind().await;
    match outcome {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) if error.code() == "INVALID_REQUEST_STATE" => {
            Err(ErrorData::invalid_params(error.message().to_owned(), Some(answer::error_shown(&error))))
        }
        Ok(Err(error)) => Ok(answer::failure(&error.scrubbed(server.app().scrubber())).into()),
        Err(_) => Ok(answer::failure(&Error::internal(format!("`{}` stopped unexpectedly", tool.name()))).into()),
    }
}

async fn dispatch(
    server: &McpServer,
    tool: ToolName,
    arguments: JsonObject,
    retry: Retry,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, Error> {
    let (app, caller) = (server.app(), &server.caller(context));
    let result = match tool {
        ToolName::DipeoRun => {
            let call = questions::Call::new(server, context, caller, (tool, &arguments), retry);
            let request: run_diagram::Request = arguments::read(tool, arguments)?;
            let wait_seconds = request.wait_seconds;
            let extras = run_diagram::Extras { task_after: tasks::after(server, context), ..Default::default() };
            let became_task = AtomicBool::new(false);
            let is_task = &became_task;
            let run = |waiting| async move {
                let ran = run_diagram::run_or_task(app, caller, request, extras, waiting).await?;
                is_task.store(ran.is_task, Ordering::Relaxed);
                Ok(ran.execution)
            };
            return match call.carry_out(wait_seconds, run).await? {
                Waited::Done(execution, _) if is_task.load(Ordering::Relaxed) => {
                    Ok(tasks::created(server, caller, &execution.execution_id)?.into())
                }
                waited => waited.respond(answer::run),
            };
        }
        ToolName::SeeResult => {
            let call = questions::Call::new(server, context, caller, (tool, &arguments), retry);
            let request: see_result::Request = arguments::read(tool, arguments)?;
            let again = see_result::Request { wait_seconds: None, ..request.clone() };
            let wait_seconds = request.wait_seconds.unwrap_or_default();
            let look = |request| see_result::shown(app, caller, request, Waiting::default());
            if wait_seconds == 0 && call.is_first() {
                look(request).await?.form(answer::execution)?
            } else {
                let see = |waiting| see_result::see_result(app, caller, request, waiting);
                match call.carry_out(Some(wait_seconds), see).await? {
                    Waited::Done(execution, false) => answer::execution(&execution)?,
                    // After an answer, what was asked to be seen is looked at once more.
                    Waited::Done(_, true) => look(again).await?.form(answer::execution)?,
                    asks @ Waited::Asks(_) => return asks.respond(answer::execution),
                }
            }
        }
        ToolName::ControlExecution => {
            let call = questions::Call::new(server, context, caller, (tool, &arguments), retry);
            let request: control_execution::Request = arguments::read(tool, arguments)?;
            if request.action == "inspect" {
                let seen = control_execution::control_execution(app, caller, request, Waiting::default()).await?;
                return Ok(answer::execution(&seen)?.into());
            }
            let wait_seconds = request.wait_seconds;
            let control = |waiting| control_execution::control_execution(app, caller, request, waiting);
            return call.carry_out(wait_seconds, control).await?.respond(answer::execution);
        }
        ToolName::CompileDiagram => {
            let request = arguments::read(tool, arguments)?;
            let extras = compile_diagram::Extras::default();
            answer::report(&compile_diagram::compile_diagram(app, caller, request, extras).await?)?
        }
        ToolName::Search => {
            let request = arguments::read(tool, arguments)?;
            answer::document(&search::search(app, caller, request).await?)?
        }
        ToolName::Fetch => {
            let request = arguments::read(tool, arguments)?;
            answer::document(&fetch::fetch(app, caller, request).await?)?
        }
    };
    Ok(result.into())
}
