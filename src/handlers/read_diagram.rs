//! Reads a diagram of the workspace, or one of its revisions: its text, what it says in the native form, and
//! where it stands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::caller::Scope;
use super::convert_diagram::{self, Loss, convert_diagram};
use super::diagram_history::{Kept, kept};
use super::list_diagrams::trust_of;
use super::{App, Caller};
use crate::diagram::write::write;
use crate::diagram::{Diagram, Format, Severity, parse};
use crate::error::Error;
use crate::nodes::known_fields;
use crate::store::RevisionRow;

/// Which diagram.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name or URI of a diagram; `NAME@N` is its revision N.
    pub name: String,
    /// A saved version instead of the present text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// The text in this format instead of its own: `light`, `readable` or `native`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format: Option<String>,
}

/// A diagram with its text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// What `run` takes.
    pub name: String,
    pub uri: String,
    /// Its file, relative to the workspace; absent of an earlier revision.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// Of `content`.
    pub format: String,
    pub content: String,
    /// The same in the native form; absent when the text cannot be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    pub nodes: usize,
    pub connections: usize,
    pub revision: u64,
    /// Of the text as it is stored.
    pub sha256: String,
    /// Whether a person trusted exactly this text (only said of submitted diagrams).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trusted: Option<bool>,
    /// What was said of the revision when it was saved.
    pub message: String,
    /// Who saved it; absent when the file was changed by hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub author: Option<String>,
    /// When the first revision was saved.
    pub created_at: String,
    /// When this revision was saved.
    pub updated_at: String,
    /// Why it does not parse.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// What the text in another format does not have.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub losses: Vec<Loss>,
}

/// Reads the present text, or that of a revision, also of a diagram whose file is gone.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_FOUND`, `REVISION_NOT_FOUND`, `INVALID_NAME`, `INVALID_FORMAT`, and what
/// converting says.
pub async fn read_diagram(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let (name, revision) = match (numbered(&request.name), request.revision) {
        (Some((name, n)), None) if app.workspace.locate(&request.name, None).is_none() => (name, Some(n)),
        (_, revision) => (request.name.as_str(), revision),
    };
    let response = match revision {
        Some(n) => earlier(app, name, n)?,
        None => shown(app, &kept(app, name).await?)?,
    };
    match request.format {
        Some(format) => converted(response, format),
        None => Ok(response),
    }
}

/// Reads `NAME@N`.
pub(super) fn numbered(name: &str) -> Option<(&str, u64)> {
    let (diagram, n) = name.rsplit_once('@')?;
    Some((diagram.strip_prefix("dipeo://diagrams/").unwrap_or(diagram), n.parse().ok()?))
}

/// The name under which the history of a diagram is kept, whether or not its file is there.
///
/// # Errors
///
/// `INVALID_NAME`.
pub(super) fn history_name(app: &App, name: &str) -> Result<String, Error> {
    let name = name.strip_prefix("dipeo://diagrams/").unwrap_or(name);
    super::workspace::check_relative(name)?;
    Ok(app.workspace.locate(name, None).map_or_else(|| name.to_owned(), |it| it.name))
}

/// Finds a saved version.
///
/// # Errors
///
/// `DIAGRAM_NOT_FOUND` (never saved), `REVISION_NOT_FOUND`.
pub(super) fn find_revision(app: &App, diagram_id: &str, n: u64) -> Result<RevisionRow, Error> {
    let store = app.store()?;
    if let Some(row) = store.revision(diagram_id, Some(n))? {
        return Ok(row);
    }
    match store.revision(diagram_id, None)? {
        Some(newest) => Err(Error::not_found("REVISION_NOT_FOUND", format!("`{diagram_id}` has no revision {n}"))
            .hint(format!("its revisions are 1 to {}", newest.n))),
        None => match app.workspace.open_named(diagram_id, None) {
            Ok(_) => Err(Error::not_found("REVISION_NOT_FOUND", format!("`{diagram_id}` has no revision {n}"))
                .hint("it has no history yet: reading it begins one")),
            Err(error) => Err(error),
        },
    }
}

fn earlier(app: &App, name: &str, n: u64) -> Result<Response, Error> {
    let diagram_id = history_name(app, name)?;
    let row = find_revision(app, &diagram_id, n)?;
    let gone = || Error::not_found("REVISION_NOT_FOUND", format!("the text of `{diagram_id}@{n}` is not stored"));
    let source = app.store()?.source(&row.sha256)?.ok_or_else(gone)?;
    let format = Format::parse(&source.format).unwrap_or(Format::Light);
    described(app, &row, source.content, format)
}

/// Describes a diagram as it is now.
///
/// # Errors
///
/// What the database says.
pub(super) fn shown(app: &App, kept: &Kept) -> Result<Response, Error> {
    let response = described(app, &kept.row, kept.source.text.clone(), kept.format())?;
    Ok(Response { path: Some(kept.relative.clone()), ..response })
}

fn described(app: &App, row: &RevisionRow, content: String, format: Format) -> Result<Response, Error> {
    let parsed = parse(&content, None);
    let problem = parsed.diagnostics.iter().find(|it| it.severity() == Severity::Error);
    let error = problem.map(|it| format!("line {}: {} {}", it.span.line, it.code, it.message));
    let first = app.store()?.revision(&row.diagram_id, Some(1))?;
    let described = Response {
        name: row.diagram_id.clone(),
        uri: format!("dipeo://diagrams/{}", row.diagram_id),
        format: format.name().to_owned(),
        content,
        revision: row.n,
        sha256: row.sha256.clone(),
        trusted: trust_of(app, &row.sha256)?,
        message: message_of(row),
        author: row.author.clone(),
        created_at: first.map_or(row.created_at, |it| it.created_at).to_rfc3339(),
        updated_at: row.created_at.to_rfc3339(),
        error,
        ..Response::default()
    };
    Ok(match parsed.diagram {
        Some(diagram) => Response {
            diagram: canonical(&diagram),
            description: diagram.metadata.get("description").and_then(Value::as_str).map(str::to_owned),
            nodes: diagram.nodes.len(),
            connections: diagram.connection_count,
            ..described
        },
        None => described,
    })
}

/// What a revision says of itself.
pub(super) fn message_of(row: &RevisionRow) -> String {
    row.message.clone().unwrap_or_else(|| format!("Revision {}", row.n))
}

/// A diagram in the native form, as a value.
fn canonical(diagram: &Diagram) -> Option<Value> {
    serde_json::from_str(&write(diagram, Format::Native, &known_fields)).ok()
}

fn converted(response: Response, format: String) -> Result<Response, Error> {
    let request = convert_diagram::Request {
        content: response.content.clone(),
        to_format: Some(format),
        ..convert_diagram::Request::default()
    };
    let converted = convert_diagram(&request)?;
    Ok(Response {
        format: converted.to_format.to_owned(),
        content: converted.content.unwrap_or_default(),
        losses: converted.losses,
        ..response
    })
}
