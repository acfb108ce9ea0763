//! A log that keeps what it has acknowledged and may lose the rest: batches become durable late and several
//! at a time, are acknowledged later still, and are refused when another process owns the execution.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dipeo::clock::Timestamp;
use dipeo::engine::event::{ControlApplied, Event, ExecutionResumed, Status};
use dipeo::engine::run::{Control, LogEntry};
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

/// What came of a batch.
type Outcome = Result<(), Error>;

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
    /// What was asked for is still to be done when it has been carried out.
    ForgetsRequests,
}

/// What somebody asked for, as it is stored until it is done.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: i64,
    pub control: Control,
    pub by: String,
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
    work: Work,
    durable_at: Instant,
}

enum Work {
    Batch(Box<Batch>, oneshot::Sender<Result<(), Error>>),
    /// A request has its answer, says this owner.
    Finish(i64, Arc<str>),
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
    /// What was asked for and is not done, the oldest first.
    pub requests: Vec<Request>,
    /// How often something was asked for.
    pub n_requests: i64,
    /// Rounds whose value an operator gave before they began.
    pub given: BTreeSet<Round>,
    /// Rounds whose failure ended the execution.
    pub failed: BTreeSet<Round>,
    /// Items of batches that failed.
    failed_items: BTreeSet<(Round, usize)>,
    /// How often it was opened again after its end.
    pub n_reopenings: u32,
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
            has_moved = true;
            let Some((producer, outcome)) = inner.commit(queued.work) else { continue };
            let at = now + Duration::from_millis(inner.random.pick(&[0, 0, 0, 1, 3, 20]));
            let at = inner.unacknowledged.back().map_or(at, |it| it.at.max(at));
            inner.unacknowledged.push_back(Acknowledgement { at, producer, outcome });
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
                drop(inner.commit(queued.work));
            }
        }
        inner.queue.clear();
    }

    /// Whether batches are on their way.
    pub fn has_queued(&self) -> bool {
        self.inner().queue.iter().any(|it| matches!(it.work, Work::Batch(..)))
    }

    /// Stores a request and returns its number; `None` when the execution has ended.
    pub fn ask(&self, control: Control, by: String) -> Option<i64> {
        let kept = &mut self.inner().kept;
        if kept.has_ended() {
            return None;
        }
        kept.n_requests += 1;
        kept.requests.push(Request { id: kept.n_requests, control, by });
        Some(kept.n_requests)
    }

    /// Stores that a request has its answer, with what is written next.
    pub fn finish(&self, id: i64, owner: &Arc<str>) {
        self.inner().enqueue(Work::Finish(id, Arc::clone(owner)));
    }

    /// Opens an execution again that has ended; the first owner that comes goes on with it.
    pub fn open_again(&self, by: &str, at: Timestamp) {
        let mut inner = self.inner();
        inner.owner = "nobody".into();
        inner.kept.open_again(by, at);
    }

    /// Everything that is durable, when nobody needs it here any more.
    pub fn take_kept(&self) -> Kept {
        std::mem::take(&mut self.inner().kept)
    }
}

impl Journal for SimulatedJournal {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Ticket, Error>> {
        Box::pin(async move {
            let is_full = self.inner().random.chance(3);
            if is_full {
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
            Ok(Ticket(self.inner().append(batch)))
        })
    }
}

impl Inner {
    fn append(&mut self, batch: Batch) -> oneshot::Receiver<Result<(), Error>> {
        self.n_appended += 1;
        let (mut producer, ticket) = oneshot::channel();
        let is_planted = self.random.chance(10);
        if is_planted && self.plant == Plant::AcknowledgesWithoutKeeping && self.n_appended > 1 {
            drop(producer.send(Ok(())));
            return ticket;
        }
        if is_planted && self.plant == Plant::AcknowledgesEarly {
            drop(producer.send(Ok(())));
            producer = oneshot::channel().0;
        }
        self.enqueue(Work::Batch(Box::new(batch), producer));
        ticket
    }

    fn enqueue(&mut self, work: Work) {
        let wait_ms = self.random.below(self.pace.commit_ms + 1);
        let at = Instant::now() + Duration::from_millis(if self.random.chance(30) { 0 } else { wait_ms });
        let durable_at = self.queue.back().map_or(at, |it| it.durable_at.max(at));
        self.queue.push_back(Queued { work, durable_at });
    }

    /// Does a piece of work; of a batch, whom to tell what came of it.
    fn commit(&mut self, work: Work) -> Option<(oneshot::Sender<Outcome>, Outcome)> {
        match work {
            Work::Batch(batch, producer) => Some((producer, self.commit_batch(*batch))),
            Work::Finish(id, owner) => {
                if owner == self.owner || self.plant == Plant::ForgetsFencing {
                    self.kept.requests.retain(|it| it.id != id);
                }
                None
            }
        }
    }

    fn commit_batch(&mut self, batch: Batch) -> Result<(), Error> {
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
        self.projection = batch.projection.map(|it| *it).or(self.projection.take());
        if plant != Plant::ForgetsRequests {
            self.requests.retain(|it| !batch.carried_out.contains(&it.id));
        }
        if self.has_ended() {
            self.requests.clear();
        }
        self.n_commits += 1;
        Ok(())
    }

    fn open_again(&mut self, by: &str, at: Timestamp) {
        self.n_reopenings += 1;
        self.n_commits += 1;
        for round in std::mem::take(&mut self.failed) {
            self.over.remove(&round);
            self.items.retain(|it| it.0 != round || !self.failed_items.contains(it));
        }
        let is_answered = |(node, iteration): &Round| {
            let waiting = self.reader.node_idx(node).and_then(|it| self.reader.nodes[it].waiting.as_ref());
            waiting.is_some_and(|it| it.iteration == *iteration && it.answer.is_some())
        };
        self.asked.retain(is_answered);
        let resumed = Event::ExecutionResumed(ExecutionResumed { by: by.to_owned() });
        for event in [Event::Control(ControlApplied::new("resume", by)), resumed] {
            self.reader.apply(&event, None, at);
            self.note("", &event);
            self.phases.push(event.phase());
            self.log.push(LogEntry { seq: self.log.len() as u64 + 1, node_id: None, event, at });
        }
        if let Some(summary) = &mut self.summary {
            (summary.status, summary.last_seq) = (Status::Running, self.log.len() as u64);
            summary.pause_reason = None;
        }
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
            Event::NodeError(it) => {
                self.over.insert(round(it.iteration));
                if !it.handled {
                    self.failed.insert(round(it.iteration));
                }
            }
            Event::NodeOutput(it) => {
                let item = (round(it.iteration), it.item.index);
                if it.item.error.is_some() {
                    self.failed_items.insert(item.clone());
                }
                self.items.insert(item);
            }
            Event::InteractivePrompt(it) if asks_somebody(it.question.reason) => {
                self.asked.insert(round(it.iteration));
            }
            Event::InteractiveResponse(it) => drop(self.actors.insert(it.by.clone())),
            Event::Control(it) => {
                self.actors.insert(it.by.clone());
                if let (Some(idx), true) = (self.reader.node_idx(node), it.value.is_some()) {
                    self.given.insert(round(self.reader.nodes[idx].started + 1));
                }
            }
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

    /// The questions that no answer decides but an operator.
    pub fn decisions(&self) -> impl Iterator<Item = (&str, &WaitingNode)> {
        let open = self.reader.open_questions().into_iter();
        let open = open.filter(|(_, it)| !asks_somebody(it.question.reason));
        open.map(|(idx, it)| (self.reader.nodes[idx].outline.id.as_str(), it))
    }

    /// Whether it runs, and nothing in it waits for an operator.
    pub fn runs_freely(&self) -> bool {
        self.reader.status == Status::Running && self.decisions().next().is_none()
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
