//! Reads one message of a client. A plain tool call, which is nearly all there is to read, is taken apart in one
//! pass; the library tries the shape of every request it knows, one after the other, and a tool call is its
//! fourteenth. Whatever is not exactly such a call is read by the library, so there is one set of rules.

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientJsonRpcMessage, ClientRequest, JsonObject, JsonRpcRequest,
    JsonRpcVersion2_0, RequestId, RequestMetaObject,
};
use rmcp::transport::async_rw::{JsonRpcMessageCodec, JsonRpcMessageCodecError};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::bytes::{BufMut, BytesMut};
use tokio_util::codec::Decoder;

use super::misread;

/// What stands in one line.
#[derive(Debug)]
pub enum Line {
    Message(Box<ClientJsonRpcMessage>),
    /// Nothing to answer: a line of something else, or a notification that nobody understands.
    Noise,
    /// Meant as a message, but none: what to say, and to which request.
    NotAMessage(Option<RequestId>, Box<ErrorData>),
}

/// Reads one line, with or without its end.
pub fn read(line: &[u8]) -> Line {
    match read_call(line) {
        Some(call) => Line::Message(Box::new(call)),
        None => read_any(line),
    }
}

/// A tool call as clients send it. Every field it does not name makes it somebody else's to read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call<'a> {
    #[serde(rename = "jsonrpc")]
    _version: JsonRpcVersion2_0,
    id: RequestId,
    method: &'a str,
    params: Params,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    name: String,
    arguments: Option<JsonObject>,
    #[serde(rename = "_meta")]
    meta: Option<JsonObject>,
}

fn read_call(line: &[u8]) -> Option<ClientJsonRpcMessage> {
    let call: Call<'_> = serde_json::from_slice(line).ok().filter(|it: &Call<'_>| it.method == "tools/call")?;
    let mut params = CallToolRequestParams::new(call.params.name);
    params.arguments = call.params.arguments;
    let mut request = CallToolRequest::new(params);
    if let Some(meta) = call.params.meta {
        request.extensions.insert(RequestMetaObject::from(meta));
    }
    Some(ClientJsonRpcMessage::Request(JsonRpcRequest::new(call.id, ClientRequest::CallToolRequest(request))))
}

/// The library's own reading.
fn read_any(line: &[u8]) -> Line {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.is_empty() || line == b"\r" {
        return Line::Noise;
    }
    let mut bytes = BytesMut::with_capacity(line.len() + 1);
    bytes.put_slice(line);
    bytes.put_u8(b'\n');
    match JsonRpcMessageCodec::default().decode(&mut bytes) {
        Ok(Some(message)) => Line::Message(Box::new(message)),
        Err(JsonRpcMessageCodecError::Serde(error)) if error.is_data() || error.is_io() => refused(line),
        // What does not parse has no id that an answer could name; but it may have been meant as a message.
        Err(_) if line.trim_ascii_start().starts_with(b"{") => refused(line),
        Ok(None) | Err(_) => Line::Noise,
    }
}

/// A notification gets no answer, however wrong it is.
fn refused(line: &[u8]) -> Line {
    let is_notification =
        serde_json::from_slice::<Value>(line).is_ok_and(|it| it.get("method").is_some() && it.get("id").is_none());
    if is_notification {
        return Line::Noise;
    }
    let (id, error) = misread::message(line);
    Line::NotAMessage(id, Box::new(error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rmcp::model::GetExtensions;
    use serde_json::json;

    use super::*;

    fn shown(line: &Line) -> String {
        let Line::Message(message) = line else { return format!("{line:?}") };
        let meta = match message.as_ref() {
            ClientJsonRpcMessage::Request(it) => it.request.extensions().get::<RequestMetaObject>(),
            _ => None,
        };
        format!("{message:?} {meta:?}")
    }

    fn check(text: &str) {
        assert_eq!(shown(&read(text.as_bytes())), shown(&read_any(text.as_bytes())), "{text}");
    }

    #[test]
    fn a_tool_call_is_read_as_the_library_reads_it() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[1,2.5,-3,1e300]}}}"#,
            r#"{"method":"tools/call","params":{"name":"a"},"jsonrpc":"2.0","id":"one"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":null,"_meta":null}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"é\"","arguments":{"a":1,"a":2},"_meta":{"progressToken":7,"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
            " {\"jsonrpc\" : \"2.0\", \"id\":3, \"method\":\"tools/call\", \"params\":{\"name\":\"\"}}\r\n",
        ] {
            assert!(read_call(text.as_bytes()).is_some(), "{text}");
            check(text);
        }
    }

    #[test]
    fn what_is_no_plain_tool_call_is_left_to_the_library() {
        for text in [
            "",
            "\n",
            "\r\n",
            "{",
            "[]",
            "null",
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"a"}}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"a"}}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"tools/call","params":{"name":"a"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","requestState":"s"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"a"}}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}"#,
            r#"{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        ] {
            assert!(read_call(text.as_bytes()).is_none(), "{text}");
            check(text);
        }
        check(std::str::from_utf8(&b"\xf0\x9f\x98\x80"[..]).expect("text"));
        assert!(matches!(read(b"{\"a\":\"\xff\"}"), Line::NotAMessage(None, _)));
    }

    #[test]
    fn what_was_meant_as_a_request_is_refused_by_its_id_and_a_notification_never() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":5}"#, "1 -32600"),
            (r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#, "a -32600"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, "2 -32600"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, "- -32600"),
            ("[]", "- -32600"),
            (" {\"jsonrpc\":", "- -32700"),
            (r#"{"jsonrpc":"1.0","method":"ping"}"#, "noise"),
            ("starting up …", "noise"),
        ] {
            let shown = match read(text.as_bytes()) {
                Line::NotAMessage(id, error) => {
                    format!("{} {}", id.map_or("-".into(), |it| it.to_string()), error.code.0)
                }
                Line::Noise => "noise".into(),
                Line::Message(message) => format!("{message:?}"),
            };
            assert_eq!(shown, expected, "{text}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9_f64).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-z_]{0,6}", inner, 0..4)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_readings_agree_on_calls_with_any_parts(
            id in prop_oneof![any::<i64>().prop_map(Value::from), ".{0,6}".prop_map(Value::from), value()],
            method in prop_oneof![Just("tools/call".to_owned()), "[a-z/]{0,12}"],
            name in prop_oneof![".{0,6}".prop_map(Value::from), value()],
            arguments in value(),
            meta in value(),
            extra in prop::option::of(("[a-z]{1,6}", value())),
        ) {
            let mut params = json!({"name": name, "arguments": arguments, "_meta": meta});
            if let Some((key, value)) = extra {
                params[key] = value;
            }
            let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
            check(&message.to_string());
        }

        #[test]
        fn both_readings_agree_on_damaged_calls(at in 0usize..120, with in ".") {
            let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[1,"b"]},"_meta":{"k":1}}}"#;
            let mut chars: Vec<char> = text.chars().collect();
            let at = at % chars.len();
            chars.splice(at..=at, with.chars());
            check(&chars.into_iter().collect::<String>());
        }
    }
}
