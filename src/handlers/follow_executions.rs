//! Follows all executions that a caller may know of: that they begin, pause, go on and end, from now on. What happens
//! inside one is told by `follow_execution`. Whoever wants to know what was before lists the executions once this
//! has begun: then nothing falls between the two.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::caller::Scope;
use super::follow_execution::{EventRecord, record_of};
use super::{App, Caller};
use crate::error::Error;
use crate::limits;

/// Begins to follow the executions that the caller may know of; children are part of their parents.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, what the database says.
pub async fn follow_executions(app: &Arc<App>, caller: &Caller) -> Result<FollowExecutions, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let changes = app.store()?.changes();
    let mark = app.store()?.log_end()?;
    let (app, caller) = (Arc::clone(app), caller.clone());
    Ok(FollowExecutions { app, caller, mark, ready: VecDeque::new(), changes, is_drained: true, next_look: None })
}

/// What happens to executions, pulled event by event. It never ends by itself.
pub struct FollowExecutions {
    app: Arc<App>,
    caller: Caller,
    /// Up to where the log of all executions was read.
    mark: u64,
    /// What was read and not handed out yet.
    ready: VecDeque<EventRecord>,
    changes: watch::Receiver<u64>,
    is_drained: bool,
    next_look: Option<Instant>,
}

impl FollowExecutions {
    /// Returns the next event, waiting for it. Giving this up half-way loses nothing.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn next(&mut self) -> Result<EventRecord, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if self.is_drained {
                if self.changes.changed().await.is_err() {
                    // The database was closed: the process is about to end.
                    return std::future::pending().await;
                }
                self.is_drained = false;
            }
            if let Some(at) = self.next_look {
                tokio::time::sleep_until(at).await;
            }
            self.look()?;
        }
    }

    fn look(&mut self) -> Result<(), Error> {
        // First: what is committed from here on says so.
        self.changes.mark_unchanged();
        let store = self.app.store()?;
        let page = store.turns_since(self.mark, limits::FOLLOWED_ROWS, limits::FOLLOWED_BYTES)?;
        self.is_drained = page.end == self.mark;
        self.mark = page.end;
        self.next_look = page.turns.is_empty().then(|| Instant::now() + limits::FOLLOW_PAUSE);
        for turn in page.turns.into_iter().filter(|it| self.caller.may_see(it.principal.as_deref())) {
            self.ready.push_back(record_of(&turn.execution_id, turn.row, None, self.app.scrubber()));
        }
        Ok(())
    }
}
