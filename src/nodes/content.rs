//! Content types: how a connection converts what it carries, and text forms of values
//! (diagrams.md 3.5).

use std::sync::Arc;

use serde_json::{Value, json};

use super::output::Forms;
use crate::diagram::ContentType;
use crate::error::Error;

/// Returns `value` as text: texts as they are, null as nothing, a conversation as its last message,
/// maps and lists as JSON with indent 2, the rest in JSON spelling.
pub fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Object(_) if is_conversation(value) => last_message(value),
        Value::Array(_) | Value::Object(_) => pretty(value),
    }
}

/// Returns JSON text with indent 2 and no newline at the end.
pub fn pretty(value: &Value) -> String {
    // `{:#}` of a value is its JSON text with indent 2 and cannot fail.
    format!("{value:#}")
}

/// Whether `value` is a map whose `messages` is a list of maps with `content`.
pub fn is_conversation(value: &Value) -> bool {
    let is_message = |it: &Value| it.get("content").is_some();
    value.get("messages").and_then(Value::as_array).is_some_and(|it| it.iter().all(is_message))
}

/// Returns the text of a conversation's last message, nothing when it has none.
pub fn last_message(conversation: &Value) -> String {
    let messages = conversation.get("messages").and_then(Value::as_array);
    match messages.and_then(|it| it.last()).and_then(|it| it.get("content")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => pretty(other),
    }
}

/// Whether `value` refers to bytes in the store: `{blob, media_type, size}`.
pub fn is_binary(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|it| it.len() == 3 && ["blob", "media_type", "size"].iter().all(|key| it.contains_key(*key)))
}

/// Reads `text` as JSON, also when it is one fenced code block.
pub fn json_in(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim()).ok().or_else(|| serde_json::from_str(fenced(text)?).ok())
}

/// Returns what stands in the one fenced code block that `text` is.
pub fn fenced(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("```")?.strip_suffix("```")?;
    let (_language, body) = inside.split_once('\n')?;
    Some(body.trim()).filter(|it| !it.contains("\n```"))
}

/// Converts `value` as a connection of type `wanted` does; `forms` are those of a person's reply.
/// `None`: the connection only signals, it delivers no input.
///
/// # Errors
///
/// `CONTENT_TYPE` when `binary` is asked of a value that has no bytes.
pub fn convert(
    value: &Arc<Value>,
    forms: Option<&Forms>,
    wanted: Option<ContentType>,
) -> Result<Option<Arc<Value>>, Error> {
    let converted = match wanted {
        None | Some(ContentType::Generic | ContentType::Variable) => Arc::clone(value),
        Some(ContentType::Empty) => return Ok(None),
        Some(ContentType::RawText) => match forms {
            Some(forms) => Arc::new(Value::String(forms.text.clone())),
            None => to_text(value),
        },
        Some(ContentType::Object) => match forms.and_then(|it| it.object.as_ref()) {
            Some(object) => Arc::new(object.clone()),
            None => to_object(value),
        },
        Some(ContentType::ConversationState) => match forms {
            Some(forms) => Arc::new(forms.conversation.clone()),
            None => to_conversation(value),
        },
        Some(ContentType::Binary) if is_binary(value) => Arc::clone(value),
        Some(ContentType::Binary) => {
            let message = format!("`{}` has no bytes, but the connection asks for binary", excerpt(value));
            return Err(Error::invalid("CONTENT_TYPE", message)
                .hint("use `raw_text` or `object`, or leave the content type out"));
        }
    };
    Ok(Some(converted))
}

fn to_text(value: &Arc<Value>) -> Arc<Value> {
    match &**value {
        Value::String(_) => Arc::clone(value),
        _ if is_binary(value) => Arc::clone(value),
        other => Arc::new(Value::String(as_text(other))),
    }
}

fn to_object(value: &Arc<Value>) -> Arc<Value> {
    match &**value {
        Value::String(text) => Arc::new(json_in(text).unwrap_or_else(|| json!({ "text": text }))),
        _ => Arc::clone(value),
    }
}

fn to_conversation(value: &Arc<Value>) -> Arc<Value> {
    if is_conversation(value) {
        return Arc::clone(value);
    }
    let text = as_text(value);
    let messages = if value.is_null() { json!([]) } else { json!([{"role": "assistant", "content": text}]) };
    Arc::new(json!({ "messages": messages, "last_message": text }))
}

/// Returns the beginning of a value's text, for messages.
pub fn excerpt(value: &Value) -> String {
    const CHARS_MAX: usize = 60;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Value, wanted: Option<ContentType>, expected: Value) {
        let converted = convert(&Arc::new(value.clone()), None, wanted).expect("it converts").expect("it delivers");
        assert_eq!(*converted, expected, "{value} as {wanted:?}");
    }

    #[test]
    fn each_kind_of_value_converts_as_the_table_says() {
        let conversation = json!({"messages": [{"content": "hi"}, {"content": "last"}]});
        let blob = json!({"blob": "b1", "media_type": "image/png", "size": 3});
        for (value, expected) in [
            (json!("t"), json!("t")),
            (json!(null), json!("")),
            (json!(42), json!("42")),
            (json!(true), json!("true")),
            (json!(1.5), json!("1.5")),
            (json!({"a": [1, 2]}), json!("{\n  \"a\": [\n    1,\n    2\n  ]\n}")),
            (json!([]), json!("[]")),
            (conversation.clone(), json!("last")),
            (blob.clone(), blob.clone()),
        ] {
            check(value, Some(ContentType::RawText), expected);
        }
        for (value, expected) in [
            (json!("{\"a\": 1}"), json!({"a": 1})),
            (json!("```json\n[1, 2]\n```"), json!([1, 2])),
            (json!("plain words"), json!({"text": "plain words"})),
            (json!("42"), json!(42)),
            (json!(42), json!(42)),
            (json!(null), json!(null)),
        ] {
            check(value, Some(ContentType::Object), expected);
        }
        for (value, expected) in [
            (conversation.clone(), conversation.clone()),
            (json!(null), json!({"messages": [], "last_message": ""})),
            (json!(5), json!({"messages": [{"role": "assistant", "content": "5"}], "last_message": "5"})),
        ] {
            check(value, Some(ContentType::ConversationState), expected);
        }
        for wanted in [None, Some(ContentType::Generic), Some(ContentType::Variable)] {
            check(json!([1]), wanted, json!([1]));
        }
        check(blob.clone(), Some(ContentType::Binary), blob);
    }

    #[test]
    fn empty_delivers_nothing_and_binary_asks_for_bytes() {
        let value = Arc::new(json!("text"));
        assert_eq!(convert(&value, None, Some(ContentType::Empty)).expect("empty never fails"), None);
        let error = convert(&value, None, Some(ContentType::Binary)).expect_err("a text has no bytes");
        assert_eq!(error.code(), "CONTENT_TYPE");
    }

    #[test]
    fn each_connection_takes_the_form_of_a_reply_it_asks_for() {
        let value = Arc::new(json!({"a": 1}));
        let forms = Forms {
            text: "{\"a\":1}".to_owned(),
            object: Some(json!({"a": 1})),
            conversation: json!({"messages": [{"content": "x"}]}),
        };
        for (wanted, expected) in [
            (None, json!({"a": 1})),
            (Some(ContentType::RawText), json!("{\"a\":1}")),
            (Some(ContentType::Object), json!({"a": 1})),
            (Some(ContentType::ConversationState), json!({"messages": [{"content": "x"}]})),
        ] {
            let converted = convert(&value, Some(&forms), wanted).expect("it converts");
            assert_eq!(converted.as_deref(), Some(&expected), "{wanted:?}");
        }
    }
}
