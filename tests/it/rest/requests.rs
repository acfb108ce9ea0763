//! How requests are read: strictly, with all problems at once.

use axum::http::StatusCode;
use dipeo::handlers::caller::{Identity, Scopes};
use serde_json::{Value, json};

use super::{Rest, hello};

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_with_the_nearest_name() {
    let rest = Rest::new();
    let reply = rest.get("/api/v1/executions?limt=5&limit=many&offset=-1&status=done").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, "INVALID_INPUT"));
    let message = reply.body["error"]["message"].as_str().expect("a message");
    for part in [
        "there is no argument `limt`, did you mean `limit`?",
        "`limit` must be of type integer, not `\"many\"`",
        "`offset` must be at least 0, not `-1`",
        "status",
    ] {
        assert!(message.contains(part), "{message} lacks {part}");
    }
    assert_eq!(reply.body["error"]["details"]["problems"].as_array().map(Vec::len), Some(4), "{}", reply.body);
    let reply = rest.post("/api/v1/run", json!({"contnt": "x", "wait": 26, "variables": [], "strict": "yes"})).await;
    assert_eq!(reply.body["error"]["details"]["problems"].as_array().map(Vec::len), Some(4), "{}", reply.body);
}

#[tokio::test]
async fn a_body_is_json_of_the_right_kind_and_stands_where_it_belongs() {
    let rest = Rest::new();
    let json = [("content-type", "application/json")];
    let run = "POST /api/v1/run";
    for (what, body, headers, status, code) in [
        (run, Some(json!("{\"a\":")), &json[..], 400, "INVALID_JSON"),
        (run, Some(json!("[]")), &json, 400, "INVALID_INPUT"),
        (
            run,
            Some(json!("content=x")),
            &[("content-type", "application/x-www-form-urlencoded")],
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (run, Some(json!("{}")), &[("content-type", "text/plain")], 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            run,
            Some(json!({"content": "x"})),
            &[("content-type", "application/json; charset=utf-8")],
            400,
            "INVALID_DIAGRAM",
        ),
        ("GET /api/v1/models", Some(json!({"a": 1})), &json, 400, "INVALID_INPUT"),
        ("POST /api/v1/run?wait=1", Some(json!({"content": "x"})), &json, 400, "INVALID_INPUT"),
        ("GET /api/v1/executions?limit=1&limit=2", None, &[], 400, "INVALID_INPUT"),
        ("GET /api/versions", None, &[], 400, "INVALID_INPUT"),
        ("GET /api/v1/models?x=1", None, &[], 400, "INVALID_INPUT"),
        ("PUT /api/v1/diagrams/a", Some(json!({"name": "b", "content": "x"})), &json, 400, "INVALID_INPUT"),
        ("GET /api/v1/diagrams/..%2Fsecret", None, &[], 400, "INVALID_NAME"),
        ("GET /api/v1/diagrams/%2Fetc%2Fpasswd", None, &[], 400, "INVALID_NAME"),
        ("GET /api/v1/diagrams/%FF", None, &[], 400, "INVALID_INPUT"),
        ("GET /api/v1/executions/exec_1", None, &[], 400, "INVALID_EXECUTION_ID"),
        ("GET /api/v1/diagrams/a/revisions/one", None, &[], 400, "INVALID_INPUT"),
        ("GET /api/v1/models", None, &[("if-none-match", "\u{e9}")], 400, "INVALID_INPUT"),
    ] {
        let reply = rest.send(what, body, headers).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{what}: {}", reply.body);
        assert!(reply.body["error"]["message"].is_string() && reply.body["error"]["hint"].is_string(), "{what}");
    }
}

#[tokio::test]
async fn a_null_is_the_same_as_nothing_and_a_whole_number_may_have_a_point() {
    let rest = Rest::new();
    let body = json!({"content": hello("hi"), "format": null, "variables": null, "wait": 20.0});
    let reply = rest.post("/api/v1/run", body).await;
    assert_eq!((reply.status.as_u16(), &reply.body["status"]), (200, &json!("completed")), "{}", reply.body);
}

#[tokio::test]
async fn who_may_not_do_it_is_told_which_permission_is_missing() {
    use axum::body::Body;
    use tower::ServiceExt;
    let rest = Rest::new();
    for operation in dipeo::http::rest::operations().filter(|it| !it.scopes.is_empty()) {
        let path = operation.path.replace("{n}", "1").replace("{m}", "1").replace(['{', '}'], "");
        let mut request = axum::http::Request::new(Body::empty());
        *request.method_mut() = operation.verb.name().parse().expect("a verb");
        *request.uri_mut() = path.parse().expect("a path");
        request.extensions_mut().insert(Identity { principal: "ada".into(), scopes: Scopes::NONE });
        let response = rest.router.clone().oneshot(request).await.expect("answered");
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{}", operation.id);
        let challenge = response.headers()["www-authenticate"].to_str().expect("text").to_owned();
        for scope in operation.scopes {
            assert!(challenge.contains(scope.name()), "{}: {challenge}", operation.id);
        }
    }
}

#[tokio::test]
async fn hostile_texts_are_refused_and_never_a_failure_of_ours() {
    let rest = Rest::new();
    let long = "a".repeat(100_000);
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    for (what, body) in [
        ("POST /api/v1/run", format!("{{\"content\": {deep}}}")),
        ("POST /api/v1/run", format!("{{\"{long}\": 1}}")),
        ("POST /api/v1/compile", json!({"content": "\u{0}\u{1}{{{{"}).to_string()),
        ("POST /api/v1/diagrams", json!({"name": long, "content": hello("x")}).to_string()),
        ("POST /api/v1/convert", json!({"content": "a: &a [*a, *a]", "to_format": "native"}).to_string()),
        ("POST /api/v1/executions/exec_00000000000000000000000000000000/control", json!({"action": long}).to_string()),
    ] {
        let reply = rest.send(what, Some(Value::String(body)), &[("content-type", "application/json")]).await;
        assert!(reply.status.is_client_error() || reply.status.is_success(), "{what}: {} {}", reply.status, reply.body);
        assert!(reply.body.to_string().len() < 20_000, "{what}: a long text comes back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_wait_and_not_the_run() {
    let rest = Rest::new();
    let asks = rest.ran(super::ASKS).await;
    let spins =
        hello("hi").replace("type: template_job, template_content: hi", "type: code_job, code: 'while True: pass'");
    let started = async || rest.get("/api/v1/executions?limit=1").await.body["items"][0]["execution_id"].clone();
    let id = {
        let request = rest.post("/api/v1/run", json!({"content": spins, "wait": 25}));
        let mut request = std::pin::pin!(request);
        loop {
            tokio::select! {
                reply = &mut request => panic!("it ended: {}", reply.body),
                () = crate::harness::next_commit(&rest.app) => {}
            }
            let newest = started().await;
            if newest != *asks {
                break newest;
            }
        }
    };
    let path = format!("/api/v1/executions/{}", id.as_str().expect("an id"));
    let status = rest.get(&path).await.body["status"].clone();
    assert!(status == "running" || status == "pending", "{status}");
    let stopped = rest.post(&format!("{path}/stop"), json!({})).await;
    assert_eq!(stopped.body["status"], "aborted", "{}", stopped.body);
    rest.app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_from_many_at_once_starts_one_execution() {
    let rest = Rest::new();
    rest.save("greet", &hello("hi")).await;
    let all = (0..20).map(|_| {
        let body = Some(json!({"wait": 20}));
        rest.send("POST /api/v1/diagrams/greet/run", body, &[("idempotency-key", "one")])
    });
    let replies = futures_util::future::join_all(all).await;
    let ids: std::collections::BTreeSet<String> =
        replies.iter().map(|it| it.body["execution_id"].to_string()).collect();
    assert_eq!((ids.len(), rest.get("/api/v1/executions").await.body["total"].clone()), (1, json!(1)), "{ids:?}");
    rest.app.shut_down_runs().await;
}
