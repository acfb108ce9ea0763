//! Appends to the log of an execution that a foreign runner carries out: what is to be written is made from the
//! state that the log has, and made anew when somebody else wrote meanwhile.

use std::sync::Arc;

use super::super::App;
use super::super::launch::fold;
use crate::clock::Timestamp;
use crate::engine::event::{Closing, Event};
use crate::engine::journal::{Batch, Summary, Transition};
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;

/// How often somebody else may be faster.
const ATTEMPTS_MAX: u32 = 50;

/// An event, and the position of its node.
pub(super) type Reported = (Option<usize>, Event);

/// Appends what `make` makes of the present state, and returns the state afterwards. Nothing is written when it makes
/// nothing.
///
/// # Errors
///
/// What `make` says; `EXECUTION_ENDED`, `DATABASE_BUSY`; what the database says.
pub(super) async fn append(
    app: &App,
    id: &ExecutionId,
    make: impl Fn(&ExecutionState, Timestamp) -> Result<Vec<Reported>, Error>,
) -> Result<ExecutionState, Error> {
    let store = app.store()?;
    for _ in 0..ATTEMPTS_MAX {
        let mut state = ExecutionState::new();
        let last_seq = fold(&mut state, store.transitions(id, 0, None)?)?;
        // A clock that was set back does not turn the order of the log around.
        let now = app.clock.now().max(state.last_at());
        let reported = make(&state, now)?;
        if reported.is_empty() {
            return Ok(state);
        }
        let batch = batch(id, &mut state, last_seq, reported, now);
        if store.append_external(batch).await? {
            return Ok(state);
        }
    }
    Err(Error::conflict("DATABASE_BUSY", format!("too many report of `{id}` at once"))
        .hint("try again in a moment")
        .retryable(true))
}

fn batch(
    id: &ExecutionId,
    state: &mut ExecutionState,
    last_seq: u64,
    reported: Vec<Reported>,
    now: Timestamp,
) -> Batch {
    let mut transitions = Vec::with_capacity(reported.len());
    for ((node, event), seq) in reported.into_iter().zip(last_seq + 1..) {
        state.apply(&event, node, now);
        transitions.push(Transition {
            seq,
            node_id: node.map(|it| Arc::from(state.nodes[it].outline.id.as_str())),
            phase: event.phase(),
            payload: event.payload(),
            created_at: now,
        });
    }
    let error = state.closing.as_ref().and_then(|it| it.error.as_ref());
    let code = error.and_then(|it| it.get("code")?.as_str()).map(str::to_owned);
    Batch {
        execution_id: id.clone(),
        owner: Arc::from(""),
        summary: Summary {
            status: state.status,
            pause_reason: None,
            error_code: code,
            ended_at: state.ended_at,
            deadline_at: None,
            last_seq: last_seq + transitions.len() as u64,
            last_activity_at: now,
        },
        transitions,
        messages: Vec::new(),
        recordings: Vec::new(),
        carried_out: Vec::new(),
        projection: state.status.has_ended().then(|| Box::new(state.projection())),
    }
}

/// The last event's content, of an execution that ends as it is.
pub(super) fn closing(state: &ExecutionState, now: Timestamp) -> Closing {
    let never_ran = state.nodes.iter().filter(|it| it.started == 0);
    Closing {
        outputs: Some(state.outputs()),
        counts: state.counts(),
        llm_usage: state.usage,
        total_duration_ms: now.since_ms(state.started_at),
        skipped: never_ran.map(|it| it.outline.label.clone()).collect(),
        ..Closing::default()
    }
}
