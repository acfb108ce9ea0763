//! Each provider against a local server that speaks its wire format: a plain answer, a streamed one, a
//! structured one, tools, images, a rate limit with recovery, a cut connection, a bad key. What is sent is
//! compared with files in `golden/llm/` (`UPDATE=1` rewrites them).

use std::path::Path;
use std::sync::{Arc, Mutex};

use dipeo::config::Environment;
use dipeo::diagram::Service;
use dipeo::llm::{Llm, OpenAiApi, Settings};
use dipeo::nodes::output::ChatMessage;
use dipeo::nodes::ports::blobs::{Blobs, MemoryBlobs};
use dipeo::nodes::ports::models::{ModelTool, TokenSink};
use dipeo::nodes::ports::{ModelReply, ModelRequest, Models, Usage};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{CANARY, answers, bodies, person, request, server, settings};

/// One wire format and what a server of it says.
struct Wire {
    name: &'static str,
    service: Service,
    api: Option<OpenAiApi>,
    path: &'static str,
    key_header: &'static str,
    /// "Two words" in one piece; 12 tokens in, 4 of them kept, 3 out.
    whole: Value,
    /// The same in two pieces.
    stream: &'static str,
    /// What a refused key looks like: status and body.
    bad_key: (u16, Value),
    too_long: (u16, Value),
    /// A failure within a stream, and what it comes to.
    trouble: (&'static str, &'static str),
}

fn chat() -> Wire {
    Wire {
        name: "chat",
        service: Service::OpenAi,
        api: None,
        path: "/chat/completions",
        key_header: "authorization",
        whole: json!({
            "model": "m-1",
            "choices": [{"message": {"content": "Two words"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}},
        }),
        stream: r#"data: {"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

data: {"model":"m-1","choices":[{"index":0,"delta":{"content":"Two "},"finish_reason":null}],"usage":null}

data: {"model":"m-1","choices":[{"index":0,"delta":{"content":"words"},"finish_reason":null}],"usage":null}

data: {"model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

data: {"model":"m-1","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}

data: [DONE]

"#,
        bad_key: (401, json!({"error": {"message": format!("Incorrect key {CANARY}"), "code": "invalid_api_key"}})),
        too_long: (
            400,
            json!({"error": {"message": "This model's maximum context length is 8", "code": "context_length_exceeded"}}),
        ),
        trouble: (
            "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n",
            "is in trouble (status 502)",
        ),
    }
}

fn responses() -> Wire {
    Wire {
        name: "responses",
        api: Some(OpenAiApi::Responses),
        path: "/responses",
        whole: json!({
            "id": "resp_1", "object": "response", "status": "completed", "model": "m-1", "error": null,
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": []},
                {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                 "content": [{"type": "output_text", "text": "Two words", "annotations": []}]},
            ],
            "usage": {"input_tokens": 12, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3, "total_tokens": 15},
        }),
        stream: r#"event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","model":"m-1","output":[]}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Two "}

event: response.output_text.delta
data: {"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"words"}

event: response.completed
data: {"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","object":"response","status":"completed","model":"m-1","error":null,"output":[{"type":"message","id":"msg_1","content":[{"type":"output_text","text":"Two words"}]}],"usage":{"input_tokens":12,"input_tokens_details":{"cached_tokens":4},"output_tokens":3}}}

"#,
        trouble: (
            "event: response.failed\ndata: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}}}\n\n",
            "asks to slow down (status 429)",
        ),
        ..chat()
    }
}

fn anthropic() -> Wire {
    Wire {
        name: "anthropic",
        service: Service::Anthropic,
        api: None,
        path: "/v1/messages",
        key_header: "x-api-key",
        whole: json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m-1", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "Two words"}],
            "usage": {"input_tokens": 8, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": 3},
        }),
        stream: r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m-1","content":[],"stop_reason":null,"usage":{"input_tokens":8,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Two "}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"words"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}}

event: message_stop
data: {"type":"message_stop"}

"#,
        bad_key: (
            401,
            json!({"type": "error", "error": {"type": "authentication_error", "message": format!("invalid x-api-key {CANARY}")}}),
        ),
        too_long: (
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
        ),
        trouble: (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
            "is overloaded (status 529)",
        ),
    }
}

fn gemini() -> Wire {
    Wire {
        name: "gemini",
        service: Service::Gemini,
        api: None,
        path: "/v1beta/models/gemini-flash-latest:streamGenerateContent",
        key_header: "x-goog-api-key",
        whole: json!({
            "candidates": [{"content": {"role": "model", "parts": [{"text": "Let me think", "thought": true}, {"text": "Two words"}]}, "finishReason": "STOP"}],
            "modelVersion": "m-1",
            "usageMetadata": {"promptTokenCount": 12, "cachedContentTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
        }),
        stream: "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Two \"}]}}],\"modelVersion\":\"m-1\",\"usageMetadata\":{\"promptTokenCount\":12}}\r\n\r\ndata: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"words\"}]},\"finishReason\":\"STOP\"}],\"modelVersion\":\"m-1\",\"usageMetadata\":{\"promptTokenCount\":12,\"cachedContentTokenCount\":4,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":1}}\r\n\r\n",
        bad_key: (
            400,
            json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
                   "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}}),
        ),
        too_long: (
            400,
            json!({"error": {"code": 400, "status": "INVALID_ARGUMENT",
                   "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048575)."}}),
        ),
        trouble: (
            "data: {\"error\":{\"code\":503,\"message\":\"The model is overloaded.\",\"status\":\"UNAVAILABLE\"}}\n\n",
            "is in trouble (status 503)",
        ),
    }
}

fn ollama() -> Wire {
    Wire {
        name: "ollama",
        service: Service::Ollama,
        path: "/v1/chat/completions",
        trouble: ("data: {\"error\":{\"message\":\"out of memory\"}}\n\n", "is in trouble (status 502)"),
        ..chat()
    }
}

fn wires() -> [Wire; 5] {
    [chat(), responses(), anthropic(), gemini(), ollama()]
}

impl Wire {
    fn llm(&self, server: &MockServer) -> Arc<Llm> {
        Llm::new(Settings { openai_api: self.api, ..settings(&server.uri()) })
    }

    fn request(&self) -> ModelRequest {
        let mut person = person(self.service);
        person.model = (self.service == Service::Ollama).then(|| "phi4".to_owned());
        request(person)
    }

    fn stream(&self) -> ResponseTemplate {
        sse(self.stream)
    }
}

fn sse(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(text, "text/event-stream")
}

/// A sink and what it has heard.
fn listener() -> (TokenSink, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&heard);
    (TokenSink::new(move |text| writer.lock().expect("not poisoned").push(text.to_owned())), heard)
}

/// Compares the body of the newest request with its file.
async fn assert_sent(server: &MockServer, wire: &Wire, case: &str) {
    let sent = bodies(server).await.pop().expect("a request");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/llm/{}_{case}.json", wire.name));
    let text = format!("{sent:#}\n");
    if Environment::of_process().get("UPDATE") == Some("1") {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(&file, &text).expect("the file can be written");
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; UPDATE=1 rewrites it", file.display());
}

fn assert_two_words(wire: &Wire, reply: &ModelReply) {
    assert_eq!(reply.text, "Two words", "{}", wire.name);
    assert_eq!(reply.model.as_deref(), Some("m-1"), "{}", wire.name);
    assert_eq!(reply.usage, Usage { input: 12, output: 3, cached: 4 }, "{}", wire.name);
    assert_eq!(reply.finish_reason.as_deref(), Some("stop"), "{}", wire.name);
    assert_eq!(reply.warnings, Vec::<String>::new(), "{}", wire.name);
}

#[tokio::test]
async fn every_provider_answers_plainly() {
    for wire in wires() {
        let server = server(answers(200, wire.whole.clone())).await;
        let mut asked = wire.request();
        asked.messages.insert(1, ChatMessage::new("assistant", "Hello"));
        asked.messages.insert(2, ChatMessage::new("user", "[Ben]: hi"));
        (asked.temperature, asked.max_tokens) = (Some(0.5), Some(64));
        let reply = wire.llm(&server).call(asked).await.expect("it answers");
        assert_two_words(&wire, &reply);
        let sent = &server.received_requests().await.expect("requests are recorded")[0];
        assert_eq!(sent.url.path(), wire.path);
        let key = sent.headers.get(wire.key_header).map(|it| it.to_str().expect("a text"));
        let expected = match wire.service {
            Service::Ollama => None,
            _ if wire.key_header == "authorization" => Some(format!("Bearer {CANARY}")),
            _ => Some(CANARY.to_owned()),
        };
        assert_eq!(key, expected.as_deref(), "{}", wire.name);
        assert_sent(&server, &wire, "plain").await;
    }
}

#[tokio::test]
async fn every_provider_streams_to_whoever_listens() {
    for wire in wires() {
        let server = server(wire.stream()).await;
        let (sink, heard) = listener();
        let reply = wire.llm(&server).call(ModelRequest { sink: Some(sink), ..wire.request() }).await;
        assert_two_words(&wire, &reply.expect("it answers"));
        assert_eq!(*heard.lock().expect("not poisoned"), ["Two ", "words"], "{}", wire.name);
    }
}

#[tokio::test]
async fn every_provider_is_given_the_schema_in_its_own_way() {
    let schema = json!({
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 0}, "name": {"type": "string", "description": "in full"}},
        "required": ["age", "name"],
        "additionalProperties": false,
    });
    for wire in wires() {
        let server = server(wire.stream()).await;
        let asked = ModelRequest { schema: Some(schema.clone()), ..wire.request() };
        wire.llm(&server).call(asked).await.expect("it answers");
        assert_sent(&server, &wire, "structured").await;
    }
}

#[tokio::test]
async fn a_schema_that_a_server_does_not_take_is_told_in_words() {
    for wire in wires() {
        let server = MockServer::start().await;
        let refusal = json!({"error": {"type": "invalid_request_error", "code": 400, "message": "Invalid schema: no"}});
        Mock::given(any()).respond_with(answers(400, refusal)).up_to_n_times(1).mount(&server).await;
        Mock::given(any()).respond_with(wire.stream()).mount(&server).await;
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        let asked = ModelRequest { schema: Some(schema.clone()), ..wire.request() };
        wire.llm(&server).call(asked).await.expect("the second try is understood");
        let sent = bodies(&server).await;
        let last = sent.last().expect("two requests").to_string();
        assert_eq!(sent.len(), 2, "{}", wire.name);
        assert!(last.contains("must fit this JSON Schema"), "{}: {last}", wire.name);
    }
}

#[tokio::test]
async fn images_go_along_in_the_format_of_the_provider() {
    let blobs = MemoryBlobs::default();
    let reference = blobs.put(b"not really a picture".to_vec(), "image/png".to_owned()).await.expect("kept");
    for wire in wires() {
        let server = server(wire.stream()).await;
        let mut asked = wire.request();
        asked.images.insert(reference.blob.clone(), blobs.get(&reference).await.expect("it is kept"));
        asked.messages.last_mut().expect("a prompt").images.push(reference.clone());
        wire.llm(&server).call(asked).await.expect("it answers");
        assert_sent(&server, &wire, "image").await;
    }
}

#[tokio::test]
async fn a_rate_limit_is_retryable_and_the_next_call_goes_through() {
    for wire in wires() {
        let server = MockServer::start().await;
        let limited = answers(429, json!({"error": {"type": "rate_limit_error", "message": "slow"}}));
        let limited = limited.insert_header("retry-after-ms", "20");
        Mock::given(any()).respond_with(limited).up_to_n_times(1).mount(&server).await;
        Mock::given(any()).respond_with(wire.stream()).mount(&server).await;
        let llm = wire.llm(&server);
        let error = llm.call(wire.request()).await.expect_err("the limit");
        assert_eq!(error.message(), format!("`{}` asks to slow down (status 429)", wire.service.name()));
        assert!(error.is_retryable());
        assert_eq!(error.details_value().expect("details")["retry_after_ms"], json!(20), "{}", wire.name);
        assert_two_words(&wire, &llm.call(wire.request()).await.expect("the limit has passed"));
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_anywhere_is_never_taken_as_whole() {
    for wire in wires() {
        let ends: Vec<usize> = wire.stream.match_indices("data:").map(|(at, _)| at + 9).collect();
        // Chat completions are whole with the finish reason, the usage and `[DONE]` after it left aside.
        let n_cuts = if matches!(wire.name, "chat" | "ollama") { ends.len() - 2 } else { ends.len() };
        for end in &ends[..n_cuts] {
            let server = server(sse(&wire.stream[..*end])).await;
            let error = wire.llm(&server).call(wire.request()).await.expect_err("the reply is cut");
            assert_eq!(error.message(), format!("`{}` broke the connection off", wire.service.name()), "{end}");
            assert!(error.is_retryable());
        }
    }
}

#[tokio::test]
async fn a_failure_within_a_stream_is_a_failure() {
    for wire in wires() {
        let (stream, message) = wire.trouble;
        let server = server(sse(stream)).await;
        let error = wire.llm(&server).call(wire.request()).await.expect_err("the stream says so");
        assert_eq!(error.message(), format!("`{}` {message}", wire.service.name()));
        assert!(error.is_retryable(), "{}", wire.name);
    }
}

#[tokio::test]
async fn a_bad_key_and_a_long_prompt_are_told_apart_and_no_key_is_ever_shown() {
    for wire in wires() {
        let bad_key = format!("refused the key (status {})", wire.bad_key.0);
        let too_long = "cannot take so long a prompt".to_owned();
        for ((status, body), message) in [(wire.bad_key.clone(), bad_key), (wire.too_long.clone(), too_long)] {
            let server = server(answers(status, body)).await;
            let error = wire.llm(&server).call(wire.request()).await.expect_err(&message);
            let found = (error.code(), error.message().to_owned(), error.is_retryable());
            assert_eq!(found, ("LLM_FAILED", format!("`{}` {message}", wire.service.name()), false));
            let everything = format!("{} {} {error:?}", error.to_json(), error.chain());
            assert!(wire.service == Service::Ollama || !everything.contains(CANARY), "{everything}");
        }
    }
}

#[tokio::test]
async fn searching_the_web_is_asked_for_and_told() {
    let streams = [
        (
            responses(),
            json!({"status": "completed", "model": "m-1", "output": [
                {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {
                    "type": "search", "queries": ["tea"], "sources": [{"type": "url", "url": "https://tea.example"}]}},
                {"type": "message", "content": [{"type": "output_text", "text": "Tea."}]},
            ]})
            .to_string(),
            json!({"call_id": "ws_1", "tool": "websearch", "arguments": {"type": "search", "queries": ["tea"]},
                   "is_error": false, "output": {"sources": [{"type": "url", "url": "https://tea.example"}]}}),
        ),
        (
            anthropic(),
            r#"data: {"type":"message_start","message":{"model":"m-1","usage":{"input_tokens":1,"output_tokens":1}}}

data: {"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"query\":"}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":" \"tea\"}"}}

data: {"type":"content_block_stop","index":0}

data: {"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[{"type":"web_search_result","url":"https://tea.example","title":"Tea","encrypted_content":"x"}]}}

data: {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}

data: {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"Tea."}}

data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}

data: {"type":"message_stop"}

"#
            .to_owned(),
            json!({"call_id": "srvtoolu_1", "tool": "websearch", "arguments": {"query": "tea"}, "is_error": false,
                   "output": {"sources": [{"url": "https://tea.example", "title": "Tea"}]}}),
        ),
        (
            gemini(),
            json!({"candidates": [{"content": {"parts": [{"text": "Tea."}]}, "finishReason": "STOP", "groundingMetadata": {
                "webSearchQueries": ["tea"], "groundingChunks": [{"web": {"uri": "https://tea.example", "title": "Tea"}}]}}]})
            .to_string(),
            json!({"call_id": "search_1", "tool": "websearch", "arguments": {"queries": ["tea"]}, "is_error": false,
                   "output": {"sources": [{"url": "https://tea.example", "title": "Tea"}]}}),
        ),
    ];
    for (wire, stream, call) in streams {
        let server = server(ResponseTemplate::new(200).set_body_string(stream)).await;
        let asked = ModelRequest { tools: vec![ModelTool::WebSearch], ..wire.request() };
        let reply = wire.llm(&server).call(asked).await.expect("it answers");
        assert_eq!(reply.text, "Tea.", "{}", wire.name);
        assert_eq!(reply.tool_calls.iter().map(|it| it.to_json()).collect::<Vec<_>>(), [call], "{}", wire.name);
        assert_sent(&server, &wire, "websearch").await;
    }
}

#[tokio::test]
async fn images_that_a_model_makes_come_as_bytes() {
    let responses_reply = json!({"status": "completed", "model": "m-1", "output": [
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "output_format": "webp",
         "revised_prompt": "a cat", "result": "Y2F0"},
    ]});
    let gemini_reply = json!({"candidates": [{"finishReason": "STOP", "content": {"parts": [
        {"text": "Here:"}, {"inlineData": {"mimeType": "image/png", "data": "Y2F0"}},
    ]}}]});
    for (wire, reply, text, media_type) in
        [(responses(), responses_reply, "", "image/webp"), (gemini(), gemini_reply, "Here:", "image/png")]
    {
        let server = server(answers(200, reply)).await;
        let asked = ModelRequest { tools: vec![ModelTool::Image], ..wire.request() };
        let reply = wire.llm(&server).call(asked).await.expect("it answers");
        assert_eq!(reply.text, text);
        let image = reply.images.first().expect("an image");
        assert_eq!((image.media_type.as_str(), image.bytes.as_slice()), (media_type, b"cat".as_slice()));
        assert_eq!(reply.tool_calls.len(), 1, "{}", wire.name);
        assert_sent(&server, &wire, "image_tool").await;
    }
}

#[tokio::test]
async fn refusals_filters_and_limits_are_failures_or_warnings_and_never_silent() {
    let anthropic_end = |reason: &str, text: &str| json!({"type": "message", "stop_reason": reason, "content": [{"type": "text", "text": text}]});
    let gemini_end = |reason: &str, text: &str| json!({"candidates": [{"finishReason": reason, "content": {"parts": [{"text": text}]}}]});
    let responses_end = |reason: &str, text: &str| {
        json!({"status": "incomplete", "incomplete_details": {"reason": reason}, "output": [
        {"type": "message", "content": [{"type": "output_text", "text": text}]}]})
    };
    for (wire, reply, expected) in [
        (anthropic(), anthropic_end("refusal", ""), "!refused to answer the prompt"),
        (anthropic(), anthropic_end("max_tokens", "He"), "stopped at the limit of tokens"),
        (anthropic(), anthropic_end("max_tokens", ""), "!used up its tokens before it said anything"),
        (anthropic(), anthropic_end("pause_turn", "I will"), "!stopped in the middle of its search"),
        (gemini(), json!({"promptFeedback": {"blockReason": "SAFETY"}}), "!refused to answer the prompt"),
        (gemini(), gemini_end("SAFETY", ""), "!filtered its answer away"),
        (gemini(), gemini_end("SAFETY", "Part"), "filtered a part of its answer away"),
        (gemini(), gemini_end("MAX_TOKENS", "He"), "stopped at the limit of tokens"),
        (responses(), responses_end("max_output_tokens", "He"), "stopped at the limit of tokens"),
        (responses(), responses_end("content_filter", ""), "!filtered its answer away"),
        (
            responses(),
            json!({"status": "completed", "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]}),
            "!refused to answer the prompt",
        ),
        (anthropic(), json!({"type": "pong"}), "!answered with something that is no message"),
        (gemini(), json!({}), "!answered with something that is no generated content"),
        (responses(), json!({"object": "list"}), "!answered with something that is no response"),
    ] {
        let server = server(answers(200, reply)).await;
        let found = match wire.llm(&server).call(wire.request()).await {
            Ok(reply) => reply.warnings.join(" "),
            Err(error) => format!("!{}", error.message()),
        };
        let name = wire.service.name();
        let expected = match expected.strip_prefix('!') {
            Some(message) => format!("!`{name}` {message}"),
            None => format!("`{name}` {expected}"),
        };
        assert!(found.starts_with(&expected), "{found} for {expected}");
    }
}
