use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::graphql::client::{code, data};
use crate::harness::{Workspace, workspace};
use crate::mcp_client::HttpServer;

/// A provider of the workspace that needs no key, at `url`.
fn manifest(url: &str) -> String {
    format!(
        "name: weather
version: 2.0.0
description: What the sky does
base_url: {url}
default_timeout: 12
auth: {{strategy: none}}
retry_policy: {{strategy: fixed, max_retries: 1, base_delay_ms: 1}}
rate_limit: {{algorithm: token_bucket, capacity: 5, refill_per_sec: 2}}
operations:
  today:
    method: GET
    path: /today
    description: Of one place
    timeout_override: 3
    request:
      query_params_template: {{place: \"{{{{ config.place }}}}\"}}
      query_params_schema: {{type: object, required: [place], properties: {{place: {{type: string}}}}}}
    response:
      schema: {{type: object}}
  all:
    method: GET
    path: /all
    pagination: {{type: page_number, page_param: page}}
"
    )
}

async fn provider() -> (MockServer, Workspace, HttpServer) {
    let mock = MockServer::start().await;
    let reply = ResponseTemplate::new(200).set_body_json(json!({"sky": "blue"}));
    Mock::given(method("GET")).and(path("/today")).respond_with(reply).mount(&mock).await;
    let workspace = workspace();
    workspace.write("integrations/weather/provider.yaml", &manifest(&mock.uri()));
    let server = HttpServer::start(&workspace);
    (mock, workspace, server)
}

#[tokio::test]
async fn list_providers_has_those_of_the_workspace_and_the_shipped_ones() {
    let (_mock, _workspace, server) = provider().await;
    let query = "{ listProviders { name default_timeout operations { name } metadata { version type manifest_path description } } }";
    let listed = data(&server, query, json!({})).await["listProviders"].as_array().expect("a list").clone();
    let named = |name: &str| listed.iter().find(|it| it["name"] == name).cloned().unwrap_or_else(|| panic!("{name}"));
    let own = named("weather");
    let metadata = json!({
        "version": "2.0.0", "type": "manifest", "manifest_path": "integrations/weather/provider.yaml",
        "description": "What the sky does",
    });
    assert_eq!((&own["metadata"], &own["default_timeout"]), (&metadata, &json!(12.0)));
    assert!(named("arxiv")["metadata"]["manifest_path"].is_null());
    assert!(!named("github")["operations"].as_array().expect("operations").is_empty());
}

#[tokio::test]
async fn get_provider_shows_how_it_is_called() {
    let (_mock, _workspace, server) = provider().await;
    let query = "query($name: String!) { getProvider(name: $name) {
      name base_url auth_config { strategy header query_param format scopes }
      rate_limit { algorithm capacity refill_per_sec window_size_sec }
      retry_policy { strategy max_retries base_delay_ms max_delay_ms retry_on_status }
      operations { name method path description required_scopes has_pagination timeout_override }
    } }";
    let shown = data(&server, query, json!({"name": "weather"})).await["getProvider"].clone();
    assert_eq!(shown["auth_config"]["strategy"], "none");
    assert_eq!(
        (&shown["rate_limit"]["algorithm"], &shown["rate_limit"]["capacity"]),
        (&json!("token_bucket"), &json!(5))
    );
    assert_eq!(
        (&shown["retry_policy"]["strategy"], &shown["retry_policy"]["max_retries"]),
        (&json!("fixed"), &json!(1))
    );
    let operations = shown["operations"].as_array().expect("operations");
    let named = |name: &str| operations.iter().find(|it| it["name"] == name).expect("it is there");
    assert_eq!((&named("today")["timeout_override"], &named("today")["has_pagination"]), (&json!(3.0), &json!(false)));
    assert_eq!(named("all")["has_pagination"], true);
    let github = data(&server, query, json!({"name": "github"})).await["getProvider"].clone();
    assert!(github["auth_config"]["strategy"].is_string(), "{github:#}");
    assert_eq!(code(&server, query, json!({"name": "wether"})).await, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn get_provider_operations_lists_them() {
    let (_mock, _workspace, server) = provider().await;
    let query = "query($name: String!) { getProviderOperations(provider: $name) }";
    let listed = data(&server, query, json!({"name": "weather"})).await["getProviderOperations"].clone();
    let names: Vec<_> = listed.as_array().expect("a list").iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["today", "all"]);
    assert_eq!(listed[0]["path"], "/today");
    assert_eq!(code(&server, query, json!({"name": "nobody"})).await, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn get_operation_schema_shows_what_goes_in_and_comes_out() {
    let (_mock, _workspace, server) = provider().await;
    let query = "query($operation: String!) {
      getOperationSchema(provider: \"weather\", operation: $operation) {
        operation method path description request_body query_params response
      }
    }";
    let schema = data(&server, query, json!({"operation": "today"})).await["getOperationSchema"].clone();
    assert_eq!((&schema["method"], &schema["query_params"]["required"]), (&json!("GET"), &json!(["place"])));
    assert_eq!((&schema["response"], &schema["request_body"]), (&json!({"type": "object"}), &Value::Null));
    assert_eq!(code(&server, query, json!({"operation": "tomorrow"})).await, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn get_provider_statistics_counts_them() {
    let (_mock, workspace, server) = provider().await;
    workspace.write("integrations/broken/provider.yaml", "name: broken\noperations: 1\n");
    let query = "{ getProviderStatistics { total_providers total_operations provider_types providers } }";
    let counted = data(&server, query, json!({})).await["getProviderStatistics"].clone();
    let types = &counted["provider_types"];
    assert_eq!((&types["workspace"], &types["invalid"]), (&json!(2), &json!(1)), "{counted:#}");
    let providers = counted["providers"].as_array().expect("a list");
    assert_eq!(Some(providers.len() as u64), counted["total_providers"].as_u64());
    let own = providers.iter().find(|it| it["name"] == "weather").expect("it is there");
    assert_eq!((&own["operations"], &own["usable"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn execute_integration_is_an_execution_of_one_node() {
    let (mock, _workspace, server) = provider().await;
    let query = "mutation($input: ExecuteIntegrationInput!) { executeIntegration(input: $input) }";
    let call = async |input: Value| data(&server, query, json!({"input": input})).await["executeIntegration"].clone();
    let done = call(json!({"provider": "weather", "operation": "today", "config": {"place": "Ulm"}})).await;
    assert_eq!(done["status"], "completed", "{done:#}");
    assert_eq!(done["final_output"]["sky"], "blue", "{done:#}");
    let requests = mock.received_requests().await.expect("recorded");
    assert_eq!((requests.len(), requests[0].url.query()), (1, Some("place=Ulm")));
    let get = "query($id: String!) { getExecution(execution_id: $id) { diagram_id status } }";
    let seen = data(&server, get, json!({"id": done["execution_id"]})).await["getExecution"].clone();
    assert_eq!(seen, json!({"diagram_id": "integrations/weather/today", "status": "COMPLETED"}));
    for (input, code) in [
        (json!({"provider": "nobody", "operation": "today", "config": {}}), "RESOURCE_NOT_FOUND"),
        (json!({"provider": "weather", "operation": "x", "config": {}}), "RESOURCE_NOT_FOUND"),
        (json!({"provider": "weather", "operation": "today", "config": [1]}), "INVALID_INPUT"),
        (json!({"provider": "weather", "operation": "today", "config": {}, "timeout": 9999}), "INVALID_INPUT"),
    ] {
        let refused = call(input.clone()).await;
        assert_eq!((&refused["success"], &refused["error_type"]), (&json!(false), &json!(code)), "{input}");
    }
}

#[tokio::test]
async fn test_integration_shows_the_request_and_sends_it_only_when_asked_to() {
    let (mock, _workspace, server) = provider().await;
    let query = "mutation($input: TestIntegrationInput!) { testIntegration(input: $input) {
      success provider operation status_code response_time_ms error response_preview
    } }";
    let test = async |input: Value| data(&server, query, json!({"input": input})).await["testIntegration"].clone();
    let input = json!({"provider": "weather", "operation": "today", "config_preview": {"place": "Ulm"}});
    let dry = test(input.clone()).await;
    assert_eq!(dry["success"], true, "{dry:#}");
    assert_eq!(dry["response_preview"]["query"], json!([["place", "Ulm"]]), "{dry:#}");
    assert!(mock.received_requests().await.expect("recorded").is_empty(), "a dry run is the default");
    let mut sent = input;
    sent["dry_run"] = json!(false);
    let wet = test(sent).await;
    assert_eq!((&wet["success"], &wet["status_code"]), (&json!(true), &json!(200)), "{wet:#}");
    assert_eq!(mock.received_requests().await.expect("recorded").len(), 1);
    let wrong = test(json!({"provider": "weather", "operation": "today", "config_preview": {}})).await;
    assert_eq!(wrong["success"], false);
    assert!(wrong["error"].as_str().is_some_and(|it| it.contains("place")), "{wrong:#}");
    let unknown = test(json!({"provider": "weather", "operation": "x", "config_preview": {}})).await;
    assert!(unknown["error"].as_str().is_some_and(|it| it.starts_with("RESOURCE_NOT_FOUND")), "{unknown:#}");
}

#[tokio::test]
async fn reload_provider_reads_what_was_changed() {
    let (mock, workspace, server) = provider().await;
    let query = "mutation($name: String!) { reloadProvider(name: $name) }";
    let reload = async |name: &str| data(&server, query, json!({"name": name})).await["reloadProvider"].clone();
    assert_eq!(reload("weather").await, json!({"success": true, "name": "weather", "operations": 2}));
    let fewer = manifest(&mock.uri());
    let fewer = &fewer[..fewer.find("  all:").expect("it is there")];
    workspace.write("integrations/weather/provider.yaml", fewer);
    assert_eq!(reload("weather").await["operations"], 1);
    workspace.write("integrations/weather/provider.yaml", "name: weather\noperations: 1\n");
    let refused = reload("weather").await;
    assert_eq!((&refused["success"], &refused["error_type"]), (&json!(false), &json!("INVALID_INPUT")));
    let all = reload("*").await;
    assert_eq!(all["success"], false);
    assert!(all["problems"][0].as_str().is_some_and(|it| it.starts_with("weather")), "{all:#}");
    assert_eq!(reload("nobody").await["error_type"], "RESOURCE_NOT_FOUND");
}
