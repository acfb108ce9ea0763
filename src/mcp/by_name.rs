//! The one method of our own: a use case by its name, for a `dipeo` on another machine. Other clients use the tools;
//! what a model reads of an execution is not what a program needs.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use rmcp::RoleServer;
use rmcp::model::CustomRequest;
use rmcp::service::RequestContext;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::server::McpServer;
use crate::config::Toolset;
use crate::error::Error;
use crate::handlers::by_name;
use crate::handlers::caller::Door;

/// The name of the method.
pub const METHOD: &str = "io.github.dipeo/use_case";

#[derive(Deserialize)]
struct Params {
    name: String,
    #[serde(default)]
    request: Value,
}

/// Carries out what `request` names: `{"response": …}`, or `{"error": …}` with the error object and its kind. `None`
/// for another method, and where the server offers diagrams alone.
pub async fn answer(
    server: &McpServer,
    request: &CustomRequest,
    context: &RequestContext<RoleServer>,
) -> Option<Value> {
    if request.method != METHOD || !server.app().config.mcp.has(Toolset::Core) {
        return None;
    }
    let _open = server.open_calls().token();
    let outcome = match AssertUnwindSafe(carry_out(server, request, context)).catch_unwind().await {
        Ok(outcome) => outcome.map_err(|error| error.scrubbed(server.app().scrubber())),
        Err(_) => Err(Error::internal("the request stopped unexpectedly")),
    };
    Some(match outcome {
        Ok(response) => json!({"response": response}),
        Err(error) => {
            answer::log(&error);
            let mut object = error.to_json();
            object["kind"] = error.kind().name().into();
            json!({"error": object})
        }
    })
}

async fn carry_out(
    server: &McpServer,
    request: &CustomRequest,
    context: &RequestContext<RoleServer>,
) -> Result<Value, Error> {
    let params = request.params.clone().unwrap_or_default();
    let params: Params = serde_json::from_value(params).map_err(|error| {
        Error::invalid("INVALID_INPUT", format!("the parameters of `{METHOD}` cannot be read: {error}"))
            .hint("send {\"name\": …, \"request\": {…}}")
    })?;
    // A program reads the answer, as over plain HTTP.
    let caller = server.caller(context).through(Door::Http);
    by_name::carry_out(server.shared_app(), &caller, &params.name, params.request).await
}
