//! An exported script does what the engine does: same result, same files, same failures, for every example and
//! every micro-diagram of the corpus that can be exported.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::export_diagram::{self, export_diagram};
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::{App, Caller};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use crate::harness::{self, Workspace};

/// One run to make in both ways.
#[derive(Default)]
struct Case {
    path: PathBuf,
    inputs: Map<String, Value>,
    fixtures: Map<String, Value>,
    /// Node label to answer, in the order in which they are asked.
    answers: Map<String, Value>,
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_the_examples_do_what_the_engine_does() {
    if !harness::has("python3") {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).expect("examples").flatten() {
        // It needs a server to talk to; `examples.rs` gives it one.
        if entry.path().ends_with("call_api.light.yaml") {
            continue;
        }
        let answers = json!({"reviewer": "Ann", "ship it": "yes"});
        cases.push(Case { path: entry.path(), answers: map(&answers), ..Case::default() });
    }
    cases.sort_by(|a, b| a.path.cmp(&b.path));
    let exported = compare_all(cases).await;
    assert!(exported >= 6, "only {exported} examples were exported");
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_the_corpus_do_what_the_engine_does() {
    let Some(corpus) = harness::corpus() else { return };
    if !harness::has("python3") || !harness::has("bash") {
        return;
    }
    let expected = harness::read_yaml(&corpus.join("expected.yaml"));
    let only = std::env::args().nth(2).filter(|it| it.starts_with("micro/"));
    let mut cases = Vec::new();
    for (path, diagram) in expected["diagrams"].as_object().expect("a mapping") {
        let is_micro = path.starts_with("micro/") && diagram["compiles"] == true;
        if !is_micro || only.as_ref().is_some_and(|it| !path.starts_with(it.as_str())) {
            continue;
        }
        for run in diagram["runs"].as_array().into_iter().flatten() {
            // What happens in between, and replies given by hand, belong to the engine.
            let answers = steps_as_answers(run);
            cases.push(Case {
                path: corpus.join(path),
                inputs: map(&run["inputs"]),
                fixtures: map(&run["fixtures"]),
                answers,
            });
        }
    }
    let exported = compare_all(cases).await;
    assert!(exported >= 50 || only.is_some(), "only {exported} runs of the corpus were exported");
}

/// The answers of a row, those that are refused included.
fn steps_as_answers(run: &Value) -> Map<String, Value> {
    let mut answers = map(&run["answers"]);
    for step in run["steps"].as_array().into_iter().flatten() {
        if step["rejected"].is_null() {
            answers.extend(map(&step["answer"]));
        }
    }
    answers
}

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Runs every case both ways; returns how many could be exported.
async fn compare_all(cases: Vec<Case>) -> usize {
    let (mut problems, mut refused, mut exported) = (Vec::new(), Vec::new(), 0);
    let outcomes = futures_util::stream::iter(cases).map(|case| async move {
        let name = case.path.file_name().expect("a file").to_string_lossy().into_owned();
        (name, compare(&case).await)
    });
    for (name, outcome) in outcomes.buffered(4).collect::<Vec<_>>().await {
        match outcome {
            Ok(()) => exported += 1,
            Err(Differs::Refused(why)) => refused.push(format!("{name}: {why}")),
            Err(Differs::Found(found)) => problems.push(format!("{name}: {found}")),
        }
    }
    println!("{exported} runs compared; not exported: {}", refused.join("; "));
    assert!(problems.is_empty(), "{} differences:\n{}", problems.len(), problems.join("\n"));
    exported
}

enum Differs {
    Refused(String),
    Found(String),
}

async fn compare(case: &Case) -> Result<(), Differs> {
    let (ours, theirs) = (prepared(case), prepared(case));
    let app = ours.app();
    let script = match export(&app, &case.path).await {
        Ok(script) => script,
        Err(e) if ["NOT_EXPORTABLE", "INVALID_DIAGRAM"].contains(&e.code()) => {
            return Err(Differs::Refused(e.message().to_owned()));
        }
        Err(e) => return Err(Differs::Found(e.message().to_owned())),
    };
    let object = run_engine(&app, case).await;
    app.shut_down_runs().await;
    if object.pause_reason.is_some() {
        return Err(Differs::Refused("waits in the engine".to_owned()));
    }
    let seen = tokio::task::block_in_place(|| run_script(&theirs, &script, case, &object));
    let (wanted, seen) = (shape_of_engine(&object), shape_of_script(&seen));
    if wanted != seen {
        return Err(Differs::Found(format!("\n  engine {wanted}\n  script {seen}")));
    }
    let (wanted, seen) = (files(ours.root()), files(theirs.root()));
    if wanted != seen {
        return Err(Differs::Found(format!("files\n  engine {wanted:?}\n  script {seen:?}")));
    }
    Ok(())
}

fn prepared(case: &Case) -> Workspace {
    let workspace = harness::workspace();
    for (file, content) in &case.fixtures {
        workspace.write(file, content.as_str().expect("fixtures are texts"));
    }
    workspace
}

async fn export(app: &App, path: &Path) -> Result<String, dipeo::error::Error> {
    let caller = Caller::Terminal { working_dir: app.config.workspace.clone() };
    let request = export_diagram::Request {
        diagram: path.display().to_string(),
        to: "python".into(),
        ..export_diagram::Request::default()
    };
    export_diagram(app, &caller, request).await.map(|it| it.text)
}

async fn run_engine(app: &App, case: &Case) -> ExecutionObject {
    let caller = Caller::Terminal { working_dir: app.config.workspace.clone() };
    let request = Request {
        diagram: Some(case.path.display().to_string()),
        input_data: Some(case.inputs.clone()),
        ..Request::default()
    };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    let mut object = run_diagram(app, &caller, request, extras, Waiting::default()).await.expect("runs");
    while object.pause_reason.is_some() {
        let Some(waiting) = object.waiting_for.iter().find(|it| case.answers.contains_key(&it.label)) else { break };
        let request = control_execution::Request {
            execution_id: object.execution_id.clone(),
            action: "answer".into(),
            node: Some(waiting.label.clone()),
            value: Some(case.answers[&waiting.label].clone()),
            ..Default::default()
        };
        object = control_execution(app, &caller, request, Waiting::default()).await.expect("is taken");
    }
    for _ in 0..20 {
        let is_waiting = object.pause_reason.is_some() && object.waiting_for.iter().all(|it| it.deadline.is_none());
        if object.status.has_ended() || is_waiting {
            break;
        }
        harness::next_commit(app).await;
        object = shown(app, &caller, &object).await;
    }
    shown(app, &caller, &object).await
}

async fn shown(app: &App, caller: &Caller, object: &ExecutionObject) -> ExecutionObject {
    let request = see_result::Request {
        execution_id: object.execution_id.clone(),
        detail: Some(Detail::Full),
        ..Default::default()
    };
    see_result(app, caller, request, Waiting::default()).await.expect("readable")
}

/// Runs a script with the answers on its standard input and returns its last line.
fn run_script(workspace: &Workspace, script: &str, case: &Case, object: &ExecutionObject) -> Value {
    let path = workspace.home().with_extension("py");
    std::fs::write(&path, script).expect("written");
    let mut command = Command::new("python3");
    command.arg(&path).arg("--details").args(["--input-data", &Value::Object(case.inputs.clone()).to_string()]);
    command.current_dir(workspace.root()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("python3 starts");
    let mut stdin = child.stdin.take().expect("piped");
    // Questions that wait side by side are asked in the order of their nodes.
    for answer in object.nodes.iter().flatten().filter_map(|it| case.answers.get(&it.label)) {
        let line = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
        // A script that ended early reads no more.
        let _ = writeln!(stdin, "{line}");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .unwrap_or_else(|_| json!({"stdout": text, "stderr": String::from_utf8_lossy(&output.stderr)}))
}

/// What of a run is the same every time, whoever makes it.
fn shape_of_engine(object: &ExecutionObject) -> Value {
    let counts: Map<String, Value> = object
        .nodes
        .iter()
        .flatten()
        .filter(|it| it.iterations > 0)
        .map(|it| (it.node_id.clone(), it.iterations.into()))
        .collect();
    let warnings: Vec<Value> =
        object.warnings.iter().map(|it| json!({"code": it.code, "node": it.node, "name": it.name})).collect();
    let messages: Vec<Value> = object
        .conversation
        .iter()
        .flatten()
        .map(|it| json!({"node_id": it.node_id, "from": it.from, "to": it.to, "content": it.content}))
        .collect();
    common(&json!({
        "status": object.status,
        "result": object.final_output,
        "outputs": object.outputs,
        "error": object.error,
        "handled_errors": object.handled_errors,
        "warnings": warnings,
        "skipped": object.skipped_nodes,
        "counts": counts,
        "messages": messages,
    }))
}

fn shape_of_script(seen: &Value) -> Value {
    let Some(messages) = seen["messages"].as_array() else { return seen.clone() };
    let mut seen = seen.clone();
    let keys = ["node_id", "from", "to", "content"];
    seen["messages"] = messages
        .iter()
        .map(|it| Value::Object(keys.map(|key| (key.to_owned(), it[key].clone())).into_iter().collect()))
        .collect();
    common(&seen)
}

/// Leaves out what is worded in two ways, and what is new in every run.
fn common(seen: &Value) -> Value {
    let mut shape = json!({});
    for key in ["status", "result", "outputs", "error", "handled_errors", "warnings", "skipped", "counts", "messages"] {
        shape[key] = without_wording(&seen[key]);
    }
    // Nodes side by side may speak in any order; each node's own messages keep theirs.
    if let Some(messages) = shape["messages"].as_array_mut() {
        messages.sort_by_key(|it| it["node_id"].to_string());
    }
    shape
}

fn without_wording(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let is_error = map.contains_key("code") && map.contains_key("message");
            let worded = ["message", "hint", "details", "type"];
            let kept = map.iter().filter(|(key, _)| !is_error || !worded.contains(&key.as_str()));
            Value::Object(kept.map(|(key, it)| (key.clone(), without_wording(it))).collect())
        }
        Value::Array(items) => items.iter().map(without_wording).collect(),
        Value::String(text) => match text.find("exec_").filter(|at| text.len() >= at + 37) {
            Some(at) => Value::String(format!("{}exec_{}", &text[..at], &text[at + 37..])),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

/// The files of a workspace with their contents.
fn files(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() && name != ".dipeo" {
                folders.push(path);
            } else if path.is_file() {
                let relative = path.strip_prefix(root).expect("below").display().to_string();
                found.insert(relative, String::from_utf8_lossy(&std::fs::read(&path).expect("readable")).into_owned());
            }
        }
    }
    found
}

fn saved(workspace: &Workspace, text: &str) -> PathBuf {
    workspace.write("d.light.yaml", text);
    workspace.root().join("d.light.yaml")
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_of_real_services_are_asked_over_http_by_the_script_as_by_the_engine() {
    if !harness::has("python3") {
        return;
    }
    for (service, variable, header) in [
        ("openai", "OPENAI_API_KEY", "authorization"),
        ("anthropic", "ANTHROPIC_API_KEY", "x-api-key"),
        ("ollama", "NO_API_KEY", "authorization"),
    ] {
        let server = wiremock::MockServer::start().await;
        wiremock::Mock::given(wiremock::matchers::any()).respond_with(Echo).mount(&server).await;
        let workspace = harness::workspace();
        let base = if service == "openai" { format!("{}/v1", server.uri()) } else { server.uri() };
        let text = AN_INTERVIEW.replace("SERVICE", service).replace("BASE", &base);
        let path = saved(&workspace, &text);
        let mut run = workspace.command();
        let engine = run.args(["run", "d.light.yaml", "--json"]).env(variable, "sk-test").output().expect("runs");
        let engine: Value = serde_json::from_slice(&engine.stdout).expect("one JSON document");
        let script = export(&workspace.app(), &path).await.expect("it can be exported");
        assert!(!script.contains("sk-test"), "a script holds no key");
        std::fs::write(workspace.root().join("d.py"), script).expect("written");
        let mut python = Command::new("python3");
        let output =
            python.arg("d.py").current_dir(workspace.root()).env(variable, "sk-test").output().expect("starts");
        let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(last, engine["final_output"].to_string(), "{service}: {said} {engine}");
        let requests = server.received_requests().await.expect("recorded");
        let calls: Vec<Value> = requests
            .iter()
            .map(|it| {
                let key = it.headers.get(header).map(|it| it.to_str().expect("ASCII").to_owned());
                json!({"path": it.url.path(), "key": key, "call": what_is_asked(&it.body)})
            })
            .collect();
        assert_eq!(calls.len(), 4, "{service}: two calls each");
        assert_eq!(calls[..2], calls[2..], "{service}");
    }
}

const AN_INTERVIEW: &str = "version: light
persons:
  Ann: {service: SERVICE, base_url: 'BASE', model: m, system_prompt: Be brief., temperature: 0.5}
nodes:
- {label: s, type: start}
- {label: p, type: person_job, person: Ann, default_prompt: 'Round?', max_iteration: 2, max_tokens: 9}
- {label: c, type: condition, condition_type: detect_max_iterations}
- {label: e, type: endpoint}
connections:
- {from: s, to: p}
- {from: p, to: c}
- {from: 'c[condfalse]', to: p}
- {from: 'c[condtrue]', to: e}
";

/// What of a call a model sees, whichever way the service writes it.
fn what_is_asked(body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let text = |content: &Value| match content {
        Value::Array(blocks) => json!(blocks.iter().filter_map(|it| it["text"].as_str()).collect::<String>()),
        other => other.clone(),
    };
    let system = body.get("system").map(|it| json!(["system", it]));
    let messages =
        body["messages"].as_array().expect("a list").iter().map(|it| json!([it["role"], text(&it["content"])]));
    let messages: Vec<Value> = system.into_iter().chain(messages).collect();
    json!({
        "model": body["model"], "temperature": body["temperature"], "max_tokens": body["max_tokens"], "messages": messages,
    })
}

/// Answers with how many messages came, and the last of them.
struct Echo;

impl wiremock::Respond for Echo {
    fn respond(&self, request: &wiremock::Request) -> wiremock::ResponseTemplate {
        let asked = what_is_asked(&request.body);
        let messages = asked["messages"].as_array().expect("a list");
        let text = format!("{} messages, the last is {}", messages.len(), messages[messages.len() - 1][1]);
        let body = if request.url.path().ends_with("/messages") {
            json!({"type": "message", "model": "m", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"})
        } else {
            json!({"model": "m", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]})
        };
        wiremock::ResponseTemplate::new(200).set_body_json(body)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_without_a_key_says_which_variable_is_missing() {
    if !harness::has("python3") {
        return;
    }
    let workspace = harness::workspace();
    let text = AN_INTERVIEW.replace("SERVICE", "openai").replace(", base_url: 'BASE'", "");
    let script = export(&workspace.app(), &saved(&workspace, &text)).await.expect("it can be exported");
    std::fs::write(workspace.root().join("d.py"), script).expect("written");
    let mut python = Command::new("python3");
    python.arg("d.py").current_dir(workspace.root()).env_remove("OPENAI_API_KEY").env_remove("OPENAI_BASE_URL");
    let output = python.output().expect("python3 starts");
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&error["error"]["code"], &error["error"]["node"]), (&json!("NO_MODEL"), &json!("p")));
    assert!(error["error"]["hint"].as_str().is_some_and(|it| it.contains("OPENAI_API_KEY")), "{error}");
}

#[test]
fn what_has_no_equal_is_refused_with_every_reason_and_nothing_is_written() {
    let workspace = harness::workspace();
    saved(
        &workspace,
        "version: light\nsettings: {budget: {usd: 1}}\npersons:\n  Ann: {service: caller}\n  Ben: {service: scripted}\n  Cyd: {budget: {calls: 9}}\nnodes:\n\
         - {label: s, type: start}\n\
         - {label: a, type: person_job, person: Ann, default_prompt: hi, max_iteration: 1, budget: {calls: 2}}\n\
         - {label: b, type: person_job, person: Ben, default_prompt: hi, max_iteration: 1, memorize_to: what matters}\n\
         - {label: f, type: person_job, person: Ben, default_prompt: hi, max_iteration: 1, text_format: {type: object}}\n\
         - {label: j, type: code_job, language: javascript, code: 'return 1'}\n\
         - {label: v, type: json_schema_validator, json_schema: {type: object}}\n\
         - {label: y, type: db, operation: read, file: files/a.txt, format: yaml}\n\
         - {label: e, type: endpoint, save_to_file: true, file_format: yaml}\n\
         connections:\n- {from: s, to: a}\n- {from: s, to: b}\n- {from: s, to: f}\n- {from: s, to: j}\n- {from: s, to: v}\n- {from: s, to: y}\n- {from: a, to: e}\n",
    );
    let output = workspace.command().args(["export", "d.light.yaml", "d.py", "--json"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(!workspace.root().join("d.py").exists(), "nothing is written");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(answer["error"]["code"], "NOT_EXPORTABLE");
    let reasons: Vec<&str> =
        answer["error"]["details"]["reasons"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    for part in [
        "settings.budget",
        "node `a`",
        "node `b`",
        "node `f`",
        "node `j`",
        "node `v`",
        "node `y`",
        "node `e`",
        "person `Ann`",
        "person `Cyd`",
    ] {
        assert_eq!(reasons.iter().filter(|it| it.contains(part)).count(), 1, "{part}: {reasons:#?}");
    }
    assert_eq!(reasons.len(), 10, "{reasons:#?}");
}

#[test]
fn the_target_is_said_by_the_suffix_or_a_flag_and_a_dash_is_stdout() {
    let workspace = harness::workspace();
    saved(
        &workspace,
        "version: light\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: e}\n",
    );
    for (arguments, code) in [
        (vec!["export", "d.light.yaml", "d.py"], 0),
        (vec!["export", "d.light.yaml", "-", "--to", "python"], 0),
        (vec!["export", "d.light.yaml", "d.mmd"], 0),
        (vec!["export", "d.light.yaml", "d.dot"], 0),
        (vec!["export", "d.light.yaml", "d.txt"], 2),
        (vec!["export", "d.light.yaml", "d.txt", "--to", "cobol"], 2),
        (vec!["export", "nothing", "d.py"], 3),
        (vec!["export", "d.light.yaml", "no/such/folder/d.py"], 6),
    ] {
        let output = workspace.command().args(&arguments).output().expect("runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.starts_with("#!/usr/bin/env python3"), arguments[2] == "-", "{arguments:?}");
    }
    for (file, beginning) in [("d.mmd", "flowchart"), ("d.dot", "digraph"), ("d.py", "#!/usr/bin/env python3")] {
        let text = std::fs::read_to_string(workspace.root().join(file)).expect("written");
        assert!(text.starts_with(beginning), "{file}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_diagram_can_break_out_of_its_place_in_the_script() {
    if !harness::has("python3") {
        return;
    }
    let evil = "\"\"\"\\\n'''\n);raise SystemExit(9)#{{x}}\\{%";
    let label = "\"\"\" + str(1/0) + \"\"\" \\";
    let diagram = json!({
        "version": "light",
        "name": evil,
        "description": evil,
        "inputs": {evil: {"type": "string", "default": evil, "description": evil}},
        "persons": {"\"\"\"": {"service": "scripted", "system_prompt": evil, "replies": [evil]}},
        "nodes": [
            {"label": "s", "type": "start", "id": "\"\"\"\\", "custom_data": {evil: evil}},
            {"label": label, "type": "person_job", "person": "\"\"\"", "default_prompt": "hi", "max_iteration": 1},
            {"label": "__import__('os')", "type": "endpoint"},
        ],
        "connections": [{"from": "s", "to": label}, {"from": label, "to": "__import__('os')"}],
    });
    let workspace = harness::workspace();
    let path = saved(&workspace, &diagram.to_string());
    let script = export(&workspace.app(), &path).await.expect("it can be exported");
    std::fs::write(workspace.root().join("d.py"), script).expect("written");
    let output = Command::new("python3").arg("d.py").current_dir(workspace.root()).output().expect("python3 starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    assert_eq!(last, json!(evil).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_a_client_submitted_becomes_no_script_before_a_person_trusts_it() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let text = "version: light\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: e}\n";
    let request = dipeo::handlers::compile_diagram::Request {
        content: text.to_owned(),
        push_as: Some("theirs".into()),
        ..Default::default()
    };
    dipeo::handlers::compile_diagram::compile_diagram(&app, &Caller::owner_client(), request, Default::default())
        .await
        .expect("it is pushed");
    let error = export(&app, &saved(&workspace, text)).await.expect_err("the same text is theirs in any file");
    assert_eq!(error.code(), "TRUST_REQUIRED");
}
