//! `executionUpdates` and the protocol it comes by: whoever subscribes, whenever, hears the whole story once.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::client::{Heard, Socket, data};
use crate::harness::{Workspace, workspace};
use crate::mcp_client::{ASKS_CALLER, HELLO, HttpServer};

const UPDATES: &str = "subscription($id: String!, $seq: Int) {
  executionUpdates(execution_id: $id, last_seq: $seq) {
    type execution_id node_id status result error timestamp node_type tokens data
  }
}";
const RUN: &str = "mutation($name: ID!) {
  executeDiagram(input: {diagram_id: $name}) { success error_type data { id } }
}";
const ANSWER: &str = "mutation($id: ID!, $node: ID!, $text: String!) {
  sendInteractiveResponse(input: {execution_id: $id, node_id: $node, response: $text}) { success error error_type }
}";

/// Asks twenty times, one question after the other.
const ASKS_OFTEN: &str = "\
version: light
persons:
  Guest: {service: caller}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: ask, type: person_job, person: Guest, default_prompt: \"And?\", first_only_prompt: \"Best?\", max_iteration: 20}
- {label: enough, type: condition, condition_type: detect_max_iterations}
- {label: end, type: endpoint}
connections:
- {from: start, to: ask_first}
- {from: ask, to: enough}
- {from: enough_condfalse, to: ask}
- {from: enough_condtrue, to: end}
";

fn with(diagrams: &[(&str, &str)]) -> (Workspace, HttpServer) {
    let workspace = workspace();
    for (name, text) in diagrams {
        workspace.write(&format!("projects/{name}.light.yaml"), text);
    }
    let server = HttpServer::start(&workspace);
    (workspace, server)
}

async fn run(server: &HttpServer, name: &str) -> String {
    let ran = data(server, RUN, json!({"name": name})).await;
    ran["executeDiagram"]["data"]["id"].as_str().unwrap_or_else(|| panic!("{ran:#}")).to_owned()
}

async fn follow(socket: &mut Socket, operation: &str, id: &str, last_seq: Option<u64>) {
    socket.subscribe(operation, UPDATES, json!({"id": id, "seq": last_seq})).await;
}

fn update(payload: &Value) -> &Value {
    assert!(payload.get("errors").is_none(), "{payload:#}");
    &payload["data"]["executionUpdates"]
}

fn seqs(updates: &[Value]) -> Vec<u64> {
    updates.iter().map(|it| update(it)["data"]["seq"].as_u64().expect("a seq")).collect()
}

/// All that there is to hear of an execution that ends.
async fn story(server: &HttpServer, id: &str) -> Vec<Value> {
    let mut socket = Socket::ready(server).await;
    follow(&mut socket, "1", id, None).await;
    socket.hear_all("1").await
}

#[tokio::test]
async fn execution_updates_tell_the_whole_story_whenever_somebody_subscribes() {
    let (_workspace, server) = with(&[("asks", ASKS_CALLER)]);
    let id = run(&server, "asks").await;
    // During: from the first event to the question, then from the answer to the end.
    let mut socket = Socket::ready(&server).await;
    follow(&mut socket, "early", &id, None).await;
    let mut heard = Vec::new();
    loop {
        let payload = socket.hear().await.message()["payload"].clone();
        let is_paused = update(&payload)["type"] == "EXECUTION_PAUSED";
        heard.push(payload);
        if is_paused {
            break;
        }
    }
    let asked = heard.iter().map(update).find(|it| it["type"] == "INTERACTIVE_PROMPT").expect("a question");
    assert_eq!((&asked["node_id"], &asked["status"]), (&json!("node_1"), &json!("PAUSED")), "{asked:#}");
    let answer = json!({"id": id, "node": "ask", "text": "Assam"});
    let answered = data(&server, ANSWER, answer).await;
    assert_eq!(answered["sendInteractiveResponse"]["success"], true, "{answered:#}");
    heard.extend(socket.hear_all("early").await);
    assert_eq!(seqs(&heard), (1..=heard.len() as u64).collect::<Vec<_>>(), "no gap, nothing twice");
    // After: the same, and complete at once.
    assert_eq!(story(&server, &id).await, heard);
    let last = update(heard.last().expect("an event"));
    assert_eq!((&last["type"], &last["status"]), (&json!("EXECUTION_COMPLETED"), &json!("COMPLETED")));
    assert_eq!(last["result"], json!({"end": "Assam"}));
    let done = heard.iter().map(update).find(|it| it["type"] == "NODE_COMPLETED" && it["node_id"] == "node_1");
    assert_eq!(done.expect("the node")["result"], "Assam");
}

#[tokio::test]
async fn a_subscriber_that_is_cut_off_and_comes_back_misses_nothing_and_hears_nothing_twice() {
    let (_workspace, server) = with(&[("often", ASKS_OFTEN)]);
    let id = run(&server, "often").await;
    let mut heard: Vec<Value> = Vec::new();
    let mut n_answers = 0;
    // Each round hears a different number of events before the connection is simply gone.
    for cut_after in (1..).map(|it| 1 + it * 7 % 5) {
        let mut socket = Socket::ready(&server).await;
        let last_seq = seqs(&heard).last().copied();
        follow(&mut socket, "1", &id, last_seq).await;
        let mut is_complete = false;
        for _ in 0..cut_after {
            let message = socket.hear().await.message();
            if message["type"] == "complete" {
                is_complete = true;
                break;
            }
            let payload = message["payload"].clone();
            if update(&payload)["type"] == "EXECUTION_PAUSED" && n_answers < 20 {
                n_answers += 1;
                let answer = json!({"id": id, "node": "ask", "text": format!("answer {n_answers}")});
                let answered = data(&server, ANSWER, answer).await;
                assert_eq!(answered["sendInteractiveResponse"]["success"], true, "{answered:#}");
            }
            heard.push(payload);
        }
        drop(socket);
        if is_complete {
            break;
        }
    }
    assert_eq!(seqs(&heard), (1..=heard.len() as u64).collect::<Vec<_>>());
    assert_eq!(story(&server, &id).await, heard);
    assert_eq!(n_answers, 20);
}

#[tokio::test]
async fn a_subscription_that_cannot_begin_is_an_error_and_the_socket_stays() {
    let (_workspace, server) = with(&[("hello", HELLO)]);
    let id = run(&server, "hello").await;
    story(&server, &id).await;
    let mut socket = Socket::ready(&server).await;
    for (query, variables, code) in [
        (UPDATES, json!({"id": "exec_00000000000000000000000000000000"}), "EXECUTION_NOT_FOUND"),
        (UPDATES, json!({"id": "nonsense"}), "INVALID_EXECUTION_ID"),
        (UPDATES, json!({"id": id, "seq": -1}), "INVALID_INPUT"),
        (UPDATES, json!({"id": id, "seq": 1_000_000}), "INVALID_INPUT"),
        (UPDATES, json!({}), "INVALID_QUERY"),
        ("subscription { nothing }", json!({}), "INVALID_QUERY"),
        ("{", json!({}), "INVALID_QUERY"),
        ("{ ...A } fragment A on Query { ...A }", json!({}), "INVALID_QUERY"),
    ] {
        socket.subscribe("x", query, variables.clone()).await;
        let message = socket.hear().await.message();
        assert_eq!(
            (&message["type"], &message["id"]),
            (&json!("error"), &json!("x")),
            "{query} {variables}: {message:#}"
        );
        assert_eq!(message["payload"][0]["extensions"]["code"], code, "{message:#}");
    }
    socket.say(json!({"id": "x", "type": "subscribe", "payload": {"query": 1}})).await;
    assert_eq!(socket.hear().await.message()["payload"][0]["extensions"]["code"], "INVALID_INPUT");
    follow(&mut socket, "x", &id, None).await;
    assert!(!socket.hear_all("x").await.is_empty());
}

#[tokio::test]
async fn one_socket_carries_queries_mutations_and_many_subscriptions() {
    let (_workspace, server) = with(&[("hello", HELLO), ("asks", ASKS_CALLER)]);
    let mut socket = Socket::ready(&server).await;
    socket.subscribe("run", RUN, json!({"name": "hello"})).await;
    let ran = socket.hear_all("run").await;
    let id = ran[0]["data"]["executeDiagram"]["data"]["id"].as_str().expect("an id").to_owned();
    let waiting = run(&server, "asks").await;
    follow(&mut socket, "open", &waiting, None).await;
    let mut n_open = 0;
    follow(&mut socket, "short", &id, None).await;
    loop {
        let message = socket.hear().await.message();
        match (message["id"].as_str(), message["type"].as_str()) {
            (Some("open"), Some("next")) => n_open += 1,
            (Some("short"), Some("next")) => {}
            (Some("short"), Some("complete")) => break,
            _ => panic!("{message:#}"),
        }
    }
    // Whoever has heard enough says so; the id is free again.
    socket.say(json!({"id": "open", "type": "complete"})).await;
    socket.subscribe("open", "{ __typename }", json!({})).await;
    loop {
        let message = socket.hear().await.message();
        if message["type"] == "complete" {
            break;
        }
        n_open += usize::from(message["payload"]["data"].get("executionUpdates").is_some());
    }
    assert!(n_open > 0);
    socket.say(json!({"type": "ping", "payload": {"n": 1}})).await;
    assert_eq!(socket.hear().await.message(), json!({"type": "pong", "payload": {"n": 1}}));
    socket.say(json!({"type": "pong"})).await;
    socket.say(json!({"type": "ping"})).await;
    assert_eq!(socket.hear().await.message(), json!({"type": "pong"}));
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_told_how() {
    let (_workspace, server) = with(&[("asks", ASKS_CALLER)]);
    let id = run(&server, "asks").await;
    let init = json!({"type": "connection_init"});
    let subscribe = json!({"id": "1", "type": "subscribe", "payload": {"query": UPDATES, "variables": {"id": id}}});
    for (messages, code) in [
        (vec![Message::text("nonsense")], 4400),
        (vec![Message::text("[]")], 4400),
        (vec![Message::text("{\"type\": \"start\"}")], 4400),
        (vec![Message::text("{\"type\": \"connection_init\", \"payload\": 1}")], 4400),
        (vec![Message::binary(init.to_string().into_bytes())], 4400),
        (vec![Message::text(init.to_string()), Message::text("{\"type\": \"subscribe\", \"id\": \"1\"}")], 4400),
        (vec![Message::text(subscribe.to_string())], 4401),
        (vec![Message::text(init.to_string()), Message::text(init.to_string())], 4429),
        (
            vec![
                Message::text(init.to_string()),
                Message::text(subscribe.to_string()),
                Message::text(subscribe.to_string()),
            ],
            4409,
        ),
    ] {
        let mut socket = Socket::open(&server, Some("graphql-transport-ws")).await;
        for message in &messages {
            socket.send(message.clone()).await;
        }
        let closed = loop {
            match socket.hear().await {
                Heard::Message(_) => {}
                closed => break closed,
            }
        };
        assert_eq!(closed.code(), code, "{messages:?}");
    }
    for protocol in [None, Some("graphql-ws"), Some("soap")] {
        let mut socket = Socket::open(&server, protocol).await;
        assert_eq!(socket.hear().await.code(), 4406, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_is_closed_and_one_among_others_is_chosen() {
    let (_workspace, server) = with(&[]);
    let mut silent = Socket::open(&server, Some("graphql-transport-ws")).await;
    let mut choice = Socket::open(&server, Some("graphql-ws, graphql-transport-ws")).await;
    choice.say(json!({"type": "connection_init", "payload": {"any": "thing"}})).await;
    assert_eq!(choice.hear().await.message(), json!({"type": "connection_ack"}));
    assert_eq!(silent.hear().await, Heard::Closed(4408, "Connection initialisation timeout".to_owned()));
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_to_its_subscribers() {
    let (_workspace, server) = with(&[("asks", ASKS_CALLER)]);
    let id = run(&server, "asks").await;
    let mut socket = Socket::ready(&server).await;
    follow(&mut socket, "1", &id, None).await;
    socket.hear().await.message();
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    let closed = loop {
        match socket.hear().await {
            Heard::Message(_) => {}
            closed => break closed,
        }
    };
    assert_eq!(closed.code(), 1001);
    drop(socket);
    let (status, took) = stopped.await.expect("it stops");
    assert!(status.success() && took.as_secs() < 5, "{status} {took:?}");
}

#[tokio::test]
async fn too_many_operations_on_one_socket_are_refused_and_the_others_go_on() {
    let (_workspace, server) = with(&[("asks", ASKS_CALLER)]);
    let id = run(&server, "asks").await;
    let mut socket = Socket::ready(&server).await;
    for n in 0..=100 {
        follow(&mut socket, &n.to_string(), &id, Some(2)).await;
    }
    let refused = loop {
        let message = socket.hear().await.message();
        if message["type"] == "error" {
            break message;
        }
    };
    assert_eq!(
        (&refused["id"], &refused["payload"][0]["extensions"]["code"]),
        (&json!("100"), &json!("TOO_MANY_STREAMS"))
    );
    socket.say(json!({"type": "ping"})).await;
    loop {
        if socket.hear().await.message()["type"] == "pong" {
            break;
        }
    }
}
