//! The body of a chat-completions request. Pure.

use serde_json::{Map, Value, json};

use super::Endpoint;
use super::failure::Failed;
use crate::nodes::ports::{ModelRequest, Purpose};

/// What to say to a model whose server takes no schema of this kind.
const SCHEMA_PROMPT: &str = include_str!("../../../resources/prompts/reply_schema.md");

/// Keywords that OpenAI's strict mode takes; a schema with another one is sent without `strict`, and the
/// reply is checked here in any case.
const STRICT_KEYWORDS: &[&str] = &[
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "const",
    "anyOf",
    "description",
    "title",
    "$ref",
    "$defs",
    "definitions",
    "$schema",
];

/// How a server wants the parameters on which servers disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    max_tokens_key: &'static str,
    /// Whether the other key was tried before: each parameter is adapted once at most.
    has_swapped_keys: bool,
    takes_temperature: bool,
}

const MAX_TOKENS: &str = "max_tokens";
const MAX_COMPLETION_TOKENS: &str = "max_completion_tokens";

impl Dialect {
    /// OpenAI's own newer models refuse `max_tokens`; most other servers know nothing else.
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let is_openai = endpoint.base_url.contains("://api.openai.com");
        let max_tokens_key = if is_openai { MAX_COMPLETION_TOKENS } else { MAX_TOKENS };
        Self { max_tokens_key, has_swapped_keys: false, takes_temperature: true }
    }

    /// Returns the dialect to try after `refusal`, if it complains of a parameter that can be said in
    /// another way. A temperature that the diagram asked for is never dropped: that is the user's to know.
    pub(super) fn adapted(self, request: &ModelRequest, refusal: &Failed) -> Option<Self> {
        match refusal.refused_parameter()? {
            key if key == self.max_tokens_key && !self.has_swapped_keys => {
                let max_tokens_key = if key == MAX_TOKENS { MAX_COMPLETION_TOKENS } else { MAX_TOKENS };
                Some(Self { max_tokens_key, has_swapped_keys: true, ..self })
            }
            "temperature" if self.takes_temperature && request.purpose != Purpose::Reply => {
                Some(Self { takes_temperature: false, ..self })
            }
            _ => None,
        }
    }
}

/// Returns the body of the request.
pub(super) fn body(request: &ModelRequest, model: &str, dialect: Dialect) -> Value {
    let mut messages: Vec<Value> =
        request.messages.iter().map(|it| json!({"role": it.role, "content": it.content})).collect();
    let mut body = Map::new();
    body.insert("model".into(), model.into());
    if let Some(schema) = request.schema.as_ref().filter(|it| !is_object_schema(it)) {
        let content = format!("{SCHEMA_PROMPT}{schema}");
        messages.insert(0, json!({"role": "system", "content": content}));
    }
    body.insert("messages".into(), messages.into());
    if let Some(schema) = request.schema.as_ref().filter(|it| is_object_schema(it)) {
        let form = json!({"name": "reply", "strict": is_strict(schema), "schema": schema});
        body.insert("response_format".into(), json!({"type": "json_schema", "json_schema": form}));
    }
    if let Some(temperature) = request.temperature.filter(|_| dialect.takes_temperature) {
        body.insert("temperature".into(), temperature.into());
    }
    if let Some(max_tokens) = request.max_tokens {
        body.insert(dialect.max_tokens_key.into(), max_tokens.into());
    }
    Value::Object(body)
}

/// Servers take a schema only when its root is an object.
fn is_object_schema(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object")
}

/// Whether strict mode takes `schema`: known keywords only, and every object names all its properties as
/// required and allows no others.
fn is_strict(schema: &Value) -> bool {
    let Some(map) = schema.as_object() else { return false };
    let every = |key: &str| match map.get(key) {
        Some(Value::Array(items)) => items.iter().all(is_strict),
        Some(Value::Object(named)) => named.values().all(is_strict),
        _ => true,
    };
    map.keys().all(|it| STRICT_KEYWORDS.contains(&it.as_str()))
        && (!is_object_schema(schema) || is_closed(map))
        && map.get("items").is_none_or(is_strict)
        && ["properties", "$defs", "definitions", "anyOf"].into_iter().all(every)
}

fn is_closed(map: &Map<String, Value>) -> bool {
    let required: Vec<&str> =
        map.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut names = map.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    map.get("additionalProperties") == Some(&Value::Bool(false)) && names.all(|it| required.contains(&it.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_is_asked_for_only_where_strict_mode_takes_the_schema() {
        let closed = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": false});
        for (schema, expected) in [
            (closed.clone(), true),
            (json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}), false),
            (json!({"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": false}), false),
            (
                json!({"type": "object", "properties": {"l": {"type": "array", "items": closed}}, "required": ["l"], "additionalProperties": false}),
                true,
            ),
            (
                json!({"type": "object", "properties": {"s": {"type": "string", "not": {}}}, "required": ["s"], "additionalProperties": false}),
                false,
            ),
        ] {
            assert_eq!(is_strict(&schema), expected, "{schema}");
        }
    }
}
