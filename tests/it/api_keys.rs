//! Keys: kept where secrets are, used by their id, never shown; and what their services say of their models.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use dipeo::engine::Status;
use dipeo::handlers::api_keys::available_models::{self, available_models};
use dipeo::handlers::api_keys::create::{self, create_api_key};
use dipeo::handlers::api_keys::delete::delete_api_key;
use dipeo::handlers::api_keys::list::{get_api_key, list_api_keys};
use dipeo::handlers::api_keys::test::test_api_key;
use dipeo::handlers::caller::{Door, Identity, Scopes};
use dipeo::handlers::run_diagram::{self, Waiting};
use dipeo::handlers::{App, Caller};
use dipeo::llm::{Llm, OllamaSettings, ProviderSettings, Settings};
use dipeo::outside::UserSecrets;
use serde_json::{Value, json};
use wiremock::matchers::{any, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{self, Workspace};

const CANARY: &str = "sk-canary-0123456789abcdef";

fn owner() -> Caller {
    Caller::client(Identity::owner(), Door::Http)
}

fn request(label: &str, service: &str, key: &str) -> create::Request {
    create::Request { label: label.into(), service: service.into(), key: key.into() }
}

/// An application whose services all are at `base_url`.
fn app_at(workspace: &Workspace, base_url: &str) -> Arc<App> {
    let default = Settings::default();
    let at = |it: &ProviderSettings| ProviderSettings { base_url: base_url.to_owned(), ..it.clone() };
    let settings = Settings {
        openai: at(&default.openai),
        anthropic: at(&default.anthropic),
        gemini: at(&default.gemini),
        ollama: OllamaSettings { host: base_url.to_owned() },
        ..default
    };
    workspace.app_with_models(Llm::with_secrets(settings, UserSecrets::new(workspace.home())))
}

/// Every file below `folder` that holds `text`.
fn traces(folder: &std::path::Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            it if it.is_dir() => found.extend(traces(&it, text)),
            it if String::from_utf8_lossy(&std::fs::read(&it).expect("readable")).contains(text) => {
                found.push(it.display().to_string());
            }
            _ => {}
        }
    }
    found
}

#[tokio::test]
async fn a_key_is_kept_for_the_user_alone_and_never_shown_again() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let made = create_api_key(&app, &owner(), request("Work", "claude", CANARY)).await.expect("kept");
    let digits = made.id.strip_prefix("APIKEY_").expect("its form");
    assert!(digits.len() == 6 && digits.bytes().all(|it| it.is_ascii_hexdigit()), "{}", made.id);
    assert_eq!((made.label.as_str(), made.service.as_str(), &made.key), ("Work", "anthropic", &None));
    let other = create_api_key(&app, &owner(), request("Other", "openai", "sk-other-canary")).await.expect("kept");
    let asker = owner();
    let listed = |service: Option<&'static str>| list_api_keys(&app, &asker, service);
    assert_eq!(listed(None).await.expect("listed").len(), 2);
    assert_eq!(listed(Some("anthropic")).await.expect("listed"), std::slice::from_ref(&made));
    assert_eq!(listed(Some("gemini")).await.expect("listed"), []);
    assert_eq!(get_api_key(&app, &owner(), &made.id).await.expect("there"), made);
    let shown = serde_json::to_string(&listed(None).await.expect("listed")).expect("JSON");
    assert!(!shown.contains("canary"), "{shown}");

    let file = workspace.home().join("secrets.json");
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(traces(&workspace.home(), CANARY), [file.display().to_string()]);
    assert_eq!(traces(workspace.root(), CANARY), Vec::<String>::new());

    assert_eq!(delete_api_key(&app, &owner(), &made.id).await.expect("gone").deleted_id, made.id);
    assert_eq!(delete_api_key(&app, &owner(), &made.id).await.expect_err("gone").code(), "SECRET_NOT_FOUND");
    assert_eq!(listed(None).await.expect("listed"), [other]);
}

#[tokio::test]
async fn no_refusal_repeats_a_key() {
    let workspace = harness::workspace();
    let app = workspace.app();
    for (label, service, key) in [
        ("", "openai", CANARY),
        ("two\nlines", "openai", CANARY),
        (CANARY, "openai", CANARY),
        ("Work", CANARY, CANARY),
        ("Work", "opnai", CANARY),
        ("Work", "scripted", CANARY),
        ("Work", "openai", ""),
        ("Work", "openai", " \n"),
        ("Work", "openai", &CANARY.repeat(4_000)),
    ] {
        let error = create_api_key(&app, &owner(), request(label, service, key)).await.expect_err("refused");
        assert_eq!(error.code(), "INVALID_INPUT", "{error:?}");
        assert!(!format!("{error:?} {}", error.to_json()).contains("canary"), "{error:?}");
    }
    let error = get_api_key(&app, &owner(), CANARY).await.expect_err("no such id");
    assert!(error.code() == "SECRET_NOT_FOUND" && !format!("{error:?}").contains("canary"), "{error:?}");
    assert_eq!(list_api_keys(&app, &owner(), None).await.expect("listed"), []);
}

#[tokio::test]
async fn only_the_owner_uses_keys_and_never_by_way_of_a_model() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let made = create_api_key(&app, &owner(), request("Work", "openai", CANARY)).await.expect("kept");
    let client = |principal: &str, scopes, door| Caller::client(Identity { principal: principal.into(), scopes }, door);
    for (caller, code) in [
        (client("ada", Scopes::ALL, Door::Http), "PERMISSION_REQUIRED"),
        (Caller::owner_client(), "PERMISSION_REQUIRED"),
        (client("local", Scopes::READ, Door::Http), "INSUFFICIENT_SCOPE"),
    ] {
        for refused in [
            create_api_key(&app, &caller, request("x", "openai", CANARY)).await.err(),
            delete_api_key(&app, &caller, &made.id).await.err(),
            test_api_key(&app, &caller, &made.id).await.err(),
        ] {
            assert_eq!(refused.expect(code).code(), code, "{caller:?}");
        }
    }
    // What the terminal stored without a service is no key of anybody's.
    let plain = dipeo::nodes::ports::secrets::NewSecret {
        name: "DEPLOY".into(),
        value: dipeo::secret::Secret::new("plain-canary").expect("text"),
        service: None,
        label: None,
        at: "2026-01-02T03:04:05.000Z".into(),
    };
    app.ports.secrets.put(vec![plain]).expect("stored");
    assert_eq!(list_api_keys(&app, &owner(), None).await.expect("listed").len(), 1);
    assert_eq!(delete_api_key(&app, &owner(), "DEPLOY").await.expect_err("not a key").code(), "SECRET_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_uses_a_key_by_its_id() {
    let server = MockServer::start().await;
    let reply = json!({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]});
    Mock::given(path("/chat/completions"))
        .and(header("authorization", format!("Bearer {CANARY}").as_str()))
        .respond_with(ResponseTemplate::new(200).set_body_json(reply))
        .mount(&server)
        .await;
    let workspace = harness::workspace();
    let app = app_at(&workspace, &server.uri());
    let made = create_api_key(&app, &owner(), request("Work", "openai", CANARY)).await.expect("kept");
    workspace.write(
        "projects/hi.light.yaml",
        &format!(
            "version: light\npersons: {{A: {{service: openai, model: m, api_key_id: {}}}}}\nnodes:\n- {{label: s, type: start}}\n\
             - {{label: a, type: person_job, person: A, default_prompt: hi, max_iteration: 1}}\nconnections:\n- {{from: s, to: a}}\n",
            made.id
        ),
    );
    let named = run_diagram::Request { diagram: Some("hi".into()), ..Default::default() };
    let ran = run_diagram::run_diagram(&app, &owner(), named, Default::default(), Waiting::default()).await;
    let ran = ran.expect("it runs");
    assert_eq!((ran.status, ran.final_output), (Status::Completed, Some(json!("hello"))));
    assert_eq!(traces(&workspace.root().join(".dipeo"), CANARY), Vec::<String>::new());
}

fn of(service: &str, api_key_id: Option<&str>) -> available_models::Request {
    available_models::Request { service: service.into(), api_key_id: api_key_id.map(str::to_owned) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_asked_for_its_models_in_its_own_words_and_at_most_once_an_hour() {
    let server = MockServer::start().await;
    let list = |ids: &[&str]| json!({"data": ids.iter().map(|it| json!({"id": it})).collect::<Vec<_>>()});
    Mock::given(method("GET"))
        .and(path("/models"))
        .and(header("authorization", format!("Bearer {CANARY}").as_str()))
        .respond_with(ResponseTemplate::new(200).set_body_json(list(&["gpt-b", "gpt-a", "gpt-a"])))
        .expect(1)
        .mount(&server)
        .await;
    let page = |ids: &[&str], more: bool| {
        let mut page = list(ids);
        page["has_more"] = more.into();
        page["last_id"] = ids.last().copied().into();
        page
    };
    Mock::given(path("/v1/models"))
        .and(header("x-api-key", CANARY))
        .and(header("anthropic-version", "2023-06-01"))
        .and(query_param("after_id", "claude-b"))
        .respond_with(ResponseTemplate::new(200).set_body_json(page(&["claude-c"], false)))
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(path("/v1/models"))
        .and(header("x-api-key", CANARY))
        .respond_with(ResponseTemplate::new(200).set_body_json(page(&["claude-a", "claude-b"], true)))
        .with_priority(2)
        .mount(&server)
        .await;
    let gemini = json!({"models": [{"name": "models/gemini-x"}]});
    Mock::given(path("/v1beta/models"))
        .and(header("x-goog-api-key", CANARY))
        .respond_with(ResponseTemplate::new(200).set_body_json(gemini))
        .mount(&server)
        .await;
    Mock::given(path("/v1/models"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"data": Value::Null})))
        .with_priority(9)
        .mount(&server)
        .await;
    let workspace = harness::workspace();
    let app = app_at(&workspace, &server.uri());
    let mut ids = Vec::new();
    for service in ["openai", "anthropic", "gemini"] {
        ids.push(create_api_key(&app, &owner(), request(service, service, CANARY)).await.expect("kept").id);
    }
    for (service, id, expected) in [
        ("openai", Some(&ids[0]), vec!["gpt-a", "gpt-b"]),
        ("gpt", Some(&ids[0]), vec!["gpt-a", "gpt-b"]),
        ("anthropic", Some(&ids[1]), vec!["claude-a", "claude-b", "claude-c"]),
        ("gemini", Some(&ids[2]), vec!["gemini-x"]),
        ("ollama", None, vec![]),
    ] {
        let models = available_models(&app, &owner(), of(service, id.map(String::as_str))).await;
        assert_eq!(models.expect(service), expected, "{service}");
    }
    for (service, id, code) in [
        ("openai", Some(ids[1].as_str()), "SECRET_NOT_FOUND"),
        ("openai", Some("NOBODYS"), "SECRET_NOT_FOUND"),
        ("scripted", None, "INVALID_INPUT"),
        ("nobody", None, "INVALID_INPUT"),
    ] {
        let refused = available_models(&app, &owner(), of(service, id)).await.expect_err(code);
        assert_eq!(refused.code(), code, "{service} {id:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_is_said_to_be_and_an_error_is_never_an_empty_list() {
    let server = MockServer::start().await;
    let refusal = json!({"error": {"message": format!("bad key {CANARY}"), "code": "invalid_api_key"}});
    Mock::given(any()).respond_with(ResponseTemplate::new(401).set_body_json(refusal)).mount(&server).await;
    let workspace = harness::workspace();
    let app = app_at(&workspace, &server.uri());
    let made = create_api_key(&app, &owner(), request("Work", "openai", CANARY)).await.expect("kept");
    let tried = test_api_key(&app, &owner(), &made.id).await.expect("a result");
    assert!(!tried.success, "{tried:?}");
    assert_eq!(tried.error.as_ref().expect("why")["code"], "LLM_FAILED");
    assert!(!serde_json::to_string(&tried).expect("JSON").contains(CANARY), "{tried:?}");
    let failed = available_models(&app, &owner(), of("openai", Some(&made.id))).await.expect_err("an error");
    assert!(failed.code() == "LLM_FAILED" && !format!("{}", failed.to_json()).contains(CANARY), "{failed:?}");

    let good = MockServer::start().await;
    let list = json!({"data": [{"id": "m"}]});
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(list)).mount(&good).await;
    let app = app_at(&workspace, &good.uri());
    let tried = test_api_key(&app, &owner(), &made.id).await.expect("a result");
    assert_eq!((tried.success, tried.models_count, tried.error), (true, Some(1), None));
}
