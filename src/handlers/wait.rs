//! Waits for an execution, bounded, by reading the store: a commit says "look again".

use std::time::Duration;

use super::App;
use super::children::has_moved;
use super::launch::fold;
use super::run_diagram::{OnProgress, ProgressNote, Waiting};
use super::supervisor::TokenNote;
use tokio::sync::broadcast;

use crate::engine::Status;
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::store::Store;

/// Checks `wait_seconds`.
///
/// # Errors
///
/// `INVALID_INPUT` above the maximum.
pub fn seconds(asked: Option<u32>, default: u32) -> Result<Duration, Error> {
    let seconds = asked.unwrap_or(default);
    if seconds > limits::WAIT_SECONDS_MAX {
        return Err(Error::invalid(
            "INVALID_INPUT",
            format!("`wait_seconds` is {seconds}; it may be 0 to {}", limits::WAIT_SECONDS_MAX),
        )
        .hint("wait shorter and call `see_result` again"));
    }
    Ok(Duration::from_secs(u64::from(seconds)))
}

/// Waits until the execution has ended or is paused, at most `limit`, or until the caller goes away.
///
/// # Errors
///
/// `EXECUTION_NOT_FOUND`, what the database says; in a foreground command also why its run broke off.
pub async fn until_settled(
    app: &App,
    execution_id: &ExecutionId,
    limit: Option<Duration>,
    waiting: Waiting,
) -> Result<(), Error> {
    if limit.is_some_and(|it| it.is_zero()) {
        return Ok(());
    }
    let store = app.store()?;
    // Only who tells of each node has to look after each commit.
    let mut changes = if waiting.on_progress.is_some() { store.changes() } else { store.turns() };
    let mut progress = waiting.on_progress.map(ProgressReader::new);
    let mut on_token = waiting.on_token;
    let mut tokens = app.started_supervisor().filter(|_| on_token.is_some()).map(|it| it.tokens());
    let deadline = limit.map(|it| tokio::time::Instant::now() + it);
    loop {
        changes.mark_unchanged();
        let settled = is_settled(store, execution_id)?;
        if let Some(progress) = &mut progress {
            progress.report(store, execution_id)?;
        }
        if settled {
            return Ok(());
        }
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            note = next_token(&mut tokens, execution_id) => if let Some(on_token) = &mut on_token {
                on_token(&note.label, &note.text);
            },
            error = breaks_off(app, execution_id) => return Err(error),
            () = waiting.cancel.cancelled() => return Ok(()),
            () = timer => return Ok(()),
        }
    }
}

/// The failure of the database that this foreground command cannot go on after; never comes elsewhere.
async fn breaks_off(app: &App, execution_id: &ExecutionId) -> Error {
    match app.started_supervisor() {
        Some(supervisor) => supervisor.breaks_off(execution_id).await,
        None => std::future::pending().await,
    }
}

/// The next piece of a reply in this execution; never comes when nobody watches or this process runs nothing.
async fn next_token(tokens: &mut Option<broadcast::Receiver<TokenNote>>, execution_id: &ExecutionId) -> TokenNote {
    let Some(tokens) = tokens else { return std::future::pending().await };
    loop {
        match tokens.recv().await {
            Ok(note) if note.execution_id == *execution_id => return note,
            // Another execution's, or some were missed: what is stored in the end is whole.
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Whether nothing happens any more by itself: the execution has ended, or is paused and somebody has to act.
///
/// # Errors
///
/// `EXECUTION_NOT_FOUND`, what the database says.
pub(super) fn is_settled(store: &Store, execution_id: &ExecutionId) -> Result<bool, Error> {
    let row = store.status(execution_id)?.ok_or_else(|| not_found(execution_id))?;
    match row {
        Status::Paused => Ok(!waits_for_moving_child(store, execution_id)?),
        status => Ok(status.has_ended()),
    }
}

/// Whether a paused execution is about to go on: the child it waits with was answered and runs, or has ended.
fn waits_for_moving_child(store: &Store, execution_id: &ExecutionId) -> Result<bool, Error> {
    if store.children(execution_id)?.is_empty() {
        return Ok(false);
    }
    let mut state = ExecutionState::new();
    fold(&mut state, store.transitions(execution_id, 0, None)?)?;
    for (_, waiting) in state.open_questions() {
        let Some(child) = &waiting.question.child else { return Ok(false) };
        if has_moved(store, child)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The error for an id nobody knows.
pub fn not_found(execution_id: &ExecutionId) -> Error {
    Error::not_found("EXECUTION_NOT_FOUND", format!("there is no execution `{execution_id}`"))
        .hint("`dipeo results` and the resource dipeo://executions list them")
}

/// Follows the log of one execution and tells what is new.
struct ProgressReader {
    on_progress: OnProgress,
    state: ExecutionState,
    last_seq: u64,
}

impl ProgressReader {
    fn new(on_progress: OnProgress) -> Self {
        Self { on_progress, state: ExecutionState::new(), last_seq: 0 }
    }

    fn report(&mut self, store: &Store, execution_id: &ExecutionId) -> Result<(), Error> {
        for row in store.transitions(execution_id, self.last_seq, None)? {
            let (node_id, phase) = (row.node_id.clone(), row.phase.clone());
            self.last_seq = fold(&mut self.state, vec![row])?.max(self.last_seq);
            let Some(idx) = node_id.as_deref().and_then(|it| self.state.node_idx(it)) else { continue };
            let node = &self.state.nodes[idx];
            let counts = (self.state.done, self.state.total);
            let note = ProgressNote::of(&phase, node.outline.label.clone(), counts, node.duration_ms);
            let Some(note) = note else { continue };
            (self.on_progress)(&note);
        }
        Ok(())
    }
}
