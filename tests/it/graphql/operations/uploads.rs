use reqwest::Method;
use serde_json::{Value, json};

use crate::graphql::client::data;
use crate::harness::{Workspace, workspace};
use crate::mcp_client::{HELLO, HttpServer};

fn server() -> (Workspace, HttpServer) {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    (workspace, server)
}

/// Posts a mutation with one file, as the convention has it.
async fn upload(server: &HttpServer, query: &str, variables: Value, name: &str, content: &[u8]) -> (u16, Value) {
    let mut variables = variables;
    variables["file"] = Value::Null;
    let operations = json!({"query": query, "variables": variables}).to_string();
    let mut body = Vec::new();
    let mut part = |head: &str, content: &[u8]| {
        body.extend_from_slice(format!("--frontier\r\nContent-Disposition: form-data; {head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    };
    part("name=\"operations\"", operations.as_bytes());
    part("name=\"map\"", br#"{"0": ["variables.file"]}"#);
    part(&format!("name=\"0\"; filename=\"{name}\"\r\nContent-Type: text/plain"), content);
    body.extend_from_slice(b"--frontier--\r\n");
    let request =
        server.http(Method::POST, "/graphql").header("content-type", "multipart/form-data; boundary=frontier");
    let response = request.body(body).send().await.expect("an answer");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

const FILE: &str = "mutation($file: Upload!, $path: String) { uploadFile(file: $file, path: $path) }";
const DIAGRAM: &str = "mutation($file: Upload!) { uploadDiagram(file: $file, format: YAML) }";

#[tokio::test]
async fn upload_file_keeps_it_and_what_was_there_before() {
    let (workspace, server) = server();
    let (_, first) = upload(&server, FILE, json!({}), "notes.txt", b"one").await;
    let kept = &first["data"]["uploadFile"];
    assert_eq!((&kept["success"], &kept["path"]), (&json!(true), &json!("files/uploads/notes.txt")), "{first:#}");
    assert_eq!((&kept["size_bytes"], &kept["content_type"]), (&json!(3), &json!("text/plain")));
    let read = |path: &str| std::fs::read_to_string(workspace.root().join(path)).expect("there");
    assert_eq!(read("files/uploads/notes.txt"), "one");
    let (_, second) = upload(&server, FILE, json!({}), "notes.txt", b"two").await;
    let backup = second["data"]["uploadFile"]["backup"].as_str().expect("a backup").to_owned();
    assert_eq!((read("files/uploads/notes.txt"), read(&backup)), ("two".to_owned(), "one".to_owned()));
    let (_, placed) = upload(&server, FILE, json!({"path": "data/deep/x.txt"}), "notes.txt", b"three").await;
    assert_eq!(placed["data"]["uploadFile"]["path"], "files/data/deep/x.txt", "{placed:#}");
    for path in ["../x", "/etc/x", "a/../../x", ".hidden"] {
        let (_, refused) = upload(&server, FILE, json!({"path": path}), "notes.txt", b"x").await;
        let refused = &refused["data"]["uploadFile"];
        assert_eq!((&refused["success"], &refused["error_type"]), (&json!(false), &json!("INVALID_NAME")), "{path}");
    }
}

#[tokio::test]
async fn upload_file_takes_large_files_and_costs_no_memory() {
    let (workspace, server) = server();
    let large = vec![7_u8; 60 * 1024 * 1024];
    let before = server.peak_memory_bytes();
    let (status, answer) = upload(&server, FILE, json!({}), "large.bin", &large).await;
    assert_eq!((status, &answer["data"]["uploadFile"]["size_bytes"]), (200, &json!(large.len())), "{answer}");
    let kept = std::fs::metadata(workspace.root().join("files/uploads/large.bin")).expect("there");
    assert_eq!(kept.len(), large.len() as u64);
    if let (Some(before), Some(after)) = (before, server.peak_memory_bytes()) {
        assert!(after - before < 30 * 1024 * 1024, "{} MiB for 60", (after - before) / 1024 / 1024);
    }
    let huge = vec![7_u8; 101 * 1024 * 1024];
    let (_, refused) = upload(&server, FILE, json!({}), "huge.bin", &huge).await;
    assert!(refused.to_string().contains("TOO_LARGE"), "{refused}");
    assert!(!workspace.root().join("files/uploads/huge.bin").exists());
}

#[tokio::test]
async fn upload_diagram_compiles_first_and_keeps_what_is_valid() {
    let (workspace, server) = server();
    let (_, kept) = upload(&server, DIAGRAM, json!({}), "greet.light.yaml", HELLO.as_bytes()).await;
    let kept = &kept["data"]["uploadDiagram"];
    assert_eq!(
        (&kept["success"], &kept["diagram_id"], &kept["revision"]),
        (&json!(true), &json!("greet"), &json!(1)),
        "{kept:#}"
    );
    let run = "mutation { executeDiagram(input: {diagram_id: \"greet\"}) { success } }";
    assert_eq!(data(&server, run, json!({})).await["executeDiagram"]["success"], true);
    let broken = HELLO.replace("to: end", "to: edn");
    let (_, refused) = upload(&server, DIAGRAM, json!({}), "broken.light.yaml", broken.as_bytes()).await;
    let refused = &refused["data"]["uploadDiagram"];
    assert_eq!(refused["success"], false);
    assert!(refused["errors"].as_array().is_some_and(|it| !it.is_empty()), "{refused:#}");
    assert!(!workspace.root().join("projects/mcp-diagrams/broken.light.yaml").exists());
    let (_, binary) = upload(&server, DIAGRAM, json!({}), "b.light.yaml", &[0xff, 0xfe]).await;
    assert_eq!(binary["data"]["uploadDiagram"]["error_type"], "INVALID_FORMAT", "{binary:#}");
}

#[tokio::test]
async fn files_come_with_mutations_only_and_one_at_a_time() {
    let (_workspace, server) = server();
    let query = "query($file: Upload!) { __typename }";
    let (_, refused) = upload(&server, query, json!({}), "a.txt", b"x").await;
    assert!(refused["errors"].is_array() && refused.get("data").is_none(), "{refused}");
    let twice = "mutation($file: Upload!) { a: uploadFile(file: $file) b: uploadFile(file: $file, path: \"b\") }";
    let (_, answer) = upload(&server, twice, json!({}), "a.txt", b"x").await;
    assert_eq!(answer["data"]["a"]["success"], true, "{answer}");
    assert_eq!(answer["data"]["b"]["error_type"], "INVALID_INPUT", "{answer}");
}
