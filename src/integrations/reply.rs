//! A reply made into a value: decoded, checked, cut out, transformed.

use serde_json::Value;

use super::manifest::Operation;
use super::pointer::Pointer;
use super::template::Names;
use crate::error::Error;

/// How much of a refusing reply stands in the failure's details, in characters.
const EXCERPT_CHARS_MAX: usize = 2_000;
/// How much of it stands in the message, in characters.
const REASON_CHARS_MAX: usize = 200;

/// The content of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// JSON as its value, text as text, nothing as null.
    Value(Value),
    Binary {
        media_type: String,
    },
}

/// Decodes a body by its media type; JSON is recognised without one, too.
pub fn decode(body: &[u8], content_type: Option<&str>) -> Content {
    if body.is_empty() {
        return Content::Value(Value::Null);
    }
    let media_type = content_type.and_then(|it| it.split(';').next()).unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = media_type.ends_with("/json") || media_type.ends_with("+json");
    if let Ok(value) = serde_json::from_slice(body)
        && (is_json || media_type.is_empty())
    {
        return Content::Value(value);
    }
    let is_text = is_json
        || media_type.is_empty()
        || media_type.starts_with("text/")
        || ["xml", "javascript", "x-www-form-urlencoded", "yaml", "csv"].iter().any(|it| media_type.ends_with(it));
    match std::str::from_utf8(body) {
        Ok(text) if is_text => Content::Value(Value::String(text.to_owned())),
        _ if media_type.is_empty() => Content::Binary { media_type: "application/octet-stream".to_owned() },
        _ => Content::Binary { media_type },
    }
}

/// Maps the body of a successful reply to the value of the call.
///
/// # Errors
///
/// `VALIDATION_FAILED` when it does not fit the operation's schema, `PARSE_FAILED` when the place of
/// `json_pointer` is not there, `TEMPLATE_FAILED` for a transform that fails or renders no JSON.
pub fn map(operation: &Operation, body: Value) -> Result<Value, Error> {
    let response = &operation.response;
    if let Some(schema) = &response.schema
        && !body.is_null()
    {
        let checked = schema.check(&body, &format!("the reply of `{}`", operation.name), false);
        checked.map_err(|error| with_reason(error, operation, &body))?;
    }
    let value = match response.pointer.find(&body) {
        Some(found) => found.clone(),
        None if body.is_null() => Value::Null,
        None => {
            let message = format!("the reply of `{}` has nothing at `{}`", operation.name, response.pointer.text());
            return Err(Error::external("PARSE_FAILED", message)
                .hint("look at the reply with `dipeo integrations test`, and correct `response.json_pointer`"));
        }
    };
    let Some(transform) = &response.transform else { return Ok(value) };
    let mut names = Names::default();
    names.set("response", value);
    let text = transform.render(&names)?;
    serde_json::from_str(&text).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Error::invalid("TEMPLATE_FAILED", format!("the transform of `{}` renders no JSON at {place}", operation.name))
            .hint("write `{{ response.x }}` for a value, `\"{{ response.x }}\"` for its text")
            .source(error)
    })
}

/// Some providers refuse with a status of success; what they say at `error_json_pointer` is the reason.
fn with_reason(error: Error, operation: &Operation, body: &Value) -> Error {
    let said = operation.response.error_pointer.as_ref().and_then(|it| it.find(body)).filter(|it| !it.is_null());
    let Some(said) = said else { return error };
    let said: String = super::request::as_text(said).chars().take(REASON_CHARS_MAX).collect();
    Error::invalid("VALIDATION_FAILED", format!("`{}` was refused: {said} ({})", operation.name, error.message()))
        .hint("look the reason up in the provider's documentation")
}

/// The reason a refusing reply gives: what stands at `error_json_pointer`, else the usual places.
pub fn reason(operation: &Operation, body: &Value) -> Option<String> {
    let usual = ["/error/message", "/message", "/error_description", "/error", "/detail", "/title"];
    let own = operation.response.error_pointer.iter().filter_map(|it| it.find(body));
    let usual = usual.iter().filter_map(|it| Pointer::parse(it).ok()?.find(body));
    let found = own.chain(usual).find(|it| !it.is_null())?;
    let text = super::request::as_text(found);
    Some(text.chars().take(REASON_CHARS_MAX).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The beginning of a body, for the details of a failure.
pub fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(EXCERPT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::integrations::read;

    fn operation(response: &str) -> Operation {
        let text = format!(
            "name: x\nbase_url: http://x\nauth: {{strategy: none}}\noperations:\n  a:\n    method: GET\n    path: /\n    response: {response}\n"
        );
        let read = read(&text);
        read.manifest.unwrap_or_else(|| panic!("{:?}", read.diagnostics)).operations.remove(0)
    }

    #[test]
    fn bodies_are_decoded_by_their_type() {
        for (body, media_type, expected) in [
            ("{\"a\":1}", Some("application/json; charset=utf-8"), Some(json!({"a": 1}))),
            ("{\"a\":1}", Some("application/problem+json"), Some(json!({"a": 1}))),
            ("{\"a\":1}", None, Some(json!({"a": 1}))),
            ("{\"a\":1}", Some("text/plain"), Some(json!("{\"a\":1}"))),
            ("not json", Some("application/json"), Some(json!("not json"))),
            ("<a/>", Some("application/atom+xml"), Some(json!("<a/>"))),
            ("", Some("image/png"), Some(Value::Null)),
            ("png", Some("image/png"), None),
        ] {
            let expected = expected.map_or(Content::Binary { media_type: "image/png".to_owned() }, Content::Value);
            assert_eq!(decode(body.as_bytes(), media_type), expected, "{body} {media_type:?}");
        }
        assert!(matches!(decode(&[0xff, 0xfe], Some("text/plain")), Content::Binary { .. }));
    }

    #[test]
    fn replies_are_cut_out_and_transformed() {
        let body = json!({"items": [{"id": 1, "t": "a\"b"}], "n": 2});
        for (response, expected) in [
            ("{}", Ok(body.clone())),
            ("{json_pointer: $.items}", Ok(body["items"].clone())),
            (
                "{json_pointer: /items, transform: '[{% for it in response %}{\"x\": \"{{ it.t }}\"}{% endfor %}]'}",
                Ok(json!([{"x": "a\"b"}])),
            ),
            ("{transform: '{{ response.n + 1 }}'}", Ok(json!(3))),
            ("{json_pointer: $.nope}", Err("PARSE_FAILED")),
            ("{transform: 'no json'}", Err("TEMPLATE_FAILED")),
            ("{transform: '{{ response.nope }}'}", Err("TEMPLATE_FAILED")),
            ("{schema: {type: object, required: [zip]}}", Err("VALIDATION_FAILED")),
        ] {
            let mapped = map(&operation(response), body.clone()).map_err(|it| it.code());
            assert_eq!(mapped, expected, "{response}");
        }
    }

    #[test]
    fn the_reason_of_a_refusal_is_found() {
        for (response, body, expected) in [
            ("{error_json_pointer: $.oops}", json!({"oops": "no\n such", "message": "other"}), Some("no such")),
            ("{}", json!({"error": {"message": "bad"}}), Some("bad")),
            ("{}", json!({"message": "m"}), Some("m")),
            ("{}", json!("text"), None),
        ] {
            assert_eq!(reason(&operation(response), &body).as_deref(), expected, "{body}");
        }
    }
}
