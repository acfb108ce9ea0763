//! Model providers over the wire: chat completions on loopback, scripts, keys and rights. The formats of the
//! single providers are in `llm/`.

mod claude;
mod costs;
mod keys;
mod wires;

use std::sync::Arc;

use dipeo::diagram::model::WhenExhausted;
use dipeo::diagram::{Person, Script, Service, Span};
use dipeo::error::Error;
use dipeo::llm::{Llm, OllamaSettings, OpenAiApi, ProviderSettings, Secret, Settings};
use dipeo::nodes::output::ChatMessage;
use dipeo::nodes::ports::models::{Cost, ModelTool};
use dipeo::nodes::ports::secrets::Secrets;
use dipeo::nodes::ports::{ModelReply, ModelRequest, Models, Purpose, Usage};
use dipeo::nodes::{Origin, Rights};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wiremock::matchers::{any, body_partial_json};
use wiremock::{Mock, MockServer, ResponseTemplate};

const CANARY: &str = "sk-canary-0123456789";

fn person(service: Service) -> Person {
    Person {
        id: "ann".to_owned(),
        label: "Ann".to_owned(),
        service: Some(service),
        model: None,
        api_key_id: None,
        base_url: None,
        system_prompt: None,
        prompt_file: None,
        temperature: None,
        max_tokens: None,
        tools: None,
        budget: None,
        price: None,
        script: Script::default(),
        span: Span::default(),
    }
}

fn request(person: Person) -> ModelRequest {
    let service = person.service.expect("a service");
    let messages = vec![ChatMessage::new("system", "Be brief."), ChatMessage::new("user", "Two words please")];
    ModelRequest {
        rights: Arc::new(Rights::of(Origin::Local, false, false)),
        ..ModelRequest::new(Arc::new(person), service, messages)
    }
}

fn provider(base_url: &str, default: &ProviderSettings) -> ProviderSettings {
    ProviderSettings { base_url: base_url.to_owned(), api_key: Secret::new(CANARY), ..default.clone() }
}

/// Every provider at `base_url`, with the same key.
fn settings(base_url: &str) -> Settings {
    let default = Settings::default();
    Settings {
        openai: provider(base_url, &default.openai),
        anthropic: provider(base_url, &default.anthropic),
        gemini: provider(base_url, &default.gemini),
        ollama: OllamaSettings { host: base_url.to_owned() },
        ..default
    }
}

/// One secret, named `MINE`.
struct OneSecret;

impl Secrets for OneSecret {
    fn find(&self, name: &str) -> Result<Option<Secret>, Error> {
        Ok(Secret::new("sk-mine").filter(|_| name == "MINE"))
    }
}

fn completion(content: Value, finish_reason: &str) -> Value {
    json!({
        "id": "x",
        "model": "gpt-4o-2024",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
    })
}

fn answers(status: u16, body: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

/// Calls OpenAI at `server` and returns what came of it.
async fn call(server: &MockServer, request: ModelRequest) -> Result<ModelReply, Error> {
    Llm::new(settings(&format!("{}/v1", server.uri()))).call(request).await
}

async fn bodies(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.expect("requests are recorded");
    requests.iter().map(|it| it.body_json().expect("a JSON body")).collect()
}

#[tokio::test]
async fn a_call_sends_everything_and_reads_text_model_usage_and_reason() {
    let server = server(answers(200, completion(json!("Two words"), "stop"))).await;
    let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    let mut asked = request(Person { model: Some("gpt-x".to_owned()), ..person(Service::OpenAi) });
    (asked.schema, asked.temperature, asked.max_tokens) = (Some(schema.clone()), Some(0.5), Some(64));
    let reply = call(&server, asked).await.expect("the server answers");
    let expected = ModelReply {
        text: "Two words".to_owned(),
        model: Some("gpt-4o-2024".to_owned()),
        usage: Usage { input: 12, output: 3, cached: 4 },
        finish_reason: Some("stop".to_owned()),
        cost: Cost::Unpriced,
        ..ModelReply::default()
    };
    assert_eq!(reply, expected);
    let sent = &server.received_requests().await.expect("requests are recorded")[0];
    assert_eq!(sent.url.path(), "/v1/chat/completions");
    assert_eq!(sent.headers["authorization"], format!("Bearer {CANARY}"));
    let expected = json!({
        "model": "gpt-x",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two words please"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": false, "schema": schema},
        },
        "temperature": 0.5,
        "max_tokens": 64,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(bodies(&server).await, [expected]);
}

#[tokio::test]
async fn ollama_is_called_without_a_key_below_v1() {
    let server = server(answers(200, completion(json!([{"type": "text", "text": "hi"}]), "stop"))).await;
    let host = server.uri().replace("http://", "");
    let llm = Llm::new(Settings { ollama: OllamaSettings { host }, ..settings("http://unused.invalid") });
    let asked = request(Person { model: Some("phi4".to_owned()), ..person(Service::Ollama) });
    assert_eq!(llm.call(asked).await.expect("it answers").text, "hi");
    let sent = &server.received_requests().await.expect("requests are recorded")[0];
    assert_eq!(sent.url.path(), "/v1/chat/completions");
    assert!(!sent.headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_schema_that_is_no_object_is_told_in_words() {
    let server = server(answers(200, completion(json!("[1]"), "stop"))).await;
    let mut asked = request(person(Service::OpenAi));
    asked.schema = Some(json!({"type": "array"}));
    call(&server, asked).await.expect("it answers");
    let body = &bodies(&server).await[0];
    assert_eq!(body.get("response_format"), None);
    assert!(body["messages"][0]["content"].as_str().expect("a text").contains(r#"{"type":"array"}"#));
}

#[tokio::test]
async fn a_parameter_the_server_calls_otherwise_is_said_again_its_way() {
    let refused = |parameter: &str| answers(400, json!({"error": {"message": "no", "param": parameter}}));
    let server = MockServer::start().await;
    let with = |key: &str| Mock::given(body_partial_json(json!({key: if key == "max_tokens" { 9 } else { 0 }})));
    with("max_tokens").respond_with(refused("max_tokens")).mount(&server).await;
    Mock::given(body_partial_json(json!({"temperature": 0.0})))
        .respond_with(refused("temperature"))
        .mount(&server)
        .await;
    Mock::given(any()).respond_with(answers(200, completion(json!("[]"), "stop"))).mount(&server).await;
    let mut asked = request(person(Service::OpenAi));
    (asked.max_tokens, asked.temperature) = (Some(9), Some(0.0));
    asked.purpose = Purpose::Selection { n_candidates: 3 };
    assert_eq!(call(&server, asked.clone()).await.expect("the third try is understood").text, "[]");
    assert_eq!(bodies(&server).await.len(), 3);
    asked.purpose = Purpose::Reply;
    let error = call(&server, asked).await.expect_err("a temperature the diagram asked for is not dropped");
    assert_eq!(error.message(), "`openai` does not take `temperature` with this model");
}

#[tokio::test]
async fn every_failure_says_what_happened_and_whether_to_try_again() {
    let error = |code: &str| json!({"error": {"message": format!("key {CANARY} is bad"), "code": code}});
    for (answer, message, is_retryable) in [
        (answers(401, error("invalid_api_key")), "refused the key (status 401)", false),
        (answers(404, error("model_not_found")), "knows no model `gpt-4o`, or the address is wrong", false),
        (answers(400, error("context_length_exceeded")), "cannot take so long a prompt", false),
        (answers(400, error("other")), "refused the request (status 400)", false),
        (answers(413, error("")), "cannot take so long a prompt", false),
        (answers(422, json!("what?")), "refused the request (status 422)", false),
        (answers(429, error("rate_limit_exceeded")), "asks to slow down (status 429)", true),
        (answers(429, error("insufficient_quota")), "has no quota left for this key", false),
        (
            answers(302, json!(null)).insert_header("location", "http://127.0.0.1:1/"),
            "redirects elsewhere (status 302)",
            false,
        ),
        (answers(500, json!(CANARY)), "is in trouble (status 500)", true),
        (ResponseTemplate::new(503).set_body_string("<html>"), "is in trouble (status 503)", true),
        (answers(200, error("boom")), "is in trouble (status 502)", true),
        (answers(200, json!({"error": {"code": 429}})), "asks to slow down (status 429)", true),
        (
            ResponseTemplate::new(200).set_body_string(format!("{{\"choices\": [ {CANARY}")),
            "answered with something that is not JSON",
            true,
        ),
        (answers(200, json!({"choices": []})), "answered with something that is no chat completion", true),
        (answers(200, completion(json!(null), "length")), "used up its tokens before it said anything", false),
        (answers(200, completion(json!(""), "content_filter")), "filtered its answer away", false),
        (answers(200, completion(json!(""), "stop")), "answered without any text", true),
        (
            answers(200, json!({"choices": [{"message": {"refusal": format!("no, {CANARY}")}}]})),
            "refused to answer the prompt",
            false,
        ),
    ] {
        let server = server(answer).await;
        let found = call(&server, request(person(Service::OpenAi))).await.expect_err(message);
        assert_eq!((found.code(), found.message()), ("LLM_FAILED", format!("`openai` {message}").as_str()));
        assert_eq!(found.is_retryable(), is_retryable, "{message}");
        assert!(found.hint_text().is_some() || is_retryable, "{message}");
        let everything = format!("{} {} {found:?}", found.to_json(), found.chain());
        assert!(!everything.contains(CANARY), "the key stands in {everything}");
    }
}

#[tokio::test]
async fn retry_after_reaches_the_details() {
    for (header, value, expected) in [
        ("retry-after", "2", json!(2000)),
        ("retry-after-ms", "150", json!(150)),
        ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT", Value::Null),
        ("retry-after", "-1", Value::Null),
    ] {
        let server = server(answers(429, json!({})).insert_header(header, value)).await;
        let error = call(&server, request(person(Service::OpenAi))).await.expect_err("429 fails");
        let details = error.details_value().expect("details");
        assert_eq!(details.get("retry_after_ms").unwrap_or(&Value::Null), &expected, "{header}: {value}");
    }
}

#[tokio::test]
async fn a_reply_beyond_the_limit_is_not_read_to_its_end() {
    let huge = "x".repeat(dipeo::limits::MODEL_REPLY_BYTES_MAX + 1);
    let server = server(ResponseTemplate::new(200).set_body_string(huge)).await;
    let error = call(&server, request(person(Service::OpenAi))).await.expect_err("too large");
    assert!(error.message().contains("answered with more than"), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_reply_that_is_cut_off_and_a_port_nobody_listens_on_may_be_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let cutting = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut read = [0; 4096];
        assert_ne!(stream.read(&mut read).await.expect("a request"), 0);
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\ncontent-type: application/json\r\n\r\n{\"choices\"";
        stream.write_all(head.as_bytes()).await.expect("the client reads");
    };
    let llm = Llm::new(settings(&format!("http://{address}/v1")));
    let (cut, ()) = tokio::join!(llm.call(request(person(Service::OpenAi))), cutting);
    drop(listener);
    let refused = llm.call(request(person(Service::OpenAi))).await;
    for (result, message) in [(cut, "broke the connection off"), (refused, "cannot be reached")] {
        let error = result.expect_err(message);
        assert_eq!(error.message(), format!("`openai` {message}"));
        assert!(error.is_retryable());
        assert!(!error.chain().contains(&address.to_string()), "the address may carry a password");
    }
}

#[tokio::test]
async fn what_cannot_be_called_says_what_to_do_instead() {
    let llm = Llm::new(Settings::default());
    let with_id = Person { api_key_id: Some("APIKEY_1".to_owned()), ..person(Service::OpenAi) };
    for (person, needles) in [
        (person(Service::OpenAi), ["`Ann`", "`OPENAI_API_KEY`", "models: caller"]),
        (with_id, ["`APIKEY_1`", "`OPENAI_API_KEY`", "models: caller"]),
        (person(Service::Anthropic), ["`anthropic`", "`ANTHROPIC_API_KEY`", "models: caller"]),
        (person(Service::Gemini), ["`gemini`", "`GEMINI_API_KEY`", "models: caller"]),
        (person(Service::Ollama), ["`Ann`", "`ollama`", "model"]),
    ] {
        let error = llm.call(request(person)).await.expect_err("there is no model");
        assert_eq!((error.code(), error.is_retryable()), ("NO_MODEL", false));
        let text = format!("{} {}", error.message(), error.hint_text().unwrap_or_default());
        assert!(needles.iter().all(|it| text.contains(it)), "{text}");
    }
}

#[tokio::test]
async fn keys_go_by_secret_name_first_and_own_addresses_need_trust() {
    let server = server(answers(200, completion(json!("ok"), "stop"))).await;
    let llm = Llm::with_secrets(settings("http://unused.invalid/v1"), Arc::new(OneSecret));
    let own = Person { api_key_id: Some("MINE".to_owned()), base_url: Some(server.uri()), ..person(Service::OpenAi) };
    llm.call(request(own.clone())).await.expect("a local file may name its own server");
    let sent = &server.received_requests().await.expect("requests are recorded")[0];
    assert_eq!(sent.headers["authorization"], "Bearer sk-mine");
    let mut untrusted = request(own);
    untrusted.rights = Arc::new(Rights::of(Origin::Submitted, false, false));
    let error = llm.call(untrusted).await.expect_err("a submitted diagram may not");
    assert_eq!(error.code(), "HOST_NOT_ALLOWED");
    assert_eq!(server.received_requests().await.expect("requests are recorded").len(), 1);
}

#[tokio::test]
async fn an_unknown_key_id_falls_through_to_the_variable_and_says_so() {
    let server = server(answers(200, completion(json!("ok"), "stop"))).await;
    let llm = Llm::with_secrets(settings(&format!("{}/v1", server.uri())), Arc::new(OneSecret));
    for (id, origin, key, warning) in [
        ("MINE", Origin::Local, "sk-mine", ""),
        ("MINE", Origin::Submitted, CANARY, "a submitted diagram may not use secrets"),
        ("APIKEY_52609F", Origin::Local, CANARY, "no secret is named so"),
        ("sk-canary-0123456789", Origin::Local, CANARY, "`***`, but no secret is named so"),
    ] {
        let mut asked = request(Person { api_key_id: Some(id.to_owned()), ..person(Service::OpenAi) });
        asked.rights = Arc::new(Rights::of(origin, false, false));
        let reply = llm.call(asked).await.expect("it answers");
        let sent = server.received_requests().await.expect("requests are recorded").pop().expect("a request");
        assert_eq!(sent.headers["authorization"], format!("Bearer {key}"), "{id} {origin:?}");
        let warnings = reply.warnings.join(" ");
        assert_eq!(warnings.is_empty(), warning.is_empty(), "{warnings}");
        assert!(warnings.contains(warning) && !warnings.contains(CANARY), "{warnings}");
    }
}

#[tokio::test]
async fn openai_itself_speaks_responses_and_others_chat_unless_told_or_given_tools() {
    for (api, tools, path) in [
        (None, vec![], "/chat/completions"),
        (Some(OpenAiApi::Chat), vec![], "/chat/completions"),
        (Some(OpenAiApi::Responses), vec![], "/responses"),
        (None, vec![ModelTool::WebSearch], "/responses"),
        (Some(OpenAiApi::Chat), vec![ModelTool::Image], "/responses"),
    ] {
        let server = server(answers(500, json!({}))).await;
        let llm = Llm::new(Settings { openai_api: api, ..settings(&server.uri()) });
        let asked = ModelRequest { tools: tools.clone(), ..request(person(Service::OpenAi)) };
        llm.call(asked).await.expect_err("the server is in trouble");
        let sent = &server.received_requests().await.expect("requests are recorded")[0];
        assert_eq!(sent.url.path(), path, "{api:?} {tools:?}");
    }
}

/// The outcome of call `nth` of a scripted person: its text, or `!` and the message.
async fn scripted(script: &Script, nth: u32, purpose: Purpose) -> String {
    let person = Person { script: script.clone(), ..person(Service::Scripted) };
    let result = Llm::new(Settings::default()).call(ModelRequest { nth, purpose, ..request(person) }).await;
    match result {
        Ok(reply) => reply.text,
        Err(error) => format!("{}{}", if error.is_retryable() { "!" } else { "!!" }, error.message()),
    }
}

fn script(replies: Value, when_exhausted: WhenExhausted) -> Script {
    Script { replies: replies.as_array().cloned(), when_exhausted, ..Script::default() }
}

#[tokio::test]
async fn a_script_answers_entry_by_entry() {
    let replies = json!([
        "plain", {"text": "as text"}, {"json": {"a": 7, "b": [1, "x"]}}, {"error": "overloaded"},
        {"error": "bad key", "retryable": false}, 42, {"text": "late", "delay_ms": 1}, {"what": 1},
    ]);
    let script = script(replies, WhenExhausted::Fail);
    for (nth, expected) in [
        "plain",
        "as text",
        r#"{"a": 7, "b": [1, "x"]}"#,
        "!`Ann` is scripted to fail: overloaded",
        "!!`Ann` is scripted to fail: bad key",
        "42",
        "late",
        "!!an entry in the script of `Ann` is neither a text nor an error",
        "!!the script of `Ann` is used up: `replies` has 8 and call 9 came",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(scripted(&script, u32::try_from(nth).expect("few"), Purpose::Reply).await, expected);
    }
}

#[tokio::test]
async fn a_used_up_script_fails_repeats_or_begins_again() {
    for (when, replies, expected) in [
        (WhenExhausted::RepeatLast, json!(["a", "b"]), "b"),
        (WhenExhausted::Cycle, json!(["a", "b"]), "a"),
        (WhenExhausted::RepeatLast, json!([]), "!!the script of `Ann` is used up: `replies` has 0 and call 5 came"),
        (WhenExhausted::Cycle, json!([]), "!!the script of `Ann` is used up: `replies` has 0 and call 5 came"),
    ] {
        assert_eq!(scripted(&script(replies, when), 4, Purpose::Reply).await, expected);
    }
}

#[tokio::test]
async fn without_a_script_the_prompt_is_echoed_and_everything_is_kept() {
    let none = Script::default();
    let choosing = Purpose::Selection { n_candidates: 3 };
    assert_eq!(scripted(&none, 7, Purpose::Reply).await, "Two words please");
    assert_eq!(scripted(&none, 7, choosing.clone()).await, "[1, 2, 3]");
    let some = Script { selections: Some(vec![json!([2])]), ..none };
    assert_eq!(scripted(&some, 0, choosing).await, "[2]");
}

#[tokio::test]
async fn a_scripted_person_counts_words() {
    let reply = Llm::new(Settings::default()).call(request(person(Service::Scripted))).await.expect("an echo");
    assert_eq!(reply.usage, Usage { input: 5, output: 3, cached: 0 });
    assert_eq!((reply.model.as_deref(), reply.finish_reason.as_deref()), (Some("scripted"), Some("stop")));
}
