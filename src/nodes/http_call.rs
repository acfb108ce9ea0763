//! One HTTP request of a node: built from rendered fields, sent through the port, its answer read into a
//! value or a failure. Used by every node type that calls a web address itself.

mod answer;

use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use url::Url;

use super::content::as_text;
use super::context::NodeContext;
use super::ports::http::{HttpReply, HttpRequest};
use super::secrets::Resolved;
use crate::error::Error;

pub(super) use answer::decode;

/// Methods in the order of the reference.
pub(super) const METHODS: &[&str] = &["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"];
/// Time limit when neither node nor type gives one, in seconds (diagrams.md 2.0).
pub(super) const TIMEOUT_S: f64 = 30.0;
/// What the port gets on top: the node's own limit speaks first, and says which node it was.
const GRACE: Duration = Duration::from_secs(1);

/// A request with its secrets in it; it is never printed.
pub(super) struct Call {
    method: &'static str,
    url: Resolved,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Call {
    /// A request without query, headers and body.
    pub(super) fn new(method: &'static str, url: Resolved) -> Self {
        Self { method, url, query: Vec::new(), headers: Vec::new(), body: None }
    }

    /// Adds a map to the query string: a list repeats its key, null leaves it out.
    ///
    /// # Errors
    ///
    /// `TEMPLATE_FAILED` when it is no map, or holds maps.
    pub(super) fn query(&mut self, params: &Value) -> Result<(), Error> {
        for (key, value) in entries("params", params)? {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for value in values.iter().filter(|it| !it.is_null()) {
                self.query.push((key.clone(), plain("params", key, value)?));
            }
        }
        Ok(())
    }

    /// Adds a map of headers; null leaves one out.
    ///
    /// # Errors
    ///
    /// As [`Call::query`].
    pub(super) fn headers(&mut self, headers: &Value) -> Result<(), Error> {
        for (name, value) in entries("headers", headers)?.iter().filter(|(_, it)| !it.is_null()) {
            let value = plain("headers", name, value)?;
            self.set_header(name, value);
        }
        Ok(())
    }

    /// Sets one header, whatever it was before.
    pub(super) fn set_header(&mut self, name: &str, value: String) {
        self.headers.retain(|(it, _)| !it.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value));
    }

    /// Sets the body: a text as it is, everything else as JSON; null is none.
    pub(super) fn body(&mut self, body: &Value) {
        let kind = match body {
            Value::Null => return,
            Value::String(_) => "text/plain; charset=utf-8",
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => "application/json",
        };
        self.body = Some(match body {
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        });
        self.default_header("Content-Type", kind.to_owned());
    }

    fn default_header(&mut self, name: &str, value: String) {
        if !self.headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name)) {
            self.headers.push((name.to_owned(), value));
        }
    }

    /// Sends the request and returns the answer if its status is one of `accepted` (without any: 200 to 299).
    ///
    /// # Errors
    ///
    /// `HTTP_STATUS` with status and excerpt, and what the port says.
    pub(super) async fn send(mut self, cx: &NodeContext, accepted: &[u16]) -> Result<Answer, Error> {
        if !matches!(self.method, "GET" | "HEAD") {
            let key = format!("{}:{}:{}", cx.execution_id, cx.node_id, cx.iteration);
            self.default_header("Idempotency-Key", key);
        }
        let timeout = cx.timeout.unwrap_or(Duration::from_secs_f64(TIMEOUT_S));
        let request = HttpRequest {
            method: self.method.to_owned(),
            url: self.url.text,
            query: self.query,
            headers: self.headers,
            body: self.body,
            timeout: timeout.saturating_add(GRACE),
            rights: cx.rights.clone(),
        };
        let reply = cx.ports.http.send(request).await?;
        let shown = shown(&self.url.shown);
        let is_accepted = match accepted {
            [] => (200..300).contains(&reply.status),
            listed => listed.contains(&reply.status),
        };
        if !is_accepted {
            return Err(answer::status_failure(cx, self.method, &shown, &reply));
        }
        let meta = meta(self.method, &shown, &reply);
        Ok(Answer { reply, meta })
    }
}

/// An accepted answer.
pub(super) struct Answer {
    pub(super) reply: HttpReply,
    /// `{status, url, method, headers, duration_ms}`.
    pub(super) meta: Value,
}

fn meta(method: &str, url: &str, reply: &HttpReply) -> Value {
    let mut headers = Map::new();
    for (name, value) in &reply.headers {
        // A cookie is a credential of whoever holds it.
        let value = if name == "set-cookie" { "***" } else { value };
        match headers.get_mut(name) {
            Some(Value::String(before)) => {
                before.push_str(", ");
                before.push_str(value);
            }
            _ => {
                headers.insert(name.clone(), value.into());
            }
        }
    }
    let duration_ms = u64::try_from(reply.duration.as_millis()).unwrap_or(u64::MAX);
    json!({"status": reply.status, "url": url, "method": method, "headers": headers, "duration_ms": duration_ms})
}

/// An address as it may be shown: without user and password.
fn shown(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url.trim()) else { return url.to_owned() };
    // These only fail for addresses without a host, which have neither.
    let _ = (parsed.set_username(""), parsed.set_password(None));
    percent_decode_str(parsed.as_str()).decode_utf8_lossy().into_owned()
}

/// A rendered field as a map; null and blank texts are an empty one.
fn entries<'v>(field: &str, value: &'v Value) -> Result<&'v Map<String, Value>, Error> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(&NONE),
        Value::String(text) if text.trim().is_empty() => Ok(&NONE),
        _ => Err(Error::invalid("TEMPLATE_FAILED", format!("`{field}` must be a mapping here"))
            .hint("give it a mapping of names to texts")),
    }
}

fn plain(field: &str, key: &str, value: &Value) -> Result<String, Error> {
    match value {
        Value::Array(_) | Value::Object(_) => {
            let message = format!("`{field}.{key}` must be a text, not a list or mapping");
            Err(Error::invalid("TEMPLATE_FAILED", message).hint("name one field of it, for example `{{x.name}}`"))
        }
        other => Ok(as_text(other)),
    }
}
