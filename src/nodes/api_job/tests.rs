use std::sync::Arc;
use std::time::Duration;

use super::super::harness::{Harness, MemorySecrets, ScriptedHttp, World, codes, diagnostics, diagram};
use super::super::ports::http::HttpReply;
use super::super::rights::{Origin, Rights};
use super::*;

fn reply(status: u16, content_type: &str, body: &str) -> HttpReply {
    let mut headers = vec![("x-it".to_owned(), "1".to_owned())];
    if !content_type.is_empty() {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    HttpReply { status, headers, body: body.as_bytes().to_vec(), duration: Duration::from_millis(7) }
}

/// A node whose requests get these answers, with two secrets at hand.
fn harness(fields: Value, inputs: Value, answers: Vec<HttpReply>) -> (Harness, Arc<ScriptedHttp>) {
    let world = World { secrets: &["KEY", "PASSWORD"], ..World::default() };
    let mut harness = Harness::in_diagram(&diagram(NodeKind::ApiJob, fields), world).inputs(inputs);
    let http = ScriptedHttp::of(answers);
    let ports = Arc::get_mut(&mut harness.cx.ports).expect("not shared yet");
    ports.http = Arc::clone(&http) as _;
    ports.secrets = MemorySecrets::of(&[("KEY", "canary-key"), ("PASSWORD", "canary-pw")]);
    (harness, http)
}

async fn value_of(answer: HttpReply) -> Value {
    let (harness, _) = harness(json!({"url": "https://a.test/"}), json!({}), vec![answer]);
    harness.body().await.expect("an answer")
}

#[tokio::test]
async fn a_request_is_made_of_rendered_fields_with_secrets_last() {
    let fields = json!({
        "url": "https://a.test/{{id}}",
        "method": "post",
        "headers": {"X-A": "{{id}}", "X-Key": "k ${secret:KEY}", "X-None": null},
        "params": {"q": "{{words}}", "n": 3, "none": null},
        "body": {"id": "{{id}}", "list": "{{words}}", "text": "{{id}}!", "key": "${secret:KEY}", "sly": "{{sly}}"},
        "auth_type": "bearer",
        "auth_config": {"token": "${secret:PASSWORD}"},
    });
    let inputs = json!({"id": 7, "words": ["a b", "c"], "sly": "${secret:KEY}"});
    let (harness, http) = harness(fields, inputs, vec![reply(201, "application/json", "{\"ok\": true}")]);
    let output = harness.output().await.expect("an answer");
    assert_eq!(*output.body, json!({"ok": true}));
    assert_eq!(
        output.meta["http"],
        json!({
            "status": 201, "url": "https://a.test/7", "method": "POST", "duration_ms": 7,
            "headers": {"x-it": "1", "content-type": "application/json"},
        })
    );
    let sent = http.sent();
    assert_eq!((sent.method.as_str(), sent.url.as_str()), ("POST", "https://a.test/7"));
    let pairs = |it: &[(&str, &str)]| it.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    assert_eq!(sent.query, pairs(&[("q", "a b"), ("q", "c"), ("n", "3")]));
    let key = format!("exec_{}:node_0:1", "0".repeat(32));
    let headers = [
        ("X-A", "7"),
        ("X-Key", "k canary-key"),
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer canary-pw"),
        ("Idempotency-Key", key.as_str()),
    ];
    assert_eq!(sent.headers, pairs(&headers));
    let body: Value = serde_json::from_slice(&sent.body.expect("a body")).expect("JSON");
    let words = json!(["a b", "c"]);
    let expected = json!({"id": 7, "list": words, "text": "7!", "key": "canary-key", "sly": "${secret:KEY}"});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn inputs_named_after_fields_replace_them() {
    let fields = json!({"url": "https://a.test/", "headers": {"A": "1"}, "params": {"a": 1}, "body": "old"});
    let inputs = json!({"url": "https://b.test/${secret:KEY}", "headers": {"B": "2"}, "params": {}, "body": [1]});
    let (harness, http) = harness(fields, inputs, vec![reply(200, "", "")]);
    assert_eq!(harness.body().await.expect("an answer"), json!(null));
    let sent = http.sent();
    assert_eq!((sent.url.as_str(), sent.query.len()), ("https://b.test/${secret:KEY}", 0));
    assert_eq!((sent.headers[0].1.as_str(), sent.body.as_deref()), ("2", Some(b"[1]".as_slice())));
}

#[tokio::test]
async fn each_kind_of_auth_sets_its_header() {
    for (kind, config, name, value) in [
        ("bearer", json!({"token": "${secret:KEY}"}), "Authorization", "Bearer canary-key"),
        (
            "basic",
            json!({"username": "ann", "password": "${secret:PASSWORD}"}),
            "Authorization",
            "Basic YW5uOmNhbmFyeS1wdw==",
        ),
        ("api_key", json!({"key_value": "${secret:KEY}"}), "X-API-Key", "canary-key"),
        ("api_key", json!({"key_name": "X-Mine", "key_value": "{{k}}"}), "X-Mine", "5"),
    ] {
        let fields = json!({"url": "https://a.test/", "auth_type": kind, "auth_config": config});
        let (harness, http) = harness(fields, json!({"k": 5}), vec![reply(200, "", "")]);
        harness.body().await.expect("an answer");
        assert_eq!(http.sent().headers, [(name.to_owned(), value.to_owned())], "{kind}");
        let scrubber = harness.cx.ports.secrets.scrubber();
        assert!(kind == "api_key" || !scrubber.text(value).contains("canary") && scrubber.text(value).contains("***"));
    }
}

#[tokio::test]
async fn the_value_is_json_text_or_a_reference_by_the_answers_type() {
    for (content_type, body, expected) in [
        ("application/json", "[1, 2.5]", json!([1, 2.5])),
        ("application/problem+json; charset=utf-8", "\"x\"", json!("x")),
        ("text/plain", "[1]", json!("[1]")),
        ("text/html; charset=utf-8", "\u{feff}<p>ü", json!("<p>ü")),
        ("application/atom+xml", "<a/>", json!("<a/>")),
        ("", "{\"a\": 1}", json!({"a": 1})),
        ("", "plain", json!("plain")),
        ("", "", json!(null)),
        ("application/json", "", json!(null)),
        ("text/plain", "", json!("")),
    ] {
        assert_eq!(value_of(reply(200, content_type, body)).await, expected, "{content_type} {body}");
    }
    let mut latin = reply(200, "text/plain; charset=ISO-8859-1", "");
    latin.body = vec![b'f', 0xfc, b'r'];
    assert_eq!(value_of(latin).await, json!("für"));
    let image = value_of(reply(200, "image/png", "png")).await;
    assert_eq!((&image["media_type"], &image["size"]), (&json!("image/png"), &json!(3)));
}

#[tokio::test]
async fn a_status_that_is_not_accepted_fails_with_what_the_server_said() {
    let fields = json!({"url": "https://u:canary-pw@a.test/x?key=${secret:KEY}"});
    let mut busy = reply(429, "text/plain", "slow down");
    busy.headers.push(("retry-after".to_owned(), "2".to_owned()));
    let (harness, _) = harness(fields, json!({}), vec![busy]);
    let error = harness.body().await.expect_err("not accepted");
    assert_eq!((error.code(), error.is_retryable()), ("HTTP_STATUS", true));
    assert_eq!(error.message(), "`GET https://a.test/x` answered with status 429");
    let details =
        json!({"status": 429, "url": "https://a.test/x?key=***", "body": "slow down", "retry_after_ms": 2000});
    assert_eq!(error.details_value(), Some(&details));
    for (accept, status, is_fine, is_retryable) in [
        (json!(null), 204, true, false),
        (json!(null), 302, false, false),
        (json!(null), 404, false, false),
        (json!(null), 503, false, true),
        (json!([404]), 404, true, false),
        (json!([404]), 200, false, false),
    ] {
        let fields = json!({"url": "https://a.test/", "accept_status": accept});
        let (harness, _) = self::harness(fields, json!({}), vec![reply(status, "", "")]);
        match harness.body().await {
            Ok(_) => assert!(is_fine, "{accept} {status}"),
            Err(error) => assert_eq!((is_fine, error.is_retryable()), (false, is_retryable), "{accept} {status}"),
        }
    }
}

#[tokio::test]
async fn hostile_answers_and_inputs_are_failures_and_nothing_else() {
    let broken = reply(200, "application/json", "{\"a\": ");
    let (harness, _) = harness(json!({"url": "https://a.test/"}), json!({}), vec![broken]);
    assert_eq!(harness.body().await.expect_err("no JSON").code(), "PARSE_FAILED");
    let deep = "[".repeat(100_000);
    let (harness, _) = self::harness(json!({"url": "https://a.test/"}), json!({}), vec![reply(200, "", &deep)]);
    assert_eq!(harness.body().await.expect("text"), json!(deep));
    for (inputs, part) in [
        (json!({"url": 5}), "`url`"),
        (json!({"headers": "x"}), "`headers`"),
        (json!({"headers": {"a": [1]}}), "`headers.a`"),
        (json!({"params": {"a": {"b": 1}}}), "`params.a`"),
    ] {
        let (harness, http) = self::harness(json!({"url": "https://a.test/"}), inputs, vec![]);
        let error = harness.body().await.expect_err(part);
        assert_eq!((error.code(), error.message().contains(part)), ("TEMPLATE_FAILED", true), "{error}");
        assert_eq!(http.n_sent(), 0);
    }
}

#[test]
fn only_what_is_safe_to_repeat_is_repeated_by_default() {
    for (method, attempts) in [("GET", 3), ("HEAD", 3), ("PUT", 3), ("DELETE", 3), ("POST", 1), ("PATCH", 1)] {
        let node = Harness::new(NodeKind::ApiJob, json!({"url": "https://a.test/", "method": method})).node;
        assert_eq!(node.retry_default().max_attempts, attempts, "{method}");
        assert_eq!((node.effect(), node.timeout_default()), (Effect::Outside, Some(30.0)));
    }
}

#[test]
fn diagnostics_name_each_mistake_once() {
    let with = |more: Value| {
        let mut fields = json!({"url": "https://a.test/"});
        fields.as_object_mut().expect("a map").extend(more.as_object().cloned().expect("a map"));
        fields
    };
    for (fields, expected) in [
        (json!({}), vec!["E401"]),
        (json!({"url": " "}), vec!["E401"]),
        (json!({"url": 5}), vec!["E402"]),
        (json!({"url": "a.test/x"}), vec!["E403"]),
        (json!({"url": "file:///etc/passwd"}), vec!["E403"]),
        (json!({"url": "{{base}}/x"}), vec![]),
        (json!({"url": "{{#if x}}"}), vec!["E602"]),
        (json!({"url": "http://127.0.0.1:1/"}), vec![]),
        (with(json!({"method": "FETCH"})), vec!["E403"]),
        (with(json!({"headers": "x"})), vec!["E402"]),
        (with(json!({"params": "{{all}}"})), vec![]),
        (with(json!({"body": "${secret:nope"})), vec!["E602"]),
        (with(json!({"body": {"deep": ["${secret:NONE} ${secret:NONE}"]}})), vec!["E508"]),
        (with(json!({"auth_type": "bearer"})), vec!["E401"]),
        (with(json!({"auth_type": "basic", "auth_config": {"username": "a", "password": ""}})), vec!["E401"]),
        (with(json!({"auth_type": "api_key", "auth_config": {"key_value": "a", "in": "query"}})), vec!["W402"]),
        (with(json!({"auth_config": {"token": "a"}})), vec!["W402"]),
        (with(json!({"accept_status": 200})), vec!["E402"]),
        (with(json!({"accept_status": [200, "x"]})), vec!["E402"]),
        (with(json!({"accept_status": [99]})), vec!["E402"]),
        (with(json!({"headrs": {}})), vec!["W401"]),
    ] {
        assert_eq!(codes(NodeKind::ApiJob, fields.clone()), expected, "{fields}");
    }
}

#[test]
fn a_submitted_diagram_may_name_no_private_address() {
    for (url, expected) in [
        ("http://127.0.0.1:8080/{{x}}", vec!["E703"]),
        ("http://0x7f.1/", vec!["E703"]),
        ("http://[::ffff:10.0.0.1]/", vec!["E703"]),
        ("http://localhost/", vec!["E703"]),
        ("https://example.com/", vec![]),
        ("{{url}}", vec![]),
    ] {
        let world = World { rights: Rights::of(Origin::Submitted, true, false), ..World::default() };
        let found = diagnostics(&diagram(NodeKind::ApiJob, json!({"url": url})), &world);
        assert_eq!(found.iter().map(|it| it.code).collect::<Vec<_>>(), expected, "{url}");
    }
}
