//! GraphQL over HTTP: media types, statuses, methods; what the page is made of; files.

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Value, json};

use super::client::{ask, code, data};
use crate::harness::workspace;
use crate::mcp_client::{HELLO, HttpServer};

const PLAIN: &str = "application/json";
const GRAPHQL: &str = "application/graphql-response+json";

#[tokio::test]
async fn the_status_says_what_the_media_type_lets_it_say() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let long = json!({"query": format!("{{ {} }}", "a ".repeat(30_000))}).to_string();
    for (accept, body, status, has_data) in [
        (PLAIN, json!({"query": "{ __typename }"}).to_string(), 200, true),
        (GRAPHQL, json!({"query": "{ __typename }"}).to_string(), 200, true),
        ("*/*", json!({"query": "{ __typename }"}).to_string(), 200, true),
        // A document that cannot be carried out.
        (PLAIN, json!({"query": "{"}).to_string(), 200, false),
        (GRAPHQL, json!({"query": "{"}).to_string(), 400, false),
        (PLAIN, json!({"query": "{ nothing }"}).to_string(), 200, false),
        (GRAPHQL, json!({"query": "{ nothing }"}).to_string(), 400, false),
        (GRAPHQL, json!({"query": "query($a: ID!) { __typename }"}).to_string(), 400, false),
        (GRAPHQL, json!({"query": "query A { __typename }", "operationName": "B"}).to_string(), 400, false),
        (
            GRAPHQL,
            json!({"query": "subscription { executionUpdates(execution_id: \"x\") { type } }"}).to_string(),
            400,
            false,
        ),
        (GRAPHQL, long, 400, false),
        // An error of a field: the rest was carried out.
        (GRAPHQL, json!({"query": "{ __typename getExecution(execution_id: \"x\") { id } }"}).to_string(), 200, true),
        // No request at all.
        (PLAIN, String::new(), 400, false),
        (PLAIN, "{".to_owned(), 400, false),
        (PLAIN, "[]".to_owned(), 400, false),
        (PLAIN, json!([{"query": "{ __typename }"}]).to_string(), 400, false),
        (PLAIN, json!({"qeury": "{ __typename }"}).to_string(), 400, false),
        (PLAIN, json!({"query": "{ __typename }", "variables": "x"}).to_string(), 400, false),
        (PLAIN, json!({"query": "{ __typename }", "id": 1}).to_string(), 400, false),
    ] {
        let request = server.http(Method::POST, "/graphql").header(CONTENT_TYPE, PLAIN).header(ACCEPT, accept);
        let response = request.body(body.clone()).send().await.expect("an answer");
        let kind = response.headers()[CONTENT_TYPE].to_str().expect("text").to_owned();
        let shown: String = body.chars().take(100).collect();
        assert_eq!(response.status().as_u16(), status, "{accept} {shown}");
        assert_eq!(kind.starts_with(GRAPHQL), accept == GRAPHQL, "{accept}: {kind}");
        assert!(kind.ends_with("; charset=utf-8"), "{kind}");
        let answer: Value = response.json().await.expect("JSON");
        assert_eq!(answer.get("data").is_some(), has_data, "{shown}: {answer}");
        if !has_data {
            let error = &answer["errors"][0];
            assert!(error["message"].is_string() && error["extensions"]["code"].is_string(), "{answer}");
        }
    }
}

#[tokio::test]
async fn only_json_and_files_are_taken_and_only_by_post() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let body = r#"{"query": "{ __typename }"}"#;
    for (kind, status) in [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("application/json; charset=latin1"), 415),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("multipart/form-data"), 400),
        (None, 415),
    ] {
        let mut request = server.http(Method::POST, "/graphql").body(body);
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), status, "{kind:?}");
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let response = server.http(method, "/graphql").body(body).send().await.expect("an answer");
        assert_eq!(response.status(), 405);
        assert!(response.headers()["allow"].to_str().expect("text").contains("POST"));
    }
    let asked = server.http(Method::GET, "/graphql?query={__typename}").send().await.expect("an answer");
    assert_eq!(asked.status(), 400, "GET runs no operation");
}

#[tokio::test]
async fn the_page_is_whole_and_lets_nothing_in_from_elsewhere() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for (path, kind, holds) in [
        ("/graphql", "text/html", "<script src=\"/graphql/page.js\""),
        ("/graphql/page.js", "text/javascript", "graphql-transport-ws"),
        ("/graphql/page.css", "text/css", "prefers-color-scheme"),
    ] {
        let response = server.http(Method::GET, path).send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        assert!(headers[CONTENT_TYPE].to_str().expect("text").starts_with(kind), "{path}");
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(response.text().await.expect("a text").contains(holds), "{path}");
    }
}

#[tokio::test]
async fn in_production_there_is_neither_page_nor_introspection() {
    let workspace = workspace();
    let open = HttpServer::start(&workspace);
    let asked = "{ __schema { queryType { name } } __type(name: \"Query\") { name } }";
    assert_eq!(data(&open, asked, json!({})).await["__schema"]["queryType"]["name"], "Query");
    let closed = HttpServer::start_with(&workspace, &[], &[("ENVIRONMENT", "production")]);
    assert_eq!(code(&closed, asked, json!({})).await, "INVALID_QUERY");
    let misspelt = ask(&closed, "{ getExecuton(execution_id: \"x\") { id } }", json!({})).await;
    assert!(!misspelt.to_string().contains("getExecution"), "a hint would tell what there is: {misspelt}");
    for path in ["/graphql", "/graphql/page.js", "/graphql/page.css"] {
        assert_eq!(closed.http(Method::GET, path).send().await.expect("an answer").status(), 404, "{path}");
    }
    assert_eq!(data(&closed, "{ __typename }", json!({})).await, json!({"__typename": "Query"}));
}

#[tokio::test]
async fn fields_are_answered_in_the_order_of_the_document() {
    let workspace = workspace();
    workspace.write("projects/hello.light.yaml", HELLO);
    let server = HttpServer::start(&workspace);
    let query = "{ listDiagrams { nodes { id } metadata { name } } b: getSystemInfo healthCheck a: __typename }";
    for _ in 0..30 {
        let shown = data(&server, query, json!({})).await;
        let keys: Vec<&String> = shown.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["listDiagrams", "b", "healthCheck", "a"]);
    }
}
