//! The last runs of a diagram beside each other: whether it got slower or dearer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::caller::Scope;
use super::execution_metrics::Tokens;
use super::{App, Caller};
use crate::engine::Status;
use crate::engine::event::TokenUsage;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::store::{ExecutionHead, ListFilter, Store};

/// How many runs are shown.
const RUNS_DEFAULT: usize = 20;

/// Which diagram.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name of the diagram, as executions carry it.
    pub diagram: String,
    /// At most so many runs (20, up to 1000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<usize>,
}

/// The last runs of a diagram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub diagram_id: String,
    /// Newest first.
    pub runs: Vec<PastRun>,
    /// How many there are in all.
    pub total: u64,
}

/// One run, in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PastRun {
    pub execution_id: String,
    pub status: Status,
    pub started_at: String,
    /// Absent while it is under way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total_duration_ms: Option<i64>,
    /// Runs of nodes; like the tokens as of the last pause or end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total_token_usage: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_code: Option<String>,
}

/// Returns the last runs of a diagram, newest first.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_INPUT` for a limit out of range, what the database says.
pub async fn metrics_history(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let limit = request.limit.unwrap_or(RUNS_DEFAULT);
    if !(1..=1_000).contains(&limit) {
        return Err(
            Error::invalid("INVALID_INPUT", format!("`limit` is {limit}")).hint("write a number from 1 to 1000")
        );
    }
    let diagram_id = request.diagram;
    let Some(store) = app.existing_store()? else { return Ok(Response { diagram_id, runs: Vec::new(), total: 0 }) };
    let filter = ListFilter {
        diagram_id: Some(diagram_id.clone()),
        principal: caller.only_of(),
        limit: Some(limit),
        ..ListFilter::default()
    };
    let (rows, total) = store.list_executions(&filter)?;
    let runs = rows.into_iter().map(|it| past_run(store, it)).collect::<Result<_, Error>>()?;
    Ok(Response { diagram_id, runs, total })
}

fn past_run(store: &Store, row: ExecutionHead) -> Result<PastRun, Error> {
    let projection = store.projection(&ExecutionId::parse(&row.execution_id)?)?;
    let counts: Option<Map<String, Value>> =
        projection.as_ref().and_then(|it| serde_json::from_str(&it.exec_counts).ok());
    let usage: Option<TokenUsage> = projection.and_then(|it| serde_json::from_str(&it.llm_usage).ok());
    Ok(PastRun {
        execution_id: row.execution_id,
        status: row.status,
        started_at: row.started_at.to_rfc3339(),
        total_duration_ms: row.ended_at.map(|it| it.since_ms(row.started_at)),
        node_count: counts.filter(|it| !it.is_empty()).map(|it| it.values().filter_map(Value::as_u64).sum()),
        total_token_usage: usage.filter(|it| it.total > 0 || it.cost_usd.is_some()).map(Tokens::from),
        error_code: row.error_code,
    })
}
