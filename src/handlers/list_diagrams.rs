//! Lists the diagrams of the workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::diagram_tools::diagram_tools;
use super::run_diagram::format_of;
use super::workspace::Found;
use super::{App, Caller};
use crate::config::{is_granted, sha256};
use crate::diagram::{Severity, parse};
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
/// `INSUFFICIENT_SCOPE`, `INVALID_FORMAT`.
pub async fn list_diagrams(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let format = format_of(request.format.as_deref())?;
    let wanted = request.search.map(|it| it.to_lowercase());
    let mut diagrams = Vec::new();
    let tools = diagram_tools(app, caller)?;
    for found in app.workspace.list() {
        let Some(mut listed) = look_at(app, &found)? else { continue };
        listed.tool = tools.of(&listed.name).map(|it| it.name.clone());
        listed.tool_problem = tools.problem_of(&listed.name).map(str::to_owned);
        let fits_format = format.is_none_or(|it| it.name() == listed.format);
        let fits_words = wanted.as_deref().is_none_or(|it| {
            [Some(&listed.name), Some(&listed.path), listed.description.as_ref()]
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(it))
        });
        if fits_format && fits_words {
            diagrams.push(listed);
        }
    }
    let total = diagrams.len();
    Ok(Response { diagrams, total })
}

/// Describes a file; `None` when it is no diagram at all (any other YAML or JSON).
fn look_at(app: &App, found: &Found) -> Result<Option<ListedDiagram>, Error> {
    let listed = |format: String, nodes, description, error| ListedDiagram {
        name: found.name.clone(),
        path: found.relative.clone(),
        format,
        nodes,
        description,
        uri: format!("dipeo://diagrams/{}", found.name),
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
    let says_so =
        [".light.yaml", ".light.yml", ".readable.yaml", ".native.json"].iter().any(|it| found.relative.ends_with(it));
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
    let mut listed = listed(diagram.format.name().to_owned(), diagram.nodes.len(), description, problem);
    listed.trusted = trust_of(app, &sha256(&text))?;
    Ok(Some(listed))
}

/// Whether a submitted text is trusted; nothing is said of texts nobody submitted.
fn trust_of(app: &App, sha256: &str) -> Result<Option<bool>, Error> {
    let Some(store) = app.existing_store()? else { return Ok(None) };
    Ok(store.is_submitted(sha256)?.then(|| is_granted(&app.config.user_dir, sha256)))
}
