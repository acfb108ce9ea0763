//! Executions whose loop broke off because the database did not take what it wrote: a full disk, say. A process
//! that lives on takes them up again; a foreground command says what happened and leaves them to others.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::Error;
use crate::ids::ExecutionId;

/// The executions of this process that are open and that nobody runs, each with the reason.
pub(super) struct BrokenOff {
    runs: Mutex<HashMap<ExecutionId, Error>>,
    /// Says "look again".
    news: watch::Sender<()>,
}

impl Default for BrokenOff {
    fn default() -> Self {
        Self { runs: Mutex::default(), news: watch::Sender::new(()) }
    }
}

impl BrokenOff {
    /// Remembers why an execution stands still.
    pub(super) fn note(&self, execution_id: ExecutionId, error: Error) {
        self.runs().insert(execution_id, error);
        self.news.send_replace(());
    }

    /// Takes all of them, to be taken up again.
    pub(super) fn take(&self) -> Vec<ExecutionId> {
        self.runs().drain().map(|(execution_id, _)| execution_id).collect()
    }

    /// Waits until the loop of this execution breaks off, and returns why.
    pub(super) async fn wait(&self, execution_id: &ExecutionId) -> Error {
        let mut news = self.news.subscribe();
        loop {
            if let Some(error) = self.runs().get(execution_id) {
                return same(error);
            }
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<ExecutionId, Error>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error once more, without its source: that one was logged when it happened.
fn same(error: &Error) -> Error {
    Error::new(error.kind(), error.code(), error.message())
        .hint(error.hint_text().unwrap_or("free space or mend the disk; the execution goes on with the next `dipeo`"))
        .retryable(error.is_retryable())
}
