//! One execution from its first event to its end, through as many processes as its seed lets die.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dipeo::engine::event::Event;
use dipeo::engine::run::{Command, Control, Launch, LogEntry, Mode, RunOptions, Stopped, run};
use dipeo::error::Error;
use dipeo::ids::ExecutionId;
use dipeo::nodes::{Origin, Rights};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::journal::{Kept, Pace, Plant, SimulatedJournal};
use super::people::People;
use super::random::Random;
use super::sketch::Sketch;
use super::world::{Summed, World, beginning, within};

/// Simulated time after which an execution that neither ends nor asks counts as lost.
const PATIENCE: Duration = Duration::from_secs(300);
/// Requests that may wait for the loop, as in a real process.
const COMMANDS_MAX: usize = 16;
/// Looks at a run after which something goes round without end.
const POLLS_MAX: u64 = 200_000;

/// What happens to the processes.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    pub seed: u64,
    /// Whether processes die, and people meddle.
    pub is_wild: bool,
    pub plant: Plant,
}

/// How a scenario ended.
pub struct Story {
    pub kept: Kept,
    pub ledger: Summed,
    pub violations: Vec<String>,
    pub lives: Vec<Life>,
    /// Whether somebody changed what comes out: an abort, a value set by hand.
    pub is_meddled: bool,
    pub n_requests: u64,
    /// Before which nodes it was to pause from the beginning.
    pub breakpoints: Vec<String>,
    pub lasted: Duration,
}

/// How one process went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Ended,
    Crashed,
    /// It was asked to stop, and left the rest to others.
    Released,
    LostItsLease,
    /// The journal refused a batch.
    Refused,
}

/// How a process is to die.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Lives,
    CrashesAt(Instant),
    CrashesAfterPolls(u64),
    CrashesAfterEffects(u64),
    StopsAt(Instant),
    IsOvertakenAt(Instant),
}

/// Runs `sketch` in a world of its own.
pub fn play(sketch: &Sketch, diagram_seed: u64, chaos: Chaos) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without threads");
    runtime.block_on(async {
        let mut scenario = Scenario::new(sketch, diagram_seed, chaos);
        scenario.play().await;
        scenario.story()
    })
}

type Running = Pin<Box<dyn Future<Output = Result<Stopped, Error>> + Send>>;
/// What came of a request.
type Reply = oneshot::Receiver<Result<(), Error>>;

/// A process that runs the execution.
struct Process {
    life: u32,
    owner: Arc<str>,
    run: Running,
    commands: mpsc::Sender<Command>,
    /// Requests that the loop has been handed, with the way back while nothing has come of them.
    carrying: BTreeMap<i64, Option<Reply>>,
    /// How many requests there were when it last looked.
    seen_requests: i64,
    stop: CancellationToken,
    fate: Fate,
    n_polls: u64,
}

impl Process {
    /// Hands the requests that wait to the loop, in their order.
    fn carry(&mut self, kept: &Kept) -> bool {
        if self.seen_requests == kept.n_requests {
            return false;
        }
        let mut has_moved = false;
        for request in kept.requests.iter() {
            if self.carrying.contains_key(&request.id) {
                continue;
            }
            let (reply, answer) = oneshot::channel();
            let (control, by) = (request.control.clone(), request.by.clone());
            let command = Command { control, by, is_by_model: false, request: Some(request.id), reply };
            if self.commands.try_send(command).is_err() {
                // Too many at once, or the loop is over: looked at again later.
                return has_moved;
            }
            self.carrying.insert(request.id, Some(answer));
            has_moved = true;
        }
        self.seen_requests = kept.n_requests;
        has_moved
    }

    /// What has come of requests since it was last asked.
    fn replies(&mut self) -> Vec<(i64, Result<(), Error>)> {
        let mut heard = Vec::new();
        for (id, slot) in &mut self.carrying {
            match slot.as_mut().map(Reply::try_recv) {
                Some(Ok(outcome)) => heard.push((*id, outcome)),
                Some(Err(oneshot::error::TryRecvError::Closed)) => {}
                Some(Err(oneshot::error::TryRecvError::Empty)) | None => continue,
            }
            *slot = None;
        }
        heard
    }
}

struct Scenario<'a> {
    sketch: &'a Sketch,
    random: Random,
    execution_id: ExecutionId,
    options: RunOptions,
    world: Arc<World>,
    journal: Arc<SimulatedJournal>,
    lives: Vec<Life>,
    n_deaths: u64,
    /// Processes that lost the execution and do not know it yet.
    zombies: Vec<Process>,
    people: People,
    last_news: Instant,
    began: Instant,
    n_reopenings: u32,
    /// The run may fail because its time is up.
    has_timeout: bool,
}

impl<'a> Scenario<'a> {
    fn new(sketch: &'a Sketch, diagram_seed: u64, chaos: Chaos) -> Self {
        let mut random = Random::new(chaos.seed, "chaos");
        let failures = if chaos.is_wild { random.pick(&[0, 0, 0, 20]) } else { 0 };
        let pace = Pace { commit_ms: random.pick(&[0, 5, 30, 200]), failures };
        let first =
            LogEntry { seq: 1, node_id: None, event: Event::ExecutionStarted(sketch.started.clone()), at: beginning() };
        let journal = SimulatedJournal::new(Random::new(chaos.seed, "journal"), pace, chaos.plant, first);
        let world = World::new(diagram_seed, Random::new(chaos.seed, "world"), Arc::clone(&journal));
        let mut scenario = Self {
            sketch,
            execution_id: ExecutionId::parse(&format!("exec_{:032x}", chaos.seed)).expect("32 digits"),
            options: RunOptions::default(),
            world,
            journal,
            lives: Vec::new(),
            n_deaths: if chaos.is_wild { random.below(5) } else { 0 },
            random,
            zombies: Vec::new(),
            people: People::new(Random::new(chaos.seed, "people"), chaos.is_wild, &sketch.plan),
            last_news: Instant::now(),
            began: Instant::now(),
            n_reopenings: 0,
            has_timeout: false,
        };
        if chaos.is_wild {
            scenario.choose_options();
        }
        scenario
    }

    /// What was asked when it was started.
    fn choose_options(&mut self) {
        if self.random.chance(15) {
            let labels: Vec<String> = self.sketch.plan.nodes.iter().map(|it| it.label.to_string()).collect();
            self.options.mode = Mode::Debug;
            self.options.breakpoints = vec![labels[self.random.index(labels.len())].clone()];
        }
        if self.random.chance(5) {
            self.options.timeout = Some(Duration::from_secs(1 + self.random.below(20)));
            self.has_timeout = true;
        }
    }

    async fn play(&mut self) {
        for life in 1.. {
            let process = self.start(life);
            let end = self.live(process).await;
            self.lives.push(end);
            let ending = self.journal.read(|kept| kept.has_ended().then_some(kept.reader.status));
            if self.is_lost(life) || ending.is_some_and(|it| !self.people.opens_again(it)) {
                break;
            }
            if ending.is_some() {
                tokio::time::sleep(Duration::from_millis(self.random.pick(&[0, 700]))).await;
                // Whoever opens it again has seen what failed.
                for round in self.journal.read(|kept| kept.failed.clone()) {
                    self.world.allow_repetition(round, u32::MAX - self.n_reopenings);
                }
                self.n_reopenings += 1;
                self.journal.open_again(&format!("somebody {}", self.people.n_requests), self.world.now());
            }
            // The time until somebody takes it over; a zombie goes on meanwhile.
            let down_ms = if end == Life::LostItsLease { 0 } else { self.random.pick(&[0, 10, 12_000]) };
            tokio::time::sleep(Duration::from_millis(down_ms)).await;
            self.last_news = Instant::now();
        }
        if !self.zombies.is_empty() {
            self.world.set_alive(u32::MAX);
        }
    }

    fn is_lost(&self, life: u32) -> bool {
        self.world.n_violations() > 0 || life > 200
    }

    fn start(&mut self, life: u32) -> Process {
        let owner: Arc<str> = format!("process {life}").into();
        self.journal.set_owner(&owner);
        self.world.set_alive(life);
        let fate = self.fate(u64::from(life));
        self.world.die_after_effects(match fate {
            Fate::CrashesAfterEffects(n) => Some(n),
            _ => None,
        });
        let (log, messages, first) = self.journal.read(|kept| {
            let first = kept.requests.first().map(|it| it.control.clone());
            (kept.log.clone(), kept.messages.clone(), first)
        });
        let decides = |it: &Control| {
            matches!(
                it,
                Control::Pause | Control::Abort { .. } | Control::Complete { .. } | Control::SetBreakpoints { .. }
            )
        };
        let launch = Launch {
            execution_id: self.execution_id.clone(),
            owner: Arc::clone(&owner),
            plan: Arc::clone(&self.sketch.plan),
            rights: Arc::new(Rights::of(Origin::Local, true, false)),
            options: self.options.clone(),
            log,
            messages,
            awaits_order: first.as_ref().is_some_and(decides),
            recorded: None,
            above: None,
            on_token: None,
        };
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let stop = CancellationToken::new();
        let journal = Arc::clone(&self.journal) as _;
        let run = Box::pin(run(launch, journal, self.world.ports(), receiver, stop.clone()));
        let carrying = BTreeMap::new();
        let mut process = Process { life, owner, run, commands, carrying, seen_requests: -1, stop, fate, n_polls: 0 };
        if self.random.chance(50) {
            self.journal.read(|kept| process.carry(kept));
        }
        process
    }

    fn fate(&mut self, life: u64) -> Fate {
        if life > self.n_deaths {
            return Fate::Lives;
        }
        let at = {
            let within_ms = self.random.pick(&[20, 200, 2_000, 10_000]);
            Instant::now() + Duration::from_millis(self.random.below(within_ms))
        };
        match self.random.below(10) {
            0..=2 => Fate::CrashesAt(at),
            3..=4 => Fate::CrashesAfterPolls(1 + self.random.below(60)),
            5..=6 => Fate::CrashesAfterEffects(1 + self.random.below(6)),
            7 => Fate::StopsAt(at),
            _ => Fate::IsOvertakenAt(at),
        }
    }

    /// Lets a process run until it dies or is done.
    async fn live(&mut self, mut process: Process) -> Life {
        let mut timer: Pin<Box<Sleep>> = Box::pin(tokio::time::sleep(Duration::ZERO));
        let end = poll_fn(|cx| self.look(&mut process, timer.as_mut(), cx)).await;
        match end {
            Life::Crashed => {
                // Its memory is gone before anything else happens.
                within(&self.world, process.life, || drop(process));
                self.zombies.clear();
                self.journal.crash();
            }
            Life::LostItsLease => {
                process.carrying.clear();
                self.zombies.push(process);
            }
            Life::Released if self.journal.has_queued() => {
                self.world.violation("a process let go of the execution before all was durable".to_owned());
            }
            Life::Ended | Life::Released | Life::Refused => {}
        }
        end
    }

    /// One look at everything that can move.
    fn look(&mut self, process: &mut Process, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Life> {
        loop {
            process.n_polls += 1;
            let world = Arc::clone(&self.world);
            let polled = within(&world, process.life, || process.run.as_mut().poll(cx));
            self.hear_replies(process);
            if let Poll::Ready(outcome) = polled {
                return Poll::Ready(self.outcome(outcome));
            }
            self.poll_zombies(cx);
            if self.meets_its_fate(process) {
                return Poll::Ready(self.death(process));
            }
            let has_moved = self.journal.advance() | self.act() | self.journal.read(|kept| process.carry(kept));
            self.read_news();
            if has_moved {
                continue;
            }
            let next = self.next_at(process);
            timer.as_mut().reset(next);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn outcome(&mut self, outcome: Result<Stopped, Error>) -> Life {
        match outcome {
            Ok(Stopped::Ended) => {
                if !self.journal.read(Kept::has_ended) {
                    self.world.violation("an end was reported that is not durable".to_owned());
                }
                Life::Ended
            }
            Ok(Stopped::Released) => Life::Released,
            Err(e) if matches!(e.code(), "DATABASE_FAILED" | "LEASE_LOST") => {
                self.journal.crash();
                Life::Refused
            }
            Err(e) => {
                self.world.violation(format!("the run broke off: {}", e.chain()));
                Life::Refused
            }
        }
    }

    fn poll_zombies(&mut self, cx: &mut Context<'_>) {
        let world = Arc::clone(&self.world);
        self.zombies.retain_mut(|it| within(&world, it.life, || it.run.as_mut().poll(cx)).is_pending());
    }

    fn meets_its_fate(&mut self, process: &Process) -> bool {
        let now = Instant::now();
        if process.n_polls > POLLS_MAX {
            self.world.violation("the run goes round without end".to_owned());
            return true;
        }
        if self.last_news + PATIENCE <= now {
            self.world.violation("the execution neither ends nor waits for somebody".to_owned());
            return true;
        }
        match process.fate {
            Fate::CrashesAt(at) | Fate::IsOvertakenAt(at) if at <= now => true,
            Fate::CrashesAfterPolls(n) => n <= process.n_polls,
            Fate::CrashesAfterEffects(_) => self.world.is_dying(),
            Fate::StopsAt(at) if at <= now => {
                process.stop.cancel();
                false
            }
            Fate::Lives | Fate::CrashesAt(_) | Fate::IsOvertakenAt(_) | Fate::StopsAt(_) => false,
        }
    }

    fn death(&self, process: &Process) -> Life {
        match process.fate {
            Fate::IsOvertakenAt(_) => Life::LostItsLease,
            _ => Life::Crashed,
        }
    }

    fn next_at(&self, process: &Process) -> Instant {
        let fate = match process.fate {
            Fate::CrashesAt(at) | Fate::IsOvertakenAt(at) => Some(at),
            Fate::StopsAt(at) => Some(at).filter(|_| !process.stop.is_cancelled()),
            _ => None,
        };
        let times = [fate, self.people.next_at(), self.journal.next_at()];
        times.into_iter().flatten().min().unwrap_or(self.last_news + PATIENCE)
    }

    /// Lets people do what is due; says whether anything was.
    fn act(&mut self) -> bool {
        let has_acted = self.people.act(&self.journal, &self.world);
        if has_acted {
            self.last_news = Instant::now();
        }
        has_acted
    }

    /// What is acknowledged is durable.
    fn hear_replies(&mut self, process: &mut Process) {
        for (id, outcome) in process.replies() {
            let wrong = self.journal.read(|kept| self.people.hear(id, &outcome, kept));
            if let Some(wrong) = wrong {
                self.world.violation(wrong);
            }
            self.journal.finish(id, &process.owner);
        }
    }

    /// Looks at what has become durable, as a reader does.
    fn read_news(&mut self) {
        let journal = Arc::clone(&self.journal);
        journal.read(|kept| {
            if self.people.read(kept) {
                self.last_news = Instant::now();
                self.check_visible(kept);
            }
        });
    }

    /// A paused execution says why, and what it waits for.
    fn check_visible(&self, kept: &Kept) {
        let Some(summary) = &kept.summary else { return };
        let waits = kept.reader.is_held || !kept.reader.open_questions().is_empty();
        let is_explained = summary.pause_reason.is_some() && waits;
        if kept.is_paused() && !is_explained {
            self.world.violation("it is paused and does not say for what".to_owned());
        }
        if summary.status != kept.reader.status || kept.log.last().map(|it| it.seq) != Some(summary.last_seq) {
            let what = format!("the row says {:?} {}", summary.status, summary.last_seq);
            self.world.violation(format!("{what}, the log {:?} {}", kept.reader.status, kept.log.len()));
        }
    }

    fn story(self) -> Story {
        let ledger = self.world.sum();
        Story {
            kept: self.journal.take_kept(),
            violations: ledger.violations.clone(),
            ledger,
            lives: self.lives,
            is_meddled: self.people.is_meddled || self.has_timeout,
            n_requests: self.people.n_requests,
            breakpoints: self.options.breakpoints,
            lasted: self.began.elapsed(),
        }
    }
}
