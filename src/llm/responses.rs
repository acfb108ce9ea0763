//! OpenAI's Responses format, with its web search and image tools. Pure.
//! Source: platform.openai.com/docs/api-reference/responses.

use reqwest::header::{AUTHORIZATION, HeaderName};
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::endpoint::{Dialect, Reader, Wire};
use super::failure::Failed;
use super::parts::{self, count, data_url, images, text};
use super::schema::{self, Sent};
use crate::nodes::output::ChatMessage;
use crate::nodes::ports::models::{ModelTool, ToolCall};
use crate::nodes::ports::{ModelRequest, Usage};
use crate::secret::Secret;

pub(super) static RESPONSES: Responses = Responses;

pub(super) struct Responses;

impl Wire for Responses {
    fn format_name(&self) -> &'static str {
        "OpenAI's Responses format"
    }

    fn reply_name(&self) -> &'static str {
        "response"
    }

    fn path(&self, _model: &str) -> String {
        "/responses".to_owned()
    }

    fn authorization(&self, key: &Secret) -> (HeaderName, String) {
        (AUTHORIZATION, format!("Bearer {}", key.expose()))
    }

    fn body(&self, request: &ModelRequest, model: &str, dialect: Dialect) -> Value {
        let mut input: Vec<Value> = request.messages.iter().map(|it| message(request, it)).collect();
        let schema = schema::sent(request, dialect, |it| Some(it.clone()));
        if let Sent::Words(text) = &schema {
            input.insert(0, json!({"role": "system", "content": text}));
        }
        let mut body = Map::new();
        body.insert("model".into(), model.into());
        body.insert("input".into(), input.into());
        if let Sent::Native(schema) = schema {
            let strict = schema::is_strict(&schema);
            let format = json!({"type": "json_schema", "name": "reply", "strict": strict, "schema": schema});
            body.insert("text".into(), json!({"format": format}));
        }
        if let Some(temperature) = request.temperature.filter(|_| dialect.takes_temperature) {
            body.insert("temperature".into(), temperature.into());
        }
        if let Some(max_tokens) = request.max_tokens {
            body.insert("max_output_tokens".into(), max_tokens.into());
        }
        if !request.tools.is_empty() {
            body.insert("tools".into(), request.tools.iter().map(|it| tool(*it)).collect());
        }
        if request.tools.contains(&ModelTool::WebSearch) {
            body.insert("include".into(), json!(["web_search_call.action.sources"]));
        }
        // What is said is kept in the execution; the service need not keep it too.
        body.insert("store".into(), false.into());
        body.insert("stream".into(), true.into());
        Value::Object(body)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ResponsesReader::default())
    }
}

fn tool(tool: ModelTool) -> Value {
    match tool {
        ModelTool::WebSearch => json!({"type": "web_search"}),
        ModelTool::Image => json!({"type": "image_generation"}),
    }
}

fn message(request: &ModelRequest, message: &ChatMessage) -> Value {
    let mut parts: Vec<Value> = images(request, message)
        .map(|(image, base64)| json!({"type": "input_image", "image_url": data_url(image, &base64), "detail": "auto"}))
        .collect();
    if parts.is_empty() {
        return json!({"role": message.role, "content": message.content});
    }
    parts.push(json!({"type": "input_text", "text": message.content}));
    json!({"role": message.role, "content": parts})
}

#[derive(Default)]
struct ResponsesReader {
    /// Items that are done; the last event has them all again, at most servers.
    items: Vec<Value>,
}

impl Reader for ResponsesReader {
    fn take(&mut self, event: &Value, draft: &mut Draft) -> Result<(), Failed> {
        match event.get("type").and_then(Value::as_str) {
            Some("response.output_text.delta") => draft.say(text(event, "/delta").unwrap_or_default()),
            Some("response.output_item.done") => self.items.extend(event.get("item").cloned()),
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                self.finish(event.get("response").unwrap_or(&Value::Null), draft)?;
            }
            Some("error") => return Err(Failed::in_body(event)),
            Some(_) => {}
            None => self.finish(event, draft)?,
        }
        Ok(())
    }
}

impl ResponsesReader {
    /// Reads the whole response: the last event of a stream, or the reply of a server that does not stream.
    fn finish(&self, response: &Value, draft: &mut Draft) -> Result<(), Failed> {
        if response.get("error").is_some_and(|it| !it.is_null()) {
            return Err(Failed::in_body(response));
        }
        let Some(status) = text(response, "/status") else { return Ok(()) };
        draft.model = text(response, "/model").map(str::to_owned);
        draft.usage = Usage {
            input: count(response, "/usage/input_tokens"),
            output: count(response, "/usage/output_tokens"),
            cached: count(response, "/usage/input_tokens_details/cached_tokens"),
        };
        let listed = response.get("output").and_then(Value::as_array).filter(|it| !it.is_empty());
        let mut said = String::new();
        for item in listed.unwrap_or(&self.items) {
            said.push_str(&read_item(item, draft));
        }
        match draft.text.is_empty() {
            true => draft.say(&said),
            false if said.is_empty() => {}
            // It came in pieces before; this is the same as a whole.
            false => draft.text = said,
        }
        draft.complete(text(response, "/incomplete_details/reason").or(Some(status)));
        draft.is_over = true;
        Ok(())
    }
}

/// Reads one item and returns the text in it.
fn read_item(item: &Value, draft: &mut Draft) -> String {
    let call = |tool: ModelTool, arguments: Value, output: Value| ToolCall {
        call_id: text(item, "/id").unwrap_or_default().to_owned(),
        tool: tool.name().to_owned(),
        arguments,
        output,
        is_error: text(item, "/status") == Some("failed"),
    };
    match item.get("type").and_then(Value::as_str) {
        Some("message") => return read_message(item, draft),
        Some("web_search_call") => {
            let mut action = item.get("action").cloned().unwrap_or_default();
            let sources = action.as_object_mut().and_then(|it| it.remove("sources"));
            let output = sources.map(|it| json!({"sources": it})).unwrap_or_default();
            draft.tool_calls.push(call(ModelTool::WebSearch, action, output));
        }
        Some("image_generation_call") => {
            let media_type = format!("image/{}", text(item, "/output_format").unwrap_or("png"));
            draft.images.extend(text(item, "/result").and_then(|it| parts::image(&media_type, it)));
            let prompt = text(item, "/revised_prompt").map(|it| json!({"prompt": it}));
            draft.tool_calls.push(call(ModelTool::Image, prompt.unwrap_or_default(), Value::Null));
        }
        _ => {}
    }
    String::new()
}

fn read_message(item: &Value, draft: &mut Draft) -> String {
    let parts = item.get("content").and_then(Value::as_array).into_iter().flatten();
    let mut said = String::new();
    for part in parts {
        draft.refusal.push_str(text(part, "/refusal").unwrap_or_default());
        said.push_str(text(part, "/text").unwrap_or_default());
    }
    said
}
