//! Every example runs, offline, with exactly the result in `tests/it/golden/` (UPDATE=1 rewrites it).

use std::path::Path;

use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::{App, Caller};
use serde_json::{Value, json};
use wiremock::matchers::{body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness;

/// What is done to examples that wait: action, node, value.
const ANSWERS: &[(&str, &str, &str, &str)] = &[
    ("budget", "resume", "review", r#"{"usd": 0.1}"#),
    ("human_input", "answer", "reviewer", "\"Ann\""),
    ("human_input", "answer", "ship it", "\"yes\""),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_example_gives_its_golden_result() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("examples")
        .flatten()
        .filter_map(|it| it.file_name().to_str()?.strip_suffix(".light.yaml").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 8, "at least eight examples: {names:?}");
    for name in names {
        let workspace = harness::workspace();
        let app = workspace.app();
        let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
        let path = folder.join(format!("{name}.light.yaml"));
        let server = if name == "call_api" { Some(web_service().await) } else { None };
        let address = server.as_ref().map(MockServer::uri);
        let object = run(&app, &caller, &name, &path, address.as_deref()).await;
        app.shut_down_runs().await;
        compare_with_golden(&name, &shape(&object), address.as_deref());
    }
}

/// The service that `call_api` talks to, on this machine.
async fn web_service() -> MockServer {
    let server = MockServer::start().await;
    let cities = ResponseTemplate::new(200).set_body_json(json!([{"name": "Drammen"}, {"name": "Moss"}]));
    let listing = Mock::given(method("GET")).and(path("/cities")).and(query_param("near", "Oslo"));
    listing.respond_with(cities).mount(&server).await;
    let body = json!({"names": ["Drammen", "Moss"], "title": "Near Oslo"});
    let posting =
        Mock::given(method("POST")).and(path("/summaries")).and(body_json(body)).and(header("X-City", "Oslo"));
    posting.respond_with(ResponseTemplate::new(201).set_body_json(json!({"id": 7}))).mount(&server).await;
    server
}

async fn run(app: &App, caller: &Caller, name: &str, path: &Path, address: Option<&str>) -> ExecutionObject {
    let input_data = address.map(|it| serde_json::Map::from_iter([("base_url".to_owned(), json!(it))]));
    let request = Request { diagram: Some(path.display().to_string()), input_data, ..Request::default() };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    let mut object = run_diagram(app, caller, request, extras, Waiting::default()).await.expect("runs");
    for (_, action, node, value) in ANSWERS.iter().filter(|it| it.0 == name) {
        let request = control_execution::Request {
            execution_id: object.execution_id.clone(),
            action: (*action).to_owned(),
            node: Some((*node).to_owned()),
            value: Some(serde_json::from_str(value).expect("JSON")),
            ..Default::default()
        };
        object = control_execution(app, caller, request, Waiting::default()).await.expect("is taken");
    }
    let request =
        see_result::Request { execution_id: object.execution_id, detail: Some(Detail::Full), ..Default::default() };
    see_result(app, caller, request, Waiting::default()).await.expect("readable")
}

/// What of a result is the same every time.
fn shape(object: &ExecutionObject) -> Value {
    let nodes: Vec<Value> = object
        .nodes
        .iter()
        .flatten()
        .map(|it| json!({"label": it.label, "status": it.status, "iterations": it.iterations, "output": it.output}))
        .collect();
    // Nodes side by side may speak in any order; each node's own messages keep theirs.
    let mut messages: Vec<_> = object.conversation.iter().flatten().collect();
    messages.sort_by(|a, b| a.node_id.cmp(&b.node_id));
    let conversation: Vec<Value> =
        messages.into_iter().map(|it| json!({"from": it.from, "to": it.to, "content": it.content})).collect();
    json!({
        "status": object.status,
        "outputs": object.outputs,
        "handled_errors": object.handled_errors,
        "warnings": object.warnings,
        "nodes": nodes,
        "conversation": conversation,
    })
}

/// `address` is another one in each run; it stands as `http://server` in the file.
fn compare_with_golden(name: &str, seen: &Value, address: Option<&str>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/{name}.json"));
    let mut text = format!("{seen:#}\n");
    if let Some(address) = address {
        text = text.replace(address, "http://server");
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("made");
        std::fs::write(&path, &text).expect("written");
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(golden, text, "{name} differs from its golden file; look, then UPDATE=1");
}
