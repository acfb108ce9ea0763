//! Reads one resource by its `dipeo://` URI: what `resources/read` serves, and the tool `fetch`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::caller::Scope;
use super::present::{self, View};
use super::see_result::Detail;
use super::{App, Caller, diff_executions, guide, list_diagrams, list_executions, log_pages, pictures};
use crate::error::{Error, ErrorKind};
use crate::ids::ExecutionId;
use crate::limits;
use crate::shown;

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

/// A parsed `dipeo://` URI.
pub(super) enum Target<'a> {
    Diagrams,
    Diagram(&'a str),
    Executions,
    Execution(ExecutionId),
    /// After this position.
    Messages(ExecutionId, u64),
    /// After this event.
    Transitions(ExecutionId, u64),
    Timeline(ExecutionId),
    Graph(ExecutionId),
    Diff(ExecutionId, ExecutionId),
    Guide(&'a str),
    /// By its SHA-256.
    Blob(&'a str),
}

impl Target<'_> {
    /// What reading it needs; the guide is for everybody.
    fn scope(&self) -> Option<Scope> {
        match self {
            Self::Guide(_) => None,
            Self::Diagrams | Self::Diagram(_) => Some(Scope::DiagramRead),
            Self::Executions
            | Self::Execution(_)
            | Self::Messages(..)
            | Self::Transitions(..)
            | Self::Timeline(_)
            | Self::Graph(_)
            | Self::Diff(..)
            | Self::Blob(_) => Some(Scope::ExecutionRead),
        }
    }
}

/// What reading the resource `uri` needs; nothing where there is none.
pub fn scope_of(uri: &str) -> Option<Scope> {
    target(uri)?.scope()
}

/// Reads the resource `id` names: `dipeo://diagrams`, `dipeo://diagrams/{name}`, `dipeo://executions`,
/// `dipeo://executions/{id}` with `/messages`, `/transitions`, `/timeline.svg`, `/graph.mmd` or `/diff/{other}`,
/// `dipeo://guide/{page}`, `dipeo://blobs/{sha256}`.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `RESOURCE_NOT_FOUND` with the list of forms; never reads a path.
pub async fn fetch(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let uri = request.id.as_str();
    let target = target(uri).ok_or_else(|| not_found(uri))?;
    if let Some(scope) = target.scope() {
        caller.require(&[scope])?;
    }
    if let Target::Blob(sha256) = target {
        return blob(app, uri, sha256);
    }
    let mut status = None;
    let is_diagram = matches!(target, Target::Diagram(_));
    let (title, text, mime_type) = match target {
        Target::Diagrams => {
            let list = list_diagrams::list_diagrams(app, caller, Default::default()).await?;
            ("Diagrams of the workspace".to_owned(), cleaned_json(app, &list)?, JSON)
        }
        Target::Diagram(name) => {
            let source = app.workspace.open_named(name, None).map_err(|e| as_resource(uri, e))?;
            let mime_type = if source.text.trim_start().starts_with('{') { JSON } else { YAML };
            (format!("Diagram {}", source.diagram_id), source.text, mime_type)
        }
        Target::Executions => {
            let request = list_executions::Request { limit: Some(100), ..Default::default() };
            let list = list_executions::list_executions(app, caller, request).await?;
            ("Executions, newest first".to_owned(), cleaned_json(app, &list)?, JSON)
        }
        Target::Execution(id) => {
            status = Some(app.visible(caller, &id).map_err(|e| as_resource(uri, e))?.status);
            let view = View { detail: Detail::Full, max_chars: limits::RESULT_CHARS_MAX, ..View::of(caller) };
            let object = present::execution(app, &id, &view).map_err(|e| as_resource(uri, e))?;
            (format!("Execution {id}"), to_json(&object)?, JSON)
        }
        Target::Messages(id, after) => (
            format!("Conversation of {id}"),
            log_pages::messages(app, caller, &id, after).map_err(|e| as_resource(uri, e))?,
            JSON,
        ),
        Target::Transitions(id, after) => (
            format!("Log of {id}"),
            log_pages::transitions(app, caller, &id, after).map_err(|e| as_resource(uri, e))?,
            JSON,
        ),
        Target::Timeline(id) => {
            // The row is read before the log: what has ended is kept for long, so the end must be in the picture.
            let row = app.visible(caller, &id).map_err(|e| as_resource(uri, e))?;
            status = Some(row.status);
            (format!("Timeline of {id}"), pictures::timeline(app, &id, &row)?, SVG)
        }
        Target::Graph(id) => {
            let row = app.visible(caller, &id).map_err(|e| as_resource(uri, e))?;
            status = Some(row.status);
            (format!("Diagram of {id}"), pictures::graph(app, &id)?, MERMAID)
        }
        Target::Diff(id, other) => {
            let request = diff_executions::Request { a: id.to_string(), b: other.to_string() };
            let diff = diff_executions::diff_executions(app, caller, request).await.map_err(|e| as_resource(uri, e))?;
            (format!("{id} and {other}"), to_json(&diff)?, JSON)
        }
        Target::Guide(page) => {
            let page = guide::find(page).ok_or_else(|| not_found(uri))?;
            (page.title().to_owned(), page.text.to_owned(), page.mime_type())
        }
        Target::Blob(_) => return Err(not_found(uri)),
    };
    let mut metadata = Map::new();
    metadata.insert("mime_type".into(), mime_type.into());
    if let Some(status) = status {
        metadata.insert("status".into(), status.name().into());
    }
    if is_diagram {
        warn_of_hidden(&text, &mut metadata);
    }
    Ok(Response { id: uri.to_owned(), title, text, url: uri.to_owned(), metadata })
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const SVG: &str = "image/svg+xml";
const MERMAID: &str = "text/vnd.mermaid";

/// Reads a URI; `None` when it is none of ours.
pub(super) fn target(uri: &str) -> Option<Target<'_>> {
    let path = uri.strip_prefix("dipeo://")?;
    if let Some(name) = path.strip_prefix("diagrams/") {
        return Some(Target::Diagram(name));
    }
    if let Some(sha256) = path.strip_prefix("blobs/") {
        let is_hash = sha256.len() == 64 && sha256.bytes().all(|it| it.is_ascii_hexdigit());
        return is_hash.then_some(Target::Blob(sha256));
    }
    if let Some(page) = path.strip_prefix("guide/") {
        return Some(Target::Guide(page));
    }
    if let Some(rest) = path.strip_prefix("executions/") {
        let (id, part) = rest.split_once('/').unwrap_or((rest, ""));
        let id = ExecutionId::parse(id).ok()?;
        let (part, after) = match part.split_once("?after=") {
            Some((part, after)) => (part, Some(after.parse().ok()?)),
            None => (part, None),
        };
        return match (part, after) {
            ("", None) => Some(Target::Execution(id)),
            ("messages", after) => Some(Target::Messages(id, after.unwrap_or(0))),
            ("transitions", after) => Some(Target::Transitions(id, after.unwrap_or(0))),
            ("timeline.svg", None) => Some(Target::Timeline(id)),
            ("graph.mmd", None) => Some(Target::Graph(id)),
            (part, None) => Some(Target::Diff(id, ExecutionId::parse(part.strip_prefix("diff/")?).ok()?)),
            _ => None,
        };
    }
    match path {
        "diagrams" => Some(Target::Diagrams),
        "executions" => Some(Target::Executions),
        _ => None,
    }
}

/// Bytes that a value refers to, as base64; `metadata.encoding` says so.
fn blob(app: &App, uri: &str, sha256: &str) -> Result<Response, Error> {
    use base64::Engine;
    let found = app.store()?.blob(sha256)?.ok_or_else(|| not_found(uri))?;
    let mut metadata = Map::new();
    metadata.insert("mime_type".into(), found.media_type.into());
    metadata.insert("encoding".into(), "base64".into());
    metadata.insert("size".into(), found.bytes.len().into());
    let text = base64::engine::general_purpose::STANDARD.encode(&found.bytes);
    Ok(Response { id: uri.to_owned(), title: format!("Blob {sha256}"), text, url: uri.to_owned(), metadata })
}

/// Texts of diagrams are edited and written back, so they are shown as they are; what they hide is said beside.
fn warn_of_hidden(text: &str, metadata: &mut Map<String, Value>) {
    let mut hidden = shown::Hidden::default();
    shown::clean(text, &mut hidden);
    if hidden.total() > 0 {
        let warning = format!("the text is unchanged and holds characters that nobody sees: {}", hidden.to_text());
        metadata.insert("warnings".into(), serde_json::json!([{"code": "W604", "message": warning}]));
    }
}

/// A list of ours with names and texts of others in it.
fn cleaned_json(app: &App, value: &impl Serialize) -> Result<String, Error> {
    let mut value = serde_json::json!(value);
    app.scrubber().scrub_value(&mut value);
    shown::clean_value(&mut value, &mut shown::Hidden::default());
    to_json(&value)
}

fn to_json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|e| Error::internal("a resource cannot be written as JSON").source(e))
}

/// The error for a URI that leads to nothing.
pub(super) fn not_found(uri: &str) -> Error {
    let shown: String = uri.chars().filter(|it| !it.is_control()).take(120).collect();
    let forms: Vec<&str> =
        ["dipeo://diagrams", "dipeo://executions"].into_iter().chain(TEMPLATES.iter().map(|it| it.0)).collect();
    Error::not_found("RESOURCE_NOT_FOUND", format!("there is no resource `{shown}`"))
        .hint(format!("resources are {}; `search` finds them", forms.join(", ")))
}

/// Whatever a URI leads to, not finding it is one error.
fn as_resource(uri: &str, error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Invalid => not_found(uri),
        _ => error,
    }
}

/// Lists what can be read: the two collections, every diagram, every guide page (not each execution).
///
/// # Errors
///
/// `INTERNAL` when the workspace cannot be read.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<Listed>, Error> {
    let mut all = fixed();
    for diagram in readable_diagrams(app, caller).await? {
        // A name that looks like another one is not offered; who knows it can still use it.
        if shown::hides(&diagram.name) {
            continue;
        }
        let mime_type = if diagram.format == "native" { JSON } else { YAML };
        let description = shown::line(diagram.description.as_deref().unwrap_or("A diagram"), DESCRIPTION_CHARS_MAX);
        all.push(listed(diagram.uri, &diagram.name, &description, mime_type));
    }
    Ok(all)
}

fn listed(uri: String, name: &str, description: &str, mime_type: &str) -> Listed {
    Listed { uri, name: name.to_owned(), description: description.to_owned(), mime_type: mime_type.to_owned() }
}

/// What can be read in every workspace: the two collections and the guide.
pub fn fixed() -> Vec<Listed> {
    let mut all = vec![
        listed("dipeo://diagrams".into(), "diagrams", "Diagrams of the workspace", JSON),
        listed("dipeo://executions".into(), "executions", "Executions, newest first", JSON),
    ];
    for page in guide::PAGES {
        all.push(listed(format!("dipeo://guide/{}", page.name), page.name, page.title(), page.mime_type()));
    }
    all
}

/// The diagrams that the caller may read: none without the scope.
async fn readable_diagrams(app: &App, caller: &Caller) -> Result<Vec<list_diagrams::ListedDiagram>, Error> {
    if !caller.scopes().has(Scope::DiagramRead) {
        return Ok(Vec::new());
    }
    Ok(list_diagrams::list_diagrams(app, caller, Default::default()).await?.diagrams)
}

/// Longest description of a diagram in a list, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 200;

/// The URI templates: `(template, name, description, mime type)`.
pub const TEMPLATES: &[(&str, &str, &str, &str)] = &[
    ("dipeo://diagrams/{name}", "diagram", "The text of a diagram of the workspace", "application/yaml"),
    ("dipeo://executions/{id}", "execution", "One execution with everything that is known of it", "application/json"),
    ("dipeo://executions/{id}/messages", "messages", "The conversation of one execution", "application/json"),
    ("dipeo://executions/{id}/transitions", "transitions", "The log of one execution", "application/json"),
    ("dipeo://executions/{id}/timeline.svg", "timeline", "When what ran, as a picture", SVG),
    ("dipeo://executions/{id}/graph.mmd", "graph", "The diagram with the states of its nodes", MERMAID),
    ("dipeo://executions/{id}/diff/{other}", "diff", "How one execution differs from another", "application/json"),
    ("dipeo://guide/{page}", "guide", "A page of the guide", "text/markdown"),
    (
        "dipeo://blobs/{sha256}",
        "blob",
        "Bytes that a result refers to: an image, a download",
        "application/octet-stream",
    ),
];

/// Values of one completion, at most (mcp.md 2.6).
pub const COMPLETIONS_MAX: usize = 100;

/// What is typed and wants completing.
#[derive(Clone, Debug, Default)]
pub struct Typed<'t> {
    /// The variable of a template or argument of a prompt.
    pub variable: &'t str,
    /// What is there of it.
    pub prefix: &'t str,
    /// The diagram that was chosen before, if one was: its executions are meant.
    pub diagram: Option<String>,
}

/// Completes by prefix: diagrams by path, executions newest first. At most [`COMPLETIONS_MAX`] values, and one
/// more when there are more.
///
/// # Errors
///
/// `INTERNAL` when the workspace or the database cannot be read.
pub async fn complete(app: &App, caller: &Caller, typed: Typed<'_>) -> Result<Vec<String>, Error> {
    let all: Vec<String> = match typed.variable {
        "name" => readable_diagrams(app, caller).await?.into_iter().map(|it| it.name).collect(),
        "id" | "other" | "execution_id" if caller.scopes().has(Scope::ExecutionRead) => {
            let request = list_executions::Request { limit: Some(1_000), diagram: typed.diagram, ..Default::default() };
            let found = list_executions::list_executions(app, caller, request).await?;
            found.executions.into_iter().map(|it| it.execution_id).collect()
        }
        "page" => guide::PAGES.iter().map(|it| it.name.to_owned()).collect(),
        _ => Vec::new(),
    };
    let fits = |it: &String| it.starts_with(typed.prefix) && !shown::hides(it);
    Ok(all.into_iter().filter(fits).take(COMPLETIONS_MAX + 1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_uris_are_read_and_never_a_path() {
        let id = format!("exec_{}", "0".repeat(32));
        for good in [
            "dipeo://diagrams",
            "dipeo://diagrams/a/b",
            "dipeo://guide/nodes/start",
            &format!("dipeo://executions/{id}/messages"),
            &format!("dipeo://executions/{id}/timeline.svg"),
            &format!("dipeo://executions/{id}/graph.mmd"),
            &format!("dipeo://executions/{id}/diff/{id}"),
            &format!("dipeo://executions/{id}/transitions?after=7"),
        ] {
            assert!(target(good).is_some(), "{good}");
        }
        let page = format!("dipeo://executions/{id}/messages?after=-1");
        let diff = format!("dipeo://executions/{id}/diff/x");
        for bad in [
            page.as_str(),
            diff.as_str(),
            "",
            "/etc/passwd",
            "file:///etc/passwd",
            "dipeo://",
            "dipeo://executions/x",
            "dipeo://etc/passwd",
            "../x",
        ] {
            assert!(target(bad).is_none(), "{bad}");
        }
    }
}
