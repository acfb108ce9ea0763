//! The paths of Tool Hub: the same use cases in its words.

use serde_json::json;

use super::{ASKS, Rest, TALKS, hello};

pub async fn workflows_are_diagrams(rest: &Rest) {
    rest.save("greet", &hello("hi")).await;
    let list = rest.get("/api/workflows").await;
    assert_eq!((&list.body["total"], &list.body["workflows"][0]["id"]), (&json!(1), &json!("greet")));
    let read = rest.get("/api/workflows/greet").await;
    let edge = &read.body["edges"][0];
    let nodes = read.body["nodes"].as_array().expect("nodes");
    assert_eq!((nodes[1]["type"].as_str(), nodes[1]["data"]["label"].as_str()), (Some("template_job"), Some("say")));
    assert_eq!((&edge["source"], &edge["target"]), (&nodes[0]["id"], &nodes[1]["id"]));
    assert_eq!((&edge["sourceHandle"], &read.body["version"]), (&json!("default"), &json!(1)));
    let valid = rest.post("/api/workflows/greet/validate", json!({})).await;
    assert_eq!(valid.body, json!({"valid": true, "errors": []}));
    assert_eq!(rest.send("DELETE /api/workflows/greet", None, &[]).await.status, 204);
    assert_eq!(rest.get("/api/workflows/greet").await.code(), "DIAGRAM_NOT_FOUND");
}

pub async fn versions_are_revisions(rest: &Rest) {
    for text in ["one", "two"] {
        rest.save("greet", &hello(text)).await;
    }
    let saved = rest.post("/api/workflows/greet/versions", json!({"message": "good"})).await;
    assert_eq!((saved.status.as_u16(), &saved.body["id"]), (201, &json!("greet@2")));
    let versions = rest.get("/api/workflows/greet/versions").await;
    assert_eq!((&versions.body["total"], &versions.body["versions"][0]["message"]), (&json!(2), &json!("good")));
    for query in ["workflow_id=greet", "workflowId=greet"] {
        assert_eq!(rest.get(&format!("/api/versions?{query}")).await.body, versions.body, "{query}");
    }
    let restored = rest.send("POST /api/workflows/greet/versions/greet@1/restore", None, &[]).await;
    assert_eq!((restored.status.as_u16(), &restored.body["version"]), (200, &json!(3)));
    assert_eq!(rest.get("/api/v1/diagrams/greet").await.body["content"], hello("one"));
    let none = rest.send("POST /api/workflows/greet/versions/x/restore", None, &[]).await;
    assert_eq!((none.status.as_u16(), none.code()), (404, "REVISION_NOT_FOUND"));
}

pub async fn runs_are_executions(rest: &Rest) {
    rest.save("talks", TALKS).await;
    let run = rest.post("/api/workflows/talks/run", json!({"input": "{\"a\": 1}", "wait": 20})).await;
    assert_eq!(
        (run.status.as_u16(), &run.body["workflow_id"], &run.body["input"]),
        (200, &json!("talks"), &json!({"a": 1}))
    );
    assert_eq!((&run.body["mode"], &run.body["trigger_type"]), (&json!("full"), &json!("api")));
    let id = run.body["execution_id"].as_str().expect("an id").to_owned();
    for query in ["workflow_id=talks", "workflowId=talks", "status=completed", "limit=1"] {
        let list = rest.get(&format!("/api/executions?{query}")).await;
        assert_eq!((&list.body["total"], &list.body["executions"][0]["id"]), (&json!(1), &json!(id)), "{query}");
    }
    assert_eq!(rest.get("/api/executions?status=queued").await.body["total"], 0);
    assert_eq!(rest.get("/api/executions?status=sleeping").await.code(), "INVALID_INPUT");
    let detail = rest.get(&format!("/api/executions/{id}")).await;
    assert_eq!((&detail.body["output"], &detail.body["node_logs"][1]["label"]), (&json!("fine"), &json!("ask")));
    let logs = rest.get(&format!("/api/executions/{id}/logs")).await;
    assert_eq!(logs.body, detail.body["node_logs"]);
}

pub async fn runs_are_steered(rest: &Rest) {
    rest.save("asks", ASKS).await;
    let run = rest.post("/api/workflows/asks/run", json!({"wait": 20})).await;
    let id = run.body["id"].as_str().expect("an id");
    let (stop, resume) = (format!("/api/executions/{id}/stop"), format!("/api/executions/{id}/resume"));
    let stopped = rest.post(&stop, json!({})).await;
    assert_eq!((stopped.status.as_u16(), &stopped.body["status"]), (200, &json!("aborted")), "{}", stopped.body);
    let resumed = rest.post(&resume, json!({})).await;
    assert_eq!(resumed.status, 200, "{}", resumed.body);
    rest.get(&format!("/api/v1/executions/{id}?wait=20")).await;
    rest.post(&format!("/api/v1/executions/{id}/input"), json!({"value": "x", "wait": 20})).await;
    let late = rest.post(&stop, json!({})).await;
    assert_eq!((late.status.as_u16(), late.code()), (400, "EXECUTION_NOT_STOPPABLE"), "{}", late.body);
    let late = rest.post(&resume, json!({})).await;
    assert_eq!((late.status.as_u16(), late.code()), (400, "EXECUTION_NOT_RESUMABLE"), "{}", late.body);
}
