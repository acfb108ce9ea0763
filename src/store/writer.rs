//! The one thread that writes. It takes whatever is queued, commits it together and then says so to each
//! producer: one run pays no delay, many runs share a sync. It must not know what a piece of work writes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::accesses::Accesses;
use super::changes::Changes;
use super::connection::without_waiting;
use super::failure::Failure;
use crate::error::Error;
use crate::{limits, meter};

/// How long nothing must have been written before the log is moved into the file.
const CHECKPOINT_IDLE: Duration = Duration::from_secs(1);
/// Size of the write-ahead log, in pages of 4 KiB, from which an idle writer also cuts it to nothing.
const TRUNCATE_PAGES: i64 = 2_048;
/// How often the writer asks for the lock before its producers hear `DATABASE_BUSY`; each time waits 5 s.
const BEGIN_ATTEMPTS: u32 = 4;

/// One piece of work, and who waits for it.
trait Job: Send {
    /// Whether its commit is one that all waiters look at (see [`Changes`]).
    fn is_turn(&self) -> bool;
    /// Writes inside the transaction that the writer opened. Runs again when that had to be rolled back.
    fn write(&mut self, connection: &Connection) -> Result<(), Failure>;
    /// Tells the producer; called once, after the commit or after the failure.
    fn acknowledge(self: Box<Self>, failure: Option<Failure>, path: &Path);
}

struct Pending<T, F> {
    work: F,
    is_turn: bool,
    value: Option<T>,
    producer: oneshot::Sender<Result<T, Error>>,
}

impl<T: Send, F: FnMut(&Connection) -> Result<T, Failure> + Send> Job for Pending<T, F> {
    fn is_turn(&self) -> bool {
        self.is_turn
    }

    fn write(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.value = Some((self.work)(connection)?);
        Ok(())
    }

    fn acknowledge(self: Box<Self>, failure: Option<Failure>, path: &Path) {
        let result = match (failure, self.value) {
            (Some(failure), _) => Err(failure.into_error(path)),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(Error::internal("the writer acknowledged what it never wrote")),
        };
        // A producer that stopped waiting has left the work to us all the same.
        drop(self.producer.send(result));
    }
}

enum Command {
    Write(Box<dyn Job>),
    Close,
}

/// The queue to the writer thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread on `connection`, which it keeps.
    ///
    /// # Errors
    ///
    /// `External` when the system gives no thread.
    pub fn start(
        connection: Connection,
        path: &Path,
        changes: Arc<Changes>,
        accesses: Arc<Accesses>,
    ) -> Result<Self, Error> {
        let (queue, commands) = mpsc::channel(limits::WRITER_QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let service = Service {
            connection,
            path: path.to_path_buf(),
            commits: Arc::clone(&commits),
            changes,
            accesses,
            wrote: false,
            #[cfg(feature = "planted-bug")]
            n_acknowledged: 0,
        };
        let no_thread = |error: std::io::Error| {
            Error::external("DATABASE_FAILED", "the database writer cannot start")
                .hint("the system gives no more threads: close other programs and try again")
                .source(error)
        };
        let thread = std::thread::Builder::new()
            .name("database-writer".to_owned())
            .spawn(move || serve_on_own_runtime(service, commands))
            .map_err(no_thread)?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)), commits })
    }

    /// Queues `work` and returns what will hold its result once that is durable. Waits only for space.
    ///
    /// # Errors
    ///
    /// `INTERNAL` when the writer is gone.
    pub async fn enqueue<T, F>(&self, work: F) -> Result<oneshot::Receiver<Result<T, Error>>, Error>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.enqueue_as(true, work).await
    }

    /// As [`Writer::enqueue`], of work that is no turn unless `is_turn` (see [`Changes`]).
    ///
    /// # Errors
    ///
    /// As [`Writer::enqueue`].
    pub async fn enqueue_as<T, F>(&self, is_turn: bool, work: F) -> Result<oneshot::Receiver<Result<T, Error>>, Error>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (producer, result) = oneshot::channel();
        let job = Box::new(Pending { work, is_turn, value: None, producer });
        self.queue.send(Command::Write(job)).await.map_err(|_| writer_gone())?;
        Ok(result)
    }

    /// Queues `work` and waits until it is durable.
    ///
    /// # Errors
    ///
    /// What `work` refuses; `DATABASE_FAILED`, `DATABASE_BUSY`; `INTERNAL` when the writer is gone.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.enqueue(work).await?.await.unwrap_or_else(|_| Err(writer_gone()))
    }

    /// How many transactions were committed: each costs one sync of the disk.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// How many pieces of work wait.
    pub fn queue_depth(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Writes what is queued, moves the log into the file and ends the thread. May be called again.
    pub async fn close(&self) {
        // Fails only when the thread has ended already.
        drop(self.queue.send(Command::Close).await);
        self.queue.closed().await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
    }
}

fn writer_gone() -> Error {
    Error::internal("the database writer is gone").hint("the store was closed; start dipeo again")
}

/// Waiting for work or for idleness needs a timer, and the thread must outlive its producers' runtime.
fn serve_on_own_runtime(service: Service, commands: mpsc::Receiver<Command>) {
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime.block_on(service.serve(commands)),
        // Producers hear that the writer is gone.
        Err(error) => tracing::error!(%error, "the database writer cannot start"),
    }
}

/// What the thread holds.
struct Service {
    connection: Connection,
    path: PathBuf,
    commits: Arc<AtomicU64>,
    changes: Arc<Changes>,
    accesses: Arc<Accesses>,
    /// Whether the log holds something that the file does not.
    wrote: bool,
    #[cfg(feature = "planted-bug")]
    n_acknowledged: u64,
}

impl Service {
    async fn serve(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut commands = Vec::new();
        loop {
            let received = queue.recv_many(&mut commands, limits::WRITER_GROUP_MAX);
            let n_received = if self.wrote {
                match tokio::time::timeout(CHECKPOINT_IDLE, received).await {
                    Ok(n_received) => n_received,
                    Err(_) => {
                        self.checkpoint();
                        continue;
                    }
                }
            } else {
                received.await
            };
            if n_received == 0 {
                break;
            }
            let mut jobs = Vec::with_capacity(n_received);
            for command in commands.drain(..) {
                match command {
                    Command::Write(job) => jobs.push(job),
                    // What was queued before is still received, what comes later is refused.
                    Command::Close => queue.close(),
                }
            }
            self.commit(jobs);
        }
        self.checkpoint();
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the database did not close cleanly; nothing committed is lost");
        }
    }

    /// Commits `jobs` together. When the transaction itself fails, each one gets its own: what one of them
    /// broke must not fail the others.
    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if jobs.is_empty() {
            return;
        }
        // A point to go back to for each job costs a copy of every page it touches, so that is the second try.
        let outcome = match self.commit_together(&mut jobs, false) {
            Err(Broken::Later(_)) if jobs.len() > 1 => self.commit_together(&mut jobs, true),
            outcome => outcome,
        };
        match outcome {
            Ok(refusals) => self.acknowledge(jobs, refusals),
            Err(Broken::Begin(error)) => {
                for job in jobs {
                    job.acknowledge(Some(Failure::Sqlite(Arc::clone(&error))), &self.path);
                }
            }
            Err(Broken::Later(failure)) if jobs.len() == 1 => self.acknowledge(jobs, vec![Some(failure)]),
            Err(Broken::Later(failure)) => {
                tracing::warn!(?failure, n_jobs = jobs.len(), "a shared commit failed; each part is tried alone");
                for job in jobs {
                    self.commit(vec![job]);
                }
            }
        }
    }

    fn acknowledge(&self, jobs: Vec<Box<dyn Job>>, refusals: Vec<Option<Failure>>) {
        for (job, refusal) in jobs.into_iter().zip(refusals) {
            job.acknowledge(refusal, &self.path);
        }
    }

    /// Returns, for each job, why it was refused; a refused one has left no trace. With `apart` each may be refused
    /// alone, else a refusal of one undoes all.
    fn commit_together(&mut self, jobs: &mut [Box<dyn Job>], apart: bool) -> Result<Vec<Option<Failure>>, Broken> {
        let n_changes_before = self.connection.total_changes();
        let is_turn = jobs.iter().any(|it| it.is_turn());
        self.begin()?;
        let mut refusals = Vec::with_capacity(jobs.len());
        for job in jobs {
            let written = if apart { self.write_apart(job.as_mut())? } else { job.write(&self.connection) };
            if let Err(failure) = written {
                if !apart {
                    self.roll_back();
                    return Err(Broken::Later(failure));
                }
                refusals.push(Some(failure));
            } else {
                refusals.push(None);
            }
        }
        let has_changed = self.connection.total_changes() != n_changes_before;
        if has_changed {
            self.accesses.write(&self.connection);
        }
        if has_changed && self.forgets_this_commit() {
            self.roll_back();
            return Ok(refusals);
        }
        let watch = meter::on().filter(|_| has_changed).map(meter::Meters::commit);
        let committed = self.run("COMMIT");
        drop(watch);
        if let Err(error) = committed {
            self.roll_back();
            return Err(Broken::Later(error.into()));
        }
        if has_changed {
            self.wrote = true;
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.changes.announce(is_turn);
        }
        Ok(refusals)
    }

    /// Whether this commit is to be acknowledged and not made. Only so can the proofs show that they find it.
    #[cfg(feature = "planted-bug")]
    fn forgets_this_commit(&mut self) -> bool {
        /// Commits of a process between two that are lost.
        const LOST_ONE_IN: u64 = 12;
        self.n_acknowledged += 1;
        self.n_acknowledged.is_multiple_of(LOST_ONE_IN)
    }

    #[cfg(not(feature = "planted-bug"))]
    fn forgets_this_commit(&self) -> bool {
        false
    }

    /// Takes the write lock, which another process may hold.
    fn begin(&self) -> Result<(), Broken> {
        let mut n_attempts = 1;
        loop {
            match self.run("BEGIN IMMEDIATE") {
                Ok(()) => return Ok(()),
                Err(error) if super::failure::is_busy(&error) && n_attempts < BEGIN_ATTEMPTS => n_attempts += 1,
                Err(error) => return Err(Broken::Begin(Arc::new(error))),
            }
        }
    }

    /// Runs `job` so that its failure undoes its own changes alone.
    fn write_apart(&self, job: &mut dyn Job) -> Result<Result<(), Failure>, Broken> {
        let broken = |error: rusqlite::Error| {
            self.roll_back();
            Broken::Later(error.into())
        };
        self.run("SAVEPOINT job").map_err(broken)?;
        let written = job.write(&self.connection);
        if written.is_err() {
            if self.connection.is_autocommit() {
                // SQLite gave the whole transaction up (a full disk does that).
                return written.map(Ok).map_err(Broken::Later);
            }
            self.run("ROLLBACK TO job").map_err(broken)?;
        }
        self.run("RELEASE job").map_err(broken)?;
        Ok(written)
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            drop(self.run("ROLLBACK"));
        }
    }

    fn run(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Moves the log into the file as far as no reader needs it; a large log is also cut to nothing. Neither
    /// waits for anybody.
    fn checkpoint(&mut self) {
        self.wrote = false;
        let checkpoint = |connection: &Connection, mode: &str| {
            connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, i64>(1))
        };
        let done = without_waiting(&mut self.connection, |connection| match checkpoint(connection, "PASSIVE") {
            Ok(n_pages) if n_pages >= TRUNCATE_PAGES => checkpoint(connection, "TRUNCATE").map(drop),
            other => other.map(drop),
        });
        match done {
            Err(error) if !super::failure::is_busy(&error) => {
                tracing::warn!(%error, "the database log could not be moved into the file; it stays where it is");
            }
            _ => {}
        }
    }
}

/// How a transaction as a whole failed.
enum Broken {
    /// It never began, so trying its parts alone would fail the same way.
    Begin(Arc<rusqlite::Error>),
    /// Something in it did.
    Later(Failure),
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::connection::open_writer;
    use super::*;

    const ROWS: &str = "CREATE TABLE IF NOT EXISTS rows (name TEXT PRIMARY KEY, filler BLOB)";

    fn open(folder: &tempfile::TempDir) -> (Connection, PathBuf) {
        let path = folder.path().join("state.db");
        let connection = open_writer(&path, Durability::Full, |it| {
            it.execute_batch(ROWS).map_err(|error| Failure::from(error).into_error(Path::new("state.db")))
        });
        (connection.expect("opens"), path)
    }

    fn start(folder: &tempfile::TempDir) -> Writer {
        let (connection, path) = open(folder);
        Writer::start(connection, &path, Changes::new(&path), Arc::default()).expect("starts")
    }

    /// Work that writes one row of so many bytes.
    fn row(name: String, n_bytes: i64) -> impl FnMut(&Connection) -> Result<(), Failure> + Send + 'static {
        move |connection| {
            connection.execute("INSERT INTO rows VALUES (?1, zeroblob(?2))", (&name, n_bytes))?;
            Ok(())
        }
    }

    async fn count(writer: &Writer) -> i64 {
        let count = writer.write(|it| Ok(it.query_row("SELECT count(*) FROM rows", [], |row| row.get(0))?));
        count.await.expect("counts")
    }

    #[tokio::test]
    async fn what_finds_no_space_fails_alone_and_says_so() {
        let folder = tempfile::tempdir().expect("temp folder");
        let writer = start(&folder);
        writer.write(|it| Ok(it.pragma_update(None, "max_page_count", 60)?)).await.expect("limits the file");
        let mut tickets = Vec::new();
        for n in 0..40 {
            let n_bytes = if n == 20 { 1_000_000 } else { 100 };
            tickets.push(writer.enqueue(row(format!("row {n}"), n_bytes)).await.expect("queued"));
        }
        for (n, ticket) in tickets.into_iter().enumerate() {
            let result = ticket.await.expect("answered");
            if n == 20 {
                let error = result.expect_err("too large");
                assert_eq!(error.code(), "DATABASE_FAILED");
                assert!(error.message().contains("no space left"), "{}", error.message());
            } else {
                result.expect("fits");
            }
        }
        assert_eq!(count(&writer).await, 39);
    }

    #[tokio::test]
    async fn work_is_done_even_if_nobody_waits_for_it() {
        let folder = tempfile::tempdir().expect("temp folder");
        let writer = start(&folder);
        drop(writer.enqueue(row("a".to_owned(), 1)).await.expect("queued"));
        assert_eq!(count(&writer).await, 1);
    }

    #[tokio::test]
    async fn a_transaction_that_writes_nothing_is_no_commit() {
        let folder = tempfile::tempdir().expect("temp folder");
        let writer = start(&folder);
        let refused = writer.write(|_| Err::<(), _>(Error::conflict("NO", "no").into())).await;
        assert_eq!(refused.expect_err("refused").code(), "NO");
        assert_eq!((count(&writer).await, writer.commits()), (0, 0));
        writer.write(row("a".to_owned(), 1)).await.expect("written");
        assert_eq!(writer.commits(), 1);
    }

    #[test]
    fn an_idle_writer_cuts_a_large_log_but_waits_for_no_reader() {
        let folder = tempfile::tempdir().expect("temp folder");
        let (connection, path) = open(&folder);
        let mut service = Service {
            connection,
            path: path.clone(),
            commits: Arc::default(),
            changes: Changes::new(&path),
            accesses: Arc::default(),
            wrote: true,
        };
        let log_bytes = || std::fs::metadata(folder.path().join("state.db-wal")).expect("exists").len();
        row("small".to_owned(), 100)(&service.connection).expect("written");
        service.checkpoint();
        assert!(log_bytes() > 0, "a small log is kept for the next commit");

        row("large".to_owned(), 12 * 1024 * 1024)(&service.connection).expect("written");
        let reader = super::super::connection::open_reader(&path).expect("opens");
        reader.execute_batch("BEGIN; SELECT count(*) FROM rows").expect("reads");
        row("later".to_owned(), 100)(&service.connection).expect("written");
        service.checkpoint();
        assert!(log_bytes() > 0, "a reader still needs it");
        reader.execute_batch("COMMIT").expect("ends");
        service.checkpoint();
        assert_eq!(log_bytes(), 0);
    }
}
