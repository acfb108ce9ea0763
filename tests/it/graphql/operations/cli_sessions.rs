use serde_json::{Value, json};

use crate::graphql::client::{code, data};
use crate::harness::{Workspace, workspace};
use crate::mcp_client::{ASKS_CALLER, HELLO, HttpServer};

const REGISTER: &str = "mutation($input: RegisterCliSessionInput!) {
  registerCliSession(input: $input) { success error error_type envelope data session_id execution_id }
}";
const UNREGISTER: &str = "mutation($id: ID!) {
  unregisterCliSession(input: {execution_id: $id}) { success error_type session_id execution_id }
}";
const UPDATE: &str = "mutation($input: UpdateNodeStateInput!) {
  updateNodeState(input: $input) { success error error_type envelope data { id status node_states node_outputs } }
}";
const FOREIGN: &str = "exec_0123456789abcdef0123456789abcdef";

fn server() -> (Workspace, HttpServer) {
    let workspace = workspace();
    workspace.write("projects/hello.light.yaml", HELLO);
    workspace.write("projects/asks.light.yaml", ASKS_CALLER);
    let server = HttpServer::start(&workspace);
    (workspace, server)
}

async fn register(server: &HttpServer, id: &str) -> Value {
    let input = json!({
        "execution_id": id, "diagram_name": "hello", "diagram_format": "LIGHT", "diagram_data": HELLO,
    });
    data(server, REGISTER, json!({"input": input})).await["registerCliSession"].clone()
}

async fn active(server: &HttpServer) -> Value {
    data(server, "{ getActiveCliSession }", json!({})).await["getActiveCliSession"].clone()
}

async fn status(server: &HttpServer, id: &str) -> Value {
    let query = "query($id: String!) { getExecution(execution_id: $id) { status } }";
    data(server, query, json!({"id": id})).await["getExecution"]["status"].clone()
}

async fn update(server: &HttpServer, input: Value) -> Value {
    data(server, UPDATE, json!({"input": input})).await["updateNodeState"].clone()
}

#[tokio::test]
async fn register_cli_session_makes_an_execution_for_a_foreign_runner() {
    let (_workspace, server) = server();
    let made = register(&server, FOREIGN).await;
    assert_eq!((&made["success"], &made["execution_id"]), (&json!(true), &json!(FOREIGN)), "{made:#}");
    assert!(made["session_id"].as_str().is_some_and(|it| it.starts_with("cli_")));
    assert_eq!(register(&server, FOREIGN).await["session_id"], made["session_id"], "once or again");
    assert!(!status(&server, FOREIGN).await.is_null());
    let wrong = register(&server, "exec_12").await;
    assert_eq!((&wrong["success"], &wrong["error_type"]), (&json!(false), &json!("INVALID_EXECUTION_ID")));
}

#[tokio::test]
async fn get_active_cli_session_is_the_one_to_watch_or_empty() {
    let (_workspace, server) = server();
    assert_eq!(active(&server).await, json!({}));
    register(&server, FOREIGN).await;
    let session = active(&server).await;
    assert_eq!((&session["execution_id"], &session["diagram_name"]), (&json!(FOREIGN), &json!("hello")), "{session:#}");
    assert_eq!(session["is_active"], true);
    assert_eq!(session["diagram_data"]["nodes"].as_object().map(serde_json::Map::len), Some(3), "{session:#}");
}

#[tokio::test]
async fn unregister_cli_session_aborts_what_its_runner_left() {
    let (_workspace, server) = server();
    register(&server, FOREIGN).await;
    let ended = data(&server, UNREGISTER, json!({"id": FOREIGN})).await["unregisterCliSession"].clone();
    assert_eq!((&ended["success"], &ended["execution_id"]), (&json!(true), &json!(FOREIGN)));
    assert_eq!(status(&server, FOREIGN).await, "ABORTED");
    assert_eq!(active(&server).await, json!({}));
    let again = data(&server, UNREGISTER, json!({"id": FOREIGN})).await["unregisterCliSession"].clone();
    assert_eq!((&again["success"], &again["error_type"]), (&json!(false), &json!("SESSION_NOT_FOUND")));
}

#[tokio::test]
async fn update_node_state_reports_a_foreign_run_and_refuses_our_own() {
    let (_workspace, server) = server();
    register(&server, FOREIGN).await;
    for (node, status, output) in [
        ("start", "RUNNING", Value::Null),
        ("start", "COMPLETED", json!({"name": "world"})),
        ("compose", "COMPLETED", json!("Hello!")),
    ] {
        let input = json!({"execution_id": FOREIGN, "node_id": node, "status": status, "output": output});
        let taken = update(&server, input).await;
        assert_eq!(taken["success"], true, "{node} {status}: {taken:#}");
    }
    let input = json!({"execution_id": FOREIGN, "node_id": "end", "status": "FAILED", "error": "the disk is full"});
    let taken = update(&server, input).await;
    assert_eq!(taken["data"]["node_states"]["node_1"]["status"], "completed", "{taken:#}");
    assert_eq!(taken["data"]["node_outputs"]["node_1"], "Hello!");
    assert_eq!(taken["data"]["node_states"]["node_2"]["status"], "failed", "{taken:#}");
    let wrong = update(&server, json!({"execution_id": FOREIGN, "node_id": "nobody", "status": "RUNNING"})).await;
    assert_eq!((&wrong["success"], &wrong["error_type"]), (&json!(false), &json!("NODE_NOT_FOUND")));
    let run = "mutation { executeDiagram(input: {diagram_id: \"asks\"}) { data { id } } }";
    let own = data(&server, run, json!({})).await["executeDiagram"]["data"]["id"].clone();
    let refused =
        update(&server, json!({"execution_id": own, "node_id": "ask", "status": "COMPLETED", "output": 1})).await;
    assert_eq!((&refused["success"], &refused["error_type"]), (&json!(false), &json!("NOT_PAUSED")), "{refused:#}");
    let get = "query($id: String!) { getExecution(execution_id: $id) { id } }";
    assert_eq!(code(&server, get, json!({"id": "x"})).await, "INVALID_EXECUTION_ID");
}
