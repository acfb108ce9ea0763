//! One operation of a document as one of a manifest.

use serde_json::{Map, Value, json};

use super::body;
use super::document::{Document, Found, shortened};
use super::parameters;
use super::schema::{Side, written_out};
use super::security;
use crate::integrations::read::params_of;

/// What `2XX` stands for.
const ANY_SUCCESS: [u16; 7] = [200, 201, 202, 203, 204, 205, 206];

/// Makes an operation; `None` when its path cannot be written.
pub(super) fn import(
    document: &Document<'_>,
    found: &Found<'_>,
    name: &str,
    left_out: &mut Vec<String>,
) -> Option<Value> {
    let is_plain = found.path.starts_with('/')
        && !found.path.contains(['?', '#', '\\', ' '])
        && !found.path.bytes().any(|it| it.is_ascii_control());
    if !is_plain || params_of(found.path).is_none() {
        left_out.push(format!("`{name}`: its path `{}` cannot be used", found.path));
        return None;
    }
    let mut operation = Map::new();
    operation.insert("method".to_owned(), found.method.to_uppercase().into());
    operation.insert("path".to_owned(), found.path.into());
    if let Some(description) = description(found) {
        operation.insert("description".to_owned(), description.into());
    }
    let scopes = security::scopes(document, found.operation);
    if !scopes.is_empty() {
        operation.insert("required_scopes".to_owned(), scopes.into());
    }
    let request = request(document, found, name, left_out);
    if !request.is_empty() {
        operation.insert("request".to_owned(), Value::Object(request));
    }
    let response = response(document, found.operation);
    if !response.is_empty() {
        operation.insert("response".to_owned(), Value::Object(response));
    }
    if found.operation.get("callbacks").and_then(Value::as_object).is_some_and(|it| !it.is_empty()) {
        left_out.push(format!("`{name}`: its callbacks"));
    }
    if found.operation.get("servers").or_else(|| found.item.get("servers")).is_some() {
        left_out.push(format!("`{name}`: its own server; it is sent to the base address"));
    }
    Some(Value::Object(operation))
}

fn description(found: &Found<'_>) -> Option<String> {
    let text = ["summary", "description"].into_iter().find_map(|it| found.operation.get(it).and_then(Value::as_str))?;
    Some(shortened(text)).filter(|it| !it.is_empty())
}

fn request(document: &Document<'_>, found: &Found<'_>, name: &str, left_out: &mut Vec<String>) -> Map<String, Value> {
    let mut request = Map::new();
    let parameters = parameters::import(document, found, name, left_out);
    for (key, map) in [
        ("path_params_template", parameters.path),
        ("query_params_template", parameters.query),
        ("headers_template", parameters.headers),
    ] {
        if !map.is_empty() {
            request.insert(key.to_owned(), Value::Object(map));
        }
    }
    if let Some(schema) = parameters.query_schema {
        request.insert("query_params_schema".to_owned(), schema);
    }
    request.extend(body::import(document, found.operation, name, left_out));
    request
}

fn response(document: &Document<'_>, operation: &Value) -> Map<String, Value> {
    let mut codes = Vec::new();
    let mut schemas = Vec::new();
    for (status, reply) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
        let successes = match status.as_str() {
            "2XX" | "2xx" => ANY_SUCCESS.to_vec(),
            _ => status.parse().ok().filter(|it| (200..300).contains(it)).into_iter().collect(),
        };
        if successes.is_empty() {
            continue;
        }
        codes.extend(successes);
        let content = document.resolve(reply).and_then(|it| it.get("content")).and_then(Value::as_object);
        if let Some(media) = content.and_then(body::json_media) {
            schemas.push(media.get("schema").and_then(|it| written_out(document, it, Side::Response)));
        }
    }
    codes.sort_unstable();
    codes.dedup();
    let mut response = Map::new();
    if !codes.is_empty() {
        response.insert("success_codes".to_owned(), codes.into());
    }
    // One reply that may be anything makes all of them so.
    let known: Option<Vec<Value>> = schemas.into_iter().collect();
    match known.unwrap_or_default().as_slice() {
        [] => {}
        [one] => {
            response.insert("schema".to_owned(), one.clone());
        }
        several => {
            response.insert("schema".to_owned(), json!({ "anyOf": several }));
        }
    }
    response
}
