//! API tokens, from the terminal that makes them to the server that asks for them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{self, Workspace, workspace};
use crate::mcp_client::{HELLO, HttpServer, call, modern};

/// Makes a token and returns it with its id.
fn create(workspace: &Workspace, arguments: &[&str]) -> (String, String) {
    let made = harness::json(workspace, &[&["tokens", "create"], arguments].concat());
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&made["token"]), text(&made["tokens"][0]["id"]))
}

async fn status(server: &HttpServer, token: Option<&str>) -> StatusCode {
    let request = server.http(Method::GET, "/mcp/info");
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.expect("an answer").status()
}

/// Calls a tool with a token; the status, and the result or the error.
async fn call_as(server: &HttpServer, token: &str, tool: &str, arguments: Value) -> (StatusCode, Value) {
    let message = modern(1, "tools/call", call(tool, arguments));
    let response = server.prepared("/mcp", &message).bearer_auth(token).send().await.expect("an answer");
    let status = response.status();
    let body: Value = response.json().await.expect("JSON");
    (status, body.get("result").cloned().unwrap_or(body))
}

#[tokio::test]
async fn a_running_server_asks_from_the_first_token_on_and_stops_taking_one_at_once() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    assert_eq!(status(&server, None).await, 200, "nobody has a token, so nobody is asked");
    let (token, id) = create(&workspace, &["--name", "laptop"]);
    assert!(token.starts_with("dpo_") && token.len() == 47, "{token}");
    // Another process made it, so the server notices with its next look at the file.
    while status(&server, None).await == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&server, None).await, 401);
    assert_eq!(status(&server, Some(&token)).await, 200);
    let by_key = server.http(Method::GET, "/mcp/info").header("x-api-key", &token).send().await.expect("an answer");
    assert_eq!(by_key.status(), 200);
    assert_eq!(by_key.json::<Value>().await.expect("JSON")["authentication"]["method"], "bearer");

    let revoked = harness::json(&workspace, &["tokens", "revoke", &id]);
    assert_eq!((&revoked["count"], &revoked["tokens"][0]["state"]), (&json!(1), &json!("revoked")));
    assert_eq!(status(&server, Some(&token)).await, 401, "not one more request");
    assert_eq!(status(&server, None).await, 401, "a revocation opens nothing");
    assert_eq!(harness::json(&workspace, &["tokens", "forget"])["count"], 1);
    while status(&server, None).await == 401 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn refusals_say_how_to_ask_and_never_repeat_what_was_shown() {
    let workspace = workspace();
    let (token, _) = create(&workspace, &[]);
    let server = HttpServer::start(&workspace);
    let wrong = format!("{}x", &token[..46]);
    for (header, value, has_error) in [
        ("accept", "*/*", false),
        ("authorization", format!("Bearer {wrong}").as_str(), true),
        ("authorization", format!("Basic {token}").as_str(), true),
        ("x-api-key", &wrong, true),
    ] {
        let response = server.http(Method::GET, "/mcp/tools").header(header, value).send().await.expect("an answer");
        assert_eq!(response.status(), 401, "{header}");
        let challenge = response.headers()["www-authenticate"].to_str().expect("text").to_owned();
        assert!(challenge.starts_with("Bearer ") && challenge.contains("scope=\"diagram:read"), "{challenge}");
        assert_eq!(challenge.contains("invalid_token"), has_error, "{header}: {challenge}");
        let body = response.text().await.expect("text");
        assert!(body.contains("UNAUTHENTICATED") && !body.contains(&wrong[..20]), "{body}");
    }
    let both = server.http(Method::GET, "/mcp/tools").bearer_auth(&token).header("x-api-key", &token);
    assert_eq!(both.send().await.expect("an answer").status(), 401, "two tokens are one too many");
    for path in ["/mcp/info?access_token=", "/mcp?api_key=", "/health?TOKEN="] {
        let response = server.http(Method::GET, &format!("{path}{token}")).bearer_auth(&token).send().await;
        let response = response.expect("an answer");
        assert_eq!(response.status(), 400, "{path}");
        assert_eq!(response.json::<Value>().await.expect("JSON")["error"]["code"], "TOKEN_IN_QUERY");
    }
    assert_eq!(server.http(Method::GET, "/health/live").send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_token_speaks_for_its_user_and_allows_its_scopes() {
    let workspace = workspace();
    let (ada, _) = create(&workspace, &["--user", "ada", "--role", "editor"]);
    let (bob, _) = create(&workspace, &["--user", "bob"]);
    let (reader, _) = create(&workspace, &["--role", "viewer", "--expires", "90d"]);
    let server = HttpServer::start_with(&workspace, &[], &[("DIPEO_TOKEN", "the-owner-of-it-all")]);
    let (_, run) = call_as(&server, &ada, "dipeo_run", json!({"content": HELLO})).await;
    let id = json!({"execution_id": run["structuredContent"]["execution_id"]});
    assert_eq!(run["structuredContent"]["status"], "completed", "{run}");
    for (token, sees) in [(ada.as_str(), true), (&bob, false), (&reader, true), ("the-owner-of-it-all", true)] {
        let (_, seen) = call_as(&server, token, "see_result", id.clone()).await;
        let text = seen.to_string();
        assert_eq!(seen["isError"] == json!(true), !sees, "{text}");
        assert!(sees || text.contains("EXECUTION_NOT_FOUND"), "{text}");
    }
    let (status, refused) = call_as(&server, &reader, "dipeo_run", json!({"content": HELLO})).await;
    let text = refused.to_string();
    assert!(text.contains("INSUFFICIENT_SCOPE") && text.contains("execution:run"), "{status} {text}");
}

#[tokio::test]
async fn a_public_server_starts_with_a_token_and_keeps_asking_without_one() {
    let workspace = workspace();
    let (token, id) = create(&workspace, &[]);
    let server = HttpServer::start_with(&workspace, &["--public-url", "https://a.example"], &[]);
    assert_eq!(status(&server, Some(&token)).await, 200);
    harness::json(&workspace, &["tokens", "revoke", &id]);
    harness::json(&workspace, &["tokens", "forget"]);
    for _ in 0..50 {
        assert_eq!(status(&server, None).await, 401);
        assert_eq!(status(&server, Some(&token)).await, 401);
    }
    let output = workspace.command().args(["serve", "--port", "0", "--public-url", "https://a.example"]).output();
    let text = String::from_utf8_lossy(&output.expect("runs").stderr).into_owned();
    assert!(text.contains("AUTHENTICATION_REQUIRED") || text.contains("asks nobody"), "{text}");
    assert!(text.contains("dipeo tokens create"), "{text}");
}

#[test]
fn a_token_is_shown_once_and_kept_nowhere() {
    let workspace = workspace();
    let (token, id) = create(&workspace, &["--name", "laptop", "--scope", "diagram:read", "--expires", "12h"]);
    let listed = harness::json(&workspace, &["tokens", "list"]);
    let entry = &listed["tokens"][0];
    assert_eq!(
        (&entry["id"], &entry["state"], &entry["scopes"]),
        (&json!(id), &json!("live"), &json!(["diagram:read"]))
    );
    assert!(entry["expires_at"].is_string() && !listed.to_string().contains(&token[4..]));
    let mut folders = vec![workspace.root().to_path_buf()];
    let mut n_files = 0;
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).expect("readable").flatten() {
            if file.path().is_dir() {
                folders.push(file.path());
                continue;
            }
            n_files += 1;
            let bytes = std::fs::read(file.path()).expect("readable");
            let is_there = bytes.windows(20).any(|it| it == &token.as_bytes()[4..24]);
            assert!(!is_there, "{} has the token", file.path().display());
        }
    }
    assert!(n_files > 0, "the database is there");
}

#[test]
fn what_cannot_be_made_or_revoked_says_why() {
    let workspace = workspace();
    for (arguments, code, exit) in [
        (&["tokens", "create", "--role", "king"][..], "INVALID_INPUT", 2),
        (&["tokens", "create", "--scope", "all"], "INVALID_INPUT", 2),
        (&["tokens", "create", "--expires", "soon"], "INVALID_INPUT", 2),
        (&["tokens", "create", "--user", "a b"], "INVALID_NAME", 2),
        (&["tokens", "create", "--nmae", "x"], "UNKNOWN_OPTION", 2),
        (&["tokens", "revoke", "tok_none"], "TOKEN_NOT_FOUND", 3),
    ] {
        let output = workspace.command().args(arguments).arg("--json").output().expect("runs");
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}");
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(said["error"]["code"], code, "{said}");
    }
}
