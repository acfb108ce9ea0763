//! Schemas as services take them: whole, reduced to the keywords a service knows, or told in words. The
//! reply is checked against the whole schema in any case. Pure.

use serde_json::{Map, Value};

use super::endpoint::Dialect;
use crate::nodes::ports::ModelRequest;

/// What to say to a model whose service takes no schema of this kind.
const SCHEMA_PROMPT: &str = include_str!("../../resources/prompts/reply_schema.md");

/// How the schema of a request goes out.
#[derive(Debug, PartialEq)]
pub(super) enum Sent {
    /// None was asked for.
    Nothing,
    /// Where the format has a place for it.
    Native(Value),
    /// As a system message.
    Words(String),
}

/// Decides how the schema goes out; `fit` makes of it what the service takes, if that can be done.
pub(super) fn sent(request: &ModelRequest, dialect: Dialect, fit: impl Fn(&Value) -> Option<Value>) -> Sent {
    let Some(schema) = &request.schema else { return Sent::Nothing };
    let native = if dialect.takes_schema && is_object_schema(schema) { fit(schema) } else { None };
    native.map_or_else(|| Sent::Words(format!("{SCHEMA_PROMPT}{schema}")), Sent::Native)
}

/// Services take a schema only when its root is an object.
fn is_object_schema(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object")
}

/// Keywords that OpenAI's strict mode takes; a schema with another one is sent without `strict`.
const STRICT_KEYWORDS: [&str; 14] = [
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

/// Whether strict mode takes `schema`: known keywords only, and every object names all its properties as
/// required and allows no others.
pub(super) fn is_strict(schema: &Value) -> bool {
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

/// What a service knows of JSON Schema.
pub(super) struct Subset {
    /// Other keywords are moved into the description, where the model still reads them.
    pub keywords: &'static [&'static str],
    /// Whether every object must be closed, so that a map of free keys cannot be said at all.
    pub closes_objects: bool,
}

/// Keywords of Anthropic's structured outputs.
pub(super) const ANTHROPIC: Subset = Subset {
    keywords: &[
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "enum",
        "const",
        "anyOf",
        "allOf",
        "description",
        "title",
        "$ref",
        "$defs",
        "definitions",
    ],
    closes_objects: true,
};

/// Keywords of Gemini's `responseJsonSchema`.
pub(super) const GEMINI: Subset = Subset {
    keywords: &[
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "prefixItems",
        "enum",
        "anyOf",
        "oneOf",
        "description",
        "title",
        "$ref",
        "$defs",
        "$id",
        "$anchor",
        "format",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
    ],
    closes_objects: false,
};

/// Returns `schema` in the keywords of `subset`, `None` when it cannot be said in them.
pub(super) fn reduced(schema: &Value, subset: &Subset) -> Option<Value> {
    let Value::Object(map) = schema else { return None };
    let mut kept = Map::new();
    let mut lost = Map::new();
    for (key, value) in map {
        match key.as_str() {
            "$schema" => {}
            "oneOf" if !subset.keywords.contains(&"oneOf") => {
                kept.insert("anyOf".to_owned(), reduced_list(value, subset)?);
            }
            "const" if !subset.keywords.contains(&"const") => {
                kept.insert("enum".to_owned(), Value::Array(vec![value.clone()]));
            }
            name if !subset.keywords.contains(&name) => {
                lost.insert(key.clone(), value.clone());
            }
            name => {
                kept.insert(key.clone(), reduced_value(name, value, subset)?);
            }
        }
    }
    if subset.closes_objects && is_object_schema(schema) {
        close(&mut kept)?;
    }
    tell(&mut kept, &lost);
    Some(Value::Object(kept))
}

fn reduced_value(key: &str, value: &Value, subset: &Subset) -> Option<Value> {
    match (key, value) {
        ("properties" | "$defs" | "definitions", Value::Object(named)) => {
            let named = named.iter().map(|(name, it)| Some((name.clone(), reduced(it, subset)?)));
            Some(Value::Object(named.collect::<Option<_>>()?))
        }
        ("anyOf" | "oneOf" | "allOf" | "prefixItems", _) => reduced_list(value, subset),
        ("items" | "additionalProperties", Value::Object(_)) => reduced(value, subset),
        _ => Some(value.clone()),
    }
}

fn reduced_list(value: &Value, subset: &Subset) -> Option<Value> {
    let items = value.as_array()?.iter().map(|it| reduced(it, subset));
    Some(Value::Array(items.collect::<Option<_>>()?))
}

/// Closes an object, unless closing it would forbid what it is there for.
fn close(map: &mut Map<String, Value>) -> Option<()> {
    let has_names = map.get("properties").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
    let is_free = matches!(map.get("additionalProperties"), Some(Value::Object(_) | Value::Bool(true)));
    if !has_names || is_free {
        return None;
    }
    map.insert("additionalProperties".to_owned(), Value::Bool(false));
    Some(())
}

/// Puts what the service has no keyword for into the description.
fn tell(map: &mut Map<String, Value>, lost: &Map<String, Value>) {
    lost.iter().for_each(|(key, value)| {
        let told = format!("{key}: {value}");
        let before = map.get("description").and_then(Value::as_str).unwrap_or_default();
        let description = if before.is_empty() { told } else { format!("{before} ({told})") };
        map.insert("description".to_owned(), description.into());
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    #[test]
    fn what_a_service_has_no_keyword_for_is_told_or_keeps_the_schema_out() {
        let age = json!({"type": "integer", "minimum": 1, "description": "years"});
        let person = json!({"$schema": "x", "type": "object", "properties": {"age": age}, "required": ["age"]});
        for (subset, schema, expected) in [
            (
                &ANTHROPIC,
                person.clone(),
                Some(json!({
                    "type": "object",
                    "properties": {"age": {"type": "integer", "description": "years (minimum: 1)"}},
                    "required": ["age"],
                    "additionalProperties": false,
                })),
            ),
            (&GEMINI, person, Some(json!({"type": "object", "properties": {"age": age}, "required": ["age"]}))),
            (&ANTHROPIC, json!({"oneOf": [{"type": "null"}]}), Some(json!({"anyOf": [{"type": "null"}]}))),
            (
                &GEMINI,
                json!({"const": "a", "pattern": "^a"}),
                Some(json!({"enum": ["a"], "description": "pattern: \"^a\""})),
            ),
            (&ANTHROPIC, json!({"type": "object"}), None),
            (&ANTHROPIC, json!({"type": "object", "additionalProperties": {"type": "string"}}), None),
            (&ANTHROPIC, json!({"type": "array", "items": {"type": "object", "properties": {}}}), None),
            (&GEMINI, json!({"type": "object"}), Some(json!({"type": "object"}))),
            (&GEMINI, json!({"anyOf": true}), None),
        ] {
            assert_eq!(reduced(&schema, subset), expected, "{schema}");
        }
    }
}
