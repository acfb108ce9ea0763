//! Numbers the events of a run, collects them into batches and hands these to the journal.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::Run;
use crate::clock::Timestamp;
use crate::engine::event::{Event, Status};
use crate::engine::journal::{Batch, Journal, Recording, Summary, Transition};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::memory::Message;

/// The last seq of a batch and how its commit went.
pub(super) type Commit = (u64, Result<(), Error>);

/// The pen of one execution.
pub(super) struct Recorder {
    journal: Arc<dyn Journal>,
    pub(super) execution_id: ExecutionId,
    owner: Arc<str>,
    seq: u64,
    transitions: Vec<Transition>,
    messages: Vec<Message>,
    recordings: Vec<Recording>,
    /// Stored requests that the events of the next batch carry out.
    carried_out: Vec<i64>,
    /// Batches on their way to the disk.
    pub(super) commits: FuturesUnordered<BoxFuture<'static, Commit>>,
    durable: Arc<Mutex<Durable>>,
}

impl Recorder {
    pub(super) fn new(journal: Arc<dyn Journal>, execution_id: ExecutionId, owner: Arc<str>, last_seq: u64) -> Self {
        Self {
            journal,
            execution_id,
            owner,
            seq: last_seq,
            transitions: Vec::new(),
            messages: Vec::new(),
            recordings: Vec::new(),
            carried_out: Vec::new(),
            commits: FuturesUnordered::new(),
            durable: Arc::new(Mutex::new(Durable { seq: last_seq, waiting: Vec::new() })),
        }
    }

    /// Adds an event to the next batch.
    pub(super) fn add(&mut self, event: &Event, node_id: Option<Arc<str>>, at: Timestamp) {
        self.seq += 1;
        let payload = event.payload();
        self.transitions.push(Transition { seq: self.seq, node_id, phase: event.phase(), payload, created_at: at });
    }

    /// Adds a message to the next batch.
    pub(super) fn add_message(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Adds what a node heard from outside to the next batch.
    pub(super) fn add_recordings(&mut self, recordings: impl Iterator<Item = Recording>) {
        self.recordings.extend(recordings);
    }

    /// A stored request is done with the next batch.
    pub(super) fn carries_out(&mut self, request: Option<i64>) {
        self.carried_out.extend(request);
    }

    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn unwritten(&self) -> usize {
        self.transitions.len()
    }

    pub(super) fn has_unwritten(&self) -> bool {
        !self.transitions.is_empty()
    }

    /// A gate that opens when everything recorded so far is durable.
    pub(super) fn gate(&self) -> Gate {
        Gate { durable: Arc::clone(&self.durable), seq: self.seq }
    }

    /// Takes note of a commit.
    pub(super) fn committed(&mut self, (seq, outcome): Commit) -> Result<(), Error> {
        outcome?;
        lock(&self.durable).advance(seq);
        Ok(())
    }
}

/// How far the log is durable, and who waits for more of it.
struct Durable {
    seq: u64,
    /// In the order in which they began to wait: effects start in the order in which the schedule wanted them.
    waiting: Vec<(u64, Waker)>,
}

impl Durable {
    fn advance(&mut self, seq: u64) {
        self.seq = self.seq.max(seq);
        let durable = self.seq;
        for (_, waker) in self.waiting.extract_if(.., |(seq, _)| *seq <= durable) {
            waker.wake();
        }
    }

    fn wait(&mut self, seq: u64, waker: &Waker) {
        if !self.waiting.iter().any(|(wanted, it)| *wanted == seq && it.will_wake(waker)) {
            self.waiting.push((seq, waker.clone()));
        }
    }
}

fn lock(durable: &Mutex<Durable>) -> MutexGuard<'_, Durable> {
    durable.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens when a seq is durable: what an effect waits for. Never opens when the run is given up; its future is
/// dropped then.
pub(super) struct Gate {
    durable: Arc<Mutex<Durable>>,
    seq: u64,
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut durable = lock(&self.durable);
        if self.seq <= durable.seq {
            return Poll::Ready(());
        }
        durable.wait(self.seq, cx.waker());
        Poll::Pending
    }
}

impl Run {
    /// Hands what was recorded to the writer. The growing columns go along when the execution pauses or ends.
    pub(super) async fn flush(&mut self, with_projection: bool) -> Result<(), Error> {
        if !self.record.has_unwritten() {
            return Ok(());
        }
        let now = self.ports.clock.now();
        let error_code = match self.state.status {
            Status::Failed => self.error_code(),
            _ => None,
        };
        let batch = Batch {
            execution_id: self.record.execution_id.clone(),
            owner: Arc::clone(&self.record.owner),
            transitions: std::mem::take(&mut self.record.transitions),
            messages: std::mem::take(&mut self.record.messages),
            recordings: std::mem::take(&mut self.record.recordings),
            carried_out: std::mem::take(&mut self.record.carried_out),
            summary: Summary {
                status: self.state.status,
                pause_reason: self.state.pause_reason(),
                error_code,
                ended_at: self.state.ended_at,
                deadline_at: self.earliest_deadline(),
                last_seq: self.record.seq(),
                last_activity_at: now,
            },
            projection: with_projection.then(|| Box::new(self.state.projection())),
        };
        let seq = self.record.seq();
        let ticket = self.record.journal.append(batch).await?;
        self.record.commits.push(ticket.durable().map(move |outcome| (seq, outcome)).boxed());
        Ok(())
    }

    /// Hands over what was recorded and waits until all of it is durable.
    pub(super) async fn flush_durably(&mut self, with_projection: bool) -> Result<(), Error> {
        use futures_util::StreamExt;
        self.flush(with_projection).await?;
        while let Some(commit) = self.record.commits.next().await {
            self.record.committed(commit)?;
        }
        Ok(())
    }

    pub(super) fn error_code(&self) -> Option<String> {
        let error = self.state.closing.as_ref()?.error.as_ref()?;
        error.get("code")?.as_str().map(str::to_owned)
    }

    fn earliest_deadline(&self) -> Option<Timestamp> {
        self.state.open_questions().iter().filter_map(|(_, it)| it.question.deadline).min()
    }
}
