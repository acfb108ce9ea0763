use serde_json::{Value, json};

use crate::graphql::client::{Socket, code, data};
use crate::harness::{Workspace, workspace};
use crate::mcp_client::{ASKS_CALLER, ENDLESS, HELLO, HttpServer};

const FAILS: &str = "\
version: light
nodes:
- {label: start, type: start, custom_data: {n: 0}}
- {label: divide, type: code_job, code: \"result = 1 / n\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: divide}
- {from: divide, to: end}
";
/// Goes round until somebody stops it.
const ROUND: &str = "\
version: light
nodes:
- {label: start, type: start}
- {label: work, type: code_job, code: \"result = 1\"}
- {label: done, type: condition, condition_type: custom, expression: \"False\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: work}
- {from: work, to: done}
- {from: done_condfalse, to: work}
- {from: done_condtrue, to: end}
";
const RUN: &str = "mutation($input: ExecuteDiagramInput!) {
  executeDiagram(input: $input) { success message error error_type envelope data { id status is_active diagram_id } }
}";
const GET: &str = "query($id: String!) { getExecution(execution_id: $id) {
  id status diagram_id started_at ended_at error llm_usage { input output cached total } is_active executed_nodes
  node_states node_outputs variables exec_counts metrics pause_reason waiting_for omitted
} }";
const CONTROL: &str = "mutation($input: ExecutionControlInput!) {
  controlExecution(input: $input) { success error error_type envelope data { id status } }
}";
const NOBODYS: &str = "exec_00000000000000000000000000000000";

fn server() -> (Workspace, HttpServer) {
    let workspace = workspace();
    let diagrams = [("hello", HELLO), ("asks", ASKS_CALLER), ("fails", FAILS), ("endless", ENDLESS), ("round", ROUND)];
    for (name, text) in diagrams {
        workspace.write(&format!("projects/{name}.light.yaml"), text);
    }
    let server = HttpServer::start(&workspace);
    (workspace, server)
}

async fn execute(server: &HttpServer, input: Value) -> Value {
    data(server, RUN, json!({"input": input})).await["executeDiagram"].clone()
}

async fn run(server: &HttpServer, name: &str) -> String {
    let ran = execute(server, json!({"diagram_id": name})).await;
    ran["data"]["id"].as_str().unwrap_or_else(|| panic!("{ran:#}")).to_owned()
}

async fn get(server: &HttpServer, id: &str) -> Value {
    data(server, GET, json!({"id": id})).await["getExecution"].clone()
}

async fn control(server: &HttpServer, input: Value) -> Value {
    data(server, CONTROL, json!({"input": input})).await["controlExecution"].clone()
}

/// Waits for an event of an execution.
async fn until(server: &HttpServer, id: &str, types: &[&str]) {
    let mut socket = Socket::ready(server).await;
    let query = "subscription($id: String!) { executionUpdates(execution_id: $id) { type } }";
    socket.subscribe("1", query, json!({"id": id})).await;
    loop {
        let message = socket.hear().await.message();
        assert_eq!(message["type"], "next", "it ended before: {message:#}");
        let kind = message["payload"]["data"]["executionUpdates"]["type"].as_str().expect("a type").to_owned();
        if types.contains(&kind.as_str()) {
            return;
        }
    }
}

async fn end(server: &HttpServer, id: &str) {
    until(server, id, &["EXECUTION_COMPLETED", "EXECUTION_ERROR", "EXECUTION_ABORTED"]).await;
}

#[tokio::test]
async fn execute_diagram_runs_by_name_and_by_content_with_variables() {
    let (_workspace, server) = server();
    let ran = execute(&server, json!({"diagram_id": "hello", "use_unified_monitoring": true})).await;
    assert_eq!((&ran["success"], &ran["data"]["diagram_id"]), (&json!(true), &json!("hello")), "{ran:#}");
    assert_eq!(ran["envelope"]["execution_id"], ran["data"]["id"]);
    let id = ran["data"]["id"].as_str().expect("an id");
    end(&server, id).await;
    assert_eq!(get(&server, id).await["node_outputs"]["node_2"], "Hello, world!");
    // A text, and the native form as an object.
    let native = json!({
        "nodes": {
            "s": {"type": "start", "data": {"label": "s"}},
            "e": {"type": "endpoint", "data": {"label": "e"}},
        },
        "arrows": [{"id": "a", "source": "s_default_output", "target": "e_default_input"}],
    });
    for content in [json!(HELLO.replace("custom_data: {name: world}", "")), native] {
        let ran = execute(&server, json!({"diagram_data": content, "variables": {"name": "you"}})).await;
        assert_eq!(ran["success"], true, "{ran:#}");
        end(&server, ran["data"]["id"].as_str().expect("an id")).await;
        let seen = get(&server, ran["data"]["id"].as_str().expect("an id")).await;
        assert_eq!((&seen["status"], &seen["variables"]["name"]), (&json!("COMPLETED"), &json!("you")), "{seen:#}");
    }
    for (input, code) in [
        (json!({}), "INVALID_INPUT"),
        (json!({"diagram_id": "hello", "diagram_data": HELLO}), "INVALID_INPUT"),
        (json!({"diagram_id": "helo"}), "DIAGRAM_NOT_FOUND"),
        (json!({"diagram_id": "../hello"}), "INVALID_NAME"),
        (json!({"diagram_data": "nodes: ["}), "INVALID_DIAGRAM"),
        (json!({"diagram_id": "hello", "variables": [1]}), "INVALID_INPUT"),
        (json!({"diagram_id": "hello", "timeout_seconds": 0}), "INVALID_INPUT"),
        (json!({"diagram_id": "hello", "max_iterations": 0}), "INVALID_INPUT"),
    ] {
        let refused = execute(&server, input.clone()).await;
        assert_eq!((&refused["success"], &refused["error_type"]), (&json!(false), &json!(code)), "{input}");
        assert_eq!(refused["envelope"]["error"]["code"], code);
    }
}

#[tokio::test]
async fn execute_diagram_holds_to_its_limits_each_with_its_own_code() {
    let (_workspace, server) = server();
    for (input, code) in [
        (json!({"diagram_id": "round", "max_iterations": 3}), "ITERATION_LIMIT"),
        (json!({"diagram_id": "endless", "timeout_seconds": 1}), "EXECUTION_TIMEOUT"),
    ] {
        let ran = execute(&server, input).await;
        let id = ran["data"]["id"].as_str().expect("an id");
        end(&server, id).await;
        let seen = get(&server, id).await;
        assert_eq!(seen["status"], "FAILED");
        assert!(seen["error"].as_str().expect("why").starts_with(code), "{seen:#}");
        if code == "ITERATION_LIMIT" {
            assert_eq!(seen["exec_counts"]["node_1"], 3, "{seen:#}");
        }
    }
    let debug = execute(&server, json!({"diagram_id": "asks", "debug_mode": true})).await;
    assert_eq!(debug["success"], true);
}

#[tokio::test]
async fn get_execution_shows_everything_or_null() {
    let (_workspace, server) = server();
    let id = run(&server, "fails").await;
    end(&server, &id).await;
    let seen = get(&server, &id).await;
    assert_eq!((&seen["status"], &seen["is_active"]), (&json!("FAILED"), &json!(false)));
    assert_eq!(seen["error"], "CODE_FAILED in `divide`: division by zero");
    assert_eq!(seen["executed_nodes"], json!(["node_0", "node_1"]));
    assert_eq!(seen["node_states"]["node_1"]["status"], "failed");
    assert_eq!(seen["node_states"]["node_1"]["label"], "divide");
    assert_eq!(seen["exec_counts"], json!({"node_0": 1, "node_1": 1}));
    assert_eq!(seen["metrics"]["node_count"], 2, "{seen:#}");
    assert!(seen["started_at"].as_str() < seen["ended_at"].as_str() || seen["started_at"] == seen["ended_at"]);
    assert_eq!(get(&server, NOBODYS).await, Value::Null);
    assert_eq!(code(&server, GET, json!({"id": "nonsense"})).await, "INVALID_EXECUTION_ID");
    let waiting = run(&server, "asks").await;
    until(&server, &waiting, &["EXECUTION_PAUSED"]).await;
    let seen = get(&server, &waiting).await;
    assert_eq!((&seen["pause_reason"], &seen["is_active"]), (&json!("model"), &json!(true)));
    assert_eq!(seen["waiting_for"][0]["prompt"], "Best tea?");
}

#[tokio::test]
async fn list_executions_is_newest_first_and_every_filter_applies() {
    let (_workspace, server) = server();
    let (first, second) = (run(&server, "hello").await, run(&server, "fails").await);
    end(&server, &first).await;
    end(&server, &second).await;
    let list = async |arguments: &str| {
        let query = format!("{{ listExecutions{arguments} {{ id status error node_outputs }} }}");
        data(&server, &query, json!({})).await["listExecutions"].as_array().expect("a list").clone()
    };
    let ids = |all: &[Value]| all.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>();
    let all = list("").await;
    assert_eq!(ids(&all), [second.clone(), first.clone()]);
    assert_eq!(all[1]["node_outputs"]["node_1"], "Hello, world!", "more than the list knows is looked up");
    for (arguments, expected) in [
        ("(filter: {status: FAILED})", vec![second.clone()]),
        ("(filter: {status: RUNNING})", vec![]),
        ("(filter: {diagram_id: \"hello\"})", vec![first.clone()]),
        ("(filter: {diagram_id: \"hello\", status: FAILED})", vec![]),
        ("(filter: {started_after: \"2100-01-01T00:00:00Z\"})", vec![]),
        ("(filter: {started_before: \"2000-01-01T00:00:00Z\"})", vec![]),
        ("(filter: {started_after: \"2000-01-01T00:00:00Z\"}, limit: 1)", vec![second.clone()]),
        ("(limit: 1, offset: 1)", vec![first.clone()]),
        ("(offset: 2)", vec![]),
    ] {
        assert_eq!(ids(&list(arguments).await), expected, "{arguments}");
    }
    for wrong in ["(limit: 0)", "(limit: 1001)", "(limit: 0.5)", "(filter: {started_after: \"noon\"})"] {
        let query = format!("{{ listExecutions{wrong} {{ id }} }}");
        assert_eq!(code(&server, &query, json!({})).await, "INVALID_INPUT", "{wrong}");
    }
}

#[tokio::test]
async fn control_execution_acts_on_the_engine() {
    let (_workspace, server) = server();
    let id = run(&server, "endless").await;
    until(&server, &id, &["NODE_STARTED"]).await;
    let paused = control(&server, json!({"execution_id": id, "action": "pause", "reason": "lunch"})).await;
    assert_eq!(paused["success"], true, "{paused:#}");
    let aborted = control(&server, json!({"execution_id": id, "action": "abort"})).await;
    assert_eq!(aborted["success"], true, "{aborted:#}");
    assert_eq!((&aborted["data"]["status"], &aborted["envelope"]["status"]), (&json!("ABORTED"), &json!("aborted")));
    assert_eq!(get(&server, &id).await["status"], "ABORTED", "nobody overwrites it");
    let late = control(&server, json!({"execution_id": id, "action": "complete"})).await;
    assert_eq!((&late["success"], &late["error_type"]), (&json!(false), &json!("EXECUTION_ENDED")));
    let asks = run(&server, "asks").await;
    until(&server, &asks, &["EXECUTION_PAUSED"]).await;
    let answer = json!({"execution_id": asks, "action": "answer", "node_id": "ask", "value": "Assam"});
    assert_eq!(control(&server, answer.clone()).await["success"], true);
    end(&server, &asks).await;
    assert_eq!(control(&server, answer).await["error_type"], "ALREADY_ANSWERED");
    for (input, code) in [
        (json!({"execution_id": NOBODYS, "action": "pause"}), "EXECUTION_NOT_FOUND"),
        (json!({"execution_id": asks, "action": "pasue"}), "INVALID_INPUT"),
    ] {
        assert_eq!(control(&server, input).await["error_type"], code);
    }
}

#[tokio::test]
async fn send_interactive_response_answers_the_node_that_waits() {
    let (_workspace, server) = server();
    let id = run(&server, "asks").await;
    until(&server, &id, &["EXECUTION_PAUSED"]).await;
    let query = "mutation($input: InteractiveResponseInput!) {
      sendInteractiveResponse(input: $input) { success error_type data { id } }
    }";
    let answer = async |node: &str, text: &str| {
        let input = json!({"execution_id": id, "node_id": node, "response": text, "metadata": {"from": "a form"}});
        data(&server, query, json!({"input": input})).await["sendInteractiveResponse"].clone()
    };
    assert_eq!(answer("aks", "Assam").await["error_type"], "NODE_NOT_FOUND");
    assert_eq!(answer("node_1", "Assam").await["success"], true);
    end(&server, &id).await;
    assert_eq!(get(&server, &id).await["node_outputs"]["node_1"], "Assam");
    let again = answer("ask", "Darjeeling").await;
    assert_eq!((&again["success"], &again["error_type"]), (&json!(false), &json!("ALREADY_ANSWERED")));
}

#[tokio::test]
async fn get_execution_order_has_an_entry_for_each_run_of_a_node() {
    let (_workspace, server) = server();
    let ran = execute(&server, json!({"diagram_id": "round", "max_iterations": 2})).await;
    let id = ran["data"]["id"].as_str().expect("an id");
    end(&server, id).await;
    let query = "query($id: String!) { getExecutionOrder(execution_id: $id) }";
    let order = data(&server, query, json!({"id": id})).await["getExecutionOrder"].clone();
    let steps: Vec<_> =
        order["nodes"].as_array().expect("nodes").iter().map(|it| (&it["node_name"], &it["iteration"])).collect();
    let expected = json!([["start", 1], ["work", 1], ["done", 1], ["work", 2], ["done", 2]]);
    assert_eq!(json!(steps), expected, "{order:#}");
    assert_eq!((&order["total_nodes"], &order["status"]), (&json!(5), &json!("failed")));
    assert_eq!(code(&server, query, json!({"id": NOBODYS})).await, "EXECUTION_NOT_FOUND");
}

#[tokio::test]
async fn get_execution_metrics_counts_runs_and_times() {
    let (_workspace, server) = server();
    let id = run(&server, "hello").await;
    end(&server, &id).await;
    let query = "query($id: String!) { getExecutionMetrics(execution_id: $id) }";
    let metrics = data(&server, query, json!({"id": id})).await["getExecutionMetrics"].clone();
    assert_eq!((&metrics["execution_id"], &metrics["node_count"]), (&json!(id), &json!(3)));
    assert_eq!(metrics["node_breakdown"].as_array().map(Vec::len), Some(3));
    assert_eq!(code(&server, query, json!({"id": NOBODYS})).await, "EXECUTION_NOT_FOUND");
}

#[tokio::test]
async fn get_execution_history_has_whole_objects_and_their_metrics_on_request() {
    let (_workspace, server) = server();
    for name in ["hello", "hello", "fails"] {
        end(&server, &run(&server, name).await).await;
    }
    let query = "query($name: String, $limit: Float, $metrics: Boolean) {
      getExecutionHistory(diagram_id: $name, limit: $limit, include_metrics: $metrics)
    }";
    let history = data(&server, query, json!({"name": "hello"})).await["getExecutionHistory"].clone();
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    assert_eq!(history[0]["final_output"], "Hello, world!");
    assert!(history[0].get("metrics").is_none());
    let one = data(&server, query, json!({"limit": 1, "metrics": true})).await["getExecutionHistory"].clone();
    assert_eq!((one.as_array().map(Vec::len), &one[0]["diagram_id"]), (Some(1), &json!("fails")));
    assert_eq!(one[0]["metrics"]["node_count"], 2, "{one:#}");
    assert_eq!(code(&server, query, json!({"limit": 0})).await, "INVALID_INPUT");
}
