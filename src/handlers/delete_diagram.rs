//! Removes a diagram from the workspace. Its text stays in the history, its executions stay as they are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::diagram_history::{Expected, remove};
use super::{App, Caller};
use crate::error::Error;

/// Which diagram.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name or URI of a diagram.
    pub name: String,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub name: String,
    /// The revision that it was; restoring it brings the diagram back.
    pub revision: u64,
}

/// Removes the file of a diagram, after its text has become a revision.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_FOUND`, `INVALID_NAME`, `REVISION_CONFLICT`, what files and the database say.
pub async fn delete_diagram(
    app: &App,
    caller: &Caller,
    request: Request,
    expected: Expected,
) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramWrite])?;
    let removed = remove(app, &request.name, expected).await?;
    Ok(Response { name: removed.row.diagram_id, revision: removed.row.n })
}
