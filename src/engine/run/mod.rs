//! The one loop of an execution: a node is done, its events are recorded, the schedule says what may start,
//! that starts. State has one owner, this loop; others send [`Command`]s or read the store.
//!
//! Effect-free nodes are polled once where they stand and usually finish there; whatever waits goes into one
//! set of futures that the loop polls. Dropping a future cancels its node.

mod attempt;
mod breakpoint;
mod budget;
mod command;
mod counted;
mod finish;
mod inspect;
mod launch;
mod mock;
mod operator;
mod record;
mod replay;
mod restore;
mod scrub;
mod start;
mod tape;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::attempt::Finished;
pub use self::command::{Command, Control};
pub use self::inspect::{Inspection, inspect};
pub use self::launch::{Launch, LogEntry, NodeOfCall, OnToken, RunOptions, Stopped};
use self::record::Recorder;
pub use self::replay::Recorded;
use self::replay::Replay;
use self::tape::Written;
use super::event::{BudgetSettled, Event, NodeOutput};
use super::journal::Journal;
use super::schedule::{Action, Ending, Input, Schedule};
use super::state::ExecutionState;
use crate::clock::Timestamp;
use crate::compile::{EdgeIdx, NodeIdx, Plan};
use crate::error::Error;
use crate::nodes::budget::{Above, Account};
pub use crate::nodes::context::Mode;
use crate::nodes::context::{CallCounter, History, Notes};
use crate::nodes::memory::Message;
use crate::nodes::ports::Ports;
use crate::nodes::report::{ItemDone, Report};
use crate::nodes::{Forms, Inputs, Rights};

/// How long finished events may wait for company before they are written while something slow runs.
const IDLE_FLUSH: Duration = Duration::from_millis(50);
/// Events that are written at the latest, so that a long run of pure nodes shows progress.
const UNWRITTEN_MAX: usize = 256;
/// How long running nodes may go on when the process stops; clients kill after about two seconds.
const STOP_GRACE: Duration = Duration::from_millis(800);
/// Completions handled in a row before other executions of this thread get a turn.
const TURN: u32 = 64;

/// One execution, running.
struct Run {
    plan: Arc<Plan>,
    ports: Arc<Ports>,
    rights: Arc<Rights>,
    options: RunOptions,
    schedule: Schedule,
    state: ExecutionState,
    record: Recorder,
    /// The value on each connection that has a new token.
    tokens: Vec<Option<Token>>,
    live: BTreeMap<NodeIdx, Live>,
    in_flight: FuturesUnordered<BoxFuture<'static, Finished>>,
    finished: VecDeque<Finished>,
    ending: Option<End>,
    variables: Arc<Map<String, Value>>,
    exposed: Arc<Map<String, Value>>,
    messages: Arc<Vec<Message>>,
    history: Arc<History>,
    calls: Arc<CallCounter>,
    /// W602: how often a connection's token was replaced before use.
    replaced: BTreeMap<EdgeIdx, u32>,
    /// Nodes whose child execution waits for somebody: done when it does so no longer.
    watched: FuturesUnordered<BoxFuture<'static, (NodeIdx, Option<String>)>>,
    /// Nodes that must not be repeated unasked and pause before their next attempt: done when it may begin.
    pausing: FuturesUnordered<BoxFuture<'static, NodeIdx>>,
    /// What nodes say while they run.
    reports: Hearing,
    /// What model calls may spend, and what they have spent.
    account: Arc<Account>,
    /// Who pays as well, for a child whose parent has a budget.
    above: Option<Above>,
    on_token: Option<OnToken>,
    /// Who asked for the end, and what to answer once it is durable.
    after_end: Vec<(oneshot::Sender<Answer>, Answer)>,
    /// What starts at this moment is not held: a step of a paused run lets it go.
    passes_breakpoints: bool,
    /// Whether an effect waits for what is not yet written.
    must_flush: bool,
    /// What is repeated, if this is a replay.
    replay: Option<Replay>,
}

/// What came of a command.
type Answer = Result<(), Error>;

/// Where nodes speak, and where the loop listens.
struct Hearing {
    speak: mpsc::UnboundedSender<(NodeIdx, Report)>,
    listen: mpsc::UnboundedReceiver<(NodeIdx, Report)>,
}

impl Hearing {
    fn new() -> Self {
        let (speak, listen) = mpsc::unbounded_channel();
        Self { speak, listen }
    }
}

/// A value on a connection.
#[derive(Clone)]
struct Token {
    value: Arc<Value>,
    forms: Option<Arc<Forms>>,
    /// `<node id>:<iteration>`.
    source: String,
}

/// A node that has started and not completed.
struct Live {
    iteration: u32,
    /// How many node executions of the run had begun then, this one included.
    began: u32,
    attempt: u32,
    /// How many of the attempts were made before the execution was opened again.
    earlier: u32,
    /// Attempts that failed since then. One that a crash interrupted did not, and takes nothing from `retry`.
    failures: u32,
    /// Attempts that failed for want of budget: they called nobody.
    unpaid: u32,
    stage: Stage,
    /// When the attempt may begin, of one that is repeated after a pause.
    due: Option<Timestamp>,
    inputs: Inputs,
    /// Where each input came from, as `<node id>:<iteration>`.
    sources: BTreeMap<String, String>,
    notes: Notes,
    /// Items of a batch that are done.
    items: Vec<ItemDone>,
    /// What its attempt has heard from outside and nobody has kept yet.
    tape: Option<Arc<Written>>,
    /// What its effects have waited for the disk, in milliseconds.
    store_ms: Option<Arc<AtomicI64>>,
}

impl Live {
    fn new(iteration: u32, began: u32, stage: Stage, inputs: Inputs, sources: BTreeMap<String, String>) -> Self {
        Self {
            iteration,
            began,
            attempt: 1,
            earlier: 0,
            failures: 0,
            unpaid: 0,
            stage,
            due: None,
            inputs,
            sources,
            notes: Notes::default(),
            items: Vec::new(),
            tape: None,
            store_ms: None,
        }
    }
}

/// How a live node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It runs, or asks.
    Active,
    /// It has its inputs and has not begun: a breakpoint holds it.
    Held,
    /// Its attempt ended with its process, or with the execution.
    Lost,
    /// Its attempt failed, and the execution with it.
    Failed,
}

/// Why an execution ends.
enum End {
    Schedule(Ending),
    Completed { by: String, reason: Option<String> },
    Aborted { by: String, reason: Option<String> },
    TimedOut,
    OverBudget(Error),
}

/// Runs an execution until it ends, its process stops, or another process took it over.
///
/// # Errors
///
/// What the journal says when it cannot write (`LEASE_LOST`, `DATABASE_…`).
pub async fn run(
    launch: Launch,
    journal: Arc<dyn Journal>,
    ports: Arc<Ports>,
    mut commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
) -> Result<Stopped, Error> {
    let awaits_order = launch.awaits_order;
    let (mut run, point) = Run::replayed(launch, journal, ports);
    if awaits_order {
        tokio::select! {
            Some(command) = commands.recv() => run.command(command).await?,
            () = stop.cancelled() => return Ok(Stopped::Released),
        }
    }
    if run.ending.is_none() {
        run.begin(point)?;
    }
    loop {
        run.handle_finished(&mut commands).await?;
        if let Some(end) = run.ending.take() {
            run.close(end).await?;
            run.acknowledge_end();
            return Ok(Stopped::Ended);
        }
        run.write_if_due().await?;
        run.pause_if_only_waiting().await?;
        let timer = run.next_timer();
        let unwritten = run.record.has_unwritten();
        // In this order, not a random one: the same things happening at the same times make the same log, so a
        // simulated run replays from its seed. What is rare comes first, so nodes cannot starve it.
        tokio::select! {
            biased;
            Some(commit) = run.record.commits.next() => run.record.committed(commit)?,
            Some(command) = commands.recv() => run.command(command).await?,
            () = stop.cancelled() => return run.release().await,
            Some((node, by)) = run.watched.next() => run.child_moved(node, by),
            Some((node, report)) = run.reports.listen.recv() => run.note_report(node, report),
            Some(node) = run.pausing.next() => run.begin_repetition(node),
            () = moved_above(&mut run.above) => run.raised_above(),
            () = tokio::time::sleep(timer.unwrap_or(IDLE_FLUSH)), if timer.is_some() => run.timer_fired()?,
            Some(finished) = run.in_flight.next() => run.finished.push_back(finished),
            () = tokio::time::sleep(IDLE_FLUSH), if unwritten => run.flush(false).await?,
        }
    }
}

/// Returns when a budget above was raised.
async fn moved_above(above: &mut Option<Above>) {
    match above {
        Some(above) => above.moved().await,
        None => std::future::pending().await,
    }
}

impl Run {
    /// Handles completions one at a time, in the order they arrived.
    async fn handle_finished(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), Error> {
        let mut handled = 0;
        // Once its end is decided, by whomever, nothing that completes decides otherwise.
        while self.ending.is_none()
            && let Some(finished) = self.next_finished()?
        {
            self.take_up(finished)?;
            handled += 1;
            if self.ending.is_none() && handled % TURN == 0 {
                self.take_turn(commands).await?;
            }
        }
        Ok(())
    }

    /// Lets others run, then looks at what a long stretch of pure nodes would otherwise starve.
    async fn take_turn(&mut self, commands: &mut mpsc::Receiver<Command>) -> Result<(), Error> {
        tokio::task::yield_now().await;
        if let Some(end) = self.out_of_time() {
            self.ending = Some(end);
        }
        if let Ok(command) = commands.try_recv() {
            self.command(command).await?;
        }
        self.write_if_due().await
    }

    /// Carries out what the schedule decided.
    fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), Error> {
        for action in actions {
            match action {
                Action::Start { node, iteration, edges } => self.start(node, iteration, &edges)?,
                Action::Replaced { edge } => *self.replaced.entry(edge).or_insert(0) += 1,
                Action::Finish(ending) => self.ending = Some(End::Schedule(ending)),
            }
        }
        Ok(())
    }

    /// Tells the schedule what happened and carries out its decision.
    fn step(&mut self, input: Input) -> Result<(), Error> {
        let actions = self.schedule.step(input);
        self.carry_out(actions)
    }

    /// Writes what an effect waits for, or what has piled up.
    async fn write_if_due(&mut self) -> Result<(), Error> {
        if self.must_flush || self.record.unwritten() >= UNWRITTEN_MAX {
            self.must_flush = false;
            return self.flush(false).await;
        }
        Ok(())
    }

    /// Time left of the run's own limit; pauses do not count.
    fn remaining(&self) -> Option<Duration> {
        let limit = self.options.timeout?;
        let used = u64::try_from(self.state.running_ms_at(self.ports.clock.now())).unwrap_or(0);
        Some(limit.saturating_sub(Duration::from_millis(used)))
    }

    /// The end of a run that has used up its time.
    fn out_of_time(&self) -> Option<End> {
        let is_over = self.remaining().is_some_and(|it| it.is_zero());
        if is_over { Some(End::TimedOut) } else { self.end_of_time() }
    }

    /// How long until the run's limit or a question's deadline.
    fn next_timer(&self) -> Option<Duration> {
        let now = self.ports.clock.now();
        let question = self
            .state
            .open_questions()
            .iter()
            .filter_map(|(_, it)| it.question.deadline)
            .min()
            .map(|it| Duration::from_millis(u64::try_from(it.since_ms(now)).unwrap_or(0)));
        let own = self.remaining().into_iter().chain(self.time_left()).filter(|_| !self.is_paused());
        own.chain(question).min()
    }

    fn timer_fired(&mut self) -> Result<(), Error> {
        if !self.is_paused()
            && let Some(end) = self.out_of_time()
        {
            self.ending = Some(end);
            return Ok(());
        }
        self.expire_questions()
    }

    fn is_paused(&self) -> bool {
        self.state.status == super::event::Status::Paused
    }

    /// Answers those who asked for the end.
    fn acknowledge_end(&mut self) {
        for (reply, outcome) in self.after_end.drain(..) {
            // Nobody listens any more when the caller went away; the end stands all the same.
            let _ = reply.send(outcome);
        }
    }

    /// Records what a running node says; it is written with the next batch.
    fn note_report(&mut self, node: NodeIdx, report: Report) {
        match report {
            Report::Reserved(promise) => self.note_reserved(node, promise),
            Report::Settled { id, spent } => {
                self.note_event(Event::BudgetSettled(BudgetSettled { id, spent }), Some(node));
            }
            Report::Item(item) => {
                let Some(live) = self.live.get_mut(&node) else { return };
                live.items.push(item.clone());
                let iteration = live.iteration;
                self.keep_calls(node, Some(item.index));
                let event = Event::NodeOutput(NodeOutput { iteration, item });
                self.note_event(event, Some(node));
                self.must_flush = true;
            }
        }
    }

    fn note_event(&mut self, mut event: Event, node: Option<NodeIdx>) {
        scrub::event(&mut event, self.ports.secrets.scrubber());
        let at = self.ports.clock.now();
        self.state.apply(&event, node, at);
        self.set_account_clock();
        self.count(&event, node);
        let node_id = node.map(|it| Arc::clone(&self.plan.nodes[it].id));
        if let (Some(replay), Some(node_id)) = (&mut self.replay, &node_id) {
            replay.passed(&event, node_id);
        }
        self.record.add(&event, node_id, at);
    }
}
