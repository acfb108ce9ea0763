use serde_json::json;

use crate::graphql::client::{Socket, code, data};
use crate::harness::workspace;
use crate::mcp_client::HttpServer;

#[tokio::test]
async fn list_conversations_has_one_for_each_person_of_each_execution() {
    let workspace = workspace();
    workspace.write("projects/debate.light.yaml", include_str!("../../../../examples/debate.light.yaml"));
    let server = HttpServer::start(&workspace);
    let run = "mutation { executeDiagram(input: {diagram_id: \"debate\"}) { data { id } } }";
    let id = data(&server, run, json!({})).await["executeDiagram"]["data"]["id"].clone();
    let mut socket = Socket::ready(&server).await;
    let follow = "subscription($id: String!) { executionUpdates(execution_id: $id) { type } }";
    socket.subscribe("1", follow, json!({"id": id})).await;
    socket.hear_all("1").await;
    let list = async |arguments: &str| {
        let listed = data(&server, &format!("{{ listConversations{arguments} }}"), json!({})).await;
        listed["listConversations"].as_array().expect("a list").clone()
    };
    let all = list("").await;
    let mut labels: Vec<_> = all.iter().map(|it| it["person_label"].as_str().expect("a label")).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["Judge", "Optimist", "Pessimist"]);
    for it in &all {
        assert_eq!((&it["execution_id"], &it["diagram_id"]), (&id, &json!("debate")));
        assert_eq!(it["messages"].as_array().map(Vec::len), it["message_count"].as_u64().map(|it| it as usize));
    }
    for (arguments, n) in [
        ("(person_id: \"Judge\")".to_owned(), 1),
        (format!("(execution_id: {id})"), 3),
        ("(search: \"nobody answered how people get to work\")".to_owned(), 1),
        ("(search: \"never said\")".to_owned(), 0),
        ("(since: \"2100-01-01T00:00:00Z\")".to_owned(), 0),
        ("(limit: 1)".to_owned(), 1),
        ("(offset: 2)".to_owned(), 1),
    ] {
        assert_eq!(list(&arguments).await.len(), n, "{arguments}");
    }
    let n_messages = |all: &[serde_json::Value]| all.iter().filter_map(|it| it["message_count"].as_u64()).sum::<u64>();
    assert!(n_messages(&list("(show_forgotten: true)").await) >= n_messages(&all));
    assert_eq!(code(&server, "{ listConversations(limit: 0) }", json!({})).await, "INVALID_INPUT");
    let nobodys = "{ listConversations(execution_id: \"exec_00000000000000000000000000000000\") }";
    assert_eq!(code(&server, nobodys, json!({})).await, "EXECUTION_NOT_FOUND");
}
