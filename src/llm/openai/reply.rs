//! Reads the body of a chat-completions reply. Pure.

use serde_json::{Value, json};

use super::Endpoint;
use super::failure::{self, Failed};
use crate::error::Error;
use crate::nodes::ports::{ModelReply, Usage};

/// Reads a reply of status 2xx.
///
/// # Errors
///
/// `LLM_FAILED` for a refusal, a reply without text, or a body that is none of this format.
pub(super) fn read(endpoint: &Endpoint, body: &Value) -> Result<ModelReply, Error> {
    // Some gateways answer 200 and put the failure of the server behind them into the body.
    if body.get("error").is_some_and(|it| !it.is_null()) {
        return Err(Failed::in_body(body).into_error(endpoint));
    }
    let choice = body.pointer("/choices/0").ok_or_else(|| no_choice(endpoint))?;
    let finish_reason = choice.get("finish_reason").and_then(Value::as_str);
    let message = choice.get("message").unwrap_or(&Value::Null);
    if let Some(refusal) = message.get("refusal").and_then(Value::as_str).filter(|it| !it.is_empty()) {
        return Err(refused(endpoint, refusal));
    }
    let text = text_of(message.get("content").unwrap_or(&Value::Null));
    if text.is_empty() {
        return Err(no_text(endpoint, finish_reason));
    }
    Ok(ModelReply {
        text,
        model: Some(body.get("model").and_then(Value::as_str).unwrap_or(&endpoint.model).to_owned()),
        usage: usage_of(body),
        finish_reason: finish_reason.map(str::to_owned),
        ..ModelReply::default()
    })
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
    let count = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    Usage {
        input: count("/usage/prompt_tokens"),
        output: count("/usage/completion_tokens"),
        cached: count("/usage/prompt_tokens_details/cached_tokens"),
    }
}

fn no_choice(endpoint: &Endpoint) -> Error {
    failure::failed(endpoint, "answered with something that is no chat completion")
        .hint("check that the address speaks the chat-completions format")
        .retryable(true)
}

fn refused(endpoint: &Endpoint, refusal: &str) -> Error {
    failure::failed(endpoint, "refused to answer the prompt")
        .hint("change the prompt, or ask another model")
        .details(json!({"refusal": failure::excerpt(endpoint, refusal)}))
}

fn no_text(endpoint: &Endpoint, finish_reason: Option<&str>) -> Error {
    match finish_reason {
        Some("length") => failure::failed(endpoint, "used up its tokens before it said anything")
            .hint("raise `max_tokens`, or shorten the prompt or the memory"),
        Some("content_filter") => failure::failed(endpoint, "filtered its answer away").hint("change the prompt"),
        _ => failure::failed(endpoint, "answered without any text").retryable(true),
    }
}
