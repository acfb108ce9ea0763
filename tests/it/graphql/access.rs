//! Who may ask what: tokens, scopes, principals, over both transports.

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Heard, Socket, ask_as};
use crate::harness::{self, Workspace, workspace};
use crate::mcp_client::{ASKS_CALLER, HttpServer};

const RUN: &str =
    "mutation { executeDiagram(input: {diagram_id: \"asks\"}) { success error_type envelope data { id } } }";
const GET: &str = "query($id: String!) { getExecution(execution_id: $id) { id status } }";
const FOLLOW: &str = "subscription($id: String!) { executionUpdates(execution_id: $id) { type } }";

fn token(workspace: &Workspace, user: &str, role: &str) -> String {
    let made = harness::json(workspace, &["tokens", "create", "--user", user, "--role", role]);
    made["token"].as_str().expect("a token").to_owned()
}

fn asking() -> (Workspace, HttpServer) {
    let workspace = workspace();
    workspace.write("projects/asks.light.yaml", ASKS_CALLER);
    let server = HttpServer::start_with(&workspace, &[], &[("DIPEO_TOKEN", "the-token-of-the-owner-of-this-server")]);
    (workspace, server)
}

#[tokio::test]
async fn without_a_token_nothing_is_carried_out_and_only_the_page_is_shown() {
    let (_workspace, server) = asking();
    let request = server.http(Method::POST, "/graphql").json(&json!({"query": "{ __typename }"}));
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key("www-authenticate"));
    for path in ["/graphql", "/graphql/page.js", "/graphql/page.css"] {
        assert_eq!(server.http(Method::GET, path).send().await.expect("an answer").status(), 200, "{path}");
        let wrong = server.http(Method::GET, path).bearer_auth("wrong").send().await.expect("an answer");
        assert_eq!(wrong.status(), 401, "{path}");
    }
    let answer = ask_as(&server, Some("the-token-of-the-owner-of-this-server"), "{ __typename }", json!({})).await;
    assert_eq!(answer, json!({"data": {"__typename": "Query"}}));
}

#[tokio::test]
async fn a_socket_is_opened_by_a_token_in_the_handshake_or_in_the_request() {
    let (workspace, server) = asking();
    let ada = token(&workspace, "ada", "editor");
    let protocol = Some("graphql-transport-ws");
    for (payload, expected) in [
        (json!({"Authorization": format!("Bearer {ada}")}), Ok(())),
        (json!({"authorization": format!("bearer {ada}")}), Ok(())),
        (json!({}), Err(4401)),
        (Value::Null, Err(4401)),
        (json!({"Authorization": 1}), Err(4401)),
        (json!({"Authorization": "Bearer wrong"}), Err(4403)),
        (json!({"Authorization": ada}), Err(4403)),
        (json!({"Authorization": format!("Basic {ada}")}), Err(4403)),
    ] {
        let mut socket = Socket::open(&server, protocol).await;
        socket.say(json!({"type": "connection_init", "payload": payload})).await;
        let heard = match socket.hear().await {
            Heard::Message(message) => {
                assert_eq!(message, json!({"type": "connection_ack"}));
                Ok(())
            }
            closed => Err(closed.code()),
        };
        assert_eq!(heard, expected, "{payload}");
    }
    // Nothing is carried out for who has not said who they are.
    let mut stranger = Socket::open(&server, protocol).await;
    stranger.subscribe("1", "{ __typename }", json!({})).await;
    assert_eq!(stranger.hear().await.code(), 4401);
    // Programs can show it with the request; then the handshake need not.
    let header = format!("Bearer {ada}");
    let mut known = Socket::open_with(&server, protocol, &[("Authorization", &header)]).await.expect("a socket");
    known.say(json!({"type": "connection_init"})).await;
    assert_eq!(known.hear().await.message(), json!({"type": "connection_ack"}));
    let refused = Socket::open_with(&server, protocol, &[("Authorization", "Bearer wrong")]).await;
    assert_eq!(refused.err(), Some(401));
}

#[tokio::test]
async fn pages_of_others_open_no_socket_and_post_nothing() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let protocol = Some("graphql-transport-ws");
    let foreign = Socket::open_with(&server, protocol, &[("Origin", "https://evil.example")]).await;
    assert_eq!(foreign.err(), Some(403));
    let own = Socket::open_with(&server, protocol, &[("Origin", &server.url)]).await;
    assert!(own.is_ok());
    let request = server.http(Method::POST, "/graphql").header("origin", "https://evil.example");
    let posted = request.json(&json!({"query": "{ __typename }"})).send().await.expect("an answer");
    assert_eq!(posted.status(), 403);
}

#[tokio::test]
async fn what_scopes_do_not_allow_is_refused_by_the_handler_in_its_own_words() {
    let (workspace, server) = asking();
    let (ada, reader) = (token(&workspace, "ada", "editor"), token(&workspace, "ada", "viewer"));
    let ran = ask_as(&server, Some(&ada), RUN, json!({})).await;
    let id = ran["data"]["executeDiagram"]["data"]["id"].as_str().expect("an id").to_owned();
    let seen = ask_as(&server, Some(&reader), GET, json!({"id": id})).await;
    assert_eq!(seen["data"]["getExecution"]["id"], json!(id));
    let refused = ask_as(&server, Some(&reader), RUN, json!({})).await;
    let result = &refused["data"]["executeDiagram"];
    assert_eq!(
        (&result["success"], &result["error_type"]),
        (&json!(false), &json!("INSUFFICIENT_SCOPE")),
        "{refused:#}"
    );
    assert_eq!(result["envelope"]["error"]["details"]["required"], json!(["execution:run"]));
    assert!(result["data"].is_null());
}

#[tokio::test]
async fn the_execution_of_another_does_not_exist() {
    let (workspace, server) = asking();
    let (ada, bob) = (token(&workspace, "ada", "editor"), token(&workspace, "bob", "editor"));
    let ran = ask_as(&server, Some(&ada), RUN, json!({})).await;
    let id = ran["data"]["executeDiagram"]["data"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(ask_as(&server, Some(&bob), GET, json!({"id": id})).await, json!({"data": {"getExecution": null}}));
    let listed = ask_as(&server, Some(&bob), "{ listExecutions { id } }", json!({})).await;
    assert_eq!(listed, json!({"data": {"listExecutions": []}}));
    let header = format!("Bearer {bob}");
    let opened = Socket::open_with(&server, Some("graphql-transport-ws"), &[("Authorization", &header)]).await;
    let mut socket = opened.expect("a socket");
    socket.say(json!({"type": "connection_init"})).await;
    socket.hear().await.message();
    socket.subscribe("1", FOLLOW, json!({"id": id})).await;
    let refused = socket.hear().await.message();
    assert_eq!(refused["payload"][0]["extensions"]["code"], "EXECUTION_NOT_FOUND", "{refused:#}");
}
