//! Messages of a client that measures: written once, filled with an id, and every answer compared whole.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::Outcome;

/// Revision of the protocol that begins with a handshake.
pub const LEGACY: &str = "2025-11-25";
/// Revision without one: every request says it all.
pub const MODERN: &str = "2026-07-28";

/// A request but for its id.
#[derive(Clone, Debug)]
pub struct Message {
    pub method: &'static str,
    /// The tool, where it is a call.
    pub tool: Option<String>,
    pub is_modern: bool,
    rest: String,
}

impl Message {
    pub fn new(method: &'static str, params: &Value) -> Self {
        let rest = format!(r#","method":"{method}","params":{params}}}"#);
        Self { method, tool: None, is_modern: false, rest }
    }

    /// A call as a client after its handshake sends it.
    pub fn call(tool: &str, arguments: &Value) -> Self {
        let message = Self::new("tools/call", &json!({"name": tool, "arguments": arguments}));
        Self { tool: Some(tool.to_owned()), ..message }
    }

    /// A call that says everything about its client.
    pub fn modern_call(tool: &str, arguments: &Value) -> Self {
        let message = Self::modern("tools/call", json!({"name": tool, "arguments": arguments}));
        Self { tool: Some(tool.to_owned()), ..message }
    }

    /// Any request that says everything about its client.
    pub fn modern(method: &'static str, mut params: Value) -> Self {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
        });
        Self { is_modern: true, ..Self::new(method, &params) }
    }

    /// The first message of a client with a handshake.
    pub fn initialize() -> Self {
        let client = json!({"name": "bench", "version": "1"});
        Self::new("initialize", &json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client}))
    }

    /// The text with this id.
    pub fn with_id(&self, id: u64) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id}{}"#, self.rest)
    }
}

/// An answer, as far as it is looked at.
#[derive(Deserialize)]
pub struct Answer<'a> {
    pub id: u64,
    /// Absent where the answer is an error.
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

impl<'a> Answer<'a> {
    pub fn read(text: &'a str) -> Outcome<Self> {
        serde_json::from_str(text).map_err(|error| format!("not an answer ({error}): {text}").into())
    }

    /// The result as it stands on the wire, refused when it is an error of any kind or not `expected`.
    pub fn result(&self, expected: Option<&str>) -> Outcome<&'a str> {
        let result = self.result.ok_or("a request was answered with an error")?.get();
        match expected {
            Some(expected) if expected != result => Err(format!("a wrong answer: {result}").into()),
            None if result.contains(r#""isError":true"#) => Err(format!("a call failed: {result}").into()),
            _ => Ok(result),
        }
    }
}
