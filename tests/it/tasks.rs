//! Long runs on the wire: tasks that outlive the server, calls whose client went away, and tools that work while
//! much else runs.

use serde_json::{Value, json};

use crate::harness::workspace;
use crate::mcp_client::{HELLO, HttpServer, StdioClient, call, modern};

/// Gives the parameters of a request what a client that can have tasks says with it.
fn with_tasks(mut params: Value) -> Value {
    let capabilities = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    params["_meta"] = json!({"io.modelcontextprotocol/clientCapabilities": capabilities});
    params
}

/// Longer than any test lasts, in milliseconds.
const LONG_MS: u32 = 100_000;

/// A diagram whose model takes its time, without using a processor.
fn slow(ms: u32) -> String {
    format!(
        "version: light\npersons:\n  Ada: {{service: scripted, replies: [{{text: done, delay_ms: {ms}}}]}}\n\
         nodes:\n- {{label: start, type: start}}\n\
         - {{label: think, type: person_job, person: Ada, default_prompt: Think, max_iteration: 1}}\n\
         - {{label: end, type: endpoint}}\n\
         connections:\n- {{from: start, to: think}}\n- {{from: think, to: end}}\n"
    )
}

fn long_run() -> Value {
    call("dipeo_run", json!({"content": slow(LONG_MS), "wait_seconds": 4}))
}

#[tokio::test]
async fn a_long_run_becomes_a_task_for_clients_that_say_so_with_the_request() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let task = server.request("tools/call", with_tasks(long_run())).await["result"].clone();
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{task}");
    assert_eq!((&task["ttlMs"], &task["pollIntervalMs"]), (&Value::Null, &json!(1_000)), "{task}");
    let id = task["taskId"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("exec_"));
    let named = json!({"taskId": id});
    let got = server.request("tasks/get", with_tasks(named.clone())).await["result"].clone();
    assert_eq!((&got["taskId"], &got["status"]), (&json!(id), &json!("working")), "{got}");
    assert_eq!(got["statusMessage"], "1 of 3 nodes done", "{got}");

    let without = server.request("tasks/get", named.clone()).await;
    assert_eq!(without["error"]["code"], -32021, "{without}");
    for unknown in [format!("exec_{}", "0".repeat(32)), "task-1".to_owned()] {
        let error = server.request("tasks/get", with_tasks(json!({"taskId": unknown}))).await;
        assert_eq!(error["error"]["code"], -32602, "{error}");
    }
    let stray = json!({"taskId": id, "inputResponses": {"nothing": {"action": "accept"}}});
    assert_eq!(server.request("tasks/update", with_tasks(stray)).await["error"]["code"], -32602);

    for _ in 0..2 {
        let cancelled = server.request("tasks/cancel", with_tasks(named.clone())).await;
        assert_eq!(cancelled["result"]["resultType"], "complete", "{cancelled}");
        let got = server.request("tasks/get", with_tasks(named.clone())).await["result"].clone();
        assert_eq!(got["status"], "cancelled", "{got}");
    }
    let seen = server.call("see_result", json!({"execution_id": id})).await;
    assert_eq!(seen["structuredContent"]["status"], "aborted");
}

#[test]
fn nobody_else_gets_a_task() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let ends_at_once = with_tasks(call("dipeo_run", json!({"content": HELLO})));
    let mut to_caller = long_run();
    to_caller["arguments"]["models"] = json!("caller");
    let mut with_guest = long_run();
    let guest = "persons:\n  Guest: {service: caller}\n";
    with_guest["arguments"]["content"] = json!(slow(LONG_MS).replace("persons:\n", guest));
    let mut impatient = long_run();
    impatient["arguments"]["wait_seconds"] = json!(0);
    for (params, status) in [
        (ends_at_once, "completed"),
        (long_run(), "running"),
        (with_tasks(to_caller), "paused"),
        (with_tasks(with_guest), "running"),
        (with_tasks(impatient), "running"),
    ] {
        let answer = client.request("tools/call", params.clone());
        assert_eq!(answer["result"]["resultType"], "complete", "{params}: {answer}");
        let execution = &answer["result"]["structuredContent"];
        assert_eq!(execution["status"], status, "{params}: {answer}");
        client.call("control_execution", json!({"execution_id": execution["execution_id"], "action": "abort"}));
    }
}

#[test]
fn the_setting_switches_tasks_off() {
    let workspace = workspace();
    workspace.write("dipeo.toml", "[mcp]\ntasks = \"off\"\n");
    let mut client = StdioClient::start(&workspace);
    assert_eq!(client.request("tasks/get", with_tasks(json!({"taskId": "x"})))["error"]["code"], -32601);
    let answer = client.request("tools/call", with_tasks(long_run()));
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    workspace.write("dipeo.toml", "[mcp]\ntasks = \"on\"\n");
    let output = workspace.command().args(["list"]).output().expect("runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("auto"), "{output:?}");
}

#[tokio::test]
async fn a_task_outlives_a_server_that_was_killed() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let task =
        server.request("tools/call", with_tasks(call("dipeo_run", json!({"content": slow(4_000)})))).await["result"]
            .clone();
    assert_eq!(task["resultType"], "task", "{task}");
    let id = task["taskId"].clone();
    // Dropping it is a kill that it cannot notice.
    drop(server);
    let server = HttpServer::start(&workspace);
    let got = server.request("tasks/get", with_tasks(json!({"taskId": id}))).await["result"].clone();
    assert_eq!(got["taskId"], id, "{got}");
    let result = end_of(&server, &id).await;
    assert_eq!((&result["status"], &result["outputs"]), (&json!("completed"), &json!({"end": "done"})), "{result}");
    let got = server.request("tasks/get", with_tasks(json!({"taskId": id}))).await["result"].clone();
    assert_eq!((&got["status"], &got["result"]["isError"]), (&json!("completed"), &json!(false)), "{got}");
    assert_eq!(got["result"]["structuredContent"]["outputs"], result["outputs"]);
    assert_eq!(got["result"]["content"][1]["type"], "resource_link");
}

#[tokio::test]
async fn a_task_asks_the_user_of_a_client_that_shows_forms() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let content = slow(3_000)
        .replace("- {label: end", "- {label: ask, type: user_response, prompt: Ship it?}\n- {label: end")
        .replace("{from: think, to: end}", "{from: think, to: ask}\n- {from: ask, to: end}");
    let task = server.request("tools/call", with_tasks(call("dipeo_run", json!({"content": content})))).await;
    let id = task["result"]["taskId"].as_str().expect("a task").to_owned();
    let named = json!({"taskId": id});
    server.call("see_result", json!({"execution_id": id, "wait_seconds": 25})).await;
    let without_forms = server.request("tasks/get", with_tasks(named.clone())).await["result"].clone();
    assert_eq!(
        (&without_forms["status"], &without_forms["statusMessage"]),
        (&json!("working"), &json!("paused: input"))
    );
    let with_forms = |params: Value| {
        let mut params = with_tasks(params);
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["elicitation"] = json!({"form": {}});
        params
    };
    let asks = server.request("tasks/get", with_forms(named.clone())).await["result"].clone();
    assert_eq!(asks["status"], "input_required", "{asks}");
    let (key, request) = asks["inputRequests"].as_object().expect("requests").iter().next().expect("one");
    assert_eq!(request["method"], "elicitation/create", "{request}");
    assert!(request["params"]["message"].as_str().is_some_and(|it| it.contains("Ship it?")), "{request}");
    let field = request["params"]["requestedSchema"]["required"][0].as_str().expect("a field");
    let update = |reply: Value| with_forms(json!({"taskId": id, "inputResponses": {key: reply}}));
    for (reply, code) in [
        (json!({"action": "accept", "content": {}}), Some(-32602)),
        (json!({"action": "decline"}), None),
        (json!({"action": "accept", "content": {field: "yes"}}), None),
        (json!({"action": "accept", "content": {field: "no"}}), Some(-32602)),
    ] {
        let answer = server.request("tasks/update", update(reply.clone())).await;
        assert_eq!(answer["error"]["code"].as_i64(), code, "{reply}: {answer}");
    }
    let result = end_of(&server, &json!(id)).await;
    assert_eq!((&result["status"], &result["outputs"]), (&json!("completed"), &json!({"end": "yes"})), "{result}");
    let log = server.request("resources/read", json!({"uri": format!("dipeo://executions/{id}/transitions")})).await;
    assert!(log["result"]["contents"][0]["text"].as_str().is_some_and(|it| it.contains("\"task\"")), "{log}");
}

async fn end_of(server: &HttpServer, id: &Value) -> Value {
    loop {
        let seen = server.call("see_result", json!({"execution_id": id, "wait_seconds": 25})).await;
        let execution = seen["structuredContent"].clone();
        if execution["status"] != "running" {
            return execution;
        }
    }
}

// --- clients that go away ----------------------------------------------------------------------------------

/// The only execution there is.
fn only(listed: &Value) -> Value {
    let list: Value = serde_json::from_str(listed["contents"][0]["text"].as_str().expect("text")).expect("JSON");
    assert_eq!(list["total"], 1, "{list}");
    list["executions"][0].clone()
}

async fn only_execution(server: &HttpServer) -> Value {
    let listed = server.request("resources/read", json!({"uri": "dipeo://executions"})).await;
    only(&listed["result"])
}

/// A client of `era` starts a run over HTTP and hangs up after the first sign of life.
async fn starts_and_hangs_up(server: &HttpServer, session: Option<&str>) {
    let mut params = call("dipeo_run", json!({"content": slow(LONG_MS)}));
    params["_meta"] = json!({"progressToken": "p"});
    let response = match session {
        None => server.post("/mcp", &modern(1, "tools/call", params)).await,
        Some(session) => {
            let message = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params});
            legacy_post(server, Some(session), &message).await
        }
    };
    let mut response = response;
    let mut text = String::new();
    while !text.contains("notifications/progress") {
        let chunk = response.chunk().await.expect("readable").expect("a sign of life");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
}

async fn legacy_post(server: &HttpServer, session: Option<&str>, message: &Value) -> reqwest::Response {
    let mut request =
        server.http(reqwest::Method::POST, "/mcp").header("accept", "application/json, text/event-stream");
    if let Some(session) = session {
        request = request.header("mcp-session-id", session).header("mcp-protocol-version", "2025-11-25");
    }
    request.json(message).send().await.expect("an answer")
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_its_wait_and_not_the_execution() {
    for is_legacy in [false, true] {
        let workspace = workspace();
        let server = HttpServer::start(&workspace);
        let session = if is_legacy { Some(session(&server).await) } else { None };
        starts_and_hangs_up(&server, session.as_deref()).await;
        let execution = only_execution(&server).await;
        assert_eq!(execution["status"], "running", "legacy: {is_legacy}");
        let seen = server.call("see_result", json!({"execution_id": execution["execution_id"]})).await;
        assert_eq!(seen["structuredContent"]["status"], "running", "legacy: {is_legacy}");
        let abort = json!({"execution_id": execution["execution_id"], "action": "abort"});
        assert_eq!(server.call("control_execution", abort).await["structuredContent"]["status"], "aborted");
    }
}

async fn session(server: &HttpServer) -> String {
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
    let response = legacy_post(server, None, &message).await;
    response.headers()["mcp-session-id"].to_str().expect("text").to_owned()
}

#[test]
fn a_client_on_stdio_that_gives_up_leaves_the_execution_to_the_next_process() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let mut params = call("dipeo_run", json!({"content": slow(4_000)}));
    params["_meta"] = json!({"progressToken": 1});
    client.send("tools/call", params);
    assert_eq!(client.read()["method"], "notifications/progress");
    // The process is killed with a call in flight: no good-bye of any kind.
    drop(client);
    let mut client = StdioClient::start(&workspace);
    let listed = client.request("resources/read", json!({"uri": "dipeo://executions"}))["result"].clone();
    let id = only(&listed)["execution_id"].clone();
    let mut seen = json!({"status": "running"});
    while seen["status"] == "running" {
        seen = client.call("see_result", json!({"execution_id": id, "wait_seconds": 25}))["structuredContent"].clone();
    }
    assert_eq!((&seen["status"], &seen["outputs"]), (&json!("completed"), &json!({"end": "done"})), "{seen}");
}

// --- much at once ------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_works_while_two_hundred_executions_are_open() {
    let workspace = workspace();
    workspace.write("hello.light.yaml", HELLO);
    let server = HttpServer::start(&workspace);
    let runs = (0..200).map(|_| server.call("dipeo_run", json!({"content": slow(LONG_MS), "wait_seconds": 0})));
    let started = futures_util::future::join_all(runs).await;
    let ids: std::collections::BTreeSet<_> =
        started.iter().filter_map(|it| it["structuredContent"]["execution_id"].as_str()).collect();
    assert_eq!(ids.len(), 200);
    assert!(started.iter().all(|it| it["structuredContent"]["status"] == "running"));

    let ran = server.call("dipeo_run", json!({"diagram": "hello", "wait_seconds": 25})).await;
    assert_eq!(ran["structuredContent"]["outputs"]["end"], "Hello, world!", "{ran}");
    let compiled = server.call("compile_diagram", json!({"content": HELLO})).await;
    assert_eq!(compiled["structuredContent"]["valid"], true);
    let found = server.call("search", json!({"query": "hello"})).await;
    assert!(found["content"][0]["text"].as_str().is_some_and(|it| it.contains("dipeo://diagrams/hello")));
    let fetched = server.call("fetch", json!({"id": "dipeo://diagrams/hello"})).await;
    assert!(fetched["content"][0]["text"].as_str().is_some_and(|it| it.contains("compose")));
    for id in &ids {
        let aborted = server.call("control_execution", json!({"execution_id": id, "action": "abort"})).await;
        assert_eq!(aborted["structuredContent"]["status"], "aborted", "{aborted}");
    }
    let sees = ids.iter().map(|id| server.call("see_result", json!({"execution_id": id})));
    for seen in futures_util::future::join_all(sees).await {
        assert_eq!(seen["structuredContent"]["status"], "aborted", "{seen}");
    }
}
