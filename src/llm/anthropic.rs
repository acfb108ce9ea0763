//! Anthropic's Messages format, with its web search. Pure.
//! Source: platform.claude.com/docs/en/api/messages.

use std::collections::BTreeMap;

use reqwest::header::HeaderName;
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::endpoint::{Dialect, Reader, Wire};
use super::failure::Failed;
use super::parts::{count, images, system_text, text, turns};
use super::schema::{self, Sent};
use crate::nodes::output::ChatMessage;
use crate::nodes::ports::models::{ModelTool, ToolCall};
use crate::nodes::ports::{ModelRequest, Usage};
use crate::secret::Secret;

/// The service wants a limit with every call. This one is within what every present model can say.
const MAX_TOKENS: u64 = 8_192;
/// The models of the third generation say less.
const MAX_TOKENS_OLD: u64 = 4_096;
const OLD_MODELS: [&str; 3] = ["claude-3-haiku", "claude-3-opus", "claude-3-sonnet"];
/// Searches per call. Few enough that the service answers within one turn.
const SEARCHES_MAX: u64 = 5;

pub(super) static ANTHROPIC: Anthropic = Anthropic;

pub(super) struct Anthropic;

impl Wire for Anthropic {
    fn format_name(&self) -> &'static str {
        "Anthropic's Messages format"
    }

    fn reply_name(&self) -> &'static str {
        "message"
    }

    fn path(&self, _model: &str) -> String {
        "/messages".to_owned()
    }

    fn authorization(&self, key: &Secret) -> (HeaderName, String) {
        (HeaderName::from_static("x-api-key"), key.expose().to_owned())
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn body(&self, request: &ModelRequest, model: &str, dialect: Dialect) -> Value {
        let schema = schema::sent(request, dialect, |it| schema::reduced(it, &schema::ANTHROPIC));
        let words = if let Sent::Words(text) = &schema { Some(text.as_str()) } else { None };
        let system = system_text(request, words);
        let mut body = Map::new();
        body.insert("model".into(), model.into());
        body.insert("max_tokens".into(), request.max_tokens.unwrap_or_else(|| max_tokens_of(model)).into());
        if !system.is_empty() {
            body.insert("system".into(), system.into());
        }
        body.insert("messages".into(), turns(request).iter().map(|it| turn(request, it)).collect());
        if let Some(temperature) = request.temperature.filter(|_| dialect.takes_temperature) {
            body.insert("temperature".into(), temperature.into());
        }
        if let Sent::Native(schema) = schema {
            body.insert("output_config".into(), json!({"format": {"type": "json_schema", "schema": schema}}));
        }
        if request.tools.contains(&ModelTool::WebSearch) {
            let tool = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": SEARCHES_MAX});
            body.insert("tools".into(), json!([tool]));
        }
        body.insert("stream".into(), true.into());
        Value::Object(body)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(MessageReader::default())
    }
}

fn max_tokens_of(model: &str) -> u64 {
    if OLD_MODELS.iter().any(|it| model.starts_with(it)) { MAX_TOKENS_OLD } else { MAX_TOKENS }
}

fn turn(request: &ModelRequest, (is_model, messages): &(bool, Vec<ChatMessage>)) -> Value {
    let role = if *is_model { "assistant" } else { "user" };
    json!({"role": role, "content": messages.iter().flat_map(|it| blocks(request, it)).collect::<Vec<_>>()})
}

fn blocks(request: &ModelRequest, message: &ChatMessage) -> Vec<Value> {
    let image = |media_type: &str, base64: String| json!({"type": "image", "source": {"type": "base64", "media_type": media_type, "data": base64}});
    let mut blocks: Vec<Value> =
        images(request, message).map(|(reference, base64)| image(&reference.media_type, base64)).collect();
    if !message.content.trim().is_empty() {
        blocks.push(json!({"type": "text", "text": message.content}));
    }
    blocks
}

/// Reads a message, as events or whole.
#[derive(Debug, Default)]
pub(super) struct MessageReader {
    /// Arguments of tools, by block, while they come in pieces.
    arguments: BTreeMap<u64, String>,
    /// Which of the draft's tool calls a block is.
    calls: BTreeMap<u64, usize>,
}

impl Reader for MessageReader {
    fn take(&mut self, event: &Value, draft: &mut Draft) -> Result<(), Failed> {
        let idx = count(event, "/index");
        match event.get("type").and_then(Value::as_str) {
            Some("message_start") => {
                draft.model = text(event, "/message/model").map(str::to_owned);
                read_usage(event.pointer("/message/usage"), draft);
            }
            Some("content_block_start") => self.block(idx, event.get("content_block").unwrap_or(&Value::Null), draft),
            Some("content_block_delta") => {
                draft.say(text(event, "/delta/text").unwrap_or_default());
                if let Some(json) = text(event, "/delta/partial_json") {
                    self.arguments.entry(idx).or_default().push_str(json);
                }
            }
            Some("content_block_stop") => self.close_block(idx, draft),
            Some("message_delta") => {
                read_usage(event.get("usage"), draft);
                if let Some(reason) = text(event, "/delta/stop_reason") {
                    draft.finish_reason = Some(reason.to_owned());
                }
            }
            Some("message_stop") => {
                let reason = draft.finish_reason.take();
                draft.complete(reason.as_deref());
                draft.is_over = true;
            }
            Some("message") => self.whole(event, draft),
            Some("error") => return Err(Failed::in_body(event)),
            _ if event.get("error").is_some_and(|it| !it.is_null()) => return Err(Failed::in_body(event)),
            _ => {}
        }
        Ok(())
    }
}

impl MessageReader {
    /// Reads a message that came in one piece.
    fn whole(&mut self, message: &Value, draft: &mut Draft) {
        draft.model = text(message, "/model").map(str::to_owned);
        read_usage(message.get("usage"), draft);
        for (idx, block) in (0..).zip(message.get("content").and_then(Value::as_array).into_iter().flatten()) {
            self.block(idx, block, draft);
        }
        draft.complete(text(message, "/stop_reason"));
    }

    /// Takes a block: whole, or the beginning of one whose rest follows.
    fn block(&mut self, idx: u64, block: &Value, draft: &mut Draft) {
        match block.get("type").and_then(Value::as_str) {
            Some("text") => draft.say(text(block, "/text").unwrap_or_default()),
            Some("server_tool_use" | "tool_use") => {
                self.calls.insert(idx, draft.tool_calls.len());
                draft.tool_calls.push(ToolCall {
                    call_id: text(block, "/id").unwrap_or_default().to_owned(),
                    tool: tool_name(text(block, "/name").unwrap_or_default()).to_owned(),
                    arguments: block.get("input").cloned().unwrap_or_default(),
                    output: Value::Null,
                    is_error: false,
                });
            }
            Some("web_search_tool_result") => read_search(block, draft),
            _ => {}
        }
    }

    fn close_block(&mut self, idx: u64, draft: &mut Draft) {
        let call = self.calls.get(&idx).and_then(|it| draft.tool_calls.get_mut(*it));
        if let (Some(call), Some(json)) = (call, self.arguments.remove(&idx)) {
            call.arguments = serde_json::from_str(&json).unwrap_or(Value::String(json));
        }
    }
}

fn tool_name(name: &str) -> &str {
    if name == "web_search" { ModelTool::WebSearch.name() } else { name }
}

/// The result of a search is a list of pages, or an error.
fn read_search(block: &Value, draft: &mut Draft) {
    let id = text(block, "/tool_use_id").unwrap_or_default();
    let Some(call) = draft.tool_calls.iter_mut().find(|it| it.call_id == id) else { return };
    match block.get("content") {
        Some(Value::Array(pages)) => {
            let source = |it: &Value| json!({"url": text(it, "/url"), "title": text(it, "/title")});
            call.output = json!({"sources": pages.iter().map(source).collect::<Vec<_>>()});
        }
        Some(error) => {
            call.is_error = true;
            call.output = json!({"error": text(error, "/error_code")});
        }
        None => {}
    }
}

/// Counts are sums so far, so the last ones hold. What was read from the service's cache, or written to it,
/// is counted apart there and is part of the input here.
fn read_usage(usage: Option<&Value>, draft: &mut Draft) {
    let Some(usage) = usage.filter(|it| it.is_object()) else { return };
    if usage.get("input_tokens").is_some_and(Value::is_u64) {
        draft.usage = Usage { output: draft.usage.output, ..usage_of(usage) };
    }
    draft.usage.output = count(usage, "/output_tokens");
}

/// Reads a `usage` of this format.
pub(super) fn usage_of(usage: &Value) -> Usage {
    let cached = count(usage, "/cache_read_input_tokens");
    Usage {
        input: count(usage, "/input_tokens") + count(usage, "/cache_creation_input_tokens") + cached,
        output: count(usage, "/output_tokens"),
        cached,
    }
}
