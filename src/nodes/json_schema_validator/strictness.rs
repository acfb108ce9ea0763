//! `error_on_extra`: objects that name their fields and say nothing of others allow no others.

use serde_json::{Map, Value};

/// Keywords that hold one schema.
const ONE: &[&str] = &[
    "items",
    "additionalItems",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "additionalProperties",
];
/// Keywords that hold a list of schemas.
const LIST: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems", "items"];
/// Keywords that hold schemas by name.
const NAMED: &[&str] = &["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/// Closes every object of `schema` that has `properties` but no `additionalProperties`. An object that
/// names no field stays open: nothing in it could be called extra.
pub fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for key in ONE {
        if let Some(inner) = map.get_mut(*key) {
            close(inner);
        }
    }
    for key in LIST {
        if let Some(Value::Array(items)) = map.get_mut(*key) {
            items.iter_mut().for_each(close);
        }
    }
    for key in NAMED {
        if let Some(Value::Object(named)) = map.get_mut(*key) {
            named.values_mut().for_each(close);
        }
    }
    close_here(map);
}

fn close_here(map: &mut Map<String, Value>) {
    let is_open = !map.contains_key("additionalProperties") && !map.contains_key("unevaluatedProperties");
    if map.contains_key("properties") && is_open {
        map.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_that_name_fields_are_closed_at_every_level_and_values_are_left_alone() {
        let mut schema = json!({
            "properties": {"a": {"type": "object"}, "b": {"items": {"properties": {}}}},
            "anyOf": [{"properties": {}, "additionalProperties": true}],
            "enum": [{"properties": {}}],
        });
        close(&mut schema);
        let expected = json!({
            "properties": {"a": {"type": "object"}, "b": {"items": {"properties": {}, "additionalProperties": false}}},
            "anyOf": [{"properties": {}, "additionalProperties": true}],
            "enum": [{"properties": {}}],
            "additionalProperties": false,
        });
        assert_eq!(schema, expected);
    }
}
