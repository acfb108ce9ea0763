//! One execution from its first event to its end, through as many processes as its seed lets die.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dipeo::engine::event::Event;
use dipeo::engine::run::{Command, Control, Launch, LogEntry, Mode, RunOptions, Stopped, run};
use dipeo::error::Error;
use dipeo::ids::ExecutionId;
use dipeo::nodes::{Origin, PauseReason, Rights};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use super::journal::{Kept, Pace, Plant, Round, SimulatedJournal};
use super::random::{Random, hash};
use super::sketch::Sketch;
use super::world::{Summed, World, beginning, within};

/// Simulated time after which an execution that neither ends nor asks counts as lost.
const PATIENCE: Duration = Duration::from_secs(300);
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
    pub n_commands: u64,
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

/// A process that runs the execution.
struct Process {
    life: u32,
    run: Running,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    fate: Fate,
    n_polls: u64,
}

/// Somebody will do something.
struct Plan {
    at: Instant,
    what: Control,
    /// The round that is to begin, or to begin again.
    round: Option<Round>,
    /// Whether an effect may happen once more.
    is_repetition: bool,
}

impl Plan {
    fn new(at: Instant, what: Control) -> Self {
        Self { at, what, round: None, is_repetition: false }
    }
}

/// A command on its way.
struct Asked {
    by: String,
    reply: oneshot::Receiver<Result<(), Error>>,
    is_abort: bool,
    /// The round that was to begin.
    round: Option<Round>,
}

impl Asked {
    /// Whether what was asked for holds in what is durable. Who asks that a round goes on which somebody else let go
    /// adds nothing to the log: then it must show that the round has begun.
    fn is_durable(&self, kept: &Kept) -> bool {
        let goes_on = self.round.as_ref().is_some_and(|it| kept.goes_on(it));
        (kept.actors.contains(&self.by) || goes_on) && (kept.has_ended() || !self.is_abort)
    }
}

struct Scenario<'a> {
    sketch: &'a Sketch,
    chaos: Chaos,
    random: Random,
    execution_id: ExecutionId,
    options: RunOptions,
    world: Arc<World>,
    journal: Arc<SimulatedJournal>,
    lives: Vec<Life>,
    n_deaths: u64,
    /// Processes that lost the execution and do not know it yet.
    zombies: Vec<Process>,
    plans: Vec<Plan>,
    /// Questions for which an answer is planned; a batch asks for one item after the other.
    answered: BTreeSet<(Round, String)>,
    asked: Vec<Asked>,
    n_commands: u64,
    seen_commits: u64,
    last_news: Instant,
    began: Instant,
    is_meddled: bool,
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
            chaos,
            execution_id: ExecutionId::parse(&format!("exec_{:032x}", chaos.seed)).expect("32 digits"),
            options: RunOptions::default(),
            world,
            journal,
            lives: Vec::new(),
            n_deaths: if chaos.is_wild { random.below(5) } else { 0 },
            random,
            zombies: Vec::new(),
            plans: Vec::new(),
            answered: BTreeSet::new(),
            asked: Vec::new(),
            n_commands: 0,
            seen_commits: 0,
            last_news: Instant::now(),
            began: Instant::now(),
            is_meddled: false,
        };
        if chaos.is_wild {
            scenario.meddle();
        }
        scenario
    }

    /// What people do beside answering.
    fn meddle(&mut self) {
        if self.random.chance(15) {
            let labels: Vec<String> = self.sketch.plan.nodes.iter().map(|it| it.label.to_string()).collect();
            self.options.mode = Mode::Debug;
            self.options.breakpoints = vec![labels[self.random.index(labels.len())].clone()];
        }
        if self.random.chance(5) {
            self.options.timeout = Some(Duration::from_secs(1 + self.random.below(20)));
            self.is_meddled = true;
        }
        if self.random.chance(8) {
            let at = self.soon(4_000);
            self.plans.push(Plan::new(at, Control::Abort { reason: None }));
            self.is_meddled = true;
        }
    }

    fn soon(&mut self, ms_max: u64) -> Instant {
        Instant::now() + Duration::from_millis(self.random.below(ms_max))
    }

    async fn play(&mut self) {
        for life in 1.. {
            let process = self.start(life);
            let end = self.live(process).await;
            self.lives.push(end);
            let is_over = end == Life::Ended || self.journal.read(Kept::has_ended) || self.is_lost(life);
            if is_over {
                break;
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
        self.answered.clear();
        self.asked.clear();
        // What was asked before is asked still, and answered afresh.
        self.plans.retain(|it| matches!(it.what, Control::Abort { .. }));
        self.seen_commits = u64::MAX;
        let fate = self.fate(u64::from(life));
        self.world.die_after_effects(match fate {
            Fate::CrashesAfterEffects(n) => Some(n),
            _ => None,
        });
        let (log, messages) = self.journal.read(|kept| (kept.log.clone(), kept.messages.clone()));
        let launch = Launch {
            execution_id: self.execution_id.clone(),
            owner,
            plan: Arc::clone(&self.sketch.plan),
            rights: Arc::new(Rights::of(Origin::Local, true, false)),
            options: self.options.clone(),
            log,
            messages,
            awaits_order: false,
            recorded: None,
            above: None,
            on_token: None,
        };
        let (commands, receiver) = mpsc::channel(256);
        let stop = CancellationToken::new();
        let journal = Arc::clone(&self.journal) as _;
        let run = Box::pin(run(launch, journal, self.world.ports(), receiver, stop.clone()));
        Process { life, run, commands, stop, fate, n_polls: 0 }
    }

    fn fate(&mut self, life: u64) -> Fate {
        if life > self.n_deaths {
            return Fate::Lives;
        }
        let at = {
            let within_ms = self.random.pick(&[20, 200, 2_000, 10_000]);
            self.soon(within_ms)
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
            Life::LostItsLease => self.zombies.push(process),
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
            self.hear_replies();
            if let Poll::Ready(outcome) = polled {
                return Poll::Ready(self.outcome(outcome));
            }
            self.poll_zombies(cx);
            if self.meets_its_fate(process) {
                return Poll::Ready(self.death(process));
            }
            let has_moved = self.journal.advance() | self.act(process);
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
        let plan = self.plans.iter().map(|it| it.at).min();
        let times = [fate, plan, self.journal.next_at()];
        times.into_iter().flatten().min().unwrap_or(self.last_news + PATIENCE)
    }

    /// Carries out what is due; says whether anything was.
    fn act(&mut self, process: &Process) -> bool {
        let now = Instant::now();
        let (due, later): (Vec<Plan>, Vec<Plan>) =
            std::mem::take(&mut self.plans).into_iter().partition(|it| it.at <= now);
        self.plans = later;
        let has_acted = !due.is_empty();
        for plan in due {
            self.send(process, plan);
        }
        has_acted
    }

    fn send(&mut self, process: &Process, plan: Plan) {
        self.n_commands += 1;
        self.last_news = Instant::now();
        let by = format!("somebody {}", self.n_commands);
        let (reply, receiver) = oneshot::channel();
        let is_abort = matches!(plan.what, Control::Abort { .. });
        if let (true, Some(round)) = (plan.is_repetition, &plan.round) {
            self.world.allow_repetition(round.clone());
        }
        let command = Command { control: plan.what, by: by.clone(), is_by_model: false, reply };
        // A full queue refuses, and whoever asked asks again.
        if process.commands.try_send(command).is_ok() {
            self.asked.push(Asked { by, reply: receiver, is_abort, round: plan.round });
        }
    }

    /// What is acknowledged is durable.
    fn hear_replies(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        for mut it in asked {
            match it.reply.try_recv() {
                Ok(Ok(())) => {
                    if !self.journal.read(|kept| it.is_durable(kept)) {
                        self.world.violation(format!("`{}` got an answer to what is not durable", it.by));
                    }
                }
                Ok(Err(_)) | Err(oneshot::error::TryRecvError::Closed) => {}
                Err(oneshot::error::TryRecvError::Empty) => self.asked.push(it),
            }
        }
    }

    /// Looks at what has become durable, as a reader does, and plans answers to what it asks.
    fn read_news(&mut self) {
        let journal = Arc::clone(&self.journal);
        journal.read(|kept| {
            if kept.n_commits == self.seen_commits {
                return;
            }
            self.seen_commits = kept.n_commits;
            self.last_news = Instant::now();
            self.check_visible(kept);
            for (idx, waiting) in kept.reader.open_questions() {
                let round = (kept.reader.nodes[idx].outline.id.clone(), waiting.iteration);
                let question = (waiting.question.reason, waiting.question.prompt.as_str());
                if self.answered.insert((round.clone(), format!("{question:?}"))) {
                    self.plan_answer(round, question, waiting.question.deadline.is_some());
                }
            }
        });
    }

    /// A paused execution says why, and what it waits for.
    fn check_visible(&self, kept: &Kept) {
        let Some(summary) = &kept.summary else { return };
        let is_explained = summary.pause_reason.is_some() && !kept.reader.open_questions().is_empty();
        if kept.is_paused() && !is_explained {
            self.world.violation("it is paused and does not say for what".to_owned());
        }
        if summary.status != kept.reader.status || kept.log.last().map(|it| it.seq) != Some(summary.last_seq) {
            let what = format!("the row says {:?} {}", summary.status, summary.last_seq);
            self.world.violation(format!("{what}, the log {:?} {}", kept.reader.status, kept.log.len()));
        }
    }

    fn plan_answer(&mut self, round: Round, (reason, prompt): (PauseReason, &str), may_expire: bool) {
        if may_expire && self.random.chance(30) {
            return;
        }
        let node = Some(round.0.clone());
        let at = {
            let within_ms = self.random.pick(&[1, 50, 5_000]);
            self.soon(within_ms)
        };
        let what = match reason {
            PauseReason::Operator if self.chaos.is_wild && self.random.chance(30) => {
                self.is_meddled = true;
                Control::SetOutput { node, value: json!("by hand") }
            }
            PauseReason::Breakpoint if self.random.chance(30) => Control::Step,
            PauseReason::Operator | PauseReason::Breakpoint => Control::Resume { node, value: Value::Null },
            _ => Control::Answer { node, value: answer(reason, prompt) },
        };
        if matches!(reason, PauseReason::Input | PauseReason::Approval) && self.random.chance(20) {
            // Too early, too late, or nonsense: the first valid answer to this round wins all the same.
            let again_at = self.soon(6_000);
            let node = Some(format!("{}:{}", round.0, round.1));
            let value = if self.random.chance(50) { json!([1]) } else { answer(reason, prompt) };
            self.plans.push(Plan::new(again_at, Control::Answer { node, value }));
        }
        let lets_go = matches!(what, Control::Resume { .. });
        let is_repetition = lets_go && reason == PauseReason::Operator;
        self.plans.push(Plan { at, what, round: lets_go.then_some(round), is_repetition });
    }

    fn story(self) -> Story {
        let ledger = self.world.sum();
        Story {
            kept: self.journal.read(Kept::clone),
            violations: ledger.violations.clone(),
            ledger,
            lives: self.lives,
            is_meddled: self.is_meddled,
            n_commands: self.n_commands,
            lasted: self.began.elapsed(),
        }
    }
}

/// The same question gets the same answer.
fn answer(reason: PauseReason, prompt: &str) -> Value {
    let sum = hash(&[prompt]);
    match reason {
        PauseReason::Approval => json!(sum.is_multiple_of(2)),
        _ => json!(format!("a{:x}", sum % 0xFFFF)),
    }
}
