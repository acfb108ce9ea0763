use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::providers::Providers;
use crate::diagram::NodeKind;
use crate::error::Error;
use crate::nodes::harness::{Harness, World, diagnostics, diagram};
use crate::nodes::ports::http::{Http, HttpReply, HttpRequest};
use crate::nodes::ports::secrets::Secrets;
use crate::nodes::{Backoff, Effect, Origin, Rights};
use crate::secret::Secret;

const SHOP: &str = r#"
name: shop
base_url: https://shop.test/v1
auth: {strategy: api_key_query, query_param: key}
default_timeout: 7
operations:
  get:
    method: GET
    path: /items/{id}
    response: {json_pointer: $.item, error_json_pointer: $.oops}
  list:
    method: GET
    path: /items
    request: {query_params_template: {q: "{{ config.q|default('') }}"}}
    response: {json_pointer: $.items}
    pagination: {type: cursor, cursor_response_path: $.next, limit_param: n, default_limit: 2}
  add:
    method: POST
    path: /items
    request: {body_template: '{"title": "{{ config.title }}"}', headers_template: {X-Hook: "{{ secret.HOOK }}"}}
  hooked: {method: GET, path: /, pre_request_hook: x.y}
  even:
    method: GET
    path: /numbers
    response: {transform: '[{% for it in response if it is even %}{{ it }}{% if not loop.last %},{% endif %}{% endfor %}]'}
    pagination: {type: page_number, limit_param: n, default_limit: 2}
  slow: {method: GET, path: /, timeout_override: 90}
  odd: {method: GET, path: /, response: {schema: {type: 3}}}
"#;
const OPEN: &str = "name: open\nbase_url: https://open.test\nauth: {strategy: none}\n\
                    retry_policy: {strategy: fixed, max_retries: 5, base_delay_ms: 10}\n\
                    operations:\n  get: {method: GET, path: '/{resource_id}'}\n  post: {method: POST, path: /}\n";

/// Answers in order and keeps what it was asked.
#[derive(Default)]
struct ScriptedHttp {
    answers: Mutex<Vec<Result<HttpReply, Error>>>,
    asked: Mutex<Vec<HttpRequest>>,
}

impl ScriptedHttp {
    fn answering(answers: Vec<Result<HttpReply, Error>>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers), asked: Mutex::default() })
    }

    /// Method, address and query of each request.
    fn lines(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("no test panics with it");
        let query = |it: &HttpRequest| it.query.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join("&");
        asked.iter().map(|it| format!("{} {}?{}", it.method, it.url, query(it))).collect()
    }

    fn header(&self, nth: usize, name: &str) -> Option<String> {
        let asked = self.asked.lock().expect("no test panics with it");
        asked[nth].headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, it)| it.clone())
    }
}

impl Http for ScriptedHttp {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>> {
        self.asked.lock().expect("no test panics with it").push(request);
        let answer = self.answers.lock().expect("no test panics with it").remove(0);
        Box::pin(async move { answer })
    }
}

struct Vault(BTreeMap<&'static str, &'static str>);

impl Secrets for Vault {
    fn find(&self, name: &str) -> Result<Option<Secret>, Error> {
        Ok(self.0.get(name).and_then(Secret::new))
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Result<HttpReply, Error> {
    let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Ok(HttpReply { status, headers, body: body.as_bytes().to_vec(), duration: Duration::from_millis(3) })
}

fn json_reply(status: u16, body: &Value) -> Result<HttpReply, Error> {
    reply(status, &[("content-type", "application/json")], &body.to_string())
}

fn world() -> World {
    let files = BTreeMap::from([("integrations/shop/provider.yaml", SHOP), ("integrations/open/provider.yaml", OPEN)]);
    World { files, ..World::default() }
}

fn harness(fields: Value, http: &Arc<ScriptedHttp>) -> Harness {
    let mut harness = Harness::in_diagram(&diagram(NodeKind::IntegratedApi, fields), world());
    let ports = Arc::get_mut(&mut harness.cx.ports).expect("nobody else has them yet");
    ports.http = Arc::clone(http) as Arc<dyn Http>;
    ports.secrets = Arc::new(Vault([("shop", "sk-canary"), ("own", "sk-own"), ("HOOK", "hook-canary")].into()));
    harness
}

fn fields(operation: &str, config: Value) -> Value {
    json!({"provider": "shop", "operation": operation, "config": config})
}

#[tokio::test]
async fn an_operation_is_called_and_its_reply_mapped() {
    let http = ScriptedHttp::answering(vec![json_reply(200, &json!({"item": {"id": 7, "echo": "sk-canary"}}))]);
    let harness = harness(fields("get", json!({"id": "{{ wanted }}"})), &http).variables(json!({"wanted": 7}));
    let output = harness.output().await.expect("it answers");
    assert_eq!(*output.body, json!({"id": 7, "echo": "***"}));
    assert_eq!(http.lines(), ["GET https://shop.test/v1/items/7?key=sk-canary"]);
    let meta = &output.meta["http"];
    assert_eq!(
        (&meta["status"], &meta["url"], &meta["duration_ms"]),
        (&json!(200), &json!("https://shop.test/v1/items/7"), &json!(3))
    );
    assert!(!Value::Object(output.meta.clone()).to_string().contains("canary"));
    assert_eq!(harness.node.effect(), Effect::Outside);
}

#[tokio::test]
async fn inputs_complete_the_config() {
    let http = ScriptedHttp::answering(vec![json_reply(200, &json!({"items": [1]}))]);
    let harness = harness(fields("list", json!({"q": "field", "x": 1})), &http)
        .inputs(json!({"default": {"q": "map"}, "q": "label"}));
    assert_eq!(harness.body().await.expect("it answers"), json!([1]));
    assert_eq!(http.lines(), ["GET https://shop.test/v1/items?q=label&key=sk-canary"]);
}

#[tokio::test]
async fn pages_are_followed_only_when_asked() {
    let page = |items: Value, next: Value| json_reply(200, &json!({"items": items, "next": next}));
    let http = ScriptedHttp::answering(vec![page(json!([1, 2]), json!("c2")), page(json!([3]), Value::Null)]);
    let harness_all = harness(fields("list", json!({"all_pages": true})), &http);
    let output = harness_all.output().await.expect("it answers");
    assert_eq!((&*output.body, &output.meta["http"]["pages"]), (&json!([1, 2, 3]), &json!(2)));
    assert!(http.lines()[1].contains("cursor=c2") && http.lines()[1].contains("key=sk-canary"), "{:?}", http.lines());
    let http = ScriptedHttp::answering(vec![page(json!([1, 2]), json!("c2"))]);
    assert_eq!(harness(fields("list", json!({})), &http).body().await.expect("it answers"), json!([1, 2]));
    let http = ScriptedHttp::answering(vec![page(json!([1]), json!("a")), page(json!([2]), json!("b"))]);
    let two = harness(fields("list", json!({"all_pages": true, "max_pages": 2})), &http);
    assert_eq!(two.body().await.expect("it answers"), json!([1, 2]));
}

#[tokio::test]
async fn a_transform_that_drops_items_does_not_end_the_pages() {
    let http = ScriptedHttp::answering(vec![json_reply(200, &json!([1, 3])), json_reply(200, &json!([4]))]);
    let output = harness(fields("even", json!({"all_pages": true})), &http).output().await.expect("it answers");
    assert_eq!((&*output.body, &output.meta["http"]["pages"]), (&json!([4]), &json!(2)));
}

#[tokio::test]
async fn refusals_are_failures_without_the_key() {
    let cases = [
        (json_reply(404, &json!({"oops": "no sk-canary here"})), "HTTP_STATUS", false, "404: no *** here"),
        (reply(503, &[("retry-after", "2")], "down sk-canary"), "HTTP_STATUS", true, "503"),
        (Err(Error::external("HTTP_FAILED", "no connection").retryable(true)), "HTTP_FAILED", true, "no connection"),
        (json_reply(200, &json!({"other": 1})), "PARSE_FAILED", false, "nothing at `$.item`"),
    ];
    for (answer, code, is_retryable, part) in cases {
        let http = ScriptedHttp::answering(vec![answer]);
        let error = harness(fields("get", json!({"id": 1})), &http).body().await.expect_err(part);
        assert_eq!((error.code(), error.is_retryable()), (code, is_retryable), "{error:?}");
        assert!(error.message().contains(part), "{error}");
        assert!(!error.to_json().to_string().contains("canary"), "{}", error.to_json());
        if code == "HTTP_STATUS" && is_retryable {
            assert_eq!(error.details_value().expect("details")["retry_after_ms"], json!(2_000));
        }
    }
}

#[tokio::test]
async fn a_post_is_not_sent_twice_unless_the_manifest_says_so() {
    for (fields, is_retryable) in
        [(fields("add", json!({"title": "t"})), false), (json!({"provider": "open", "operation": "post"}), true)]
    {
        let http = ScriptedHttp::answering(vec![Err(Error::external("HTTP_FAILED", "cut off").retryable(true))]);
        let error = harness(fields, &http).body().await.expect_err("cut off");
        assert_eq!(error.is_retryable(), is_retryable);
        let key = http.header(0, "idempotency-key").expect("it has one");
        assert!(key.starts_with("exec_") && key.ends_with(":node_0:1"), "{key}");
    }
}

#[tokio::test]
async fn the_key_is_found_in_this_order() {
    let call = |api_key_id: Value| {
        let http = ScriptedHttp::answering(vec![json_reply(200, &json!({"item": 1}))]);
        let mut fields = fields("get", json!({"id": 1}));
        fields["api_key_id"] = api_key_id;
        (harness(fields, &http), http)
    };
    let (own, http) = call(json!("own"));
    own.body().await.expect("it answers");
    assert!(http.lines()[0].ends_with("key=sk-own"));
    let (mut env, http) = call(Value::Null);
    let ports = Arc::get_mut(&mut env.cx.ports).expect("nobody else has them yet");
    ports.secrets = Arc::new(Vault(BTreeMap::new()));
    let variable = Secret::new("sk-env").expect("text");
    ports.providers = Arc::new(Providers::new([("SHOP_API_KEY".to_owned(), variable)].into()));
    env.body().await.expect("it answers");
    assert!(http.lines()[0].ends_with("key=sk-env"));
    let (missing, _) = call(json!("nope"));
    let error = missing.body().await.expect_err("no key");
    assert_eq!(error.code(), "SECRET_NOT_FOUND");
    let hint = error.hint_text().unwrap_or_default();
    assert!(["`nope`", "`shop`", "`SHOP_API_KEY`"].iter().all(|it| hint.contains(it)), "{hint}");
}

#[tokio::test]
async fn a_client_credential_gets_one_token_and_replaces_it_when_refused() {
    let oauth = "name: oauth\nbase_url: https://o.test\n\
        auth: {strategy: oauth2_client_credentials, token_endpoint: 'https://auth.test/token', scopes: [a, b]}\n\
        operations: {get: {method: GET, path: /x}}\n";
    let token = |it: &str| json_reply(200, &json!({"access_token": it, "expires_in": 3600}));
    let http = ScriptedHttp::answering(vec![
        token("tok-one"),
        json_reply(200, &json!(1)),
        json_reply(200, &json!("tok-one")),
        json_reply(401, &json!({})),
        token("tok-two"),
        json_reply(200, &json!(3)),
    ]);
    let world = World { files: BTreeMap::from([("integrations/oauth/provider.yaml", oauth)]), ..World::default() };
    let fields = json!({"provider": "oauth", "operation": "get"});
    let mut harness = Harness::in_diagram(&diagram(NodeKind::IntegratedApi, fields), world);
    let ports = Arc::get_mut(&mut harness.cx.ports).expect("nobody else has them yet");
    ports.http = Arc::clone(&http) as Arc<dyn Http>;
    ports.secrets = Arc::new(Vault([("oauth", "id:secret")].into()));
    assert_eq!(harness.body().await.expect("it answers"), json!(1));
    assert_eq!(harness.body().await.expect("it answers"), json!("***"), "an echoed token is not shown");
    assert_eq!(harness.body().await.expect("it answers"), json!(3));
    let urls: Vec<String> = http.lines();
    assert_eq!(urls.iter().filter(|it| it.contains("auth.test")).count(), 2, "{urls:?}");
    assert_eq!(http.header(0, "authorization").as_deref(), Some("Basic aWQ6c2VjcmV0"));
    assert_eq!(http.header(5, "authorization").as_deref(), Some("Bearer tok-two"));
    let form = http.asked.lock().expect("no test panics with it")[0].body.clone().expect("a form");
    assert_eq!(String::from_utf8_lossy(&form), "grant_type=client_credentials&scope=a+b");
}

#[tokio::test]
async fn secrets_of_the_manifest_are_found_last() {
    let http = ScriptedHttp::answering(vec![json_reply(201, &json!({"id": 1}))]);
    let harness_ok = harness(fields("add", json!({"title": "{{ secret.HOOK }}"})), &http);
    harness_ok.body().await.expect("it answers");
    assert_eq!(http.header(0, "x-hook").as_deref(), Some("hook-canary"));
    let asked = http.asked.lock().expect("no test panics with it");
    let body = String::from_utf8_lossy(asked[0].body.as_deref().expect("a body")).into_owned();
    assert!(!body.contains("canary"), "a template of the diagram reaches no secret: {body}");
}

#[test]
fn timeouts_and_repetitions_come_from_the_manifest() {
    let http = ScriptedHttp::answering(Vec::new());
    for (fields, timeout_s, attempts, backoff) in [
        (fields("get", json!({})), 7.0, 4, Backoff::Exponential),
        (fields("slow", json!({})), 90.0, 4, Backoff::Exponential),
        (fields("list", json!({"all_pages": true})), 70.0, 4, Backoff::Exponential),
        (json!({"provider": "open", "operation": "get", "resource_id": 1}), 30.0, 6, Backoff::Fixed),
        (json!({"provider": "open", "operation": "get", "max_retries": 0}), 30.0, 1, Backoff::Fixed),
    ] {
        let harness = harness(fields.clone(), &http);
        let retry = harness.node.retry_default();
        let seen = (harness.node.timeout_default(), retry.max_attempts, retry.backoff);
        assert_eq!(seen, (Some(timeout_s), attempts, backoff), "{fields}");
    }
}

#[test]
fn diagnostics_name_each_mistake_once() {
    let submitted = Rights::of(Origin::Submitted, false, false);
    let codes = |fields: &Value, world: &World| -> Vec<&str> {
        diagnostics(&diagram(NodeKind::IntegratedApi, fields.clone()), world).iter().map(|it| it.code).collect()
    };
    for (fields, expected) in [
        (json!({}), vec!["E401", "E401"]),
        (json!({"provider": "shop"}), vec!["E401"]),
        (json!({"provider": "shpo", "operation": "get"}), vec!["E403"]),
        (json!({"provider": "mcp_files", "operation": "get"}), vec!["E403"]),
        (json!({"provider": "shop", "operation": "gte"}), vec!["E403"]),
        (json!({"provider": "shop", "operation": "hooked"}), vec!["E802"]),
        (json!({"provider": "shop", "operation": "odd"}), vec!["E604"]),
        (json!({"provider": "shop", "operation": "get"}), vec!["W504"]),
        (json!({"provider": "shop", "operation": "get", "api_key_id": "known"}), vec![]),
        (json!({"provider": "open", "operation": "get", "api_key_id": "known"}), vec!["W402"]),
        (json!({"provider": "open", "operation": "get", "config": "x"}), vec!["E402"]),
        (json!({"provider": "open", "operation": "get", "config": {"a": "{{#if x}}"}}), vec!["E602"]),
        (json!({"provider": "open", "operation": "get", "max_retries": -1}), vec!["E404"]),
        (json!({"provider": "open", "operation": "get", "retires": 1}), vec!["W401"]),
    ] {
        assert_eq!(codes(&fields, &world()), expected, "{fields}");
    }
    let submitted = World { rights: submitted, ..world() };
    assert_eq!(codes(&json!({"provider": "shop", "operation": "get"}), &submitted), ["E701"]);
    assert_eq!(codes(&json!({"provider": "open", "operation": "get"}), &submitted), Vec::<&str>::new());
    let broken = World { files: BTreeMap::from([("integrations/b/provider.yaml", "name: b\n")]), ..World::default() };
    assert_eq!(codes(&json!({"provider": "b", "operation": "get"}), &broken), ["E403"]);
}

#[test]
fn near_names_are_offered() {
    for (fields, hint) in [
        (json!({"provider": "shpo", "operation": "get"}), "did you mean `shop`?"),
        (json!({"provider": "shop", "operation": "gte"}), "did you mean `get`?"),
        (json!({"provider": "zzzzzz", "operation": "get"}), "open, shop"),
    ] {
        let found = diagnostics(&diagram(NodeKind::IntegratedApi, fields.clone()), &world());
        assert!(found[0].hint.as_deref().is_some_and(|it| it.contains(hint)), "{fields}: {found:?}");
    }
}

#[tokio::test]
async fn hostile_values_stay_where_they_belong() {
    for (fields, expected) in [
        (
            json!({"provider": "open", "operation": "get", "resource_id": "../../admin"}),
            Ok("GET https://open.test/..%2F..%2Fadmin?"),
        ),
        (json!({"provider": "open", "operation": "get", "resource_id": ".."}), Err("TEMPLATE_FAILED")),
        (
            json!({"provider": "open", "operation": "get", "resource_id": "@evil.test/"}),
            Ok("GET https://open.test/%40evil.test%2F?"),
        ),
        (
            json!({"provider": "open", "operation": "get", "resource_id": "a?b#c\r\n"}),
            Ok("GET https://open.test/a%3Fb%23c%0D%0A?"),
        ),
        (json!({"provider": "open", "operation": "get"}), Err("TEMPLATE_FAILED")),
    ] {
        let http = ScriptedHttp::answering(vec![json_reply(200, &json!(1))]);
        let outcome = harness(fields.clone(), &http).body().await.map_err(|it| it.code());
        match expected {
            Ok(line) => assert_eq!((outcome, http.lines()), (Ok(json!(1)), vec![line.to_owned()]), "{fields}"),
            Err(code) => assert_eq!(outcome, Err(code), "{fields}"),
        }
    }
}
