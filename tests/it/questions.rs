//! Questions of an execution, asked of the user of an MCP client: in both eras, on both transports, and against
//! everybody else who may answer.

use std::sync::{Arc, Mutex};

use dipeo::handlers::caller::{Identity, Scopes};
use dipeo::mcp::McpConfig;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
    Implementation,
};
use rmcp::service::{RequestContext, RoleClient};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ErrorData, ServiceExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{Workspace, json as printed, workspace};
use crate::mcp_client::{HttpServer, StdioClient, call, modern};

/// A diagram that asks `questions`, one after the other, and ends with the last answer.
fn asking(questions: &[&str]) -> String {
    let labels: Vec<String> = (0..questions.len()).map(|it| format!("q{it}")).collect();
    let mut text = "version: light\nnodes:\n- {label: s, type: start}\n- {label: end, type: endpoint}\n".to_owned();
    for (label, fields) in labels.iter().zip(questions) {
        text.push_str(&format!("- {{label: {label}, type: user_response, {fields}}}\n"));
    }
    text.push_str("connections:\n");
    let mut from = "s";
    for to in labels.iter().map(String::as_str).chain(["end"]) {
        text.push_str(&format!("- {{from: {from}, to: {to}}}\n"));
        from = to;
    }
    text
}

const NAME: &str = "prompt: 'Your name?'";
const COLOUR: &str = "prompt: 'Colour?', options: [Red, 2]";
const NUMBER: &str = "prompt: 'How many?', validation_type: number";
const SHIP: &str = "prompt: 'Ship it?', approval: true, human_only: true";

fn accept(answer: Value) -> Value {
    json!({"action": "accept", "content": {"answer": answer}})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Who answered, as every view of the execution says it.
fn answered_by(workspace: &Workspace, id: &str) -> Vec<String> {
    let seen = printed(workspace, &["results", id, "--verbose"]);
    let nodes = seen["nodes"].as_array().expect("nodes").iter();
    let answers = nodes.flat_map(|it| it["answers"].as_array().cloned().unwrap_or_default());
    answers.map(|it| text(&it["by"]).to_owned()).collect()
}

fn n_executions(workspace: &Workspace) -> u64 {
    printed(workspace, &["results"])["total"].as_u64().expect("a number")
}

// --- the newer revision -------------------------------------------------------------------------------------

/// The parameters of a call by a client that can show forms; `reply` is what it sends back with a state.
fn modern_call(tool: &str, arguments: &Value, reply: Option<(&Value, &Value)>) -> Value {
    let mut params = call(tool, arguments.clone());
    params["_meta"] = json!({"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}});
    if let Some((state, sent)) = reply {
        params["requestState"] = state.clone();
        params["inputResponses"] = json!({"answer": sent});
    }
    params
}

fn asked_in(result: &Value) -> (&str, &Value, Value) {
    assert_eq!(result["resultType"], "input_required", "{result}");
    assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"].is_object(), "{result}");
    let request = &result["inputRequests"]["answer"];
    assert_eq!((&request["method"], &request["params"]["mode"]), (&json!("elicitation/create"), &json!("form")));
    let params = &request["params"];
    (text(&params["message"]), &params["requestedSchema"], result["requestState"].clone())
}

#[test]
fn a_modern_client_is_asked_by_the_result_and_answers_by_calling_again() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    for (question, message, field, typed, output) in [
        (NAME, "Your name?", json!({"type": "string", "title": "q0"}), json!("Ann"), json!("Ann")),
        (COLOUR, "Colour?", json!({"type": "string", "title": "q0", "enum": ["Red", "2"]}), json!("2"), json!(2)),
        (NUMBER, "How many?", json!({"type": "number", "title": "q0"}), json!(2.5), json!(2.5)),
        (
            SHIP,
            "Ship it?",
            json!({"type": "boolean", "title": "q0", "description": "Yes or no"}),
            json!(true),
            json!(true),
        ),
    ] {
        let arguments = json!({"content": asking(&[question])});
        let asks = client.request("tools/call", modern_call("dipeo_run", &arguments, None))["result"].clone();
        let (shown, schema, state) = asked_in(&asks);
        assert_eq!((shown, &schema["properties"]["answer"]), (message, &field), "{question}");
        let retry = modern_call("dipeo_run", &arguments, Some((&state, &accept(typed))));
        let ended = client.request("tools/call", retry)["result"]["structuredContent"].clone();
        assert_eq!((&ended["status"], &ended["outputs"]["end"]), (&json!("completed"), &output), "{ended:#}");
        assert_eq!(answered_by(&workspace, text(&ended["execution_id"])), ["elicitation"]);
    }
    assert_eq!(n_executions(&workspace), 4, "an answer starts nothing");
}

#[test]
fn declining_leaves_the_plain_answer_and_each_tool_that_waits_asks_again() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let arguments = json!({"content": asking(&[NAME, COLOUR])});
    let asks = client.request("tools/call", modern_call("dipeo_run", &arguments, None))["result"].clone();
    let state = asked_in(&asks).2;
    let mut id = Value::Null;
    for action in ["decline", "cancel"] {
        let retry = modern_call("dipeo_run", &arguments, Some((&state, &json!({"action": action}))));
        let paused = client.request("tools/call", retry)["result"]["structuredContent"].clone();
        assert_eq!((&paused["status"], &paused["waiting_for"][0]["prompt"]), (&json!("paused"), &json!("Your name?")));
        assert!(text(&paused["next"]).contains("\"action\":\"answer\""), "{paused}");
        id = paused["execution_id"].clone();
    }
    // A call that does not wait asks nothing; one that waits asks what is open, and so does one that answers.
    let look = json!({"execution_id": id});
    let seen = client.request("tools/call", modern_call("see_result", &look, None))["result"].clone();
    assert_eq!(seen["structuredContent"]["status"], "paused");
    let look = json!({"execution_id": id, "wait_seconds": 5, "detail": "full"});
    let asks = client.request("tools/call", modern_call("see_result", &look, None))["result"].clone();
    let (message, _, state) = asked_in(&asks);
    assert_eq!(message, "Your name?");
    let asks = client.request("tools/call", modern_call("see_result", &look, Some((&state, &accept(json!("Ann"))))));
    let (message, _, state) = asked_in(&asks["result"]);
    assert_eq!(message, "Colour?", "one question after the other");
    let seen = client.request("tools/call", modern_call("see_result", &look, Some((&state, &accept(json!("red"))))));
    let seen = &seen["result"]["structuredContent"];
    assert_eq!((&seen["status"], &seen["outputs"]["end"]), (&json!("completed"), &json!("Red")), "{seen:#}");
    assert!(seen["nodes"].is_array(), "what was asked to be seen is shown after the answers: {seen}");
    assert_eq!(n_executions(&workspace), 1);

    let started = client.call("dipeo_run", json!({"content": asking(&[NAME, COLOUR])}))["structuredContent"].clone();
    let answer = json!({"execution_id": started["execution_id"], "action": "answer", "value": "Ann"});
    let asks = client.request("tools/call", modern_call("control_execution", &answer, None))["result"].clone();
    let (message, _, state) = asked_in(&asks);
    assert_eq!(message, "Colour?");
    let retry = modern_call("control_execution", &answer, Some((&state, &accept(json!("Red")))));
    assert_eq!(client.request("tools/call", retry)["result"]["structuredContent"]["outputs"]["end"], "Red");
    assert_eq!(answered_by(&workspace, text(&started["execution_id"])), ["mcp", "elicitation"]);
}

#[test]
fn an_invalid_answer_is_asked_for_again_with_the_reason_but_not_for_ever() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    for n_invalid in 0..=3 {
        let arguments = json!({"content": asking(&[NUMBER])});
        let mut answer = client.request("tools/call", modern_call("dipeo_run", &arguments, None));
        for n in 0..n_invalid {
            let (message, _, state) = asked_in(&answer["result"]);
            assert_eq!(message.contains("`many` is not a number"), n > 0, "{message}");
            assert!(message.ends_with("How many?"));
            answer = client
                .request("tools/call", modern_call("dipeo_run", &arguments, Some((&state, &accept(json!("many"))))));
        }
        if n_invalid == 3 {
            assert_eq!(answer["result"]["structuredContent"]["status"], "paused", "{answer}");
            break;
        }
        let state = asked_in(&answer["result"]).2;
        // A reply without our key is no answer; the question is asked again as it was.
        let mut other = modern_call("dipeo_run", &arguments, Some((&state, &accept(json!(7)))));
        other["inputResponses"] = json!({"something": {"action": "accept"}});
        let state = asked_in(&client.request("tools/call", other)["result"]).2;
        let retry = modern_call("dipeo_run", &arguments, Some((&state, &accept(json!("7")))));
        assert_eq!(client.request("tools/call", retry)["result"]["structuredContent"]["outputs"]["end"], 7);
    }
}

#[test]
fn a_client_that_cannot_show_forms_gets_the_plain_answer() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let arguments = json!({"content": asking(&[NAME])});
    for capabilities in [json!({}), json!({"elicitation": {"url": {}}}), json!({"sampling": {}})] {
        let mut params = call("dipeo_run", arguments.clone());
        params["_meta"] = json!({"io.modelcontextprotocol/clientCapabilities": capabilities});
        let paused = client.request("tools/call", params)["result"].clone();
        assert_eq!(paused["structuredContent"]["status"], "paused", "{capabilities}: {paused}");
    }
    for question in ["prompt: 'Your API key?'", "prompt: 'Password, please'"] {
        let arguments = json!({"content": asking(&[question])});
        let paused = client.request("tools/call", modern_call("dipeo_run", &arguments, None))["result"].clone();
        assert_eq!(paused["structuredContent"]["status"], "paused", "no form asks for a secret: {paused}");
    }
}

#[test]
fn the_first_valid_answer_wins_and_a_state_is_used_once() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let arguments = json!({"content": asking(&[NAME])});
    let asks = client.request("tools/call", modern_call("dipeo_run", &arguments, None))["result"].clone();
    let state = asked_in(&asks).2;
    let listed = printed(&workspace, &["results"]);
    let id = text(&listed["executions"][0]["execution_id"]).to_owned();
    printed(&workspace, &["control", &id, "answer", "Bob"]);
    let late = modern_call("dipeo_run", &arguments, Some((&state, &accept(json!("Ann")))));
    let refused = client.request("tools/call", late)["result"].clone();
    let error = &refused["structuredContent"]["error"];
    assert_eq!((&refused["isError"], &error["code"]), (&json!(true), &json!("ALREADY_ANSWERED")), "{refused}");
    assert_eq!(error["details"], json!({"answer": "Bob", "by": "terminal"}));
    // Declining what is answered is no mistake: the call goes on to the result.
    let declined = modern_call("dipeo_run", &arguments, Some((&state, &json!({"action": "decline"}))));
    let ended = client.request("tools/call", declined)["result"]["structuredContent"].clone();
    assert_eq!((&ended["status"], &ended["outputs"]["end"]), (&json!("completed"), &json!("Bob")), "{ended}");

    let asks = client.request("tools/call", modern_call("dipeo_run", &arguments, None))["result"].clone();
    let state = asked_in(&asks).2;
    let retry = modern_call("dipeo_run", &arguments, Some((&state, &accept(json!("Ann")))));
    let ended = client.request("tools/call", retry.clone())["result"]["structuredContent"].clone();
    assert_eq!(ended["outputs"]["end"], "Ann");
    let replayed = client.request("tools/call", retry)["result"].clone();
    let error = &replayed["structuredContent"]["error"];
    assert_eq!((&error["code"], &error["details"]["by"]), (&json!("ALREADY_ANSWERED"), &json!("elicitation")));
    assert_eq!(n_executions(&workspace), 2, "nothing was started again");
}

#[test]
fn an_answer_to_one_round_is_none_to_the_next() {
    const ROUNDS: &str = "\
version: light
nodes:
- {label: s, type: start}
- {label: ask, type: user_response, prompt: 'More?', validation_type: boolean}
- {label: again, type: condition, condition_type: custom, expression: 'default == True'}
- {label: end, type: endpoint}
connections:
- {from: s, to: ask}
- {from: ask, to: again}
- {from: again_condtrue, to: ask}
- {from: again_condfalse, to: end}
";
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let arguments = json!({"content": ROUNDS});
    let asks = client.request("tools/call", modern_call("dipeo_run", &arguments, None))["result"].clone();
    let first = asked_in(&asks).2;
    let more = modern_call("dipeo_run", &arguments, Some((&first, &accept(json!(true)))));
    let asks = client.request("tools/call", more.clone())["result"].clone();
    let second = asked_in(&asks).2;
    let replayed = client.request("tools/call", more)["result"].clone();
    assert_eq!(replayed["structuredContent"]["error"]["code"], "ALREADY_ANSWERED", "{replayed}");
    let enough = modern_call("dipeo_run", &arguments, Some((&second, &accept(json!(false)))));
    assert_eq!(client.request("tools/call", enough)["result"]["structuredContent"]["status"], "completed");
}

#[test]
fn a_state_that_is_not_ours_is_refused_and_starts_nothing() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let arguments = json!({"content": asking(&[NAME])});
    let asks = client.request("tools/call", modern_call("dipeo_run", &arguments, None))["result"].clone();
    let state = asked_in(&asks).2;
    let reply = accept(json!("Ann"));
    let turned: String = text(&state).chars().rev().collect();
    let longer = json!({"content": asking(&[NAME]), "wait_seconds": 3});
    let mut without = modern_call("dipeo_run", &arguments, Some((&state, &reply)));
    without.as_object_mut().expect("an object").remove("requestState");
    for (name, params) in [
        ("tampered", modern_call("dipeo_run", &arguments, Some((&json!(turned), &reply)))),
        ("empty", modern_call("dipeo_run", &arguments, Some((&json!(""), &reply)))),
        ("other arguments", modern_call("dipeo_run", &longer, Some((&state, &reply)))),
        (
            "other tool",
            modern_call("see_result", &json!({"execution_id": "exec_1", "wait_seconds": 1}), Some((&state, &reply))),
        ),
        ("no state", without),
    ] {
        let error = client.request("tools/call", params)["error"].clone();
        assert_eq!(
            (&error["code"], &error["data"]["code"]),
            (&json!(-32602), &json!("INVALID_REQUEST_STATE")),
            "{name}"
        );
    }
    assert_eq!(n_executions(&workspace), 1);
}

#[test]
fn another_process_of_the_user_takes_the_answer() {
    use std::os::unix::fs::PermissionsExt;
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let arguments = json!({"content": asking(&[NAME])});
    let asks = client.request("tools/call", modern_call("dipeo_run", &arguments, None))["result"].clone();
    let state = asked_in(&asks).2;
    assert!(client.finish().0.success());
    let key = std::fs::metadata(workspace.home().join("key")).expect("the key was made");
    assert_eq!((key.permissions().mode() & 0o777, key.len()), (0o600, 32));
    let mut client = StdioClient::start(&workspace);
    let retry = modern_call("dipeo_run", &arguments, Some((&state, &accept(json!("Ann")))));
    let ended = client.request("tools/call", retry)["result"]["structuredContent"].clone();
    assert_eq!((&ended["status"], &ended["outputs"]["end"]), (&json!("completed"), &json!("Ann")), "{ended}");
}

#[tokio::test]
async fn a_modern_client_is_asked_over_http_too() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let arguments = json!({"content": asking(&[NAME, NUMBER])});
    let mut answer = server.request("tools/call", modern_call("dipeo_run", &arguments, None)).await;
    for (message, typed) in [("Your name?", json!("Ann")), ("How many?", json!(3))] {
        let (shown, _, state) = asked_in(&answer["result"]);
        assert_eq!(shown, message);
        let retry = modern_call("dipeo_run", &arguments, Some((&state, &accept(typed))));
        answer = server.request("tools/call", retry).await;
    }
    assert_eq!(answer["result"]["structuredContent"]["outputs"]["end"], 3, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_belongs_to_its_principal_and_who_answered_is_recorded_by_name() {
    let workspace = workspace();
    let app = workspace.app();
    let stop = CancellationToken::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let config = McpConfig::for_server(&["127.0.0.1".to_owned()], &[], false, stop.clone());
    let router = dipeo::mcp::router(Arc::clone(&app), &config).layer(axum::middleware::from_fn(
        |mut request: axum::extract::Request, next: axum::middleware::Next| async move {
            let principal = request.headers().get("x-principal").and_then(|it| it.to_str().ok()).unwrap_or("nobody");
            let identity = Identity { principal: principal.into(), scopes: Scopes::ALL };
            request.extensions_mut().insert(identity);
            next.run(request).await
        },
    ));
    let stopped = stop.clone().cancelled_owned();
    let served = tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let request = async |principal: &str, params: Value| -> Value {
        let sent = client
            .post(format!("http://{address}/mcp"))
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", text(&params["name"]))
            .header("x-principal", principal)
            .json(&modern(1, "tools/call", params));
        sent.send().await.expect("an answer").json().await.expect("JSON")
    };
    let arguments = json!({"content": asking(&[SHIP])});
    let asks = request("ada", modern_call("dipeo_run", &arguments, None)).await["result"].clone();
    let state = asked_in(&asks).2;
    let retry = || modern_call("dipeo_run", &arguments, Some((&state, &accept(json!(true)))));
    let refused = request("bob", retry()).await;
    assert_eq!(refused["error"]["data"]["code"], "INVALID_REQUEST_STATE", "{refused}");

    // A model may not answer for a person, whoever it works for.
    let id = {
        let declined = modern_call("dipeo_run", &arguments, Some((&state, &json!({"action": "decline"}))));
        let paused = request("ada", declined).await["result"]["structuredContent"].clone();
        assert_eq!(paused["waiting_for"][0]["human_only"], true, "{paused}");
        assert!(text(&paused["next"]).starts_with("only a person may answer"), "{paused}");
        text(&paused["execution_id"]).to_owned()
    };
    for principal in ["ada", "local"] {
        let answer = json!({"execution_id": id, "action": "answer", "value": true, "wait_seconds": 0});
        let refused = request(principal, call("control_execution", answer)).await;
        let error = &refused["result"]["structuredContent"]["error"];
        assert_eq!(error["code"], "PERSON_REQUIRED", "{refused}");
    }
    let ended = request("ada", retry()).await["result"]["structuredContent"].clone();
    assert_eq!(ended["outputs"]["end"], true, "{ended}");
    assert_eq!(answered_by(&workspace, &id), ["ada via elicitation"]);
    stop.cancel();
    app.shut_down_runs().await;
    served.await.expect("no panic").expect("served");
}

/// No way leads a model around the person: neither a value instead of the run, nor one in a fork.
#[test]
fn a_model_gives_no_value_where_only_a_person_may_answer() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let asked = client.call("dipeo_run", json!({"content": asking(&[NAME, SHIP])}))["structuredContent"].clone();
    let id = text(&asked["execution_id"]).to_owned();
    let mut control = |action: &str, arguments: Value| {
        let mut all = json!({"execution_id": id, "action": action});
        all.as_object_mut().expect("an object").extend(arguments.as_object().expect("an object").clone());
        client.call("control_execution", all)["structuredContent"].clone()
    };
    let paused = control("pause", json!({}));
    assert_eq!(paused["pause_reason"], "operator", "{paused}");
    let refusals = |shown: &Value| assert_eq!(shown["error"]["code"], "PERSON_REQUIRED", "{shown}");
    refusals(&control("set_output", json!({"node": "q1", "value": true})));
    control("set_breakpoints", json!({"value": ["q1"]}));
    control("answer", json!({"node": "q0", "value": "Ann"}));
    let held = control("resume", json!({}));
    assert_eq!(held["pause_reason"], "breakpoint", "{held}");
    refusals(&control("set_output", json!({"node": "q1", "value": true})));
    refusals(&control("set_output", json!({"value": true})));
    refusals(&control("fork", json!({"node": "q1", "value": {"output": true}})));
    let done = printed(&workspace, &["control", &id, "set_output", "true", "--node", "q1"]);
    assert_eq!((&done["status"], &done["outputs"]["end"]), (&json!("completed"), &json!(true)), "{done}");
}

#[test]
fn a_question_of_a_child_is_asked_and_both_record_who_answered() {
    let workspace = workspace();
    workspace.write("files/child.light.yaml", &asking(&[NAME, COLOUR]));
    workspace.write(
        "files/parent.light.yaml",
        "version: light\nnodes:\n- {label: s, type: start}\n- {label: sub, type: sub_diagram, diagram_name: child}\n\
         - {label: end, type: endpoint}\nconnections:\n- {from: s, to: sub}\n- {from: sub, to: end}\n",
    );
    let mut client = StdioClient::start(&workspace);
    let arguments = json!({"diagram": "parent"});
    let mut answer = client.request("tools/call", modern_call("dipeo_run", &arguments, None));
    for (message, typed) in [("Your name?", "Ann"), ("Colour?", "Red")] {
        let (shown, _, state) = asked_in(&answer["result"]);
        assert_eq!(shown, message);
        let retry = modern_call("dipeo_run", &arguments, Some((&state, &accept(json!(typed)))));
        answer = client.request("tools/call", retry);
    }
    let ended = &answer["result"]["structuredContent"];
    assert_eq!((&ended["status"], &ended["outputs"]["end"]), (&json!("completed"), &json!("Red")), "{ended}");
    assert_eq!(answered_by(&workspace, text(&ended["execution_id"])), ["elicitation", "elicitation"]);
    let full = client.call("see_result", json!({"execution_id": ended["execution_id"], "detail": "full"}));
    let child = text(&full["structuredContent"]["children"][0]);
    assert_eq!(answered_by(&workspace, child), ["elicitation", "elicitation"]);
}

// --- the older revisions -----------------------------------------------------------------------------------

/// A client of an older revision, every message in hand.
struct Legacy {
    client: StdioClient,
    next_id: u64,
}

impl Legacy {
    fn start(workspace: &Workspace, version: &str, capabilities: Value) -> Self {
        let mut client = StdioClient::start(workspace);
        let about = json!({"name": "raw", "version": "1"});
        let params = json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": about});
        client.write(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string());
        assert_eq!(client.answer_to(0)["result"]["protocolVersion"], version);
        client.write(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        Self { client, next_id: 1 }
    }

    fn send(&mut self, tool: &str, arguments: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call(tool, arguments)});
        self.client.write(&request.to_string());
        id
    }

    /// The server's next request of `method`: its id and parameters.
    fn asked(&mut self, method: &str) -> (Value, Value) {
        let message = self.client.read();
        assert_eq!(message["method"], method, "{message}");
        (message["id"].clone(), message["params"].clone())
    }

    fn reply(&mut self, id: &Value, result: &Value) {
        self.client.write(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string());
    }

    fn execution(&mut self, id: u64) -> Value {
        self.client.answer_to(id)["result"]["structuredContent"].clone()
    }
}

#[test]
fn a_legacy_client_is_asked_during_its_call() {
    for version in ["2025-06-18", "2025-11-25"] {
        let workspace = workspace();
        let mut client = Legacy::start(&workspace, version, json!({"elicitation": {}}));
        for (questions, replies, status, by) in [
            (vec![NAME], vec![("Your name?", accept(json!("Ann")))], "completed", vec!["elicitation"]),
            (
                vec![NAME, SHIP],
                vec![("Your name?", accept(json!("Ann"))), ("Ship it?", accept(json!(false)))],
                "completed",
                vec!["elicitation", "elicitation"],
            ),
            (vec![NAME], vec![("Your name?", json!({"action": "decline"}))], "paused", vec![]),
            (vec![NAME], vec![("Your name?", json!({"action": "cancel"}))], "paused", vec![]),
            (
                vec![NUMBER],
                vec![
                    ("How many?", accept(json!("many"))),
                    ("answer with a number such as 3 or 2.5\n\nHow many?", accept(json!(2))),
                ],
                "completed",
                vec!["elicitation"],
            ),
            (vec![NUMBER], vec![("How many?", accept(json!("x"))); 3], "paused", vec![]),
        ] {
            let call = client.send("dipeo_run", json!({"content": asking(&questions)}));
            for (message, reply) in &replies {
                let (id, params) = client.asked("elicitation/create");
                assert!(text(&params["message"]).ends_with(message), "{params}");
                assert_eq!(params["requestedSchema"]["required"], json!(["answer"]));
                client.reply(&id, reply);
            }
            let execution = client.execution(call);
            assert_eq!(execution["status"], status, "{version} {questions:?} {execution}");
            assert_eq!(execution["waiting_for"].is_array(), status == "paused");
            assert_eq!(answered_by(&workspace, text(&execution["execution_id"])), by, "{questions:?}");
        }
    }
}

#[test]
fn a_legacy_client_that_declared_nothing_or_fails_gets_the_plain_answer() {
    let workspace = workspace();
    let mut client = Legacy::start(&workspace, "2025-11-25", json!({}));
    let call = client.send("dipeo_run", json!({"content": asking(&[NAME])}));
    assert_eq!(client.execution(call)["status"], "paused");
    let mut client = Legacy::start(&workspace, "2025-11-25", json!({"elicitation": {"form": {}}}));
    let call = client.send("dipeo_run", json!({"content": asking(&[NAME])}));
    let (id, _) = client.asked("elicitation/create");
    let error = json!({"code": -32603, "message": "no window"});
    client.client.write(&json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
    assert_eq!(client.execution(call)["status"], "paused");
}

#[test]
fn a_question_answered_elsewhere_is_taken_back_and_the_call_goes_on() {
    let workspace = workspace();
    let mut client = Legacy::start(&workspace, "2025-11-25", json!({"elicitation": {}}));
    let call = client.send("dipeo_run", json!({"content": asking(&[NAME, NUMBER])}));
    let (first, _) = client.asked("elicitation/create");
    let id = text(&printed(&workspace, &["results"])["executions"][0]["execution_id"]).to_owned();
    printed(&workspace, &["control", &id, "answer", "Bob"]);
    let (_, cancelled) = client.asked("notifications/cancelled");
    assert_eq!(
        (&cancelled["requestId"], &cancelled["reason"]),
        (&first, &json!("the question was answered elsewhere"))
    );
    let (second, params) = client.asked("elicitation/create");
    assert_eq!(params["message"], "How many?");
    // What comes for the request that was taken back counts for nothing.
    client.reply(&first, &accept(json!("Ann")));
    client.reply(&second, &accept(json!(4)));
    assert_eq!(client.execution(call)["outputs"]["end"], 4);
    assert_eq!(answered_by(&workspace, &id), ["terminal", "elicitation"]);
}

#[test]
fn a_client_that_cancels_its_call_takes_the_question_with_it() {
    let workspace = workspace();
    let mut client = Legacy::start(&workspace, "2025-11-25", json!({"elicitation": {}}));
    let call = client.send("dipeo_run", json!({"content": asking(&[NAME])}));
    let (asked, _) = client.asked("elicitation/create");
    let params = json!({"requestId": call, "reason": "the user left"});
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    client.client.write(&notification.to_string());
    assert_eq!(client.asked("notifications/cancelled").1["requestId"], asked);
    let id = text(&printed(&workspace, &["results"])["executions"][0]["execution_id"]).to_owned();
    let call = client.send("see_result", json!({"execution_id": id}));
    assert_eq!(client.execution(call)["status"], "paused", "the execution goes on waiting");
}

// --- the library's client ----------------------------------------------------------------------------------

/// A user who gives one reply after the other.
#[derive(Clone)]
struct User(Arc<Mutex<Vec<Value>>>);

impl ClientHandler for User {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("user", "1"))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let mut replies = self.0.lock().expect("no panic");
        if replies.is_empty() {
            return Ok(ElicitResult::new(ElicitationAction::Decline));
        }
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({"answer": replies.remove(0)})))
    }
}

#[tokio::test]
async fn the_clients_of_the_library_are_asked_on_both_transports() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for over_http in [false, true] {
        for (replies, status, output) in [
            (vec![json!("Ann"), json!("x"), json!(5)], "completed", json!(5)),
            (vec![json!("Ann")], "paused", Value::Null),
        ] {
            let user = User(Arc::new(Mutex::new(replies)));
            let service = if over_http {
                let transport = StreamableHttpClientTransport::from_uri(format!("{}/mcp", server.url));
                user.serve(transport).await.expect("a handshake")
            } else {
                let mut command = tokio::process::Command::from(workspace.command());
                command.arg("mcp");
                user.serve(TokioChildProcess::new(command).expect("the program starts")).await.expect("a handshake")
            };
            let arguments = json!({"content": asking(&[NAME, NUMBER])});
            let params = CallToolRequestParams::new("dipeo_run")
                .with_arguments(arguments.as_object().cloned().expect("an object"));
            let called = service.call_tool(params).await.expect("a result");
            let execution = called.structured_content.expect("an execution");
            assert_eq!((&execution["status"], &execution["outputs"]["end"]), (&json!(status), &output), "{execution}");
            service.cancel().await.expect("it ends");
        }
    }
}

// --- sampling ----------------------------------------------------------------------------------------------

const TALK: &str = "\
version: light
persons:
  Poet: {service: caller, system_prompt: 'You are brief.'}
nodes:
- {label: s, type: start}
- {label: write, type: person_job, person: Poet, default_prompt: 'A line about tea.', max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: s, to: write}
- {from: write, to: end}
";

const RATE: &str = "\
version: light
persons:
  Judge: {service: caller}
nodes:
- {label: s, type: start}
- label: rate
  type: person_job
  person: Judge
  default_prompt: 'Rate it.'
  max_iteration: 1
  text_format: {type: object, properties: {score: {type: integer}}, required: [score]}
- {label: end, type: endpoint}
connections:
- {from: s, to: rate}
- {from: rate, to: end}
";

fn said(reply: &str) -> Value {
    json!({"role": "assistant", "content": {"type": "text", "text": reply}, "model": "m", "stopReason": "endTurn"})
}

#[test]
fn a_model_is_lent_only_when_the_client_offers_it_and_the_run_asks_for_it() {
    let workspace = workspace();
    let run = |client: &mut Legacy, models: Option<&str>| {
        let mut arguments = json!({"content": TALK});
        if let Some(models) = models {
            arguments["models"] = json!(models);
        }
        client.send("dipeo_run", arguments)
    };
    let mut client = Legacy::start(&workspace, "2025-11-25", json!({"sampling": {}}));
    let call = run(&mut client, Some("caller"));
    let (id, params) = client.asked("sampling/createMessage");
    assert_eq!((&params["systemPrompt"], &params["messages"][0]["role"]), (&json!("You are brief."), &json!("user")));
    assert_eq!(params["messages"][0]["content"]["text"], "A line about tea.");
    client.reply(&id, &said("Leaves in hot rain."));
    let ended = client.execution(call);
    assert_eq!((&ended["status"], &ended["outputs"]["end"]), (&json!("completed"), &json!("Leaves in hot rain.")));
    assert_eq!(answered_by(&workspace, text(&ended["execution_id"])), ["sampling"]);

    let call = run(&mut client, None);
    assert_eq!(client.execution(call)["pause_reason"], "model", "the run did not ask for it");
    let call = run(&mut client, Some("caller"));
    let (id, _) = client.asked("sampling/createMessage");
    let error = json!({"code": -1, "message": "User rejected sampling request"});
    client.client.write(&json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
    let parked = client.execution(call);
    assert_eq!(parked["pause_reason"], "model");
    let answer = json!({"execution_id": parked["execution_id"], "action": "answer", "value": "Steam."});
    let call = client.send("control_execution", answer);
    assert_eq!(client.execution(call)["outputs"]["end"], "Steam.");

    let mut client = Legacy::start(&workspace, "2025-11-25", json!({"elicitation": {}}));
    let call = run(&mut client, Some("caller"));
    assert_eq!(client.execution(call)["pause_reason"], "model", "the client did not offer it");
}

#[test]
fn a_reply_that_does_not_fit_its_schema_is_asked_for_once_more() {
    let workspace = workspace();
    let mut client = Legacy::start(&workspace, "2025-11-25", json!({"sampling": {}}));
    for (replies, output) in [
        (vec!["very good", "{\"score\": 9}"], Some(json!({"score": 9}))),
        (vec!["very good", "{\"score\": \"high\"}"], None),
    ] {
        let call = client.send("dipeo_run", json!({"content": RATE, "models": "caller"}));
        for (n, reply) in replies.iter().enumerate() {
            let (id, params) = client.asked("sampling/createMessage");
            let messages = params["messages"].as_array().expect("a list");
            assert_eq!(messages.len(), 1 + 2 * n, "{params}");
            assert!(text(&messages[0]["content"]["text"]).contains("\"score\""), "the schema is said: {params}");
            client.reply(&id, &said(reply));
        }
        let execution = client.execution(call);
        match output {
            Some(output) => assert_eq!(execution["outputs"]["end"], output, "{execution}"),
            None => assert_eq!(execution["pause_reason"], "model", "{execution}"),
        }
    }
}
