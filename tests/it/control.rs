//! Steering executions: pause, resume, step, complete, breakpoints, given outputs, looking inside; after a restart,
//! after a crash, and from a process that does not run them.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::Arc;

use dipeo::error::Error;
use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::execution_object::{ExecutionObject, Inspection};
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::{App, Caller, fetch, task};
use dipeo::ids::ExecutionId;
use dipeo::llm::{Llm, OllamaSettings, Settings};
use dipeo::store::TransitionRow;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::code::until_ended;
use crate::harness::{self, Workspace, json as printed};

/// Longest wait for anything; only a broken program reaches it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Asks, then counts: each node adds its own letter to what it is given.
const CHAIN: &str = "
version: light
nodes:
- {label: s, type: start}
- {label: ask, type: user_response, prompt: 'First?'}
- {label: one, type: code_job, code: 'result = ask + \"1\"'}
- {label: two, type: code_job, code: 'result = one + \"2\"'}
- {label: three, type: code_job, code: 'result = two + \"3\"'}
- {label: e, type: endpoint}
connections:
- {from: s, to: ask}
- {from: ask, to: one, label: ask}
- {from: one, to: two, label: one}
- {from: two, to: three, label: two}
- {from: three, to: e}
";

/// Each command leaves a line in a ledger outside the database; the second waits until the test lets it go.
const LEDGER: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: one, type: code_job, language: bash, code: "echo one >> files/ledger; echo 1"}
- {label: two, type: code_job, language: bash, timeout: 60, code: "echo $$ > files/pid; echo two >> files/ledger; while [ ! -e files/go ]; do sleep 0.05; done; echo 2"}
- {label: three, type: code_job, language: bash, code: "echo three >> files/ledger; echo 3"}
- {label: e, type: endpoint}
connections:
- {from: s, to: one}
- {from: one, to: two}
- {from: two, to: three}
- {from: three, to: e}
"#;

/// One execution, seen by the terminal's user.
struct Steered {
    workspace: Workspace,
    app: Arc<App>,
    caller: Caller,
    id: String,
}

impl Steered {
    /// Starts a run of `diagram` and returns once it waits or has ended.
    async fn started(diagram: &str) -> Self {
        let workspace = prepared(diagram);
        let app = workspace.app();
        Self::started_in(workspace, app, Some(25)).await
    }

    async fn started_in(workspace: Workspace, app: Arc<App>, wait_seconds: Option<u32>) -> Self {
        let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
        let request = Request { diagram: Some("d.light.yaml".to_owned()), wait_seconds, ..Request::default() };
        let run = run_diagram(&app, &caller, request, Extras::default(), Waiting::default()).await.expect("it starts");
        Self { workspace, app, caller, id: run.execution_id }
    }

    /// Looks at the newest execution of the workspace from this process.
    fn latest(workspace: Workspace) -> Self {
        let id = text(&printed(&workspace, &["results", "--latest"])["execution_id"]);
        let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
        Self { app: workspace.app(), workspace, caller, id }
    }

    async fn ask(&self, action: &str, node: Option<&str>, value: Option<Value>) -> Result<ExecutionObject, Error> {
        self.ask_within(action, node, value, 25).await
    }

    async fn ask_within(
        &self,
        action: &str,
        node: Option<&str>,
        value: Option<Value>,
        wait_seconds: u32,
    ) -> Result<ExecutionObject, Error> {
        let request = control_execution::Request {
            execution_id: self.id.clone(),
            action: action.to_owned(),
            node: node.map(str::to_owned),
            value,
            wait_seconds: Some(wait_seconds),
            reason: Some("the test says so".to_owned()),
        };
        control_execution(&self.app, &self.caller, request, Waiting::default()).await
    }

    /// Does it and says how the execution is then: status, reason, labels of the nodes that completed.
    async fn after(&self, action: &str, node: Option<&str>, value: Option<Value>) -> (String, String) {
        let object = self.ask(action, node, value).await.unwrap_or_else(|e| panic!("{action}: {}", e.chain()));
        let reason = object.pause_reason.map(|it| format!("/{it}")).unwrap_or_default();
        (format!("{}{reason}", object.status.name()), self.completed().await)
    }

    async fn seen(&self, wait_seconds: u32) -> ExecutionObject {
        let (execution_id, wait_seconds) = (self.id.clone(), Some(wait_seconds));
        let request =
            see_result::Request { execution_id, wait_seconds, detail: Some(Detail::Full), ..Default::default() };
        see_result(&self.app, &self.caller, request, Waiting::default()).await.expect("it is there")
    }

    async fn completed(&self) -> String {
        let nodes = self.seen(0).await.nodes.expect("all nodes");
        let labels: Vec<String> =
            nodes.into_iter().filter(|it| it.status.name() == "completed").map(|it| it.label).collect();
        labels.join(" ")
    }

    async fn inspected(&self, node: Option<&str>) -> Inspection {
        *self.ask("inspect", node, None).await.expect("it may be looked at").inspection.expect("what was asked for")
    }

    fn log(&self) -> Vec<TransitionRow> {
        let id = ExecutionId::parse(&self.id).expect("an id");
        self.app.store().expect("open").transitions(&id, 0, None).expect("readable")
    }

    /// The actions that the log says were carried out, with who asked.
    fn controls(&self) -> Vec<(String, String)> {
        self.log()
            .iter()
            .filter(|it| it.phase == "control")
            .map(|it| serde_json::from_str::<Value>(&it.payload).expect("JSON"))
            .map(|it| (text(&it["action"]), text(&it["by"])))
            .collect()
    }

    /// The same execution, as the next process finds it.
    async fn after_a_restart(self) -> Self {
        self.app.shut_down_runs().await;
        self.app.close().await;
        Self { app: self.workspace.app(), ..self }
    }

    async fn end(self) {
        self.app.shut_down_runs().await;
        self.app.close().await;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn prepared(diagram: &str) -> Workspace {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", diagram);
    workspace.write("files/ledger", "");
    workspace
}

fn pair(status: &str, completed: &str) -> (String, String) {
    (status.to_owned(), completed.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_goes_on_step_by_step_also_after_restarts() {
    let run = Steered::started(CHAIN).await;
    assert_eq!(run.after("pause", None, None).await, pair("paused/operator", "s"));
    assert_eq!(run.after("pause", None, None).await, pair("paused/operator", "s"));
    assert_eq!(run.controls(), [("pause".to_owned(), "terminal".to_owned())], "once more changes nothing");
    let shown = run.seen(0).await;
    assert_eq!((shown.waiting_for[0].label.as_str(), shown.next.expect("a step").contains("resume")), ("ask", true));

    assert_eq!(run.after("answer", None, Some(json!("x"))).await, pair("paused/operator", "s ask"));
    let run = run.after_a_restart().await;
    assert_eq!(run.seen(0).await.pause_reason.as_deref(), Some("operator"));
    assert_eq!(run.after("step", None, None).await, pair("paused/operator", "s ask one"));
    let run = run.after_a_restart().await;
    assert_eq!(run.after("step", None, None).await, pair("paused/operator", "s ask one two"));
    assert_eq!(run.after("resume", None, None).await, pair("completed", "s ask one two three e"));
    assert_eq!(run.seen(0).await.final_output, Some(json!("x123")));
    for action in ["resume", "pause", "step", "set_breakpoints", "abort"] {
        let late = run.ask(action, None, Some(json!([]))).await.expect_err("it has ended");
        assert_eq!(late.code(), "EXECUTION_ENDED", "{action}");
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_inside_shows_what_a_node_would_see_and_changes_nothing() {
    let run = Steered::started(CHAIN).await;
    run.ask("pause", None, None).await.expect("paused");
    run.ask("answer", None, Some(json!("x"))).await.expect("answered");
    let before = run.log().len();
    let seen = run.inspected(None).await;
    let node = seen.node.expect("the only one that is next");
    assert_eq!((node.label.as_str(), node.iteration, node.status.name()), ("one", 1, "pending"));
    assert_eq!(Value::Object(node.inputs), json!({"ask": "x"}));
    assert_eq!(Value::Object(node.sources), json!({"ask": "ask:1"}));
    assert_eq!((seen.ready, seen.under_way), (vec!["one".to_owned()], Vec::<String>::new()));
    let far = run.inspected(Some("two")).await.node.expect("named");
    assert_eq!((far.inputs.len(), far.given), (0, None));
    let unknown = run.ask("inspect", Some("tow"), None).await.expect_err("no such node");
    assert_eq!(unknown.code(), "NODE_NOT_FOUND");
    assert_eq!(run.log().len(), before);
    assert_eq!(run.completed().await, "s ask");

    run.ask("resume", None, None).await.expect("resumed");
    let seen = run.inspected(Some("ask")).await;
    assert_eq!((seen.ready, seen.under_way), (Vec::<String>::new(), Vec::<String>::new()), "nothing is left");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_runs_nodes_can_be_given_their_values() {
    let run = Steered::started(CHAIN).await;
    let refused = run.ask("set_output", Some("one"), Some(json!("a"))).await.expect_err("it is not paused so");
    assert_eq!(refused.code(), "NOT_PAUSED");
    run.ask("pause", None, None).await.expect("paused");
    // The last is not its turn yet: it has the value when it comes, also in another process.
    assert_eq!(run.after("set_output", Some("three"), Some(json!("c"))).await, pair("paused/operator", "s"));
    assert_eq!(run.inspected(Some("three")).await.node.expect("named").given, Some(json!("c")));
    run.ask("answer", None, Some(json!("x"))).await.expect("answered");
    let run = run.after_a_restart().await;
    assert_eq!(run.after("set_output", Some("one"), Some(json!("a"))).await, pair("paused/operator", "s ask one"));
    let again = run.ask("set_output", None, Some(json!("a"))).await.expect_err("which?");
    assert_eq!(again.code(), "NOT_PAUSED");
    assert_eq!(run.after("resume", None, None).await, pair("completed", "s ask one two three e"));
    let ended = run.seen(0).await;
    let outputs = ended.node_outputs.expect("all outputs");
    assert_eq!(
        (outputs["node_2"].clone(), outputs["node_3"].clone(), outputs["node_4"].clone()),
        (json!("a"), json!("a2"), json!("c"))
    );
    let given = run.controls().into_iter().filter(|it| it.0 == "set_output").count();
    assert_eq!(given, 2, "each is in the log");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn breakpoints_hold_any_run_and_are_replaced_as_a_set() {
    let run = Steered::started(CHAIN).await;
    let unknown = run.ask("set_breakpoints", None, Some(json!(["one", "tow", "thre"]))).await.expect_err("unknown");
    assert_eq!((unknown.code(), unknown.message()), ("NODE_NOT_FOUND", "the diagram has no node `tow`, `thre`"));
    run.ask_within("set_breakpoints", None, Some(json!(["one", "three"])), 0).await.expect("set");
    run.ask_within("set_breakpoints", None, Some(json!("two, node_4")), 0).await.expect("replaced");
    let run = run.after_a_restart().await;
    assert_eq!(run.inspected(None).await.breakpoints, ["two", "three"]);
    assert_eq!(run.after("answer", None, Some(json!("x"))).await, pair("paused/breakpoint", "s ask one"));
    assert_eq!(run.after("step", None, None).await, pair("paused/breakpoint", "s ask one two"));
    run.ask_within("set_breakpoints", None, Some(json!([])), 0).await.expect("removed");
    let run = run.after_a_restart().await;
    assert_eq!(run.after("resume", None, None).await, pair("completed", "s ask one two three e"));
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_completed_by_hand_keeps_what_is_there() {
    let run =
        Steered::started(&CHAIN.replace("- {from: s, to: ask}", "- {from: s, to: ask}\n- {from: s, to: e}")).await;
    assert_eq!(run.after("complete", None, None).await, pair("completed", "s"));
    assert_eq!(run.after("complete", None, None).await, pair("completed", "s"));
    let ended = run.seen(0).await;
    let of = |label: &str| {
        let nodes = ended.nodes.as_ref().expect("all nodes");
        nodes.iter().find(|it| it.label == label).expect("there").status.name()
    };
    assert_eq!((of("ask"), of("one"), ended.error.clone()), ("aborted", "skipped", None));
    let last = run.log().pop().expect("an end");
    assert_eq!(last.phase, "execution_completed");
    assert!(last.payload.contains("the test says so"), "{}", last.payload);
    for (action, code) in [("abort", "EXECUTION_ENDED"), ("resume", "EXECUTION_ENDED")] {
        assert_eq!(run.ask(action, None, None).await.expect_err("it is over").code(), code, "{action}");
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_is_named_when_one_is_not_known() {
    let run = Steered::started(CHAIN).await;
    let refused = run.ask("puase", None, None).await.expect_err("unknown");
    let hint = refused.hint_text().expect("what there is").to_owned();
    for word in
        "answer abort cancel stop pause resume continue complete step set_breakpoints set_output inspect".split(' ')
    {
        assert!(hint.contains(word), "{word}: {hint}");
    }
    assert!(hint.starts_with("did you mean `pause`?"), "{hint}");
    assert_eq!(run.ask("continue", None, None).await.expect_err("it waits for an answer").code(), "NOT_PAUSED");
    assert_eq!(run.after("stop", None, None).await, pair("aborted", "s"));
    assert_eq!(run.after("cancel", None, None).await, pair("aborted", "s"));
    run.end().await;
}

/// Fails until the test says otherwise.
const FAILS: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: one, type: code_job, language: bash, code: "echo one >> files/ledger; echo 1"}
- {label: two, type: code_job, language: bash, code: "echo two >> files/ledger; [ -e files/ok ] && echo 2"}
- {label: three, type: code_job, language: bash, code: "echo three >> files/ledger; echo 3"}
- {label: e, type: endpoint}
connections:
- {from: s, to: one}
- {from: one, to: two}
- {from: two, to: three}
- {from: three, to: e}
"#;

fn ledger(workspace: &Workspace) -> String {
    let text = std::fs::read_to_string(workspace.root().join("files/ledger")).expect("readable");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_goes_on_at_the_node_that_failed() {
    if !harness::has("bash") {
        return;
    }
    let run = Steered::started(FAILS).await;
    let failed = run.seen(0).await;
    assert_eq!((failed.status.name(), failed.error.expect("why")["node"].clone()), ("failed", json!("two")));
    let picture = async |run: &Steered| {
        let request = fetch::Request { id: format!("dipeo://executions/{}/timeline.svg", run.id) };
        fetch::fetch(&run.app, &run.caller, request).await.expect("drawn").text
    };
    let before = picture(&run).await;
    assert_eq!(run.after("resume", None, None).await, pair("failed", "s one"));
    assert_eq!(ledger(&run.workspace), "one two two");

    let run = run.after_a_restart().await;
    run.workspace.write("files/ok", "");
    assert_eq!(run.after("resume", None, None).await, pair("completed", "s one two three e"));
    assert_eq!(ledger(&run.workspace), "one two two two three", "what was committed did not run again");
    let ended = run.seen(0).await;
    assert_eq!((ended.error, ended.final_output, ended.skipped_nodes), (None, Some(json!("3")), Vec::new()));
    assert_eq!(ended.recovered, None, "nothing had to be recovered");
    assert_ne!(picture(&run).await, before);
    let task = task::task(&run.app, &run.caller, &run.id).expect("a task");
    assert_eq!(task.state, task::State::Ended);
    assert_eq!(run.after("complete", None, None).await.0, "completed");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_aborted_asks_again_what_it_had_asked() {
    let run = Steered::started(CHAIN).await;
    assert_eq!(run.after("abort", None, None).await, pair("aborted", "s"));
    assert_eq!(run.after("resume", None, None).await, pair("paused/input", "s"));
    assert_eq!(run.after("answer", None, Some(json!("x"))).await.0, "completed");
    assert_eq!(run.seen(0).await.final_output, Some(json!("x123")));
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_opened_again_opens_its_child_again() {
    if !harness::has("bash") {
        return;
    }
    let workspace = harness::workspace();
    workspace.write("files/ledger", "");
    workspace.write("files/child.light.yaml", FAILS);
    workspace.write(
        "d.light.yaml",
        "
version: light
nodes:
- {label: s, type: start}
- {label: sub, type: sub_diagram, diagram_name: child}
- {label: e, type: endpoint}
connections:
- {from: s, to: sub}
- {from: sub, to: e}
",
    );
    let app = workspace.app();
    let parent = Steered::started_in(workspace, app, Some(25)).await;
    assert_eq!((parent.seen(0).await.status.name(), ledger(&parent.workspace).as_str()), ("failed", "one two"));
    parent.workspace.write("files/ok", "");
    assert_eq!(parent.after("resume", None, None).await, pair("completed", "s sub e"));
    assert_eq!(ledger(&parent.workspace), "one two two three", "the child goes on where it was");
    assert_eq!(parent.seen(0).await.children.len(), 1);
    parent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_an_operator_paused_shows_in_its_parent() {
    let workspace = harness::workspace();
    workspace.write("files/child.light.yaml", CHAIN);
    let diagram = CHAIN.replace(
        "- {label: ask, type: user_response, prompt: 'First?'}",
        "- {label: ask, type: sub_diagram, diagram_name: child}",
    );
    workspace.write("d.light.yaml", &diagram);
    let app = workspace.app();
    let parent = Steered::started_in(workspace, app, Some(25)).await;
    let child = parent.seen(0).await.waiting_for[0].execution_id.clone().expect("the child that asks");
    let request = |action: &str, value: Option<Value>| control_execution::Request {
        execution_id: child.clone(),
        action: action.to_owned(),
        value,
        ..Default::default()
    };
    let at_child = async |action: &str, value| {
        control_execution(&parent.app, &parent.caller, request(action, value), Waiting::default()).await.expect("done")
    };
    at_child("pause", None).await;
    at_child("answer", Some(json!("x"))).await;
    let paused = async {
        loop {
            let seen = parent.seen(25).await;
            if seen.pause_reason.as_deref() == Some("operator") {
                return seen;
            }
            harness::next_commit(&parent.app).await;
        }
    };
    let paused = tokio::time::timeout(PATIENCE, paused).await.expect("it shows");
    assert!(paused.waiting_for[0].prompt.contains("is paused"), "{:?}", paused.waiting_for);
    parent.ask("resume", None, None).await.expect("the child is let go");
    let ended = async {
        while !parent.seen(25).await.status.has_ended() {
            harness::next_commit(&parent.app).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    assert_eq!(parent.seen(0).await.final_output, Some(json!("x123123")));
    parent.end().await;
}

/// Runs the diagram in a process of its own, in a process group of its own.
fn spawned(workspace: &Workspace) -> Child {
    let mut command = workspace.command();
    command.args(["run", "d.light.yaml", "--no-interactive"]).process_group(0);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
}

/// Returns once `line` stands in the ledger.
async fn until_in_ledger(workspace: &Workspace, line: &str) {
    let there = async {
        while !ledger(workspace).split(' ').any(|it| it == line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.expect("the node runs");
}

/// Returns once the process whose number a node wrote down is gone.
async fn until_gone(workspace: &Workspace) {
    let pid = std::fs::read_to_string(workspace.root().join("files/pid")).expect("readable");
    until_ended(pid.trim()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_pauses_resumes_and_completes_a_run() {
    if !harness::has("bash") {
        return;
    }
    let workspace = prepared(LEDGER);
    let mut owner = spawned(&workspace);
    until_in_ledger(&workspace, "two").await;
    let run = Steered::latest(workspace);
    let asked = run.ask_within("pause", None, None, 0).await.expect("the owner heard of it");
    assert_eq!(asked.status.name(), "running", "what runs goes on");
    assert_eq!(run.ask_within("resume", None, None, 0).await.expect("and back").status.name(), "running");
    assert_eq!(run.ask_within("resume", None, None, 0).await.expect("again").status.name(), "running");
    run.ask_within("pause", None, None, 0).await.expect("and again");
    run.workspace.write("files/go", "");
    let paused = run.seen(25).await;
    assert_eq!((paused.status.name(), paused.pause_reason.as_deref()), ("paused", Some("operator")));
    assert_eq!((ledger(&run.workspace).as_str(), run.completed().await.as_str()), ("one two", "s one two"));
    // The terminal's run leaves when its execution is paused; who asks next goes on with it.
    owner.wait().expect("it leaves");
    let ended = printed(&run.workspace, &["control", &run.id, "step"]);
    assert_eq!((text(&ended["status"]), ledger(&run.workspace)), ("paused".to_owned(), "one two three".to_owned()));
    let ended = printed(&run.workspace, &["control", &run.id, "resume"]);
    assert_eq!((text(&ended["status"]), text(&ended["final_output"])), ("completed".to_owned(), "3".to_owned()));
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_ends_is_stopped_with_everything_it_started() {
    if !harness::has("bash") {
        return;
    }
    for (action, status) in [("abort", "aborted"), ("complete", "completed")] {
        let workspace = prepared(LEDGER);
        let mut owner = spawned(&workspace);
        until_in_ledger(&workspace, "two").await;
        let id = text(&printed(&workspace, &["results", "--latest"])["execution_id"]);
        let ended = printed(&workspace, &["control", &id, action, "--reason", "enough"]);
        assert_eq!(text(&ended["status"]), status);
        until_gone(&workspace).await;
        owner.wait().expect("it leaves");
        assert_eq!(ledger(&workspace), "one two", "{action}");
        // Aborted, it can be opened again; completed, it is over.
        workspace.write("files/go", "");
        let again = printed(&workspace, &["control", &id, "resume"]);
        match action {
            "abort" => {
                assert_eq!((text(&again["final_output"]), ledger(&workspace)), ("3".into(), "one two two three".into()))
            }
            _ => assert_eq!(again["error"]["code"], "EXECUTION_ENDED", "{again}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_be_paused_stays_so_when_its_process_dies() {
    if !harness::has("bash") {
        return;
    }
    let workspace = prepared(LEDGER);
    let mut owner = spawned(&workspace);
    until_in_ledger(&workspace, "two").await;
    let run = Steered::latest(workspace);
    run.ask_within("pause", None, None, 0).await.expect("the owner heard of it");
    let group = rustix::process::Pid::from_child(&owner);
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("killed");
    owner.wait().expect("reaped");
    run.workspace.write("files/go", "");
    // Pausing once more makes this process take it over.
    let paused = run.ask("pause", None, None).await.expect("no change");
    assert_eq!((paused.status.name(), paused.pause_reason.as_deref()), ("paused", Some("operator")));
    assert_eq!(ledger(&run.workspace), "one two", "what was lost waits");
    assert_eq!(run.inspected(None).await.under_way, ["two"]);
    assert_eq!(run.after("step", None, None).await, pair("paused/operator", "s one two"));
    assert_eq!(run.after("resume", None, None).await, pair("completed", "s one two three e"));
    assert_eq!(ledger(&run.workspace), "one two two three");
    run.end().await;
}

/// Accepts one connection and reads what it says first.
async fn called(listener: &TcpListener) -> TcpStream {
    let accepted = async {
        let (mut stream, _) = listener.accept().await.expect("a call");
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("a request");
        stream
    };
    tokio::time::timeout(PATIENCE, accepted).await.expect("the node calls")
}

/// Returns once the other side has hung up.
async fn until_hung_up(mut stream: TcpStream) {
    let hung_up = async {
        let mut rest = [0; 4_096];
        while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
    };
    tokio::time::timeout(PATIENCE, hung_up).await.expect("the connection outlived its node");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_hangs_up_on_servers_and_models() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let http = format!("{{label: call, type: api_job, url: 'http://{address}/slow', method: GET}}");
    let model = "{label: call, type: person_job, person: P, default_prompt: hi, max_iteration: 1}".to_owned();
    let ollama = OllamaSettings { host: format!("http://{address}") };
    for node in [http, model] {
        let workspace = prepared(&format!(
            "version: light\npersons:\n  P: {{service: ollama, model: m}}\nnodes:\n- {{label: s, type: start}}\n- {node}\n- {{label: e, type: endpoint}}\nconnections:\n- {{from: s, to: call}}\n- {{from: call, to: e}}\n"
        ));
        let models = Llm::new(Settings { ollama: ollama.clone(), ..Settings::default() });
        let app = workspace.app_with_models(models);
        let run = Steered::started_in(workspace, app, Some(0)).await;
        let stream = called(&listener).await;
        assert_eq!(run.after("abort", None, None).await, pair("aborted", "s"), "{node}");
        until_hung_up(stream).await;
        run.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_ends_the_hosts_interpreters() {
    for (program, language, code) in [
        ("bash", "bash", "echo $$ > files/pid; echo up >> files/ledger; sleep 600"),
        (
            "python3",
            "python",
            "import os, time\nopen('files/pid', 'w').write(str(os.getpid()))\nopen('files/ledger', 'a').write('up\\n')\ntime.sleep(600)",
        ),
    ] {
        if !harness::has(program) {
            continue;
        }
        let node = json!({"label": "call", "type": "code_job", "language": language, "runtime": "host", "timeout": 600, "code": code});
        let workspace = prepared(&format!(
            "version: light\nnodes:\n- {{label: s, type: start}}\n- {node}\n- {{label: e, type: endpoint}}\nconnections:\n- {{from: s, to: call}}\n- {{from: call, to: e}}\n"
        ));
        let app = workspace.app();
        let run = Steered::started_in(workspace, app, Some(0)).await;
        until_in_ledger(&run.workspace, "up").await;
        assert_eq!(run.after("abort", None, None).await, pair("aborted", "s"), "{program}");
        until_gone(&run.workspace).await;
        run.end().await;
    }
}
