//! Raises or drops the rights of a submitted diagram. Only a person at the terminal may.

use serde::{Deserialize, Serialize};

use super::{App, Caller};
use crate::compile::report::Capabilities;
use crate::error::Error;

/// What to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Show what the diagram would be allowed to do.
    Inspect { diagram: String },
    /// Grant exactly this text full rights.
    Grant { diagram: String },
    /// Take a grant back.
    Revoke { diagram: String },
    /// Let the security keys of the workspace's `dipeo.toml` count, as the file is now.
    GrantConfig,
    /// Show all grants.
    List,
}

/// Grants as they are afterwards, and what the diagram would touch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capabilities: Option<Capabilities>,
    /// SHA-256 of the text in question.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trusted: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub grants: Vec<Grant>,
}

/// One grant; it binds to the content, so any edit drops it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub sha256: String,
    /// What was trusted, as named then.
    pub name: String,
    pub granted_at: String,
}

/// Shows, grants or revokes.
///
/// # Errors
///
/// `DIAGRAM_NOT_FOUND`, `PERMISSION_REQUIRED` for a client.
pub async fn trust_diagram(_app: &App, _caller: &Caller, _request: Request) -> Result<Response, Error> {
    Err(Error::internal("not written"))
}
