//! The interface in a server of its own: headers, compression, pages, routes that are not there.

use reqwest::Method;
use serde_json::{Value, json};

use super::hello;
use crate::harness;
use crate::mcp_client::{ENDLESS, HttpServer};

#[tokio::test]
async fn a_server_answers_with_headers_that_protect_and_compresses_what_is_long() {
    let workspace = harness::workspace();
    workspace.write("examples/greet.light.yaml", &hello("hi"));
    let server = HttpServer::start(&workspace);
    let get = async |path: &str, headers: &[(&str, &str)]| {
        let request = headers.iter().fold(server.http(Method::GET, path), |it, (name, value)| it.header(*name, *value));
        request.send().await.expect("answered")
    };
    let response = get("/api/v1/diagrams/greet", &[("x-request-id", "mine-1"), ("accept-encoding", "gzip")]).await;
    let header = |name: &str| response.headers().get(name).map(|it| it.to_str().expect("text").to_owned());
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("x-request-id", "mine-1"),
        ("content-encoding", "gzip"),
        ("etag", "\"1\""),
    ] {
        assert_eq!(header(name).as_deref(), Some(value), "{name}");
    }
    assert!(get("/api/v1/diagrams/greet", &[]).await.headers().get("content-encoding").is_none());
    let missing = get("/api/v1/diagrams/gret", &[]).await;
    let request_id = missing.headers()["x-request-id"].to_str().expect("text").to_owned();
    let body: Value = missing.json().await.expect("JSON");
    assert_eq!(
        (body["error"]["code"].as_str(), body["error"]["request_id"].as_str()),
        (Some("DIAGRAM_NOT_FOUND"), Some(request_id.as_str()))
    );

    let nowhere: Value = get("/api/v1/diagramz", &[]).await.json().await.expect("JSON");
    assert_eq!(nowhere["error"]["code"], "ROUTE_NOT_FOUND");
    assert_eq!(nowhere["error"]["hint"], "the closest route is `/api/v1/diagrams`");
    let wrong = server.http(Method::PATCH, "/api/v1/diagrams").send().await.expect("answered");
    assert_eq!((wrong.status().as_u16(), wrong.headers()["allow"].to_str().expect("text")), (405, "GET,HEAD,POST"));
    let head = server.http(Method::HEAD, "/api/v1/diagrams/greet").send().await.expect("answered");
    assert_eq!((head.status().as_u16(), head.headers()["etag"].to_str().expect("text")), (200, "\"1\""));
    let mcp = get("/mcp/info", &[]).await;
    assert_eq!(mcp.headers()["x-content-type-options"].to_str().expect("text"), "nosniff");
    let pages = get("/api/v1/models", &[("origin", "https://evil.example")]).await;
    assert_eq!(pages.status().as_u16(), 403);
    let dev = get("/api/v1/models", &[("origin", "http://localhost:3000")]).await;
    assert_eq!(dev.headers()["access-control-allow-origin"].to_str().expect("text"), "http://localhost:3000");
    assert!(dev.headers()["access-control-expose-headers"].to_str().expect("text").contains("etag"));
}

#[tokio::test]
async fn the_description_is_served_with_a_page_of_our_own_and_not_in_production() {
    let workspace = harness::workspace();
    let server = HttpServer::start_with(&workspace, &[], &[("DIPEO_TOKEN", "a-long-random-text-for-tests")]);
    let text = async |path: &str| {
        let response = server.http(Method::GET, path).send().await.expect("answered");
        let policy = response.headers()["content-security-policy"].to_str().expect("text").to_owned();
        (response.status().as_u16(), policy, response.text().await.expect("text"))
    };
    for path in ["/docs", "/redoc"] {
        let (status, policy, page) = text(path).await;
        assert_eq!(status, 200, "a browser opens it without a token");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(!page.contains("://") && !page.contains("<style") && !page.contains("onclick"), "{page}");
        assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/docs/").count());
    }
    for path in ["/docs/page.js", "/docs/page.css"] {
        assert!(!text(path).await.2.contains("://"), "{path}");
    }
    let (status, _, document) = text("/openapi.json").await;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!((status, document["openapi"].as_str()), (200, Some("3.1.0")));
    assert_eq!(server.http(Method::GET, "/api/v1/models").send().await.expect("answered").status().as_u16(), 401);
    let with = server.http(Method::GET, "/api/v1/models").bearer_auth("a-long-random-text-for-tests");
    assert_eq!(with.send().await.expect("answered").status().as_u16(), 200);

    let workspace = harness::workspace();
    let server = HttpServer::start_with(&workspace, &[], &[("ENVIRONMENT", "production")]);
    for path in ["/docs", "/redoc", "/openapi.json"] {
        assert_eq!(server.http(Method::GET, path).send().await.expect("answered").status().as_u16(), 404, "{path}");
    }
    assert_eq!(server.http(Method::GET, "/api/v1/models").send().await.expect("answered").status().as_u16(), 200);
}

#[tokio::test]
async fn a_run_that_names_no_limit_has_that_of_the_settings() {
    let workspace = harness::workspace();
    let server = HttpServer::start_with(&workspace, &[], &[("EXECUTION_TIMEOUT", "0.5")]);
    let run = async |body: Value| {
        let request = server.http(Method::POST, "/api/v1/run").json(&body);
        request.send().await.expect("answered").json::<Value>().await.expect("JSON")
    };
    let object = run(json!({"content": ENDLESS, "wait": 25})).await;
    let error = &object["error"];
    assert_eq!((&object["status"], &error["code"]), (&json!("failed"), &json!("EXECUTION_TIMEOUT")), "{object}");
    assert!(error["message"].as_str().is_some_and(|it| it.contains("0.5 s")), "{error}");
    let object = run(json!({"content": ENDLESS, "wait": 25, "timeout": 1.25})).await;
    assert!(object["error"]["message"].as_str().is_some_and(|it| it.contains("1.25 s")), "{object}");
}
