//! Checks a diagram and, on request, saves it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Caller};
use crate::compile::report::Report;
use crate::error::Error;

/// The text to check.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A whole diagram as text.
    pub content: String,
    /// `light`, `readable` or `native`; detected when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format_type: Option<String>,
    /// Save it under this name when it is valid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub push_as: Option<String>,
}

/// What only the terminal may ask besides.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Leave out what needs other files or keys.
    pub check_only: bool,
    /// Folder to save in, below the workspace; `projects/mcp-diagrams` otherwise.
    pub target_dir: Option<String>,
    /// Saving over another content is a conflict.
    pub create_only: bool,
    /// The folder of the file the text came from, for prompt files beside it.
    pub base_dir: Option<std::path::PathBuf>,
}

/// The report, and where it was saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    #[serde(flatten)]
    pub report: Report,
    /// The name it was saved as.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pushed_as: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
}

/// Compiles `content` with every problem at once; saves it when it is valid and `push_as` is given.
/// An invalid diagram is a result, not an error.
///
/// # Errors
///
/// `INVALID_NAME`, `REVISION_CONFLICT` (create only), `INVALID_FORMAT`, `PATH_NOT_ALLOWED`.
pub async fn compile_diagram(
    _app: &App,
    _caller: &Caller,
    _request: Request,
    _extras: Extras,
) -> Result<Response, Error> {
    Err(Error::internal("not written"))
}
