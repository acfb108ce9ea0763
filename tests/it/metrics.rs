//! `dipeo metrics`: what it says of real executions.

use std::sync::Arc;

use dipeo::error::Error;
use dipeo::handlers::Caller;
use dipeo::handlers::execution_metrics::{self, FindingKind, execution_metrics};
use dipeo::handlers::run_diagram::{self, Extras, Waiting, run_diagram};
use dipeo::nodes::ports::{ModelReply, ModelRequest, Models, Usage};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::harness::{self, Workspace, json as printed};

/// Two ways from the start, one of which takes its time, and a model that is asked the same twice.
const TWO_WAYS: &str = r#"
version: light
persons:
  Ann: {service: scripted, replies: [one, one]}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: slow, type: code_job, language: bash, code: "sleep 0.25; echo slow"}
- {label: fast, type: template_job, template_content: "fast"}
- {label: ask, type: person_job, person: Ann, default_prompt: "About {{topic}}", max_iteration: 1, memorize_to: GOLDFISH}
- {label: ask again, type: person_job, person: Ann, default_prompt: "About {{topic}}", max_iteration: 1, memorize_to: GOLDFISH}
- {label: end, type: endpoint}
connections:
- {from: start, to: slow}
- {from: start, to: fast}
- {from: start, to: ask, label: topic}
- {from: start, to: ask again, label: topic}
- {from: slow, to: end, label: slow}
- {from: fast, to: end, label: fast}
"#;

fn run(workspace: &Workspace, text: &str) -> String {
    workspace.write("d.light.yaml", text);
    let object = printed(workspace, &["run", "d.light.yaml"]);
    assert_eq!(object["status"], "completed", "{object:#}");
    object["execution_id"].as_str().expect("an id").to_owned()
}

fn labels(steps: &Value) -> Vec<&str> {
    steps.as_array().expect("a list").iter().filter_map(|it| it["label"].as_str()).collect()
}

#[test]
fn the_metrics_of_a_run_are_those_of_what_it_did() {
    if !harness::has("bash") {
        return;
    }
    let workspace = harness::workspace();
    let id = run(&workspace, TWO_WAYS);
    let found = printed(&workspace, &["metrics", &id]);
    assert_eq!((&found["execution_id"], &found["status"]), (&json!(id), &json!("completed")));
    assert_eq!(found["node_count"], 6, "{found:#}");
    assert_eq!(labels(&found["critical_path"]), ["start", "slow", "end"], "{found:#}");
    assert_eq!(found["critical_path_length"], 3);
    assert_eq!(labels(&found["bottlenecks"])[0], "slow");
    let slow =
        found["node_breakdown"].as_array().expect("a list").iter().find(|it| it["label"] == "slow").expect("it ran");
    let took = |it: &Value| it.as_i64().expect("a number");
    assert!(250 <= took(&slow["module_timings"]["effect"]), "{slow:#}");
    let parts: i64 = ["effect", "store"].iter().map(|it| took(&slow["module_timings"][it])).sum();
    assert_eq!(parts, took(&slow["duration_ms"]), "{slow:#}");
    assert!(took(&found["critical_path_ms"]) <= took(&found["total_duration_ms"]), "{found:#}");
    let groups = found["parallelizable_groups"].as_array().expect("a list");
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!(groups[0].as_array().map(Vec::len), Some(4), "{groups:?}");
    let kinds: Vec<&str> =
        found["optimizations"].as_array().expect("a list").iter().filter_map(|it| it["kind"].as_str()).collect();
    assert_eq!(kinds, ["unused_output", "unused_output"], "{found:#}");
    assert!(found["total_token_usage"]["total"].as_u64().is_some(), "{found:#}");
}

/// Says the same to everybody.
struct Parrot;

impl Models for Parrot {
    fn call(&self, _: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        let usage = Usage { input: 7, output: 3, cached: 0 };
        Box::pin(async move { Ok(ModelReply { text: "the same".into(), usage, ..ModelReply::default() }) })
    }
}

#[tokio::test]
async fn a_model_that_was_asked_the_same_twice_is_found() {
    let workspace = harness::workspace();
    let app = workspace.app_with_models(Arc::new(Parrot));
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let content = TWO_WAYS.replace("service: scripted, replies: [one, one]", "service: ollama, model: m");
    let request = run_diagram::Request { content: Some(content), ..Default::default() };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    let object = run_diagram(&app, &caller, request, extras, Waiting::default()).await.expect("it runs");
    let request = execution_metrics::Request { execution_id: object.execution_id };
    let found = execution_metrics(&app, &caller, request).await.expect("it has metrics");
    let repeated: Vec<_> = found.optimizations.iter().filter(|it| it.kind == FindingKind::RepeatedCall).collect();
    assert_eq!(repeated.len(), 1, "{found:#?}");
    assert_eq!(
        repeated[0].message,
        "`ask` and `ask again` asked the same model the same 2 times: ask once and pass the reply on"
    );
    let usage = found.total_token_usage;
    assert_eq!((usage.input, usage.output, usage.total), (14, 6, 20));
    app.shut_down_runs().await;
    app.close().await;
}

#[test]
fn a_run_that_failed_has_metrics_with_its_error() {
    let workspace = harness::workspace();
    workspace.write(
        "d.light.yaml",
        "version: light\nnodes:\n- {label: start, type: start}\n- {label: bad, type: code_job, language: python, code: '1/0'}\n\
         connections:\n- {from: start, to: bad}\n",
    );
    let object = printed(&workspace, &["run", "d.light.yaml"]);
    let found = printed(&workspace, &["metrics", "--latest"]);
    assert_eq!((&found["execution_id"], &found["status"]), (&object["execution_id"], &json!("failed")));
    let bad = &found["node_breakdown"][1];
    assert_eq!(bad["error"]["code"], object["error"]["code"], "{bad:#}");
}

#[test]
fn what_a_fork_took_over_took_no_time_and_cost_nothing_again() {
    let workspace = harness::workspace();
    let id = run(
        &workspace,
        "version: light\npersons:\n  Ann: {service: scripted, replies: [one]}\nnodes:\n- {label: start, type: start}\n\
         - {label: ask, type: person_job, person: Ann, default_prompt: Hi, max_iteration: 1}\n- {label: end, type: endpoint}\n\
         connections:\n- {from: start, to: ask}\n- {from: ask, to: end}\n",
    );
    let fork = printed(&workspace, &["fork", &id, "--from", "end"]);
    let found = printed(&workspace, &["metrics", fork["execution_id"].as_str().expect("an id")]);
    let copied: Vec<(&Value, &Value)> = found["node_breakdown"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|it| it["copied"] == true)
        .map(|it| (&it["label"], &it["duration_ms"]))
        .collect();
    assert_eq!(copied, [(&json!("start"), &json!(0)), (&json!("ask"), &json!(0))], "{found:#}");
    assert_eq!(found["total_token_usage"]["total"], 0, "{found:#}");
}

#[test]
fn the_history_of_a_diagram_has_its_last_runs_beside_each_other() {
    let workspace = harness::workspace();
    let first = run(&workspace, LOOP_FREE);
    let second = run(&workspace, LOOP_FREE);
    let found = printed(&workspace, &["metrics", "--diagram", "d"]);
    assert_eq!((&found["diagram_id"], &found["total"]), (&json!("d"), &json!(2)), "{found:#}");
    let runs = found["runs"].as_array().expect("a list");
    let ids: Vec<&Value> = runs.iter().map(|it| &it["execution_id"]).collect();
    assert_eq!(ids, [&json!(second), &json!(first)]);
    assert_eq!(runs[0]["node_count"], 3, "{found:#}");
    assert!(runs[0]["total_duration_ms"].is_i64(), "{found:#}");
    let newest = printed(&workspace, &["metrics", "--latest", "--diagram", "d"]);
    assert_eq!(newest["execution_id"], json!(second));
    let none = printed(&workspace, &["metrics", "--diagram", "other"]);
    assert_eq!(none, json!({"diagram_id": "other", "runs": [], "total": 0}));
}

#[test]
fn without_an_execution_there_are_no_metrics() {
    let workspace = harness::workspace();
    for (arguments, code, error) in [
        (vec!["metrics"], 3, "EXECUTION_NOT_FOUND"),
        (vec!["metrics", "--latest", "--diagram", "x"], 3, "EXECUTION_NOT_FOUND"),
        (vec!["metrics", "exec_1"], 2, "INVALID_EXECUTION_ID"),
        (vec!["metrics", "exec_00000000000000000000000000000000"], 3, "EXECUTION_NOT_FOUND"),
        (vec!["metrics", "x", "--latest"], 2, "UNKNOWN_OPTION"),
    ] {
        let output = workspace.command().args(&arguments).arg("--json").output().expect("runs");
        let found: Value = serde_json::from_slice(&output.stdout).expect("one document");
        assert_eq!((output.status.code(), &found["error"]["code"]), (Some(code), &json!(error)), "{arguments:?}");
    }
}

const LOOP_FREE: &str = "version: light\nnodes:\n- {label: start, type: start}\n- {label: t, type: template_job, template_content: x}\n\
    - {label: end, type: endpoint}\nconnections:\n- {from: start, to: t}\n- {from: t, to: end}\n";
