//! Every diagram of the corpus runs with exactly the outcome written down for it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

use dipeo::error::Error;
use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::{App, Caller};
use dipeo::nodes::content::as_text;
use dipeo::nodes::ports::{ModelReply, ModelRequest, Models, Purpose, Usage};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::harness;

/// Answers model calls from the row: by node label for replies, by person for memory selections.
struct ScriptedModels {
    replies: Mutex<HashMap<String, VecDeque<Value>>>,
    selections: Mutex<HashMap<String, VecDeque<Value>>>,
    /// What each node sent, per call, as `role: text`.
    sent: Mutex<BTreeMap<String, Vec<Vec<String>>>>,
    attempts: Mutex<u64>,
    selection_calls: Mutex<u64>,
    fallback: Arc<dyn Models>,
}

impl Models for ScriptedModels {
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>> {
        Box::pin(async move {
            if let Purpose::Selection { n_candidates } = request.purpose {
                *self.selection_calls.lock().expect("test lock") += 1;
                let chosen = self
                    .selections
                    .lock()
                    .expect("test lock")
                    .get_mut(&request.person.id)
                    .and_then(VecDeque::pop_front);
                if let Some(chosen) = chosen {
                    return Ok(ModelReply { text: selected(&request, &chosen, n_candidates), ..ModelReply::default() });
                }
                return self.fallback.call(request).await;
            }
            *self.attempts.lock().expect("test lock") += 1;
            let lines = request.messages.iter().map(|it| format!("{}: {}", it.role, it.content)).collect();
            self.sent.lock().expect("test lock").entry(request.node_label.clone()).or_default().push(lines);
            let reply =
                self.replies.lock().expect("test lock").get_mut(&request.node_label).and_then(VecDeque::pop_front);
            match reply {
                Some(reply) => Ok(ModelReply {
                    text: text_of(&reply),
                    usage: Usage { input: 1, output: 1, cached: 0 },
                    ..ModelReply::default()
                }),
                None => self.fallback.call(request).await,
            }
        })
    }
}

/// The ids at the 1-based positions the row names, read from the list in the prompt.
fn selected(request: &ModelRequest, positions: &Value, n_candidates: usize) -> String {
    let all: Vec<&str> = request.messages.iter().flat_map(|it| it.content.lines()).collect();
    let ids: Vec<&str> = all.iter().filter_map(|it| it.trim().strip_prefix("- ")?.split_whitespace().next()).collect();
    let list = &ids[ids.len().saturating_sub(n_candidates)..];
    let position = |it: &Value| usize::try_from(it.as_u64()?).ok()?.checked_sub(1);
    let chosen: Vec<&&str> =
        positions.as_array().into_iter().flatten().filter_map(|it| list.get(position(it)?)).collect();
    json!(chosen).to_string()
}

/// A reply as text: `{json: …}` is that JSON.
fn text_of(reply: &Value) -> String {
    match reply.get("json") {
        Some(json) => json.to_string(),
        None => as_text(reply),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_corpus_ends_as_written_down() {
    let Some(corpus) = harness::corpus() else { return };
    let only = std::env::args().nth(2).unwrap_or_default();
    let expected = harness::read_yaml(&corpus.join("expected.yaml"));
    let mut problems = Vec::new();
    let mut n_runs = 0;
    for (path, diagram) in expected["diagrams"].as_object().expect("a mapping") {
        for run in diagram["runs"].as_array().into_iter().flatten() {
            let name = run["name"].as_str().unwrap_or("default");
            if !only.is_empty() && only.starts_with("micro") && !path.contains(&only) {
                continue;
            }
            // A kill takes a process of its own; `crash.rs` runs these.
            if run["steps"].as_array().into_iter().flatten().any(|it| it["kill"].is_number()) {
                continue;
            }
            n_runs += 1;
            let found =
                match tokio::time::timeout(std::time::Duration::from_secs(60), check(&corpus.join(path), run)).await {
                    Ok(found) => found,
                    Err(_) => vec!["did not end within 60 s".to_owned()],
                };
            problems.extend(found.into_iter().map(|it| format!("{path} ({name}): {it}")));
        }
    }
    println!("{n_runs} runs of the corpus");
    assert!(problems.is_empty(), "{} differences:\n{}", problems.len(), problems.join("\n"));
    assert!(n_runs > 60 || !only.is_empty(), "the corpus has more than {n_runs} runs");
}

/// Runs one row and returns everything that is not as written down.
async fn check(path: &Path, row: &Value) -> Vec<String> {
    let workspace = harness::workspace();
    for (file, content) in row["fixtures"].as_object().into_iter().flatten() {
        workspace.write(file, content.as_str().expect("fixtures are texts"));
    }
    let models = Arc::new(ScriptedModels {
        replies: Mutex::new(queues(&row["replies"])),
        selections: Mutex::new(queues(&row["selections"])),
        sent: Mutex::default(),
        attempts: Mutex::default(),
        selection_calls: Mutex::default(),
        fallback: harness::scripted_models(),
    });
    let app = workspace.app_with_models(Arc::clone(&models) as _);
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let request = Request {
        diagram: Some(path.display().to_string()),
        input_data: row["inputs"].as_object().cloned(),
        ..Request::default()
    };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    let object = match run_diagram(&app, &caller, request, extras, Waiting::default()).await {
        Ok(object) => object,
        Err(e) => return vec![format!("does not run: {} {}", e.code(), e.message())],
    };
    let object = match take_steps(&app, &caller, row, object, &models).await {
        Ok(object) => object,
        Err(problem) => return vec![problem],
    };
    let seen = Seen::read(&app, &object);
    let problems = compare(row, &object, &seen, &models, workspace.root());
    app.shut_down_runs().await;
    problems
}

fn queues(value: &Value) -> HashMap<String, VecDeque<Value>> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(key, list)| (key.clone(), list.as_array().cloned().unwrap_or_default().into())).collect()
}

/// Does what the row says happens in between, and answers what waits.
async fn take_steps(
    app: &App,
    caller: &Caller,
    row: &Value,
    mut object: ExecutionObject,
    models: &ScriptedModels,
) -> Result<ExecutionObject, String> {
    let steps = row["steps"].as_array().cloned().unwrap_or_default();
    let mut answers = row["answers"].as_object().cloned().unwrap_or_default();
    for step in &steps {
        if let Some(reason) = step["paused"].as_str() {
            if object.pause_reason.as_deref() != Some(reason) {
                return Err(format!("paused for {:?}, not {reason}", object.pause_reason));
            }
            let waiting: Vec<&str> = object.waiting_for.iter().map(|it| it.label.as_str()).collect();
            let expected: Vec<&str> =
                step["waiting"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if waiting != expected {
                return Err(format!("waits for {waiting:?}, not {expected:?}"));
            }
            if let Some(prompt) = step["prompt"].as_str()
                && object.waiting_for[0].prompt != prompt
            {
                return Err(format!("asks `{}`, not `{prompt}`", object.waiting_for[0].prompt));
            }
            for waiting in object.waiting_for.iter().filter(|it| !it.messages.is_empty()) {
                let lines = waiting.messages.iter().map(|it| {
                    format!(
                        "{}: {}",
                        it["role"].as_str().unwrap_or_default(),
                        it["content"].as_str().unwrap_or_default()
                    )
                });
                models.sent.lock().expect("test lock").entry(waiting.label.clone()).or_default().push(lines.collect());
            }
        }
        if let Some(given) = step["answer"].as_object() {
            for (node, value) in given {
                let outcome = control(app, caller, &object, "answer", Some(node), Some(value.clone())).await;
                match (outcome, step["rejected"].is_string()) {
                    (Ok(next), false) => object = next,
                    (Err(e), true) if e.code() == "INVALID_ANSWER" => {}
                    (Ok(_), true) => return Err(format!("the answer {value} was taken")),
                    (Err(e), _) => return Err(format!("the answer {value} was refused: {}", e.message())),
                }
                answers.remove(node);
            }
        }
        if step["control"]["abort"] == true {
            object = control(app, caller, &object, "abort", None, None).await.map_err(|e| e.to_string())?;
        }
        if step["wait_for"].is_string() {
            object = settled(app, caller, object).await?;
        }
    }
    while object.pause_reason.is_some() && !answers.is_empty() {
        let Some(node) =
            object.waiting_for.iter().find(|it| answers.contains_key(&it.label)).map(|it| it.label.clone())
        else {
            break;
        };
        let value = answers.remove(&node);
        object = control(app, caller, &object, "answer", Some(&node), value).await.map_err(|e| e.to_string())?;
    }
    Ok(object)
}

async fn settled(app: &App, caller: &Caller, object: ExecutionObject) -> Result<ExecutionObject, String> {
    use dipeo::handlers::see_result::{self, see_result};
    let mut object = object;
    for _ in 0..20 {
        if object.status.has_ended() {
            break;
        }
        // Waits for a commit, bounded; a paused execution returns at once, so look at its own deadline.
        harness::next_commit(app).await;
        let request = see_result::Request { execution_id: object.execution_id.clone(), ..Default::default() };
        object = see_result(app, caller, request, Waiting::default()).await.map_err(|e| e.to_string())?;
    }
    Ok(object)
}

async fn control(
    app: &App,
    caller: &Caller,
    object: &ExecutionObject,
    action: &str,
    node: Option<&str>,
    value: Option<Value>,
) -> Result<ExecutionObject, Error> {
    let request = control_execution::Request {
        execution_id: object.execution_id.clone(),
        action: action.to_owned(),
        node: node.map(str::to_owned),
        value,
        ..Default::default()
    };
    control_execution(app, caller, request, Waiting::default()).await
}

/// What the log of an execution shows.
struct Seen {
    order: Vec<String>,
    outputs: BTreeMap<String, Vec<Value>>,
    attempts: BTreeMap<String, u64>,
    status: BTreeMap<String, String>,
    counts: BTreeMap<String, u64>,
    assistant_messages: u64,
}

impl Seen {
    fn read(app: &App, object: &ExecutionObject) -> Self {
        let store = app.store().expect("opened");
        let id = dipeo::ids::ExecutionId::parse(&object.execution_id).expect("own id");
        let row = store.execution(&id).expect("readable").expect("there");
        let states: Value = serde_json::from_str(&row.projection.node_states).expect("JSON");
        let label = |id: &str| states[id]["label"].as_str().unwrap_or(id).to_owned();
        let mut seen = Self {
            order: Vec::new(),
            outputs: BTreeMap::new(),
            attempts: BTreeMap::new(),
            status: BTreeMap::new(),
            counts: BTreeMap::new(),
            assistant_messages: 0,
        };
        for transition in store.transitions(&id, 0, None).expect("readable") {
            let payload: Value = serde_json::from_str(&transition.payload).expect("JSON");
            let Some(node) = transition.node_id.as_deref().map(label) else { continue };
            match transition.phase.as_str() {
                "node_started" => {
                    *seen.counts.entry(node.clone()).or_default() += 1;
                    seen.order.push(node);
                }
                "node_completed" => {
                    seen.attempts.insert(node.clone(), payload["attempt"].as_u64().unwrap_or(0));
                    seen.outputs.entry(node).or_default().push(payload["output"]["body"].clone());
                }
                _ => {}
            }
        }
        for (_, state) in states.as_object().into_iter().flatten() {
            let label = state["label"].as_str().unwrap_or_default().to_owned();
            seen.status.insert(label, state["status"].as_str().unwrap_or_default().to_owned());
        }
        let messages = store.get_execution_messages(&id, None, None).expect("readable");
        seen.assistant_messages = messages.iter().filter(|it| it.message.role == "assistant").count() as u64;
        seen
    }
}

fn compare(row: &Value, object: &ExecutionObject, seen: &Seen, models: &ScriptedModels, root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, got: Value, wanted: &Value| {
        if !wanted.is_null() && !same(&got, wanted) {
            problems.push(format!("{what}: got {got}, wanted {wanted}"));
        }
    };
    expect("status", json!(object.status), &row["status"]);
    expect("order", json!(seen.order), &row["order"]);
    expect("counts", json!(seen.counts), &row["counts"]);
    expect("model_calls", json!(seen.assistant_messages), &row["model_calls"]);
    expect("model_attempts", json!(*models.attempts.lock().expect("test lock")), &row["model_attempts"]);
    expect("selection_calls", json!(*models.selection_calls.lock().expect("test lock")), &row["selection_calls"]);
    expect("skipped", sorted(&json!(object.skipped_nodes)), &sorted(&row["skipped"]));
    let result = object.final_output.clone().unwrap_or(Value::Null);
    if row.get("result").is_some() && !same(&result, &row["result"]) {
        expect("result", result, &json!({"exactly": row["result"]}));
    }
    for (node, wanted) in row["node_status"].as_object().into_iter().flatten() {
        let got = seen.status.get(node).cloned().unwrap_or_default();
        let fits = wanted
            .as_str()
            .map_or_else(|| wanted.as_array().is_some_and(|it| it.contains(&json!(got))), |it| it == got);
        if !fits {
            expect(&format!("status of {node}"), json!(got), &json!({"wanted": wanted}));
        }
    }
    for (node, wanted) in row["outputs"].as_object().into_iter().flatten() {
        expect(&format!("outputs of {node}"), json!(seen.outputs.get(node)), wanted);
    }
    for (node, wanted) in row["attempts"].as_object().into_iter().flatten() {
        expect(&format!("attempts of {node}"), json!(seen.attempts.get(node)), wanted);
    }
    let sent = models.sent.lock().expect("test lock");
    for (node, wanted) in row["messages"].as_object().into_iter().flatten() {
        expect(&format!("messages of {node}"), json!(sent.get(node)), wanted);
    }
    for (node, wanted) in row["prompts"].as_object().into_iter().flatten() {
        let prompts: Vec<String> = sent
            .get(node)
            .into_iter()
            .flatten()
            .filter_map(|it| it.last()?.strip_prefix("user: ").map(str::to_owned))
            .collect();
        expect(&format!("prompts of {node}"), json!(prompts), wanted);
    }
    compare_errors(row, object, &mut expect);
    compare_files(row, root, &mut expect);
    let warnings: Vec<String> = object.warnings.iter().map(short_warning).collect();
    expect("run_warnings", sorted(&json!(warnings)), &sorted(&row["run_warnings"]));
    problems
}

fn short_warning(it: &dipeo::handlers::execution_object::RunWarning) -> String {
    if it.code == "W601" { format!("{} {} {}", it.code, it.node, it.name) } else { format!("{} {}", it.code, it.node) }
}

fn compare_errors(row: &Value, object: &ExecutionObject, expect: &mut impl FnMut(&str, Value, &Value)) {
    let wanted = &row["error"];
    let got = object.error.clone().unwrap_or(Value::Null);
    expect("error code", got["code"].clone(), &wanted["code"]);
    expect("error node", got["node"].clone(), &wanted["node"]);
    expect("error attempts", got["attempts"].clone(), &wanted["attempts"]);
    expect("error nodes", got["details"]["nodes"].clone(), &wanted["nodes"]);
    if let Some(part) = wanted["contains"].as_str()
        && !got["message"].as_str().is_some_and(|it| it.contains(part))
    {
        expect("error message", got["message"].clone(), &json!({"contains": part}));
    }
    if let Some(list) = row["handled_errors"].as_array() {
        let short = |it: &Value| json!({"code": it["code"], "node": it["node"]});
        expect("handled errors", object.handled_errors.iter().map(short).collect(), &list.iter().map(short).collect());
    }
}

fn compare_files(row: &Value, root: &Path, expect: &mut impl FnMut(&str, Value, &Value)) {
    for (file, wanted) in row["files"].as_object().into_iter().flatten() {
        let text = std::fs::read_to_string(root.join(file)).ok();
        match wanted.get("json") {
            Some(json) => {
                let got = text.as_deref().and_then(|it| serde_json::from_str(it).ok()).unwrap_or(Value::Null);
                expect(&format!("file {file}"), got, json);
            }
            None => expect(&format!("file {file}"), json!(text), &wanted["text"]),
        }
    }
    for file in row["absent_files"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if root.join(file).exists() {
            expect(&format!("file {file}"), json!("is there"), &json!("is absent"));
        }
    }
}

/// Equal as JSON, whole numbers and floats of the same value included.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|it| same(value, it)))
        }
        _ => a == b,
    }
}

fn sorted(value: &Value) -> Value {
    let Some(list) = value.as_array() else { return value.clone() };
    let mut list = list.clone();
    list.sort_by_key(Value::to_string);
    Value::Array(list)
}
