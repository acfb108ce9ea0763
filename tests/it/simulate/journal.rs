//! A log that keeps what it has acknowledged and may lose the rest: batches become durable late and several
//! at a time, are acknowledged later still, and are refused when another process owns the execution.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dipeo::engine::event::{Event, Status};
use dipeo::engine::run::LogEntry;
use dipeo::engine::state::{ExecutionState, WaitingNode};
use dipeo::engine::{Batch, Journal, Projection, Summary, Ticket, Transition};
use dipeo::error::Error;
use dipeo::nodes::PauseReason;
use dipeo::nodes::memory::Message;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::random::Random;

/// A node and its round.
pub type Round = (String, u32);

/// How the journal breaks its word, for tests of the tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plant {
    #[default]
    Nothing,
    /// Some batches are acknowledged and not kept.
    AcknowledgesWithoutKeeping,
    /// Some batches are acknowledged before they are durable; a crash may lose them.
    AcknowledgesEarly,
    /// The owner is not looked at.
    ForgetsFencing,
}

/// How long things take here, and how often they fail.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Most milliseconds until a batch is durable.
    pub commit_ms: u64,
    /// Of a thousand batches so many find no space.
    pub failures: u64,
}

/// The store of one execution.
pub struct SimulatedJournal(Mutex<Inner>);

struct Inner {
    random: Random,
    pace: Pace,
    plant: Plant,
    owner: Arc<str>,
    queue: VecDeque<Queued>,
    unacknowledged: VecDeque<Acknowledgement>,
    kept: Kept,
    n_appended: u64,
}

struct Queued {
    batch: Batch,
    durable_at: Instant,
    producer: oneshot::Sender<Result<(), Error>>,
}

struct Acknowledgement {
    at: Instant,
    producer: oneshot::Sender<Result<(), Error>>,
    outcome: Result<(), Error>,
}

/// What is durable, and what can be read from it.
#[derive(Clone, Default)]
pub struct Kept {
    pub log: Vec<LogEntry>,
    pub phases: Vec<&'static str>,
    pub messages: Vec<Message>,
    pub summary: Option<Summary>,
    pub projection: Option<Projection>,
    /// The fold of the log.
    pub reader: ExecutionState,
    /// The last attempt that began, of each round.
    pub begun: BTreeMap<Round, u32>,
    /// Rounds that completed or failed for good.
    pub over: BTreeSet<Round>,
    /// Items of batches that are done.
    pub items: BTreeSet<(Round, usize)>,
    /// Rounds that have asked somebody.
    pub asked: BTreeSet<Round>,
    /// Everybody who answered or controlled something.
    pub actors: BTreeSet<String>,
    pub n_commits: u64,
    /// Batches that did not fit behind the log.
    pub misfits: Vec<String>,
}

impl SimulatedJournal {
    pub fn new(random: Random, pace: Pace, plant: Plant, first: LogEntry) -> Arc<Self> {
        let mut kept = Kept { phases: vec![first.event.phase()], ..Kept::default() };
        kept.reader.apply(&first.event, None, first.at);
        kept.log.push(first);
        Arc::new(Self(Mutex::new(Inner {
            random,
            pace,
            plant,
            owner: "nobody".into(),
            queue: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            kept,
            n_appended: 0,
        })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is durable.
    pub fn read<T>(&self, look: impl FnOnce(&Kept) -> T) -> T {
        look(&self.inner().kept)
    }

    /// From now on nobody else's batches are taken.
    pub fn set_owner(&self, owner: &Arc<str>) {
        self.inner().owner = Arc::clone(owner);
    }

    /// When something happens here next.
    pub fn next_at(&self) -> Option<Instant> {
        let inner = self.inner();
        let durable = inner.queue.front().map(|it| it.durable_at);
        durable.into_iter().chain(inner.unacknowledged.front().map(|it| it.at)).min()
    }

    /// Lets everything happen that is due; says whether anything did.
    pub fn advance(&self) -> bool {
        let now = Instant::now();
        let mut inner = self.inner();
        let mut has_moved = false;
        while inner.queue.front().is_some_and(|it| it.durable_at <= now) {
            let queued = inner.queue.pop_front().expect("just seen");
            let outcome = inner.commit(queued.batch);
            let at = now + Duration::from_millis(inner.random.pick(&[0, 0, 0, 1, 3, 20]));
            let at = inner.unacknowledged.back().map_or(at, |it| it.at.max(at));
            inner.unacknowledged.push_back(Acknowledgement { at, producer: queued.producer, outcome });
            has_moved = true;
        }
        while inner.unacknowledged.front().is_some_and(|it| it.at <= now) {
            let due = inner.unacknowledged.pop_front().expect("just seen");
            // A process that died hears nothing.
            drop(due.producer.send(due.outcome));
            has_moved = true;
        }
        has_moved
    }

    /// The machine of the owner dies: some of what was on its way became durable all the same, in order, and
    /// nobody hears of it.
    pub fn crash(&self) {
        let mut inner = self.inner();
        inner.unacknowledged.clear();
        let n_queued = inner.queue.len() as u64;
        let n_kept = inner.random.below(n_queued + 1);
        for _ in 0..n_kept {
            if let Some(queued) = inner.queue.pop_front() {
                // Its producer is gone, whatever came of it.
                drop(inner.commit(queued.batch));
            }
        }
        inner.queue.clear();
    }

    /// Whether batches are on their way.
    pub fn has_queued(&self) -> bool {
        !self.inner().queue.is_empty()
    }
}

impl Journal for SimulatedJournal {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Ticket, Error>> {
        Box::pin(async move {
            let is_full = self.inner().random.chance(3);
            if is_full {
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
            let (producer, ticket) = oneshot::channel();
            self.inner().enqueue(batch, producer);
            Ok(Ticket(ticket))
        })
    }
}

impl Inner {
    fn enqueue(&mut self, batch: Batch, producer: oneshot::Sender<Result<(), Error>>) {
        self.n_appended += 1;
        let is_planted = self.random.chance(10);
        if is_planted && self.plant == Plant::AcknowledgesWithoutKeeping && self.n_appended > 1 {
            drop(producer.send(Ok(())));
            return;
        }
        let wait_ms = self.random.below(self.pace.commit_ms + 1);
        let at = Instant::now() + Duration::from_millis(if self.random.chance(30) { 0 } else { wait_ms });
        let durable_at = self.queue.back().map_or(at, |it| it.durable_at.max(at));
        let producer = if is_planted && self.plant == Plant::AcknowledgesEarly {
            drop(producer.send(Ok(())));
            oneshot::channel().0
        } else {
            producer
        };
        self.queue.push_back(Queued { batch, durable_at, producer });
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        if batch.owner != self.owner && self.plant != Plant::ForgetsFencing {
            return Err(Error::conflict("LEASE_LOST", "another process owns the execution"));
        }
        if self.random.below(1_000) < self.pace.failures {
            return Err(Error::external("DATABASE_FAILED", "no space left"));
        }
        self.kept.keep(batch, self.plant)
    }
}

impl Kept {
    fn keep(&mut self, batch: Batch, plant: Plant) -> Result<(), Error> {
        let end = self.log.last().map_or(0, |it| it.seq);
        let first = batch.transitions.first().map_or(end + 1, |it| it.seq);
        if first != end + 1 && plant == Plant::Nothing {
            // The process stopped at the first batch that failed, so what follows is for nobody.
            return Err(Error::internal(format!("the log ends at {end}, so {first} cannot follow")));
        }
        for transition in batch.transitions {
            self.add(transition)?;
        }
        self.messages.extend(batch.messages);
        self.summary = Some(batch.summary);
        if let Some(projection) = batch.projection {
            self.projection = Some(*projection);
        }
        self.n_commits += 1;
        Ok(())
    }

    fn add(&mut self, transition: Transition) -> Result<(), Error> {
        let Some(event) = Event::parse(transition.phase, &transition.payload)? else {
            self.misfits.push(format!("the phase `{}` does not read back", transition.phase));
            return Ok(());
        };
        let node = transition.node_id.as_deref().and_then(|it| self.reader.node_idx(it));
        self.reader.apply(&event, node, transition.created_at);
        self.note(transition.node_id.as_deref().unwrap_or_default(), &event);
        self.phases.push(transition.phase);
        let node_id = transition.node_id.map(|it| it.to_string());
        self.log.push(LogEntry { seq: transition.seq, node_id, event, at: transition.created_at });
        Ok(())
    }

    fn note(&mut self, node: &str, event: &Event) {
        let round = |iteration: u32| (node.to_owned(), iteration);
        match event {
            Event::NodeStarted(it) => drop(self.begun.insert(round(it.iteration), it.attempt)),
            Event::NodeRetry(it) => drop(self.begun.insert(round(it.iteration), it.attempt)),
            Event::NodeCompleted(it) => drop(self.over.insert(round(it.iteration))),
            Event::NodeError(it) => drop(self.over.insert(round(it.iteration))),
            Event::NodeOutput(it) => drop(self.items.insert((round(it.iteration), it.item.index))),
            Event::InteractivePrompt(it) if asks_somebody(it.question.reason) => {
                self.asked.insert(round(it.iteration));
            }
            Event::InteractiveResponse(it) => drop(self.actors.insert(it.by.clone())),
            Event::Control(it) => drop(self.actors.insert(it.by.clone())),
            _ => {}
        }
    }

    /// Whether the execution has ended.
    pub fn has_ended(&self) -> bool {
        self.reader.status.has_ended()
    }

    /// Whether a round has begun, and nothing holds it or the execution.
    pub fn goes_on(&self, (node, iteration): &Round) -> bool {
        let is_asking = |it: &WaitingNode| it.answer.is_none() && it.iteration == *iteration;
        let is_held =
            self.reader.node_idx(node).and_then(|it| self.reader.nodes[it].waiting.as_ref()).is_some_and(is_asking);
        self.begun.contains_key(&(node.clone(), *iteration)) && !is_held && !self.is_paused()
    }

    /// Whether it waits for somebody, visibly.
    pub fn is_paused(&self) -> bool {
        self.reader.status == Status::Paused
    }
}

/// Whether the node itself asked; the others are questions about the node.
fn asks_somebody(reason: PauseReason) -> bool {
    matches!(reason, PauseReason::Input | PauseReason::Approval | PauseReason::Model)
}
