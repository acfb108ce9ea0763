//! Lists the diagrams of the workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Caller};
use crate::error::Error;

/// Which diagrams.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Only this format.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format: Option<String>,
    /// Only those whose name, path or description contains this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub search: Option<String>,
}

/// All of them, by path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub diagrams: Vec<ListedDiagram>,
    pub total: usize,
}

/// One diagram of the workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedDiagram {
    /// Path relative to its folder, without suffix: what `dipeo_run` takes.
    pub name: String,
    /// Relative to the workspace.
    pub path: String,
    pub format: String,
    pub nodes: usize,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    pub uri: String,
    /// Whether a person trusted exactly this text (only said of submitted diagrams).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trusted: Option<bool>,
    /// Why it does not parse.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Lists every diagram file once, by path.
///
/// # Errors
///
/// `INVALID_FORMAT`.
pub async fn list_diagrams(_app: &App, _caller: &Caller, _request: Request) -> Result<Response, Error> {
    Err(Error::internal("not written"))
}
