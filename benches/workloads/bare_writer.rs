//! The least a durable step can cost: one thread that commits rows of about 290 bytes to SQLite (WAL, FULL) and
//! says so. What is queued at the same moment shares a commit; there is no scheduler, no log, no reader.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::place::Place;
use crate::{Outcome, diagrams};

/// Jobs that may wait, and most that share a commit: as many as in the store that is compared.
const QUEUE: usize = 1_024;
const GROUP_MAX: usize = 512;

/// Rows to be committed together, and who waits for them.
struct Job {
    rows: Vec<(u64, String)>,
    producer: oneshot::Sender<()>,
}

/// The thread and the way to it.
pub struct BareWriter {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<Outcome<u64>>>,
}

impl BareWriter {
    /// Starts on a new file in `place`.
    pub fn start(place: &Place) -> Outcome<Self> {
        let connection = Connection::open(place.root().join("bare.db"))?;
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.execute_batch(
            "CREATE TABLE steps (run INTEGER, seq INTEGER, output TEXT, PRIMARY KEY (run, seq)) WITHOUT ROWID",
        )?;
        let (queue, jobs) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("bare-writer".into()).spawn(move || write(connection, &jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// A handle for one run; `run` is its key.
    pub fn run(&self, run: u64) -> BareRun {
        BareRun { run, seq: 0, queue: self.queue.clone() }
    }

    /// Ends the thread and returns how many transactions it committed.
    pub fn finish(mut self) -> Outcome<u64> {
        drop(self.queue.take());
        let thread = self.thread.take().ok_or("finished twice")?;
        thread.join().map_err(|_| "the bare writer panicked")?
    }
}

fn write(connection: Connection, jobs: &Receiver<Job>) -> Outcome<u64> {
    let mut commits = 0;
    let mut seq = 0_i64;
    while let Ok(first) = jobs.recv() {
        let group: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(GROUP_MAX - 1)).collect();
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        {
            let mut insert = connection.prepare_cached("INSERT INTO steps VALUES (?1, ?2, ?3)")?;
            for (run, output) in group.iter().flat_map(|it| &it.rows) {
                seq += 1;
                insert.execute(params![i64::try_from(*run).unwrap_or_default(), seq, output])?;
            }
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        commits += 1;
        // A producer that stopped waiting needs no answer.
        for job in group {
            // A producer that went away needs no word.
            let _ = job.producer.send(());
        }
    }
    Ok(commits)
}

/// One run's steps.
pub struct BareRun {
    run: u64,
    seq: u32,
    queue: Option<SyncSender<Job>>,
}

impl BareRun {
    /// Commits `n` rows together and waits until they are durable.
    pub async fn commit(&mut self, n: usize) -> Outcome<()> {
        let rows = (0..n).map(|_| self.row()).collect();
        let (producer, durable) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or("the bare writer is gone")?;
        queue.send(Job { rows, producer }).map_err(|_| "the bare writer stopped")?;
        Ok(durable.await?)
    }

    fn row(&mut self) -> (u64, String) {
        self.seq += 1;
        (self.run, diagrams::payload(self.seq))
    }
}
