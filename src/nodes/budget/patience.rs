//! Time limits that leave out the time an attempt waits for others to settle: that is not its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Purse;

/// How often to see whether an attempt whose time is up still waits.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long one attempt has waited.
#[derive(Debug, Default)]
pub(super) struct Patience(Mutex<Waited>);

#[derive(Debug, Default)]
struct Waited {
    before: Duration,
    since: Option<Instant>,
}

impl Patience {
    /// Counts from now on, until what it returns is dropped.
    pub(super) fn begin(&self) -> Waiting<'_> {
        self.lock().since.get_or_insert_with(Instant::now);
        Waiting(self)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.lock().since.is_some()
    }

    pub(super) fn waited(&self) -> Duration {
        let waited = self.lock();
        waited.before + waited.since.map_or(Duration::ZERO, |it| it.elapsed())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waited> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that waits.
pub(super) struct Waiting<'a>(&'a Patience);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waited = self.0.lock();
        if let Some(since) = waited.since.take() {
            waited.before += since.elapsed();
        }
    }
}

/// Runs `work` for at most `limit`, without the time it waits for its budget; `None` when that was not enough.
pub async fn within<T>(limit: Duration, purse: Option<&Purse>, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    let begun = Instant::now();
    loop {
        let waited = purse.map_or(Duration::ZERO, Purse::waited);
        let Some(end) = begun.checked_add(limit.saturating_add(waited)) else { return Some(work.await) };
        match tokio::time::timeout_at(end, &mut work).await {
            Ok(outcome) => return Some(outcome),
            Err(_) if purse.is_some_and(Purse::is_waiting) => tokio::select! {
                outcome = &mut work => return Some(outcome),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            },
            Err(_) if purse.is_some_and(|it| it.waited() > waited) => {}
            Err(_) => return None,
        }
    }
}
