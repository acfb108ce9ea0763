//! JSON Schemas as clients want them: small, without what some of them warn about or refuse
//! (`format: uint32`, nullable types, `$schema`, `$defs`). It must not know which tool a schema is for.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Returns the schema of the arguments that serde reads into `T`.
pub fn input_schema<T: JsonSchema>() -> JsonObject {
    let mut schema = raw_schema::<T>();
    schema.remove("description");
    schema
}

/// Returns a short schema of what `T` serializes to: the properties named in `shown` with their type
/// alone, of which the first `required_n` are always there. Other properties are allowed.
///
/// An answer that is an error has the one property `error`, which clients check against the same
/// schema: hence the alternative.
pub fn output_schema<T: JsonSchema>(shown: &[&str], required_n: usize) -> JsonObject {
    let whole = raw_schema::<T>();
    let properties = whole.get("properties").and_then(Value::as_object);
    let mut short = Map::new();
    for name in shown {
        let kind = properties.and_then(|it| it.get(*name)).and_then(|it| it.get("type"));
        let property = kind.map_or_else(|| json!({}), |kind| json!({"type": kind}));
        short.insert((*name).to_owned(), property);
    }
    short.insert("error".into(), json!({"type": "object"}));
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::Object(short));
    schema.insert("anyOf".into(), json!([{"required": &shown[..required_n]}, {"required": ["error"]}]));
    schema
}

fn raw_schema<T: JsonSchema>() -> JsonObject {
    let settings = SchemaSettings::draft2020_12().with(|it| {
        it.inline_subschemas = true;
        it.meta_schema = None;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    match tidy(schema.to_value()) {
        Value::Object(object) => object,
        // `true` is the only schema that is no object: it allows everything.
        _ => Map::new(),
    }
}

/// Returns `schema` without what clients stumble over; the meaning for values that are present stays.
fn tidy(schema: Value) -> Value {
    match schema {
        Value::Object(object) => Value::Object(tidy_object(object)),
        Value::Array(items) => Value::Array(items.into_iter().map(tidy).collect()),
        other => other,
    }
}

fn tidy_object(mut object: JsonObject) -> JsonObject {
    for name in ["$schema", "title", "default", "format"] {
        object.remove(name);
    }
    if object.get("additionalProperties") == Some(&Value::Bool(true)) {
        object.remove("additionalProperties");
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
        *text = joined.trim_end_matches('.').to_owned();
    }
    drop_null(&mut object);
    join_constants(&mut object);
    for (name, value) in &mut object {
        let value_taken = std::mem::take(value);
        *value = if name == "properties" { tidy_properties(value_taken) } else { tidy(value_taken) };
    }
    object
}

/// Tidies each property; their names are not keywords, so a property called `format` stays.
fn tidy_properties(properties: Value) -> Value {
    match properties {
        Value::Object(object) => {
            Value::Object(object.into_iter().map(|(name, schema)| (name, tidy_property(schema))).collect())
        }
        other => other,
    }
}

/// Tidies one property. One that may be anything says so: some clients warn about a schema without a type.
fn tidy_property(schema: Value) -> Value {
    let property = if schema == Value::Bool(true) { json!({}) } else { tidy(schema) };
    with_type(property)
}

/// Says of a schema that says nothing that it may be anything.
pub fn with_type(mut property: Value) -> Value {
    let says_nothing = property.as_object().is_some_and(|it| it.keys().all(|key| key == "description"));
    if says_nothing {
        let kinds = ["string", "number", "boolean", "object", "array"];
        property["anyOf"] = kinds.map(|kind| json!({"type": kind})).to_vec().into();
    }
    property
}

/// Turns "this or null" into "this": what may be null may also be left out.
fn drop_null(object: &mut JsonObject) {
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|it| it != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    let Some(Value::Array(options)) = object.get_mut("anyOf") else { return };
    options.retain(|it| it.get("type") != Some(&json!("null")));
    if let [Value::Object(only)] = options.as_mut_slice() {
        let mut only = std::mem::take(only);
        object.remove("anyOf");
        // The text of the field says more than the text of its type.
        if object.contains_key("description") {
            only.remove("description");
        }
        object.append(&mut only);
    }
}

/// Turns a choice between constants, each with its own text, into one `enum`.
fn join_constants(object: &mut JsonObject) {
    let Some(Value::Array(options)) = object.get("oneOf") else { return };
    let words: Option<Vec<Value>> = options.iter().map(|it| it.get("const").cloned()).collect();
    if let Some(words) = words {
        object.remove("oneOf");
        object.insert("type".into(), "string".into());
        object.insert("enum".into(), Value::Array(words));
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    /// Said of the whole.
    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        /// Seconds
        /// to wait.
        wait: Option<u32>,
        format: String,
        #[serde(default)]
        detail: Option<Level>,
        value: Option<Value>,
        map: Option<Map<String, Value>>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Level {
        /// Little.
        Low,
        /// Much.
        High,
    }

    #[test]
    fn an_input_schema_has_no_null_no_format_keyword_and_no_definitions() {
        assert_eq!(
            Value::Object(input_schema::<Sample>()),
            json!({
                "type": "object",
                "properties": {
                    "wait": {"description": "Seconds to wait", "type": "integer", "minimum": 0},
                    "format": {"type": "string"},
                    "detail": {"type": "string", "enum": ["low", "high"]},
                    "value": {"anyOf": [
                        {"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "object"}, {"type": "array"}
                    ]},
                    "map": {"type": "object"},
                },
                "additionalProperties": false,
                "required": ["format"],
            })
        );
    }

    #[test]
    fn an_output_schema_names_types_only_and_lets_an_error_stand_for_the_result() {
        assert_eq!(
            Value::Object(output_schema::<Sample>(&["format", "wait", "detail"], 1)),
            json!({
                "type": "object",
                "properties": {
                    "format": {"type": "string"},
                    "wait": {"type": "integer"},
                    "detail": {"type": "string"},
                    "error": {"type": "object"},
                },
                "anyOf": [{"required": ["format"]}, {"required": ["error"]}],
            })
        );
    }
}
