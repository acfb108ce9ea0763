//! Removes an execution that has ended, with all that it started. Only the owner of the database may.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wait::not_found;
use super::{App, Caller};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::store::Removal;

/// Which execution.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub execution_id: String,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub execution_id: String,
    /// Executions that went, those that it started among them.
    pub deleted: u64,
}

/// Deletes an execution with its log, conversation and recordings. What came from it (forks, replays) stays.
///
/// # Errors
///
/// `PERMISSION_REQUIRED`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `NOT_ENDED` also when something that came
/// from it runs still, `EXECUTION_HELD`, `LAST_EXECUTION`.
pub async fn delete_execution(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let id = ExecutionId::parse(&request.execution_id)?;
    app.visible(caller, &id)?;
    if !caller.is_owner() {
        return Err(Error::refused("PERMISSION_REQUIRED", "only the owner of the server may delete executions")
            .hint("ask the owner, or let retention take it: `[retention]` in dipeo.toml"));
    }
    match app.store()?.delete_execution(&id).await? {
        Removal::Done(deleted) => Ok(Response { execution_id: id.to_string(), deleted: deleted.executions }),
        Removal::NotThere => Err(not_found(&id)),
        Removal::Runs => {
            Err(Error::conflict("NOT_ENDED", format!("`{id}`, or something that came from it, has not ended"))
                .hint("abort it first, or wait for its end"))
        }
        Removal::IsTheLast => Err(Error::conflict("LAST_EXECUTION", format!("`{id}` is the only execution there is"))
            .hint("delete it when there is another one: the numbers of events count on from the last")),
        Removal::Held => Err(Error::conflict("EXECUTION_HELD", format!("`{id}` is held"))
            .hint("a person can let it go with `dipeo maintenance release`")),
    }
}
