use serde_json::{Value, json};

use crate::graphql::client::data;
use crate::harness::{Workspace, workspace};
use crate::mcp_client::HttpServer;

/// With a comment that a change must not lose.
const COMMENTED: &str = "\
version: light
nodes:
- {label: start, type: start}
# The greeting.
- {label: compose, type: code_job, code: \"result = 'Hello'\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: compose}
- {from: compose, to: end}
";

fn server() -> (Workspace, HttpServer) {
    let workspace = workspace();
    workspace.write("projects/mcp-diagrams/hello.light.yaml", COMMENTED);
    let server = HttpServer::start(&workspace);
    (workspace, server)
}

fn text(workspace: &Workspace) -> String {
    std::fs::read_to_string(workspace.root().join("projects/mcp-diagrams/hello.light.yaml")).expect("there")
}

async fn labels(server: &HttpServer) -> Vec<String> {
    let shown = data(server, "{ getDiagram(diagram_id: \"hello\") { nodes { data } } }", json!({})).await;
    let nodes = shown["getDiagram"]["nodes"].as_array().expect("nodes").clone();
    nodes.iter().map(|it| it["data"]["label"].as_str().expect("a label").to_owned()).collect()
}

#[tokio::test]
async fn create_node_adds_one_and_says_what_is_wrong_now() {
    let (workspace, server) = server();
    let query = "mutation($id: String!, $input: CreateNodeInput!) {
      createNode(diagram_id: $id, input: $input) { success error error_type envelope data { id type position { x y } data } }
    }";
    let create = async |id: &str, input: Value| {
        data(&server, query, json!({"id": id, "input": input})).await["createNode"].clone()
    };
    let input = json!({
        "type": "CODE_JOB", "position": {"x": 10, "y": 20.5}, "data": {"label": "shout", "code": "result = 1"},
    });
    let made = create("hello", input.clone()).await;
    assert_eq!((&made["success"], &made["data"]["type"]), (&json!(true), &json!("CODE_JOB")), "{made:#}");
    assert_eq!(
        (&made["data"]["position"], &made["data"]["data"]["label"]),
        (&json!({"x": 10.0, "y": 20.5}), &json!("shout"))
    );
    assert!(made["envelope"]["report"]["warnings"].is_array(), "{made:#}");
    assert_eq!(labels(&server).await, ["start", "compose", "end", "shout"]);
    assert!(text(&workspace).contains("# The greeting."), "comments are kept");
    let wrong = create("hello", json!({"type": "CODE_JOB", "position": {"x": 0, "y": 0}, "data": [1]})).await;
    assert_eq!((&wrong["success"], &wrong["error_type"]), (&json!(false), &json!("INVALID_INPUT")));
    assert_eq!(create("nobody", input).await["error_type"], "DIAGRAM_NOT_FOUND");
}

#[tokio::test]
async fn update_node_changes_its_fields_and_makes_a_revision() {
    let (workspace, server) = server();
    let query = "mutation($node: String!, $input: UpdateNodeInput!) {
      updateNode(diagram_id: \"hello\", node_id: $node, input: $input) {
        success error_type envelope data { data position { x y } }
      }
    }";
    let update = async |node: &str, input: Value| {
        data(&server, query, json!({"node": node, "input": input})).await["updateNode"].clone()
    };
    let before = update("compose", json!({"data": {"code": "result = 'Bye'"}})).await;
    assert_eq!(
        (&before["success"], &before["data"]["data"]["code"]),
        (&json!(true), &json!("result = 'Bye'")),
        "{before:#}"
    );
    let after = update("node_1", json!({"position": {"x": 5, "y": 6}})).await;
    assert_eq!(after["data"]["position"], json!({"x": 5.0, "y": 6.0}));
    assert!(after["envelope"]["revision"].as_u64() > before["envelope"]["revision"].as_u64(), "{after:#}");
    assert!(text(&workspace).contains("# The greeting.") && text(&workspace).contains("Bye"));
    let broken = update("compose", json!({"data": {"code": "result = ("}})).await;
    assert_eq!(
        (&broken["success"], &broken["envelope"]["report"]["valid"]),
        (&json!(true), &json!(false)),
        "{broken:#}"
    );
    let run = "mutation { executeDiagram(input: {diagram_id: \"hello\"}) { success error_type } }";
    assert_eq!(data(&server, run, json!({})).await["executeDiagram"]["error_type"], "INVALID_DIAGRAM");
    assert_eq!(update("nobody", json!({"data": {"code": "1"}})).await["error_type"], "NODE_NOT_FOUND");
}

#[tokio::test]
async fn delete_node_takes_its_connections_with_it() {
    let (_workspace, server) = server();
    let query = "mutation($node: String!) {
      deleteNode(diagram_id: \"hello\", node_id: $node) { success error_type envelope deleted_id deleted_count }
    }";
    let delete = async |node: &str| data(&server, query, json!({"node": node})).await["deleteNode"].clone();
    let gone = delete("compose").await;
    assert_eq!((&gone["success"], &gone["deleted_count"]), (&json!(true), &json!(1)), "{gone:#}");
    assert_eq!((&gone["deleted_id"], &gone["envelope"]["deleted_connections"]), (&json!("node_1"), &json!(2)));
    assert_eq!(labels(&server).await, ["start", "end"]);
    let again = delete("compose").await;
    assert_eq!((&again["success"], &again["error_type"]), (&json!(false), &json!("NODE_NOT_FOUND")));
}

#[tokio::test]
async fn a_diagram_is_made_node_by_node() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let make = "mutation { createDiagram(input: {name: \"fresh\"}) { success } }";
    assert_eq!(data(&server, make, json!({})).await["createDiagram"]["success"], true);
    let add = "mutation {
      createNode(diagram_id: \"fresh\", input: {type: ENDPOINT, position: {x: 1, y: 2}, data: {label: \"end\"}}) {
        success error data { id }
      }
    }";
    let added = data(&server, add, json!({})).await["createNode"].clone();
    assert_eq!((&added["success"], &added["data"]["id"]), (&json!(true), &json!("node_1")), "{added:#}");
    let shown = data(&server, "{ getDiagram(diagram_id: \"fresh\") { nodes { type } } }", json!({})).await;
    assert_eq!(shown["getDiagram"]["nodes"], json!([{"type": "START"}, {"type": "ENDPOINT"}]));
}
