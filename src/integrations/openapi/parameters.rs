//! Parameters of an operation: what stands in path, query and headers.

use serde_json::{Map, Value, json};

use super::document::{Document, Found};
use super::schema::{Side, written_out};
use crate::integrations::read::is_header_name;

/// The templates of an operation's parameters.
#[derive(Default)]
pub(super) struct Parameters {
    pub path: Map<String, Value>,
    pub query: Map<String, Value>,
    pub query_schema: Option<Value>,
    pub headers: Map<String, Value>,
}

/// Headers that are not parameters (OpenAPI 3.1, 4.8.12.1).
const OWN_HEADERS: [&str; 3] = ["accept", "content-type", "authorization"];

/// Reads the parameters of `found`; those of the operation replace those of its path.
pub(super) fn import(document: &Document<'_>, found: &Found<'_>, name: &str, left_out: &mut Vec<String>) -> Parameters {
    let mut parameters = Parameters::default();
    let mut properties = Map::new();
    let mut required = Vec::new();
    for parameter in of(document, found, name, left_out) {
        let key = parameter.get("name").and_then(Value::as_str).unwrap_or_default();
        let place = parameter.get("in").and_then(Value::as_str).unwrap_or_default();
        match place {
            _ if key.is_empty() => left_out.push(format!("`{name}`: a parameter without a name")),
            // The braces of the path say which there are.
            "path" => {}
            "query" => match query_template(parameter, key) {
                Some((template, schema_fits)) => {
                    parameters.query.insert(key.to_owned(), template.into());
                    if is_required(parameter) {
                        required.push(key.to_owned());
                    }
                    let schema = parameter.get("schema").filter(|_| schema_fits);
                    if let Some(schema) = schema.and_then(|it| written_out(document, it, Side::Request)) {
                        properties.insert(key.to_owned(), schema);
                    }
                }
                None => left_out.push(format!("`{name}`: the query parameter `{key}`, whose style has no counterpart")),
            },
            "header" if OWN_HEADERS.contains(&key.to_ascii_lowercase().as_str()) => {}
            "header" if !is_header_name(key) => left_out.push(format!("`{name}`: the header `{key}`")),
            "header" => {
                let value = with_default(&access(key), parameter, "");
                parameters.headers.insert(key.to_owned(), format!("{{{{ {value} }}}}").into());
            }
            "cookie" => left_out.push(format!("`{name}`: the cookie `{key}`")),
            other => left_out.push(format!("`{name}`: the parameter `{key}` in `{other}`")),
        }
    }
    if !properties.is_empty() || !required.is_empty() {
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        parameters.query_schema = Some(schema);
    }
    for param in super::super::read::params_of(found.path).unwrap_or_default() {
        parameters.path.insert(param.to_owned(), format!("{{{{ {} }}}}", access(param)).into());
    }
    parameters
}

/// The parameters of path and operation, each name and place once.
fn of<'d>(document: &Document<'d>, found: &Found<'d>, name: &str, left_out: &mut Vec<String>) -> Vec<&'d Value> {
    let mut all: Vec<&Value> = Vec::new();
    let lists = [found.item.get("parameters"), found.operation.get("parameters")];
    for parameter in lists.into_iter().flatten().filter_map(Value::as_array).flatten() {
        let Some(parameter) = document.resolve(parameter) else {
            left_out.push(format!("`{name}`: a parameter whose reference leads outside or nowhere"));
            continue;
        };
        all.retain(|it| it.get("name") != parameter.get("name") || it.get("in") != parameter.get("in"));
        all.push(parameter);
    }
    all
}

fn is_required(parameter: &Value) -> bool {
    parameter.get("required") == Some(&Value::Bool(true))
}

/// The template of a query parameter, and whether its schema is that of the rendered value.
fn query_template(parameter: &Value, key: &str) -> Option<(String, bool)> {
    let value = access(key);
    if parameter.get("content").is_some() {
        let text = if is_required(parameter) {
            format!("{{{{ {value}|tojson }}}}")
        } else {
            format!("{{{{ {value}|tojson if {value} is defined else '' }}}}")
        };
        return Some((text, false));
    }
    let separator = match parameter.get("style").and_then(Value::as_str).unwrap_or("form") {
        "form" if parameter.get("explode") == Some(&Value::Bool(false)) => Some(","),
        "form" => None,
        "spaceDelimited" => Some(" "),
        "pipeDelimited" => Some("|"),
        _ => return None,
    };
    let value = with_default(&value, parameter, "");
    Some(match separator {
        None => (format!("{{{{ {value} }}}}"), true),
        Some(separator) => (format!("{{{{ {value}|separated('{separator}') }}}}"), false),
    })
}

/// What may be left out has a default: its own, else one that leaves it out of the request.
fn with_default(value: &str, parameter: &Value, preset: &str) -> String {
    if is_required(parameter) {
        return value.to_owned();
    }
    let default = parameter.pointer("/schema/default").filter(|it| it.is_string() || it.is_number() || it.is_boolean());
    match default {
        Some(default) => format!("{value}|default({default})"),
        None => format!("{value}|default('{preset}')"),
    }
}

/// How a template names an entry of `config`.
pub(super) fn access(key: &str) -> String {
    let is_identifier = key.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
        && key.bytes().next().is_some_and(|it| !it.is_ascii_digit());
    if is_identifier { format!("config.{key}") } else { format!("config[{}]", literal(key)) }
}

/// A text of a template.
pub(super) fn literal(text: &str) -> String {
    Value::from(text).to_string()
}
