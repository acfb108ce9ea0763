//! An operator's pause goes down: what a paused execution waits for is paused with it, what its nodes start next begins
//! paused, and all of it goes on together. A step runs what it lets go as a whole.

use std::sync::Arc;

use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::{App, Caller};
use dipeo::ids::ExecutionId;

use crate::harness::{self, Workspace};

/// Longest wait for anything; only a broken program reaches it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The children do one piece of work, the first until the test lets it go; then there is another.
const BATCH: &str = r#"
version: light
nodes:
- {label: s, type: start, custom_data: {items: [one, two]}}
- label: each
  type: sub_diagram
  batch: true
  batch_parallel: false
  diagram_data:
    version: light
    nodes:
    - {label: s, type: start}
    - {label: name, type: code_job, code: "result = item"}
    - {label: work, type: code_job, language: bash, timeout: 60, code: "echo $INPUT_item >> files/ledger; while [ $INPUT_item = one ] && [ ! -e files/go ]; do sleep 0.05; done; echo did $INPUT_item"}
    connections:
    - {from: s, to: name}
    - {from: name, to: work, label: item}
- {label: e, type: endpoint}
connections:
- {from: s, to: each}
- {from: each, to: e}
"#;

const PARENT: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: first, type: user_response, prompt: "First?"}
- {label: sub, type: sub_diagram, diagram_name: middle}
- {label: e, type: endpoint}
connections:
- {from: s, to: first}
- {from: first, to: sub}
- {from: sub, to: e}
"#;

const MIDDLE: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: sub, type: sub_diagram, diagram_name: leaf}
- {label: after, type: code_job, code: "result = sub + '!'"}
connections:
- {from: s, to: sub}
- {from: sub, to: after, label: sub}
"#;

const LEAF: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: work, type: code_job, language: bash, timeout: 60, code: "echo leaf >> files/ledger; while [ ! -e files/go ]; do sleep 0.05; done; echo deep"}
- {label: after, type: code_job, code: "result = work + '.'"}
connections:
- {from: s, to: work}
- {from: work, to: after, label: work}
"#;

struct Bench {
    workspace: Workspace,
    app: Arc<App>,
    caller: Caller,
    id: String,
}

impl Bench {
    async fn new(diagram: &str) -> Self {
        let workspace = harness::workspace();
        workspace.write("d.light.yaml", diagram);
        workspace.write("files/middle.light.yaml", MIDDLE);
        workspace.write("files/leaf.light.yaml", LEAF);
        workspace.write("files/ledger", "");
        let app = workspace.app();
        let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
        let request = Request { diagram: Some("d.light.yaml".to_owned()), wait_seconds: Some(0), ..Request::default() };
        let run = run_diagram(&app, &caller, request, Extras::default(), Waiting::default()).await.expect("it starts");
        Self { workspace, app, caller, id: run.execution_id }
    }

    async fn ask(&self, id: &str, action: &str) {
        let request = control_execution::Request {
            execution_id: id.to_owned(),
            action: action.to_owned(),
            value: (action == "answer").then(|| "x".into()),
            wait_seconds: Some(0),
            ..Default::default()
        };
        let asked = control_execution(&self.app, &self.caller, request, Waiting::default()).await;
        asked.unwrap_or_else(|e| panic!("{action}: {}", e.chain()));
    }

    async fn seen(&self, id: &str) -> ExecutionObject {
        let request = see_result::Request {
            execution_id: id.to_owned(),
            detail: Some(Detail::Full),
            wait_seconds: Some(0),
            ..Default::default()
        };
        see_result(&self.app, &self.caller, request, Waiting::default()).await.expect("it is there")
    }

    /// Waits until the execution looks as wanted: status, reason of a pause, and completed nodes.
    async fn until(&self, id: &str, wanted: &str) {
        let mut seen = String::new();
        let looks_so = async {
            while seen != wanted {
                let object = self.seen(id).await;
                let reason = object.pause_reason.map(|it| format!("/{it}")).unwrap_or_default();
                let nodes = object.nodes.unwrap_or_default().into_iter();
                let done: Vec<String> = nodes.filter(|it| it.status.name() == "completed").map(|it| it.label).collect();
                seen = format!("{}{reason} {}", object.status.name(), done.join(" "));
                if seen != wanted {
                    harness::next_commit(&self.app).await;
                }
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, looks_so).await;
        assert!(outcome.is_ok(), "it stays {seen}, and not {wanted}");
    }

    async fn until_in_ledger(&self, lines: &str) {
        let there = async {
            while self.ledger() != lines {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, there).await.expect("the node runs");
    }

    fn ledger(&self) -> String {
        let text = std::fs::read_to_string(self.workspace.root().join("files/ledger")).expect("readable");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn let_go(&self) {
        self.workspace.write("files/go", "");
    }

    /// The newest child of an execution.
    fn child_of(&self, id: &str) -> String {
        let id = ExecutionId::parse(id).expect("an id");
        let children = self.app.store().expect("open").children(&id).expect("readable");
        children.last().expect("it has one").execution_id.clone()
    }

    async fn end(self) {
        self.app.shut_down_runs().await;
        self.app.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_paused_batch_starts_next_begins_paused() {
    if !harness::has("bash") {
        return;
    }
    let bench = Bench::new(BATCH).await;
    bench.until_in_ledger("one").await;
    bench.ask(&bench.id, "pause").await;
    bench.let_go();
    bench.until(&bench.id, "paused/operator s").await;
    let second = bench.child_of(&bench.id);
    bench.until(&second, "paused/operator ").await;
    assert_eq!(bench.ledger(), "one", "the second child does nothing");
    bench.ask(&bench.id, "resume").await;
    bench.until(&bench.id, "completed s each e").await;
    assert_eq!(bench.ledger(), "one two");
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_reaches_the_child_of_a_child_and_all_go_on_together() {
    if !harness::has("bash") {
        return;
    }
    let bench = Bench::new(PARENT).await;
    bench.until(&bench.id, "paused/input s").await;
    bench.ask(&bench.id, "answer").await;
    bench.until_in_ledger("leaf").await;
    let middle = bench.child_of(&bench.id);
    let leaf = bench.child_of(&middle);
    bench.ask(&bench.id, "pause").await;
    bench.let_go();
    bench.until(&leaf, "paused/operator s work").await;
    bench.until(&middle, "paused/operator s").await;
    bench.until(&bench.id, "paused/operator s first").await;
    bench.ask(&bench.id, "resume").await;
    bench.until(&bench.id, "completed s first sub e").await;
    assert_eq!(bench.seen(&bench.id).await.final_output, Some("deep.!".into()));
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_somebody_paused_by_itself_stays_so_when_its_parent_goes_on() {
    if !harness::has("bash") {
        return;
    }
    let bench = Bench::new(PARENT).await;
    bench.until(&bench.id, "paused/input s").await;
    bench.ask(&bench.id, "answer").await;
    bench.until_in_ledger("leaf").await;
    let middle = bench.child_of(&bench.id);
    bench.ask(&middle, "pause").await;
    bench.ask(&bench.id, "pause").await;
    bench.let_go();
    bench.until(&bench.id, "paused/operator s first").await;
    bench.ask(&bench.id, "resume").await;
    bench.until(&middle, "paused/operator s").await;
    bench.until(&bench.id, "paused/operator s first").await;
    // Now nothing but the child holds it, so `resume` is for the child, and goes down from there.
    bench.ask(&middle, "resume").await;
    bench.until(&bench.id, "completed s first sub e").await;
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_runs_a_child_as_a_whole() {
    if !harness::has("bash") {
        return;
    }
    let bench = Bench::new(PARENT).await;
    bench.let_go();
    bench.until(&bench.id, "paused/input s").await;
    bench.ask(&bench.id, "pause").await;
    bench.ask(&bench.id, "answer").await;
    bench.until(&bench.id, "paused/operator s first").await;
    bench.ask(&bench.id, "step").await;
    bench.until(&bench.id, "paused/operator s first sub").await;
    assert_eq!(bench.ledger(), "leaf");
    bench.ask(&bench.id, "resume").await;
    bench.until(&bench.id, "completed s first sub e").await;
    bench.end().await;
}
