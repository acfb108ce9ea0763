//! The embedded SQLite store, and the only place that names a database driver. Writes go through one
//! writer thread and are durable when they return; reads are short and see the last commit. It must not
//! know how nodes work or how an execution is scheduled: it keeps what it is given.
//!
//! Several processes may share one file: each has its own writer, SQLite's lock takes turns between them.

mod accesses;
mod activity;
mod adopt;
mod backup;
mod blobs;
mod census;
mod changes;
mod children;
mod columns;
mod connection;
mod controls;
mod create;
mod executions;
mod external;
mod failure;
mod health;
mod integrity;
mod journal;
mod large_values;
mod messages;
mod migrate;
mod owners;
mod persons;
mod readers;
mod recordings;
mod reopen;
mod retention;
mod sources;
mod space;
mod spill;
#[cfg(test)]
pub(crate) mod testing;
mod tokens;
mod transitions;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

pub use activity::{Moved, Turn, Turns};
pub use backup::{copy, restore};
pub use blobs::Blob;
pub use children::ChildRow;
pub use controls::{ControlRow, NewControl};
pub use create::{Created, ExecutionKind, Idempotency, NewExecution, Parent, ParentRelation};
pub use executions::{ExecutionHead, ExecutionRow, ListFilter, ListPage, Place, Stamp};
pub use health::{Contents, Health};
pub use messages::{MessageRow, SavedMessage};
pub use owners::{Claimed, NewOwner, OwnerRow};
pub use persons::PersonRow;
pub use retention::{Deleted, Removal, Rules, StatusRules, Unused};
pub use sources::{DiagramRow, NewRevision, RevisionRow, Source};
pub use space::{Space, TableSize};
pub use tokens::{NewToken, TokenRow};
pub use transitions::{LogPage, TransitionRow};

use crate::clock::Clock;
use crate::error::Error;
use accesses::Accesses;
use changes::Changes;
use readers::Readers;
use writer::Writer;

/// The version of the library that is built in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// How many schema steps this program knows.
pub fn schema_version() -> usize {
    migrate::MIGRATIONS.len()
}

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
    accesses: Arc<Accesses>,
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
        let connection = connection::open_writer(path, settings.durability, |it| migrate::migrate(it, path))?;
        let changes = Changes::new(path);
        let accesses = Arc::new(Accesses::default());
        let writer = Writer::start(connection, path, Arc::clone(&changes), Arc::clone(&accesses))?;
        let readers = Readers::new(path);
        Ok(Arc::new(Self { path: settings.path.clone(), clock, writer, readers, changes, accesses }))
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

    /// As [`Store::changes`], leaving out the commits of this process that only take a running execution further:
    /// for whoever waits for statuses, answers, requests or settings.
    pub fn turns(&self) -> watch::Receiver<u64> {
        self.changes.subscribe_to_turns()
    }

    /// A number that changes with each turn of this process, before that is acknowledged, and now and then
    /// with commits of other processes.
    pub fn generation(&self) -> u64 {
        self.changes.n_turns()
    }

    /// How many transactions this process has committed; each is one sync of the disk.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// How many pieces of work wait for the writer.
    pub fn queue_depth(&self) -> usize {
        self.writer.queue_depth()
    }

    /// Looks whether the database can be read and takes writes. Nothing is written: an empty transaction is no commit.
    ///
    /// # Errors
    ///
    /// `DATABASE_FAILED`, `DATABASE_BUSY`.
    pub async fn answers(&self) -> Result<(), Error> {
        self.readers.read(|connection| Ok(connection.query_row("SELECT count(*) FROM owners", [], |_| Ok(()))?))?;
        self.writer.write(|_| Ok(())).await
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

#[cfg(test)]
mod tests {
    use super::testing::{NOON, TestStore, batch, execution, id};
    use super::*;
    use crate::engine::Journal;

    async fn owned(test: &TestStore, n: u32) {
        let new = NewExecution { owner: Some("me".into()), ..execution(n) };
        test.store.create_execution(new).await.expect("created");
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_a_crash() {
        let test = TestStore::new();
        owned(&test, 1).await;
        test.store.append(batch(1, "me", 2..=5)).await.expect("queued").durable().await.expect("written");
        // No close, no checkpoint: the other one finds the file and its log as a crash leaves them.
        let after = test.another();
        assert_eq!(after.transitions(&id(1), 0, None).expect("reads").len(), 5);
    }

    #[tokio::test]
    async fn closing_writes_what_is_queued_and_leaves_one_file() {
        let test = TestStore::new();
        owned(&test, 1).await;
        let listener = test.store.changes();
        for seq in 2..=100 {
            test.store.append(batch(1, "me", seq..=seq)).await.expect("queued");
        }
        test.store.close().await;
        test.store.close().await;
        drop(listener);
        let files: Vec<_> = std::fs::read_dir(test.folder.path())
            .expect("lists")
            .map(|it| it.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(files, ["state.db"]);
        assert_eq!(test.store.create_execution(execution(2)).await.expect_err("closed").code(), "INTERNAL");
        assert_eq!(test.another().transitions(&id(1), 0, None).expect("reads").len(), 100);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_processes_that_write_all_the_time_never_find_the_file_locked() {
        let test = TestStore::new();
        let other = test.another();
        owned(&test, 0).await;
        owned(&test, 1).await;
        let write = |store: Arc<Store>, n: u32| {
            tokio::spawn(async move {
                for seq in 2..=150 {
                    let ticket = store.append(batch(n, "me", seq..=seq)).await.expect("queued");
                    ticket.durable().await.expect("never locked");
                    assert_eq!(store.execution(&id(n)).expect("reads").expect("there").head.last_seq, seq);
                }
            })
        };
        let (a, b) = tokio::join!(write(Arc::clone(&test.store), 0), write(other, 1));
        a.and(b).expect("both finish");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_processes_may_open_and_close_one_file_at_once() {
        let test = TestStore::new();
        let path = test.store.path().to_path_buf();
        let visits = (0..8).map(|n| {
            let (settings, clock) = (Settings { path: path.clone(), durability: Durability::Full }, test.clock.clone());
            tokio::spawn(async move {
                for round in 0..4 {
                    let store = Store::open(&settings, clock.clone()).expect("opens");
                    store.create_execution(execution(n * 10 + round)).await.expect("created");
                    store.close().await;
                }
            })
        });
        for visit in futures_util::future::join_all(visits).await {
            visit.expect("no visitor fails");
        }
        assert_eq!(test.store.list_executions(&ListFilter::default()).expect("reads").1, 32);
    }

    #[tokio::test]
    async fn listeners_hear_of_commits_here_and_in_other_processes() {
        let test = TestStore::new();
        let other = test.another();
        let mut changes = test.store.changes();
        // Until the poller has had its first look, which always announces.
        changes.changed().await.expect("the store lives");
        let before = *changes.borrow_and_update();
        other.create_execution(execution(1)).await.expect("created");
        changes.changed().await.expect("the store lives");
        assert_ne!(*changes.borrow_and_update(), before);
        assert_eq!(test.store.execution(&id(1)).expect("reads").expect("there").head.started_at, NOON);

        test.store.create_execution(execution(2)).await.expect("created");
        assert!(changes.has_changed().expect("the store lives"), "own commits are announced before they return");
    }
}
