//! Results of tool calls: a handler's response or error as `structuredContent` with the same JSON, compact,
//! as text. It must not know what is in them.

use rmcp::model::{CallToolResult, ContentBlock, Resource};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::handlers::execution_object::ExecutionObject;
use crate::shown::{self, Hidden};

/// Returns `response` as structured content and as text.
///
/// # Errors
///
/// `INTERNAL` when it has no JSON form.
pub fn structured(response: &impl Serialize) -> Result<CallToolResult, Error> {
    Ok(CallToolResult::structured(to_json(response)?))
}

/// Returns `response` as one text block and nothing else.
///
/// # Errors
///
/// `INTERNAL` when it has no JSON form.
pub fn document(response: &impl Serialize) -> Result<CallToolResult, Error> {
    Ok(CallToolResult::success(vec![ContentBlock::text(to_json(response)?.to_string())]))
}

/// Returns an execution. Links lead to what was cut from it and to bytes that its outputs refer to.
///
/// # Errors
///
/// `INTERNAL` when it has no JSON form.
pub fn execution(execution: &ExecutionObject) -> Result<CallToolResult, Error> {
    linked(execution, Vec::new())
}

/// Returns what `dipeo_run` answers: an execution that failed or was aborted is an error for a model,
/// in the same shape; a link leads to everything that is known of it.
///
/// # Errors
///
/// `INTERNAL` when it has no JSON form.
pub fn run(execution: &ExecutionObject) -> Result<CallToolResult, Error> {
    let whole = format!("dipeo://executions/{}", execution.execution_id);
    let mut result = linked(execution, vec![whole])?;
    result.is_error = Some(matches!(execution.status.name(), "failed" | "aborted"));
    Ok(result)
}

fn linked(execution: &ExecutionObject, mut uris: Vec<String>) -> Result<CallToolResult, Error> {
    let mut result = structured(execution)?;
    for omitted in &execution.omitted {
        if !uris.contains(&omitted.uri) {
            uris.push(omitted.uri.clone());
        }
    }
    let links = uris.into_iter().map(|uri| {
        let name = uri.rsplit('/').next().unwrap_or_default().to_owned();
        ContentBlock::resource_link(Resource::new(uri, name).with_mime_type("application/json"))
    });
    result.content.extend(links);
    let mut blobs = Vec::new();
    for output in execution.outputs.iter().flat_map(|it| it.values()) {
        blobs_in(output, &mut blobs);
    }
    for (sha256, media_type) in blobs.into_iter().take(BLOB_LINKS_MAX) {
        let link = Resource::new(format!("dipeo://blobs/{sha256}"), sha256).with_mime_type(media_type);
        result.content.push(ContentBlock::resource_link(link));
    }
    Ok(result)
}

/// Returns what was found in a diagram, without hidden characters; `content` is a text to be saved and stays
/// as it is.
///
/// # Errors
///
/// `INTERNAL` when it has no JSON form.
pub fn report(response: &impl Serialize) -> Result<CallToolResult, Error> {
    let mut value = to_json(response)?;
    let content = value.get_mut("content").map(Value::take);
    shown::clean_value(&mut value, &mut Hidden::default());
    if let Some(content) = content {
        value["content"] = content;
    }
    Ok(CallToolResult::structured(value))
}

/// Links to images and other bytes in one answer, at most.
const BLOB_LINKS_MAX: usize = 20;

/// Collects the references to bytes in a value: SHA-256 and media type.
fn blobs_in(value: &Value, found: &mut Vec<(String, String)>) {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    match value {
        Value::Object(map) if map.len() == 3 && map.contains_key("size") => {
            if let (Some(sha256), Some(media_type)) = (text("blob"), text("media_type")) {
                found.push((sha256, media_type));
            }
        }
        Value::Object(map) => map.values().for_each(|it| blobs_in(it, found)),
        Value::Array(items) => items.iter().for_each(|it| blobs_in(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns an error as a model can read it. What lies behind it goes to the log and nowhere else.
pub fn failure(error: &Error) -> CallToolResult {
    log(error);
    CallToolResult::structured_error(json!({"error": error_shown(error)}))
}

/// The error object without hidden characters; texts of others in its particulars are shortened.
pub fn error_shown(error: &Error) -> Value {
    let mut value = error.to_json();
    shown::clean_value(&mut value, &mut Hidden::default());
    shorten(&mut value);
    value
}

/// Longest text inside an error, in characters.
const ERROR_TEXT_CHARS_MAX: usize = 2_000;

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let (shown, left @ 1..) = shown::beginning(text, ERROR_TEXT_CHARS_MAX) {
                *text = format!("{shown}… ({left} more characters)");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(map) => map.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Writes an error that is not the caller's to the log, with its causes.
pub fn log(error: &Error) {
    match error.kind() {
        ErrorKind::Internal => tracing::error!(code = error.code(), "request failed: {}", error.chain()),
        ErrorKind::External => tracing::warn!(code = error.code(), "request failed: {}", error.chain()),
        ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Refused | ErrorKind::Limit => {}
    }
}

fn to_json(response: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(response).map_err(|error| Error::internal("the result has no JSON form").source(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::execution_object::Omitted;

    fn execution(status: &str) -> ExecutionObject {
        serde_json::from_value(json!({
            "execution_id": "exec_1", "status": status,
        }))
        .expect("an execution object")
    }

    fn text(result: &CallToolResult) -> &str {
        &result.content[0].as_text().expect("text").text
    }

    #[test]
    fn text_and_structured_content_are_the_same_json() {
        let result = structured(&json!({"b": 1, "a": "x"})).expect("JSON");
        assert_eq!(text(&result), r#"{"b":1,"a":"x"}"#);
        assert_eq!(result.structured_content, Some(json!({"b": 1, "a": "x"})));
        assert_eq!(result.is_error, Some(false));
    }

    #[test]
    fn a_document_has_no_structured_content() {
        let result = document(&json!({"results": []})).expect("JSON");
        assert_eq!((text(&result), result.content.len()), (r#"{"results":[]}"#, 1));
        assert_eq!(result.structured_content, None);
    }

    #[test]
    fn what_was_cut_is_linked_once() {
        let mut cut = execution("completed");
        for uri in ["dipeo://executions/exec_1", "dipeo://executions/exec_1/messages", "dipeo://executions/exec_1"] {
            cut.omitted.push(Omitted { what: "x".into(), count: 1, uri: uri.into(), cursor: None });
        }
        let uris = |result: CallToolResult| {
            let value = serde_json::to_value(&result.content[1..]).expect("JSON");
            value.as_array().expect("a list").iter().map(|it| it["uri"].clone()).collect::<Vec<_>>()
        };
        let expected = ["dipeo://executions/exec_1", "dipeo://executions/exec_1/messages"];
        assert_eq!(uris(super::execution(&cut).expect("JSON")), expected);
        assert_eq!(uris(run(&cut).expect("JSON")), expected);
        assert_eq!(super::execution(&execution("running")).expect("JSON").content.len(), 1);
    }

    #[test]
    fn a_report_hides_nothing_but_its_text_stays_as_it_is() {
        let result = report(&json!({"content": "a\u{202e}b", "errors": ["a\u{202e}b"]})).expect("JSON");
        assert_eq!(result.structured_content, Some(json!({"errors": ["ab"], "content": "a\u{202e}b"})));
    }

    #[test]
    fn foreign_text_in_an_error_is_clean_and_short() {
        let details = json!({"body": format!("no\u{e0041}{}", "x".repeat(5_000))});
        let error = Error::external("HTTP_STATUS", "`x` answered with status 500").details(details);
        let shown = error_shown(&error);
        let body = shown["details"]["body"].as_str().expect("text");
        assert!(body.starts_with("noxx") && body.ends_with("… (3002 more characters)"), "{body}");
    }

    #[test]
    fn a_run_that_failed_is_an_error_and_one_that_waits_is_not() {
        for (status, is_error) in
            [("completed", false), ("running", false), ("paused", false), ("failed", true), ("aborted", true)]
        {
            let result = run(&execution(status)).expect("JSON");
            assert_eq!(result.is_error, Some(is_error), "{status}");
            assert_eq!(Some(text(&result).to_owned()), result.structured_content.map(|it| it.to_string()));
            let link = serde_json::to_value(&result.content[1]).expect("JSON");
            assert_eq!((&link["type"], &link["uri"]), (&json!("resource_link"), &json!("dipeo://executions/exec_1")));
        }
    }

    #[test]
    fn an_error_shows_code_message_and_hint_but_not_its_source() {
        let error = Error::internal("cannot read").hint("try again").source(std::io::Error::other("secret path"));
        let result = failure(&error);
        let expected = json!({"error": {"code": "INTERNAL", "message": "cannot read", "hint": "try again"}});
        assert_eq!(text(&result), expected.to_string());
        assert_eq!((result.structured_content, result.is_error), (Some(expected), Some(true)));
    }
}
