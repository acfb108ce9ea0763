//! The last executions as whole objects, newest first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::execution_object::ExecutionObject;
use super::list_executions::{self, list_executions};
use super::present::{self, View};
use super::{App, Caller};
use crate::error::Error;
use crate::ids::ExecutionId;

/// Objects in one answer at most: each is read and built.
const LIMIT_MAX: usize = 200;

/// Which executions.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Only those of this diagram.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_id: Option<String>,
    /// At most so many (20, up to 200).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<usize>,
}

/// The executions found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub executions: Vec<ExecutionObject>,
    /// How many there are in all.
    pub total: u64,
}

/// Returns the last executions that the caller may know of.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_INPUT` for a limit out of range; what the database says.
pub async fn execution_history(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let limit = request.limit.unwrap_or(20);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid("INVALID_INPUT", format!("`limit` is {limit}"))
            .hint(format!("write a number from 1 to {LIMIT_MAX}")));
    }
    let list = list_executions::Request { diagram: request.diagram_id, limit: Some(limit), ..Default::default() };
    let found = list_executions(app, caller, list).await?;
    let mut executions = Vec::with_capacity(found.executions.len());
    for listed in found.executions {
        match present::execution(app, &ExecutionId::parse(&listed.execution_id)?, &View::of(caller)) {
            Ok(object) => executions.push(object),
            // It was deleted between the list and the look.
            Err(error) if error.code() == "EXECUTION_NOT_FOUND" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Response { executions, total: found.total })
}
