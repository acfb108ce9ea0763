//! What the operations on executions do.

use serde_json::{Value, json};

use super::{ASKS, Rest, TALKS, hello};

const TAKES: &str = "\
version: light
inputs:
  name: {type: string, required: true}
nodes:
- {label: s, type: start}
- {label: say, type: template_job, template_content: 'Hello {{ name }}'}
- {label: e, type: endpoint}
connections:
- {from: s, to: say}
- {from: say, to: e}
";

pub async fn are_started(rest: &Rest) {
    rest.save("takes", TAKES).await;
    let run = "/api/v1/diagrams/takes/run";
    let ran = rest.post(run, json!({"variables": {"name": "Ada"}, "wait": 20})).await;
    assert_eq!((ran.status.as_u16(), &ran.body["final_output"]), (200, &json!("Hello Ada")), "{}", ran.body);
    let id = ran.body["execution_id"].as_str().expect("an id");
    assert_eq!(ran.header("location"), format!("/api/v1/executions/{id}"));
    assert_eq!(ran.body["revision"], 1, "it says which one it ran");
    let wrong = rest.post(run, json!({"variables": {"nme": "Ada"}})).await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (400, "INVALID_INPUT"));
    assert_eq!(rest.post("/api/v1/diagrams/tkes/run", json!({})).await.code(), "DIAGRAM_NOT_FOUND");

    let paused = rest.post("/api/v1/run", json!({"content": ASKS, "wait": 20})).await;
    assert_eq!((paused.status.as_u16(), &paused.body["status"]), (200, &json!("paused")));
    let debugged = json!({"content": hello("hi"), "breakpoints": ["say"], "wait": 20});
    assert_eq!(rest.post("/api/v1/run", debugged).await.body["pause_reason"], "breakpoint");
    let neither = rest.post("/api/v1/run", json!({})).await;
    assert_eq!(neither.code(), "INVALID_INPUT");
    let spins =
        hello("hi").replace("type: template_job, template_content: hi", "type: code_job, code: 'while True: pass'");
    let started = rest.post("/api/v1/run", json!({"content": spins})).await;
    assert_eq!(started.status, 202, "{}", started.body);
    let id = started.body["execution_id"].as_str().expect("an id").to_owned();
    assert_eq!(rest.post(&format!("/api/v1/executions/{id}/stop"), json!({})).await.status, 200);

    // The same key with the same body is the same execution, with another body a conflict.
    let keyed = |name: &str| {
        let body = json!({"variables": {"name": name}, "wait": 20});
        async move { rest.send(&format!("POST {run}"), Some(body), &[("idempotency-key", "k1")]).await }
    };
    let (first, again, other) = (keyed("Ada").await, keyed("Ada").await, keyed("Bob").await);
    assert_eq!(first.body["execution_id"], again.body["execution_id"]);
    assert_eq!((other.status.as_u16(), other.code()), (409, "IDEMPOTENCY_CONFLICT"));
    let both = json!({"variables": {"name": "Ada"}, "idempotency_key": "k2"});
    let both = rest.send(&format!("POST {run}"), Some(both), &[("idempotency-key", "k1")]).await;
    assert_eq!(both.code(), "INVALID_INPUT");
}

pub async fn are_repeated(rest: &Rest) {
    let id = rest.ran(TALKS).await;
    let fork = format!("POST /api/v1/executions/{id}/fork");
    let body = json!({"node": "ask", "output": "another", "wait": 20});
    let key = [("idempotency-key", "f1")];
    let forked = rest.send(&fork, Some(body.clone()), &key).await;
    assert_eq!((forked.status.as_u16(), &forked.body["final_output"]), (200, &json!("another")), "{}", forked.body);
    assert_eq!(forked.body["parent_execution_id"], *id);
    let again = rest.send(&fork, Some(body), &key).await;
    assert_eq!(again.body["execution_id"], forked.body["execution_id"]);
    let other = rest.send(&fork, Some(json!({"node": "ask"})), &key).await;
    assert_eq!(other.code(), "IDEMPOTENCY_CONFLICT");

    let replay = format!("POST /api/v1/executions/{id}/replay");
    let replayed = rest.send(&replay, Some(json!({"wait": 20})), &[("idempotency-key", "r1")]).await;
    assert_eq!((replayed.status.as_u16(), &replayed.body["repeats"]["equal"]), (200, &json!(true)));
    let again = rest.send(&replay, None, &[("idempotency-key", "r1")]).await;
    assert_eq!(again.body["execution_id"], replayed.body["execution_id"]);

    let other = forked.body["execution_id"].as_str().expect("an id");
    let diff = rest.get(&format!("/api/v1/executions/{id}/diff/{other}")).await;
    assert_eq!((&diff.body["equal"], &diff.body["first_divergence"]["node"]), (&json!(false), &json!("ask")));
    assert_eq!(rest.get(&format!("/api/v1/executions/{id}/diff/greet")).await.code(), "INVALID_EXECUTION_ID");
}

pub async fn are_listed_and_read(rest: &Rest) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(rest.ran(&hello("hi")).await);
    }
    ids.reverse();
    let asks = rest.ran(ASKS).await;
    let listed = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().expect("items").iter();
        items.map(|it| it["execution_id"].as_str().expect("an id").to_owned()).collect()
    };
    let completed = rest.get("/api/v1/executions?status=completed&limit=2").await;
    assert_eq!((listed(&completed.body), &completed.body["total"]), (ids[..2].to_vec(), &json!(5)));
    let cursor = completed.body["next_cursor"].as_str().expect("more");
    // What comes meanwhile moves nothing.
    rest.ran(&hello("hi")).await;
    let next = rest.get(&format!("/api/v1/executions?status=completed&limit=2&cursor={cursor}")).await;
    assert_eq!(listed(&next.body), ids[2..4]);
    let last = rest.get("/api/v1/executions?until=2000-01-01T00:00:00Z").await;
    assert_eq!((&last.body["total"], &last.body["items"]), (&json!(0), &json!([])));
    assert_eq!(rest.get("/api/v1/executions?status=done").await.code(), "INVALID_INPUT");
    assert_eq!(rest.get("/api/v1/executions?cursor=zzz").await.code(), "INVALID_CURSOR");

    let path = format!("/api/v1/executions/{}", ids[0]);
    let read = rest.get(&path).await;
    assert_eq!((&read.body["status"], &read.body["final_output"]), (&json!("completed"), &json!("hi")));
    assert!(read.body.get("nodes").is_none());
    assert_eq!(rest.get(&format!("{path}?verbose=true")).await.body["nodes"].as_array().map(Vec::len), Some(3));
    let tag = read.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let known = rest.send(&format!("GET {path}"), None, &[("if-none-match", &tag)]).await;
    assert_eq!(known.status, 304);
    let waited = rest.get(&format!("/api/v1/executions/{asks}?wait=5")).await;
    assert_eq!(waited.body["status"], "paused", "a pause ends the wait");
    // Somebody else's is not there.
    for path in [path.clone(), format!("{path}/logs"), format!("{path}/messages"), format!("{path}/diff/{asks}")] {
        let other = rest.send_as(Some("ada"), &format!("GET {path}"), None, &[]).await;
        assert_eq!((other.status.as_u16(), other.code()), (404, "EXECUTION_NOT_FOUND"), "{path}");
    }
}

pub async fn tell_what_happened(rest: &Rest) {
    let id = rest.ran(TALKS).await;
    let logs = rest.get(&format!("/api/v1/executions/{id}/logs")).await;
    assert_eq!((&logs.body["total"], &logs.body["items"][1]["output"]), (&json!(3), &json!("fine")));
    let of_node = rest.get(&format!("/api/v1/executions/{id}/logs?node_id=ask")).await;
    assert_eq!((&of_node.body["total"], &of_node.body["items"][0]["label"]), (&json!(1), &json!("ask")));
    let raw = rest.get(&format!("/api/v1/executions/{id}/logs?format=transitions&limit=1")).await;
    assert_eq!(raw.body["items"][0]["phase"], "execution_started");
    assert_eq!(rest.get(&format!("/api/v1/executions/{id}/logs?format=lines")).await.code(), "INVALID_INPUT");
    let messages = rest.get(&format!("/api/v1/executions/{id}/messages?person_id=Ann")).await;
    let said: Vec<&str> =
        messages.body["items"].as_array().expect("items").iter().filter_map(|it| it["content"].as_str()).collect();
    assert_eq!(said, ["How are you?", "fine"], "{}", messages.body);
    let metrics = rest.get(&format!("/api/v1/executions/{id}/metrics")).await;
    assert_eq!((&metrics.body["node_count"], &metrics.body["critical_path_length"]), (&json!(3), &json!(3)));
    assert_eq!(metrics.body["node_breakdown"][1]["label"], "ask", "{}", metrics.body);
}

pub async fn are_steered(rest: &Rest) {
    let id = rest.ran(ASKS).await;
    let path = format!("/api/v1/executions/{id}");
    let answered = rest.post(&format!("{path}/input"), json!({"value": "fine", "wait": 20})).await;
    assert_eq!((answered.status.as_u16(), &answered.body["final_output"]), (200, &json!("fine")), "{}", answered.body);
    let again = rest.post(&format!("{path}/input"), json!({"value": "fine"})).await;
    assert_eq!((again.status.as_u16(), again.code()), (409, "ALREADY_ANSWERED"));

    let id = rest.ran(ASKS).await;
    let stopped = rest.post(&format!("/api/v1/executions/{id}/stop"), json!({"reason": "enough"})).await;
    assert_eq!((stopped.status.as_u16(), &stopped.body["status"]), (200, &json!("aborted")));
    let resumed = rest.post(&format!("/api/v1/executions/{id}/resume"), json!({})).await;
    assert_eq!(resumed.status, 200, "{}", resumed.body);
    let asks_again = rest.get(&format!("/api/v1/executions/{id}?wait=20")).await;
    assert_eq!(asks_again.body["status"], "paused", "{}", asks_again.body);

    let started = json!({"content": hello("hi"), "breakpoints": ["say"], "wait": 20});
    let broken = rest.post("/api/v1/run", started).await;
    let path = format!("/api/v1/executions/{}", broken.body["execution_id"].as_str().expect("an id"));
    let inspected = rest.post(&format!("{path}/control"), json!({"action": "inspect"})).await;
    assert_eq!(inspected.body["inspection"]["breakpoints"], json!(["say"]), "{}", inspected.body);
    let resumed = rest.post(&format!("{path}/resume"), json!({"override_values": {"say": "instead"}})).await;
    assert_eq!(resumed.status, 200, "{}", resumed.body);
    let ended = rest.get(&format!("{path}?wait=20")).await;
    assert_eq!(ended.body["final_output"], "instead", "{}", ended.body);
    let unknown = rest.post(&format!("{path}/control"), json!({"action": "explode"})).await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (400, "INVALID_INPUT"));
    let others = rest.send_as(Some("ada"), &format!("POST {path}/stop"), Some(json!({})), &[]).await;
    assert_eq!(others.status, 404);
}

pub async fn are_deleted(rest: &Rest) {
    let first = rest.ran(&hello("hi")).await;
    let delete = |id: &str| format!("DELETE /api/v1/executions/{id}");
    assert_eq!(rest.send(&delete(&first), None, &[]).await.code(), "LAST_EXECUTION");
    let asks = rest.ran(ASKS).await;
    let refused = rest.send(&delete(&asks), None, &[]).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "NOT_ENDED"));
    rest.post(&format!("/api/v1/executions/{asks}/stop"), json!({})).await;
    let others = rest.send_as(Some("ada"), &delete(&asks), None, &[]).await;
    assert_eq!(others.status, 404, "somebody else's is not there");
    assert_eq!(rest.send(&delete(&asks), None, &[]).await.status, 204);
    assert_eq!(rest.get(&format!("/api/v1/executions/{asks}")).await.code(), "EXECUTION_NOT_FOUND");
    assert_eq!(rest.send(&delete(&asks), None, &[]).await.status, 404);
    assert_eq!(rest.get("/api/v1/executions").await.body["total"], 1);
    let own =
        rest.send_as(Some("ada"), "POST /api/v1/run", Some(json!({"content": hello("hi"), "wait": 20})), &[]).await;
    let own = own.body["execution_id"].as_str().expect("an id").to_owned();
    let refused = rest.send_as(Some("ada"), &delete(&own), None, &[]).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "PERMISSION_REQUIRED"));
}
