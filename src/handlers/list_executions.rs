//! Lists executions, newest first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Caller};
use crate::engine::Status;
use crate::error::Error;

/// Which executions.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Status>,
    /// Name of the diagram.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram: Option<String>,
    /// At most so many (20, up to 1000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<usize>,
}

/// The executions found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub executions: Vec<ListedExecution>,
    /// How many there are in all that fit the filter.
    pub total: u64,
}

/// One execution in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedExecution {
    pub execution_id: String,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pause_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_id: Option<String>,
    pub started_at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_code: Option<String>,
}

/// Lists executions, newest first.
///
/// # Errors
///
/// `INVALID_INPUT` for a limit out of range.
pub async fn list_executions(_app: &App, _caller: &Caller, _request: Request) -> Result<Response, Error> {
    Err(Error::internal("not written"))
}
