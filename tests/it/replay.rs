//! A replay needs nothing of the world: servers gone, files changed, and the same comes out to the last byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dipeo::handlers::caller::{Door, Identity, Scope, Scopes};
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::replay_execution::{self, replay_execution};
use dipeo::handlers::run_diagram::{self, Waiting, run_diagram};
use dipeo::handlers::{App, Caller, control_execution};
use dipeo::ids::ExecutionId;
use dipeo::llm::{Llm, ProviderSettings, Secret, Settings};
use dipeo::nodes::ports::Models;
use dipeo::store::Store;
use rusqlite::Connection;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::harness::{self, Workspace, scripted_models};

/// Everything that reaches outside: addresses (one fails first, one for good), a model, a program with another
/// result each time, files, a question, a batch of equal items, a child with a question of its own, code that
/// depends on the moment and a template that shows it.
const DIAGRAM: &str = r#"
version: light
persons:
  Ann: {service: openai, model: gpt-x}
nodes:
- {label: s, type: start, custom_data: {items: [a, a, b], base: BASE}}
- {label: read, type: db, operation: read, file: files/in.txt}
- {label: fetch, type: api_job, url: "{{base}}/flaky", retry: {max_attempts: 3, delay_ms: 1}}
- {label: gone, type: api_job, method: POST, url: "{{base}}/gone", body: {from: "{{read}}"}, on_error: continue}
- {label: shell, type: code_job, language: bash, code: "echo $RANDOM$RANDOM; date +%N"}
- {label: program, type: hook, command: "echo $RANDOM$RANDOM"}
- {label: note, type: db, operation: append, file: files/note.txt}
- {label: ask, type: user_response, prompt: "Which of {{shell}}?"}
- {label: talk, type: person_job, person: Ann, default_prompt: "About {{read}} {{fetch.n}}", max_iteration: 1}
- {label: again, type: person_job, person: Ann, default_prompt: "And {{talk}}?", max_iteration: 1}
- {label: many, type: person_job, person: Ann, batch: true, default_prompt: "Item {{item}}", max_iteration: 1}
- {label: sub, type: sub_diagram, diagram_name: child}
- {label: stamp, type: template_job, template_content: "{{ generated_at }} {{ shell }}"}
- {label: sum, type: code_job, code: "from datetime import datetime\nresult = {'text': shell, 'third': 1 / 3, 'at': str(datetime.now())}"}
- {label: save, type: endpoint, save_to_file: true, file_path: files/out.json}
connections:
- {from: s, to: read}
- {from: s, to: fetch}
- {from: s, to: shell}
- {from: s, to: program}
- {from: s, to: many}
- {from: read, to: gone, label: read}
- {from: shell, to: note}
- {from: shell, to: ask, label: shell}
- {from: shell, to: stamp, label: shell}
- {from: shell, to: sum, label: shell}
- {from: read, to: talk, label: read}
- {from: fetch, to: talk, label: fetch}
- {from: talk, to: again, label: talk}
- {from: ask, to: sub, label: asked}
- {from: program, to: save, label: program}
- {from: "gone[error]", to: save, label: gone}
- {from: note, to: save, label: note}
- {from: again, to: save, label: again}
- {from: many, to: save, label: many}
- {from: sub, to: save, label: sub}
- {from: stamp, to: save, label: stamp}
- {from: sum, to: save, label: sum}
"#;

const CHILD: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: call, type: api_job, url: "BASE/child"}
- {label: really, type: user_response, prompt: "Really {{asked}}?"}
- {label: e, type: endpoint}
connections:
- {from: s, to: call}
- {from: call, to: e, label: called}
- {from: s, to: really}
- {from: really, to: e, label: sure}
"#;

/// Answers each request with another number; `/flaky` refuses the first, `/gone` all. `/v1` is a model.
async fn world() -> MockServer {
    let server = MockServer::start().await;
    let count = Arc::new(AtomicUsize::new(0));
    let flaky = AtomicUsize::new(0);
    let answer = move |request: &Request| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        match request.url.path() {
            "/flaky" if flaky.fetch_add(1, Ordering::SeqCst) == 0 => ResponseTemplate::new(503),
            "/gone" => ResponseTemplate::new(410).set_body_json(json!({"n": n})),
            path if path.starts_with("/v1") => ResponseTemplate::new(200).set_body_json(json!({
                "id": "x", "model": "gpt-x-1",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": format!("answer {n}")},
                             "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            })),
            _ => ResponseTemplate::new(200).set_body_json(json!({"n": n, "third": 1.0 / 3.0})),
        }
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

fn models_at(server: &MockServer) -> Arc<dyn Models> {
    let default = Settings::default();
    let openai = ProviderSettings {
        base_url: format!("{}/v1", server.uri()),
        api_key: Secret::new("sk-unused"),
        ..default.openai.clone()
    };
    Llm::new(Settings { openai, ..default })
}

fn caller(workspace: &Workspace) -> Caller {
    Caller::Terminal { working_dir: workspace.root().to_path_buf() }
}

async fn run(app: &App, caller: &Caller, diagram: &str) -> ExecutionObject {
    let request = run_diagram::Request { diagram: Some(diagram.to_owned()), ..Default::default() };
    let extras = run_diagram::Extras { unbounded_wait: true, ..Default::default() };
    run_diagram(app, caller, request, extras, Waiting::default()).await.expect("it starts")
}

async fn answer(app: &App, caller: &Caller, id: &str, value: &str) -> ExecutionObject {
    let request = control_execution::Request {
        execution_id: id.to_owned(),
        action: "answer".to_owned(),
        value: Some(value.into()),
        ..Default::default()
    };
    control_execution::control_execution(app, caller, request, Waiting::default()).await.expect("it is taken")
}

async fn replay(app: &App, caller: &Caller, id: &str) -> Result<ExecutionObject, dipeo::error::Error> {
    let request = replay_execution::Request { execution_id: id.to_owned(), wait_seconds: None };
    let extras = replay_execution::Extras { unbounded_wait: true, ..Default::default() };
    replay_execution(app, caller, request, extras, Waiting::default()).await
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("JSON")
}

fn database(workspace: &Workspace) -> Connection {
    Connection::open(workspace.root().join(".dipeo/data/dipeo_state.db")).expect("the database opens")
}

/// Runs [`DIAGRAM`] to its end and takes the world away: no servers, other files, no child diagram.
async fn done_and_gone() -> (Workspace, ExecutionObject) {
    let workspace = harness::workspace();
    let server = world().await;
    workspace.write("d.light.yaml", &DIAGRAM.replace("BASE", &server.uri()));
    workspace.write("child.light.yaml", &CHILD.replace("BASE", &server.uri()));
    workspace.write("files/in.txt", "tea");
    workspace.write("files/note.txt", "first\n");
    let (app, caller) = (workspace.app_with_models(models_at(&server)), caller(&workspace));
    let paused = run(&app, &caller, "d.light.yaml").await;
    assert_eq!(paused.status.name(), "paused", "{paused:#?}");
    let id = paused.execution_id;
    let asks_again = answer(&app, &caller, &id, "red").await;
    assert_eq!(asks_again.status.name(), "paused", "{asks_again:#?}");
    let ended = answer(&app, &caller, &id, "quite").await;
    assert_eq!(ended.status.name(), "completed", "{ended:#?}");
    app.shut_down_runs().await;
    app.close().await;
    workspace.write("files/in.txt", "coffee");
    workspace.write("files/note.txt", "untouched");
    for gone in ["files/out.json", "child.light.yaml", "d.light.yaml"] {
        std::fs::remove_file(workspace.root().join(gone)).expect("removed");
    }
    (workspace, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_gives_the_same_bytes_when_the_world_is_gone() {
    if !harness::has("bash") {
        return;
    }
    let (workspace, ended) = done_and_gone().await;
    let (app, caller) = (workspace.app_with_models(scripted_models()), caller(&workspace));
    let first = replay(&app, &caller, &ended.execution_id).await.expect("it is recorded");
    assert_eq!(first.status.name(), "completed", "{first:#?}");
    assert_eq!(text(&first.outputs), text(&ended.outputs));
    let repeats = first.repeats.clone().expect("it is compared");
    assert!(repeats.is_equal, "{:?}", repeats.differs);
    assert_eq!(first.parent_execution_id.as_ref(), Some(&ended.execution_id));
    assert!(!workspace.root().join("files/out.json").exists(), "a replay writes no file");
    let note = std::fs::read_to_string(workspace.root().join("files/note.txt")).expect("readable");
    assert_eq!(note, "untouched");
    // What it heard is recorded once already.
    let id = ExecutionId::parse(&first.execution_id).expect("an id");
    assert_eq!(app.store().expect("open").recordings(&id).expect("reads"), []);

    let again = replay(&app, &caller, &first.execution_id).await.expect("a replay can be replayed");
    assert_eq!(text(&again.outputs), text(&ended.outputs));
    assert!(again.repeats.is_some_and(|it| it.is_equal && it.execution_id == first.execution_id));
    app.shut_down_runs().await;
    app.close().await;

    let output = workspace.command().args(["replay", &ended.execution_id]).output().expect("runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((output.status.code(), printed.contains("equal: ")), (Some(0), true), "{printed}");
    let started = harness::json(&workspace, &["replay", &ended.execution_id, "--background"]);
    let id = started["execution_id"].as_str().expect("an id");
    let taken_over = harness::json(&workspace, &["results", id, "--wait", "60"]);
    assert_eq!(taken_over["outputs"], json!(ended.outputs));
}

/// Forgets what came after event `seq` of an execution, as a process does that is killed there.
fn cut(database: &Connection, id: &str, seq: u64) {
    let seq = i64::try_from(seq).expect("small");
    let done = "SELECT node_id FROM transitions WHERE execution_id = ?1 AND phase = 'node_completed'";
    for (sql, with_seq) in [
        ("DELETE FROM transitions WHERE execution_id = ?1 AND seq > ?2", true),
        (&*format!("DELETE FROM messages WHERE execution_id = ?1 AND node_id NOT IN ({done})"), false),
        (
            "UPDATE executions SET status = 'running', owner = NULL, ended_at = NULL, error_code = NULL, last_seq = ?2
              WHERE execution_id = ?1",
            true,
        ),
    ] {
        let outcome = if with_seq { database.execute(sql, (id, seq)) } else { database.execute(sql, [id]) };
        outcome.expect(sql);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_after_any_event_goes_on_to_the_same_end() {
    if !harness::has("bash") {
        return;
    }
    let (workspace, ended) = done_and_gone().await;
    let caller = caller(&workspace);
    let app = workspace.app_with_models(scripted_models());
    let whole = replay(&app, &caller, &ended.execution_id).await.expect("it is recorded");
    let id = ExecutionId::parse(&whole.execution_id).expect("an id");
    let last = app.store().expect("open").head(&id).expect("reads").expect("there").last_seq;
    app.shut_down_runs().await;
    app.close().await;
    let file = workspace.root().join(".dipeo/data/dipeo_state.db");
    let kept = workspace.home().join("kept.db");
    std::fs::create_dir_all(workspace.home()).and_then(|()| std::fs::copy(&file, &kept)).expect("kept");
    for seq in 1..last {
        std::fs::copy(&kept, &file).expect("as it was");
        cut(&database(&workspace), id.as_str(), seq);
        let app = workspace.app_with_models(scripted_models());
        app.supervisor().expect("made").claim_open().await.expect("taken over");
        let look = dipeo::handlers::see_result::Request {
            execution_id: id.to_string(),
            wait_seconds: Some(25),
            ..Default::default()
        };
        let after = dipeo::handlers::see_result::see_result(&app, &caller, look, Waiting::default()).await;
        let after = after.expect("it is there");
        assert_eq!((after.status.name(), text(&after.outputs)), ("completed", text(&ended.outputs)), "after {seq}");
        app.shut_down_runs().await;
        app.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_not_recorded_fails_with_the_nearest_one() {
    if !harness::has("bash") {
        return;
    }
    let (workspace, ended) = done_and_gone().await;
    // `gone` continues on errors, and that must not hide the miss.
    let changed = database(&workspace)
        .execute("UPDATE recordings SET request = replace(request, '/gone', '/gine') WHERE kind = 'http'", [])
        .expect("changed");
    assert!(changed > 0);
    let output = workspace.command().args(["replay", &ended.execution_id, "--json"]).output().expect("runs");
    let object: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &object["status"]), (Some(6), &json!("failed")), "{object:#}");
    let error = &object["error"];
    assert_eq!((&error["code"], &error["node"]), (&json!("REPLAY_MISS"), &json!("gone")), "{error:#}");
    let details = &error["details"];
    assert_eq!((&details["kind"], &details["iteration"]), (&json!("http"), &json!(1)));
    assert!(details["nearest"]["url"].as_str().is_some_and(|it| it.ends_with("/gine")), "{details:#}");
    assert_eq!(details["differences"][0]["at"], "url", "{details:#}");
    assert!(error["hint"].as_str().is_some_and(|it| it.contains("/gine")), "{error:#}");
    assert_eq!(object["repeats"]["equal"], false);

    // A child that misses something is no failure that its parent may go on with either.
    let database = database(&workspace);
    database.execute("UPDATE recordings SET request = replace(request, '/gine', '/gone')", []).expect("mended");
    database.execute("UPDATE recordings SET request = replace(request, '/child', '/chold')", []).expect("changed");
    let object = harness::json(&workspace, &["replay", &ended.execution_id]);
    assert_eq!((&object["error"]["code"], &object["error"]["node"]), (&json!("REPLAY_MISS"), &json!("sub")));
}

const FAILS: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: slow, type: code_job, language: bash, timeout: 60, code: "touch files/there; while :; do sleep 0.05; done"}
- {label: fails, type: code_job, language: bash, code: "while [ ! -e files/there ]; do sleep 0.05; done; echo $RANDOM >&2; exit 3"}
- {label: e, type: endpoint}
connections:
- {from: s, to: slow}
- {from: s, to: fails}
- {from: slow, to: e, label: a}
- {from: fails, to: e, label: b}
"#;

const ASKS: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: ask, type: user_response, prompt: "Well?"}
connections:
- {from: s, to: ask}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_and_an_abort_are_repeated_with_what_they_broke_off() {
    if !harness::has("bash") {
        return;
    }
    let workspace = harness::workspace();
    workspace.write("fails.light.yaml", FAILS);
    workspace.write("asks.light.yaml", ASKS);
    workspace.write("files/keep", "");
    let (app, caller) = (workspace.app(), caller(&workspace));
    let failed = run(&app, &caller, "fails.light.yaml").await;
    assert_eq!(failed.status.name(), "failed", "{failed:#?}");
    let repeated = replay(&app, &caller, &failed.execution_id).await.expect("it is recorded");
    assert_eq!(text(&repeated.error), text(&failed.error));
    assert!(repeated.repeats.is_some_and(|it| it.is_equal));

    let running = run(&app, &caller, "asks.light.yaml").await;
    let early = replay(&app, &caller, &running.execution_id).await.expect_err("it waits");
    assert_eq!(early.code(), "NOT_ENDED");
    let request = control_execution::Request {
        execution_id: running.execution_id.clone(),
        action: "abort".to_owned(),
        ..Default::default()
    };
    control_execution::control_execution(&app, &caller, request, Waiting::default()).await.expect("aborted");
    let aborted = replay(&app, &caller, &running.execution_id).await.expect("it is recorded");
    assert_eq!(aborted.status.name(), "aborted", "{aborted:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_recording_is_refused_with_what_to_do() {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", &pure_chain(2));
    let (app, caller) = (workspace.app(), caller(&workspace));
    let request = run_diagram::Request { diagram: Some("d.light.yaml".to_owned()), ..Default::default() };
    let extras = run_diagram::Extras { mode: Some("mock".to_owned()), ..Default::default() };
    let mock = run_diagram(&app, &caller, request, extras, Waiting::default()).await.expect("it runs");
    let old = run(&app, &caller, "d.light.yaml").await;
    database(&workspace)
        .execute("UPDATE executions SET options = '{}' WHERE execution_id = ?1", [&old.execution_id])
        .expect("aged");
    let nobody = format!("exec_{}", "0".repeat(32));
    for (id, code, part) in [
        (&mock.execution_id, "NOT_RECORDED", "mock run"),
        (&old.execution_id, "NOT_RECORDED", "before dipeo kept recordings"),
        (&nobody, "EXECUTION_NOT_FOUND", "there is no execution"),
    ] {
        let error = replay(&app, &caller, id).await.expect_err("refused");
        assert_eq!(error.code(), code);
        assert!(error.message().contains(part) && error.hint_text().is_some(), "{error:?}");
    }
    let good = run(&app, &caller, "d.light.yaml").await.execution_id;
    let client = |principal: &str, scopes| Caller::client(Identity { principal: principal.into(), scopes }, Door::Mcp);
    for (caller, code) in [
        (client("local", Scopes::READ.with(Scope::ExecutionControl)), "INSUFFICIENT_SCOPE"),
        (client("eve", Scopes::ALL), "EXECUTION_NOT_FOUND"),
    ] {
        assert_eq!(replay(&app, &caller, &good).await.expect_err("refused").code(), code);
    }
}

fn pure_chain(n_nodes: usize) -> String {
    chain(n_nodes, "type: code_job, code: \"result = 1\"")
}

fn chain(n_nodes: usize, node: &str) -> String {
    let mut text = String::from(
        "version: light\npersons:\n  Ann: {service: scripted, replies: [hi], when_exhausted: repeat_last}\nnodes:\n- {label: n0, type: start}\n",
    );
    for n in 1..=n_nodes {
        text.push_str(&format!("- {{label: n{n}, {node}}}\n"));
    }
    text.push_str("connections:\n");
    for n in 1..=n_nodes {
        text.push_str(&format!("- {{from: n{}, to: n{n}}}\n", n - 1));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_hear_nothing_from_outside_write_no_recordings_and_no_commits() {
    let workspace = harness::workspace();
    let scripted = "type: person_job, person: Ann, default_prompt: hi, max_iteration: 1";
    for (name, text) in [("pure", pure_chain(50)), ("scripted", chain(50, scripted))] {
        workspace.write(&format!("{name}.light.yaml"), &text);
        let (app, caller) = (workspace.app(), caller(&workspace));
        let ran = run(&app, &caller, &format!("{name}.light.yaml")).await;
        assert_eq!(ran.status.name(), "completed", "{ran:#?}");
        let store: &Arc<Store> = app.store().expect("open");
        let id = ExecutionId::parse(&ran.execution_id).expect("an id");
        assert_eq!(store.recordings(&id).expect("reads"), [], "{name}");
        // A row, the owner, and for each effect one commit before it; the end.
        let n_commits = store.commits();
        let most = if name == "pure" { 4 } else { 54 };
        assert!(n_commits <= most, "{name}: {n_commits} commits");
        app.shut_down_runs().await;
        app.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_costs_one_row_in_the_commit_of_its_node() {
    let workspace = harness::workspace();
    let server = world().await;
    let node = format!("type: api_job, url: \"{}/x\"", server.uri());
    workspace.write("d.light.yaml", &chain(20, &node));
    let (app, caller) = (workspace.app(), caller(&workspace));
    let ran = run(&app, &caller, "d.light.yaml").await;
    assert_eq!(ran.status.name(), "completed", "{ran:#?}");
    let store: &Arc<Store> = app.store().expect("open");
    let id = ExecutionId::parse(&ran.execution_id).expect("an id");
    let recordings = store.recordings(&id).expect("reads");
    assert_eq!(recordings.len(), 20);
    let bytes: usize = recordings.iter().map(|it| it.request.len() + it.reply.as_ref().map_or(0, String::len)).sum();
    println!("an HTTP call is recorded in one row with {} bytes of request and reply", bytes / 20);
    assert!(store.commits() <= 24, "{} commits for 20 calls", store.commits());
}
