//! What clients send that mean no good: nothing stops the server, nothing takes long, every answer is JSON.

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{ask, code, data};
use crate::harness::workspace;
use crate::mcp_client::HttpServer;

#[tokio::test]
async fn hostile_documents_are_refused_with_a_code() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let doubling: String =
        (0..40).map(|it| format!("fragment F{it} on Query {{ ...F{0} ...F{0} }}\n", it + 1)).collect();
    let chain: String = (0..2_000).map(|it| format!("fragment F{it} on Query {{ ...F{} }}\n", it + 1)).collect();
    let (invalid, complex) = ("INVALID_QUERY", "QUERY_TOO_COMPLEX");
    for (document, expected) in [
        ("{".repeat(200_000), complex),
        ("{a".repeat(50_000), complex),
        (format!("{{ a(b: {}", "[".repeat(50_000)), complex),
        (format!("query($a: {}Int{}) {{ a }}", "[".repeat(1_000), "]".repeat(1_000)), complex),
        (format!("{{ ...F0 }} {doubling} fragment F40 on Query {{ __typename }}"), complex),
        (format!("{{ __typename }} {doubling} fragment F40 on Query {{ __typename }}"), complex),
        (format!("{{ ...F0 }} {chain} fragment F2000 on Query {{ __typename }}"), complex),
        (format!("{{ __typename }} {chain} fragment F2000 on Query {{ __typename }}"), complex),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".to_owned(), invalid),
        ("{ __typename } fragment A on Query { ...A }".to_owned(), invalid),
        (format!("{{ {} }}", (0..101).map(|it| format!("a{it}: __typename ")).collect::<String>()), complex),
        (format!("{{ {} }}", "@include(if: true) ".repeat(20_000)), complex),
        // The library looks such types up in the belief that they are there.
        ("query($a: [Nothing] = [1]) { __typename }".to_owned(), invalid),
        ("query($a: [Query!]! = [{}]) { __typename }".to_owned(), invalid),
        ("query($a: Nothing) { __typename }".to_owned(), invalid),
        ("{ getSystemInfo @nothing(if: true) }".to_owned(), invalid),
        ("{ getSystemInfo @skip(if: $a) }".to_owned(), invalid),
        ("{ getExecution { id } }".to_owned(), invalid),
        ("{ getExecution(execution_id: [[1]]) { id } }".to_owned(), invalid),
        ("{ getExecution(execution_id: {a: 1}) { id } }".to_owned(), invalid),
        ("{ getExecution(execution_id: \"\\uD800\") { id } }".to_owned(), invalid),
        ("{ a: __typename a: getExecution(execution_id: \"x\") { id } }".to_owned(), invalid),
        ("subscription { executionUpdates(execution_id: \"x\") { type } }".to_owned(), invalid),
        ("\u{0}".to_owned(), invalid),
        ("\u{feff}".repeat(1_000), invalid),
        ("#".repeat(1_000_000), invalid),
        ("".to_owned(), invalid),
    ] {
        let shown: String = document.chars().take(80).collect();
        let answer = ask(&server, &document, json!({})).await;
        let found = answer["errors"][0]["extensions"]["code"].as_str();
        assert_eq!(found, Some(expected), "{shown}: {answer}");
        assert!(answer["errors"].as_array().is_some_and(|it| it.len() <= 20));
    }
    // The library's own way of naming a file of the request opens nothing when there is none.
    let forged = data(&server, "mutation { uploadFile(file: \"#__graphql_file__:0\") }", json!({})).await;
    assert_eq!(forged["uploadFile"]["error_type"], "INVALID_INPUT", "{forged:#}");
    assert_eq!(data(&server, "{ __typename }", json!({})).await, json!({"__typename": "Query"}));
}

#[tokio::test]
async fn hostile_variables_reach_nobody() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let query = "query($id: String!) { getExecution(execution_id: $id) { id } }";
    for (variables, expected) in [
        (json!({"id": "exec_../../etc/passwd"}), "INVALID_EXECUTION_ID"),
        (json!({"id": "x".repeat(100_000)}), "INVALID_EXECUTION_ID"),
        (json!({"id": "\u{0}"}), "INVALID_EXECUTION_ID"),
        (json!({"id": null}), "INVALID_QUERY"),
        (json!({}), "INVALID_QUERY"),
        (json!({"id": 1}), "INVALID_QUERY"),
        (json!({"id": {"$serde_json::private::RawValue": "1"}}), "INVALID_QUERY"),
        (json!({"id": ["exec_"]}), "INVALID_QUERY"),
    ] {
        assert_eq!(code(&server, query, variables.clone()).await, expected, "{}", variables.to_string().len());
    }
    let upload = "mutation($f: Upload!) { uploadFile(file: $f) }";
    for text in ["#__graphql_file__:0", "#__graphql_file__:x", "#__graphql_file__:-1", "a", ""] {
        let answer = ask(&server, upload, json!({"f": text})).await;
        let refused = answer["errors"].is_array() || answer["data"]["uploadFile"]["success"] == json!(false);
        assert!(refused, "{text}: {answer}");
    }
    let unused = json!({"id": "exec_00000000000000000000000000000000", "other": "x".repeat(1_000_000)});
    assert_eq!(data(&server, query, unused).await, json!({"getExecution": null}));
}

#[tokio::test]
async fn bodies_that_are_too_large_are_not_read() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let long = json!({"query": "{ __typename }", "variables": {"a": "x".repeat(11 * 1024 * 1024)}}).to_string();
    let request = server.http(Method::POST, "/graphql").header("content-type", "application/json");
    let response = request.body(long).send().await.expect("an answer");
    assert_eq!(response.status(), 413);
    let answer: Value = response.json().await.expect("JSON");
    let code = answer["error"]["code"].as_str().or(answer["errors"][0]["extensions"]["code"].as_str());
    assert_eq!(code, Some("TOO_LARGE"), "{answer}");
}

#[tokio::test]
async fn random_documents_never_stop_the_server() {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let words = [
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ":",
        "!",
        "$a",
        "$b",
        "@skip(if: true)",
        "@include",
        "...",
        "... on",
        "Query",
        "Mutation",
        "String",
        "ID",
        "[Int!]",
        "query",
        "mutation",
        "subscription",
        "fragment",
        "on",
        "F",
        "G",
        "...F",
        "getExecution",
        "execution_id:",
        "listExecutions",
        "limit:",
        "filter:",
        "{status: RUNNING}",
        "id",
        "status",
        "__typename",
        "__schema",
        "types",
        "name",
        "\"text\"",
        "\"\"\"block\"\"\"",
        "1",
        "-1.5e3",
        "null",
        "true",
        "ENUM",
        "#c\n",
        "=",
        "|",
        "&",
        "executionUpdates",
        "a:",
        "executeDiagram",
        "input:",
        "{diagram_id: \"x\"}",
    ];
    let mut runner = TestRunner::deterministic();
    let documents = proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40);
    for _ in 0..1_000 {
        let document = documents.new_tree(&mut runner).expect("a value").current().join(" ");
        let answer = ask(&server, &document, json!({"a": [1], "b": {"c": null}})).await;
        let codes = answer["errors"].as_array().into_iter().flatten();
        for error in codes {
            assert_ne!(error["extensions"]["code"], "INTERNAL", "{document}: {answer}");
        }
    }
}
