//! Gives a registration back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::caller::Scope;
use super::super::{App, Caller};
use super::control::control;
use super::{is_external, session_id};
use crate::engine::Status;
use crate::error::Error;
use crate::ids::ExecutionId;

/// Which execution.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub execution_id: String,
}

/// What is given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub session_id: String,
    pub execution_id: String,
    /// Of the execution, now.
    pub status: Status,
}

/// Ends the registration. What a foreign runner has not ended by then is aborted: it has gone away.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `SESSION_NOT_FOUND` when it was not registered;
/// what the database says.
pub async fn unregister_cli_session(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionControl])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    let head = app.visible(caller, &id)?;
    let store = app.store()?;
    if !store.end_session(&id).await? {
        return Err(Error::not_found("SESSION_NOT_FOUND", format!("`{id}` is not registered"))
            .hint("a registration is given back once"));
    }
    if is_external(&head) && !head.status.has_ended() {
        let reason = Some("its runner gave the registration back".to_owned());
        match control(app, caller, &id, "abort", reason).await {
            // It ended just now.
            Err(error) if error.code() != "EXECUTION_ENDED" => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let status = store.status(&id)?.unwrap_or(head.status);
    Ok(Response { session_id: session_id(&id), execution_id: id.to_string(), status })
}
