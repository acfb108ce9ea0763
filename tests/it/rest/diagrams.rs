//! What the operations on diagrams do.

use serde_json::json;

use super::{Rest, hello};

pub async fn are_made_and_read(rest: &Rest) {
    let made = rest.post("/api/v1/diagrams", json!({"name": "team/greet", "content": hello("hi")})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((made.header("location"), made.header("etag")), ("/api/v1/diagrams/team%2Fgreet", "\"1\""));
    assert_eq!(made.body["trusted"], false, "it counts as submitted");
    let again = rest.post("/api/v1/diagrams", json!({"name": "team/greet", "content": hello("hi")})).await;
    assert_eq!((again.status.as_u16(), again.code()), (409, "ALREADY_EXISTS"));
    let broken = rest.post("/api/v1/diagrams", json!({"name": "broken", "content": "nodes: ["})).await;
    assert_eq!((broken.status.as_u16(), broken.code()), (400, "INVALID_DIAGRAM"));
    assert_eq!(broken.body["error"]["details"]["valid"], false, "with every diagnostic");

    let read = rest.get("/api/v1/diagrams/team%2Fgreet").await;
    assert_eq!((read.status.as_u16(), read.body["content"].as_str()), (200, Some(hello("hi").as_str())));
    assert_eq!(read.body["diagram"]["nodes"].as_object().map(|it| it.len()), Some(3));
    let native = rest.get("/api/v1/diagrams/team%2Fgreet?format=native").await;
    assert_eq!((native.header("etag"), native.body["format"].as_str()), ("\"1-native\"", Some("native")));
    let known = rest.send("GET /api/v1/diagrams/team%2Fgreet", None, &[("if-none-match", "\"1\"")]).await;
    assert_eq!((known.status.as_u16(), known.header("etag")), (304, "\"1\""));
    assert_eq!(rest.get("/api/v1/diagrams/gret").await.code(), "DIAGRAM_NOT_FOUND");

    let copy = json!({"name": "copy", "diagram": read.body["diagram"]});
    assert_eq!(rest.post("/api/v1/diagrams", copy).await.status, 201);
    let list = rest.get("/api/v1/diagrams?limit=1&offset=1").await;
    assert_eq!((&list.body["total"], &list.body["limit"], &list.body["offset"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(list.body["items"][0]["name"], "team/greet");
    let found = rest.get("/api/v1/diagrams?search=COPY&format=native").await;
    assert_eq!((&found.body["total"], &found.body["items"][0]["name"]), (&json!(1), &json!("copy")));
}

pub async fn are_replaced_and_removed(rest: &Rest) {
    let path = "/api/v1/diagrams/greet";
    let put = async |text: &str, tag: Option<&str>| {
        let headers: Vec<(&str, &str)> = tag.map(|it| ("if-match", it)).into_iter().collect();
        rest.send(&format!("PUT {path}"), Some(json!({"content": hello(text)})), &headers).await
    };
    let made = put("one", None).await;
    assert_eq!((made.status.as_u16(), made.body["created"].as_bool()), (201, Some(true)));
    let replaced = put("two", Some("\"1\"")).await;
    assert_eq!((replaced.status.as_u16(), replaced.header("etag")), (200, "\"2\""));
    let late = put("three", Some("\"1\"")).await;
    assert_eq!((late.status.as_u16(), late.code()), (409, "REVISION_CONFLICT"));
    assert_eq!(late.body["error"]["details"]["revision"], 2);
    assert_eq!(put("three", Some("\"x\"")).await.code(), "INVALID_INPUT");
    assert_eq!(rest.get(path).await.body["content"], hello("two"));

    let remove = async |tag: &str| rest.send("DELETE /api/v1/diagrams/greet", None, &[("if-match", tag)]).await;
    assert_eq!(remove("\"1\"").await.code(), "REVISION_CONFLICT");
    assert_eq!(remove("\"2\"").await.status, 204);
    assert_eq!(rest.get(path).await.code(), "DIAGRAM_NOT_FOUND");
    assert_eq!(remove("\"2\"").await.status, 404);
    assert_eq!(rest.get("/api/v1/diagrams/greet/revisions").await.body["total"], 2, "its history stays");
}

pub async fn are_checked(rest: &Rest) {
    rest.save("greet", &hello("hi")).await;
    rest.workspace.write("examples/broken.light.yaml", &hello("hi").replace("to: e}", "to: f}"));
    let valid = rest.post("/api/v1/diagrams/greet/validate", json!({})).await;
    assert_eq!(
        (valid.status.as_u16(), &valid.body["valid"], &valid.body["node_count"]),
        (200, &json!(true), &json!(3))
    );
    let broken = rest.send("POST /api/v1/diagrams/broken/validate", None, &[]).await;
    assert_eq!((broken.status.as_u16(), &broken.body["valid"]), (200, &json!(false)));
    assert!(broken.body["errors"][0]["line"].is_u64());

    let repaired = json!({"content": hello("hi").replace("from: s", "form: s"), "fix": true, "format": "light"});
    let compiled = rest.post("/api/v1/compile", repaired).await;
    assert_eq!((compiled.status.as_u16(), &compiled.body["valid"]), (200, &json!(true)), "{}", compiled.body);
    assert_eq!(compiled.body["content"], hello("hi"));
    let pushed = rest.post("/api/v1/compile", json!({"content": hello("hi"), "push_as": "x"})).await;
    assert_eq!(pushed.code(), "INVALID_INPUT", "saving is another operation");

    let converted = rest.post("/api/v1/convert", json!({"content": hello("hi"), "to_format": "readable"})).await;
    assert_eq!((converted.status.as_u16(), &converted.body["to_format"]), (200, &json!("readable")));
    let to_file = json!({"content": hello("hi"), "to_format": "light", "output": "/tmp/x"});
    assert_eq!(rest.post("/api/v1/convert", to_file).await.code(), "INVALID_INPUT");

    let stats = rest.get("/api/v1/diagrams/greet/stats").await;
    assert_eq!((&stats.body["nodes"], &stats.body["depth"]), (&json!(3), &json!(3)), "{}", stats.body);
}

pub async fn have_a_history(rest: &Rest) {
    for text in ["one", "two"] {
        rest.save("greet", &hello(text)).await;
    }
    let labelled = rest.post("/api/v1/diagrams/greet/revisions", json!({"message": "the good one"})).await;
    assert_eq!((labelled.status.as_u16(), labelled.body["n"].as_u64()), (201, Some(2)));
    let list = rest.get("/api/v1/diagrams/greet/revisions?limit=1").await;
    assert_eq!((&list.body["total"], &list.body["items"][0]["message"]), (&json!(2), &json!("the good one")));
    let first = rest.get("/api/v1/diagrams/greet/revisions/1").await;
    assert_eq!((&first.body["content"], &first.body["revision"]), (&json!(hello("one")), &json!(1)));
    assert_eq!(rest.get("/api/v1/diagrams/greet/revisions/3").await.code(), "REVISION_NOT_FOUND");
    let diff = rest.get("/api/v1/diagrams/greet/revisions/1/diff/2").await;
    assert_eq!(diff.body["definition"]["nodes"]["changed"][0]["name"], "say", "{}", diff.body);
    assert_eq!(rest.get("/api/v1/diagrams/greet/revisions/2/diff/2").await.body["equal"], true);

    let restore = "POST /api/v1/diagrams/greet/revisions/1/restore";
    let late = rest.send(restore, None, &[("if-match", "\"1\"")]).await;
    assert_eq!(late.code(), "REVISION_CONFLICT");
    let restored = rest.send(restore, None, &[]).await;
    assert_eq!((restored.status.as_u16(), restored.header("etag")), (200, "\"3\""));
    assert_eq!(rest.get("/api/v1/diagrams/greet").await.body["content"], hello("one"));
}

pub async fn are_found_with_models(rest: &Rest) {
    let models = rest.get("/api/v1/models").await;
    let of = |service: &str| {
        let items = models.body["items"].as_array().expect("items");
        items.iter().find(|it| it["service"] == service).cloned().expect("listed")
    };
    assert_eq!((&of("openai")["needs_key"], &of("openai")["available"]), (&json!(true), &json!(false)));
    assert_eq!(of("scripted")["available"], true);

    let set = rest.workspace.command().args(["secrets", "set", "mine"]).stdin(std::process::Stdio::piped()).spawn();
    let mut set = set.expect("starts");
    std::io::Write::write_all(&mut set.stdin.take().expect("a pipe"), b"sk-very-secret-value").expect("written");
    assert!(set.wait().expect("ends").success());
    let keys = rest.get("/api/v1/keys").await;
    assert_eq!(keys.body["items"][0]["name"], "mine", "{}", keys.body);
    assert!(!keys.body.to_string().contains("very-secret"));
    let others = rest.send_as(Some("ada"), "GET /api/v1/keys", None, &[]).await;
    assert_eq!((others.status.as_u16(), others.code()), (403, "PERMISSION_REQUIRED"));

    rest.save("greet", &hello("hi")).await;
    let found = rest.get("/api/v1/search?query=greet").await;
    assert_eq!(found.body["results"][0]["id"], "dipeo://diagrams/greet");
    let read = rest.get("/api/v1/resource?uri=dipeo%3A%2F%2Fdiagrams%2Fgreet").await;
    assert_eq!(read.body["text"], hello("hi"));
    assert_eq!(rest.get("/api/v1/resource?uri=file%3A%2F%2F%2Fetc%2Fpasswd").await.code(), "RESOURCE_NOT_FOUND");
}
