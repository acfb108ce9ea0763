//! Reads one resource by its `dipeo://` URI: what `resources/read` serves, and the tool `fetch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{App, Caller};
use crate::error::Error;

/// What to read.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A `dipeo://` URI that `search` returned.
    #[serde(alias = "uri")]
    pub id: String,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub id: String,
    pub title: String,
    pub text: String,
    pub url: String,
    /// `{mime_type, ...}`
    pub metadata: Map<String, Value>,
}

/// Something that can be read, for lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    pub uri: String,
    pub name: String,
    pub description: String,
    pub mime_type: String,
}

/// Reads the resource `id` names: `dipeo://diagrams`, `dipeo://diagrams/{name}`, `dipeo://executions`,
/// `dipeo://executions/{id}` with `/messages` or `/transitions`, `dipeo://guide/{page}`.
///
/// # Errors
///
/// `RESOURCE_NOT_FOUND` with the list of forms; never reads a path.
pub async fn fetch(_app: &App, _caller: &Caller, _request: Request) -> Result<Response, Error> {
    Err(Error::internal("not written"))
}

/// Lists what can be read: the two collections, every diagram, every guide page (not each execution).
///
/// # Errors
///
/// `INTERNAL` when the workspace cannot be read.
pub async fn list(_app: &App, _caller: &Caller) -> Result<Vec<Listed>, Error> {
    Err(Error::internal("not written"))
}

/// The URI templates: `(template, name, description, mime type)`.
pub const TEMPLATES: &[(&str, &str, &str, &str)] = &[
    ("dipeo://diagrams/{name}", "diagram", "The text of a diagram of the workspace", "application/yaml"),
    ("dipeo://executions/{id}", "execution", "One execution with everything that is known of it", "application/json"),
    ("dipeo://executions/{id}/messages", "messages", "The conversation of one execution", "application/json"),
    ("dipeo://executions/{id}/transitions", "transitions", "The log of one execution", "application/json"),
    ("dipeo://guide/{page}", "guide", "A page of the guide", "text/markdown"),
];

/// Completes the variable of a template by prefix, at most 100 values.
///
/// # Errors
///
/// `INTERNAL` when the workspace or the database cannot be read.
pub async fn complete(_app: &App, _caller: &Caller, _variable: &str, _prefix: &str) -> Result<Vec<String>, Error> {
    Err(Error::internal("not written"))
}
