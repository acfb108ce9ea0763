//! An operation and what a node gives it, made into a request.

use std::collections::BTreeMap;

use base64::Engine as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::manifest::{BodyTemplate, Manifest, Operation, Strategy, ValueTemplate};
use super::template::{Names, Template};
use crate::error::Error;

/// What stands as it is in a segment of a path: the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What we call ourselves to servers that insist.
const USER_AGENT: &str = concat!("dipeo/", env!("CARGO_PKG_VERSION"));

/// What a node gives to a call.
#[derive(Clone, Default)]
pub struct Asked {
    pub config: Map<String, Value>,
    pub resource_id: Option<Value>,
    /// The key, or the token got for it.
    pub api_key: Option<String>,
    /// Every secret that [`secrets_of`] names.
    pub secrets: BTreeMap<String, String>,
}

/// A request, ready to be sent. It holds keys, so it cannot be printed.
#[derive(Clone, PartialEq)]
pub struct Built {
    pub method: String,
    /// Without the query.
    pub url: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

impl Built {
    /// Replaces the parameter `name` of the query, or adds it.
    pub fn set_query(&mut self, name: &str, value: String) {
        self.query.retain(|(it, _)| it != name);
        self.query.push((name.to_owned(), value));
    }

    /// Whether a header of this name is there.
    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name))
    }

    fn set_header(&mut self, name: &str, value: String) {
        self.headers.retain(|(it, _)| !it.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value));
    }
}

/// The names of `secret.NAME` that a call of `operation` needs.
pub fn secrets_of(manifest: &Manifest, operation: &Operation) -> Vec<String> {
    let request = &operation.request;
    let lists = [&manifest.default_headers, &request.query, &request.headers, &request.path_params];
    let mut names: Vec<String> =
        lists.iter().flat_map(|list| list.iter()).flat_map(|(_, template)| template.secrets()).collect();
    names.extend(manifest.auth.format.secrets());
    match &request.body {
        Some(BodyTemplate::Text(template)) => names.extend(template.secrets()),
        Some(BodyTemplate::Value(value)) => secrets_in(value, &mut names),
        None => {}
    }
    names.sort();
    names.dedup();
    names
}

fn secrets_in(value: &ValueTemplate, names: &mut Vec<String>) {
    match value {
        ValueTemplate::Plain(_) => {}
        ValueTemplate::Text(template) => names.extend(template.secrets()),
        ValueTemplate::List(items) => items.iter().for_each(|it| secrets_in(it, names)),
        ValueTemplate::Map(entries) => entries.iter().for_each(|(_, it)| secrets_in(it, names)),
    }
}

/// Makes the request of a call.
///
/// # Errors
///
/// `TEMPLATE_FAILED` for undefined names, a path that leaves its place, a body that is no JSON;
/// `VALIDATION_FAILED` when query or body do not fit their schemas.
pub fn build(manifest: &Manifest, operation: &Operation, asked: &Asked) -> Result<Built, Error> {
    let names = names_of(asked);
    let mut built = Built {
        method: operation.method.clone(),
        url: format!("{}{}", manifest.base_url, path(operation, asked, &names)?),
        query: query(operation, &names)?,
        headers: Vec::new(),
        body: body(operation, &names)?,
    };
    for (name, template) in manifest.default_headers.iter().chain(&operation.request.headers) {
        let value = template.render(&names)?;
        if !value.is_empty() {
            built.set_header(name, header_value(name, value)?);
        }
    }
    if built.body.is_some() && !built.has_header("content-type") {
        built.set_header("Content-Type", "application/json".to_owned());
    }
    if !built.has_header("user-agent") {
        built.set_header("User-Agent", USER_AGENT.to_owned());
    }
    authorize(&mut built, manifest, asked, &names)?;
    Ok(built)
}

/// Names of the templates. A null of `config` is as if it were not given.
fn names_of(asked: &Asked) -> Names {
    let mut names = Names::default();
    let config: Map<String, Value> =
        asked.config.iter().filter(|(_, it)| !it.is_null()).map(|(key, it)| (key.clone(), it.clone())).collect();
    names.set("config", Value::Object(config));
    if let Some(id) = asked.resource_id.as_ref().filter(|it| !it.is_null()) {
        names.set("resource_id", id.clone());
    }
    if let Some(key) = &asked.api_key {
        names.set("api_key", Value::String(key.clone()));
    }
    let secrets = asked.secrets.iter().map(|(name, it)| (name.clone(), Value::String(it.clone())));
    names.set("secret", Value::Object(secrets.collect()));
    names
}

fn path(operation: &Operation, asked: &Asked, names: &Names) -> Result<String, Error> {
    let mut path = String::new();
    let mut rest = operation.path.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let Some((param, after)) = after.split_once('}') else { break };
        path.push_str(before);
        let value = path_param(operation, param, asked, names)?;
        path.extend(utf8_percent_encode(&value, SEGMENT));
        rest = after;
    }
    path.push_str(rest);
    if path.split('/').any(|it| matches!(it, "." | "..")) {
        return Err(Error::invalid(
            "TEMPLATE_FAILED",
            format!("a parameter makes `.` or `..` of a part of `{}`", operation.path),
        )
        .hint("give the parameter a name or number"));
    }
    Ok(path)
}

fn path_param(operation: &Operation, param: &str, asked: &Asked, names: &Names) -> Result<String, Error> {
    let template = operation.request.path_params.iter().find(|(name, _)| name == param);
    let given = match param {
        "resource_id" => asked.config.get(param).or(asked.resource_id.as_ref()),
        _ => asked.config.get(param),
    };
    let value = match (template, given) {
        (Some((_, template)), _) => template.render(names)?,
        (None, Some(value)) => as_text(value),
        (None, None) => String::new(),
    };
    if value.is_empty() {
        let message = format!("`{}` of `{}` needs `{param}`", operation.path, operation.name);
        return Err(Error::invalid("TEMPLATE_FAILED", message).hint(format!("give `config.{param}`")));
    }
    Ok(value)
}

/// An empty value leaves its parameter out; a list repeats it.
fn query(operation: &Operation, names: &Names) -> Result<Vec<(String, String)>, Error> {
    let mut values = Map::new();
    for (name, template) in &operation.request.query {
        let value = template.render_value(names)?;
        if !value.is_null() && value != "" {
            values.insert(name.clone(), value);
        }
    }
    let values = Value::Object(values);
    if let Some(schema) = &operation.request.query_schema {
        schema.check(&values, &format!("the query of `{}`", operation.name), true)?;
    }
    let mut query = Vec::new();
    for (name, value) in values.as_object().into_iter().flatten() {
        match value {
            Value::Array(items) => query.extend(items.iter().map(|it| (name.clone(), as_text(it)))),
            other => query.push((name.clone(), as_text(other))),
        }
    }
    Ok(query)
}

fn body(operation: &Operation, names: &Names) -> Result<Option<Vec<u8>>, Error> {
    let value = match &operation.request.body {
        None => return Ok(None),
        Some(BodyTemplate::Value(template)) => value_of(template, names)?,
        Some(BodyTemplate::Text(template)) => {
            let text = template.render(names)?;
            if text.trim().is_empty() {
                return Ok(None);
            }
            serde_json::from_str(&text).map_err(|error| {
                let place = format!("line {} column {}", error.line(), error.column());
                Error::invalid("TEMPLATE_FAILED", format!("the body of `{}` is no JSON at {place}", operation.name))
                    .hint("in `body_template` write `\"{{ config.x }}\"` for texts, `{{ config.x }}` for other values")
                    .source(error)
            })?
        }
    };
    if let Some(schema) = &operation.request.body_schema {
        schema.check(&value, &format!("the body of `{}`", operation.name), true)?;
    }
    Ok(Some(value.to_string().into_bytes()))
}

fn value_of(template: &ValueTemplate, names: &Names) -> Result<Value, Error> {
    match template {
        ValueTemplate::Plain(value) => Ok(value.clone()),
        ValueTemplate::Text(template) => template.render_value(names),
        ValueTemplate::List(items) => items.iter().map(|it| value_of(it, names)).collect(),
        ValueTemplate::Map(entries) => {
            let entries = entries.iter().map(|(key, it)| Ok((key.clone(), value_of(it, names)?)));
            entries.collect::<Result<Map<_, _>, Error>>().map(Value::Object)
        }
    }
}

fn authorize(built: &mut Built, manifest: &Manifest, asked: &Asked, names: &Names) -> Result<(), Error> {
    let auth = &manifest.auth;
    let formatted = |template: &Template| template.render(names);
    match auth.strategy {
        Strategy::None => {}
        Strategy::Basic => {
            let key = asked.api_key.as_deref().unwrap_or_default();
            let encoded = base64::engine::general_purpose::STANDARD.encode(key);
            built.set_header("Authorization", format!("Basic {encoded}"));
        }
        Strategy::ApiKeyQuery => built.set_query(&auth.query_param, formatted(&auth.format)?),
        Strategy::ApiKeyHeader | Strategy::OAuth2Bearer | Strategy::OAuth2ClientCredentials => {
            built.set_header(&auth.header, header_value(&auth.header, formatted(&auth.format)?)?);
        }
    }
    Ok(())
}

fn header_value(name: &str, value: String) -> Result<String, Error> {
    if value.bytes().any(|it| it.is_ascii_control() && it != b'\t') {
        return Err(Error::invalid("TEMPLATE_FAILED", format!("the value of the header `{name}` has a line break"))
            .hint("headers are one line"));
    }
    Ok(value)
}

/// A value as it stands in a path or query.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::integrations::read;

    const MANIFEST: &str = r#"
name: shop
base_url: https://api.example.com/v1/
default_headers: {Accept: application/json, X-Shop: "{{ secret.SHOP }}"}
auth: {strategy: api_key_header, header: Authorization, format: "Token {{ api_key }}"}
operations:
  get:
    method: get
    path: /items/{id}/notes/{resource_id}
    request:
      path_params_template: {id: "{{ config.item }}"}
      query_params_template: {limit: "{{ config.limit|default(10) }}", tags: "{{ config.tags|default('') }}", q: "{{ config.q|default('') }}"}
      query_params_schema: {type: object, properties: {limit: {type: integer, maximum: 100}}}
  add:
    method: POST
    path: /items
    request:
      body_template: '{"title": "{{ config.title }}", "n": {{ config.n|default(1) }}}'
      body_schema: {type: object, required: [title], properties: {title: {type: string, minLength: 1}}}
      headers_template: {X-Trace: "{{ config.trace|default('') }}"}
  put:
    method: PUT
    path: /items/{id}
    request: {body_template: {tags: "{{ config.tags }}", fixed: [1, "a {{ config.id }}"]}}
"#;

    fn manifest() -> Manifest {
        let read = read(MANIFEST);
        read.manifest.unwrap_or_else(|| panic!("{:?}", read.diagnostics))
    }

    fn asked(config: Value) -> Asked {
        Asked {
            config: config.as_object().cloned().expect("a map"),
            resource_id: Some(json!("r/1")),
            api_key: Some("key".to_owned()),
            secrets: [("SHOP".to_owned(), "s".to_owned())].into(),
        }
    }

    fn built(operation: &str, config: Value) -> Result<Built, Error> {
        let manifest = manifest();
        build(&manifest, manifest.operation(operation).expect("it is there"), &asked(config))
    }

    fn pairs(pairs: &[(String, String)]) -> Vec<String> {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn path_query_headers_and_body_come_from_their_templates() {
        let get = built("get", json!({"item": "a/b ü?", "tags": ["x", "y"], "q": null})).expect("it builds");
        assert_eq!(
            (get.method.as_str(), get.url.as_str()),
            ("GET", "https://api.example.com/v1/items/a%2Fb%20%C3%BC%3F/notes/r%2F1")
        );
        assert_eq!(pairs(&get.query), ["limit=10", "tags=x", "tags=y"]);
        let headers = pairs(&get.headers);
        assert!(
            headers.contains(&"Authorization=Token key".to_owned()) && headers.contains(&"X-Shop=s".to_owned()),
            "{headers:?}"
        );
        assert_eq!(get.body, None);
        let add = built("add", json!({"title": "a\"b", "trace": "t"})).expect("it builds");
        let body: Value = serde_json::from_slice(&add.body.clone().expect("a body")).expect("JSON");
        assert_eq!(body, json!({"title": "a\"b", "n": 1}));
        assert!(pairs(&add.headers).contains(&"X-Trace=t".to_owned()) && add.has_header("content-type"));
        let put = built("put", json!({"id": 7, "tags": [1]})).expect("it builds");
        let body: Value = serde_json::from_slice(&put.body.expect("a body")).expect("JSON");
        assert_eq!(body, json!({"tags": [1], "fixed": [1, "a 7"]}));
    }

    #[test]
    fn what_does_not_fit_fails_before_anything_is_sent() {
        for (operation, config, code, part) in [
            ("get", json!({}), "TEMPLATE_FAILED", "`config.item` is undefined"),
            ("get", json!({"item": ".."}), "TEMPLATE_FAILED", "`..`"),
            ("get", json!({"item": ""}), "TEMPLATE_FAILED", "needs `id`"),
            ("get", json!({"item": 1, "limit": 500}), "VALIDATION_FAILED", "the query of `get`"),
            ("add", json!({"title": ""}), "VALIDATION_FAILED", "the body of `add`"),
            ("add", json!({"title": "t", "trace": "a\r\nX-Evil: 1"}), "TEMPLATE_FAILED", "`X-Trace` has a line break"),
            ("put", json!({"tags": 1}), "TEMPLATE_FAILED", "needs `id`"),
        ] {
            let error = built(operation, config.clone()).map(|it| it.url).expect_err("it does not fit");
            assert_eq!(error.code(), code, "{operation} {config}: {error}");
            assert!(error.message().contains(part), "{operation} {config}: {error}");
        }
    }

    #[test]
    fn the_secrets_of_a_call_are_known() {
        let manifest = manifest();
        assert_eq!(secrets_of(&manifest, &manifest.operations[0]), ["SHOP"]);
    }

    #[test]
    fn each_strategy_puts_the_key_where_it_belongs() {
        for (auth, expected) in [
            ("{strategy: none}", ""),
            ("{strategy: api_key_header}", "X-API-Key=u:p"),
            ("{strategy: api_key_query, query_param: k}", "k=u:p"),
            ("{strategy: oauth2_bearer}", "Authorization=Bearer u:p"),
            ("{strategy: basic}", "Authorization=Basic dTpw"),
            ("{strategy: oauth2_client_credentials, token_endpoint: 'https://x/t'}", "Authorization=Bearer u:p"),
        ] {
            let text =
                format!("name: x\nbase_url: http://x\nauth: {auth}\noperations: {{a: {{method: GET, path: /}}}}\n");
            let manifest = read(&text).manifest.expect(auth);
            let asked = Asked { api_key: Some("u:p".to_owned()), ..Asked::default() };
            let built = build(&manifest, &manifest.operations[0], &asked).expect(auth);
            let all = [pairs(&built.headers), pairs(&built.query)].concat();
            let keys: Vec<String> = all.into_iter().filter(|it| !it.starts_with("User-Agent")).collect();
            assert_eq!(keys.join(" "), expected, "{auth}");
        }
    }
}
