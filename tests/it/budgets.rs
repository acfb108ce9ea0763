//! Budgets, as their users meet them: many calls at once, pauses and raises on every way in, crashes, children.

use std::process::Stdio;
use std::sync::Arc;

use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::{App, Caller};
use dipeo::ids::ExecutionId;
use serde_json::{Map, Value, json};

use crate::harness::{self, Workspace, json as printed};
use crate::mcp_client::StdioClient;

/// Ten calls side by side. The longest reply of the stand-in costs 0.008, most cost less.
fn ten_in_parallel(settings: &str) -> String {
    let mut text = format!(
        "version: light\nsettings: {{{settings}}}\npersons:\n  P:\n    service: scripted\n    price: {{input: 0, output: 1000}}\n    \
         when_exhausted: cycle\n    replies: [a b c d e f g h, {{text: a b c, delay_ms: 30}}, a b c d e, {{text: a b c d e f g, delay_ms: 10}}, a]\n\
         nodes:\n- {{label: s, type: start}}\n"
    );
    for n in 0..10 {
        text.push_str(&format!(
            "- {{label: w{n}, type: person_job, person: P, default_prompt: Write., max_iteration: 1}}\n"
        ));
    }
    text.push_str("- {label: e, type: endpoint}\nconnections:\n");
    for n in 0..10 {
        text.push_str(&format!("- {{from: s, to: w{n}}}\n- {{from: w{n}, to: e, label: w{n}}}\n"));
    }
    text
}

fn spent_usd(object: &Value) -> f64 {
    object["budget"]["spent"]["usd"].as_f64().unwrap_or_else(|| panic!("no budget is shown: {object}"))
}

#[test]
fn ten_parallel_nodes_never_pass_five_cents_and_go_on_when_a_model_raises_the_budget() {
    let workspace = harness::workspace();
    let mut client = StdioClient::start(&workspace);
    let content = ten_in_parallel("budget: {usd: 0.05}");
    let paused = client.call("dipeo_run", json!({"content": content}))["structuredContent"].clone();
    assert_eq!((&paused["status"], &paused["pause_reason"]), (&json!("paused"), &json!("budget")), "{paused:#}");
    assert!(0.04 < spent_usd(&paused) && spent_usd(&paused) <= 0.05, "{paused:#}");
    let asked = paused["waiting_for"][0]["prompt"].as_str().expect("a question");
    for part in ["the budget of the run is $0.05", "spent", "the next call may take $0.008", "`resume`"] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    let id = paused["execution_id"].as_str().expect("an id").to_owned();
    assert!(paused["next"].as_str().is_some_and(|it| it.contains("\"action\":\"resume\"")), "{paused:#}");
    for (value, part) in [
        (Value::Null, "too small"),
        (json!({"usd": 0.05}), "too small"),
        (json!({"usd": 0.01}), "below the present"),
        (json!({"calls": 9}), "does not limit"),
    ] {
        let refused = client.call("control_execution", json!({"execution_id": id, "action": "resume", "value": value}));
        let error = &refused["structuredContent"]["error"];
        assert_eq!(error["code"], "INVALID_INPUT", "{refused}");
        assert!(error["message"].as_str().is_some_and(|it| it.contains(part)), "{value}: {error}");
    }
    let answered = client.call("control_execution", json!({"execution_id": id, "action": "answer", "value": "0.1"}));
    assert_eq!(answered["structuredContent"]["error"]["code"], "NOT_PAUSED", "{answered}");
    let raised = json!({"execution_id": id, "action": "resume", "value": {"usd": 0.1}});
    let done = client.call("control_execution", raised)["structuredContent"].clone();
    assert_eq!(done["status"], "completed", "{done:#}");
    assert!(spent_usd(&done) <= 0.1, "{done:#}");
    // Each reply twice: (8 + 3 + 5 + 7 + 1) words.
    assert_eq!((spent_usd(&done), &done["budget"]["limit"]), (0.048, &json!({"usd": 0.1})));
}

#[test]
fn a_caller_narrows_the_budget_and_raises_it_at_the_terminal() {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", &ten_in_parallel("budget: {usd: 1, calls: 100}"));
    let paused = printed(&workspace, &["run", "d.light.yaml", "--budget", "calls=4,seconds=600"]);
    assert_eq!((&paused["status"], &paused["pause_reason"]), (&json!("paused"), &json!("budget")), "{paused:#}");
    assert_eq!((&paused["budget"]["limit"]["calls"], &paused["budget"]["spent"]["calls"]), (&json!(4), &json!(4)));
    assert_eq!(paused["budget"]["limit"]["usd"], 1.0);
    let id = paused["execution_id"].as_str().expect("an id").to_owned();
    let refused = printed(&workspace, &["control", &id, "resume"]);
    assert_eq!(refused["error"]["code"], "INVALID_INPUT", "{refused}");
    let paused = printed(&workspace, &["control", &id, "resume", "{\"calls\": 7}"]);
    assert_eq!((&paused["status"], &paused["budget"]["spent"]["calls"]), (&json!("paused"), &json!(7)), "{paused:#}");
    let done = printed(&workspace, &["control", &id, "resume", "{\"calls\": 10}"]);
    assert_eq!((&done["status"], &done["budget"]["spent"]["calls"]), (&json!("completed"), &json!(10)), "{done:#}");
    for wrong in ["calls", "calls=none", "euro=3", "on_limit=stop"] {
        let refused = printed(&workspace, &["run", "d.light.yaml", "--budget", wrong]);
        assert_eq!(refused["error"]["code"], "INVALID_INPUT", "{wrong}: {refused}");
    }
}

#[test]
fn a_process_killed_while_it_waits_for_a_budget_loses_nothing() {
    let workspace = harness::workspace();
    let mut client = StdioClient::start(&workspace);
    let content = ten_in_parallel("budget: {usd: 0.02}");
    let paused = client.call("dipeo_run", json!({"content": content}))["structuredContent"].clone();
    let id = paused["execution_id"].as_str().expect("an id").to_owned();
    // Dropping the client kills the server.
    drop(client);
    let paused_again = printed(&workspace, &["control", &id, "resume", "{\"usd\": 0.03}"]);
    assert_eq!(paused_again["status"], "paused", "{paused_again:#}");
    assert!(spent_usd(&paused) < spent_usd(&paused_again) && spent_usd(&paused_again) <= 0.03, "{paused_again:#}");
    assert_eq!(paused_again["budget"]["limit"], json!({"usd": 0.03}));
    let mut client = StdioClient::start(&workspace);
    let raised = json!({"execution_id": id, "action": "resume", "value": {"usd": 1}});
    let done = client.call("control_execution", raised)["structuredContent"].clone();
    assert_eq!((&done["status"], &done["budget"]["limit"]["usd"]), (&json!("completed"), &json!(1.0)), "{done:#}");
    assert_eq!(spent_usd(&done), 0.048, "a call that was paid is not paid again");
}

/// One slow call that costs 0.003.
const SLOW: &str = "
version: light
settings: {budget: {usd: 0.005}}
persons:
  P: {service: scripted, price: {input: 0, output: 1000}, replies: [{text: a b c, delay_ms: 1500}]}
nodes:
- {label: s, type: start}
- {label: w, type: person_job, person: P, default_prompt: Write., max_iteration: 1}
- {label: e, type: endpoint}
connections:
- {from: s, to: w}
- {from: w, to: e}
";

#[tokio::test]
async fn a_call_under_way_when_its_process_died_counts_as_spent() {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", SLOW);
    let id = format!("exec_{}", "5".repeat(32));
    let mut running = workspace
        .command()
        .args(["run", "d.light.yaml", "--execution-id", &id])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let app = workspace.app();
    let execution_id = ExecutionId::parse(&id).expect("an id");
    let is_reserved = || {
        let rows = app.store().expect("opened").transitions(&execution_id, 0, None).unwrap_or_default();
        rows.iter().any(|it| it.phase == "budget_reserved")
    };
    while !is_reserved() {
        harness::next_commit(&app).await;
    }
    running.kill().expect("killed");
    running.wait().expect("reaped");
    // The process that shows it finds it without an owner and leaves one behind.
    printed(&workspace, &["results", "--latest"]);
    let paused = printed(&workspace, &["results", &id, "--wait", "60"]);
    assert_eq!((&paused["status"], &paused["pause_reason"]), (&json!("paused"), &json!("budget")), "{paused:#}");
    assert_eq!(spent_usd(&paused), 0.003, "nobody knows what became of it");
    let done = printed(&workspace, &["control", &id, "resume", "{\"usd\": 0.006}"]);
    assert_eq!((&done["status"], spent_usd(&done)), (&json!("completed"), 0.006), "{done:#}");
}

struct Here {
    _workspace: Workspace,
    app: Arc<App>,
    caller: Caller,
}

fn here(files: &[(&str, &str)]) -> Here {
    let workspace = harness::workspace();
    for (name, text) in files {
        workspace.write(&format!("files/{name}.light.yaml"), text);
    }
    let (app, working_dir) = (workspace.app(), workspace.root().to_path_buf());
    Here { _workspace: workspace, app, caller: Caller::Terminal { working_dir } }
}

impl Here {
    async fn run(&self, diagram: &str, budget: Option<Value>) -> ExecutionObject {
        let budget: Option<Map<String, Value>> = budget.and_then(|it| it.as_object().cloned());
        let request = Request { diagram: Some(diagram.to_owned()), budget, ..Request::default() };
        let extras = Extras { unbounded_wait: true, ..Extras::default() };
        run_diagram(&self.app, &self.caller, request, extras, Waiting::default()).await.expect("it starts")
    }

    async fn resume(&self, id: &str, node: Option<&str>, value: Value) -> Result<ExecutionObject, dipeo::error::Error> {
        let request = control_execution::Request {
            execution_id: id.to_owned(),
            action: "resume".to_owned(),
            node: node.map(str::to_owned),
            value: Some(value).filter(|it| !it.is_null()),
            ..Default::default()
        };
        control_execution(&self.app, &self.caller, request, Waiting::default()).await
    }

    async fn full(&self, id: &str) -> ExecutionObject {
        let request = see_result::Request {
            execution_id: id.to_owned(),
            detail: Some(Detail::Full),
            wait_seconds: Some(25),
            ..Default::default()
        };
        see_result(&self.app, &self.caller, request, Waiting::default()).await.expect("it is there")
    }
}

fn budget_of(object: &ExecutionObject) -> Value {
    json!(object.budget)
}

const BATCH: &str = "
version: light
persons:
  P: {service: scripted, budget: {calls: 3}, replies: [a, b, c, d, e], when_exhausted: cycle}
nodes:
- {label: s, type: start, custom_data: {items: [1, 2, 3, 4, 5]}}
- {label: w, type: person_job, person: P, batch: true, default_prompt: 'Write {{item}}.', max_iteration: 1}
- {label: e, type: endpoint}
connections:
- {from: s, to: w}
- {from: w, to: e}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_items_of_a_batch_share_a_persons_budget_and_what_is_done_is_not_done_again() {
    let here = here(&[("d", BATCH)]);
    let paused = here.run("d", None).await;
    assert_eq!((paused.status.name(), paused.pause_reason.as_deref()), ("paused", Some("budget")));
    let p = json!({"limit": {"calls": 3}, "spent": {"calls": 3}});
    assert_eq!(budget_of(&paused), json!({"persons": {"P": p}}));
    let done = here.resume(&paused.execution_id, None, json!({"calls": 5})).await.expect("it is raised");
    assert_eq!(done.status.name(), "completed", "{done:?}");
    assert_eq!(done.budget.expect("shown").persons["P"], json!({"limit": {"calls": 5}, "spent": {"calls": 5}}));
    let result = done.final_output.expect("a result");
    let mut said: Vec<&str> =
        result["results"].as_array().expect("a list").iter().filter_map(|it| it["output"].as_str()).collect();
    said.sort_unstable();
    assert_eq!(said, ["a", "b", "c", "d", "e"], "no reply of the script was lost or used twice");
}

const LOOP: &str = "
version: light
persons:
  P: {service: scripted, replies: ['no', 'no', 'no', 'no', 'yes']}
nodes:
- {label: s, type: start}
- {label: w, type: person_job, person: P, default_prompt: Ready?, budget: {calls: 2}}
- {label: ok, type: condition, expression: \"default == 'yes'\"}
- {label: e, type: endpoint}
connections:
- {from: s, to: w}
- {from: w, to: ok}
- {from: 'ok[condfalse]', to: w}
- {from: 'ok[condtrue]', to: e}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_rounds_of_a_node_share_its_budget_and_at_the_limit_it_waits_or_fails_as_it_says() {
    let here = here(&[
        ("d", LOOP),
        ("fails", &LOOP.replace("{calls: 2}", "{calls: 2, on_limit: fail}")),
        (
            "goes_on",
            &LOOP.replace("{calls: 2}", "{calls: 2, on_limit: fail}").replace(
                "connections:",
                "- {label: sorry, type: endpoint}\nconnections:\n- {from: 'w[error]', to: sorry}",
            ),
        ),
    ]);
    let paused = here.run("d", None).await;
    assert_eq!((paused.status.name(), paused.waiting_for[0].label.as_str()), ("paused", "w"));
    assert!(
        paused.waiting_for[0].prompt.contains("the budget of node `node_1` is 2 calls"),
        "{:?}",
        paused.waiting_for
    );
    let paused = here.resume(&paused.execution_id, Some("w"), json!({"calls": 4})).await.expect("it is raised");
    assert_eq!(paused.status.name(), "paused");
    let done = here.resume(&paused.execution_id, None, json!({"calls": 9})).await.expect("it is raised");
    assert_eq!((done.status.name(), done.final_output), ("completed", Some(json!("yes"))));

    let failed = here.run("fails", None).await;
    let error = failed.error.expect("an error");
    assert_eq!(
        (failed.status.name(), &error["code"], &error["node"]),
        ("failed", &json!("BUDGET_EXCEEDED"), &json!("w"))
    );
    let went_on = here.run("goes_on", None).await;
    assert_eq!((went_on.status.name(), &went_on.handled_errors[0]["code"]), ("completed", &json!("BUDGET_EXCEEDED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_out_of_its_budget_is_opened_again_with_a_higher_one() {
    let fails = LOOP.replace("{calls: 2}", "{calls: 2, on_limit: fail}");
    let broken = "version: light\nnodes:\n- {label: s, type: start}\n- {label: c, type: code_job, code: \"raise ValueError('no')\"}\nconnections:\n- {from: s, to: c}\n";
    let here = here(&[("fails", &fails), ("broken", broken)]);
    let id = here.run("fails", None).await.execution_id;
    for (value, part) in [
        (json!({"calls": 2}), "the budget of node `node_1` is too small: it needs 3 calls"),
        (json!({"calls": 1}), "is below the present 2"),
        (json!({"usd": 1}), "does not limit `usd`"),
        (json!(7), "is no budget"),
    ] {
        let refused = here.resume(&id, None, value.clone()).await.expect_err("it is not enough");
        assert!(
            refused.code() == "INVALID_INPUT" && refused.message().contains(part),
            "{value}: {}",
            refused.message()
        );
        assert_eq!(here.full(&id).await.status.name(), "failed", "{value}");
    }
    let failed = here.resume(&id, None, json!({"calls": 3})).await.expect("it is enough for one call");
    assert_eq!(
        (failed.status.name(), failed.error.expect("why")["code"].clone()),
        ("failed", json!("BUDGET_EXCEEDED"))
    );
    let done = here.resume(&id, None, json!({"calls": 9})).await.expect("it is raised");
    assert_eq!((done.status.name(), done.final_output), ("completed", Some(json!("yes"))));
    let spent = json!({"limit": {"calls": 9}, "spent": {"calls": 5}});
    assert_eq!(done.budget.expect("shown").nodes["node_1"], spent, "what was paid for before counts");

    let other = here.run("broken", None).await.execution_id;
    let refused = here.resume(&other, None, json!({"calls": 9})).await.expect_err("it has no budget");
    assert!(refused.message().contains("did not run out of a budget"), "{}", refused.message());
}

/// Each of its calls takes 40 ms.
const SLOW_LOOP: &str = "
version: light
settings: {budget: {seconds: 0.1}}
persons:
  P: {service: scripted, when_exhausted: cycle, replies: [{text: x, delay_ms: 40}]}
nodes:
- {label: s, type: start}
- {label: w, type: person_job, person: P, default_prompt: Go., max_iteration: 5}
- {label: c, type: condition, condition_type: detect_max_iterations}
- {label: e, type: endpoint}
connections:
- {from: s, to: w}
- {from: w, to: c}
- {from: 'c[condfalse]', to: w}
- {from: 'c[condtrue]', to: e}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_seconds_of_a_run_pause_it_before_the_next_node_and_end_it_when_told_so() {
    let here = here(&[("d", SLOW_LOOP)]);
    let paused = here.run("d", None).await;
    assert_eq!((paused.status.name(), paused.pause_reason.as_deref()), ("paused", Some("budget")), "{paused:?}");
    let done = here.resume(&paused.execution_id, None, json!({"seconds": 600})).await.expect("it is raised");
    assert_eq!((done.status.name(), done.final_output), ("completed", Some(json!("x"))));
    let node = here.full(&paused.execution_id).await.nodes.expect("nodes").into_iter().find(|it| it.label == "w");
    assert_eq!(node.expect("it ran").iterations, 5, "held is not run twice");
    let failed = here.run("d", Some(json!({"on_limit": "fail"}))).await;
    assert_eq!(failed.error.expect("an error")["code"], "BUDGET_EXCEEDED");
}

const PARENT: &str = "
version: light
settings: {budget: {calls: 3}}
nodes:
- {label: s, type: start}
- {label: one, type: sub_diagram, diagram_name: child, isolate_conversation: true}
- {label: two, type: sub_diagram, diagram_name: child, isolate_conversation: true}
- {label: e, type: endpoint}
connections:
- {from: s, to: one}
- {from: s, to: two}
- {from: one, to: e, label: one}
- {from: two, to: e, label: two}
";

const CHILD: &str = "
version: light
persons:
  P: {service: scripted, replies: [a, b]}
nodes:
- {label: s, type: start}
- {label: first, type: person_job, person: P, default_prompt: Write., max_iteration: 1}
- {label: second, type: person_job, person: P, default_prompt: Write., max_iteration: 1}
- {label: e, type: endpoint}
connections:
- {from: s, to: first}
- {from: first, to: second}
- {from: second, to: e}
";

#[tokio::test(flavor = "multi_thread")]
async fn children_spend_from_their_parents_budget_and_it_is_raised_at_either() {
    for at_parent in [true, false] {
        let here = here(&[("parent", PARENT), ("child", CHILD)]);
        let paused = here.run("parent", None).await;
        assert_eq!((paused.status.name(), paused.pause_reason.as_deref()), ("paused", Some("budget")), "{paused:?}");
        assert_eq!(
            budget_of(&paused),
            json!({"limit": {"calls": 3}, "spent": {"calls": 3}}),
            "two children, three calls"
        );
        let asked = &paused.waiting_for[0];
        let child = asked.execution_id.clone().expect("the child that asks is named");
        assert!(asked.prompt.contains("the budget of the run is 3 calls"), "{asked:?}");
        let at = if at_parent { &paused.execution_id } else { &child };
        let refused = here.resume(at, None, json!({"calls": 3})).await.expect_err("it is no higher budget");
        assert_eq!(refused.code(), "INVALID_INPUT");
        here.resume(at, None, json!({"calls": 4})).await.expect("it is raised");
        let done = here.full(&paused.execution_id).await;
        assert_eq!(
            (done.status.name(), budget_of(&done)["spent"].clone()),
            ("completed", json!({"calls": 4})),
            "{done:?}"
        );
    }
}

#[test]
fn a_child_that_waits_for_its_parents_budget_goes_on_in_another_process() {
    let workspace = harness::workspace();
    workspace.write("files/parent.light.yaml", PARENT);
    workspace.write("files/child.light.yaml", CHILD);
    let mut client = StdioClient::start(&workspace);
    let paused = client.call("dipeo_run", json!({"diagram": "parent"}))["structuredContent"].clone();
    assert_eq!(paused["pause_reason"], "budget", "{paused:#}");
    let id = paused["execution_id"].as_str().expect("an id").to_owned();
    drop(client);
    let raised = printed(&workspace, &["control", &id, "resume", "{\"calls\": 4}"]);
    assert!(raised.get("error").is_none(), "{raised:#}");
    let done = printed(&workspace, &["results", &id, "--wait", "60"]);
    assert_eq!((&done["status"], &done["budget"]["spent"]["calls"]), (&json!("completed"), &json!(4)), "{done:#}");
}

#[test]
fn no_model_raises_a_budget_that_is_a_persons_to_raise() {
    let workspace = harness::workspace();
    let mut client = StdioClient::start(&workspace);
    let content = ten_in_parallel("budget: {calls: 2, human_only: true}");
    let paused = client.call("dipeo_run", json!({"content": content}))["structuredContent"].clone();
    assert_eq!(paused["waiting_for"][0]["human_only"], true, "{paused:#}");
    let id = paused["execution_id"].as_str().expect("an id").to_owned();
    let raise = json!({"execution_id": id, "action": "resume", "value": {"calls": 10}});
    let refused = client.call("control_execution", raise);
    assert_eq!(refused["structuredContent"]["error"]["code"], "PERSON_REQUIRED", "{refused}");
    let done = printed(&workspace, &["control", &id, "resume", "{\"calls\": 10}"]);
    assert_eq!(done["status"], "completed", "{done:#}");

    let content = content.replace("human_only: true", "human_only: true, on_limit: fail");
    let failed = client.call("dipeo_run", json!({"content": content}))["structuredContent"].clone();
    let id = failed["execution_id"].as_str().expect("an id").to_owned();
    let raise = json!({"execution_id": id, "action": "resume", "value": {"calls": 10}});
    let refused = client.call("control_execution", raise);
    assert_eq!(refused["structuredContent"]["error"]["code"], "PERSON_REQUIRED", "{refused}");
    let done = printed(&workspace, &["control", &id, "resume", "{\"calls\": 10}"]);
    assert_eq!(done["status"], "completed", "{done:#}");
}

#[test]
fn compiling_says_whose_calls_a_budget_of_money_refuses() {
    let workspace = harness::workspace();
    for (person, budget, is_refused) in [
        ("{service: openai, model: gpt-unheard-of}", "{usd: 1}", true),
        ("{service: openai, model: gpt-unheard-of}", "{tokens: 100}", false),
        ("{service: openai, model: gpt-4o}", "{usd: 1}", false),
        ("{service: openai, model: gpt-4o, tools: websearch}", "{tokens: 100}", true),
        ("{service: claude-code, model: opus}", "{tokens: 100}", true),
        ("{service: claude-code, model: opus}", "{calls: 5}", false),
        ("{service: scripted}", "{usd: 1}", false),
    ] {
        let text = format!(
            "version: light\nsettings: {{budget: {budget}}}\npersons:\n  P: {person}\nnodes:\n- {{label: s, type: start}}\n\
             - {{label: w, type: person_job, person: P, default_prompt: Hi.}}\nconnections:\n- {{from: s, to: w}}\n"
        );
        workspace.write("d.light.yaml", &text);
        let report = printed(&workspace, &["compile", "d.light.yaml"]);
        let warnings = report["warnings"].as_array().expect("a list");
        assert_eq!(warnings.iter().any(|it| it["code"] == "W507"), is_refused, "{person} {budget}: {report:#}");
        assert!(!warnings.iter().any(|it| it["code"] == "W402"), "{report:#}");
    }
}
