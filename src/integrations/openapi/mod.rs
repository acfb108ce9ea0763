//! OpenAPI documents (3.0 and 3.1) made into manifests. References inside the document only; what a
//! manifest cannot hold is left out and named.

mod body;
mod document;
mod naming;
mod operation;
mod parameters;
mod schema;
mod security;

use serde_json::{Map, Value, json};
use url::Url;

use self::document::Document;
pub use self::document::parse;
use self::naming::Taken;
use super::read::check_base_url;
use crate::error::Error;
use crate::limits;

/// What of a document is wanted.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Of the provider; from the title when absent.
    pub name: Option<String>,
    /// Instead of the first server.
    pub base_url: Option<String>,
    /// Only operations whose name fits.
    pub only: Option<glob::Pattern>,
}

/// A manifest, and what is not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    pub name: String,
    pub manifest: Value,
    pub n_operations: usize,
    /// One sentence each.
    pub left_out: Vec<String>,
}

/// Makes a manifest of a document.
///
/// # Errors
///
/// `INVALID_INPUT` for what is no OpenAPI 3 document, a missing or relative server, no operation left.
pub fn import(document: &Value, options: &Options) -> Result<Imported, Error> {
    let document = Document::new(document)?;
    let mut left_out = Vec::new();
    let name = match &options.name {
        Some(name) => name.clone(),
        None => naming::provider(document.title()),
    };
    let base_url = base_url(&document, options)?;
    let operations = operations(&document, options, &mut left_out)?;
    let auth = security::auth(&document, &base_url, &mut left_out);
    if document.root().get("webhooks").and_then(Value::as_object).is_some_and(|it| !it.is_empty()) {
        left_out.push("the webhooks of the document".to_owned());
    }
    let mut manifest = Map::new();
    manifest.insert("name".to_owned(), name.clone().into());
    manifest.insert("version".to_owned(), document.version().into());
    if let Some(description) = document.description() {
        manifest.insert("description".to_owned(), description.into());
    }
    manifest.insert("base_url".to_owned(), base_url.into());
    manifest.insert("default_headers".to_owned(), json!({"Accept": "application/json"}));
    manifest.insert("auth".to_owned(), auth);
    let n_operations = operations.len();
    manifest.insert("operations".to_owned(), Value::Object(operations));
    Ok(Imported { name, manifest: Value::Object(manifest), n_operations, left_out })
}

fn operations(
    document: &Document<'_>,
    options: &Options,
    left_out: &mut Vec<String>,
) -> Result<Map<String, Value>, Error> {
    let mut operations = Map::new();
    let mut taken = Taken::default();
    let mut n_all = 0;
    for found in document.operations(left_out) {
        n_all += 1;
        let name = taken.name(found.operation.get("operationId").and_then(Value::as_str), found.method, found.path);
        if options.only.as_ref().is_some_and(|it| !it.matches(&name)) {
            continue;
        }
        if operations.len() >= limits::MANIFEST_OPERATIONS_MAX {
            let message = format!("the document has more than {} operations", limits::MANIFEST_OPERATIONS_MAX);
            return Err(Error::limit("TOO_LARGE", message).hint("choose some with `--only GLOB`"));
        }
        if let Some(operation) = operation::import(document, &found, &name, left_out) {
            operations.insert(name, operation);
        }
    }
    if operations.is_empty() {
        let message = match (&options.only, n_all) {
            (Some(only), 1..) => format!("none of the {n_all} operations fits `{only}`"),
            _ => "the document has no operation".to_owned(),
        };
        return Err(Error::invalid("INVALID_INPUT", message).hint("look at `paths` of the document"));
    }
    Ok(operations)
}

/// `--base-url`, else the first server with its variables' defaults.
fn base_url(document: &Document<'_>, options: &Options) -> Result<String, Error> {
    let ask = |message: String| Error::invalid("INVALID_INPUT", message).hint("give it with `--base-url https://…`");
    if let Some(url) = &options.base_url {
        check_base_url(url).map_err(|problem| ask(format!("`{url}` cannot be the base address: {problem}")))?;
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let Some(server) = document.root().pointer("/servers/0") else {
        return Err(ask("the document names no server".to_owned()));
    };
    let mut url = server.get("url").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
        let default = variable.get("default").map(super::request::as_text).unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), &default);
    }
    if Url::parse(&url).is_err() {
        return Err(ask(format!("the server `{url}` is relative or no address")));
    }
    check_base_url(&url).map_err(|problem| ask(format!("the server `{url}` cannot be used: {problem}")))?;
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests;
