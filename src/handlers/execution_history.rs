//! The last executions as whole objects, newest first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::execution_metrics::{self, execution_metrics};
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
    /// Also the metrics of each.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub include_metrics: bool,
}

/// The executions found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub executions: Vec<Past>,
    /// How many there are in all.
    pub total: u64,
}

/// One execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Past {
    #[serde(flatten)]
    pub execution: ExecutionObject,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metrics: Option<execution_metrics::Response>,
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
        match past(app, caller, listed.execution_id, request.include_metrics).await {
            Ok(past) => executions.push(past),
            // It was deleted between the list and the look.
            Err(error) if error.code() == "EXECUTION_NOT_FOUND" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Response { executions, total: found.total })
}

async fn past(app: &App, caller: &Caller, execution_id: String, include_metrics: bool) -> Result<Past, Error> {
    let execution = present::execution(app, &ExecutionId::parse(&execution_id)?, &View::of(caller))?;
    let metrics = match include_metrics {
        true => Some(execution_metrics(app, caller, execution_metrics::Request { execution_id }).await?),
        false => None,
    };
    Ok(Past { execution, metrics })
}
