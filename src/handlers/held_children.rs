//! An operator's pause goes down to the executions that the paused one waits for, and so does its end. What somebody
//! paused by itself stays so.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::App;
use super::control_execution::carry_out;
use super::launch::entry;
use crate::engine::Event;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::store::{NewControl, Store};

/// Who pauses a child because its parent is paused.
const BY_PARENT: &str = "parent";

/// Pauses what `id` waits for, and what that waits for.
///
/// # Errors
///
/// What the database says.
pub(super) fn hold_children<'a>(app: &'a App, id: &'a ExecutionId) -> BoxFuture<'a, Result<(), Error>> {
    async move {
        for child in open_children(app.store()?, id)? {
            tell(app, &child, "pause").await?;
            hold_children(app, &child).await?;
        }
        Ok(())
    }
    .boxed()
}

/// Lets go what is paused because `id` is; the deepest first, so that whoever is let go finds that it goes on.
///
/// # Errors
///
/// What the database says.
pub(super) fn release_children<'a>(app: &'a App, id: &'a ExecutionId) -> BoxFuture<'a, Result<(), Error>> {
    async move {
        for child in open_children(app.store()?, id)? {
            if paused_by(app.store()?, &child)?.is_some_and(|it| it.by == BY_PARENT) {
                release_children(app, &child).await?;
                tell(app, &child, "resume").await?;
            }
        }
        Ok(())
    }
    .boxed()
}

/// The request that pauses a child which begins in a paused parent.
pub(super) fn pause_of(child: &ExecutionId) -> NewControl {
    request(child, "pause")
}

/// Whether an operator holds the execution.
///
/// # Errors
///
/// What the database says.
pub(super) fn is_held(store: &Store, id: &ExecutionId) -> Result<bool, Error> {
    Ok(paused_by(store, id)?.is_some())
}

/// Whether a child that `parent` starts now at `place` begins paused: an operator holds the parent, and its node had
/// begun before that. What a step lets go runs as a whole.
///
/// # Errors
///
/// What the database says.
pub(super) fn holds_what_starts(store: &Store, parent: &ExecutionId, place: &str) -> Result<bool, Error> {
    let Some(pause) = paused_by(store, parent)? else { return Ok(false) };
    let node = place.split(':').next().unwrap_or_default();
    for row in store.transitions(parent, pause.seq, None)? {
        if row.node_id.as_deref() == Some(node) && matches!(entry(row)?.map(|it| it.event), Some(Event::NodeStarted(_)))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The pause that holds an execution.
struct Pause {
    seq: u64,
    by: String,
}

fn paused_by(store: &Store, id: &ExecutionId) -> Result<Option<Pause>, Error> {
    // Hardly any execution is ever paused, and then its log need not be read.
    if !store.was_asked(id, "pause")? {
        return Ok(None);
    }
    let mut pause = None;
    for row in store.transitions(id, 0, None)? {
        let Some(entry) = entry(row)? else { continue };
        match entry.event {
            Event::Control(it) if it.action == "pause" => pause = Some(Pause { seq: entry.seq, by: it.by }),
            Event::Control(it) if it.action == "resume" && entry.node_id.is_none() => pause = None,
            Event::ExecutionCompleted(_) | Event::ExecutionError(_) | Event::ExecutionAborted(_) => pause = None,
            _ => {}
        }
    }
    Ok(pause)
}

fn open_children(store: &Store, id: &ExecutionId) -> Result<Vec<ExecutionId>, Error> {
    let open = store.children(id)?.into_iter().filter(|it| it.is_awaited && !it.status.has_ended());
    open.map(|it| ExecutionId::parse(&it.execution_id)).collect()
}

async fn tell(app: &App, child: &ExecutionId, action: &str) -> Result<(), Error> {
    match carry_out(app, child, request(child, action)).await {
        // It was done before it heard of that.
        Err(e) if e.code() == "EXECUTION_ENDED" => Ok(()),
        outcome => outcome,
    }
}

fn request(child: &ExecutionId, action: &str) -> NewControl {
    NewControl {
        execution_id: child.clone(),
        action: action.to_owned(),
        node: None,
        value: None,
        actor: Some(BY_PARENT.to_owned()),
    }
}
