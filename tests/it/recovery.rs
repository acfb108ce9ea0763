//! What goes on where: an engine is killed, stands still, or is told to stop, and another one on the same database
//! goes on with what it ran.

use std::process::{Child, Stdio};
use std::time::Duration;

use dipeo::engine::Status;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::{App, Caller};
use dipeo::ids::ExecutionId;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::time::Instant;

use crate::harness::{self, Workspace, json};

/// Longest wait for anything; only a broken program reaches it.
const PATIENCE: Duration = Duration::from_secs(90);

/// The second command waits until the test lets it go.
const HELD: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: one, type: hook, command: "echo one >> files/ledger"}
- {label: two, type: hook, timeout: 90, command: "echo two >> files/ledger; while [ ! -e files/go ]; do sleep 0.05; done"}
- {label: three, type: hook, command: "echo three >> files/ledger; echo done"}
- {label: e, type: endpoint}
connections:
- {from: s, to: one}
- {from: one, to: two}
- {from: two, to: three}
- {from: three, to: e}
"#;

/// A process that runs what is open.
struct Engine(Child);

impl Engine {
    fn start(workspace: &Workspace) -> Self {
        use std::os::unix::process::CommandExt;
        let mut command = workspace.command();
        command.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self(command.spawn().expect("starts"))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is there");
    }

    fn kill(mut self) {
        kill_process_group(self.pid(), Signal::KILL).expect("it is there");
        self.0.wait().expect("reaped");
    }

    /// Waits for the end and returns the exit code.
    fn ended(mut self) -> Option<i32> {
        self.0.wait().expect("reaped").code()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.0.wait();
    }
}

fn prepared(diagram: &str) -> Workspace {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", diagram);
    workspace.write("files/ledger", "");
    workspace
}

fn lines(workspace: &Workspace, line: &str) -> usize {
    let text = std::fs::read_to_string(workspace.root().join("files/ledger")).expect("readable");
    text.lines().filter(|it| *it == line).count()
}

/// Writes an execution down for whoever takes it.
async fn begin(workspace: &Workspace, app: &App) -> ExecutionId {
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let request = Request { diagram: Some("d.light.yaml".into()), ..Request::default() };
    let extras = Extras { background: true, ..Extras::default() };
    let begun = run_diagram(app, &caller, request, extras, Waiting::default()).await.expect("it begins");
    ExecutionId::parse(&begun.execution_id).expect("an id")
}

/// Looks again after each commit, and now and then: what commands write is no commit.
async fn until(app: &App, what: &str, is_so: impl Fn() -> bool) {
    let mut changes = app.store().expect("opened").changes();
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
    }
}

fn status(app: &App, id: &ExecutionId) -> Status {
    app.store().expect("opened").status(id).expect("reads").expect("stored")
}

/// How often the log of an execution has this phase.
fn phases(app: &App, id: &ExecutionId, phase: &str) -> usize {
    let rows = app.store().expect("opened").transitions(id, 0, None).expect("reads");
    rows.iter().filter(|it| it.phase == phase).count()
}

/// The engine that runs the execution, and the others.
fn owner_of(app: &App, id: &ExecutionId, engines: Vec<Engine>) -> (Engine, Vec<Engine>) {
    let store = app.store().expect("opened");
    let owner = store.head(id).expect("reads").expect("stored").owner.expect("somebody runs it");
    let row = store.live_owners().expect("reads").into_iter().find(|it| it.owner == owner).expect("it lives");
    let (mut its, others): (Vec<Engine>, Vec<Engine>) = engines.into_iter().partition(|it| it.0.id() == row.pid);
    (its.remove(0), others)
}

#[tokio::test]
async fn of_two_living_processes_one_goes_on_within_seconds_when_the_other_is_killed() {
    let workspace = prepared(HELD);
    let app = workspace.app();
    let id = begin(&workspace, &app).await;
    let engines = vec![Engine::start(&workspace), Engine::start(&workspace)];
    until(&app, "two begins", || lines(&workspace, "two") == 1).await;
    let (owner, _other) = owner_of(&app, &id, engines);
    let killed_at = Instant::now();
    owner.kill();
    until(&app, "two begins again", || lines(&workspace, "two") == 2).await;
    // Long before the lease of the dead one is over.
    assert!(killed_at.elapsed() < Duration::from_secs(10), "{:?}", killed_at.elapsed());
    println!("taken over after {:?}", killed_at.elapsed());
    workspace.write("files/go", "");
    until(&app, "it ends", || status(&app, &id) == Status::Completed).await;
    assert_eq!((lines(&workspace, "one"), lines(&workspace, "three")), (1, 1));
}

#[tokio::test]
async fn an_owner_that_stood_still_for_longer_than_its_lease_is_fenced_out() {
    let workspace = prepared(HELD);
    let app = workspace.app();
    let id = begin(&workspace, &app).await;
    let engines = vec![Engine::start(&workspace), Engine::start(&workspace)];
    until(&app, "two begins", || lines(&workspace, "two") == 1).await;
    let (slow, _other) = owner_of(&app, &id, engines);
    slow.signal(Signal::STOP);
    until(&app, "two begins again", || lines(&workspace, "two") == 2).await;
    let now_owned_by = app.store().expect("opened").head(&id).expect("reads").expect("stored").owner;
    // It wakes up and believes that it still runs the execution; what it has to say comes too late.
    slow.signal(Signal::CONT);
    workspace.write("files/go", "");
    until(&app, "it ends", || status(&app, &id) == Status::Completed).await;
    assert!(now_owned_by.is_some());
    assert_eq!((lines(&workspace, "one"), lines(&workspace, "two"), lines(&workspace, "three")), (1, 2, 1));
    assert_eq!(phases(&app, &id, "node_completed"), 5);
    // And it is of use again.
    let next = begin(&workspace, &app).await;
    until(&app, "the next one ends", || status(&app, &next) == Status::Completed).await;
}

#[tokio::test]
async fn asked_to_stop_under_load_an_engine_loses_nothing_and_repeats_nothing_that_was_done() {
    const CHAIN: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: one, type: hook, command: "echo $DIPEO_IDEMPOTENCY_KEY >> files/ledger"}
- {label: two, type: hook, command: "echo $DIPEO_IDEMPOTENCY_KEY >> files/ledger"}
- {label: three, type: hook, command: "echo $DIPEO_IDEMPOTENCY_KEY >> files/ledger"}
- {label: e, type: endpoint}
connections:
- {from: s, to: one}
- {from: one, to: two}
- {from: two, to: three}
- {from: three, to: e}
"#;
    let workspace = prepared(CHAIN);
    let app = workspace.app();
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(begin(&workspace, &app).await);
    }
    let n_ended = || ids.iter().filter(|it| status(&app, it) == Status::Completed).count();
    let first = Engine::start(&workspace);
    until(&app, "some have ended", || n_ended() > 0).await;
    let asked_at = Instant::now();
    first.signal(Signal::TERM);
    assert_eq!(first.ended(), Some(0));
    assert!(asked_at.elapsed() < Duration::from_secs(5), "{:?}", asked_at.elapsed());
    let _second = Engine::start(&workspace);
    until(&app, "all have ended", || n_ended() == ids.len()).await;
    let text = std::fs::read_to_string(workspace.root().join("files/ledger")).expect("readable");
    let mut keys: Vec<&str> = text.lines().collect();
    keys.sort_unstable();
    let n_effects = keys.len();
    keys.dedup();
    // Short commands are waited for, so not even what was under way is done again.
    assert_eq!((keys.len(), n_effects), (90, 90));
}

#[tokio::test]
async fn a_second_signal_ends_a_process_at_once() {
    let workspace = prepared(HELD);
    let app = workspace.app();
    let id = begin(&workspace, &app).await;
    let engine = Engine::start(&workspace);
    until(&app, "two begins", || lines(&workspace, "two") == 1).await;
    engine.signal(Signal::TERM);
    engine.signal(Signal::INT);
    assert_eq!(engine.ended(), Some(130));
    assert!(!status(&app, &id).has_ended());
    workspace.write("files/go", "");
    let _next = Engine::start(&workspace);
    until(&app, "it ends", || status(&app, &id) == Status::Completed).await;
    assert_eq!((lines(&workspace, "one"), lines(&workspace, "three")), (1, 1));
}

/// A service manager signals everything it finds: the process, and what nodes started.
#[tokio::test]
async fn a_program_that_is_stopped_together_with_its_engine_has_not_failed() {
    let diagram = HELD.replace("echo two >>", "echo $$ > files/pid; echo two >>");
    let workspace = prepared(&diagram);
    let app = workspace.app();
    let id = begin(&workspace, &app).await;
    let engine = Engine::start(&workspace);
    until(&app, "two begins", || lines(&workspace, "two") == 1).await;
    let pid = std::fs::read_to_string(workspace.root().join("files/pid")).expect("written");
    let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process");
    kill_process(pid, Signal::TERM).expect("it is there");
    engine.signal(Signal::TERM);
    assert_eq!(engine.ended(), Some(0));
    assert!(!status(&app, &id).has_ended());
    workspace.write("files/go", "");
    let _next = Engine::start(&workspace);
    until(&app, "it ends", || status(&app, &id).has_ended()).await;
    assert_eq!((status(&app, &id), lines(&workspace, "one"), lines(&workspace, "two")), (Status::Completed, 1, 2));
}

/// A diagram, when to kill, what to do then, what comes out, and how often each line stands in the ledger.
struct Case {
    name: &'static str,
    diagram: &'static str,
    is_due: fn(&Workspace, &App, &ExecutionId) -> bool,
    answer: Option<&'static str>,
    output: &'static str,
    lines: &'static [(&'static str, usize)],
}

const CASES: [Case; 5] = [
    Case {
        name: "a question",
        diagram: "nodes:
- {label: s, type: start}
- {label: one, type: hook, command: 'echo one >> files/ledger'}
- {label: ask, type: user_response, prompt: 'Who?'}
- {label: e, type: endpoint}
connections:
- {from: s, to: one}
- {from: one, to: ask}
- {from: ask, to: e}
",
        is_due: |_, app, id| status(app, id) == Status::Paused,
        answer: Some("Ann"),
        output: "Ann",
        lines: &[("one", 1)],
    },
    Case {
        name: "a hand-off to the caller",
        diagram: "persons:
  Caller: {service: caller}
nodes:
- {label: s, type: start}
- {label: one, type: hook, command: 'echo one >> files/ledger'}
- {label: ask, type: person_job, person: Caller, default_prompt: 'Say hello', max_iteration: 1}
- {label: e, type: endpoint}
connections:
- {from: s, to: one}
- {from: one, to: ask}
- {from: ask, to: e}
",
        is_due: |_, app, id| status(app, id) == Status::Paused,
        answer: Some("hello"),
        output: "hello",
        lines: &[("one", 1)],
    },
    Case {
        name: "the pause before a repetition",
        diagram: "nodes:
- {label: s, type: start}
- label: shaky
  type: hook
  retry: {max_attempts: 2, delay_ms: 3000, backoff: fixed}
  command: 'echo try >> files/ledger; test -e files/go && echo made'
- {label: e, type: endpoint}
connections:
- {from: s, to: shaky}
- {from: shaky, to: e}
",
        is_due: |_, app, id| phases(app, id, "node_retry") == 1,
        answer: None,
        output: "made",
        lines: &[("try", 2)],
    },
    Case {
        name: "a batch of children that is half done",
        diagram: "nodes:
- {label: s, type: start, custom_data: {items: [1, 2, 3]}}
- label: each
  type: sub_diagram
  batch: true
  batch_parallel: false
  output_mapping: {n: successful}
  diagram_data:
    version: light
    nodes:
    - {label: s, type: start}
    - label: act
      type: hook
      command: 'echo item{{item}} >> files/ledger; test {{item}} = 1 || while [ ! -e files/go ]; do sleep 0.05; done'
    - {label: e, type: endpoint}
    connections:
    - {from: s, to: act}
    - {from: act, to: e}
- {label: count, type: code_job, code: \"result = 'done'\"}
- {label: e, type: endpoint}
connections:
- {from: s, to: each}
- {from: each, to: count}
- {from: count, to: e}
",
        is_due: |workspace, _, _| lines(workspace, "item2") == 1,
        answer: None,
        output: "done",
        lines: &[("item1", 1), ("item2", 2), ("item3", 1)],
    },
    Case {
        name: "a child that asks",
        diagram: "nodes:
- {label: s, type: start}
- label: below
  type: sub_diagram
  diagram_data:
    version: light
    nodes:
    - {label: s, type: start}
    - {label: one, type: hook, command: 'echo one >> files/ledger'}
    - {label: ask, type: user_response, prompt: 'Who?'}
    - {label: e, type: endpoint}
    connections:
    - {from: s, to: one}
    - {from: one, to: ask}
    - {from: ask, to: e}
- {label: e, type: endpoint}
connections:
- {from: s, to: below}
- {from: below, to: e}
",
        is_due: |_, app, id| status(app, id) == Status::Paused,
        answer: Some("Ann"),
        output: "Ann",
        lines: &[("one", 1)],
    },
];

#[tokio::test]
async fn whatever_an_execution_waits_for_it_goes_on_after_kill_9() {
    for case in CASES {
        let workspace = prepared(&format!("version: light\n{}", case.diagram));
        let app = workspace.app();
        let id = begin(&workspace, &app).await;
        let engine = Engine::start(&workspace);
        until(&app, case.name, || (case.is_due)(&workspace, &app, &id)).await;
        engine.kill();
        workspace.write("files/go", "");
        let _next = Engine::start(&workspace);
        if let Some(answer) = case.answer {
            json(&workspace, &["control", id.as_str(), "answer", answer]);
        }
        until(&app, case.name, || status(&app, &id).has_ended()).await;
        let shown = json(&workspace, &["results", id.as_str()]);
        assert_eq!((&shown["status"], &shown["final_output"]), (&"completed".into(), &case.output.into()), "{shown}");
        for (line, count) in case.lines {
            assert_eq!(lines(&workspace, line), *count, "{}: {line}", case.name);
        }
    }
}

#[tokio::test]
async fn an_attempt_that_a_crash_interrupted_takes_nothing_from_retry() {
    // The first attempt is killed, the second fails, the third succeeds: one failure, and two attempts are allowed.
    const SHAKY: &str = r#"
version: light
nodes:
- {label: s, type: start}
- label: shaky
  type: hook
  retry: {max_attempts: 2, delay_ms: 1}
  command: |
    echo try >> files/ledger
    case $DIPEO_ATTEMPT in 1) while test -e files/ledger; do sleep 0.05; done;; 2) exit 1;; *) echo made;; esac
- {label: e, type: endpoint}
connections:
- {from: s, to: shaky}
- {from: shaky, to: e}
"#;
    let workspace = prepared(SHAKY);
    let app = workspace.app();
    let id = begin(&workspace, &app).await;
    let engine = Engine::start(&workspace);
    until(&app, "it begins", || lines(&workspace, "try") == 1).await;
    engine.kill();
    let _next = Engine::start(&workspace);
    until(&app, "it ends", || status(&app, &id).has_ended()).await;
    let shown = json(&workspace, &["results", id.as_str()]);
    assert_eq!((&shown["status"], &shown["final_output"]), (&"completed".into(), &"made".into()), "{shown}");
    assert_eq!(lines(&workspace, "try"), 3);
}

/// The child was answered, and everybody died before its parent could see that.
#[tokio::test]
async fn a_parent_whose_child_was_answered_goes_on_although_nobody_told_it() {
    let workspace = prepared(&format!("version: light\n{}", CASES[4].diagram));
    let app = workspace.app();
    let id = begin(&workspace, &app).await;
    let engine = Engine::start(&workspace);
    until(&app, "it asks", || status(&app, &id) == Status::Paused).await;
    engine.kill();
    let store = app.store().expect("opened");
    let child = store.children(&id).expect("reads").remove(0).execution_id;
    let child = ExecutionId::parse(&child).expect("an id");
    let answer = dipeo::store::NewControl {
        execution_id: child.clone(),
        action: "answer".into(),
        node: None,
        value: Some("\"Ann\"".into()),
        actor: Some("terminal".into()),
    };
    store.add_control(answer).await.expect("written");
    let _next = Engine::start(&workspace);
    until(&app, "both end", || status(&app, &id) == Status::Completed && status(&app, &child) == Status::Completed)
        .await;
}

#[tokio::test]
async fn a_stored_answer_names_the_round_it_is_for() {
    let workspace = prepared(&format!("version: light\n{}", CASES[0].diagram));
    let app = workspace.app();
    let id = begin(&workspace, &app).await;
    let _engine = Engine::start(&workspace);
    until(&app, "it asks", || status(&app, &id) == Status::Paused).await;
    json(&workspace, &["control", id.as_str(), "answer", "Ann", "--node", "ask"]);
    let stored = app.store().expect("opened").control(1).expect("reads").expect("stored");
    let asked_by = stored.node.expect("a node");
    assert!(asked_by.starts_with("node_") && asked_by.ends_with(":1.1"), "{asked_by}");
}

/// `DIPEO_TEST_CASES=1000` is the measure: all of them go on within two seconds of the start of a release build.
#[tokio::test]
async fn everything_that_was_open_goes_on_after_a_restart() {
    const LATE: &str = r#"
version: light
nodes:
- {label: s, type: start, custom_data: {n: 1}}
- {label: work, type: code_job, code: "result = n + 1"}
- {label: late, type: db, operation: read, file: files/late.txt, retry: {max_attempts: 20, delay_ms: 5000, backoff: fixed}}
- {label: e, type: endpoint}
connections:
- {from: s, to: work}
- {from: work, to: late}
- {from: late, to: e}
"#;
    let n_open: usize =
        std::env::var_os("DIPEO_TEST_CASES").and_then(|it| it.to_str().and_then(|it| it.parse().ok())).unwrap_or(100);
    let workspace = prepared(LATE);
    let app = workspace.app();
    let mut ids = Vec::new();
    for _ in 0..n_open {
        ids.push(begin(&workspace, &app).await);
    }
    let engine = Engine::start(&workspace);
    until(&app, "all wait to try again", || ids.iter().all(|it| phases(&app, it, "node_retry") > 0)).await;
    engine.kill();
    workspace.write("files/late.txt", "there");
    let started_at = Instant::now();
    let _next = Engine::start(&workspace);
    until(&app, "all go on", || ids.iter().all(|it| phases(&app, it, "execution_resumed") > 0)).await;
    println!("{n_open} open executions went on {:?} after the start of the next process", started_at.elapsed());
    until(&app, "all end", || ids.iter().all(|it| status(&app, it) == Status::Completed)).await;
}
