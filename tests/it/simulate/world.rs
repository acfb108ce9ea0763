//! Everything outside of the engine: models, commands and addresses that take their time and fail, a clock
//! that stands until all wait, and the ledger of what was really done.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dipeo::clock::{Clock, Timestamp};
use dipeo::compile::Plan;
use dipeo::error::Error;
use dipeo::nodes::budget::Scope;
use dipeo::nodes::ports::classes::Class;
use dipeo::nodes::ports::http::{Http, HttpReply, HttpRequest};
use dipeo::nodes::ports::outline::{Outline, OutlineJob};
use dipeo::nodes::ports::{
    CodeFacts, CodeJob, CodeResult, CodeRunner, Files, Language, Languages, ModelReply, ModelRequest, Models, Ports,
    RenderJob, Runtime, SyntaxProblem, Truth, Usage,
};
use dipeo::nodes::{Effect, Node, NodeContext, Outcome, Question, Retry, Rights};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::journal::{Round, SimulatedJournal};
use super::random::{Random, hash};
use super::sketch::AnyText;

/// When simulated time begins.
const BEGIN: Timestamp = Timestamp(1_767_323_045_000);

thread_local! {
    /// The world that this thread simulates just now.
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
    /// Which of its processes is running just now.
    static LIFE: Cell<u32> = const { Cell::new(0) };
}

/// Runs `work` in the process `life` of `world`.
pub fn within<T>(world: &Arc<World>, life: u32, work: impl FnOnce() -> T) -> T {
    WORLD.with(|it| *it.borrow_mut() = Some(Arc::clone(world)));
    LIFE.set(life);
    work()
}

fn world() -> Arc<World> {
    WORLD.with(|it| it.borrow().clone()).expect("nodes run within a simulation")
}

/// Puts an observer around every node of a plan.
pub fn watched(plan: &mut Plan) {
    for node in &mut plan.nodes {
        let inner = std::mem::replace(&mut node.node, Box::new(Nothing));
        node.node = Box::new(Watched { inner, at_most_once: node.policy.at_most_once });
    }
}

struct Nothing;

impl Node for Nothing {
    fn run<'a>(&'a self, _: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async { Err(Error::internal("a node was taken out and not put back")) })
    }
}

/// A node that tells the ledger when it runs.
struct Watched {
    inner: Box<dyn Node>,
    at_most_once: bool,
}

impl Node for Watched {
    fn effect(&self) -> Effect {
        self.inner.effect()
    }

    fn traits(&self) -> dipeo::nodes::Traits {
        self.inner.traits()
    }

    fn is_batch(&self) -> bool {
        self.inner.is_batch()
    }

    fn timeout_default(&self) -> Option<f64> {
        self.inner.timeout_default()
    }

    fn retry_default(&self) -> Retry {
        self.inner.retry_default()
    }

    fn mocked(&self, label: &str) -> Option<Value> {
        self.inner.mocked(label)
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        let call = world().begin(cx, self.inner.effect() == Effect::Outside, self.at_most_once);
        Box::pin(async move {
            let outcome = self.inner.run(cx).await;
            call.end(&outcome);
            outcome
        })
    }

    fn is_for_people(&self) -> bool {
        self.inner.is_for_people()
    }

    fn check_answer(&self, question: &Question, answer: Value) -> Result<Value, Error> {
        self.inner.check_answer(question, answer)
    }

    fn resume<'a>(
        &'a self,
        cx: &'a NodeContext,
        question: &'a Question,
        answer: Value,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        world().enter(cx);
        self.inner.resume(cx, question, answer)
    }

    fn expire(&self, question: &Question) -> Result<Outcome, Error> {
        self.inner.expire(question)
    }
}

/// How a call of a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Done,
    Asked,
    Failed,
    /// Its future was dropped: the process died or gave it up.
    Dropped,
}

/// One attempt of one round, as it really happened.
#[derive(Clone, Debug)]
pub struct Call {
    pub life: u32,
    pub attempt: u32,
    /// What it was given, in order of the keys.
    pub inputs: BTreeMap<String, Value>,
    state: State,
}

/// The outside of one execution.
pub struct World {
    ledger: Mutex<Ledger>,
    journal: Arc<SimulatedJournal>,
    /// Decides what fails; the same in every run of the diagram.
    diagram_seed: u64,
    began: Instant,
}

#[derive(Default)]
struct Ledger {
    random: Option<Random>,
    calls: BTreeMap<Round, Vec<Call>>,
    /// The round in which each node runs, by process and label.
    rounds: BTreeMap<(u32, String), Round>,
    /// How often each piece of outside work was answered.
    answered: BTreeMap<String, u32>,
    /// Tokens of each piece of model work that was answered with a reply.
    usage: BTreeMap<(Round, Option<usize>), Usage>,
    /// The questions about a repetition that somebody asked for.
    repeats_asked: BTreeMap<Round, BTreeSet<u32>>,
    /// Model calls so far, by person and in all.
    n_calls: BTreeMap<Option<String>, u64>,
    alive: u32,
    n_effects: u64,
    n_repeated: u64,
    /// Effects that begin from here on until the process is to die.
    dies_after_effects: Option<u64>,
    violations: Vec<String>,
}

/// What the ledger says in the end.
pub struct Summed {
    pub calls: BTreeMap<Round, Vec<Call>>,
    pub usage: BTreeMap<(Round, Option<usize>), Usage>,
    pub n_effects: u64,
    pub n_repeated: u64,
    pub violations: Vec<String>,
}

impl World {
    pub fn new(diagram_seed: u64, random: Random, journal: Arc<SimulatedJournal>) -> Arc<Self> {
        let ledger = Mutex::new(Ledger { random: Some(random), ..Ledger::default() });
        Arc::new(Self { ledger, journal, diagram_seed, began: Instant::now() })
    }

    pub fn ports(self: &Arc<Self>) -> Arc<Ports> {
        let outside = Arc::new(Outside(Arc::clone(self)));
        let closed = Ports::closed(
            Arc::clone(&outside) as _,
            Arc::clone(&outside) as _,
            Arc::clone(&outside) as _,
            Arc::new(SimulatedClock(self.began)),
        );
        Arc::new(Ports { http: outside, ..closed })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The simulated time.
    pub fn now(&self) -> Timestamp {
        SimulatedClock(self.began).now()
    }

    /// The process that owns the execution from now on.
    pub fn set_alive(&self, life: u32) {
        self.ledger().alive = life;
    }

    /// Somebody answers the question `number` of a round so that its effect may happen once more.
    pub fn allow_repetition(&self, round: Round, number: u32) {
        self.ledger().repeats_asked.entry(round).or_default().insert(number);
    }

    pub fn violation(&self, what: String) {
        self.ledger().violations.push(what);
    }

    pub fn n_violations(&self) -> usize {
        self.ledger().violations.len()
    }

    /// The process dies when so many more effects have begun.
    pub fn die_after_effects(&self, n_effects: Option<u64>) {
        self.ledger().dies_after_effects = n_effects;
    }

    pub fn is_dying(&self) -> bool {
        self.ledger().dies_after_effects == Some(0)
    }

    pub fn sum(&self) -> Summed {
        let ledger = std::mem::take(&mut *self.ledger());
        Summed {
            calls: ledger.calls,
            usage: ledger.usage,
            n_effects: ledger.n_effects,
            n_repeated: ledger.n_repeated,
            violations: ledger.violations,
        }
    }

    /// A round runs in this process, so that what its node asks for is known to be its.
    fn enter(&self, cx: &NodeContext) {
        let round = (cx.node_id.to_string(), cx.iteration);
        self.ledger().rounds.insert((LIFE.get(), cx.label.to_string()), round);
    }

    fn begin(self: &Arc<Self>, cx: &NodeContext, is_effect: bool, at_most_once: bool) -> Running {
        self.enter(cx);
        let (life, round) = (LIFE.get(), (cx.node_id.to_string(), cx.iteration));
        let mut ledger = self.ledger();
        let before = ledger.calls.get(&round).cloned().unwrap_or_default();
        if life == ledger.alive {
            let mut wrong = self.too_late(&round);
            wrong.extend(repeated(&before, life));
            if is_effect {
                wrong.extend(self.too_early(&round, cx.attempt));
                let n_begun = before.iter().filter(|it| it.state != State::Failed).count();
                let n_asked = ledger.repeats_asked.get(&round).map_or(0, BTreeSet::len);
                if at_most_once && n_asked < n_begun {
                    wrong.push("an effect that must not be repeated was, unasked".to_owned());
                }
            }
            ledger.violations.extend(wrong.into_iter().map(|it| format!("{round:?} attempt {}: {it}", cx.attempt)));
        }
        if is_effect {
            ledger.n_effects += 1;
            ledger.n_repeated += u64::from(before.iter().any(|it| it.state != State::Failed));
            ledger.dies_after_effects = ledger.dies_after_effects.map(|it| it.saturating_sub(1));
        }
        let inputs = cx.names.inputs.iter().map(|(key, value)| (key.to_owned(), Value::clone(value))).collect();
        let calls = ledger.calls.entry(round.clone()).or_default();
        calls.push(Call { life, attempt: cx.attempt, inputs, state: State::InFlight });
        Running { world: Arc::clone(self), idx: calls.len() - 1, round }
    }

    /// What is committed never runs again.
    fn too_late(&self, round: &Round) -> Vec<String> {
        self.journal.read(|kept| {
            let mut wrong = Vec::new();
            if kept.over.contains(round) {
                wrong.push("a committed node runs again".to_owned());
            }
            if kept.asked.contains(round) {
                wrong.push("a question that is on record is asked again".to_owned());
            }
            if kept.given.contains(round) {
                wrong.push("somebody gave its value, and it runs all the same".to_owned());
            }
            if kept.has_ended() {
                wrong.push("a node runs after the end".to_owned());
            }
            wrong
        })
    }

    /// An effect begins when its start is durable, and with it everything before.
    fn too_early(&self, round: &Round, attempt: u32) -> Option<String> {
        let begun = self.journal.read(|kept| kept.begun.get(round).copied());
        (begun != Some(attempt)).then(|| format!("the effect begins and durable is attempt {begun:?}"))
    }

    /// One piece of outside work: how long it takes, and whether it fails. `what` names it whichever process
    /// does it.
    fn work(&self, what: &str, code: &'static str) -> (Duration, Result<(), Error>) {
        let mut ledger = self.ledger();
        let fate = hash(&[what, &self.diagram_seed.to_string()]) % 1_000;
        let n_answered = ledger.answered.entry(what.to_owned()).or_default();
        let n_before = *n_answered;
        *n_answered += 1;
        let random = ledger.random.as_mut().expect("a world has its numbers");
        let takes_ms = match random.below(20) {
            0..=7 => 0,
            8..=15 => random.below(40),
            16..=18 => random.below(400),
            _ => random.below(3_000),
        };
        let outcome = match fate {
            0..=24 => Err(Error::external(code, "it fails whenever it is tried")),
            25..=124 if n_before < 1 => Err(Error::external(code, "it fails once").retryable(true)),
            125..=154 if n_before < 2 => Err(Error::external(code, "it fails twice").retryable(true)),
            _ => Ok(()),
        };
        (Duration::from_millis(takes_ms), outcome)
    }

    /// A call of `person` begins: it fits into the budgets as they are on record, whatever became of all others.
    fn count_call(&self, person: &str) {
        let mut ledger = self.ledger();
        for whose in [None, Some(person.to_owned())] {
            let n_calls = ledger.n_calls.entry(whose.clone()).or_default();
            *n_calls += 1;
            let n_calls = *n_calls;
            let scope = whose.map_or(Scope::Run, Scope::Person);
            let limit = self.journal.read(|kept| kept.reader.budgets.entry(&scope).and_then(|it| it.limit.calls));
            if limit.is_some_and(|it| it < n_calls) {
                ledger.violations.push(format!("call {n_calls} of {} with a budget of {limit:?}", scope.words()));
            }
        }
    }

    fn round_of(&self, label: &str) -> Round {
        let round = self.ledger().rounds.get(&(LIFE.get(), label.to_owned())).cloned();
        round.unwrap_or_else(|| (format!("unknown {label}"), 0))
    }
}

/// In one process a round runs once, and once more after each failure.
fn repeated(before: &[Call], life: u32) -> Option<String> {
    let last = before.iter().rfind(|it| it.life == life)?;
    (last.state != State::Failed).then(|| format!("it ran before in this process and that is {:?}", last.state))
}

/// A call that is under way.
struct Running {
    world: Arc<World>,
    round: Round,
    idx: usize,
}

impl Running {
    fn end(&self, outcome: &Result<Outcome, Error>) {
        let state = match outcome {
            Ok(Outcome::Done(_)) => State::Done,
            // It comes back for the rest when the budget is raised.
            Ok(Outcome::Wait(question)) if question.budget.is_some() => State::Failed,
            Ok(Outcome::Wait(_)) => State::Asked,
            Err(_) => State::Failed,
        };
        self.set(state);
    }

    fn set(&self, state: State) {
        let mut ledger = self.world.ledger();
        let call = ledger.calls.get_mut(&self.round).and_then(|it| it.get_mut(self.idx));
        if let Some(call) = call.filter(|it| it.state == State::InFlight) {
            call.state = state;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.set(State::Dropped);
    }
}

struct SimulatedClock(Instant);

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        BEGIN.plus_ms(i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

/// The moment at which simulated time begins.
pub fn beginning() -> Timestamp {
    BEGIN
}

/// The ports.
struct Outside(Arc<World>);

async fn pass(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

impl Models for Outside {
    /// The reply follows from the prompt, so it is the same whenever it is given.
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        let round = self.0.round_of(&request.node_label);
        let prompt = request.messages.last().map(|it| it.content.clone()).unwrap_or_default();
        let item: Option<usize> = prompt.split("item=").nth(1).and_then(|it| it.split(' ').next()?.parse().ok());
        let is_done = |item| self.0.journal.read(|kept| kept.items.contains(&(round.clone(), item)));
        if LIFE.get() == self.0.ledger().alive && item.is_some_and(is_done) {
            self.0.violation(format!("{round:?}: item {item:?} is committed and runs again"));
        }
        self.0.count_call(&request.person.id);
        let (takes, outcome) = self.0.work(&format!("{round:?} {item:?}"), "LLM_FAILED");
        let sum = hash(&[&prompt]);
        let usage = Usage { input: 1 + sum % 50, output: 1 + sum % 7, cached: sum % 2 };
        Box::pin(async move {
            pass(takes).await;
            outcome?;
            self.0.ledger().usage.insert((round, item), usage);
            Ok(ModelReply { text: format!("r{:x}", sum % 0xFFFF), usage, ..ModelReply::default() })
        })
    }
}

impl CodeRunner for Outside {
    fn run(&self, job: CodeJob) -> BoxFuture<'_, Result<CodeResult, Error>> {
        let inputs: BTreeMap<_, _> = job.inputs.iter().map(|(key, value)| (key, value.to_string())).collect();
        let sum = hash(&[&job.source, &format!("{inputs:?}")]);
        // What the sandbox does is seen by nobody: it does not fail by itself, and mostly takes no time.
        let (takes, outcome) = match job.runtime {
            Runtime::Host => self.0.work(&format!("{} {inputs:?}", job.node_id), "CODE_FAILED"),
            Runtime::Sandbox => (self.0.work("sandbox", "CODE_FAILED").0 / 4, Ok(())),
        };
        let value = if job.source.starts_with("list") {
            (0..1 + sum % 4).map(|it| it.to_string()).collect()
        } else {
            json!({"v": format!("{:x}", sum % 0xFFFF)})
        };
        Box::pin(async move {
            pass(takes).await;
            outcome.map(|()| CodeResult { value, printed: String::new() })
        })
    }

    fn evaluate<'a>(
        &'a self,
        expression: &'a str,
        names: &'a Map<String, Value>,
    ) -> BoxFuture<'a, Result<Truth, Error>> {
        let names: BTreeMap<_, _> = names.iter().map(|(key, value)| (key, value.to_string())).collect();
        let truth = hash(&[expression, &format!("{names:?}")]) % 100 < 55;
        Box::pin(async move { Ok(Truth { value: truth.into(), truth }) })
    }

    fn render(&self, _: RenderJob) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(async { Err(Error::internal("no diagram renders here")) })
    }

    fn outline(&self, _: OutlineJob) -> BoxFuture<'_, Result<Outline, Error>> {
        Box::pin(async { Err(Error::internal("no diagram outlines here")) })
    }
}

impl Languages for Outside {
    fn check_expression(&self, expression: &str) -> Result<(), SyntaxProblem> {
        AnyText.check_expression(expression)
    }

    fn check_code(&self, language: Language, source: &str) -> Result<CodeFacts, SyntaxProblem> {
        AnyText.check_code(language, source)
    }

    fn read_classes(&self, source: &str) -> Result<Vec<Class>, SyntaxProblem> {
        AnyText.read_classes(source)
    }
}

impl Http for Outside {
    /// Every request names the round it belongs to, so that the other side can tell a repetition.
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>> {
        let label = request.url.rsplit('/').next().unwrap_or_default().to_owned();
        let (node, iteration) = self.0.round_of(&label);
        let key = request.headers.iter().find(|(name, _)| name == "Idempotency-Key").map(|(_, it)| it.as_str());
        let ends = format!(":{node}:{iteration}");
        if request.method == "POST" && !key.is_some_and(|it| it.ends_with(&ends)) {
            self.0.violation(format!("a request of {node}:{iteration} has the key {key:?}"));
        }
        let (takes, outcome) = self.0.work(&format!("{node}:{iteration}"), "HTTP_FAILED");
        let sum = hash(&[&String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()), &label]);
        Box::pin(async move {
            pass(takes).await;
            outcome?;
            let body = json!({"v": format!("{:x}", sum % 0xFFFF)}).to_string().into_bytes();
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            Ok(HttpReply { status: 200, headers, body, duration: takes })
        })
    }
}

/// There are no files here.
impl Files for Outside {
    fn read<'a>(&'a self, path: &'a str, _: &'a Rights) -> BoxFuture<'a, Result<Vec<u8>, Error>> {
        Box::pin(async move { Err(Error::not_found("FILE_NOT_FOUND", format!("no `{path}`"))) })
    }

    fn write<'a>(&'a self, _: &'a str, _: &'a [u8], _: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, path: &'a str, _: &'a Rights) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { Err(Error::not_found("FILE_NOT_FOUND", format!("no `{path}`"))) })
    }

    fn glob<'a>(&'a self, _: &'a str, _: &'a Rights) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn exists<'a>(&'a self, _: &'a str, _: &'a Rights) -> BoxFuture<'a, bool> {
        Box::pin(async { false })
    }

    fn root(&self) -> PathBuf {
        PathBuf::from("simulated")
    }
}
