//! Shows an execution: from the store alone, whoever runs it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::execution_object::ExecutionObject;
use super::finished::Shown;
use super::present::{self, Cursor, View};
use super::run_diagram::Waiting;
use super::{App, Caller, wait};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;

/// How much to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Status, outputs, error, what waits.
    #[default]
    Summary,
    /// Also the output of every node.
    Outputs,
    /// Also the whole conversation.
    Conversation,
    /// Everything.
    Full,
}

/// Which execution, and how much of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// From `dipeo_run`.
    pub execution_id: String,
    /// How much (`summary`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<Detail>,
    /// Only this node: its id or label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// Seconds to wait for the end or a pause (0).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait_seconds: Option<u32>,
    /// Also the events after this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since_seq: Option<u64>,
    /// From `omitted`: goes on where a value was cut.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cursor: Option<String>,
    /// Characters to show at most (20000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_chars: Option<usize>,
}

/// Returns the execution as the store has it, after waiting at most `wait_seconds` for its end or a pause.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `NODE_NOT_FOUND`,
/// `INVALID_CURSOR`.
pub async fn see_result(
    app: &App,
    caller: &Caller,
    request: Request,
    waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    Ok(shown(app, caller, request, waiting).await?.into_object())
}

/// [`see_result`] for an adapter that may keep what it makes of an ended execution.
///
/// # Errors
///
/// As [`see_result`].
pub async fn shown(app: &App, caller: &Caller, request: Request, waiting: Waiting) -> Result<Shown, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    let limit = wait::seconds(request.wait_seconds, 0)?;
    let max_chars = request.max_chars.unwrap_or(limits::RESULT_CHARS_DEFAULT);
    if !(limits::RESULT_CHARS_MIN..=limits::RESULT_CHARS_MAX).contains(&max_chars) {
        let (min, max) = (limits::RESULT_CHARS_MIN, limits::RESULT_CHARS_MAX);
        return Err(Error::invalid("INVALID_INPUT", format!("`max_chars` is {max_chars}"))
            .hint(format!("write a number from {min} to {max}")));
    }
    let cursor = request.cursor.as_deref().filter(|it| !it.is_empty()).map(Cursor::read).transpose()?;
    let view = View {
        detail: request.detail.unwrap_or_default(),
        node: request.node,
        max_chars,
        since_seq: request.since_seq,
        cursor,
        ..View::of(caller)
    };
    let (store, clock) = (app.store()?, app.clock.as_ref());
    let known = app.finished.known(store, clock, &id, &view)?;
    if let Some(kept) = known.filter(|it| caller.may_see(it.principal())) {
        return Ok(Shown::Kept(kept));
    }
    let principal = app.visible(caller, &id)?.principal;
    // On the heap: most calls do not wait, and the future of each call is copied on its way through the layers.
    Box::pin(wait::until_settled(app, &id, Some(limit), waiting)).await?;
    app.finished.show(store, clock, (id.clone(), view.clone()), principal, || present::execution(app, &id, &view))
}
