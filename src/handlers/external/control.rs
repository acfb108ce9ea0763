//! What may be asked of an execution that a foreign runner carries out: to end it.

use super::super::{App, Caller};
use super::not_run_here;
use super::report::{Reported, append, closing};
use crate::clock::Timestamp;
use crate::engine::Status;
use crate::engine::event::{ControlApplied, Event};
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;

/// Ends the execution: `abort` as aborted; `complete` as failed when the last round of a node failed, else as
/// completed. Asked again it changes nothing.
///
/// # Errors
///
/// `NOT_RUN_HERE` for every other action, `EXECUTION_ENDED` when it ended in another way; what the database says.
pub(in super::super) async fn control(
    app: &App,
    caller: &Caller,
    id: &ExecutionId,
    action: &str,
    reason: Option<String>,
) -> Result<(), Error> {
    if !matches!(action, "abort" | "complete") {
        return Err(not_run_here(id, &action.replace('_', " ")));
    }
    let by = caller.by();
    append(app, id, |state, now| ending(state, now, (action, &by, reason.as_deref()), id)).await.map(drop)
}

fn ending(
    state: &ExecutionState,
    now: Timestamp,
    (action, by, reason): (&str, &str, Option<&str>),
    id: &ExecutionId,
) -> Result<Vec<Reported>, Error> {
    match (state.status, action) {
        (Status::Aborted, "abort") | (Status::Completed, "complete") => return Ok(Vec::new()),
        (status, _) if status.has_ended() => {
            let message = format!("`{id}` is {}; there is nothing to {action}", status.name());
            return Err(Error::conflict("EXECUTION_ENDED", message).hint("register another execution"));
        }
        _ => {}
    }
    let applied = ControlApplied { reason: reason.map(str::to_owned), ..ControlApplied::new(action, by) };
    let mut closing = closing(state, now);
    (closing.by, closing.reason) = (Some(by.to_owned()), reason.map(str::to_owned));
    let failed = state.nodes.iter().find(|it| it.status == Status::Failed).and_then(|it| it.error.clone());
    let end = match (action, failed) {
        ("abort", _) => Event::ExecutionAborted(closing),
        (_, Some(error)) => {
            closing.error = Some(error);
            Event::ExecutionError(closing)
        }
        (_, None) => Event::ExecutionCompleted(closing),
    };
    Ok(vec![(None, Event::Control(applied)), (None, end)])
}
