//! How calls and replies are written on a tape: as JSON, from which a reply reads back exactly. Times are no
//! part of a request, and a secret in one is blotted out by whoever keeps the tape.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};
use crate::ids::ExecutionId;
use crate::nodes::ports::commands::{CommandJob, CommandResult, Program};
use crate::nodes::ports::http::{HttpReply, HttpRequest};
use crate::nodes::ports::models::{Cost, ReplyImage, ToolCall};
use crate::nodes::ports::{CodeJob, CodeResult, ModelReply, ModelRequest, Purpose, Usage};

/// What reads back from a tape as it was.
pub(super) trait Form: Sized {
    /// The value as JSON.
    fn write(&self) -> Value;

    /// Reads what [`Form::write`] wrote.
    fn read(value: &Value) -> Option<Self>;
}

/// Returns the text of an outcome: `{"ok": …}` or `{"error": …}`.
pub(super) fn written<T: Form>(outcome: &Result<T, Error>) -> String {
    match outcome {
        Ok(value) => json!({"ok": value.write()}),
        Err(error) => json!({"error": write_error(error)}),
    }
    .to_string()
}

/// Reads what [`written`] wrote.
///
/// # Errors
///
/// The error that was written; `INTERNAL` for anything else.
pub(super) fn read<T: Form>(text: &str) -> Result<T, Error> {
    let malformed = || Error::internal("a recorded reply is malformed");
    let value: Value = serde_json::from_str(text).map_err(|e| malformed().source(e))?;
    if let Some(error) = value.get("error") {
        return Err(read_error(error));
    }
    value.get("ok").and_then(T::read).ok_or_else(malformed)
}

/// A file before a change, and its size after it.
pub(super) struct Changed {
    pub(super) before: Option<Vec<u8>>,
    pub(super) size: u64,
}

/// The SHA-256 of `bytes` in hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(super) fn model_request(request: &ModelRequest) -> Value {
    let person = &request.person;
    let tools: Vec<&str> = request.tools.iter().map(|it| it.name()).collect();
    let n_candidates = match request.purpose {
        Purpose::Reply => None,
        Purpose::Selection { n_candidates } => Some(n_candidates),
    };
    json!({
        "person": person.id, "service": request.service.name(), "model": person.model, "base_url": person.base_url,
        "messages": request.messages, "schema": request.schema, "temperature": request.temperature,
        "max_tokens": request.max_tokens, "tools": tools, "candidates": n_candidates,
    })
}

pub(super) fn http_request(request: &HttpRequest) -> Value {
    json!({
        "method": request.method, "url": request.url, "query": request.query, "headers": request.headers,
        "body": request.body.as_deref().map(write_bytes),
    })
}

pub(super) fn command(job: &CommandJob) -> Value {
    let program = match &job.program {
        Program::Shell(line) => json!({"shell": line}),
        Program::Argv(arguments) => json!({"argv": arguments}),
    };
    json!({
        "program": program, "folder": job.folder, "environment": job.environment,
        "stdin": job.stdin.as_deref().map(write_bytes),
    })
}

pub(super) fn code(job: &CodeJob) -> Value {
    json!({
        "language": job.language.name(), "source": &*job.source, "function": job.function_name, "names": job.names,
        "inputs": job.inputs, "globals": job.globals,
    })
}

/// Bytes that are text as text, others as `{"base64": …}`.
fn write_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({"base64": STANDARD.encode(bytes)}),
    }
}

fn read_bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.clone().into_bytes()),
        other => STANDARD.decode(other.get("base64")?.as_str()?).ok(),
    }
}

fn write_error(error: &Error) -> Value {
    let mut object = error.to_json();
    object["kind"] = kind_name(error.kind()).into();
    object["retryable"] = error.is_retryable().into();
    object
}

fn read_error(value: &Value) -> Error {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let kind = text("kind").and_then(|it| KINDS.into_iter().find(|kind| kind_name(*kind) == it));
    let code = code_of(text("code").unwrap_or_default());
    let mut error = Error::new(kind.unwrap_or(ErrorKind::Internal), code, text("message").unwrap_or_default())
        .retryable(value.get("retryable") == Some(&Value::Bool(true)));
    if let Some(hint) = text("hint") {
        error = error.hint(hint);
    }
    if let Some(exception) = text("type") {
        error = error.exception(exception);
    }
    if let Some(details) = value.get("details") {
        error = error.details(details.clone());
    }
    if let Some(cause) = value.get("cause") {
        error = error.cause(cause.clone());
    }
    error
}

const KINDS: [ErrorKind; 7] = [
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::Refused,
    ErrorKind::Limit,
    ErrorKind::External,
    ErrorKind::Internal,
];

fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Conflict => "conflict",
        ErrorKind::Refused => "refused",
        ErrorKind::Limit => "limit",
        ErrorKind::External => "external",
        ErrorKind::Internal => "internal",
    }
}

/// The code as the one text of its kind. There are as many as codes in the source, so each is kept for good;
/// what does not look like one of them is not.
fn code_of(text: &str) -> &'static str {
    static CODES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    const LEN_MAX: usize = 40;
    const CODES_MAX: usize = 500;
    let mut codes = CODES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = codes.get(text) {
        return known;
    }
    let looks_like_one =
        (1..=LEN_MAX).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_uppercase() || it == b'_');
    if !looks_like_one || codes.len() >= CODES_MAX {
        return "INTERNAL";
    }
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    codes.insert(kept);
    kept
}

impl Form for ModelReply {
    fn write(&self) -> Value {
        let cost = match self.cost {
            Cost::NotBilled => Value::Null,
            Cost::Usd(usd) => exact(&usd.into()),
            Cost::Unpriced => "unpriced".into(),
        };
        let calls: Vec<Value> = self.tool_calls.iter().map(ToolCall::to_json).collect();
        let image = |it: &ReplyImage| json!({"media_type": it.media_type, "base64": STANDARD.encode(&it.bytes)});
        let Usage { input, output, cached } = self.usage;
        json!({
            "text": self.text, "model": self.model, "usage": [input, output, cached], "cost": cost,
            "finish_reason": self.finish_reason, "tool_calls": exact(&calls.into()),
            "images": self.images.iter().map(image).collect::<Vec<_>>(), "warnings": self.warnings,
        })
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
        let usage: [u64; 3] = serde_json::from_value(value.get("usage")?.clone()).ok()?;
        let image = |it: &Value| {
            let bytes = STANDARD.decode(it.get("base64")?.as_str()?).ok()?;
            Some(ReplyImage { media_type: it.get("media_type")?.as_str()?.to_owned(), bytes })
        };
        let call = |it: &Value| {
            let it = inexact(it);
            let text = |key: &str| it.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let part = |key: &str| it.get(key).cloned().unwrap_or_default();
            let is_error = it.get("is_error") == Some(&Value::Bool(true));
            let (arguments, output) = (part("arguments"), part("output"));
            ToolCall { call_id: text("call_id"), tool: text("tool"), arguments, output, is_error }
        };
        Some(Self {
            text: text("text")?,
            model: text("model"),
            usage: Usage { input: usage[0], output: usage[1], cached: usage[2] },
            cost: match inexact(value.get("cost")?) {
                Value::String(_) => Cost::Unpriced,
                other => other.as_f64().map_or(Cost::NotBilled, Cost::Usd),
            },
            finish_reason: text("finish_reason"),
            tool_calls: value.get("tool_calls")?.as_array()?.iter().map(call).collect(),
            images: value.get("images")?.as_array()?.iter().map(image).collect::<Option<_>>()?,
            warnings: serde_json::from_value(value.get("warnings")?.clone()).ok()?,
        })
    }
}

impl Form for HttpReply {
    fn write(&self) -> Value {
        let duration_us = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        json!({
            "status": self.status, "headers": self.headers, "body": write_bytes(&self.body), "duration_us": duration_us,
        })
    }

    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            status: u16::try_from(value.get("status")?.as_u64()?).ok()?,
            headers: serde_json::from_value(value.get("headers")?.clone()).ok()?,
            body: read_bytes(value.get("body")?)?,
            duration: Duration::from_micros(value.get("duration_us")?.as_u64()?),
        })
    }
}

impl Form for CommandResult {
    fn write(&self) -> Value {
        json!({"stdout": write_bytes(&self.stdout), "stderr": self.stderr, "status": self.status})
    }

    fn read(value: &Value) -> Option<Self> {
        Some(Self {
            stdout: read_bytes(value.get("stdout")?)?,
            stderr: value.get("stderr")?.as_str()?.to_owned(),
            status: value.get("status")?.as_i64().and_then(|it| i32::try_from(it).ok()),
        })
    }
}

impl Form for CodeResult {
    fn write(&self) -> Value {
        json!({"value": exact(&self.value), "printed": self.printed})
    }

    fn read(value: &Value) -> Option<Self> {
        Some(Self { value: inexact(value.get("value")?), printed: value.get("printed")?.as_str()?.to_owned() })
    }
}

impl Form for Changed {
    fn write(&self) -> Value {
        json!({"before": self.before.as_deref().map(write_bytes), "size": self.size})
    }

    fn read(value: &Value) -> Option<Self> {
        let before = match value.get("before")? {
            Value::Null => None,
            bytes => Some(read_bytes(bytes)?),
        };
        Some(Self { before, size: value.get("size")?.as_u64()? })
    }
}

impl Form for Vec<u8> {
    fn write(&self) -> Value {
        write_bytes(self)
    }

    fn read(value: &Value) -> Option<Self> {
        read_bytes(value)
    }
}

impl Form for Vec<String> {
    fn write(&self) -> Value {
        json!(self)
    }

    fn read(value: &Value) -> Option<Self> {
        serde_json::from_value(value.clone()).ok()
    }
}

impl Form for bool {
    fn write(&self) -> Value {
        (*self).into()
    }

    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Form for () {
    fn write(&self) -> Value {
        Value::Null
    }

    fn read(value: &Value) -> Option<Self> {
        value.is_null().then_some(())
    }
}

impl Form for ExecutionId {
    fn write(&self) -> Value {
        self.as_str().into()
    }

    fn read(value: &Value) -> Option<Self> {
        Self::parse(value.as_str()?).ok()
    }
}

/// The key of a number that JSON text would not bring back to the last bit: its own text, which does.
const FLOAT: &str = "$float";

/// Returns `value` in a form that reads back exactly: the parser of JSON may miss the last bit of a number.
fn exact(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let text = value.to_string();
            let back: Option<Value> = serde_json::from_str(&text).ok();
            if back.as_ref() == Some(value) { value.clone() } else { json!({ FLOAT: text }) }
        }
        Value::Array(items) => items.iter().map(exact).collect(),
        Value::Object(map) if map.contains_key(FLOAT) => json!({ FLOAT: map.iter().map(pair).collect::<Vec<_>>() }),
        Value::Object(map) => Value::Object(map.iter().map(|(key, it)| (key.clone(), exact(it))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn pair((key, value): (&String, &Value)) -> Value {
    json!([key, exact(value)])
}

/// Reads what [`exact`] wrote.
fn inexact(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(inexact).collect(),
        Value::Object(map) => match map.get(FLOAT) {
            Some(Value::String(text)) => text.parse::<f64>().map_or(Value::Null, Value::from),
            Some(Value::Array(pairs)) => {
                let entry = |it: &Value| Some((it.get(0)?.as_str()?.to_owned(), inexact(it.get(1)?)));
                Value::Object(pairs.iter().filter_map(entry).collect::<Map<_, _>>())
            }
            _ => Value::Object(map.iter().map(|(key, it)| (key.clone(), inexact(it))).collect()),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back<T: Form>(outcome: Result<T, Error>) -> Result<T, Error> {
        read(&written(&outcome))
    }

    #[test]
    fn replies_read_back_as_they_were() {
        let model = ModelReply {
            text: "hi".to_owned(),
            model: Some("m-1".to_owned()),
            usage: Usage { input: 3, output: 2, cached: 1 },
            cost: Cost::Usd(0.000_012_345_678_901_234_5),
            finish_reason: None,
            tool_calls: vec![ToolCall {
                call_id: "c".to_owned(),
                tool: "image".to_owned(),
                arguments: json!({"n": 0.1, "$float": 2.5}),
                output: Value::Null,
                is_error: false,
            }],
            images: vec![ReplyImage { media_type: "image/png".to_owned(), bytes: vec![0, 159] }],
            warnings: vec!["slow".to_owned()],
        };
        assert_eq!(back(Ok(model.clone())).expect("a reply"), model);
        for cost in [Cost::NotBilled, Cost::Unpriced] {
            assert_eq!(back(Ok(ModelReply { cost, ..model.clone() })).expect("a reply").cost, cost);
        }
        let http = HttpReply {
            status: 204,
            headers: vec![("x".to_owned(), "1".to_owned()), ("x".to_owned(), "2".to_owned())],
            body: vec![0xff, 0x00],
            duration: Duration::from_micros(1_999),
        };
        assert_eq!(back(Ok(http.clone())).expect("a reply"), http);
        let command = CommandResult { stdout: b"a\n".to_vec(), stderr: "e".to_owned(), status: None };
        assert_eq!(back(Ok(command.clone())).expect("a reply"), command);
    }

    #[test]
    fn numbers_of_code_read_back_to_the_last_bit() {
        let floats: Vec<f64> = (1..2_000).map(|n| 1.0 / f64::from(n) * 1.7e-9).collect();
        let value = json!({"floats": floats, "$float": {"$float": [1, 0.1]}, "whole": [1, -2, u64::MAX]});
        let result = CodeResult { value, printed: "p".to_owned() };
        assert_eq!(back(Ok(result.clone())).expect("a reply"), result);
    }

    #[test]
    fn errors_read_back_with_everything_a_node_looks_at() {
        let error = Error::limit("RATE_LIMITED", "too fast")
            .hint("wait")
            .details(json!({"retry_after_ms": 5}))
            .exception("X")
            .cause(json!({"code": "Y"}))
            .retryable(true);
        let read = back::<()>(Err(Error::limit("RATE_LIMITED", "too fast")
            .hint("wait")
            .details(json!({"retry_after_ms": 5}))
            .exception("X")
            .cause(json!({"code": "Y"}))
            .retryable(true)))
        .expect_err("the error");
        assert_eq!((read.kind(), read.code(), read.is_retryable()), (error.kind(), error.code(), true));
        assert_eq!(read.to_json(), error.to_json());
        assert_eq!(code_of("no code"), "INTERNAL");
        assert!(std::ptr::eq(code_of("RATE_LIMITED"), code_of("RATE_LIMITED")), "kept once");
        assert_eq!(super::read::<bool>("{\"ok\": 1}").expect_err("malformed").code(), "INTERNAL");
    }
}
