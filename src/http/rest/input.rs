//! Reads a request: what its path, query and body say becomes one object, checked against the shape of the
//! operation, with every problem at once.

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use schemars::generate::Contract;
use serde_json::{Map, Value, json};

use super::operation::Operation;
use super::schemas;
use crate::error::Error;
use crate::handlers::arguments::{Arguments, Problem};
use crate::http::server::BODY_BYTES_MAX;

/// How the requests of one operation are read.
pub struct Input {
    arguments: Arguments,
    /// Name in the request to the JSON type it has, where that is one.
    kinds: Map<String, Value>,
    /// The names of each field that has to be there and has several.
    one_of: Vec<Vec<String>>,
}

impl Input {
    /// Prepares it.
    ///
    /// # Errors
    ///
    /// `INTERNAL` for a shape that is no object.
    pub fn new(operation: &Operation) -> Result<Self, Error> {
        let schema = schemas::of_request(operation);
        let properties = schema.get("properties").and_then(Value::as_object);
        let kind = |schema: &Value| schema.get("type").cloned().unwrap_or_default();
        let kinds = properties.into_iter().flatten().map(|(name, schema)| (name.clone(), kind(schema))).collect();
        Ok(Self { arguments: Arguments::new(operation.id, &schema)?, kinds, one_of: one_of(operation) })
    }

    /// Reads a request of `operation`; the result has the names that the handler uses.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` with all problems, `INVALID_JSON`, `UNSUPPORTED_MEDIA_TYPE`.
    pub async fn read(&self, operation: &Operation, request: Request) -> Result<Map<String, Value>, Error> {
        let (mut parts, body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES_MAX)
            .await
            .map_err(|e| Error::limit("TOO_LARGE", "the request body is too large, or broke off").source(e))?;
        let mut found = Found { input: self, values: Map::new(), problems: Vec::new() };
        found.take_path(&mut parts).await?;
        found.take_query(operation, parts.uri.query().unwrap_or_default());
        found.take_body(operation, &parts.headers, &body)?;
        let Found { values, mut problems, .. } = found;
        let values = Value::Object(values);
        problems.extend(self.arguments.problems(&values));
        for names in self.one_of.iter().filter(|all| all.iter().all(|it| values.get(it).is_none())) {
            let message = format!("argument `{}` is missing", names[0]);
            problems.push(Problem { argument: names[0].clone(), message });
        }
        if !problems.is_empty() {
            return Err(self.arguments.refusal(&problems));
        }
        let Value::Object(values) = values else { return Ok(Map::new()) };
        Ok(values
            .into_iter()
            .filter(|(_, it)| !it.is_null())
            .map(|(name, it)| (renamed(operation, name), it))
            .collect())
    }

    /// Reads a value of an address, where everything is text.
    fn value(&self, name: &str, text: &str) -> Value {
        let kind = self.kinds.get(name).and_then(Value::as_str).unwrap_or("string");
        let read = match kind {
            "integer" => {
                text.parse::<i64>().ok().map(Value::from).or_else(|| text.parse::<u64>().ok().map(Value::from))
            }
            "number" => text.parse::<f64>().ok().filter(|it| it.is_finite()).map(Value::from),
            "boolean" => text.parse::<bool>().ok().map(Value::from),
            _ => None,
        };
        read.unwrap_or_else(|| Value::from(text))
    }

    /// A whole number may be written with a point and a nought.
    fn whole(&self, name: &str, value: Value) -> Value {
        let is_integer = self
            .kinds
            .get(name)
            .is_some_and(|it| it == "integer" || it.as_array().is_some_and(|all| all.iter().any(|it| it == "integer")));
        match value.as_f64() {
            Some(number) if is_integer && value.is_f64() && number.fract() == 0.0 && number.abs() < 9e15 => {
                json!(number as i64)
            }
            _ => value,
        }
    }
}

fn one_of(operation: &Operation) -> Vec<Vec<String>> {
    let all = schemas::parameters(operation, &mut schemas::generator("/$defs", Contract::Deserialize));
    let needed = all.iter().filter(|it| it.is_needed && !it.is_required);
    let mut fields: Vec<&str> = needed.clone().map(|it| it.field.as_str()).collect();
    fields.dedup();
    let names = |field: &str| needed.clone().filter(|it| it.field == field).map(|it| it.name.clone()).collect();
    fields.into_iter().map(names).collect()
}

fn renamed(operation: &Operation, name: String) -> String {
    let field = operation.names.iter().find(|(in_request, _)| *in_request == name);
    field.map_or(name, |(_, field)| (*field).to_owned())
}

/// What was found so far, and what is wrong with it.
struct Found<'i> {
    input: &'i Input,
    values: Map<String, Value>,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn put(&mut self, name: &str, value: Value) {
        if self.values.insert(name.to_owned(), value).is_some() {
            let message = format!("`{name}` stands in the request more than once");
            self.problems.push(Problem { argument: name.to_owned(), message });
        }
    }

    async fn take_path(&mut self, parts: &mut Parts) -> Result<(), Error> {
        let params = RawPathParams::from_request_parts(parts, &()).await.map_err(|e| {
            Error::invalid("INVALID_INPUT", "the path cannot be read")
                .hint("write it as percent-encoded UTF-8")
                .source(e)
        })?;
        for (name, text) in &params {
            let value = self.input.value(name, text);
            self.put(name, value);
        }
        Ok(())
    }

    fn take_query(&mut self, operation: &Operation, query: &str) {
        for (name, text) in url::form_urlencoded::parse(query.as_bytes()) {
            if operation.verb.has_body() {
                let message =
                    format!("`{name}` stands in the address; a {} takes it in its body", operation.verb.name());
                self.problems.push(Problem { argument: name.into_owned(), message });
            } else {
                let value = self.input.value(&name, &text);
                self.put(&name, value);
            }
        }
    }

    fn take_body(&mut self, operation: &Operation, headers: &HeaderMap, body: &Bytes) -> Result<(), Error> {
        if body.is_empty() {
            return Ok(());
        }
        if !operation.verb.has_body() {
            return Err(Error::invalid("INVALID_INPUT", format!("a {} has no body", operation.verb.name()))
                .hint("say everything in the address"));
        }
        check_type(headers)?;
        let value: Value = serde_json::from_slice(body).map_err(|e| {
            Error::invalid("INVALID_JSON", format!("the body is no JSON: line {}, column {}", e.line(), e.column()))
                .hint("send one JSON object")
                .source(e)
        })?;
        let Value::Object(fields) = value else {
            return Err(Error::invalid("INVALID_INPUT", "the body is no JSON object").hint("send one JSON object"));
        };
        for (name, value) in fields {
            let value = self.input.whole(&name, value);
            self.put(&name, value);
        }
        Ok(())
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Error> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    let shown: String = kind.chars().filter(|it| !it.is_control()).take(60).collect();
    let message =
        if shown.is_empty() { "the body has no `Content-Type`".to_owned() } else { format!("the body is `{shown}`") };
    Err(Error::invalid("UNSUPPORTED_MEDIA_TYPE", message).hint("send JSON, with `Content-Type: application/json`"))
}
