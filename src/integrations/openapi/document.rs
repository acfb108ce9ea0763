//! The document: read, checked for its version, its references resolved.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::diagram::{Bounds, load_within};
use crate::error::Error;
use crate::limits;

/// Longest chain of references.
const HOPS_MAX: usize = 32;
/// The methods a path item can have, in the order they are listed.
const METHODS: [&str; 7] = ["get", "post", "put", "patch", "delete", "head", "options"];
/// Longest description that is kept, in characters.
const DESCRIPTION_CHARS_MAX: usize = 300;

/// Reads a document, YAML or JSON.
///
/// # Errors
///
/// `INVALID_INPUT` with the place of the first mistake, `TOO_LARGE`.
pub fn parse(text: &str) -> Result<Value, Error> {
    if text.len() > limits::OPENAPI_BYTES_MAX {
        let message = format!("the document has {} bytes, and {} are the most", text.len(), limits::OPENAPI_BYTES_MAX);
        return Err(Error::limit("TOO_LARGE", message).hint("split it"));
    }
    let bare = text.trim_start_matches('\u{feff}');
    if bare.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(bare)
    {
        return Ok(value);
    }
    let bounds = Bounds { what: "document", bytes_max: limits::OPENAPI_BYTES_MAX, values_max: VALUES_MAX };
    let loaded = load_within(text, bounds).map_err(|problems| {
        let place = problems.first().map(|it| format!("line {}: {}", it.span.line, it.message)).unwrap_or_default();
        Error::invalid("INVALID_INPUT", format!("the document cannot be read: {place}"))
            .hint("an OpenAPI document is YAML or JSON")
    })?;
    Ok(loaded.tree.to_json())
}

/// Most values of a YAML document.
const VALUES_MAX: usize = 1_000_000;

/// A document of a version we read.
pub(super) struct Document<'d>(&'d Value);

/// One operation and where it stands.
pub(super) struct Found<'d> {
    pub path: &'d str,
    /// In lower case.
    pub method: &'static str,
    pub item: &'d Value,
    pub operation: &'d Value,
}

impl<'d> Document<'d> {
    /// Takes a document.
    pub fn new(root: &'d Value) -> Result<Self, Error> {
        let invalid = |message: String, hint: &str| Err(Error::invalid("INVALID_INPUT", message).hint(hint));
        if let Some(version) = root.get("swagger") {
            let message = format!("the document is of version {}", super::super::request::as_text(version));
            return invalid(message, "convert it to OpenAPI 3 first");
        }
        let version = root.get("openapi").map(super::super::request::as_text).unwrap_or_default();
        if !version.starts_with("3.0") && !version.starts_with("3.1") {
            let message = match version.as_str() {
                "" => "this is no OpenAPI document: `openapi` is missing".to_owned(),
                version => format!("OpenAPI `{version}` is not understood"),
            };
            return invalid(message, "versions 3.0 and 3.1 are");
        }
        Ok(Self(root))
    }

    pub fn root(&self) -> &'d Value {
        self.0
    }

    pub fn title(&self) -> &'d str {
        self.0.pointer("/info/title").and_then(Value::as_str).unwrap_or("api")
    }

    pub fn version(&self) -> String {
        self.0.pointer("/info/version").map(super::super::request::as_text).unwrap_or_else(|| "1.0.0".to_owned())
    }

    pub fn description(&self) -> Option<String> {
        let info = self.0.get("info")?;
        let text = info.get("summary").or_else(|| info.get("description")).or_else(|| info.get("title"))?;
        Some(shortened(text.as_str()?))
    }

    /// Follows `$ref`s of `value` inside the document. `None` for one that leads outside, nowhere or in a circle.
    pub fn resolve(&self, value: &'d Value) -> Option<&'d Value> {
        let mut value = value;
        for _ in 0..HOPS_MAX {
            match value.get("$ref").and_then(Value::as_str) {
                Some(reference) => value = self.target(reference)?,
                None => return Some(value),
            }
        }
        None
    }

    /// What a reference such as `#/components/schemas/Pet` points at.
    pub fn target(&self, reference: &str) -> Option<&'d Value> {
        let pointer = percent_decode_str(reference.strip_prefix('#')?).decode_utf8().ok()?;
        self.0.pointer(&pointer)
    }

    /// Every operation, in the document's order; paths that cannot be read are named.
    pub fn operations(&self, left_out: &mut Vec<String>) -> Vec<Found<'d>> {
        let mut found = Vec::new();
        for (path, item) in self.0.get("paths").and_then(Value::as_object).into_iter().flatten() {
            let Some(item) = self.resolve(item).filter(|it| it.is_object()) else {
                left_out.push(format!("`{path}`: its reference leads outside or nowhere"));
                continue;
            };
            for method in METHODS {
                if let Some(operation) = item.get(method).filter(|it| it.is_object()) {
                    found.push(Found { path, method, item, operation });
                }
            }
            if item.get("trace").is_some() {
                left_out.push(format!("`TRACE {path}`"));
            }
        }
        found
    }
}

/// The beginning of a text, on one line.
pub(super) fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(DESCRIPTION_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}
