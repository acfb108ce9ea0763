//! The embedded SQLite store, and the only place that names a database driver. Writes go through one
//! writer thread and are durable when they return; reads are short and see the last commit. It must not
//! know how nodes work or how an execution is scheduled: it keeps what it is given.
//!
//! Several processes may share one file: each has its own writer, SQLite's lock takes turns between them.

mod changes;
mod columns;
mod connection;
mod controls;
mod create;
mod executions;
mod failure;
mod journal;
mod messages;
mod migrate;
mod owners;
mod readers;
mod sources;
#[cfg(test)]
pub(crate) mod testing;
mod transitions;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

pub use controls::{ControlRow, NewControl};
pub use create::{Created, ExecutionKind, Idempotency, NewExecution, Parent, ParentRelation};
pub use executions::{ExecutionHead, ExecutionRow, ListFilter};
pub use messages::{MessageRow, SavedMessage};
pub use owners::{Claimed, NewOwner, OwnerRow};
pub use sources::{NewRevision, RevisionRow, Source};
pub use transitions::TransitionRow;

use crate::clock::Clock;
use crate::error::Error;
use changes::Changes;
use readers::Readers;
use writer::Writer;

/// Where the database is and how it writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub path: PathBuf,
    pub durability: Durability,
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: every commit waits for the disk.
    #[default]
    Full,
    /// A killed process; a power cut may take the last commits, never the file.
    Normal,
}

impl Durability {
    /// The word of flags and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }

    /// Reads what [`Durability::name`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Normal].into_iter().find(|it| it.name() == text)
    }

    /// The value of SQLite's `synchronous`.
    fn pragma(self) -> &'static str {
        self.name()
    }
}

/// An open database. Its methods stand beside the tables they are about.
pub struct Store {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    writer: Writer,
    readers: Readers,
    changes: Arc<Changes>,
}

impl Store {
    /// Opens the database, makes what is missing and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// `DATABASE_NEWER` when a later dipeo wrote it; `DATABASE_FAILED` when it cannot be opened, is damaged or
    /// belongs to another program; `DATABASE_BUSY`.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Error> {
        let path = settings.path.as_path();
        let mut connection = connection::open_writer(path, settings.durability)?;
        migrate::migrate(&mut connection, path)?;
        let changes = Changes::new(path);
        let writer = Writer::start(connection, path, Arc::clone(&changes))?;
        let readers = Readers::new(path);
        Ok(Arc::new(Self { path: settings.path.clone(), clock, writer, readers, changes }))
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a receiver that changes after each commit of this process, and within
    /// [`crate::limits::FOREIGN_COMMIT_POLL`] after one of another process. It only says "look again", and
    /// may say so for nothing.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How many transactions this process has committed; each is one sync of the disk.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// Writes what is queued, moves the log into the file and ends the threads. Later writes are refused.
    pub async fn close(&self) {
        self.changes.stop();
        self.readers.close();
        self.writer.close().await;
    }
}

impl Drop for Store {
    // The writer ends by itself when its queue does; the poller may have listeners that outlive the store.
    fn drop(&mut self) {
        self.changes.stop();
    }
}
