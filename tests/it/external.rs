//! Executions that a foreign runner carries out: reported node by node, shown like any other, never run here.

use std::sync::Arc;

use dipeo::engine::Status;
use dipeo::error::Error;
use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::execution_order::{self, execution_order};
use dipeo::handlers::external::active::active_cli_session;
use dipeo::handlers::external::register::{self, register_cli_session};
use dipeo::handlers::external::unregister::{self, unregister_cli_session};
use dipeo::handlers::external::update_node::{self, update_node_state};
use dipeo::handlers::run_diagram::{self, Extras, Waiting};
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::{App, Caller, control_execution, fork_execution, list_executions, replay_execution};
use serde_json::{Value, json};

use crate::harness;

const DIAGRAM: &str = "version: light\nnodes:\n- {label: s, type: start}\n\
    - {label: work, type: code_job, language: bash, code: \"touch files/pwned\"}\n- {label: e, type: endpoint}\n\
    connections:\n- {from: s, to: work}\n- {from: work, to: e}\n";

fn client(principal: &str) -> Caller {
    Caller::client(Identity { principal: principal.into(), scopes: Scopes::ALL }, Door::Http)
}

fn id(n: u32) -> String {
    format!("exec_{n:032x}")
}

async fn register(app: &App, caller: &Caller, n: u32, data: Option<Value>) -> Result<register::Response, Error> {
    let request = register::Request {
        execution_id: id(n),
        diagram_name: "foreign".into(),
        diagram_format: None,
        diagram_data: data,
    };
    register_cli_session(app, caller, request).await
}

fn said(n: u32, node: &str, status: &str, output: Option<Value>, error: Option<&str>) -> update_node::Request {
    update_node::Request {
        execution_id: id(n),
        node_id: node.into(),
        status: status.into(),
        output,
        error: error.map(str::to_owned),
    }
}

async fn control(app: &App, caller: &Caller, n: u32, action: &str) -> Result<ExecutionObject, Error> {
    let value = (action == "answer" || action == "set_output").then(|| json!("x"));
    let request =
        control_execution::Request { execution_id: id(n), action: action.into(), value, ..Default::default() };
    control_execution::control_execution(app, caller, request, Waiting::default()).await
}

async fn seen(app: &App, n: u32) -> ExecutionObject {
    let request =
        see_result::Request { execution_id: id(n), detail: Some(Detail::Full), ..see_result::Request::default() };
    see_result(app, &client("ada"), request, Waiting::default()).await.expect("there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_run_is_shown_as_it_is_reported_and_nothing_of_it_runs_here() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client("ada");
    let made = register(&app, &ada, 1, Some(DIAGRAM.into())).await.expect("registered");
    assert_eq!((made.session_id.as_str(), made.created), (id(1).replace("exec_", "cli_").as_str(), true));
    assert_eq!(seen(&app, 1).await.status, Status::Running);
    for (node, status, output, error) in [
        ("s", "completed", Some(json!({"n": 1})), None),
        ("node_1", "RUNNING", None, None),
        ("node_1", "RUNNING", None, None),
        ("work", "completed", Some(json!("one")), None),
        ("work", "completed", Some(json!("one")), None),
        ("work", "running", None, None),
        ("work", "failed", None, Some("no luck")),
        ("work", "running", None, None),
        ("work", "completed", Some(json!("two")), None),
        ("e", "completed", Some(json!("two")), None),
    ] {
        update_node_state(&app, &ada, said(1, node, status, output, error)).await.expect(status);
    }
    let order = execution_order(&app, &ada, execution_order::Request { execution_id: id(1) }).await.expect("listed");
    let steps: Vec<_> =
        order.nodes.iter().map(|it| format!("{}:{} {}", it.node_name, it.iteration, it.status.name())).collect();
    assert_eq!(steps, ["s:1 completed", "work:1 completed", "work:2 failed", "work:3 completed", "e:1 completed"]);
    let done = control(&app, &ada, 1, "complete").await.expect("ended");
    assert_eq!((done.status, done.final_output), (Status::Completed, Some(json!("two"))));
    assert_eq!(control(&app, &ada, 1, "complete").await.expect("again").status, Status::Completed);
    let late = update_node_state(&app, &ada, said(1, "e", "running", None, None)).await.expect_err("it has ended");
    assert_eq!(late.code(), "EXECUTION_ENDED");
    let full = seen(&app, 1).await;
    assert_eq!(full.node_outputs.expect("shown")["node_1"], "two");
    assert_eq!(full.exec_counts.expect("shown")["node_1"], 3);
    let listed = list_executions::list_executions(&app, &ada, Default::default()).await.expect("listed");
    assert_eq!(listed.executions[0].diagram_id.as_deref(), Some("foreign"));
    assert!(!workspace.root().join("files/pwned").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_stands_until_the_node_runs_again_and_decides_the_end() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client("ada");
    register(&app, &ada, 1, Some(DIAGRAM.into())).await.expect("registered");
    update_node_state(&app, &ada, said(1, "work", "failed", None, Some("no luck"))).await.expect("taken");
    update_node_state(&app, &ada, said(1, "e", "skipped", None, None)).await.expect("taken");
    let done = control(&app, &ada, 1, "complete").await.expect("ended");
    assert_eq!(done.status, Status::Failed);
    let error = done.error.expect("why");
    assert_eq!(
        (&error["code"], &error["message"], &error["node"]),
        (&json!("NODE_FAILED"), &json!("no luck"), &json!("work"))
    );
    let other = control(&app, &ada, 1, "abort").await.expect_err("it has ended");
    assert_eq!(other.code(), "EXECUTION_ENDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_takes_it_over_and_only_its_end_can_be_asked_for() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client("ada");
    register(&app, &ada, 1, Some(DIAGRAM.into())).await.expect("registered");
    let supervisor = Arc::clone(app.supervisor().expect("there"));
    supervisor.claim_open().await.expect("nothing to claim");
    let another = workspace.app();
    another.supervisor().expect("there").claim_open().await.expect("nothing to claim");
    assert_eq!((supervisor.running_count(), seen(&app, 1).await.recovered), (0, None));
    for action in ["pause", "resume", "step", "answer", "set_output", "set_breakpoints", "inspect"] {
        let request = control_execution::Request {
            execution_id: id(1),
            action: action.into(),
            value: Some(json!(["s"])),
            ..Default::default()
        };
        let refused = control_execution::control_execution(&app, &ada, request, Waiting::default()).await;
        assert_eq!(refused.expect_err(action).code(), "NOT_RUN_HERE", "{action}");
    }
    let fork = fork_execution::Request { execution_id: id(1), ..Default::default() };
    let fork = fork_execution::fork_execution(&app, &ada, fork, Default::default(), Waiting::default()).await;
    assert_eq!(fork.expect_err("refused").code(), "NOT_RUN_HERE");
    let replay = replay_execution::Request { execution_id: id(1), ..Default::default() };
    let replay = replay_execution::replay_execution(&app, &ada, replay, Default::default(), Waiting::default()).await;
    assert_eq!(replay.expect_err("refused").code(), "NOT_RUN_HERE");
    assert_eq!(control(&another, &ada, 1, "abort").await.expect("from any process").status, Status::Aborted);
    let resumed = control(&app, &ada, 1, "resume").await.expect_err("nothing to open again");
    assert_eq!(resumed.code(), "NOT_RUN_HERE");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_registered_or_reported_is_refused_with_the_reason() {
    let workspace = harness::workspace();
    workspace.write("projects/foreign.light.yaml", DIAGRAM);
    let app = workspace.app();
    let (ada, bob) = (client("ada"), client("bob"));
    for (data, code) in [
        (json!("nodes: ["), "INVALID_INPUT"),
        (json!({"nodes": []}), "INVALID_INPUT"),
        (json!(7), "INVALID_INPUT"),
        (json!("x".repeat(2 * 1024 * 1024)), "TOO_LARGE"),
    ] {
        assert_eq!(register(&app, &ada, 1, Some(data)).await.expect_err(code).code(), code);
    }
    let named =
        register::Request { execution_id: "exec_1".into(), diagram_name: "foreign".into(), ..Default::default() };
    let refused = register_cli_session(&app, &ada, named).await.expect_err("no id");
    assert_eq!(refused.code(), "INVALID_EXECUTION_ID");
    assert!(register(&app, &ada, 1, None).await.expect("the workspace has it").created);
    assert!(!register(&app, &ada, 1, None).await.expect("again").created);
    assert_eq!(register(&app, &bob, 1, None).await.expect_err("ada's").code(), "EXECUTION_NOT_FOUND");
    for (caller, report, code) in [
        (&bob, said(1, "s", "running", None, None), "EXECUTION_NOT_FOUND"),
        (&ada, said(2, "s", "running", None, None), "EXECUTION_NOT_FOUND"),
        (&ada, said(1, "nobody", "running", None, None), "NODE_NOT_FOUND"),
        (&ada, said(1, "s", "paused", None, None), "INVALID_INPUT"),
        (&ada, said(1, "s", "", None, None), "INVALID_INPUT"),
    ] {
        assert_eq!(update_node_state(&app, caller, report).await.expect_err(code).code(), code);
    }
    let given_back = |n| unregister::Request { execution_id: id(n) };
    assert_eq!(
        unregister_cli_session(&app, &bob, given_back(1)).await.expect_err("ada's").code(),
        "EXECUTION_NOT_FOUND"
    );
    let back = unregister_cli_session(&app, &ada, given_back(1)).await.expect("given back");
    assert_eq!(back.status, Status::Aborted, "its runner has gone away");
    let again = unregister_cli_session(&app, &ada, given_back(1)).await.expect_err("it was");
    assert_eq!(again.code(), "SESSION_NOT_FOUND");
    assert_eq!(register(&app, &ada, 1, None).await.expect_err("it has ended").code(), "EXECUTION_ENDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reports_at_once_make_one_log_without_gaps() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client("ada");
    let nodes: String = (0..24).map(|n| format!("- {{label: n{n}, type: code_job, code: \"1\"}}\n")).collect();
    let diagram = format!("version: light\nnodes:\n- {{label: s, type: start}}\n{nodes}");
    register(&app, &ada, 1, Some(diagram.into())).await.expect("registered");
    let reports = (0..24).map(|n| {
        let (app, ada) = (Arc::clone(&app), ada.clone());
        tokio::spawn(async move {
            update_node_state(&app, &ada, said(1, &format!("n{n}"), "completed", Some(json!(n)), None)).await
        })
    });
    for report in futures_util::future::join_all(reports).await {
        report.expect("no panic").expect("taken");
    }
    let done = control(&app, &ada, 1, "complete").await.expect("ended");
    assert_eq!((done.status, done.executed_nodes_count), (Status::Completed, Some(24)));
    let outputs = done.outputs.expect("shown");
    assert_eq!((outputs.len(), &outputs["n7"]), (24, &json!(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_active_session_is_the_newest_open_run_of_a_terminal_or_a_registered_one() {
    let workspace = harness::workspace();
    workspace.write(
        "asks.light.yaml",
        "version: light\nnodes:\n- {label: s, type: start}\n- {label: ask, type: user_response, prompt: well}\n\
         connections:\n- {from: s, to: ask}\n",
    );
    let app = workspace.app();
    let owner = Caller::client(Identity::owner(), Door::Http);
    assert_eq!(active_cli_session(&app, &owner).await.expect("answers"), None);
    let terminal = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let run = run_diagram::Request { diagram: Some("asks".into()), ..Default::default() };
    let ran = run_diagram::run_diagram(&app, &terminal, run, Extras::default(), Waiting::default()).await;
    let ran = ran.expect("it runs").execution_id;
    let session = active_cli_session(&app, &owner).await.expect("answers").expect("it waits");
    assert_eq!((session.execution_id.as_str(), session.is_active), (ran.as_str(), true));
    assert_eq!((session.diagram_name.as_str(), session.diagram_format.as_str()), ("asks", "light"));
    assert!(session.diagram_data["nodes"].is_object() || session.diagram_data["nodes"].is_array(), "{session:?}");
    let asking = session.node_states.values().find(|it| it["label"] == "ask").expect("shown");
    assert_eq!(asking["status"], "paused");
    assert_eq!(active_cli_session(&app, &client("bob")).await.expect("answers"), None, "it is not his");

    register(&app, &owner, 1, Some(DIAGRAM.into())).await.expect("registered");
    let newest = active_cli_session(&app, &owner).await.expect("answers").expect("there");
    assert_eq!(newest.execution_id, id(1));
    unregister_cli_session(&app, &owner, unregister::Request { execution_id: id(1) }).await.expect("given back");
    let session = active_cli_session(&app, &owner).await.expect("answers").expect("the other one");
    assert_eq!(session.execution_id, ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_node_of_an_own_run_can_be_given_its_value_and_nothing_else_is_reported() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client("ada");
    let content = "version: light\nnodes:\n- {label: s, type: start}\n- {label: work, type: code_job, code: \"result = 'ran'\"}\n\
                   - {label: e, type: endpoint}\nconnections:\n- {from: s, to: work}\n- {from: work, to: e}\n";
    let request = run_diagram::Request { content: Some(content.into()), ..Default::default() };
    let extras = Extras { execution_id: Some(id(1)), breakpoints: vec!["work".into()], ..Extras::default() };
    let paused = run_diagram::run_diagram(&app, &ada, request, extras, Waiting::default()).await.expect("it runs");
    assert_eq!(paused.status, Status::Paused);
    for (status, output) in [("running", None), ("failed", None), ("completed", None)] {
        let refused = update_node_state(&app, &ada, said(1, "work", status, output, None)).await.expect_err(status);
        assert_eq!(refused.code(), "NOT_PAUSED", "{status}");
    }
    update_node_state(&app, &ada, said(1, "work", "completed", Some(json!("given")), None)).await.expect("taken");
    let request = see_result::Request { execution_id: id(1), wait_seconds: Some(20), ..Default::default() };
    let done = see_result(&app, &ada, request, Waiting::default()).await.expect("there");
    assert_eq!((done.status, done.final_output), (Status::Completed, Some(json!("given"))));
    let late = update_node_state(&app, &ada, said(1, "work", "completed", Some(json!("late")), None)).await;
    assert_eq!(late.expect_err("it has ended").code(), "EXECUTION_ENDED");
}

const LOOP: &str = "version: light\nnodes:\n- {label: s, type: start}\n- {label: work, type: code_job, code: \"result = 1\"}\n\
    - {label: again, type: condition, condition_type: custom, expression: \"False\"}\n- {label: e, type: endpoint}\n\
    connections:\n- {from: s, to: work}\n- {from: work, to: again}\n- {from: \"again[condfalse]\", to: work}\n\
    - {from: \"again[condtrue]\", to: e}\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_limits_how_often_a_node_runs_and_never_widens_what_the_diagram_allows() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ada = client("ada");
    let run = async |content: String, max_iterations| {
        let request = run_diagram::Request { content: Some(content), ..Default::default() };
        let extras = Extras { max_iterations, ..Extras::default() };
        run_diagram::run_diagram(&app, &ada, request, extras, Waiting::default()).await
    };
    let own = |n: u32| LOOP.replace("nodes:", &format!("settings: {{max_node_iterations: {n}}}\nnodes:"));
    for (content, asked, expected) in
        [(LOOP.to_owned(), Some(3), 3), (own(5), Some(3), 3), (own(2), Some(50), 2), (own(4), None, 4)]
    {
        let ran = run(content, asked).await.expect("it runs");
        let error = ran.error.as_ref().expect("the loop has no end");
        assert_eq!((ran.status, &error["code"]), (Status::Failed, &json!("ITERATION_LIMIT")));
        let order = execution_order::Request { execution_id: ran.execution_id };
        let order = execution_order(&app, &ada, order).await.expect("listed");
        let n_rounds = order.nodes.iter().filter(|it| it.node_name == "work").count();
        assert_eq!(n_rounds, expected, "{asked:?}");
    }
    assert_eq!(run(LOOP.to_owned(), Some(0)).await.expect_err("refused").code(), "INVALID_INPUT");
}
