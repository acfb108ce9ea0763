//! The history of a diagram: its revisions, and going back to one. To compare two, ask `diff_executions` for
//! `NAME@N` and `NAME@M`; to read one, `read_diagram`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::diagram_history::{self, Expected, NewText, kept};
use super::read_diagram::{self, find_revision, history_name, message_of};
use super::run_diagram::may_run;
use super::save_diagram::check_message;
use super::{App, Caller};
use crate::diagram::Format;
use crate::error::{Error, ErrorKind};
use crate::store::RevisionRow;

/// Whose history, and which part of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// Name or URI of a diagram.
    pub name: String,
    /// At most so many (100, up to 1000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// How many of the newest to leave out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<usize>,
}

/// Revisions, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListResponse {
    pub revisions: Vec<Revision>,
    /// How many there are in all.
    pub total: usize,
}

/// A saved version of a diagram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// From 1.
    pub n: u64,
    pub sha256: String,
    pub message: String,
    /// Who saved it; absent when the file was changed by hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub author: Option<String>,
    pub created_at: String,
    /// Whether a client sent the text.
    pub submitted: bool,
}

/// What to say of the present text.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelRequest {
    /// Name or URI of a diagram.
    pub name: String,
    /// At most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// Which revision to go back to.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Name or URI of a diagram.
    pub name: String,
    pub revision: u64,
    /// What is said of the new revision (at most 500 characters).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// Lists the revisions of a diagram, also of one whose file is gone.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_FOUND`, `INVALID_NAME`, `INVALID_INPUT` for a limit out of range.
pub async fn list(app: &App, caller: &Caller, request: ListRequest) -> Result<ListResponse, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let limit = super::list_executions::checked_limit(request.limit, 100)?;
    let not_there = match kept(app, &request.name).await {
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::NotFound => Some(error),
        Err(error) => return Err(error),
    };
    let rows = app.store()?.revisions(&history_name(app, &request.name)?)?;
    if let (Some(error), true) = (not_there, rows.is_empty()) {
        return Err(error);
    }
    let total = rows.len();
    let shown = rows.iter().skip(request.offset.unwrap_or(0)).take(limit);
    Ok(ListResponse { revisions: shown.map(revision).collect(), total })
}

fn revision(row: &RevisionRow) -> Revision {
    Revision {
        n: row.n,
        sha256: row.sha256.clone(),
        message: message_of(row),
        author: row.author.clone(),
        created_at: row.created_at.to_rfc3339(),
        submitted: row.submitted,
    }
}

/// Gives the present text of a diagram a message; a text that was changed by hand becomes a revision first.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_FOUND`, `INVALID_NAME`, `INVALID_INPUT`.
pub async fn label(app: &App, caller: &Caller, request: LabelRequest) -> Result<Revision, Error> {
    caller.require(&[Scope::DiagramRead, Scope::DiagramWrite])?;
    check_message(request.message.as_deref())?;
    let mut row = kept(app, &request.name).await?.row;
    if let Some(message) = request.message {
        app.store()?.label_revision(row.diagram_id.clone(), row.n, message.clone()).await?;
        row.message = Some(message);
    }
    Ok(revision(&row))
}

/// Makes the text of an earlier revision the present one again, as a new revision; a diagram whose file is gone
/// comes back.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_ALLOWED`, `DIAGRAM_NOT_FOUND`, `REVISION_NOT_FOUND`, `INVALID_NAME`,
/// `INVALID_INPUT`, `REVISION_CONFLICT`, `ALREADY_EXISTS` when its name belongs to another file now.
pub async fn restore(
    app: &App,
    caller: &Caller,
    request: RestoreRequest,
    expected: Expected,
) -> Result<read_diagram::Response, Error> {
    caller.require(&[Scope::DiagramRead, Scope::DiagramWrite])?;
    may_run(app, caller, None)?;
    check_message(request.message.as_deref())?;
    let diagram_id = history_name(app, &request.name)?;
    let row = find_revision(app, &diagram_id, request.revision)?;
    let source = app.store()?.source(&row.sha256)?;
    let source = source.ok_or_else(|| {
        let message = format!("the text of `{diagram_id}@{}` is not stored", request.revision);
        Error::not_found("REVISION_NOT_FOUND", message)
    })?;
    let message = request.message.unwrap_or_else(|| format!("Revision {} again", request.revision));
    let new = NewText {
        name: &diagram_id,
        text: &source.content,
        sha256: source.sha256,
        format: Format::parse(&source.format).unwrap_or(Format::Light),
        message: Some(message),
    };
    let (kept, _) = diagram_history::save(app, caller, new, expected).await?;
    read_diagram::shown(app, &kept)
}
