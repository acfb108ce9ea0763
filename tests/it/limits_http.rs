//! The limits of the HTTP server, on the wire.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{self, workspace};
use crate::mcp_client::{HttpServer, modern};

#[tokio::test]
async fn a_principal_who_asks_too_often_is_told_when_to_come_back_and_the_others_go_on() {
    let workspace = workspace();
    workspace.write("dipeo.toml", "[limits]\nrequests_per_minute = 3\n");
    let token = |user: &str| {
        let made = harness::json(&workspace, &["tokens", "create", "--user", user]);
        made["token"].as_str().expect("a token").to_owned()
    };
    let (ada, bob) = (token("ada"), token("bob"));
    let server = HttpServer::start(&workspace);
    let get = async |token: &str| {
        let response = server.http(Method::GET, "/mcp/tools").bearer_auth(token).send().await.expect("an answer");
        let after = response.headers().get("retry-after").map(|it| it.to_str().expect("text").to_owned());
        (response.status().as_u16(), after, response.json::<Value>().await.expect("JSON"))
    };
    for _ in 0..3 {
        assert_eq!(get(&ada).await.0, 200);
    }
    let (status, after, body) = get(&ada).await;
    assert_eq!((status, &body["error"]["code"]), (429, &json!("TOO_MANY_REQUESTS")));
    assert!(after.expect("a header").parse::<u64>().is_ok_and(|it| (1..=20).contains(&it)));
    assert_eq!(get(&bob).await.0, 200);
}

#[tokio::test]
async fn too_many_open_streams_are_refused_and_one_that_closes_makes_room() {
    let workspace = workspace();
    workspace.write("dipeo.toml", "[limits]\nopen_streams = 1\n");
    let server = HttpServer::start(&workspace);
    let listen = modern(1, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let mut first = server.post("/mcp", &listen).await;
    assert!(first.chunk().await.expect("a stream").is_some());
    let second = server.post("/mcp", &listen).await;
    assert_eq!(second.status(), 429);
    assert!(second.headers().contains_key("retry-after"));
    let plain = server.request("tools/list", json!({})).await;
    assert!(plain["result"]["tools"].is_array(), "what is no stream goes on: {plain}");
    drop(first);
    while server.post("/mcp", &listen).await.status() == 429 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn heads_with_too_much_in_them_and_addresses_with_unknown_parameters_are_refused() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut many = server.http(Method::GET, "/health");
    for n in 0..100 {
        many = many.header(format!("x-{n}"), "1");
    }
    assert_eq!(many.send().await.expect("an answer").status(), 431);
    let large = server.http(Method::GET, "/health").header("x-large", "x".repeat(64 * 1024)).send().await;
    assert!(large.is_err() || large.is_ok_and(|it| it.status() == 431));
    for path in ["/mcp?session=1", "/mcp/info?detail=full", "/health?x", "/?a=b"] {
        let response = server.http(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), 400, "{path}");
        let body: Value = response.json().await.expect("JSON");
        assert!(body["error"]["message"].as_str().is_some_and(|it| it.contains("no parameter")), "{body}");
    }
    assert_eq!(server.http(Method::GET, "/health?").send().await.expect("an answer").status(), 200);
}

#[test]
fn a_limit_that_lets_nothing_through_starts_nothing() {
    let workspace = workspace();
    for line in ["requests_per_minute = 0", "open_streams = 99999999", "open_stream = 5"] {
        workspace.write("dipeo.toml", &format!("[limits]\n{line}\n"));
        let output = workspace.command().args(["serve", "--port", "0"]).output().expect("runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{line}: {text}");
        assert!(text.contains(line.split(' ').next().unwrap_or_default()), "{text}");
    }
}
