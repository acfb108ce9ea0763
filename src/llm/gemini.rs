//! Google's generateContent format, with Google Search and the models that make images. Pure.
//! Source: ai.google.dev/api/generate-content.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use reqwest::header::HeaderName;
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::endpoint::{Dialect, Reader, Wire};
use super::failure::Failed;
use super::parts::{self, count, images, system_text, text, turns};
use super::schema::{self, Sent};
use crate::nodes::output::ChatMessage;
use crate::nodes::ports::models::{ModelTool, ToolCall};
use crate::nodes::ports::{ModelRequest, Usage};
use crate::secret::Secret;

pub(super) static GEMINI: Gemini = Gemini;

pub(super) struct Gemini;

impl Wire for Gemini {
    fn format_name(&self) -> &'static str {
        "Gemini's generateContent format"
    }

    fn reply_name(&self) -> &'static str {
        "generated content"
    }

    fn path(&self, model: &str) -> String {
        // A model goes into the path, so nothing in its name may leave it.
        let model = model.strip_prefix("models/").unwrap_or(model);
        let model =
            percent_encode(model.as_bytes(), NON_ALPHANUMERIC).to_string().replace("%2D", "-").replace("%2E", ".");
        format!("/models/{model}:streamGenerateContent?alt=sse")
    }

    fn authorization(&self, key: &Secret) -> (HeaderName, String) {
        (HeaderName::from_static("x-goog-api-key"), key.expose().to_owned())
    }

    fn body(&self, request: &ModelRequest, _model: &str, dialect: Dialect) -> Value {
        let schema = schema::sent(request, dialect, |it| schema::reduced(it, &schema::GEMINI));
        let words = if let Sent::Words(text) = &schema { Some(text.as_str()) } else { None };
        let system = system_text(request, words);
        let mut body = Map::new();
        if !system.is_empty() {
            body.insert("systemInstruction".into(), json!({"parts": [{"text": system}]}));
        }
        body.insert("contents".into(), turns(request).iter().map(|it| turn(request, it)).collect());
        let config = generation_config(request, schema, dialect);
        if !config.is_empty() {
            body.insert("generationConfig".into(), config.into());
        }
        if request.tools.contains(&ModelTool::WebSearch) {
            body.insert("tools".into(), json!([{"googleSearch": {}}]));
        }
        Value::Object(body)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ContentReader)
    }
}

fn generation_config(request: &ModelRequest, schema: Sent, dialect: Dialect) -> Map<String, Value> {
    let mut config = Map::new();
    if let Some(temperature) = request.temperature.filter(|_| dialect.takes_temperature) {
        config.insert("temperature".into(), temperature.into());
    }
    if let Some(max_tokens) = request.max_tokens {
        config.insert("maxOutputTokens".into(), max_tokens.into());
    }
    if let Sent::Native(schema) = schema {
        config.insert("responseMimeType".into(), "application/json".into());
        config.insert("responseJsonSchema".into(), schema);
    }
    if request.tools.contains(&ModelTool::Image) {
        config.insert("responseModalities".into(), json!(["TEXT", "IMAGE"]));
    }
    config
}

fn turn(request: &ModelRequest, (is_model, messages): &(bool, Vec<ChatMessage>)) -> Value {
    let role = if *is_model { "model" } else { "user" };
    json!({"role": role, "parts": messages.iter().flat_map(|it| sent_parts(request, it)).collect::<Vec<_>>()})
}

fn sent_parts(request: &ModelRequest, message: &ChatMessage) -> Vec<Value> {
    let image = |media_type: &str, base64: String| json!({"inlineData": {"mimeType": media_type, "data": base64}});
    let mut sent: Vec<Value> =
        images(request, message).map(|(reference, base64)| image(&reference.media_type, base64)).collect();
    if !message.content.trim().is_empty() {
        sent.push(json!({"text": message.content}));
    }
    sent
}

/// Each event of a stream is a reply of its own with the next piece; the last one has a `finishReason`.
struct ContentReader;

impl Reader for ContentReader {
    fn take(&mut self, event: &Value, draft: &mut Draft) -> Result<(), Failed> {
        if event.get("error").or_else(|| event.pointer("/0/error")).is_some_and(|it| !it.is_null()) {
            return Err(Failed::in_body(event));
        }
        if let Some(model) = text(event, "/modelVersion") {
            draft.model = Some(model.to_owned());
        }
        if event.get("usageMetadata").is_some_and(Value::is_object) {
            draft.usage = usage_of(event);
        }
        if let Some(reason) = text(event, "/promptFeedback/blockReason") {
            draft.refusal = reason.to_owned();
            draft.complete(None);
        }
        let Some(candidate) = event.pointer("/candidates/0") else { return Ok(()) };
        for part in candidate.pointer("/content/parts").and_then(Value::as_array).into_iter().flatten() {
            read_part(part, draft);
        }
        if let Some(grounding) = candidate.get("groundingMetadata") {
            read_grounding(grounding, draft);
        }
        if let Some(reason) = text(candidate, "/finishReason") {
            draft.complete(Some(reason));
        }
        Ok(())
    }
}

fn read_part(part: &Value, draft: &mut Draft) {
    if part.get("thought") == Some(&Value::Bool(true)) {
        return;
    }
    draft.say(text(part, "/text").unwrap_or_default());
    if let (Some(media_type), Some(data)) = (text(part, "/inlineData/mimeType"), text(part, "/inlineData/data"))
        && let Some(image) = parts::image(media_type, data)
    {
        draft.images.push(image);
        draft.tool_calls.push(ToolCall {
            call_id: format!("image_{}", draft.images.len()),
            tool: ModelTool::Image.name().to_owned(),
            arguments: Value::Null,
            output: Value::Null,
            is_error: false,
        });
    }
}

/// What was searched for, and the pages the reply rests on. Later events repeat what earlier ones said.
fn read_grounding(grounding: &Value, draft: &mut Draft) {
    let queries = grounding.get("webSearchQueries").and_then(Value::as_array).filter(|it| !it.is_empty());
    let chunks = grounding.get("groundingChunks").and_then(Value::as_array).into_iter().flatten();
    let source = |it: &Value| json!({"url": text(it, "/web/uri"), "title": text(it, "/web/title")});
    let sources: Vec<Value> = chunks.map(source).collect();
    let tool = ModelTool::WebSearch.name();
    let Some(queries) = queries else { return };
    draft.tool_calls.retain(|it| it.tool != tool);
    draft.tool_calls.push(ToolCall {
        call_id: "search_1".to_owned(),
        tool: tool.to_owned(),
        arguments: json!({"queries": queries}),
        output: json!({"sources": sources}),
        is_error: false,
    });
}

/// What the model thinks is billed as output, what a tool fetched as input.
fn usage_of(body: &Value) -> Usage {
    let usage = |name: &str| count(body, &format!("/usageMetadata/{name}"));
    Usage {
        input: usage("promptTokenCount") + usage("toolUsePromptTokenCount"),
        output: usage("candidatesTokenCount") + usage("thoughtsTokenCount"),
        cached: usage("cachedContentTokenCount"),
    }
}
