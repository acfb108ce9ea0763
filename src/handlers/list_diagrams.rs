//! Lists the diagrams of the workspace.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::diagram_tools::diagram_tools;
use super::list_executions::{checked_limit, read_moment};
use super::present::Audience;
use super::run_diagram::format_of;
use super::workspace::Found;
use super::{App, Caller};
use crate::clock::Timestamp;
use crate::config::{is_granted, sha256};
use crate::diagram::{Format, Parsed, Severity, parse};
use crate::error::Error;
use crate::store::DiagramRow;

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
    /// Only those whose name contains this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Only those of this author.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub author: Option<String>,
    /// Only those with one of these tags, with commas between them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tags: Option<String>,
    /// Only those that were made at this time (RFC 3339) or later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_after: Option<String>,
    /// Only those that were made before this time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_before: Option<String>,
    /// At most so many; all when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// How many of the first to leave out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<usize>,
}

/// Those that fit, by path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub diagrams: Vec<ListedDiagram>,
    /// How many fit in all.
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
    pub connections: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub author: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
    pub uri: String,
    /// The saved version that the file holds; absent when the file was changed since.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    /// When the first version was saved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_at: Option<String>,
    /// When the file was changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated_at: Option<String>,
    /// Whether a person trusted exactly this text (only said of submitted diagrams).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trusted: Option<bool>,
    /// The MCP tool that it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tool: Option<String>,
    /// Why it is no tool although it asks to be one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tool_problem: Option<String>,
    /// Why it does not parse.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// Lists every diagram file once, by path.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_FORMAT`, `INVALID_INPUT` for a limit out of range and a time that is none.
pub async fn list_diagrams(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let limit = request.limit.map(|it| checked_limit(Some(it), it)).transpose()?;
    let offset = request.offset.unwrap_or(0);
    let filter = Filter::of(request)?;
    let mut diagrams = Vec::new();
    let saved = saved(app, caller)?;
    let tools = diagram_tools(app, caller)?;
    for found in app.workspace.list() {
        let Some(mut listed) = look_at(app, &found, saved.as_ref())? else { continue };
        listed.tool = tools.of(&listed.name).map(|it| it.name.clone());
        listed.tool_problem = tools.problem_of(&listed.name).map(str::to_owned);
        if filter.fits(&listed) {
            diagrams.push(listed);
        }
    }
    let total = diagrams.len();
    let shown = diagrams.into_iter().skip(offset).take(limit.unwrap_or(usize::MAX));
    Ok(Response { diagrams: shown.collect(), total })
}

/// A checked request.
struct Filter {
    format: Option<Format>,
    /// In lower case, like the name.
    search: Option<String>,
    name: Option<String>,
    author: Option<String>,
    tags: Option<Vec<String>>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl Filter {
    fn of(request: Request) -> Result<Self, Error> {
        let moment = |name: &str, text: Option<String>| text.map(|it| read_moment(name, &it)).transpose();
        let parts = |text: String| text.split(',').map(|it| it.trim().to_owned()).collect();
        Ok(Self {
            format: format_of(request.format.as_deref())?,
            search: request.search.map(|it| it.to_lowercase()),
            name: request.name.map(|it| it.to_lowercase()),
            author: request.author,
            tags: request.tags.map(parts),
            after: moment("created_after", request.created_after)?,
            before: moment("created_before", request.created_before)?,
        })
    }

    fn fits(&self, listed: &ListedDiagram) -> bool {
        let has = |text: &str, part: &String| text.to_lowercase().contains(part);
        let words = || [Some(&listed.name), Some(&listed.path), listed.description.as_ref()].into_iter().flatten();
        let made_at = listed.created_at.as_ref().or(listed.updated_at.as_ref()).and_then(|it| Timestamp::parse(it));
        self.format.is_none_or(|it| it.name() == listed.format)
            && self.search.as_ref().is_none_or(|part| words().any(|it| has(it, part)))
            && self.name.as_ref().is_none_or(|part| has(&listed.name, part))
            && self.author.as_ref().is_none_or(|it| listed.author.as_ref() == Some(it))
            && self.tags.as_ref().is_none_or(|tags| tags.iter().any(|it| listed.tags.contains(it)))
            && self.after.is_none_or(|it| made_at.is_some_and(|at| it <= at))
            && self.before.is_none_or(|it| made_at.is_some_and(|at| at < it))
    }
}

/// The history of each diagram, by name; nothing of it is told to a model, which has no use for it.
fn saved(app: &App, caller: &Caller) -> Result<Option<HashMap<String, DiagramRow>>, Error> {
    if Audience::of(caller) == Audience::Model {
        return Ok(None);
    }
    let rows = match app.existing_store()? {
        Some(store) => store.saved_diagrams()?,
        None => Vec::new(),
    };
    Ok(Some(rows.into_iter().map(|it| (it.diagram_id.clone(), it)).collect()))
}

/// Whether the name of a file alone says that it is a diagram.
fn says_so(relative: &str) -> bool {
    [".light.yaml", ".light.yml", ".readable.yaml", ".native.json"].iter().any(|it| relative.ends_with(it))
}

/// Whether a file is a diagram, and not any other YAML or JSON.
pub(super) fn is_diagram(relative: &str, parsed: &Parsed) -> bool {
    says_so(relative) || parsed.diagram.as_ref().is_some_and(|it| !it.nodes.is_empty())
}

/// Describes a file; `None` when it is no diagram at all (any other YAML or JSON).
fn look_at(
    app: &App,
    found: &Found,
    saved: Option<&HashMap<String, DiagramRow>>,
) -> Result<Option<ListedDiagram>, Error> {
    let listed = |format: String, nodes, description, error| ListedDiagram {
        name: found.name.clone(),
        path: found.relative.clone(),
        format,
        nodes,
        connections: None,
        description,
        title: None,
        author: None,
        tags: Vec::new(),
        uri: format!("dipeo://diagrams/{}", found.name),
        revision: None,
        created_at: None,
        updated_at: saved.and_then(|_| changed_at(found)),
        trusted: None,
        tool: None,
        tool_problem: None,
        error,
    };
    let by_suffix = || {
        let is_native = found.relative.ends_with(".json");
        let is_readable = found.relative.ends_with(".readable.yaml");
        if is_native {
            "native"
        } else if is_readable {
            "readable"
        } else {
            "light"
        }
        .to_owned()
    };
    let says_so = says_so(&found.relative);
    let text = match app.workspace.open_named(&found.relative, None) {
        Ok(source) => source.text,
        Err(e) if says_so => return Ok(Some(listed(by_suffix(), 0, None, Some(e.message().to_owned())))),
        Err(_) => return Ok(None),
    };
    let parsed = parse(&text, None);
    let problem = parsed.diagnostics.iter().find(|it| it.severity() == Severity::Error);
    let problem = problem.map(|it| format!("line {}: {} {}", it.span.line, it.code, it.message));
    let Some(diagram) = parsed.diagram.filter(|it| says_so || !it.nodes.is_empty()) else {
        return Ok(says_so.then(|| listed(by_suffix(), 0, None, problem)));
    };
    let description = diagram.metadata.get("description").and_then(|it| it.as_str()).map(str::to_owned);
    let own = |key: &str| diagram.metadata.get(key).and_then(|it| it.as_str()).map(str::to_owned);
    let mut listed = listed(diagram.format.name().to_owned(), diagram.nodes.len(), description, problem);
    let sha256 = sha256(&text);
    listed.trusted = trust_of(app, &sha256)?;
    if let Some(saved) = saved {
        listed.connections = Some(diagram.connection_count);
        (listed.title, listed.author) = (own("name"), own("author"));
        let tags = diagram.metadata.get("tags").and_then(|it| it.as_array()).into_iter().flatten();
        listed.tags = tags.filter_map(|it| it.as_str()).map(str::to_owned).collect();
        let row = saved.get(&found.name).filter(|it| it.sha256 == sha256);
        listed.revision = row.map(|it| it.current_revision);
        listed.created_at = row.map(|it| it.created_at.to_rfc3339());
    }
    Ok(Some(listed))
}

/// When a file was written, as far as its system tells.
fn changed_at(found: &Found) -> Option<String> {
    let written = std::fs::metadata(&found.path).ok()?.modified().ok()?;
    let since_epoch = written.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp(i64::try_from(since_epoch.as_millis()).ok()?).to_rfc3339())
}

/// Whether a submitted text is trusted; nothing is said of texts nobody submitted.
pub(super) fn trust_of(app: &App, sha256: &str) -> Result<Option<bool>, Error> {
    let Some(store) = app.existing_store()? else { return Ok(None) };
    Ok(store.is_submitted(sha256)?.then(|| is_granted(&app.config.user_dir, sha256)))
}
