//! MCP over HTTP and the plain routes, against the program itself. First the server, then the protocol, then
//! the tools.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::workspace;
use crate::mcp_client::{ENDLESS, HELLO, HttpServer, call, events, modern};

/// Every route this test knows, with a method it takes.
const ROUTES: [(&str, &str); 10] = [
    ("GET", "/"),
    ("GET", "/health"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/mcp/info"),
    ("GET", "/mcp/tools"),
    ("GET", "/mcp/resources"),
    ("POST", "/mcp"),
    ("POST", "/mcp/messages"),
    ("GET", "/nothing"),
];

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}

// --- the server --------------------------------------------------------------------------------------------

#[tokio::test]
async fn every_route_refuses_foreign_hosts_origins_and_proxies() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for (verb, path) in ROUTES {
        for (header, value, code) in [
            ("host", "evil.example", "HOST_NOT_ALLOWED"),
            ("origin", "https://evil.example", "ORIGIN_NOT_ALLOWED"),
            ("x-forwarded-for", "1.2.3.4", "FORWARDED_NOT_ALLOWED"),
        ] {
            let response = server.http(method(verb), path).header(header, value).send().await.expect("an answer");
            assert_eq!(response.status(), 403, "{verb} {path} {header}");
            let body: Value = response.json().await.expect("JSON");
            assert_eq!(body["error"]["code"], code, "{verb} {path}");
        }
    }
}

#[tokio::test]
async fn the_plain_routes_say_what_the_server_is_and_that_it_lives() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for (path, key, expected) in [
        ("/", "name", json!("dipeo")),
        ("/health", "service", json!("dipeo-server")),
        ("/health/live", "status", json!("alive")),
        ("/health/ready", "status", json!("ready")),
        ("/mcp/info", "authentication", json!({"method": "none"})),
    ] {
        let response = server.http(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body[key], expected, "{path}: {body}");
    }
    let health: Value = server.http(Method::GET, "/health").send().await.expect("health").json().await.expect("JSON");
    let whole = json!({"scheduler": "ok", "tools": "ok"});
    assert_eq!((&health["status"], &health["checks"]), (&json!("healthy"), &whole), "{health}");
    let ready = server.http(Method::GET, "/health/ready").send().await.expect("ready");
    let ready: Value = ready.json().await.expect("JSON");
    assert_eq!((&ready["checks"]["scheduler"], &ready["checks"]["tools"]), (&json!("ok"), &json!("ok")), "{ready}");
    let tools: Value = server.http(Method::GET, "/mcp/tools").send().await.expect("tools").json().await.expect("JSON");
    let listed = server.request("tools/list", json!({})).await;
    assert_eq!(tools["tools"], listed["result"]["tools"]);
}

#[tokio::test]
async fn a_server_whose_database_takes_no_writes_is_not_ready_until_it_does_again() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let ready = async || {
        let response = server.http(Method::GET, "/health/ready").send().await.expect("an answer");
        (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
    };
    let path = workspace.root().join(".dipeo/data/dipeo_state.db");
    let other = rusqlite::Connection::open(path).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("its turn");
    let (status, body) = ready().await;
    assert_eq!((status, &body["status"]), (503, &json!("not_ready")), "{body}");
    let checks = &body["checks"];
    assert_eq!(
        (&checks["database"], &checks["writer"], &checks["migrations"]),
        (&json!("ok"), &json!("busy"), &json!("ok"))
    );
    let health = server.http(Method::GET, "/health").send().await.expect("an answer");
    assert_eq!(health.status(), 200, "it lives all the same");
    other.execute_batch("ROLLBACK").expect("given back");
    while ready().await.0 != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_server_that_offers_no_tool_says_so() {
    let workspace = workspace();
    let server = HttpServer::start_with(&workspace, &["--toolsets", "diagrams"], &[]);
    let response = server.http(Method::GET, "/health/ready").send().await.expect("an answer");
    assert_eq!(response.status(), 200, "it can do its work all the same");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((&body["status"], &body["checks"]["tools"]), (&json!("degraded"), &json!("none")), "{body}");
}

#[tokio::test]
async fn a_missing_route_names_the_closest_and_a_wrong_method_the_right_ones() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let response = server.http(Method::GET, "/mcp/inof").send().await.expect("an answer");
    assert_eq!(response.status(), 404);
    let body: Value = response.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "ROUTE_NOT_FOUND");
    assert!(body["error"]["hint"].as_str().is_some_and(|it| it.contains("/mcp/info")), "{body}");
    for (verb, path, allowed) in [("POST", "/health", "GET"), ("PUT", "/mcp", "POST"), ("DELETE", "/mcp/info", "GET")] {
        let response = server.http(method(verb), path).send().await.expect("an answer");
        assert_eq!(response.status(), 405, "{path}");
        let allow = response.headers()["allow"].to_str().expect("text").to_owned();
        assert!(allow.contains(allowed), "{path}: {allow}");
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["error"]["code"], "METHOD_NOT_ALLOWED", "{path}");
    }
}

#[tokio::test]
async fn a_page_of_the_server_itself_may_call_it() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let preflight = server
        .http(Method::OPTIONS, "/mcp")
        .header("origin", &server.url)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,mcp-protocol-version,x-anything")
        .send()
        .await
        .expect("an answer");
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["access-control-allow-origin"], server.url.as_str());
    let taken = preflight.headers()["access-control-allow-headers"].to_str().expect("text");
    for name in ["authorization", "content-type", "idempotency-key", "if-match", "last-event-id", "mcp-session-id"] {
        assert!(taken.split(',').any(|it| it == name), "{name}: {taken}");
    }
    assert!(!taken.contains("x-anything"), "what was asked for is not what is allowed: {taken}");
    let response = server.http(Method::GET, "/health").header("origin", &server.url).send().await.expect("an answer");
    assert!(response.headers()["access-control-expose-headers"].to_str().is_ok_and(|it| it.contains("mcp-session-id")));
}

#[test]
fn a_server_that_others_could_reach_does_not_start_without_a_token() {
    let workspace = workspace();
    for (arguments, flag) in [
        (&["serve", "--port", "0", "--host", "0.0.0.0"][..], "--host 0.0.0.0"),
        (&["serve", "--port", "0", "--public-url", "https://a.example"], "--public-url https://a.example"),
    ] {
        let output = workspace.command().args(arguments).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(flag) && text.contains("DIPEO_TOKEN"), "{text}");
    }
}

#[tokio::test]
async fn with_a_token_every_route_but_those_of_health_asks_for_it() {
    let workspace = workspace();
    let server = HttpServer::start_with(&workspace, &[], &[("DIPEO_TOKEN", "canary-token-123")]);
    for (verb, path) in ROUTES {
        let response = server.http(method(verb), path).send().await.expect("an answer");
        if path.starts_with("/health") {
            assert_eq!(response.status(), 200);
            continue;
        }
        assert_eq!(response.status(), 401, "{path}");
        assert!(response.headers()["www-authenticate"].to_str().is_ok_and(|it| it.starts_with("Bearer")));
        let wrong = server.http(method(verb), path).bearer_auth("canary-token-124").send().await.expect("an answer");
        assert_eq!(wrong.status(), 401, "{path}");
        assert!(!wrong.text().await.expect("text").contains("canary"));
        let right = server.http(method(verb), path).bearer_auth("canary-token-123").send().await.expect("an answer");
        assert_ne!(right.status(), 401, "{path}");
    }
    let in_address = server.http(Method::GET, "/health?token=canary-token-123").send().await.expect("an answer");
    assert_eq!(in_address.status(), 400);
    let body = in_address.text().await.expect("text");
    assert!(body.contains("TOKEN_IN_QUERY") && !body.contains("canary"), "{body}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for (path, n_bytes) in [("/mcp", 5 * 1024 * 1024), ("/mcp/messages", 11 * 1024 * 1024)] {
        let body = format!("\"{}\"", "x".repeat(n_bytes));
        let sent = server.http(Method::POST, path).header("content-type", "application/json").body(body).send().await;
        // A server may also close the connection before it has read everything.
        if let Ok(response) = sent {
            assert_eq!(response.status(), 413, "{path}");
        }
    }
}

#[tokio::test]
async fn a_signal_ends_the_server_promptly_although_a_stream_is_open() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut listening = server
        .post("/mcp", &modern(1, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})))
        .await;
    let first = listening.chunk().await.expect("a stream").expect("the acknowledgement");
    assert!(String::from_utf8_lossy(&first).contains("acknowledged"), "{first:?}");
    let (status, took) = tokio::task::spawn_blocking(move || server.stop()).await.expect("joined");
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(3), "took {took:?}");
}

// --- the protocol ------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_modern_request_needs_no_session() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let response = server.post("/mcp", &modern(7, "tools/list", json!({}))).await;
    assert_eq!(response.status(), 200);
    assert!(response.headers().get("mcp-session-id").is_none());
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((&body["id"], body["result"]["tools"].as_array().map(Vec::len)), (&json!(7), Some(6)));
    let unknown = server.post("/mcp", &modern(1, "no/such/method", json!({}))).await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json::<Value>().await.expect("JSON")["error"]["code"], -32601);
}

#[tokio::test]
async fn a_legacy_session_begins_with_initialize_and_ends_with_delete() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let post = |session: Option<&str>, body: Value| {
        let mut request = server.http(Method::POST, "/mcp").header("accept", "application/json, text/event-stream");
        if let Some(session) = session {
            request = request.header("mcp-session-id", session).header("mcp-protocol-version", "2025-06-18");
        }
        request.json(&body).send()
    };
    let params =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}});
    let opened = post(None, json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}))
        .await
        .expect("an answer");
    let session = opened.headers()["mcp-session-id"].to_str().expect("text").to_owned();
    assert_eq!(events(&opened.text().await.expect("text"))[0]["result"]["protocolVersion"], "2025-06-18");
    let noted =
        post(Some(&session), json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await.expect("it");
    assert_eq!(noted.status(), 202);
    let listed = post(Some(&session), json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})).await.expect("it");
    let listed = events(&listed.text().await.expect("text"));
    assert_eq!(listed.last().expect("an event")["result"]["tools"].as_array().map(Vec::len), Some(6));
    let ended = server.http(Method::DELETE, "/mcp").header("mcp-session-id", &session).send().await.expect("an answer");
    assert_eq!(ended.status(), 204);
    let gone = post(Some(&session), json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list"})).await.expect("it");
    assert_eq!(gone.status(), 404);
}

#[tokio::test]
async fn the_path_of_the_original_takes_one_message_and_answers_plain_json() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let response = server.http(Method::POST, "/mcp/messages").json(&request).send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/json".parse().expect("it"))
    );
    assert_eq!(response.json::<Value>().await.expect("JSON")["result"]["tools"].as_array().map(Vec::len), Some(6));
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let noted = server.http(Method::POST, "/mcp/messages").json(&notification).send().await.expect("an answer");
    assert_eq!(noted.status(), 202);
}

#[tokio::test]
async fn a_body_that_is_no_message_gets_a_json_rpc_error() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for (body, code) in
        [("{", -32700), ("[]", -32600), (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600), ("{}", -32600)]
    {
        let response = server
            .http(Method::POST, "/mcp")
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 400, "{body}");
        assert_eq!(response.json::<Value>().await.expect("JSON")["error"]["code"], code, "{body}");
    }
    let mut wrong = modern(1, "tools/list", json!({}));
    wrong["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2030-01-01");
    let response = server
        .http(Method::POST, "/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2030-01-01")
        .header("mcp-method", "tools/list")
        .json(&wrong)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 400);
    assert_eq!(response.json::<Value>().await.expect("JSON")["error"]["code"], -32022);
}

// --- the tools ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_run_over_http_is_seen_over_http() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let run = server.call("dipeo_run", json!({"content": HELLO})).await;
    assert_eq!(run["structuredContent"]["outputs"]["end"], "Hello, world!", "{run}");
    let id = run["structuredContent"]["execution_id"].clone();
    let seen = server.call("see_result", json!({"execution_id": id})).await;
    assert_eq!(seen["structuredContent"]["outputs"], run["structuredContent"]["outputs"]);
    let uri = format!("dipeo://executions/{}", id.as_str().expect("an id"));
    let read = server.request("resources/read", json!({"uri": uri})).await;
    assert_eq!(read["result"]["cacheScope"], "private", "{read}");
}

#[tokio::test]
async fn a_call_with_a_progress_token_is_answered_as_a_stream() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut params = call("dipeo_run", json!({"content": ENDLESS, "timeout": 2}));
    params["_meta"] = json!({"progressToken": "p"});
    let response = server.post("/mcp", &modern(1, "tools/call", params)).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let messages = events(&response.text().await.expect("text"));
    let (last, before) = messages.split_last().expect("messages");
    assert!(!before.is_empty() && before.iter().all(|it| it["method"] == "notifications/progress"), "{messages:?}");
    assert_eq!(last["result"]["structuredContent"]["status"], "failed", "{last}");
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_end_the_execution() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut params = call("dipeo_run", json!({"content": ENDLESS, "timeout": 20}));
    params["_meta"] = json!({"progressToken": "p"});
    let mut response = server.post("/mcp", &modern(1, "tools/call", params)).await;
    assert!(response.chunk().await.expect("a stream").is_some());
    drop(response);
    let listed = server.request("resources/read", json!({"uri": "dipeo://executions"})).await["result"].clone();
    let list: Value = serde_json::from_str(listed["contents"][0]["text"].as_str().expect("text")).expect("JSON");
    assert_eq!((&list["total"], &list["executions"][0]["status"]), (&json!(1), &json!("running")), "{list}");
    let abort = json!({"execution_id": list["executions"][0]["execution_id"], "action": "abort"});
    assert_eq!(server.call("control_execution", abort).await["structuredContent"]["status"], "aborted");
}
