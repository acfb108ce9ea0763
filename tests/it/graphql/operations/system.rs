use serde_json::json;

use crate::graphql::client::data;
use crate::harness::workspace;
use crate::mcp_client::HttpServer;

#[tokio::test]
async fn get_system_info_says_what_this_program_is() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let info = data(&server, "{ getSystemInfo }", json!({})).await["getSystemInfo"].clone();
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&info["max_upload_size_mb"], &info["graphql_subscriptions_enabled"]), (&json!(100), &json!(true)));
    assert!(info["supported_node_types"].as_array().is_some_and(|it| it.contains(&json!("person_job"))));
    assert!(info["supported_llm_services"].as_array().is_some_and(|it| it.contains(&json!("caller"))));
}

#[tokio::test]
async fn get_execution_capabilities_names_the_persons_there_are() {
    let workspace = workspace();
    workspace.write("projects/debate.light.yaml", include_str!("../../../../examples/debate.light.yaml"));
    let server = HttpServer::start(&workspace);
    let found = data(&server, "{ getExecutionCapabilities }", json!({})).await["getExecutionCapabilities"].clone();
    let names: Vec<_> = found["available_persons"].as_array().expect("a list").iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["Optimist", "Pessimist", "Judge"]);
    let features = json!({
        "interactive_prompts": true, "pause_resume": true, "node_skip": true, "real_time_updates": true,
        "token_tracking": true,
    });
    assert_eq!(found["execution_features"], features);
}

#[tokio::test]
async fn health_check_looks_at_database_and_disk() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let health = data(&server, "{ healthCheck }", json!({})).await["healthCheck"].clone();
    assert_eq!(health["checks"]["database"], true, "{health:#}");
    assert_eq!(health["checks"]["file_system"], true, "{health:#}");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(["healthy", "degraded"].contains(&health["status"].as_str().expect("a status")));
}

#[tokio::test]
async fn system_health_has_two_names() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    for name in ["system_health", "systemHealth"] {
        let query = format!("{{ {name} {{ status timestamp services {{ id name status url }} }} }}");
        let health = data(&server, &query, json!({})).await[name].clone();
        assert!(["healthy", "degraded"].contains(&health["status"].as_str().expect("a status")), "{health:#}");
        assert!(health["timestamp"].as_str().is_some_and(|it| it.ends_with('Z')));
        assert_eq!(health["services"], json!([]), "no service is called by itself yet");
    }
}
