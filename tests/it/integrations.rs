//! Providers from manifest to reply: what is shipped answers as recorded, imported documents send what they
//! describe, and the command line goes the whole way. Nothing leaves this machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dipeo::handlers::compile_diagram;
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::integrations::test_operation::{Request, test_operation};
use dipeo::handlers::run_diagram::{self, Extras, Waiting};
use dipeo::handlers::{App, Caller};
use dipeo::integrations::openapi::{Options, import, parse};
use dipeo::integrations::write::to_yaml;
use dipeo::integrations::{Manifest, Operation, Strategy, read, shipped};
use dipeo::nodes::integrated_api::call::{Call, Wires, call};
use dipeo::nodes::ports::Ports;
use dipeo::nodes::{Origin, Rights};
use dipeo::outside::GuardedHttp;
use dipeo::secret::Secret;
use serde_json::{Map, Value, json};
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness;

#[tokio::test]
async fn every_shipped_provider_answers_as_recorded() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    for (provider, expected) in [
        (
            "arxiv",
            json!([{"id": "http://arxiv.org/abs/0000.00001v1", "title": "An example of an article on electrons & \"holes\"",
            "summary": "It shows where each part of an entry stands.", "published": "2000-01-02T03:04:05Z",
            "updated": "2000-02-03T04:05:06Z", "authors": ["Ada Example", "Ben Example"]}]),
        ),
        ("discord", json!("Hello, World!")),
        ("example", json!("an example")),
        ("github", json!([1, 2, 3])),
        ("notion", json!(false)),
        ("slack", json!("1503435956.000247")),
        ("wikipedia", json!("Alan Turing")),
    ] {
        let operation = shipped::find(provider).expect("it is shipped").recorded.0;
        let request = Request {
            provider: provider.to_owned(),
            operation: Some(operation.to_owned()),
            replay: true,
            ..Request::default()
        };
        let response =
            test_operation(&app, &caller, request).await.unwrap_or_else(|error| panic!("{provider}: {error:?}"));
        let outcome = response.call.expect("it was called");
        assert!(outcome.replayed && outcome.status == 200, "{provider}: {outcome:?}");
        let value: Value = serde_json::from_str(&outcome.shown).expect("JSON");
        let seen = match provider {
            "discord" => value["content"].clone(),
            "example" => value["title"].clone(),
            "github" => value.as_array().expect("a list").iter().map(|it| it["number"].clone()).collect(),
            "notion" => value["has_more"].clone(),
            "slack" => value["ts"].clone(),
            "wikipedia" => value["title"].clone(),
            _ => value,
        };
        assert_eq!(seen, expected, "{provider}");
    }
}

#[tokio::test]
async fn a_refusal_with_the_status_of_success_is_a_failure() {
    let server = MockServer::start().await;
    let refusal = json!({"ok": false, "error": "channel_not_found"});
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(refusal)).mount(&server).await;
    let text = shipped::find("slack").expect("it is shipped").text.replace("https://slack.com/api", &server.uri());
    let manifest = read(&text).manifest.expect("valid");
    let operation = manifest.operation("post_message").expect("it is there");
    let config = json!({"channel": "C1", "text": "hi"});
    let error = send(&manifest, operation, config).await.expect_err("it was refused");
    assert_eq!(error.code(), "VALIDATION_FAILED");
    assert!(error.message().contains("channel_not_found"), "{error}");
}

async fn send(manifest: &Manifest, operation: &Operation, config: Value) -> Result<Value, dipeo::error::Error> {
    let workspace = harness::workspace();
    let app = workspace.app();
    let ports = Ports { http: GuardedHttp::new(), ..closed(&app.ports) };
    let rights = Arc::new(Rights::of(Origin::Local, true, false));
    let Value::Object(config) = config else { panic!("a map") };
    let call_of = Call {
        manifest,
        operation,
        config,
        resource_id: None,
        key: manifest.auth.strategy.needs_key().then(|| Secret::new("sk-canary").expect("text")),
        timeout: Duration::from_secs(20),
        attempt: 1,
        idempotency_key: "k".to_owned(),
    };
    call(&call_of, &Wires::of(&ports, &rights)).await.map(|it| it.value)
}

fn closed(ports: &Ports) -> Ports {
    Ports::closed(
        Arc::clone(&ports.code),
        Arc::clone(&ports.models),
        Arc::clone(&ports.files),
        Arc::clone(&ports.clock),
    )
}

/// Imports a document for this server; the manifest has no problem.
fn imported(document: &Value, base_url: &str) -> (Manifest, Vec<String>) {
    let options = Options { base_url: Some(base_url.to_owned()), ..Options::default() };
    let imported = import(document, &options).unwrap_or_else(|error| panic!("{error:?}"));
    let text = to_yaml(&imported.manifest).expect("it is written");
    let checked = read(&text);
    assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics.first());
    (checked.manifest.expect("valid"), imported.left_out)
}

/// The document behind a path of the corpus; `.gz` is unpacked by `gzip`.
fn document(path: &Path) -> Option<Value> {
    if path.extension().is_some_and(|it| it == "gz") {
        if !harness::has("gzip") {
            return None;
        }
        let output = std::process::Command::new("gzip").arg("-dc").arg(path).output().expect("gzip runs");
        return Some(parse(&String::from_utf8(output.stdout).expect("UTF-8")).expect("it parses"));
    }
    Some(parse(&std::fs::read_to_string(path).expect("readable")).expect("it parses"))
}

#[tokio::test]
async fn imported_operations_send_what_their_documents_describe() {
    let Some(corpus) = harness::corpus() else { return };
    for (file, n_operations, n_checked_min) in
        [("petstore-expanded.yaml", 4, 4), ("tictactoe.yaml", 3, 3), ("uspto.yaml", 3, 3), ("discord.json.gz", 242, 24)]
    {
        let Some(document) = document(&corpus.join("openapi").join(file)) else { continue };
        let server = MockServer::start().await;
        let (manifest, left_out) = imported(&document, &server.uri());
        assert_eq!(manifest.operations.len(), n_operations, "{file}: {left_out:?}");
        let mut n_checked = 0;
        for operation in manifest.operations.iter().take(2 * n_checked_min) {
            match check_against_document(&document, &manifest, operation, &server, file).await {
                Ok(()) => n_checked += 1,
                Err(what) => println!("not checked: {what}"),
            }
        }
        assert!(n_checked >= n_checked_min, "{file}: only {n_checked} could be checked");
    }
}

/// Calls one operation with samples of everything it takes, and compares what the server got. An error says
/// that no sample could be made that fits the document's own schema.
async fn check_against_document(
    document: &Value,
    manifest: &Manifest,
    operation: &Operation,
    server: &MockServer,
    file: &str,
) -> Result<(), String> {
    let name = format!("{file} {} {}", operation.method, operation.path);
    let described = &document["paths"][&operation.path][operation.method.to_lowercase()];
    let item = &document["paths"][&operation.path];
    let (mut config, mut path, mut query) = (Map::new(), operation.path.clone(), Vec::new());
    for list in [&item["parameters"], &described["parameters"]] {
        for parameter in list.as_array().into_iter().flatten().map(|it| resolved(document, it)) {
            let key = parameter["name"].as_str().expect("a name");
            let value = sample(document, &parameter["schema"], 0);
            match parameter["in"].as_str() {
                Some("path") => path = path.replace(&format!("{{{key}}}"), &text(&value)),
                Some("query") => match &value {
                    Value::Array(items) => query.extend(items.iter().map(|it| (key.to_owned(), text(it)))),
                    other => query.push((key.to_owned(), text(other))),
                },
                _ => {}
            }
            config.insert(key.to_owned(), value);
        }
    }
    let media = described["requestBody"]["content"]["application/json"].clone();
    let body = media.get("schema").map(|it| sample(document, it, 0));
    if let Some(body) = &body {
        config.insert("body".to_owned(), body.clone());
    }
    let replies = described["responses"].as_object().expect("responses");
    let (status, reply) = replies.iter().find(|(status, _)| status.starts_with('2')).expect("a success");
    let mut template = ResponseTemplate::new(status.parse::<u16>().expect("a number"));
    let reply_schema = resolved(document, reply)["content"]["application/json"].get("schema");
    let answer = reply_schema.map(|it| sample(document, it, 0));
    if let Some(answer) = &answer {
        template = template.set_body_json(answer);
    }
    server.reset().await;
    Mock::given(any()).respond_with(template).mount(server).await;
    let value = match send(manifest, operation, Value::Object(config)).await {
        Ok(value) => value,
        Err(error) if error.code() == "VALIDATION_FAILED" => return Err(format!("{name}: {error}")),
        Err(error) => panic!("{name}: {error:?}"),
    };
    assert_eq!(value, answer.unwrap_or_default(), "{name}");
    let requests = server.received_requests().await.expect("recorded");
    let [request] = requests.as_slice() else { panic!("{name}: {} requests", requests.len()) };
    assert_eq!((request.method.as_str(), request.url.path()), (operation.method.as_str(), path.as_str()), "{name}");
    let mut sent: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
    sent.sort();
    query.sort();
    assert_eq!(sent, query, "{name}");
    assert_eq!(serde_json::from_slice::<Value>(&request.body).ok(), body, "{name}");
    if manifest.auth.strategy == Strategy::ApiKeyHeader {
        let header = request.headers.get(manifest.auth.header.as_str()).expect("the key");
        assert_eq!(header, "sk-canary", "{name}");
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let mut value = value;
    while let Some(reference) = value.get("$ref").and_then(Value::as_str) {
        value = document.pointer(&reference[1..]).expect("it is there");
    }
    value
}

/// A value that fits a schema: what is required, and what shows most of it.
fn sample(document: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolved(document, schema);
    if let Some(found) = schema.get("const") {
        return found.clone();
    }
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        return options[0].clone();
    }
    let mut object = Map::new();
    for branch in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        object.extend(sample(document, branch, depth + 1).as_object().cloned().unwrap_or_default());
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(branches) = schema.get(word).and_then(Value::as_array) {
            let is_null = |it: &&Value| resolved(document, it).get("type") == Some(&json!("null"));
            let found = branches.iter().find(|it| !is_null(it)).unwrap_or(&branches[0]);
            return sample(document, found, depth + 1);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) if depth > 6 && kinds.contains(&json!("null")) => return Value::Null,
        Some(Value::Array(kinds)) => kinds[0].as_str().expect("a text"),
        Some(Value::String(kind)) => kind,
        _ => "object",
    };
    match kind {
        "string" => sample_text(schema).into(),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        "null" => Value::Null,
        "array" => {
            let n_items = schema.get("minItems").and_then(Value::as_u64).unwrap_or(u64::from(depth < 4));
            let item = |nth: u64| match sample(document, &schema["items"], depth + 1) {
                // Items may have to differ.
                Value::Number(_) => json!(nth + 1),
                Value::String(text) if text == "1" => (nth + 1).to_string().into(),
                other => other,
            };
            (0..n_items).map(item).collect()
        }
        _ => {
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                if required.contains(&key.as_str()) || depth == 0 {
                    object.insert(key.clone(), sample(document, property, depth + 1));
                }
            }
            if object.is_empty() && schema.get("minProperties").is_some() {
                object.insert("1".to_owned(), sample(document, &schema["additionalProperties"], depth + 1));
            }
            Value::Object(object)
        }
    }
}

/// Digits fit the patterns of ids; the formats are those of the documents.
fn sample_text(schema: &Value) -> String {
    let least = schema["minLength"].as_u64().unwrap_or(1);
    match schema["format"].as_str() {
        Some("uri") => "https://example.test/1".to_owned(),
        Some("date-time") => "2026-01-02T03:04:05Z".to_owned(),
        _ => "1".repeat(usize::try_from(least.max(1)).expect("small")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_goes_from_document_to_replayed_call() {
    let server = MockServer::start().await;
    let echo = |request: &wiremock::Request| {
        let key = request.headers.get("x-key").and_then(|it| it.to_str().ok()).unwrap_or_default();
        ResponseTemplate::new(200).set_body_json(json!({"id": 7, "echo": key}))
    };
    Mock::given(any()).respond_with(echo).mount(&server).await;
    let workspace = harness::workspace();
    workspace.write(
        "shop.yaml",
        "openapi: 3.1.0\ninfo: {title: My Shop}\nservers: [{url: /v1}]\n\
         components: {securitySchemes: {k: {type: apiKey, in: header, name: X-Key}}}\nsecurity: [{k: []}]\n\
         paths:\n  /items/{id}:\n    get: {operationId: getItem}\n    delete: {operationId: dropItem}\n",
    );
    let run = |arguments: &[&str], key: &str| {
        let mut command = workspace.command();
        let output = command.arg("integrations").args(arguments).env("SHOP_API_KEY", key).output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let steps: [(&[&str], i32, &str); 10] = [
        (&["openapi-import", "shop.yaml", "shop"], 2, "--base-url"),
        (&["openapi-import", "shop.yaml", "shop", "--base-url", &server.uri(), "--only", "get_*"], 0, "1 operations"),
        (&["openapi-import", "shop.yaml", "shop", "--base-url", &server.uri()], 4, "already there"),
        (&["validate"], 0, "0 invalid"),
        (&["list"], 0, "shop 1.0.0  api_key_header, key present"),
        (&["test", "shop"], 0, "get_item  GET /items/{id}"),
        (&["test", "shop", "--operation", "gte_item"], 3, "did you mean `get_item`?"),
        (&["test", "shop", "--operation", "get_item", "--replay"], 3, "--record"),
        (&["test", "shop", "--operation", "get_item", "--config", "{\"id\": 7}", "--record"], 0, "status 200"),
        (&["test", "shop", "--operation", "get_item", "--config", "7"], 2, "no JSON object"),
    ];
    for (arguments, code, part) in steps {
        let (status, stdout, stderr) = run(arguments, "sk-canary");
        assert_eq!(status, Some(code), "{arguments:?}: {stdout}{stderr}");
        assert!(format!("{stdout}{stderr}").contains(part), "{arguments:?}: {stdout}{stderr}");
        assert!(!format!("{stdout}{stderr}").contains("canary"), "{arguments:?}: {stdout}{stderr}");
    }
    let recorded =
        std::fs::read_to_string(workspace.root().join("integrations/shop/recordings/get_item.json")).expect("there");
    assert!(recorded.contains("/items/7") && !recorded.contains("canary"), "{recorded}");
    let n_before = server.received_requests().await.expect("recorded").len();
    let (status, stdout, stderr) = run(&["test", "shop", "--operation", "get_item", "--replay"], "");
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout.contains("replayed") && stdout.contains("\"id\": 7"), "{stdout}");
    assert_eq!(server.received_requests().await.expect("recorded").len(), n_before, "a replay sends nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_manifest_is_shown_with_lines_and_the_example_is_not() {
    let workspace = harness::workspace();
    let run = |arguments: &[&str]| {
        let output = workspace.command().arg("integrations").args(arguments).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (status, stdout) = run(&["init"]);
    assert!(status == Some(0) && stdout.contains("integrations/example/provider.yaml"), "{stdout}");
    assert_eq!(run(&["init"]).0, Some(4));
    assert_eq!(run(&["init", "--force"]).0, Some(0));
    assert_eq!(run(&["validate", "--path", "integrations"]).0, Some(0));
    workspace.write(
        "integrations/bad/provider.yaml",
        "name: bad\nbase_url: https://x.test\nauth: {strategy: none}\noperatons: {}\n",
    );
    let (status, stdout) = run(&["validate"]);
    assert_eq!(status, Some(2), "{stdout}");
    assert!(stdout.contains("integrations/bad/provider.yaml:4:1: error E801"), "{stdout}");
    let (status, stdout) = run(&["validate", "--provider", "example", "--json"]);
    let response: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((status, &response["valid"], &response["total"]), (Some(0), &json!(true), &json!(1)));
}

/// Runs a diagram with one call of the provider `shop`, as a person's file or as a client's text.
async fn run_call(app: &App, caller: &Caller, operation: &str) -> ExecutionObject {
    let text = format!(
        "version: light\nnodes:\n- {{label: begin, type: start, custom_data: {{wanted: 7}}}}\n\
         - {{label: call, type: integrated_api, provider: shop, operation: {operation}, config: {{id: \"{{{{wanted}}}}\"}}}}\n\
         - {{label: end, type: endpoint}}\nconnections:\n- {{from: begin, to: call}}\n- {{from: call, to: end}}\n"
    );
    let request = match caller {
        Caller::Client(_) => run_diagram::Request { content: Some(text), ..Default::default() },
        Caller::Terminal { working_dir } => {
            let path = working_dir.join("call.light.yaml");
            std::fs::write(&path, &text).expect("written");
            run_diagram::Request { diagram: Some(path.display().to_string()), ..Default::default() }
        }
    };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    run_diagram::run_diagram(app, caller, request, extras, Waiting::default()).await.expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diagram_calls_a_provider_of_its_workspace_and_tries_again_when_told_to() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(503).insert_header("Retry-After", "0");
    Mock::given(any()).respond_with(busy).up_to_n_times(2).mount(&server).await;
    Mock::given(path("/items/7"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"id": 7})))
        .mount(&server)
        .await;
    let workspace = harness::workspace();
    let manifest = format!(
        "name: shop\nbase_url: {}\nauth: {{strategy: none}}\noperations: {{get: {{method: GET, path: '/items/{{id}}'}}}}\n",
        server.uri()
    );
    workspace.write("integrations/shop/provider.yaml", &manifest);
    let app = workspace.app();
    let person = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let object = run_call(&app, &person, "get").await;
    assert_eq!(serde_json::to_value(&object.final_output).expect("JSON"), json!({"id": 7}), "{object:?}");
    assert_eq!(server.received_requests().await.expect("recorded").len(), 3, "two refusals and the answer");
    // A text that a client sent reaches public addresses only.
    let object = run_call(&app, &Caller::owner_client(), "get").await;
    let error = serde_json::to_value(&object.error).expect("JSON");
    assert_eq!(error["code"], json!("HOST_NOT_ALLOWED"), "{error}");
    app.shut_down_runs().await;
}

#[tokio::test]
async fn compiling_names_the_hosts_that_a_diagram_calls() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let content = "version: light\nnodes:\n- {label: begin, type: start}\n\
        - {label: a, type: integrated_api, provider: wikipedia, operation: summary, config: {title: x}}\n\
        - {label: b, type: api_job, url: 'https://user@api.example.com/x?y=1'}\n\
        - {label: c, type: api_job, url: '{{where}}/x'}\n\
        connections:\n- {from: begin, to: a}\n- {from: a, to: b}\n- {from: b, to: c}\n";
    let request = compile_diagram::Request { content: content.to_owned(), ..Default::default() };
    let response = compile_diagram::compile_diagram(&app, &Caller::owner_client(), request, Default::default())
        .await
        .expect("it compiles");
    let hosts = response.report.capabilities.expect("it was read").hosts;
    assert_eq!(hosts, ["en.wikipedia.org", "api.example.com", "{{where}}"]);
}
