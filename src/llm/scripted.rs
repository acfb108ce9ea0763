//! `service: scripted`: answers from the diagram itself, offline (diagrams.md 3.14). For examples, tests
//! and demos; it takes the same path as a provider, delays and failures included.

use std::time::Duration;

use serde_json::{Value, json};

use crate::diagram::model::WhenExhausted;
use crate::diagram::{Person, Script};
use crate::error::Error;
use crate::nodes::ports::{ModelReply, ModelRequest, Purpose, Usage, one_line_json};

/// The name of the model when the person gives none.
pub(super) const MODEL: &str = "scripted";

/// Answers the `nth` call of the person by its script.
///
/// # Errors
///
/// `LLM_FAILED`: what the script says, or that it is used up.
pub(super) async fn call(request: &ModelRequest) -> Result<ModelReply, Error> {
    let entry = match request.purpose {
        Purpose::Reply => reply_entry(request)?,
        Purpose::Selection { n_candidates } => selection_entry(request, n_candidates)?,
    };
    if let Some(delay) = delay_of(&entry) {
        tokio::time::sleep(delay).await;
    }
    let text = text_of(&request.person, &entry)?;
    let usage =
        Usage { input: request.messages.iter().map(|it| words(&it.content)).sum(), output: words(&text), cached: 0 };
    let model = request.person.model.clone().unwrap_or_else(|| MODEL.to_owned());
    if let Some(sink) = &request.sink {
        sink.send(&text);
    }
    Ok(ModelReply { text, model: Some(model), usage, finish_reason: Some("stop".to_owned()), ..ModelReply::default() })
}

/// Without `replies` the person echoes its prompt.
fn reply_entry(request: &ModelRequest) -> Result<Value, Error> {
    match &request.person.script.replies {
        Some(replies) => nth_entry(request, replies, "replies"),
        None => Ok(request.messages.last().map(|it| it.content.clone()).unwrap_or_default().into()),
    }
}

/// Without `selections` the person keeps everything.
fn selection_entry(request: &ModelRequest, n_candidates: usize) -> Result<Value, Error> {
    match &request.person.script.selections {
        Some(selections) => nth_entry(request, selections, "selections"),
        None => Ok((1..=n_candidates).collect::<Vec<_>>().into()),
    }
}

fn nth_entry(request: &ModelRequest, entries: &[Value], list: &str) -> Result<Value, Error> {
    let person = &request.person;
    let nth = usize::try_from(request.nth).unwrap_or(usize::MAX);
    position(&person.script, entries.len(), nth).and_then(|it| entries.get(it)).cloned().ok_or_else(|| {
        let message = format!(
            "the script of `{}` is used up: `{list}` has {} and call {} came",
            person.label,
            entries.len(),
            request.nth + 1
        );
        Error::external("LLM_FAILED", message).hint("add replies, or set `when_exhausted: repeat_last` or `cycle`")
    })
}

fn position(script: &Script, n_entries: usize, nth: usize) -> Option<usize> {
    match script.when_exhausted {
        _ if nth < n_entries => Some(nth),
        WhenExhausted::Fail => None,
        WhenExhausted::RepeatLast => n_entries.checked_sub(1),
        WhenExhausted::Cycle => nth.checked_rem(n_entries),
    }
}

fn delay_of(entry: &Value) -> Option<Duration> {
    entry.get("delay_ms").and_then(Value::as_u64).filter(|it| *it > 0).map(Duration::from_millis)
}

/// Reads one entry: a text, `{text}`, `{json}`, `{error, retryable}`; any other plain value is its JSON.
fn text_of(person: &Person, entry: &Value) -> Result<String, Error> {
    let map = match entry {
        Value::String(text) => return Ok(text.clone()),
        Value::Object(map) => map,
        other => return Ok(one_line_json(other)),
    };
    if let Some(error) = map.get("error") {
        let is_retryable = map.get("retryable").and_then(Value::as_bool).unwrap_or(true);
        return Err(scripted_failure(person, error, is_retryable));
    }
    if let Some(json) = map.get("json") {
        return Ok(one_line_json(json));
    }
    if let Some(text) = map.get("text") {
        return Ok(text.as_str().map_or_else(|| one_line_json(text), str::to_owned));
    }
    let message = format!("an entry in the script of `{}` is neither a text nor an error", person.label);
    Err(Error::external("LLM_FAILED", message)
        .hint("write a text, `{text: …}`, `{json: …}` or `{error: …}`")
        .details(json!({"entry": entry})))
}

fn scripted_failure(person: &Person, error: &Value, is_retryable: bool) -> Error {
    let text = error.as_str().map_or_else(|| one_line_json(error), str::to_owned);
    Error::external("LLM_FAILED", format!("`{}` is scripted to fail: {text}", person.label)).retryable(is_retryable)
}

fn words(text: &str) -> u64 {
    u64::try_from(text.split_whitespace().count()).unwrap_or(u64::MAX)
}
