//! What the program says of itself, of its providers and of its health, and calls of providers as executions.

use dipeo::engine::Status;
use dipeo::handlers::about::health_check::{Health, health_check};
use dipeo::handlers::about::supported_formats::supported_formats;
use dipeo::handlers::about::system_info::system_info;
use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::execution_order::{self, execution_order};
use dipeo::handlers::integrations::describe::{operation_schema, provider, providers};
use dipeo::handlers::integrations::execute::{self, execute_integration};
use dipeo::handlers::integrations::reload::reload_provider;
use dipeo::handlers::integrations::statistics::provider_statistics;
use dipeo::handlers::integrations::try_operation::{self, test_integration};
use dipeo::handlers::run_diagram::Waiting;
use dipeo::handlers::{App, Caller};
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{self, Workspace};

fn client(principal: &str, scopes: Scopes) -> Caller {
    Caller::client(Identity { principal: principal.into(), scopes }, Door::Http)
}

#[tokio::test]
async fn the_program_describes_itself_to_whoever_may_read() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let reader = client("ada", Scopes::READ);
    let info = system_info(&app, &reader).await.expect("a reader may ask");
    assert_eq!((info.version.as_str(), info.max_upload_size_mb), (env!("CARGO_PKG_VERSION"), 100));
    assert!(info.supported_node_types.iter().any(|it| it == "person_job"), "{info:?}");
    assert!(!info.supported_node_types.iter().any(|it| it == "mcp_tool"), "it does not run yet");
    assert!(info.supported_llm_services.iter().any(|it| it == "scripted"), "{info:?}");
    let formats = supported_formats(&app, &reader).await.expect("a reader may ask");
    let ids: Vec<&str> = formats.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["light", "readable", "native"]);
    let nobody = client("eve", Scopes::NONE);
    assert_eq!(system_info(&app, &nobody).await.expect_err("refused").code(), "INSUFFICIENT_SCOPE");
    assert_eq!(supported_formats(&app, &nobody).await.expect_err("refused").code(), "INSUFFICIENT_SCOPE");
}

#[tokio::test]
async fn health_says_what_is_wrong_to_the_owner_and_that_something_is_to_others() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let owner = Caller::owner_client();
    let well = health_check(&app, &owner).await.expect("answers");
    assert!(well.checks.database && well.checks.file_system, "{well:?}");
    let commits = app.store().expect("opened").commits();
    health_check(&app, &owner).await.expect("answers");
    assert_eq!(app.store().expect("opened").commits(), commits, "looking writes nothing");

    std::fs::remove_dir_all(workspace.root()).expect("removed");
    let ill = health_check(&app, &owner).await.expect("answers");
    assert_eq!((ill.status, ill.checks.file_system), (Health::Degraded, false));
    assert!(ill.problems.iter().any(|it| it.contains(&workspace.root().display().to_string())), "{ill:?}");
    let told = health_check(&app, &client("eve", Scopes::NONE)).await.expect("answers");
    assert_eq!((told.status, told.problems), (Health::Degraded, Vec::new()));
}

/// A provider of the workspace with a key, and one without.
fn manifests(workspace: &Workspace, base: &str) {
    let text = |name: &str, auth: &str| {
        format!(
            "name: {name}\nversion: 2.1.0\ndescription: things\nbase_url: {base}\nauth: {auth}\noperations:\n  \
             get_thing:\n    method: GET\n    path: /things/{{id}}\n    description: One thing.\n    request:\n      \
             query_params_schema: {{type: object, properties: {{depth: {{type: string}}}}}}\n      \
             query_params_template: {{depth: \"{{{{ config.depth }}}}\"}}\n  \
             add_thing:\n    method: POST\n    path: /things\n    request:\n      \
             body_schema: {{type: object, required: [name]}}\n      body_template: {{name: \"{{{{ config.name }}}}\"}}\n"
        )
    };
    workspace.write("integrations/things/provider.yaml", &text("things", "{strategy: oauth2_bearer}"));
    workspace.write("integrations/open/provider.yaml", &text("open", "{strategy: none}"));
}

fn key(app: &App, name: &str, service: Option<&str>, value: &str) {
    let new = dipeo::nodes::ports::secrets::NewSecret {
        name: name.to_owned(),
        value: dipeo::secret::Secret::new(value).expect("text"),
        service: service.map(str::to_owned),
        label: None,
        at: "2026-01-02T03:04:05.000Z".to_owned(),
    };
    app.ports.secrets.put(vec![new]).expect("stored");
}

#[tokio::test]
async fn a_provider_is_described_with_its_operations_and_their_schemas_and_counted() {
    let workspace = harness::workspace();
    manifests(&workspace, "https://things.example");
    let app = workspace.app();
    let reader = client("ada", Scopes::READ);
    let found = provider(&app, &reader, "things").await.expect("it is there");
    assert_eq!((found.version.as_deref(), found.key_present, found.shipped), (Some("2.1.0"), Some(false), false));
    let operations: Vec<&str> = found.operations.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(operations, ["get_thing", "add_thing"]);
    let near = provider(&app, &reader, "thing").await.expect_err("another name");
    assert_eq!((near.code(), near.hint_text()), ("RESOURCE_NOT_FOUND", Some("did you mean `things`?")));

    let schema = operation_schema(&app, &reader, "things", "get_thing").await.expect("it is there");
    assert_eq!((schema.method.as_str(), schema.path_params.as_slice()), ("GET", &["id".to_owned()][..]));
    assert_eq!(schema.query_params.expect("a schema")["properties"]["depth"]["type"], "string");
    let schema = operation_schema(&app, &reader, "things", "add_thing").await.expect("it is there");
    assert_eq!(schema.request_body.expect("a schema")["required"], json!(["name"]));
    let unknown = operation_schema(&app, &reader, "things", "drop_thing").await.expect_err("there is none");
    assert_eq!(unknown.code(), "RESOURCE_NOT_FOUND");

    let all = providers(&app, &reader).await.expect("listed");
    let counts = provider_statistics(&app, &reader).await.expect("counted");
    assert_eq!((counts.total_providers, counts.provider_types.workspace), (all.len(), 2));
    assert_eq!(counts.total_operations, all.iter().map(|it| it.operations.len()).sum::<usize>());
    let usable = |name: &str| counts.providers.iter().find(|it| it.name == name).map(|it| it.usable);
    assert_eq!((usable("things"), usable("open")), (Some(false), Some(true)));

    workspace.write("integrations/open/provider.yaml", "name: open\nbase_url: nowhere\noperations: {}\n");
    let broken = reload_provider(&app, &reader, "open").await.expect_err("it is broken now");
    assert_eq!(broken.code(), "INVALID_INPUT");
    let all = reload_provider(&app, &reader, "*").await.expect("read");
    assert!(!all.success && all.problems.len() == 1 && all.problems[0].starts_with("open: "), "{all:?}");
    assert_eq!(reload_provider(&app, &reader, "things").await.expect("read").operations, 2);
}

fn call(provider: &str, operation: &str, config: Value) -> execute::Request {
    execute::Request {
        provider: provider.to_owned(),
        operation: operation.to_owned(),
        config: config.as_object().cloned(),
        ..execute::Request::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_an_execution_and_what_a_client_sends_is_never_a_template() {
    let server = MockServer::start().await;
    let literal = "{{secret}} ${secret:OTHER}";
    Mock::given(method("GET"))
        .and(path("/things/7"))
        .and(query_param("depth", literal))
        .and(header("authorization", "Bearer k3y-of-things"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"thing": 7})))
        .mount(&server)
        .await;
    let workspace = harness::workspace();
    manifests(&workspace, &server.uri());
    let app = workspace.app();
    key(&app, "things", None, "k3y-of-things");
    key(&app, "OTHER", None, "n0t-for-you");
    let caller = client("ada", Scopes::ALL);
    let asked = call("things", "get_thing", json!({"id": "7", "depth": literal}));
    let object = execute_integration(&app, &caller, asked, Waiting::default()).await.expect("it runs");
    assert_eq!((object.status, &object.final_output), (Status::Completed, &Some(json!({"thing": 7}))), "{object:?}");
    assert_eq!(object.diagram_id.as_deref(), Some("integrations/things/get_thing"));
    let order = execution_order::Request { execution_id: object.execution_id };
    let order = execution_order(&app, &caller, order).await.expect("it is recorded");
    assert_eq!(order.nodes.iter().map(|it| it.node_name.as_str()).collect::<Vec<_>>(), ["config", "call"]);

    let mut other_key = call("things", "get_thing", json!({"id": "7"}));
    other_key.api_key_id = Some("OTHER".to_owned());
    let refused = execute_integration(&app, &caller, other_key.clone(), Waiting::default()).await.expect_err("refused");
    assert_eq!(refused.code(), "SECRET_NOT_FOUND");
    let missing = call("things", "get_thing", json!({"depth": "1"}));
    let failed = execute_integration(&app, &caller, missing, Waiting::default()).await.expect("it runs");
    assert_eq!((failed.status, failed.error.expect("why")["code"].as_str()), (Status::Failed, Some("TEMPLATE_FAILED")));
    for (timeout, code) in [(0.0, "INVALID_INPUT"), (301.0, "INVALID_INPUT"), (f64::NAN, "INVALID_INPUT")] {
        let asked = execute::Request { timeout: Some(timeout), ..call("things", "get_thing", json!({"id": "7"})) };
        let refused = execute_integration(&app, &caller, asked, Waiting::default()).await.expect_err("refused");
        assert_eq!(refused.code(), code, "{timeout}");
    }
    let reader = client("ada", Scopes::READ);
    let asked = call("things", "get_thing", json!({"id": "7"}));
    let refused = execute_integration(&app, &reader, asked, Waiting::default()).await.expect_err("refused");
    assert_eq!(refused.code(), "INSUFFICIENT_SCOPE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_uses_keys_only_with_providers_that_a_person_put_into_the_workspace() {
    let workspace = harness::workspace();
    let app = workspace.app();
    key(&app, "github", None, "k3y-of-github");
    let asked = call("github", "list_issues", json!({"owner": "a", "repo": "b"}));
    let shipped = provider(&app, &Caller::owner_client(), "github").await.expect("it is shipped");
    let operation = shipped.operations.first().expect("it has some").name.clone();
    let asked = execute::Request { operation, ..asked };
    let refused = execute_integration(&app, &client("ada", Scopes::ALL), asked, Waiting::default()).await;
    let refused = refused.expect_err("a shipped provider is no leave to use a key");
    assert_eq!(refused.code(), "INVALID_DIAGRAM");
    assert!(refused.message().contains("E701") || refused.message().contains("key"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_shows_the_request_without_its_key_or_says_what_came_back() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/things"))
        .respond_with(ResponseTemplate::new(422).set_body_json(json!({"message": "no"})))
        .mount(&server)
        .await;
    let workspace = harness::workspace();
    manifests(&workspace, &server.uri());
    let app = workspace.app();
    key(&app, "THINGS_TOKEN", None, "k3y-of-things");
    let caller = client("ada", Scopes::ALL);
    let asked = |config: Value, dry_run: bool| try_operation::Request {
        provider: "things".to_owned(),
        operation: "add_thing".to_owned(),
        config_preview: config.as_object().cloned(),
        dry_run,
        ..try_operation::Request::default()
    };
    let shown = test_integration(&app, &caller, asked(json!({"name": "x"}), true)).await.expect("shown");
    let request = shown.request.expect("a request");
    assert_eq!((shown.success, request.method.as_str(), request.body), (true, "POST", Some(json!({"name": "x"}))));
    assert!(request.headers.iter().any(|(name, it)| name == "Authorization" && it == "Bearer ***"));
    let wrong = test_integration(&app, &caller, asked(json!({}), true)).await.expect("shown");
    assert!(!wrong.success && wrong.error.is_some(), "{wrong:?}");
    assert!(server.received_requests().await.expect("recorded").is_empty(), "nothing was sent");

    let sent = test_integration(&app, &caller, asked(json!({"name": "x"}), false)).await.expect("sent");
    assert_eq!((sent.success, sent.status_code), (false, Some(422)), "{sent:?}");
    assert!(sent.execution_id.is_some_and(|it| it.starts_with("exec_")));
}
