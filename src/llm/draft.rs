//! A reply while it comes in, whatever the format, and what becomes of it when it is complete.

use serde_json::json;

use super::endpoint::Endpoint;
use super::failure;
use crate::error::Error;
use crate::nodes::ports::models::{ReplyImage, TokenSink, ToolCall};
use crate::nodes::ports::{ModelReply, Usage};

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub text: String,
    /// Why the model would not answer, in its own words.
    pub refusal: String,
    pub model: Option<String>,
    pub usage: Usage,
    /// `stop`, `length`, `content_filter`, or the service's own word.
    pub finish_reason: Option<String>,
    pub tool_calls: Vec<ToolCall>,
    pub images: Vec<ReplyImage>,
    /// Whether the server said that this is all of the reply.
    pub is_complete: bool,
    /// Whether nothing of interest follows.
    pub is_over: bool,
    sink: Option<TokenSink>,
}

impl Draft {
    /// An empty reply, whose text goes to `sink` as it comes.
    pub(super) fn new(sink: Option<TokenSink>) -> Self {
        Self { sink, ..Self::default() }
    }

    /// Adds a piece of text.
    pub(super) fn say(&mut self, text: &str) {
        self.text.push_str(text);
        if let Some(sink) = &self.sink {
            sink.send(text);
        }
    }

    /// Marks the reply as whole.
    pub(super) fn complete(&mut self, finish_reason: Option<&str>) {
        self.is_complete = true;
        if let Some(reason) = finish_reason {
            self.finish_reason = Some(common_reason(reason));
        }
    }

    /// Returns the reply.
    ///
    /// # Errors
    ///
    /// `LLM_FAILED` for a refusal, or a reply with nothing in it.
    pub(super) fn into_reply(self, endpoint: &Endpoint) -> Result<ModelReply, Error> {
        let finish_reason = self.finish_reason.as_deref();
        if !self.refusal.is_empty() || finish_reason == Some("refusal") {
            return Err(refused(endpoint, &self.refusal));
        }
        if finish_reason == Some("pause_turn") {
            return Err(paused(endpoint));
        }
        if self.text.is_empty() && self.images.is_empty() {
            return Err(no_text(endpoint, finish_reason));
        }
        Ok(ModelReply {
            warnings: warning(endpoint, finish_reason).into_iter().collect(),
            text: self.text,
            model: Some(self.model.unwrap_or_else(|| endpoint.model.clone())),
            usage: self.usage,
            finish_reason: self.finish_reason,
            tool_calls: self.tool_calls,
            images: self.images,
            ..ModelReply::default()
        })
    }
}

/// The reasons that all services know get one name.
fn common_reason(reason: &str) -> String {
    match reason {
        "stop" | "end_turn" | "stop_sequence" | "completed" | "STOP" => "stop".to_owned(),
        "length" | "max_tokens" | "max_output_tokens" | "MAX_TOKENS" | "model_context_window_exceeded" => {
            "length".to_owned()
        }
        "content_filter"
        | "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT" => "content_filter".to_owned(),
        other => other.to_lowercase(),
    }
}

fn refused(endpoint: &Endpoint, refusal: &str) -> Error {
    failure::failed(endpoint, "refused to answer the prompt")
        .hint("change the prompt, or ask another model")
        .details(json!({"refusal": failure::excerpt(endpoint, refusal)}))
}

/// Anthropic may stop in the middle of a long search; what it said so far is not the reply.
fn paused(endpoint: &Endpoint) -> Error {
    failure::failed(endpoint, "stopped in the middle of its search").hint("ask for less at once").retryable(true)
}

fn no_text(endpoint: &Endpoint, finish_reason: Option<&str>) -> Error {
    match finish_reason {
        Some("length") => failure::failed(endpoint, "used up its tokens before it said anything")
            .hint("raise `max_tokens`, or shorten the prompt or the memory"),
        Some("content_filter") => failure::failed(endpoint, "filtered its answer away").hint("change the prompt"),
        _ => failure::failed(endpoint, "answered without any text").retryable(true),
    }
}

/// What the log should say of a reply that is there but not as meant.
fn warning(endpoint: &Endpoint, finish_reason: Option<&str>) -> Option<String> {
    let service = endpoint.service.name();
    match finish_reason {
        Some("length") => Some(format!("`{service}` stopped at the limit of tokens: raise `max_tokens` for the rest")),
        Some("content_filter") => Some(format!("`{service}` filtered a part of its answer away")),
        _ => None,
    }
}
