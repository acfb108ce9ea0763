//! `GET /metrics` of a running server: every name and type, the counts that a run changes, both forms, and that a
//! token opens it like everything else.

use std::collections::BTreeMap;
use std::fmt::Write;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::workspace;
use crate::mcp_client::{HELLO, HttpServer};

/// A run with a scripted model, a failure that goes on as a value, and a node that is never reached.
const BUSY: &str = "\
version: light
persons:
  Ada: {service: scripted, model: \"sk-not-a-model\\n\", replies: [one two three]}
nodes:
- {label: start, type: start}
- {label: ask, type: person_job, person: Ada, default_prompt: \"four words of prompt\", max_iteration: 1}
- {label: fails, type: code_job, code: \"result = 1 / 0\", on_error: continue}
- {label: end, type: endpoint}
- {label: saved, type: endpoint}
connections:
- {from: start, to: ask}
- {from: ask, to: fails}
- {from: fails_error, to: end}
- {from: fails, to: saved}
";

async fn text(server: &HttpServer) -> String {
    let answer = server.http(Method::GET, "/metrics").send().await.expect("answered");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.expect("text")
}

/// Every line that is no comment, as series and value.
fn values(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|it| !it.starts_with('#')).filter_map(|it| it.rsplit_once(' '));
    lines.map(|(series, value)| (series, value.parse().expect("a number"))).collect()
}

#[tokio::test]
async fn a_run_changes_what_it_should_and_nothing_else() {
    let workspace = workspace();
    workspace.write("busy.light.yaml", BUSY);
    let server = HttpServer::start(&workspace);
    let before = text(&server).await;
    let before = values(&before);
    let ran = server.call("dipeo_run", json!({"diagram": "busy", "wait_seconds": 20})).await;
    assert_eq!(ran["structuredContent"]["status"], "completed", "{ran}");
    let after = text(&server).await;
    let after = values(&after);
    let mut grown = String::new();
    for (series, value) in &after {
        let by = value - before.get(series).copied().unwrap_or(0.0);
        let is_the_same_each_time = ["dipeo_executions", "dipeo_nodes", "dipeo_model", "dipeo_http_open"]
            .iter()
            .any(|it| series.starts_with(it));
        if by != 0.0 && is_the_same_each_time {
            writeln!(grown, "{series} +{by}").expect("written");
        }
    }
    insta::assert_snapshot!(grown);
    for series in ["dipeo_store_commits_total", "dipeo_store_commit_seconds_count"] {
        assert!(after[series] > before[series], "{series}");
    }
    for node_type in ["start", "person_job", "code_job", "endpoint"] {
        let series = format!("dipeo_node_seconds_count{{type=\"{node_type}\"}}");
        assert_eq!(after[&*series] - before[&*series], 1.0, "{series}");
    }
}

#[tokio::test]
async fn every_metric_has_a_type_and_a_help_and_the_same_value_in_json() {
    let workspace = workspace();
    workspace.write("hello.light.yaml", HELLO);
    let server = HttpServer::start(&workspace);
    server.call("dipeo_run", json!({"diagram": "hello", "wait_seconds": 20})).await;
    let text = text(&server).await;
    let described: String = text.lines().filter(|it| it.starts_with('#')).map(|it| format!("{it}\n")).collect();
    insta::assert_snapshot!(described);
    let asked = server.http(Method::GET, "/metrics").header("accept", "application/json").send().await;
    let json: Value = asked.expect("answered").json().await.expect("JSON");
    let names = |prefix: &str| text.lines().filter(|it| it.starts_with(prefix)).count();
    let metrics = json["metrics"].as_array().expect("a list");
    assert_eq!(metrics.len(), names("# TYPE "));
    let n_samples: usize = metrics.iter().map(|it| it["samples"].as_array().expect("samples").len()).sum();
    assert_eq!(n_samples, values(&text).len());
    let nodes = metrics.iter().find(|it| it["name"] == "dipeo_nodes_total").expect("counted");
    assert_eq!((&nodes["type"], nodes["help"].is_string()), (&json!("counter"), true));
    let completed =
        json!({"name": "dipeo_nodes_total", "labels": {"outcome": "completed", "type": "code_job"}, "value": 1.0});
    assert!(nodes["samples"].as_array().expect("samples").contains(&completed), "{nodes}");
}

#[tokio::test]
async fn a_server_that_asks_for_a_token_asks_here_as_well() {
    let token = "a-token-that-is-long-enough-to-be-one";
    let workspace = workspace();
    let server = HttpServer::start_with(&workspace, &[], &[("DIPEO_TOKEN", token)]);
    let ask = |token: Option<&str>| {
        let request = server.http(Method::GET, "/metrics");
        token.map_or(request.try_clone().expect("no body"), |it| request.bearer_auth(it)).send()
    };
    assert_eq!(ask(None).await.expect("answered").status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Some("another")).await.expect("answered").status(), StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Some(token)).await.expect("answered").status(), StatusCode::OK);
    let posted = server.http(Method::POST, "/metrics").bearer_auth(token).send().await.expect("answered");
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}
