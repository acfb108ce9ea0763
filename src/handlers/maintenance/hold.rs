//! Keeps an execution for good, or lets retention have it again.

use serde::{Deserialize, Serialize};

use super::require_terminal;
use crate::error::Error;
use crate::handlers::{App, Caller};
use crate::ids::ExecutionId;

/// Which execution, and whether it is to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub execution_id: String,
    pub hold: bool,
}

/// How it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub execution_id: String,
    pub hold: bool,
}

/// Holds or releases the execution. What it started is kept with it.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`.
pub async fn hold(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    require_terminal(caller)?;
    let id = ExecutionId::parse(&request.execution_id)?;
    app.visible(caller, &id)?;
    app.store()?.set_hold(&id, request.hold).await?;
    Ok(Response { execution_id: request.execution_id, hold: request.hold })
}
