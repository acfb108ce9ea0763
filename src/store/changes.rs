//! Tells waiters to look again: after each commit of this process at once, after those of other processes
//! by asking SQLite now and then. It carries no content; the store is the truth.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::watch;

use super::connection::open_reader;
use super::failure::Failure;
use crate::limits;

/// Counts what was committed, as far as anybody needs to look again.
pub(super) struct Changes {
    path: PathBuf,
    count: watch::Sender<u64>,
    /// Those of them that did more than take a running execution one node further. A server that runs many makes
    /// thousands of the others each second, and few have anything to look for in them.
    turns: watch::Sender<u64>,
    poller: Mutex<Poller>,
}

/// The thread that asks about other processes. It lives only while somebody listens.
#[derive(Default)]
struct Poller {
    thread: Option<JoinHandle<()>>,
    is_stopped: bool,
}

impl Changes {
    /// Watches `path`, for now without a thread.
    pub fn new(path: &Path) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_path_buf(),
            count: watch::Sender::new(0),
            turns: watch::Sender::new(0),
            poller: Mutex::default(),
        })
    }

    /// Wakes whoever waits; those who wait for turns only after a commit that `is_turn`.
    pub fn announce(&self, is_turn: bool) {
        let add_one = |count: &mut u64| *count = count.wrapping_add(1);
        self.count.send_modify(add_one);
        if is_turn {
            self.turns.send_modify(add_one);
        }
    }

    /// How often those who wait for turns were told to look again.
    pub fn n_turns(&self) -> u64 {
        *self.turns.borrow()
    }

    /// Returns a receiver that changes whenever something was committed, and also without reason.
    pub fn subscribe(self: &Arc<Self>) -> watch::Receiver<u64> {
        self.receiver(&self.count)
    }

    /// As [`Changes::subscribe`], leaving out the commits of this process that are no turn.
    pub fn subscribe_to_turns(self: &Arc<Self>) -> watch::Receiver<u64> {
        self.receiver(&self.turns)
    }

    fn receiver(self: &Arc<Self>, of: &watch::Sender<u64>) -> watch::Receiver<u64> {
        let mut poller = self.lock();
        // Under the lock, so that a thread about to end for want of listeners sees this one.
        let receiver = of.subscribe();
        if poller.thread.is_none() && !poller.is_stopped {
            let changes = Arc::clone(self);
            let thread = std::thread::Builder::new().name("database-poller".to_owned()).spawn(move || changes.poll());
            match thread {
                Ok(thread) => poller.thread = Some(thread),
                Err(error) => tracing::warn!(%error, "commits of other processes will not be noticed"),
            }
        }
        receiver
    }

    /// Ends the thread and its connection, for good.
    pub fn stop(&self) {
        let thread = {
            let mut poller = self.lock();
            poller.is_stopped = true;
            poller.thread.take()
        };
        if let Some(thread) = thread {
            thread.thread().unpark();
            drop(thread.join());
        }
    }

    fn poll(&self) {
        let mut look = None;
        while self.is_wanted() {
            match self.look(&mut look) {
                Ok(false) => {}
                Ok(true) => self.announce(true),
                Err(failure) => {
                    tracing::debug!(?failure, "the database could not be asked for changes; trying again");
                    look = None;
                }
            }
            std::thread::park_timeout(limits::FOREIGN_COMMIT_POLL);
        }
    }

    /// Says whether anything was committed since the last look. The first look says yes: what happened
    /// before it could not be seen.
    fn look(&self, last: &mut Option<(Connection, i64)>) -> Result<bool, Failure> {
        let version = |connection: &Connection| -> Result<i64, rusqlite::Error> {
            connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
        };
        if let Some((connection, seen)) = last {
            let now = version(connection)?;
            return Ok(std::mem::replace(seen, now) != now);
        }
        let connection = open_reader(&self.path)?;
        let seen = version(&connection)?;
        *last = Some((connection, seen));
        Ok(true)
    }

    /// Whether the thread should go on; when not, the next listener starts another one.
    fn is_wanted(&self) -> bool {
        let mut poller = self.lock();
        let is_wanted = !poller.is_stopped && self.count.receiver_count() + self.turns.receiver_count() > 0;
        if !is_wanted {
            poller.thread = None;
        }
        is_wanted
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Poller> {
        self.poller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
