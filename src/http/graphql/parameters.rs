//! What a client asks: the document and what goes with it, read strictly. A field that nobody knows, or of the
//! wrong type, is an error that names it, whatever transport it came by.

use async_graphql::Variables;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::nearest::nearest;

/// The names of the parameters (GraphQL over HTTP, "Request Parameters").
const NAMES: [&str; 4] = ["query", "operationName", "variables", "extensions"];

/// One request for one operation.
#[derive(Debug, Default)]
pub struct Parameters {
    pub query: String,
    pub operation_name: Option<String>,
    pub variables: Variables,
}

impl Parameters {
    /// Reads the text of a JSON object.
    ///
    /// # Errors
    ///
    /// `INVALID_JSON`, `INVALID_INPUT` with every problem.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let value = serde_json::from_slice(text).map_err(|problem| {
            Error::invalid("INVALID_JSON", format!("the request is not JSON: {problem}"))
                .hint("send an object such as {\"query\": \"{ __typename }\"}")
        })?;
        Self::read(value)
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` with every problem.
    pub fn read(value: Value) -> Result<Self, Error> {
        let mut fields = match value {
            Value::Object(fields) => fields,
            Value::Array(_) => {
                return Err(wrong(vec!["a list of requests is not taken".to_owned()])
                    .hint("send one request at a time; one operation may have many fields"));
            }
            other => return Err(wrong(vec![format!("the request is {}, not an object", kind_of(&other))])),
        };
        let mut problems = Vec::new();
        let query = match fields.remove("query") {
            Some(Value::String(text)) => text,
            None => {
                problems.push("`query` is missing".to_owned());
                String::new()
            }
            Some(other) => {
                problems.push(format!("`query` is {}, not a text", kind_of(&other)));
                String::new()
            }
        };
        let operation_name = match fields.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(other) => {
                problems.push(format!("`operationName` is {}, not a text", kind_of(&other)));
                None
            }
        };
        let variables = object(&mut fields, "variables", &mut problems);
        // Nobody asks for an extension here; they are checked and left alone.
        object(&mut fields, "extensions", &mut problems);
        problems.extend(fields.keys().map(|name| unknown(name)));
        if !problems.is_empty() {
            return Err(wrong(problems));
        }
        Ok(Self { query, operation_name, variables: Variables::from_json(Value::Object(variables)) })
    }
}

fn object(fields: &mut Map<String, Value>, name: &str, problems: &mut Vec<String>) -> Map<String, Value> {
    match fields.remove(name) {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(map)) => map,
        Some(other) => {
            problems.push(format!("`{name}` is {}, not an object", kind_of(&other)));
            Map::new()
        }
    }
}

fn unknown(name: &str) -> String {
    let shown: String = name.chars().take(60).collect();
    match nearest(name, NAMES) {
        Some(near) => format!("there is no field `{shown}`; did you mean `{near}`?"),
        None => format!("there is no field `{shown}`"),
    }
}

fn wrong(problems: Vec<String>) -> Error {
    Error::invalid("INVALID_INPUT", problems.join("; "))
        .hint("a request has `query` and, as it needs them, `variables`, `operationName` and `extensions`")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_of_a_request_is_named_at_once() {
        for (text, expected) in [
            ("{\"query\": \"{a}\"}", "fine"),
            ("{\"query\": \"{a}\", \"operationName\": null, \"variables\": null, \"extensions\": null}", "fine"),
            ("{\"query\": \"{a}\", \"variables\": {\"any key\": [1]}, \"extensions\": {\"x\": 1}}", "fine"),
            ("{}", "`query` is missing"),
            ("{\"qeury\": \"{a}\"}", "`query` is missing; there is no field `qeury`; did you mean `query`?"),
            (
                "{\"query\": 1, \"operationName\": [], \"variables\": \"x\", \"extensions\": false}",
                "`query` is a number, not a text; `operationName` is a list, not a text; \
                 `variables` is a text, not an object; `extensions` is a boolean, not an object",
            ),
            ("[{\"query\": \"{a}\"}]", "a list of requests is not taken"),
            ("[]", "a list of requests is not taken"),
            ("1", "the request is a number, not an object"),
        ] {
            let found = Parameters::parse(text.as_bytes()).map_or_else(|it| it.to_string(), |_| "fine".to_owned());
            assert_eq!(found, expected, "{text}");
        }
        for text in ["", "{", "{\"query\": \"{a}\"", "\u{0}", &"[".repeat(100_000)] {
            assert_eq!(Parameters::parse(text.as_bytes()).expect_err("refused").code(), "INVALID_JSON");
        }
    }
}
