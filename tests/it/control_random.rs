//! Runs of random diagrams that operators interfere with at random moments and whose process dies now and then:
//! they end as undisturbed ones do, no committed node runs again, and while a pause is asked for nothing starts.
//! The engine is the real one; the journal is a list, the models a function, the clock stands still.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dipeo::clock::{TestClock, Timestamp};
use dipeo::code::{Code, Settings};
use dipeo::compile::Plan;
use dipeo::engine::event::{ControlApplied, ExecutionStarted, NodeOutline};
use dipeo::engine::journal::{Batch, Journal, Ticket};
use dipeo::engine::run::{Command, Control, Launch, LogEntry, RunOptions, Stopped, run};
use dipeo::engine::state::ExecutionState;
use dipeo::engine::{Event, Status};
use dipeo::error::Error;
use dipeo::ids::ExecutionId;
use dipeo::nodes::memory::Message;
use dipeo::nodes::ports::{ModelReply, ModelRequest, Models, Ports};
use dipeo::nodes::{Origin, Rights};
use dipeo::outside::WorkspaceFiles;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::corpus_compile::{compile_in, languages};

/// What was written is durable at once.
#[derive(Default)]
struct Memory {
    log: Mutex<Vec<LogEntry>>,
    messages: Mutex<Vec<Message>>,
}

impl Journal for Memory {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Ticket, Error>> {
        let rows = batch.transitions.into_iter().map(|it| LogEntry {
            seq: it.seq,
            node_id: it.node_id.map(|it| it.to_string()),
            event: Event::parse(it.phase, &it.payload).expect("own payload").expect("a known phase"),
            at: it.created_at,
        });
        self.log.lock().expect("whole").extend(rows);
        self.messages.lock().expect("whole").extend(batch.messages);
        let (done, ticket) = oneshot::channel();
        done.send(Ok(())).expect("it is listened to");
        std::future::ready(Ok(Ticket(ticket))).boxed()
    }
}

/// Says what it is asked; the first calls fail.
struct Echo {
    n_failures: Mutex<u32>,
}

impl Models for Echo {
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        async move {
            tokio::task::yield_now().await;
            let mut left = self.n_failures.lock().expect("whole");
            if *left > 0 {
                *left -= 1;
                return Err(Error::external("LLM_FAILED", "overloaded").retryable(true));
            }
            let text = request.messages.last().map(|it| it.content.clone()).unwrap_or_default();
            Ok(ModelReply { text, ..ModelReply::default() })
        }
        .boxed()
    }
}

/// The loop of an execution.
type Running = JoinHandle<Result<Stopped, Error>>;

/// One execution, whose process may die and be followed by another.
struct Bench {
    plan: Arc<Plan>,
    ports: Arc<Ports>,
    clock: Arc<TestClock>,
    journal: Arc<Memory>,
    process: Option<(mpsc::Sender<Command>, Running)>,
}

impl Bench {
    fn new(diagram: &str, n_failures: u32) -> Self {
        let compiled = compile_in(Path::new("d.light.yaml"), diagram, &languages());
        let plan = compiled.plan.unwrap_or_else(|| panic!("{diagram}\n{:?}", compiled.diagnostics));
        let clock = Arc::new(TestClock::new(Timestamp(1_767_323_045_000)));
        let ports = Ports::closed(
            Code::new(Settings::new(Vec::new(), ".".into())),
            Arc::new(Echo { n_failures: Mutex::new(n_failures) }),
            WorkspaceFiles::new(".".into()),
            Arc::clone(&clock) as _,
        );
        let nodes = plan.nodes.iter().enumerate().map(|(idx, it)| NodeOutline {
            id: it.id.to_string(),
            label: it.label.to_string(),
            kind: it.kind.name().to_owned(),
            is_last: plan.graph.outgoing(idx).is_empty(),
        });
        let event = Event::ExecutionStarted(ExecutionStarted { nodes: nodes.collect(), ..Default::default() });
        let journal = Arc::new(Memory::default());
        journal.log.lock().expect("whole").push(LogEntry { seq: 1, node_id: None, event, at: ports.clock.now() });
        let mut bench = Self { plan: Arc::new(plan), ports: Arc::new(ports), clock, journal, process: None };
        bench.take_over();
        bench
    }

    /// Another process goes on from the log.
    fn take_over(&mut self) {
        let launch = Launch {
            execution_id: ExecutionId::parse("exec_0123456789abcdef0123456789abcdef").expect("an id"),
            owner: "me".into(),
            plan: Arc::clone(&self.plan),
            rights: Arc::new(Rights::of(Origin::Local, false, false)),
            options: RunOptions::default(),
            log: self.log(),
            messages: self.journal.messages.lock().expect("whole").clone(),
            above: None,
            on_token: None,
            awaits_order: false,
            recorded: None,
        };
        let (commands, receiver) = mpsc::channel(16);
        let journal = Arc::clone(&self.journal) as Arc<dyn Journal>;
        let running = run(launch, journal, Arc::clone(&self.ports), receiver, CancellationToken::new());
        self.process = Some((commands, tokio::spawn(running)));
    }

    /// Ends the process where it is.
    async fn crash(&mut self) {
        if let Some((_, process)) = self.process.take() {
            process.abort();
            let _ = process.await;
        }
    }

    fn log(&self) -> Vec<LogEntry> {
        self.journal.log.lock().expect("whole").clone()
    }

    fn state(&self) -> ExecutionState {
        let mut state = ExecutionState::new();
        for entry in self.log() {
            let node = entry.node_id.as_deref().and_then(|it| state.node_idx(it));
            state.apply(&entry.event, node, entry.at);
        }
        state
    }

    /// Asks for something; `None` when the run has ended.
    async fn ask(&self, control: Control) -> Option<Result<(), Error>> {
        let (commands, _) = self.process.as_ref()?;
        let (reply, answer) = oneshot::channel();
        commands.send(Command { control, by: "me".into(), is_by_model: false, request: None, reply }).await.ok()?;
        answer.await.ok()
    }

    /// Answers the question that waits longest, always alike.
    async fn answer(&self) {
        let state = self.state();
        let is_question = |reason: &str| !matches!(reason, "operator" | "breakpoint");
        let open = state.open_questions();
        let Some((idx, _)) = open.iter().find(|(_, it)| is_question(it.question.reason.name())) else { return };
        let label = state.nodes[*idx].outline.label.clone();
        let value = json!(format!("answer to {label}"));
        let answered = self.ask(Control::Answer { node: Some(label), value }).await;
        assert!(matches!(&answered, None | Some(Ok(()))), "{answered:?}");
    }

    /// Gives the run more turns than it can need.
    async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets it go on until it has ended.
    async fn finish(&mut self) -> ExecutionState {
        let _ = self.ask(Control::SetBreakpoints { nodes: Vec::new() }).await;
        for _ in 0..1_000 {
            if self.state().status.has_ended() {
                return self.state();
            }
            let _ = self.ask(Control::Resume { node: None, value: Value::Null }).await;
            self.answer().await;
            self.settle().await;
        }
        panic!("it does not end: {:?}", self.log());
    }
}

/// What somebody does to a run.
#[derive(Clone, Debug)]
enum Deed {
    Pause,
    Resume,
    Step,
    Breakpoints(Vec<usize>),
    Answer,
    /// Its process dies, another takes over.
    Crash,
    /// Nothing, so many turns of the runtime long.
    Wait(u8),
    /// Nothing until nothing happens any more.
    Settle,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        3 => Just(Deed::Pause),
        2 => Just(Deed::Resume),
        3 => Just(Deed::Step),
        2 => proptest::collection::vec(0..8_usize, 0..3).prop_map(Deed::Breakpoints),
        3 => Just(Deed::Answer),
        2 => Just(Deed::Crash),
        3 => (0..20_u8).prop_map(Deed::Wait),
        2 => Just(Deed::Settle),
    ];
    proptest::collection::vec(deed, 0..16)
}

/// Each node is a question or a prompt, and hears of one or two nodes before it; or of the start.
fn diagrams() -> impl Strategy<Value = String> {
    proptest::collection::vec((any::<bool>(), any::<u8>(), any::<u8>()), 1..7).prop_map(|nodes| {
        let mut text =
            "version: light\npersons:\n  P: {service: scripted}\nnodes:\n- {label: n0, type: start}\n".to_owned();
        let mut connections = String::new();
        let mut has_successor = vec![false; nodes.len() + 1];
        for (at, (asks, first, second)) in nodes.iter().enumerate() {
            let (at, before) = (at + 1, at + 1);
            let mut sources = vec![usize::from(*first) % before];
            sources.extend((second % 2 == 0).then(|| usize::from(*second / 2) % before));
            sources.dedup();
            let told: Vec<String> = sources.iter().map(|it| format!("{{{{n{it}}}}}")).collect();
            let prompt = format!("n{at}({})", if sources == [0] { "start".to_owned() } else { told.join("+") });
            let _ = match asks {
                true => writeln!(text, "- {{label: n{at}, type: user_response, prompt: '{prompt}'}}"),
                false => writeln!(
                    text,
                    "- {{label: n{at}, type: person_job, person: P, default_prompt: '{prompt}', max_iteration: 1}}"
                ),
            };
            for source in sources {
                has_successor[source] = true;
                let _ = writeln!(connections, "- {{from: n{source}, to: n{at}, label: n{source}}}");
            }
        }
        text.push_str("- {label: end, type: endpoint}\nconnections:\n");
        for at in (1..has_successor.len()).filter(|it| !has_successor[*it]) {
            let _ = writeln!(connections, "- {{from: n{at}, to: end, label: n{at}}}");
        }
        text + &connections
    })
}

async fn disturbed(diagram: &str, deeds: &[Deed]) -> (ExecutionState, Vec<LogEntry>) {
    let mut bench = Bench::new(diagram, 0);
    let n_nodes = bench.plan.nodes.len();
    for deed in deeds {
        let asked = match deed {
            Deed::Pause => bench.ask(Control::Pause).await,
            Deed::Resume => bench.ask(Control::Resume { node: None, value: Value::Null }).await,
            Deed::Step => bench.ask(Control::Step).await,
            Deed::Breakpoints(nodes) => {
                let nodes = nodes.iter().map(|it| bench.plan.nodes[it % n_nodes].label.to_string()).collect();
                bench.ask(Control::SetBreakpoints { nodes }).await
            }
            Deed::Answer => {
                bench.answer().await;
                None
            }
            Deed::Crash => {
                let has_ended = bench.state().status.has_ended();
                bench.crash().await;
                if !bench.state().status.has_ended() && !has_ended {
                    bench.take_over();
                }
                None
            }
            Deed::Wait(turns) => {
                for _ in 0..*turns {
                    tokio::task::yield_now().await;
                }
                None
            }
            Deed::Settle => {
                bench.settle().await;
                None
            }
        };
        if let Some(Err(error)) = asked {
            assert_eq!(error.code(), "NOT_PAUSED", "{deed:?}: {}", error.chain());
        }
    }
    let state = bench.finish().await;
    (state, bench.log())
}

/// No node completes the same run twice; from a pause on nothing starts but what a step or resume lets go.
fn check_log(log: &[LogEntry]) -> Result<(), TestCaseError> {
    let mut completed: BTreeMap<(String, u32), u32> = BTreeMap::new();
    let (mut is_held, mut may_start) = (false, true);
    for entry in log {
        match &entry.event {
            Event::Control(ControlApplied { action, .. }) => match action.as_str() {
                "pause" => (is_held, may_start) = (true, false),
                "resume" => (is_held, may_start) = (false, true),
                "step" => may_start = true,
                _ => {}
            },
            Event::NodeStarted(it) => {
                prop_assert!(may_start, "{:?} started while paused: {it:?}", entry.node_id);
            }
            Event::NodeCompleted(it) => {
                may_start = !is_held;
                *completed.entry((entry.node_id.clone().unwrap_or_default(), it.iteration)).or_default() += 1;
            }
            Event::ExecutionPaused(_) => may_start = !is_held,
            _ => {}
        }
    }
    prop_assert!(completed.values().all(|it| *it == 1), "{completed:?}");
    let seqs: Vec<u64> = log.iter().map(|it| it.seq).collect();
    prop_assert_eq!(seqs, (1..=log.len() as u64).collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_interferes_a_run_ends_as_it_would_have(diagram in diagrams(), deeds in deeds()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let (undisturbed, (disturbed, log)) = runtime.expect("a runtime").block_on(async {
            (disturbed(&diagram, &[]).await.0, disturbed(&diagram, &deeds).await)
        });
        prop_assert_eq!(undisturbed.status, Status::Completed, "{}", diagram);
        prop_assert_eq!(disturbed.status, Status::Completed, "{}", diagram);
        prop_assert_eq!(disturbed.outputs(), undisturbed.outputs(), "{}", diagram);
        prop_assert_eq!(disturbed.counts(), undisturbed.counts(), "{}", diagram);
        check_log(&log)?;
    }
}

/// Runs until `phase` is in the log, then the process dies.
async fn crashed_at(bench: &mut Bench, phase: &str) {
    while !bench.log().iter().any(|it| it.event.phase() == phase) {
        tokio::task::yield_now().await;
    }
    bench.crash().await;
}

/// Another process goes on from the log up to the first event that `is_last`.
fn cut(bench: &mut Bench, is_last: impl Fn(&LogEntry) -> bool) {
    let mut log = bench.journal.log.lock().expect("whole");
    let end = log.iter().position(is_last).expect("it happened");
    log.truncate(end + 1);
    drop(log);
    bench.take_over();
}

/// Waits until the run has ended by itself, and returns its log in short.
async fn ended(bench: &mut Bench) -> Vec<String> {
    let (_commands, process) = bench.process.take().expect("it runs");
    let stopped = tokio::time::timeout(Duration::from_secs(60), process).await.expect("in time");
    assert_eq!(stopped.expect("no panic").expect("no error"), Stopped::Ended);
    let of = |it: &LogEntry| match &it.event {
        Event::NodeStarted(started) => format!("start {}", started.attempt),
        Event::NodeRetry(retry) => format!("retry {}", retry.attempt),
        Event::NodeCompleted(done) => format!("done {}", done.attempt),
        other => other.phase().to_owned(),
    };
    bench.log().iter().filter(|it| it.node_id.as_deref() == Some("node_1")).map(of).collect()
}

#[tokio::test]
async fn a_pause_before_another_try_goes_on_in_the_next_process() {
    let diagram = "version: light\npersons:\n  P: {service: scripted}\nnodes:\n- {label: s, type: start}\n- {label: p, type: person_job, person: P, default_prompt: hi, max_iteration: 1, retry: {max_attempts: 2, delay_ms: 30000, backoff: fixed}}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: p}\n- {from: p, to: e}\n";
    let mut bench = Bench::new(diagram, 1);
    crashed_at(&mut bench, "node_retry").await;
    // Half of the pause has passed: the next process waits for the other half …
    bench.clock.advance_ms(15_000);
    bench.take_over();
    let set = bench.ask(Control::SetBreakpoints { nodes: Vec::new() }).await;
    assert!(matches!(set, Some(Ok(()))), "{set:?}");
    bench.settle().await;
    assert_eq!(bench.state().nodes[1].status, Status::Running, "it does not try yet");
    bench.crash().await;
    // … and the one after it for the rest, which is short.
    bench.clock.advance_ms(14_990);
    bench.take_over();
    assert_eq!(ended(&mut bench).await, ["start 1", "retry 2", "done 2"], "the try had not begun, so none is lost");
    assert_eq!(bench.state().outputs()["e"], json!("hi"));

    let mut bench = Bench::new(diagram, 1);
    crashed_at(&mut bench, "node_retry").await;
    bench.clock.advance_ms(30_001);
    bench.take_over();
    assert_eq!(ended(&mut bench).await, ["start 1", "retry 2", "start 3", "done 3"], "it may have begun");
}

#[tokio::test]
async fn a_deadline_passes_at_its_time_whoever_runs_the_execution_then() {
    let diagram = "version: light\nnodes:\n- {label: s, type: start}\n- {label: ask, type: user_response, prompt: 'Well?', timeout: 60, default: nobody}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: ask}\n- {from: ask, to: e}\n";
    let mut bench = Bench::new(diagram, 0);
    crashed_at(&mut bench, "execution_paused").await;
    bench.clock.advance_ms(45_000);
    bench.take_over();
    assert!(matches!(bench.ask(Control::Pause).await, Some(Ok(()))));
    bench.settle().await;
    assert_eq!(bench.state().pause_reason().map(|it| it.name()), Some("operator"));
    assert!(matches!(bench.ask(Control::Resume { node: None, value: Value::Null }).await, Some(Ok(()))));
    bench.settle().await;
    assert_eq!(bench.state().pause_reason().map(|it| it.name()), Some("input"), "it still waits");
    bench.crash().await;
    bench.clock.advance_ms(15_000);
    bench.take_over();
    ended(&mut bench).await;
    assert_eq!(bench.state().outputs()["e"], json!("nobody"));
}

#[tokio::test]
async fn a_node_whose_value_was_given_does_not_run_whoever_comes_to_complete_it() {
    let diagram = "version: light\npersons:\n  P: {service: scripted}\nnodes:\n- {label: s, type: start}\n- {label: ask, type: user_response, prompt: 'Well?'}\n- {label: p, type: person_job, person: P, default_prompt: hi, max_iteration: 1, at_most_once: true}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: ask}\n- {from: ask, to: p}\n- {from: p, to: e}\n";
    let mut bench = Bench::new(diagram, 0);
    bench.settle().await;
    let by_hand = || Control::SetOutput { node: Some("p".into()), value: json!("by hand") };
    for control in [Control::Pause, by_hand()] {
        assert!(matches!(bench.ask(control).await, Some(Ok(()))));
    }
    assert_eq!(bench.finish().await.outputs()["e"], json!("by hand"));
    // Its start was the last that became durable.
    bench.crash().await;
    cut(&mut bench, |it| it.node_id.as_deref() == Some("node_2") && it.event.phase() == "node_started");
    assert_eq!(bench.finish().await.outputs()["e"], json!("by hand"));
}

#[tokio::test]
async fn a_resume_that_names_nothing_repeats_nothing_that_must_not_be_repeated() {
    let diagram = "version: light\npersons:\n  P: {service: scripted}\nnodes:\n- {label: s, type: start}\n- {label: p, type: person_job, person: P, default_prompt: hi, max_iteration: 1, at_most_once: true}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: p}\n- {from: p, to: e}\n";
    let mut bench = Bench::new(diagram, 0);
    bench.settle().await;
    bench.crash().await;
    cut(&mut bench, |it| it.node_id.as_deref() == Some("node_1") && it.event.phase() == "node_started");
    bench.settle().await;
    assert_eq!(bench.state().pause_reason().map(|it| it.name()), Some("operator"));
    let resume = |node: Option<&str>| Control::Resume { node: node.map(str::to_owned), value: Value::Null };
    // It may have been asked before anybody knew of this.
    let refused = bench.ask(resume(None)).await.expect("it runs").expect_err("it names nothing");
    assert_eq!((refused.code(), refused.message().contains("`p` waits for a decision")), ("INVALID_INPUT", true));
    for (name, code) in [("node_1:1.2", "NOT_PAUSED"), ("node_1:2", "NOT_PAUSED")] {
        let refused = bench.ask(resume(Some(name))).await.expect("it runs").expect_err("nothing asks that");
        assert_eq!(refused.code(), code, "{name}");
    }
    assert!(matches!(bench.ask(resume(Some("node_1:1.1"))).await, Some(Ok(()))));
    assert_eq!(ended(&mut bench).await, ["start 1", "interactive_prompt", "control", "start 2", "done 2"]);
}
