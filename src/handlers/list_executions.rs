//! Lists executions, newest first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::{App, Caller};
use crate::engine::Status;
use crate::error::Error;
use crate::store::{ExecutionHead, ListFilter};

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

/// Lists executions that the caller may know of, newest first; those that others started are found through
/// these.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_INPUT` for a limit out of range.
pub async fn list_executions(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let limit = request.limit.unwrap_or(20);
    if !(1..=1_000).contains(&limit) {
        return Err(
            Error::invalid("INVALID_INPUT", format!("`limit` is {limit}")).hint("write a number from 1 to 1000")
        );
    }
    let Some(store) = app.existing_store()? else { return Ok(Response { executions: Vec::new(), total: 0 }) };
    let filter = ListFilter {
        status: request.status,
        diagram_id: request.diagram,
        principal: caller.only_of(),
        limit: Some(limit),
        ..ListFilter::default()
    };
    let (rows, total) = store.list_executions(&filter)?;
    Ok(Response { executions: rows.into_iter().map(listed).collect(), total })
}

/// Returns the newest of the executions that [`list_executions`] would list; none are counted.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`.
pub async fn newest_execution(app: &App, caller: &Caller, request: Request) -> Result<Option<ListedExecution>, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let Some(store) = app.existing_store()? else { return Ok(None) };
    let principal = caller.only_of();
    let filter = ListFilter { status: request.status, diagram_id: request.diagram, principal, ..ListFilter::default() };
    Ok(store.newest_execution(&filter)?.map(listed))
}

fn listed(row: ExecutionHead) -> ListedExecution {
    ListedExecution {
        execution_id: row.execution_id,
        status: row.status,
        pause_reason: row.pause_reason,
        diagram_id: row.diagram_id,
        started_at: row.started_at.to_rfc3339(),
        ended_at: row.ended_at.map(|it| it.to_rfc3339()),
        duration_ms: row.ended_at.map(|it| it.since_ms(row.started_at)),
        error_code: row.error_code,
    }
}
