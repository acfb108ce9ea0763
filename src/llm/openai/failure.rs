//! Failures of a chat-completions server, as errors of ours: our own sentence, whether to try again, and
//! what the server said only in the details, without the key.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::Endpoint;
use crate::diagram::Service;
use crate::error::Error;
use crate::limits;

/// Characters of a server's text that the details keep.
const EXCERPT_CHARS_MAX: usize = 600;
/// Longest `Retry-After` that is passed on, in milliseconds: one hour.
const RETRY_AFTER_MS_MAX: f64 = 3_600_000.0;

/// An answer that says the call failed.
pub(super) struct Failed {
    status: u16,
    retry_after_ms: Option<u64>,
    /// The `error` of the body, if it has one.
    error: Value,
    text: String,
}

impl Failed {
    /// Takes an answer with a status other than 2xx.
    pub(super) fn new(status: u16, retry_after_ms: Option<u64>, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        Self { status, retry_after_ms, error: body.get("error").cloned().unwrap_or_default(), text }
    }

    /// Takes an answer of status 2xx whose body is a failure; its `error.code` may be a status.
    pub(super) fn in_body(body: &Value) -> Self {
        let error = body.get("error").cloned().unwrap_or_default();
        let status = error.get("code").and_then(Value::as_u64).and_then(|it| u16::try_from(it).ok()).unwrap_or(502);
        Self { status, retry_after_ms: None, error, text: body.to_string() }
    }

    /// The parameter a server does not take, by its own word for it.
    pub(super) fn refused_parameter(&self) -> Option<&str> {
        (self.status == 400).then(|| self.error_text("param")).flatten()
    }

    fn error_text(&self, key: &str) -> Option<&str> {
        self.error.get(key).and_then(Value::as_str)
    }

    /// Returns the error: what happened, what to do, and whether trying again may help.
    pub(super) fn into_error(self, endpoint: &Endpoint) -> Error {
        let (what, hint, is_retryable) = self.sentence(endpoint);
        let mut details = json!({"status": self.status, "body": excerpt(endpoint, &self.text)});
        if let Some(ms) = self.retry_after_ms {
            details["retry_after_ms"] = ms.into();
        }
        failed(endpoint, &what).hint(hint).details(details).retryable(is_retryable)
    }

    fn sentence(&self, endpoint: &Endpoint) -> (String, String, bool) {
        let status = self.status;
        let code = self.error_text("code").or_else(|| self.error_text("type")).unwrap_or_default();
        match status {
            401 | 403 => (format!("refused the key (status {status})"), key_hint(endpoint), false),
            404 => {
                (format!("knows no model `{}`, or the address is wrong", endpoint.model), model_hint(endpoint), false)
            }
            429 if code == "insufficient_quota" => (
                "has no quota left for this key".to_owned(),
                "see the plan and billing of the account".to_owned(),
                false,
            ),
            429 => (
                "asks to slow down (status 429)".to_owned(),
                "give the node a `retry` with a longer `delay_ms`".to_owned(),
                true,
            ),
            413 => (too_long(), shorten_hint(), false),
            400 if code == "context_length_exceeded" => (too_long(), shorten_hint(), false),
            300..=399 => (
                format!("redirects elsewhere (status {status})"),
                "write the final address as `base_url`".to_owned(),
                false,
            ),
            408 | 409 | 425 | 500.. => (format!("is in trouble (status {status})"), "try again later".to_owned(), true),
            _ => (self.refusal(), "see what the server says in the details".to_owned(), false),
        }
    }

    fn refusal(&self) -> String {
        match self.refused_parameter() {
            Some(parameter) => {
                format!("does not take `{}` with this model", parameter.chars().take(60).collect::<String>())
            }
            None => format!("refused the request (status {})", self.status),
        }
    }
}

fn too_long() -> String {
    "cannot take so long a prompt".to_owned()
}

fn shorten_hint() -> String {
    "shorten the prompt, or remember less with `memorize_to` and `at_most`".to_owned()
}

fn key_hint(endpoint: &Endpoint) -> String {
    match &endpoint.key {
        Some(_) => "check the secret named by `api_key_id`, or `OPENAI_API_KEY`".to_owned(),
        None => "no key was sent: set `OPENAI_API_KEY`, or a secret and `api_key_id`".to_owned(),
    }
}

fn model_hint(endpoint: &Endpoint) -> String {
    match endpoint.service {
        Service::Ollama => format!("install it with `ollama pull {}`", endpoint.model),
        _ => "check the person's `model` and `base_url`".to_owned(),
    }
}

/// Makes an `LLM_FAILED`: "`openai` …".
pub(super) fn failed(endpoint: &Endpoint, what: &str) -> Error {
    Error::external("LLM_FAILED", format!("`{}` {what}", endpoint.service.name()))
}

/// A connection that could not be made, or was lost.
pub(super) fn of_connection(endpoint: &Endpoint, error: reqwest::Error) -> Error {
    // The address may carry a password, so it stays out of the log too.
    let error = error.without_url();
    if error.is_builder() {
        return failed(endpoint, "has an address that is none")
            .hint("write `base_url` as `https://host/v1`")
            .source(error);
    }
    let (what, hint) = if error.is_connect() {
        ("cannot be reached", reach_hint(endpoint))
    } else {
        ("broke the connection off", "try again later")
    };
    failed(endpoint, what).hint(hint).source(error).retryable(true)
}

fn reach_hint(endpoint: &Endpoint) -> &'static str {
    match endpoint.service {
        Service::Ollama => "start it with `ollama serve`, or set `OLLAMA_HOST`",
        _ => "check the network and the person's `base_url`",
    }
}

/// A body that is not JSON: cut short, or not from the server we meant.
pub(super) fn not_json(endpoint: &Endpoint, bytes: &[u8], problem: serde_json::Error) -> Error {
    let text = String::from_utf8_lossy(bytes);
    failed(endpoint, "answered with something that is not JSON")
        .hint("check that the address speaks the chat-completions format")
        .details(json!({"body": excerpt(endpoint, &text)}))
        .source(problem)
        .retryable(true)
}

/// A body beyond the limit.
pub(super) fn too_large(endpoint: &Endpoint) -> Error {
    failed(endpoint, &format!("answered with more than {} bytes", limits::MODEL_REPLY_BYTES_MAX))
        .hint("set `max_tokens`, or check what answers at this address")
}

/// Returns the beginning of a server's text without the key.
pub(super) fn excerpt(endpoint: &Endpoint, text: &str) -> String {
    let scrubbed = match &endpoint.key {
        Some(key) => key.scrub(text),
        None => text.to_owned(),
    };
    scrubbed.chars().take(EXCERPT_CHARS_MAX).collect()
}

/// Reads `retry-after-ms`, or `retry-after` in seconds. A date is not read: that would need a clock.
pub(super) fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let ms = number("retry-after-ms").or_else(|| number("retry-after").map(|it| it * 1_000.0))?;
    (0.0..=RETRY_AFTER_MS_MAX).contains(&ms).then_some(ms as u64)
}
