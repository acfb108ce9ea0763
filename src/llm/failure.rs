//! Failures of a provider, as errors of ours: our own sentence, whether to try again, and what the server
//! said only in the details, without the key.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use crate::diagram::Service;
use crate::error::Error;
use crate::limits;

/// Characters of a server's text that the details keep.
const EXCERPT_CHARS_MAX: usize = 600;
/// Longest `Retry-After` that is passed on, in milliseconds: one hour.
const RETRY_AFTER_MS_MAX: f64 = 3_600_000.0;
/// How long a key rests after a 429 that does not say for how long, in milliseconds.
const REST_MS_DEFAULT: u64 = 1_000;
/// How providers say that the prompt does not fit, where they have no code for it.
const TOO_LONG: [&str; 5] = [
    "prompt is too long",
    "maximum context length",
    "exceeds the maximum number of tokens",
    "exceeds the context window",
    "exceed context limit",
];
/// What a refusal speaks of when a server takes no schema, or not this one.
const SCHEMA_WORDS: [&str; 6] =
    ["schema", "response_format", "output_config", "output format", "response mime type", "structured output"];

/// An answer that says the call failed.
#[derive(Debug)]
pub(super) struct Failed {
    status: u16,
    retry_after_ms: Option<u64>,
    /// The `error` of the body, if it has one.
    error: Value,
    text: String,
}

/// What a failure comes down to.
enum Trouble {
    Key,
    Model,
    Quota,
    SlowDown,
    TooLong,
    Redirect,
    Overloaded,
    Server,
    Parameter(String),
    Refused,
}

impl Failed {
    /// Takes an answer with a status other than 2xx.
    pub(super) fn new(status: u16, retry_after_ms: Option<u64>, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let error = error_in(&body).cloned().unwrap_or_default();
        let retry_after_ms = retry_after_ms.or_else(|| wished_ms(&error));
        Self { status, retry_after_ms, error, text }
    }

    /// Takes a failure that came with status 2xx, as the body or within the stream. Its code may be a status.
    pub(super) fn in_body(body: &Value) -> Self {
        let error = error_in(body).unwrap_or(body).clone();
        let status = error.get("code").and_then(Value::as_u64).and_then(|it| u16::try_from(it).ok());
        let status = status.unwrap_or_else(|| status_by_words(&error));
        Self { status, retry_after_ms: wished_ms(&error), error, text: body.to_string() }
    }

    /// The parameter a server does not take, by its own word for it.
    pub(super) fn refused_parameter(&self) -> Option<&str> {
        if self.status != 400 {
            return None;
        }
        self.error_text("param").or_else(|| self.message().contains("temperature").then_some("temperature"))
    }

    /// Whether the server takes no schema of this kind.
    pub(super) fn refuses_schema(&self) -> bool {
        let speaks_of_it = || SCHEMA_WORDS.iter().any(|it| self.message().contains(it));
        let names_it = || self.error_text("param").is_some_and(|it| SCHEMA_WORDS.iter().any(|word| it.contains(word)));
        self.status == 400 && (names_it() || speaks_of_it())
    }

    /// How long the key should rest, in milliseconds: the server asked to slow down.
    pub(super) fn rest_ms(&self) -> Option<u64> {
        let asks = matches!(self.trouble(), Trouble::SlowDown | Trouble::Overloaded);
        asks.then(|| self.retry_after_ms.unwrap_or(REST_MS_DEFAULT))
    }

    fn error_text(&self, key: &str) -> Option<&str> {
        self.error.get(key).and_then(Value::as_str)
    }

    /// The server's sentence in lower case, to look for what it speaks of.
    fn message(&self) -> String {
        self.error_text("message").or_else(|| self.error.as_str()).unwrap_or_default().to_lowercase()
    }

    /// Whether one of the server's own codes is `word`.
    fn says(&self, word: &str) -> bool {
        let reasons = self.error.get("details").and_then(Value::as_array).into_iter().flatten();
        let reasons = reasons.filter_map(|it| it.get("reason").and_then(Value::as_str));
        let codes = ["code", "type", "status"].into_iter().filter_map(|it| self.error_text(it));
        codes.chain(reasons).any(|it| it.eq_ignore_ascii_case(word))
    }

    fn trouble(&self) -> Trouble {
        let speaks_of = |texts: &[&str]| texts.iter().any(|it| self.message().contains(it));
        match self.status {
            401 | 403 => Trouble::Key,
            400 if self.says("API_KEY_INVALID") => Trouble::Key,
            404 => Trouble::Model,
            402 => Trouble::Quota,
            429 if self.says("insufficient_quota") => Trouble::Quota,
            400 if speaks_of(&["credit balance is too low"]) => Trouble::Quota,
            429 => Trouble::SlowDown,
            413 => Trouble::TooLong,
            400 if self.says("context_length_exceeded") || speaks_of(&TOO_LONG) => Trouble::TooLong,
            300..=399 => Trouble::Redirect,
            529 => Trouble::Overloaded,
            _ if self.says("overloaded_error") => Trouble::Overloaded,
            408 | 409 | 425 | 500.. => Trouble::Server,
            _ => match self.refused_parameter() {
                Some(parameter) => Trouble::Parameter(parameter.chars().take(60).collect()),
                None => Trouble::Refused,
            },
        }
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
        let final_one = |what: String, hint: &str| (what, hint.to_owned(), false);
        let passing = |what: String, hint: &str| (what, hint.to_owned(), true);
        match self.trouble() {
            Trouble::Key => (format!("refused the key (status {status})"), key_hint(endpoint), false),
            // Nobody was asked for one: it was the list that is not there.
            Trouble::Model if endpoint.model.is_empty() => {
                final_one("has no list of models at this address".to_owned(), "check the address in the settings")
            }
            Trouble::Model => {
                (format!("knows no model `{}`, or the address is wrong", endpoint.model), model_hint(endpoint), false)
            }
            Trouble::Quota => {
                final_one("has no quota left for this key".to_owned(), "see the plan and billing of the account")
            }
            Trouble::SlowDown => passing(
                format!("asks to slow down (status {status})"),
                "give the node a `retry` with a longer `delay_ms`",
            ),
            Trouble::TooLong => final_one(
                "cannot take so long a prompt".to_owned(),
                "shorten the prompt, or remember less with `memorize_to` and `at_most`",
            ),
            Trouble::Redirect => {
                final_one(format!("redirects elsewhere (status {status})"), "write the final address as `base_url`")
            }
            Trouble::Overloaded => passing(format!("is overloaded (status {status})"), "try again later"),
            Trouble::Server => passing(format!("is in trouble (status {status})"), "try again later"),
            Trouble::Parameter(parameter) => final_one(
                format!("does not take `{parameter}` with this model"),
                "see what the server says in the details",
            ),
            Trouble::Refused => {
                final_one(format!("refused the request (status {status})"), "see what the server says in the details")
            }
        }
    }
}

/// The `error` of a body; some servers wrap their bodies in a list.
fn error_in(body: &Value) -> Option<&Value> {
    let body = body.get(0).unwrap_or(body);
    body.get("error").filter(|it| !it.is_null())
}

/// The status that a failure within a stream would have had.
fn status_by_words(error: &Value) -> u16 {
    let codes = ["type", "code", "status"].into_iter().filter_map(|it| error.get(it).and_then(Value::as_str));
    let status = |code: &str| match code {
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" => Some(429),
        "insufficient_quota" => Some(429),
        "overloaded_error" => Some(529),
        "authentication_error" | "invalid_api_key" => Some(401),
        "permission_error" => Some(403),
        "not_found_error" | "model_not_found" => Some(404),
        "invalid_request_error" | "invalid_prompt" | "context_length_exceeded" | "INVALID_ARGUMENT" => Some(400),
        _ => None,
    };
    codes.rev().find_map(status).unwrap_or(502)
}

/// The pause that stands in an error itself: Google's `RetryInfo` with a `retryDelay` such as `36s`.
fn wished_ms(error: &Value) -> Option<u64> {
    let details = error.get("details")?.as_array()?;
    let delay = details.iter().find_map(|it| it.get("retryDelay")?.as_str())?;
    let seconds = delay.strip_suffix('s')?.parse::<f64>().ok()?;
    in_range_ms(seconds * 1_000.0)
}

fn in_range_ms(ms: f64) -> Option<u64> {
    (0.0..=RETRY_AFTER_MS_MAX).contains(&ms).then_some(ms as u64)
}

fn key_hint(endpoint: &Endpoint) -> String {
    let variable = endpoint.service.key_variable().unwrap_or("the key");
    match &endpoint.key {
        Some(_) => format!("check the secret named by `api_key_id`, or `{variable}`"),
        None => format!("no key was sent: set `{variable}`, or a secret and `api_key_id`"),
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
    if error.is_connect() {
        return failed(endpoint, "cannot be reached")
            .hint(reach_hint(endpoint))
            .details(json!({"sent": false}))
            .source(error)
            .retryable(true);
    }
    cut(endpoint).source(error)
}

/// A reply that ended before it was complete.
pub(super) fn cut(endpoint: &Endpoint) -> Error {
    failed(endpoint, "broke the connection off").hint("try again later").retryable(true)
}

fn reach_hint(endpoint: &Endpoint) -> &'static str {
    match endpoint.service {
        Service::Ollama => "start it with `ollama serve`, or set `OLLAMA_HOST`",
        _ => "check the network and the person's `base_url`",
    }
}

/// A body, or an event of a stream, that is not JSON: cut short, or not from the server we meant.
pub(super) fn not_json(endpoint: &Endpoint, text: &str, problem: serde_json::Error) -> Error {
    failed(endpoint, "answered with something that is not JSON")
        .hint(format!("check that the address speaks {}", endpoint.wire.format_name()))
        .details(json!({"body": excerpt(endpoint, text)}))
        .source(problem)
        .retryable(true)
}

/// JSON, but not of this format.
pub(super) fn not_a_reply(endpoint: &Endpoint) -> Error {
    failed(endpoint, &format!("answered with something that is no {}", endpoint.wire.reply_name()))
        .hint(format!("check that the address speaks {}", endpoint.wire.format_name()))
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
    in_range_ms(number("retry-after-ms").or_else(|| number("retry-after").map(|it| it * 1_000.0))?)
}
