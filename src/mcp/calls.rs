//! Carries out a tool call: arguments to a handler's request, its response to a result.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use rmcp::RoleServer;
use rmcp::model::{CallToolResult, JsonObject};
use rmcp::service::RequestContext;

use super::progress::waited;
use super::server::McpServer;
use super::tools::ToolName;
use super::{answer, arguments};
use crate::error::Error;
use crate::handlers::{compile_diagram, control_execution, fetch, run_diagram, search, see_result};

/// Carries out `tool`. What a model can do something about is an error result, never a protocol error.
pub async fn call(
    server: &McpServer,
    tool: ToolName,
    arguments: JsonObject,
    context: &RequestContext<RoleServer>,
) -> CallToolResult {
    let _open = server.open_calls().token();
    // A panic would otherwise leave the request without an answer for ever.
    let outcome = AssertUnwindSafe(dispatch(server, tool, arguments, context)).catch_unwind().await;
    match outcome {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => answer::failure(&error),
        Err(_) => answer::failure(&Error::internal(format!("`{}` stopped unexpectedly", tool.name()))),
    }
}

async fn dispatch(
    server: &McpServer,
    tool: ToolName,
    arguments: JsonObject,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, Error> {
    let (app, caller) = (server.app(), &server.caller(context));
    match tool {
        ToolName::DipeoRun => {
            let request = arguments::read(tool, arguments)?;
            let execution = waited(context, server.stop(), |waiting| {
                run_diagram::run_diagram(app, caller, request, run_diagram::Extras::default(), waiting)
            });
            answer::run(&execution.await?)
        }
        ToolName::SeeResult => {
            let request: see_result::Request = arguments::read(tool, arguments)?;
            let shown = if request.wait_seconds.unwrap_or_default() == 0 {
                see_result::shown(app, caller, request, run_diagram::Waiting::default()).await?
            } else {
                waited(context, server.stop(), |waiting| see_result::shown(app, caller, request, waiting)).await?
            };
            shown.form(answer::structured)
        }
        ToolName::ControlExecution => {
            let request = arguments::read(tool, arguments)?;
            let execution = waited(context, server.stop(), |waiting| {
                control_execution::control_execution(app, caller, request, waiting)
            });
            answer::structured(&execution.await?)
        }
        ToolName::CompileDiagram => {
            let request = arguments::read(tool, arguments)?;
            let extras = compile_diagram::Extras::default();
            answer::structured(&compile_diagram::compile_diagram(app, caller, request, extras).await?)
        }
        ToolName::Search => {
            let request = arguments::read(tool, arguments)?;
            answer::document(&search::search(app, caller, request).await?)
        }
        ToolName::Fetch => {
            let request = arguments::read(tool, arguments)?;
            answer::document(&fetch::fetch(app, caller, request).await?)
        }
    }
}
