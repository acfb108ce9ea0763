//! Answers a waiting node, aborts an execution, decides about an interrupted effect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::execution_object::ExecutionObject;
use super::run_diagram::Waiting;
use super::{App, Caller};
use crate::error::Error;

/// What to do with which execution.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The id that `dipeo_run` returned.
    pub execution_id: String,
    /// `answer`, `abort` (`cancel`, `stop`), `resume` (`continue`) or `set_output`.
    pub action: String,
    /// The waiting node, by id or label; needed when several wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// The answer, or the node's value for `set_output`. With several model prompts waiting: a map from node to reply.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    /// Seconds to wait for what comes next, 0 to 25 (20).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait_seconds: Option<u32>,
    /// Why; stored with an abort.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// Carries the action out durably and returns the execution as it is after waiting.
///
/// # Errors
///
/// `EXECUTION_NOT_FOUND`, `NODE_NOT_FOUND`, `INVALID_ANSWER` (the question stays open), `ALREADY_ANSWERED`,
/// `NOT_PAUSED`, `EXECUTION_ENDED`, `INVALID_INPUT` for an unknown action.
pub async fn control_execution(
    _app: &App,
    _caller: &Caller,
    _request: Request,
    _waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    Err(Error::internal("not written"))
}
