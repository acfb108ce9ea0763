//! The corners of the protocol and of the library behind it, on the wire of both transports.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::Stdio;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::workspace;
use crate::mcp_client::{ENDLESS, HttpServer, StdioClient, call, modern};

/// Paths that take messages.
const ENDPOINTS: [&str; 3] = ["/mcp", "/mcp/", "/mcp/messages"];

/// A post of raw bytes with the headers that every client sends.
async fn post(server: &HttpServer, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Response {
    let mut request = server
        .http(Method::POST, path)
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .body(body.into());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

async fn json_of(response: Response) -> Value {
    let text = response.text().await.expect("text");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text:?}"))
}

// --- who may call ------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_foreign_page_reaches_no_route_with_any_method() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let origins = ["https://evil.example", "null", "http://localhost.evil.example", "http://127.0.0.1:1", "garbage"];
    for path in ["/", "/health", "/mcp", "/mcp/", "/mcp/messages", "/mcp/info", "/mcp/tools", "/mcp/resources", "/x"] {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS, Method::HEAD] {
            for origin in origins {
                let sent = server.http(method.clone(), path).header("origin", origin).send().await.expect("an answer");
                assert_eq!(sent.status(), 403, "{method} {path} {origin}");
                assert!(sent.headers().get("access-control-allow-origin").is_none(), "{method} {path} {origin}");
            }
        }
    }
    let own = post(
        &server,
        "/mcp",
        &[("origin", &server.url), ("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")],
        modern(1, "tools/list", json!({})).to_string(),
    )
    .await;
    assert_eq!(own.status(), 200);
}

// --- messages ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn every_endpoint_tells_what_is_no_message_by_code_and_id() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for path in ENDPOINTS {
        for (body, code, id) in [
            (&b"{"[..], -32700, Value::Null),
            (b"", -32700, Value::Null),
            (b"{\"a\":\"\xff\"}", -32700, Value::Null),
            (b"[]", -32600, Value::Null),
            (br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, Value::Null),
            (b"5", -32600, Value::Null),
            (br#"{"jsonrpc":"2.0","id":7}"#, -32600, json!(7)),
            (br#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#, -32600, json!("a")),
            (br#"{"jsonrpc":"2.0","id":8,"method":"tools/list","params":5}"#, -32600, json!(8)),
        ] {
            let response = post(&server, path, &[], body).await;
            let shown = String::from_utf8_lossy(body).into_owned();
            assert_eq!(response.status(), 400, "{path} {shown}");
            let answer = json_of(response).await;
            assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{path} {shown}");
        }
    }
}

#[tokio::test]
async fn refusals_of_the_transport_are_json_with_a_hint() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for (verb, headers, status, hint) in [
        (Method::POST, &[("content-type", "application/json")][..], 400, "initialize"),
        (
            Method::POST,
            &[("content-type", "application/json"), ("mcp-session-id", "gone")],
            404,
            "without `Mcp-Session-Id`",
        ),
        (
            Method::POST,
            &[("content-type", "application/json"), ("mcp-protocol-version", "1999-01-01")],
            400,
            "2026-07-28",
        ),
        (Method::POST, &[("content-type", "text/plain")], 415, "Content-Type: application/json"),
        (
            Method::POST,
            &[("content-type", "application/json"), ("accept", "text/html")],
            406,
            "Accept: application/json",
        ),
        (Method::GET, &[], 400, "initialize"),
        (Method::GET, &[("mcp-session-id", "gone")], 404, "without `Mcp-Session-Id`"),
        (Method::DELETE, &[], 400, "initialize"),
    ] {
        let mut request = server.http(verb.clone(), "/mcp");
        if !headers.iter().any(|(name, _)| *name == "accept") {
            request = request.header("accept", "application/json, text/event-stream");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if verb == Method::POST { list } else { "" };
        let response = request.body(body).send().await.expect("an answer");
        assert_eq!(response.status(), status, "{verb} {headers:?}");
        let error = json_of(response).await["error"].clone();
        assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{error}");
        assert!(error["data"]["hint"].as_str().is_some_and(|it| it.contains(hint)), "{headers:?}: {error}");
    }
}

/// Requests whose method is known and whose parameters are not its own: what the answer says.
const MISREAD: [(&str, &str, &str); 7] = [
    ("tools/call", r#"{"name":"search","arguments":"{}"}"#, "`arguments` must be an object"),
    ("tools/call", r#"{"arguments":{}}"#, "missing field `name`"),
    ("tools/call", r#"{"name":5}"#, "expected a string"),
    ("resources/read", r#"{"uri":7}"#, "expected a string"),
    ("prompts/get", r#"{"name":"write_diagram","arguments":5}"#, "`arguments` must be an object"),
    ("completion/complete", r#"{"ref":5}"#, "completion/complete"),
    ("subscriptions/listen", r#"{}"#, "missing field `notifications`"),
];

#[tokio::test]
async fn parameters_that_do_not_fit_are_told_from_a_method_that_is_not_there() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut client = StdioClient::start(&workspace);
    for (method, params, text) in MISREAD {
        let params: Value = serde_json::from_str(params).expect("JSON");
        let over_http = server.request(method, params.clone()).await;
        for answer in [over_http, client.request(method, params.clone())] {
            let error = &answer["error"];
            assert_eq!(error["code"], -32602, "{method} {params}: {answer}");
            assert!(error["message"].as_str().is_some_and(|it| it.contains(text)), "{method} {params}: {error}");
        }
    }
    let response = server.post("/mcp", &modern(3, "tols/list", json!({}))).await;
    assert_eq!(response.status(), 404);
    for answer in [json_of(response).await, client.request("tols/list", json!({}))] {
        assert_eq!(answer["error"]["code"], -32601);
        assert_eq!(answer["error"]["message"], "no method `tols/list`");
        assert_eq!(answer["error"]["data"]["hint"], "did you mean `tools/list`?");
    }
    let unknown = server.request("tools/call", call("serch", json!({}))).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    assert_eq!(unknown["error"]["data"]["hint"], "did you mean `search`?");
}

#[tokio::test]
async fn methods_that_were_removed_are_gone_for_modern_clients() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for (method, params) in [
        ("initialize", json!({})),
        ("ping", json!({})),
        ("logging/setLevel", json!({"level": "info"})),
        ("resources/subscribe", json!({"uri": "dipeo://executions"})),
        ("resources/unsubscribe", json!({"uri": "dipeo://executions"})),
        ("sampling/createMessage", json!({})),
        ("roots/list", json!({})),
    ] {
        let response = server.post("/mcp", &modern(1, method, params)).await;
        assert_eq!(response.status(), 404, "{method}");
        assert_eq!(json_of(response).await["error"]["code"], -32601, "{method}");
    }
}

#[tokio::test]
async fn a_notification_is_taken_without_a_body() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut message = modern(1, "notifications/cancelled", json!({"requestId": 77}));
    message.as_object_mut().expect("an object").remove("id");
    let response = server.post("/mcp", &message).await;
    assert_eq!(response.status(), 202);
    assert_eq!(response.text().await.expect("text"), "");
}

// --- headers -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn headers_must_say_what_the_body_says() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    let name = ("mcp-name", "search");
    let body = modern(1, "tools/call", call("search", json!({"query": "x"}))).to_string();
    for (headers, status) in [
        (&[version, method, name][..], 200),
        (&[version, method, ("mcp-name", "=?base64?c2VhcmNo?=")], 200),
        (&[version, method, ("mcp-name", "  search ")], 200),
        (&[version, ("MCP-METHOD", "tools/call"), name], 200),
        (&[version, method, ("mcp-name", "=?base64?c2VhcmNo")], 400),
        (&[version, method, ("mcp-name", "=?base64?!!!!?=")], 400),
        (&[version, method, ("mcp-name", "fetch")], 400),
        (&[version, method], 400),
        (&[version, ("mcp-method", "TOOLS/CALL"), name], 400),
        (&[version, ("mcp-method", "tools/list"), name], 400),
        (&[version, name], 400),
        (&[method, name], 400),
        (&[("mcp-protocol-version", "2025-11-25"), method, name], 400),
        (&[version, method, name, ("mcp-name", "fetch")], 400),
    ] {
        let response = post(&server, "/mcp", headers, body.clone()).await;
        assert_eq!(response.status(), status, "{headers:?}");
        let answer = json_of(response).await;
        if status == 400 {
            assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32020), &json!(1)), "{headers:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn an_event_stream_is_not_held_back_by_a_proxy() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let params = json!({"notifications": {"toolsListChanged": true}});
    let stream = server.post("/mcp", &modern(1, "subscriptions/listen", params)).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
}

// --- results -----------------------------------------------------------------------------------------------

/// A request of each method that has a result.
fn every_method() -> Vec<(&'static str, Value)> {
    let reference = json!({"type": "ref/resource", "uri": "dipeo://diagrams/{name}"});
    vec![
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", call("search", json!({"query": "loop"}))),
        ("tools/call", call("fetch", json!({}))),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "dipeo://diagrams"})),
        ("prompts/list", json!({})),
        ("prompts/get", json!({"name": "write_diagram", "arguments": {"request": "x"}})),
        ("completion/complete", json!({"ref": reference, "argument": {"name": "name", "value": ""}})),
    ]
}

#[tokio::test]
async fn every_result_names_the_server_and_says_that_it_is_complete() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut client = StdioClient::start(&workspace);
    for (method, params) in every_method() {
        for answer in [server.request(method, params.clone()).await, client.request(method, params.clone())] {
            let result = &answer["result"];
            let info = &result["_meta"]["io.modelcontextprotocol/serverInfo"];
            assert_eq!(
                (&info["name"], &info["version"]),
                (&json!("dipeo"), &json!(env!("CARGO_PKG_VERSION"))),
                "{answer}"
            );
            assert_eq!(result["resultType"], "complete", "{method}");
        }
    }
}

#[tokio::test]
async fn what_may_be_kept_says_for_how_long_and_for_whom() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for (method, params) in every_method() {
        let may_be_kept = !matches!(method, "tools/call" | "prompts/get" | "completion/complete");
        let result = server.request(method, params).await["result"].clone();
        assert_eq!(result["ttlMs"].is_u64(), may_be_kept, "{method}: {}", result["ttlMs"]);
        let scope = result["cacheScope"].as_str().unwrap_or_default();
        assert_eq!(matches!(scope, "public" | "private"), may_be_kept, "{method}: {scope}");
    }
}

#[tokio::test]
async fn the_same_list_is_the_same_bytes_each_time_and_on_both_transports() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let mut client = StdioClient::start(&workspace);
    for method in ["tools/list", "resources/templates/list", "prompts/list", "server/discover"] {
        let first = server.request(method, json!({})).await["result"].to_string();
        let again = server.request(method, json!({})).await["result"].to_string();
        let over_stdio = client.request(method, json!({}))["result"].to_string();
        assert_eq!(first, again, "{method}");
        assert_eq!(first, over_stdio, "{method}");
    }
}

#[tokio::test]
async fn following_the_cursors_lists_every_resource_once() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let (mut seen, mut n_pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let result = server.request("resources/list", json!({"cursor": cursor})).await["result"].clone();
        let page = result["resources"].as_array().expect("a page");
        seen.extend(page.iter().map(|it| it["uri"].as_str().expect("a URI").to_owned()));
        n_pages += 1;
        match result["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let different: BTreeSet<&String> = seen.iter().collect();
    assert!(n_pages > 1 && different.len() == seen.len(), "{n_pages} pages, {} resources", seen.len());
    for cursor in [json!("x"), json!("\u{0}"), json!("é".repeat(10_000))] {
        let refused = server.request("resources/list", json!({"cursor": cursor})).await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
}

// --- schemas -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn no_schema_has_what_clients_stumble_over() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let listed = server.request("tools/list", json!({})).await;
    for tool in listed["result"]["tools"].as_array().expect("a list") {
        for part in ["inputSchema", "outputSchema"] {
            let Some(schema) = tool.get(part) else { continue };
            assert_eq!(schema["type"], "object", "{tool}");
            let mut found = Vec::new();
            stumbling_blocks(schema, part.into(), false, &mut found);
            assert!(found.is_empty(), "{}: {found:?}", tool["name"]);
        }
    }
}

/// Collects keywords that some client warns about or refuses; `names` are properties and not keywords.
fn stumbling_blocks(schema: &Value, at: String, names: bool, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            for (name, inner) in object {
                let place = format!("{at}/{name}");
                let is_nullable = name == "type" && (inner.is_array() || inner == "null");
                let is_odd = ["$schema", "$ref", "$defs", "format", "nullable", "default"].contains(&name.as_str());
                if !names && (is_odd || is_nullable) {
                    found.push(place.clone());
                }
                stumbling_blocks(inner, place, !names && name == "properties", found);
            }
        }
        Value::Array(items) => items.iter().for_each(|it| stumbling_blocks(it, at.clone(), false, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn every_range_of_a_schema_is_enforced() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let listed = server.request("tools/list", json!({})).await;
    let mut n_ranges = 0;
    for tool in listed["result"]["tools"].as_array().expect("a list") {
        let name = tool["name"].as_str().expect("a name");
        for (argument, schema) in tool["inputSchema"]["properties"].as_object().expect("properties") {
            let below = schema["minimum"].as_i64().map(|it| it - 1);
            let above = schema["maximum"].as_i64().map(|it| it + 1);
            for value in [below, above].into_iter().flatten() {
                n_ranges += 1;
                let result = server.call(name, json!({argument: value})).await;
                let shown = result["content"][0]["text"].as_str().expect("text");
                assert_eq!(result["isError"], true, "{name} {argument} {value}");
                assert!(shown.contains(argument) && shown.contains(&format!("not `{value}`")), "{shown}");
            }
        }
    }
    assert!(n_ranges >= 4, "{n_ranges}");
}

// --- stdio -------------------------------------------------------------------------------------------------

#[test]
fn a_cancelled_call_and_a_client_that_leaves_write_nothing_to_the_log() {
    let workspace = workspace();
    let mut command = workspace.command();
    let mut child = command
        .arg("mcp")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut params = call("dipeo_run", json!({"content": ENDLESS, "timeout": 2}));
    params["_meta"] = json!({"progressToken": 1});
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    let lines = [
        modern(1, "tools/call", params.clone()).to_string(),
        cancel.to_string(),
        modern(2, "tools/list", json!({})).to_string(),
        modern(3, "tools/call", params).to_string(),
    ];
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, (lines.join("\n") + "\n").as_bytes()).expect("the server reads");
    drop(input);
    // The reader leaves in the middle of a call.
    drop(child.stdout.take());
    let mut log = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut log).expect("text");
    child.wait().expect("it ends");
    assert_eq!(log, "");
}

#[test]
fn a_line_that_is_no_message_is_refused_by_its_id() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    let deep = format!(r#"{{"jsonrpc":"2.0","id":9,"method":"ping","params":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    for (line, code, id) in [
        (r#"{"jsonrpc":"2.0","id":7}"#, -32600, json!(7)),
        (r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#, -32600, json!("a")),
        (r#"{"jsonrpc":"2.0","id":8,"method":"tools/list","params":5}"#, -32600, json!(8)),
        ("[]", -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":"#, -32700, Value::Null),
        (&deep, -32700, Value::Null),
    ] {
        client.write(line);
        let answer = client.read();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{line}: {answer}");
    }
    assert!(client.request("tools/list", json!({})).get("result").is_some());
}

#[test]
fn a_late_handshake_does_not_disturb_a_modern_client() {
    let workspace = workspace();
    let mut client = StdioClient::start(&workspace);
    assert!(client.request("tools/list", json!({})).get("result").is_some());
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}});
    client.write(&json!({"jsonrpc": "2.0", "id": 900, "method": "initialize", "params": params}).to_string());
    assert!(client.answer_to(900).get("result").is_some());
    assert!(client.request("tools/list", json!({})).get("result").is_some());
}
