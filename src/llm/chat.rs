//! OpenAI's chat-completions format, as many servers speak it: Ollama, gateways, local runtimes. Pure.

use reqwest::header::{AUTHORIZATION, HeaderName};
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::endpoint::{Dialect, Reader, Wire};
use super::failure::Failed;
use super::parts::{count, data_url, images};
use super::schema::{self, Sent};
use crate::nodes::output::ChatMessage;
use crate::nodes::ports::{ModelRequest, Usage};
use crate::secret::Secret;

/// The format as most servers have it.
pub(super) static CHAT: Chat = Chat { max_tokens_keys: ["max_tokens", "max_completion_tokens"] };
/// The format at OpenAI itself, whose newer models refuse `max_tokens`.
pub(super) static CHAT_OF_OPENAI: Chat = Chat { max_tokens_keys: ["max_completion_tokens", "max_tokens"] };

pub(super) struct Chat {
    /// What the limit of tokens is called, and what else it may be called.
    max_tokens_keys: [&'static str; 2],
}

impl Wire for Chat {
    fn format_name(&self) -> &'static str {
        "the chat-completions format"
    }

    fn reply_name(&self) -> &'static str {
        "chat completion"
    }

    fn path(&self, _model: &str) -> String {
        "/chat/completions".to_owned()
    }

    fn authorization(&self, key: &Secret) -> (HeaderName, String) {
        (AUTHORIZATION, format!("Bearer {}", key.expose()))
    }

    fn body(&self, request: &ModelRequest, model: &str, dialect: Dialect) -> Value {
        let mut messages: Vec<Value> = request.messages.iter().map(|it| message(request, it)).collect();
        let schema = schema::sent(request, dialect, |it| Some(it.clone()));
        if let Sent::Words(text) = &schema {
            messages.insert(0, json!({"role": "system", "content": text}));
        }
        let mut body = Map::new();
        body.insert("model".into(), model.into());
        body.insert("messages".into(), messages.into());
        if let Sent::Native(schema) = schema {
            let form = json!({"name": "reply", "strict": schema::is_strict(&schema), "schema": schema});
            body.insert("response_format".into(), json!({"type": "json_schema", "json_schema": form}));
        }
        if let Some(temperature) = request.temperature.filter(|_| dialect.takes_temperature) {
            body.insert("temperature".into(), temperature.into());
        }
        if let Some(max_tokens) = request.max_tokens {
            body.insert(self.max_tokens_keys[usize::from(dialect.swaps_max_tokens)].into(), max_tokens.into());
        }
        body.insert("stream".into(), true.into());
        if dialect.takes_stream_options {
            body.insert("stream_options".into(), json!({"include_usage": true}));
        }
        Value::Object(body)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ChatReader)
    }
}

fn message(request: &ModelRequest, message: &ChatMessage) -> Value {
    let mut parts: Vec<Value> = images(request, message)
        .map(|(image, base64)| json!({"type": "image_url", "image_url": {"url": data_url(image, &base64)}}))
        .collect();
    if parts.is_empty() {
        return json!({"role": message.role, "content": message.content});
    }
    parts.push(json!({"type": "text", "text": message.content}));
    json!({"role": message.role, "content": parts})
}

struct ChatReader;

impl Reader for ChatReader {
    /// A chunk has a `delta` where a whole reply has a `message`.
    fn take(&mut self, event: &Value, draft: &mut Draft) -> Result<(), Failed> {
        // Some gateways answer 200 and put the failure of the server behind them into the body.
        if event.get("error").is_some_and(|it| !it.is_null()) {
            return Err(Failed::in_body(event));
        }
        if let Some(model) = event.get("model").and_then(Value::as_str).filter(|it| !it.is_empty()) {
            draft.model = Some(model.to_owned());
        }
        if event.get("usage").is_some_and(Value::is_object) {
            draft.usage = usage_of(event);
        }
        let Some(choice) = event.pointer("/choices/0") else { return Ok(()) };
        let said = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&Value::Null);
        if let Some(refusal) = said.get("refusal").and_then(Value::as_str) {
            draft.refusal.push_str(refusal);
        }
        draft.say(&text_of(said.get("content").unwrap_or(&Value::Null)));
        let finish_reason = choice.get("finish_reason").and_then(Value::as_str);
        if finish_reason.is_some() || choice.get("message").is_some() {
            draft.complete(finish_reason);
        }
        Ok(())
    }
}

/// The content is a text, or a list of parts of which the texts count.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|it| it.get("text").and_then(Value::as_str)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

fn usage_of(body: &Value) -> Usage {
    Usage {
        input: count(body, "/usage/prompt_tokens"),
        output: count(body, "/usage/completion_tokens"),
        cached: count(body, "/usage/prompt_tokens_details/cached_tokens"),
    }
}
