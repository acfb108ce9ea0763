//! A server behind a tunnel, started and entered as the README says. The tunnel is a reverse proxy of this process
//! that does what ngrok and its like do: it passes the public name on as the host and says whom it speaks for.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use reqwest::Method;
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};

use crate::harness::workspace;
use crate::mcp_client::{HELLO, HttpServer, call, modern};

const TOKEN: &str = "canary-token-0123456789";

/// The line of the README that publishes a server, as its arguments, and the public address in it.
fn serve_as_the_readme_says() -> (Vec<String>, String) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path).expect("readable");
    let line = readme.lines().find(|it| it.starts_with("dipeo serve --public-url")).expect("the README says how");
    let line = line.split(" #").next().unwrap_or_default();
    let arguments: Vec<String> = line.split_whitespace().skip(2).map(str::to_owned).collect();
    let url = arguments[1].clone();
    (arguments, url)
}

#[derive(Clone)]
struct Tunnel {
    upstream: String,
    public_name: String,
    client: reqwest::Client,
}

/// Starts a tunnel to `upstream` and returns where it listens.
async fn tunnel(upstream: &str, public_name: &str) -> String {
    let client = reqwest::Client::new();
    let tunnel = Tunnel { upstream: upstream.to_owned(), public_name: public_name.to_owned(), client };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let router = Router::new().fallback(pass_on).with_state(tunnel);
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn pass_on(State(tunnel): State<Tunnel>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let mut headers = parts.headers;
    headers.insert("host", tunnel.public_name.parse().expect("a name"));
    headers.insert("x-forwarded-for", "203.0.113.7".parse().expect("an address"));
    headers.insert("x-forwarded-host", tunnel.public_name.parse().expect("a name"));
    headers.insert("x-forwarded-proto", "https".parse().expect("a scheme"));
    let sent = tunnel.client.request(parts.method, format!("{}{path}", tunnel.upstream)).headers(headers);
    let answer =
        sent.body(reqwest::Body::wrap_stream(body.into_data_stream())).send().await.expect("the server answers");
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|it| it.0 != "transfer-encoding") {
        response = response.header(name, value);
    }
    response.body(Body::from_stream(answer.bytes_stream())).expect("a response")
}

#[tokio::test]
async fn a_client_works_through_a_tunnel_and_only_with_the_token() {
    let workspace = workspace();
    let (arguments, public_url) = serve_as_the_readme_says();
    let name = public_url.strip_prefix("https://").expect("a tunnel speaks TLS");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = HttpServer::start_with(&workspace, &arguments, &[("DIPEO_TOKEN", TOKEN)]);
    let outside = tunnel(&server.url, name).await;

    let config = StreamableHttpClientTransportConfig::with_uri(format!("{outside}/mcp")).auth_header(TOKEN);
    let client = ().serve(StreamableHttpClientTransport::from_config(config)).await.expect("a handshake");
    let arguments = json!({"content": HELLO}).as_object().cloned().expect("an object");
    let run =
        client.call_tool(CallToolRequestParams::new("dipeo_run").with_arguments(arguments)).await.expect("a result");
    let run = serde_json::to_value(run).expect("JSON");
    assert_eq!(run["structuredContent"]["outputs"]["end"], "Hello, world!", "{run}");
    client.cancel().await.expect("closed");

    let http = reqwest::Client::new();
    let message = modern(1, "tools/call", call("search", json!({"query": "hello"})));
    for (token, origin, status) in [
        (Some(TOKEN), None, 200),
        (Some(TOKEN), Some(public_url.as_str()), 200),
        (Some(TOKEN), Some("https://evil.example"), 403),
        (Some("canary-token-other"), None, 401),
        (None, None, 401),
    ] {
        let mut request = http.request(Method::POST, format!("{outside}/mcp")).json(&message);
        for (name, value) in [
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "search"),
        ] {
            request = request.header(name, value);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{token:?} {origin:?}");
        assert!(!answer.text().await.expect("text").contains("canary"), "{token:?}");
    }
    let foreign = tunnel(&server.url, "other.example").await;
    let answer = http.get(format!("{foreign}/health")).bearer_auth(TOKEN).send().await.expect("an answer");
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn a_tunnel_to_a_server_that_was_not_published_reaches_nothing() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for name in ["flows.example", "localhost"] {
        let outside = tunnel(&server.url, name).await;
        let answer = reqwest::get(format!("{outside}/mcp/tools")).await.expect("an answer");
        assert_eq!(answer.status(), 403, "{name}");
        let body: Value = answer.json().await.expect("JSON");
        assert!(body["error"]["hint"].as_str().is_some_and(|it| it.contains("--public-url")), "{name}: {body}");
    }
}
