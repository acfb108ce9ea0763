//! Starts an execution and waits for it a bounded time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::execution_object::ExecutionObject;
use super::{App, Caller};
use crate::error::Error;

/// What to run. Exactly one of `diagram` and `content`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name or `dipeo://diagrams/...` URI of a diagram in the workspace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram: Option<String>,
    /// A whole diagram as text instead of a name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<String>,
    /// `light`, `readable` or `native`; detected when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format_type: Option<String>,
    /// Values of the diagram's inputs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub input_data: Option<Map<String, Value>>,
    /// Seconds to wait for the end, 0 to 25 (20).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait_seconds: Option<u32>,
    /// Seconds the run itself may take (300); waiting for answers does not count.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout: Option<f64>,
    /// `caller`: you answer every prompt. `scripted`: persons answer from their script.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub models: Option<String>,
    /// The same key again within 24 h returns the first execution.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idempotency_key: Option<String>,
}

/// What only the terminal may ask besides.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// The id of the new execution.
    pub execution_id: Option<String>,
    /// Template warnings become failures.
    pub strict: bool,
}

/// Called while a run is waited for: what has been committed so far.
pub type OnProgress = Box<dyn FnMut(&ProgressNote) + Send>;

/// One sign of life of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgressNote {
    /// Node executions committed.
    pub done: u64,
    /// In all, when the plan has no loops.
    pub total: Option<u64>,
    /// Names the node that started or ended last.
    pub message: String,
}

/// How a caller waits.
#[derive(Default)]
pub struct Waiting {
    /// Ends the wait, never the execution.
    pub cancel: CancellationToken,
    pub on_progress: Option<OnProgress>,
}

/// Finds, compiles and starts a diagram; the row is durable before anything is returned. Waits at most
/// `wait_seconds` for the end or a pause and returns the execution as it is then.
///
/// # Errors
///
/// `DIAGRAM_NOT_FOUND`, `INVALID_DIAGRAM` (all diagnostics in `details`), `INVALID_INPUT`, `INVALID_FORMAT`,
/// `ALREADY_EXISTS`, conflicts of `idempotency_key`.
pub async fn run_diagram(
    _app: &App,
    _caller: &Caller,
    _request: Request,
    _extras: Extras,
    _waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    Err(Error::internal("not written"))
}
