//! The body of an operation: its schema, and a template that passes `config.body`, else what is given of the
//! properties.

use serde_json::{Map, Value};

use super::document::Document;
use super::parameters::literal;
use super::schema::{Side, written_out};

/// Deepest nesting of `allOf` and its like that is searched for properties.
const DEPTH_MAX: usize = 16;
/// Most properties that a template names.
const PROPERTIES_MAX: usize = 140;

/// The parts of `request` for the body of `operation`; one that is no JSON is named.
pub(super) fn import(
    document: &Document<'_>,
    operation: &Value,
    name: &str,
    left_out: &mut Vec<String>,
) -> Map<String, Value> {
    let mut parts = Map::new();
    let Some(body) = operation.get("requestBody") else { return parts };
    let Some(body) = document.resolve(body) else {
        left_out.push(format!("`{name}`: its body, whose reference leads outside or nowhere"));
        return parts;
    };
    let Some(content) = body.get("content").and_then(Value::as_object).filter(|it| !it.is_empty()) else {
        return parts;
    };
    let Some(media) = json_media(content) else {
        let kinds: Vec<&str> = content.keys().map(String::as_str).collect();
        left_out.push(format!("`{name}`: its body, which is {}", kinds.join(" or ")));
        return parts;
    };
    let schema = media.get("schema").unwrap_or(&Value::Null);
    if let Some(schema) = written_out(document, schema, Side::Request) {
        parts.insert("body_schema".to_owned(), schema);
    }
    let mut properties = Vec::new();
    properties_of(document, schema, 0, &mut properties);
    let is_required = body.get("required") == Some(&Value::Bool(true));
    parts.insert("body_template".to_owned(), template(&properties, is_required).into());
    parts
}

/// The JSON form among media types.
pub(super) fn json_media(content: &Map<String, Value>) -> Option<&Value> {
    let is_json = |name: &str| {
        let name = name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        name == "*/*" || name.ends_with("/json") || name.ends_with("+json")
    };
    content.iter().find(|(name, _)| is_json(name)).map(|(_, media)| media)
}

fn template(properties: &[&str], is_required: bool) -> String {
    let names: Vec<String> = properties.iter().map(|it| literal(it)).collect();
    let picked = format!("config|pick({})", names.join(", "));
    let whole = "{{ config.body }}";
    match (properties.is_empty(), properties.contains(&"body"), is_required) {
        (true, _, true) => whole.to_owned(),
        (true, _, false) => format!("{{% if config.body is defined %}}{whole}{{% endif %}}"),
        // `config.body` is the property of that name.
        (false, true, true) => format!("{{{{ {picked} }}}}"),
        (false, true, false) => format!("{{% set given = {picked} %}}{{% if given %}}{{{{ given }}}}{{% endif %}}"),
        (false, false, true) => {
            format!("{{% if config.body is defined %}}{whole}{{% else %}}{{{{ {picked} }}}}{{% endif %}}")
        }
        (false, false, false) => format!(
            "{{% set given = {picked} %}}{{% if config.body is defined %}}{whole}{{% elif given %}}{{{{ given }}}}{{% endif %}}"
        ),
    }
}

/// The names of an object's properties, through references and combinations.
fn properties_of<'d>(document: &Document<'d>, schema: &'d Value, depth: usize, found: &mut Vec<&'d str>) {
    let Some(schema) = document.resolve(schema).filter(|_| depth < DEPTH_MAX) else { return };
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let is_read_only = property.get("readOnly") == Some(&Value::Bool(true));
        if !is_read_only && found.len() < PROPERTIES_MAX && !found.contains(&name.as_str()) {
            found.push(name);
        }
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for branch in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
            if found.len() >= PROPERTIES_MAX {
                return;
            }
            properties_of(document, branch, depth + 1, found);
        }
    }
}
