use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::graphql::client::{ask, code, data};
use crate::harness::{Workspace, workspace};
use crate::mcp_client::HttpServer;

const KEY: &str = "sk-canary-of-the-graphql-tests-0123456789";

/// A server whose OpenAI is a mock that knows one key.
async fn server() -> (MockServer, Workspace, HttpServer) {
    let mock = MockServer::start().await;
    let models = json!({"data": [{"id": "model-b"}, {"id": "model-a"}]});
    let known =
        Mock::given(method("GET")).and(path("/models")).and(header("authorization", format!("Bearer {KEY}").as_str()));
    known.respond_with(ResponseTemplate::new(200).set_body_json(models)).mount(&mock).await;
    let refusal = ResponseTemplate::new(401).set_body_json(json!({"error": {"message": "no such key"}}));
    Mock::given(method("GET")).respond_with(refusal).mount(&mock).await;
    let workspace = workspace();
    let server = HttpServer::start_with(&workspace, &[], &[("OPENAI_BASE_URL", &mock.uri())]);
    (mock, workspace, server)
}

async fn create(server: &HttpServer, label: &str, service: &str, key: &str) -> Value {
    let query = "mutation($input: CreateApiKeyInput!) {
      createApiKey(input: $input) { success message error error_type envelope data { id label service key } }
    }";
    let input = json!({"label": label, "service": service, "key": key});
    data(server, query, json!({"input": input})).await["createApiKey"].clone()
}

#[tokio::test]
async fn create_api_key_keeps_the_key_and_never_shows_it() {
    let (_mock, _workspace, server) = server().await;
    let kept = create(&server, "mine", "OPENAI", KEY).await;
    assert_eq!(kept["success"], true, "{kept:#}");
    let id = kept["data"]["id"].as_str().expect("an id");
    assert!(id.starts_with("APIKEY_") && id.len() == 13, "{id}");
    assert_eq!(kept["data"], json!({"id": id, "label": "mine", "service": "OPENAI", "key": null}));
    for query in ["{ getApiKeys }".to_owned(), format!("{{ getApiKey(api_key_id: \"{id}\") {{ id key }} }}")] {
        assert!(!ask(&server, &query, json!({})).await.to_string().contains(KEY), "{query}");
    }
    let short = create(&server, "short", "OPENAI", "x").await;
    assert_eq!((&short["success"], &short["error_type"]), (&json!(false), &json!("INVALID_INPUT")));
    assert_eq!(create(&server, "other", "OTHER", KEY).await["error_type"], "INVALID_INPUT");
    assert_eq!(create(&server, "hub", "GITHUB", KEY).await["data"]["service"], "GITHUB");
}

#[tokio::test]
async fn get_api_keys_lists_them_by_service() {
    let (_mock, _workspace, server) = server().await;
    let one = create(&server, "one", "OPENAI", KEY).await["data"]["id"].clone();
    let two = create(&server, "two", "ANTHROPIC", "another-key-of-these-tests").await["data"]["id"].clone();
    let list = async |arguments: &str| {
        let listed = data(&server, &format!("{{ getApiKeys{arguments} }}"), json!({})).await;
        let keys = listed["getApiKeys"].as_array().expect("a list").clone();
        let mut ids: Vec<Value> = keys.iter().map(|it| it["id"].clone()).collect();
        ids.sort_by_key(Value::to_string);
        ids
    };
    let mut both = vec![one.clone(), two];
    both.sort_by_key(Value::to_string);
    assert_eq!(list("").await, both);
    assert_eq!(list("(service: \"openai\")").await, [one]);
    assert_eq!(list("(service: \"gemini\")").await, Vec::<Value>::new());
}

#[tokio::test]
async fn get_api_key_shows_one_without_its_key() {
    let (_mock, _workspace, server) = server().await;
    let id = create(&server, "mine", "OPENAI", KEY).await["data"]["id"].clone();
    let query = "query($id: String!) { getApiKey(api_key_id: $id) { id label service key } }";
    let shown = data(&server, query, json!({"id": id})).await["getApiKey"].clone();
    assert_eq!(shown, json!({"id": id, "label": "mine", "service": "OPENAI", "key": null}));
    assert_eq!(code(&server, query, json!({"id": "APIKEY_000000"})).await, "SECRET_NOT_FOUND");
}

#[tokio::test]
async fn test_api_key_says_whether_it_works() {
    let (_mock, _workspace, server) = server().await;
    let good = create(&server, "good", "OPENAI", KEY).await["data"]["id"].clone();
    let bad = create(&server, "bad", "OPENAI", "sk-a-key-that-nobody-knows").await["data"]["id"].clone();
    let query =
        "mutation($id: String!) { testApiKey(api_key_id: $id) { success error error_type envelope data { id } } }";
    let test = async |id: &Value| data(&server, query, json!({"id": id})).await["testApiKey"].clone();
    let works = test(&good).await;
    assert_eq!((&works["success"], &works["data"]["id"]), (&json!(true), &good), "{works:#}");
    let fails = test(&bad).await;
    assert_eq!((&fails["success"], &fails["data"]["id"]), (&json!(false), &bad), "{fails:#}");
    assert!(fails["error"].is_string() && fails["error_type"].is_string());
    assert_eq!(test(&json!("APIKEY_000000")).await["error_type"], "SECRET_NOT_FOUND");
}

#[tokio::test]
async fn delete_api_key_forgets_it() {
    let (_mock, _workspace, server) = server().await;
    let id = create(&server, "mine", "OPENAI", KEY).await["data"]["id"].clone();
    let query =
        "mutation($id: String!) { deleteApiKey(api_key_id: $id) { success error_type deleted_id deleted_count } }";
    let delete = async || data(&server, query, json!({"id": id})).await["deleteApiKey"].clone();
    let gone = json!({"success": true, "error_type": null, "deleted_id": id, "deleted_count": 1});
    assert_eq!(delete().await, gone);
    assert_eq!(delete().await["error_type"], "SECRET_NOT_FOUND");
    assert_eq!(data(&server, "{ getApiKeys }", json!({})).await["getApiKeys"], json!([]));
}

#[tokio::test]
async fn get_available_models_asks_the_service_and_its_error_is_an_error() {
    let (_mock, _workspace, server) = server().await;
    let good = create(&server, "good", "OPENAI", KEY).await["data"]["id"].clone();
    let bad = create(&server, "bad", "OPENAI", "sk-a-key-that-nobody-knows").await["data"]["id"].clone();
    let query = "query($id: String!, $service: String!) { getAvailableModels(service: $service, api_key_id: $id) }";
    let found = data(&server, query, json!({"id": good, "service": "openai"})).await;
    assert_eq!(found["getAvailableModels"], json!(["model-a", "model-b"]));
    assert_eq!(code(&server, query, json!({"id": bad, "service": "openai"})).await, "LLM_FAILED");
    assert_eq!(code(&server, query, json!({"id": good, "service": "nobody"})).await, "INVALID_INPUT");
    assert_eq!(code(&server, query, json!({"id": "APIKEY_000000", "service": "openai"})).await, "SECRET_NOT_FOUND");
}
