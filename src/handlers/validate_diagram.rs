//! Checks a diagram of the workspace as it is there, with what it may do there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::opened::{Opened, open};
use super::{App, Caller};
use crate::compile::report::Report;
use crate::error::Error;

/// Which diagram.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name or URI of a diagram.
    pub diagram: String,
}

/// Compiles a diagram and reports every problem at once. An invalid diagram is a result, not an error.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_FOUND`, `INVALID_NAME`, `TOO_LARGE`, `FILE_FAILED`.
pub async fn validate_diagram(app: &App, caller: &Caller, request: Request) -> Result<Report, Error> {
    let Opened { source, compiled, .. } = open(app, caller, &request.diagram, None)?;
    Ok(Report::new(&compiled, &source.text))
}
