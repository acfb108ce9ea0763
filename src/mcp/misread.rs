//! What is wrong with a message that the library could not read. It refuses one without its id or, when only
//! the parameters are wrong, takes it for a request of a method it does not know.

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CancelTaskParams, CompleteRequestParams, CustomRequest, ErrorCode, GetPromptRequestParams,
    GetTaskParams, PaginatedRequestParams, ReadResourceRequestParams, RequestId, SubscriptionsListenRequestParams,
    UpdateTaskParams,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::nearest::nearest;

/// Longest part of a bad message that an answer repeats, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Methods of requests of any revision, each with how its parameters are read.
const METHODS: &[(&str, Reader)] = &[
    ("tools/list", fault::<PaginatedRequestParams>),
    ("tools/call", fault::<CallToolRequestParams>),
    ("resources/list", fault::<PaginatedRequestParams>),
    ("resources/templates/list", fault::<PaginatedRequestParams>),
    ("resources/read", fault::<ReadResourceRequestParams>),
    ("prompts/list", fault::<PaginatedRequestParams>),
    ("prompts/get", fault::<GetPromptRequestParams>),
    ("completion/complete", fault::<CompleteRequestParams>),
    ("subscriptions/listen", fault::<SubscriptionsListenRequestParams>),
    ("server/discover", fault::<Value>),
    ("tasks/get", fault::<GetTaskParams>),
    ("tasks/update", fault::<UpdateTaskParams>),
    ("tasks/cancel", fault::<CancelTaskParams>),
];

type Reader = fn(&CustomRequest) -> String;

/// Says what is wrong with `bytes`, and which request it answers if that can be told.
pub fn message(bytes: &[u8]) -> (Option<RequestId>, ErrorData) {
    match serde_json::from_slice::<Value>(bytes) {
        Err(_) => (None, ErrorData::parse_error("the message is not JSON", None)),
        Ok(Value::Array(_)) => {
            (None, ErrorData::invalid_request("batches do not exist: send one message at a time", None))
        }
        Ok(Value::Object(object)) => {
            let id = object.get("id").and_then(|it| serde_json::from_value(it.clone()).ok());
            (id, ErrorData::invalid_request("this is not a JSON-RPC message of this protocol", None))
        }
        Ok(_) => (None, ErrorData::invalid_request("this is not a JSON-RPC message of this protocol", None)),
    }
}

/// Says why a request was not understood: its parameters do not fit its method, or there is no such method.
/// Without `has_tasks` the methods of tasks do not exist.
pub fn request(request: &CustomRequest, has_tasks: bool) -> ErrorData {
    let method = request.method.as_str();
    let known = || METHODS.iter().filter(|(name, _)| has_tasks || !name.starts_with("tasks/"));
    if let Some((_, reader)) = known().find(|(name, _)| *name == method) {
        let text = format!("the parameters of `{method}` cannot be read: {}", reader(request));
        return ErrorData::invalid_params(cut(&text), Some(json!({"code": "INVALID_INPUT"})));
    }
    let mut data = json!({"code": "METHOD_NOT_FOUND"});
    if let Some(near) = nearest(method, known().map(|(name, _)| *name)) {
        data["hint"] = format!("did you mean `{near}`?").into();
    }
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("no method `{}`", cut(method)), Some(data))
}

/// Returns what keeps the parameters from being read as `T`.
fn fault<T: DeserializeOwned>(request: &CustomRequest) -> String {
    let Some(params) = &request.params else { return "there are none".into() };
    if !params.is_object() {
        return "they must be an object".into();
    }
    // The one mistake that models make: JSON in a text.
    if params.get("arguments").is_some_and(|it| !it.is_object()) {
        return "`arguments` must be an object".into();
    }
    match serde_json::from_value::<T>(params.clone()) {
        Err(error) => error.to_string(),
        Ok(_) => "`_meta` does not fit this protocol".into(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_message_is_told_by_its_code_and_to_whom() {
        for (bytes, id, code) in [
            (&b"{"[..], None, -32700),
            (b"", None, -32700),
            (b"{\"a\": \"\xff\"}", None, -32700),
            (b"[]", None, -32600),
            (b"3", None, -32600),
            (br#"{"id": 7}"#, Some(json!(7)), -32600),
            (br#"{"id": "a", "method": 1}"#, Some(json!("a")), -32600),
            (br#"{"id": {}}"#, None, -32600),
            (br#"{"id": null}"#, None, -32600),
            (br#"{"id": 1.5}"#, None, -32600),
        ] {
            let (found, error) = message(bytes);
            let found = found.map(|it| serde_json::to_value(it).expect("JSON"));
            assert_eq!((found, error.code.0), (id, code), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_known_method_with_wrong_parameters_is_told_from_an_unknown_one() {
        for (method, params, code, text) in [
            ("tools/call", Some(json!({"name": "search", "arguments": "{}"})), -32602, "`arguments` must be an object"),
            ("tools/call", Some(json!({"arguments": {}})), -32602, "missing field `name`"),
            ("tools/call", Some(json!({"name": 5})), -32602, "expected a string"),
            ("resources/read", Some(json!([])), -32602, "they must be an object"),
            ("resources/read", None, -32602, "there are none"),
            ("tools/list", Some(json!({})), -32602, "`_meta` does not fit"),
            ("tasks/get", Some(json!({})), -32601, "no method `tasks/get`"),
            ("initialize", Some(json!({})), -32601, "no method `initialize`"),
            ("tols/list", Some(json!({})), -32601, "no method `tols/list`"),
        ] {
            let error = request(&CustomRequest::new(method, params), false);
            assert_eq!(error.code.0, code, "{method}");
            assert!(error.message.contains(text), "{method}: {}", error.message);
        }
        let near = request(&CustomRequest::new("tols/list", None), false).data.expect("data");
        assert_eq!(near["hint"], "did you mean `tools/list`?");
        assert_eq!(request(&CustomRequest::new("tasks/get", None), true).code.0, -32602);
    }

    #[test]
    fn a_long_mistake_is_cut() {
        let long = "é".repeat(100_000);
        for error in [
            request(&CustomRequest::new(long.clone(), None), false),
            request(&CustomRequest::new("resources/read", Some(json!({"uri": [long]}))), false),
        ] {
            assert!(error.message.chars().count() < 250, "{}", error.message);
        }
    }
}
