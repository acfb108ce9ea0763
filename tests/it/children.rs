//! Diagrams within diagrams, as their users see them: questions, crashes, aborts, nesting.

use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, see_result};
use dipeo::handlers::{App, Caller};
use serde_json::{Value, json};

use crate::harness::{self, Workspace, json as printed, kill_when};

const PARENT: &str = "
version: light
nodes:
- {label: s, type: start}
- {label: sub, type: sub_diagram, diagram_name: child}
- {label: e, type: endpoint}
connections:
- {from: s, to: sub}
- {from: sub, to: e}
";

const ASKING: &str = "
version: light
nodes:
- {label: s, type: start}
- {label: first, type: user_response, prompt: 'First?'}
- {label: second, type: user_response, prompt: 'Second?', options: [a, b]}
- {label: e, type: endpoint}
connections:
- {from: s, to: first}
- {from: first, to: second}
- {from: first, to: e, label: one}
- {from: second, to: e, label: two}
";

fn with_child(child: &str) -> (Workspace, std::sync::Arc<App>, Caller) {
    let workspace = harness::workspace();
    workspace.write("files/parent.light.yaml", PARENT);
    workspace.write("files/child.light.yaml", child);
    let app = workspace.app();
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    (workspace, app, caller)
}

async fn started(app: &App, caller: &Caller, diagram: &str) -> ExecutionObject {
    let request = Request { diagram: Some(diagram.to_owned()), ..Request::default() };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    run_diagram(app, caller, request, extras, Waiting::default()).await.expect("it starts")
}

async fn controlled(
    app: &App,
    caller: &Caller,
    (id, action, value): (&str, &str, Option<Value>),
) -> Result<ExecutionObject, dipeo::error::Error> {
    let request = control_execution::Request {
        execution_id: id.to_owned(),
        action: action.to_owned(),
        value,
        ..Default::default()
    };
    control_execution(app, caller, request, Waiting::default()).await
}

async fn settled(app: &App, caller: &Caller, id: &str) -> ExecutionObject {
    let request = see_result::Request { execution_id: id.to_owned(), wait_seconds: Some(25), ..Default::default() };
    see_result(app, caller, request, Waiting::default()).await.expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_a_child_is_its_parents_and_can_be_answered_at_either() {
    let (_workspace, app, caller) = with_child(ASKING);
    let parent = started(&app, &caller, "parent").await;
    assert_eq!((parent.status.name(), parent.pause_reason.as_deref()), ("paused", Some("input")));
    let asked = &parent.waiting_for[0];
    assert_eq!((asked.label.as_str(), asked.prompt.as_str()), ("sub", "First?"));
    let child = asked.execution_id.clone().expect("the child that asks is named");
    assert_eq!(parent.children, std::slice::from_ref(&child));

    let next = controlled(&app, &caller, (&parent.execution_id, "answer", Some(json!("x")))).await.expect("taken");
    assert_eq!(next.waiting_for[0].prompt, "Second?", "the next question follows: {next:?}");
    let refused = controlled(&app, &caller, (&parent.execution_id, "answer", Some(json!("z")))).await;
    assert_eq!(refused.expect_err("no option").code(), "INVALID_ANSWER");

    controlled(&app, &caller, (&child, "answer", Some(json!("b")))).await.expect("the child takes it itself");
    let ended = settled(&app, &caller, &parent.execution_id).await;
    assert_eq!((ended.status.name(), ended.final_output), ("completed", Some(json!({"one": "x", "two": "b"}))));
    let child = settled(&app, &caller, &child).await;
    assert_eq!(child.parent_execution_id, Some(parent.execution_id));
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_answered_after_a_restart_wakes_its_parent() {
    let (workspace, app, caller) = with_child(ASKING);
    let parent = started(&app, &caller, "parent").await;
    let child = parent.waiting_for[0].execution_id.clone().expect("named");
    app.shut_down_runs().await;
    app.close().await;

    let app = workspace.app();
    controlled(&app, &caller, (&child, "answer", Some(json!("x")))).await.expect("taken");
    controlled(&app, &caller, (&child, "answer", Some(json!("a")))).await.expect("taken");
    let ended = settled(&app, &caller, &parent.execution_id).await;
    assert_eq!(ended.final_output, Some(json!({"one": "x", "two": "a"})), "{ended:?}");
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aborting_a_parent_aborts_the_child_it_waits_for() {
    let (_workspace, app, caller) = with_child(ASKING);
    let parent = started(&app, &caller, "parent").await;
    let child = parent.waiting_for[0].execution_id.clone().expect("named");
    let aborted = controlled(&app, &caller, (&parent.execution_id, "abort", None)).await.expect("aborted");
    assert_eq!(aborted.status.name(), "aborted");
    // The child is told after its parent has ended; looking at it is a commit of its own, so commits do not count.
    let ended = async {
        loop {
            let seen = settled(&app, &caller, &child).await;
            if seen.status.has_ended() {
                return seen;
            }
            harness::next_commit(&app).await;
        }
    };
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), ended).await.expect("it ends");
    assert_eq!(ended.status.name(), "aborted", "{ended:?}");
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diagram_that_runs_itself_for_ever_is_stopped() {
    let workspace = harness::workspace();
    workspace.write("files/parent.light.yaml", &PARENT.replace("diagram_name: child", "diagram_name: parent"));
    let app = workspace.app();
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let ended = started(&app, &caller, "parent").await;
    assert_eq!(ended.status.name(), "failed");
    let mut error = ended.error.expect("why");
    let mut depth = 0;
    while error["cause"].is_object() {
        error = error["cause"].take();
        depth += 1;
    }
    assert!(error["message"].as_str().is_some_and(|it| it.contains("more than 20 deep")), "{error}");
    assert_eq!(depth, 20);
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submitted_diagram_gives_its_child_no_more_than_it_has() {
    let workspace = harness::workspace();
    workspace.write(
        "files/child.light.yaml",
        "
version: light
nodes:
- {label: s, type: start}
- {label: shell, type: code_job, language: bash, code: 'echo hi'}
- {label: e, type: endpoint}
connections:
- {from: s, to: shell}
- {from: shell, to: e}
",
    );
    let app = workspace.app();
    let request = Request { content: Some(PARENT.to_owned()), ..Request::default() };
    let object = run_diagram(&app, &Caller::owner_client(), request, Extras::default(), Waiting::default()).await;
    let ended = object.expect("it starts");
    assert_eq!(ended.status.name(), "failed", "{ended:?}");
    let error = ended.error.expect("why");
    assert_eq!(error["code"], "SUB_DIAGRAM_FAILED");
    assert!(error.to_string().contains("E701"), "{error}");
    app.shut_down_runs().await;
}

/// A batch of children; each leaves a line in a ledger, the second waits until the test lets it go.
const BATCH: &str = r#"
version: light
nodes:
- {label: s, type: start, custom_data: {items: [one, two, three]}}
- label: each
  type: sub_diagram
  batch: true
  batch_parallel: false
  diagram_data:
    version: light
    nodes:
    - {label: s, type: start}
    - {label: work, type: code_job, language: bash, timeout: 60, code: "echo $INPUT_item >> files/ledger; while [ $INPUT_item = two ] && [ ! -e files/go ]; do sleep 0.05; done; echo did $INPUT_item"}
    - {label: e, type: endpoint}
    connections:
    - {from: s, to: work}
    - {from: work, to: e}
- {label: e, type: endpoint}
connections:
- {from: s, to: each}
- {from: each, to: e}
"#;

#[test]
fn after_kill_9_a_batch_of_children_repeats_only_what_was_not_done() {
    if !harness::has("bash") {
        return;
    }
    let workspace = harness::workspace();
    let child_takes_item = BATCH.replace(
        "{label: work, type: code_job",
        "{label: name, type: code_job, code: 'result = item'}\n    - {label: work, type: code_job",
    );
    let diagram = child_takes_item
        .replace("{from: s, to: work}", "{from: s, to: name}\n    - {from: name, to: work, label: item}");
    workspace.write("d.light.yaml", &diagram);
    workspace.write("files/ledger", "");
    kill_when(&workspace, "two");
    workspace.write("files/go", "");
    let killed = printed(&workspace, &["results", "--latest"]);
    let id = killed["execution_id"].as_str().expect("the latest execution is the parent, not a child").to_owned();
    let finished = printed(&workspace, &["results", &id, "--wait", "60"]);
    assert_eq!(finished["status"], "completed", "{finished}");
    let outputs: Vec<&str> = finished["final_output"]["results"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["output"].as_str())
        .collect();
    assert_eq!(outputs, ["did one", "did two", "did three"]);
    assert_eq!(finished["children"].as_array().map(Vec::len), Some(3), "no child was started twice: {finished}");
    let ledger = std::fs::read_to_string(workspace.root().join("files/ledger")).expect("readable");
    let count = |line: &str| ledger.lines().filter(|it| *it == line).count();
    assert_eq!((count("one"), count("two"), count("three")), (1, 2, 1), "{ledger}");
}
