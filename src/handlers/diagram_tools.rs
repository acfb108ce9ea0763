//! Diagrams that ask to be tools of their own (`tool: true`): which there are, under which names, with which
//! arguments. Calling one is [`super::run_diagram`] with its name and the arguments as inputs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::caller::Scope;
use super::workspace::Found;
use super::{App, Caller};
use crate::config::{Toolset, is_granted, sha256};
pub use crate::diagram::InputDeclaration;
use crate::diagram::{Diagram, DiagramNode, NodeKind, Severity, is_tool_name, parse};
use crate::error::Error;
use crate::shown::line;

/// More than so many are not listed: a model reads every tool of a list before it does anything. `search` finds
/// them then.
pub const LISTED_MAX: usize = 25;
/// The tools that every server has; no diagram may take their names.
pub const OWN_NAMES: [&str; 6] = ["dipeo_run", "see_result", "control_execution", "compile_diagram", "search", "fetch"];
/// Longest description that is shown, in characters.
const DESCRIPTION_CHARS_MAX: usize = 300;
/// Longest tool name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// A diagram as a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct DiagramTool {
    /// What clients call: the name the diagram gives, else made from its own.
    pub name: String,
    /// The diagram's name in the workspace.
    pub diagram: String,
    /// In the author's words, shortened, without characters that cannot be seen; empty when they gave none.
    pub description: String,
    /// The arguments; none declared means that any are taken.
    pub inputs: Vec<InputDeclaration>,
    /// Labels of its endpoints: what a finished run has under `outputs`.
    pub endpoints: Vec<String>,
    /// Whether running it may change something besides this database.
    pub has_effects: bool,
}

/// The tools of a workspace, by name, and the diagrams that would be tools but cannot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    pub tools: Vec<DiagramTool>,
    /// Diagram and reason.
    pub left_out: Vec<(String, String)>,
}

impl Catalog {
    /// The tool called `name`.
    pub fn find(&self, name: &str) -> Option<&DiagramTool> {
        self.tools.iter().find(|it| it.name == name)
    }

    /// The tool that a diagram is.
    pub fn of(&self, diagram: &str) -> Option<&DiagramTool> {
        self.tools.iter().find(|it| it.diagram == diagram)
    }

    /// Why a diagram is no tool although it asks to be one.
    pub fn problem_of(&self, diagram: &str) -> Option<&str> {
        self.left_out.iter().find(|it| it.0 == diagram).map(|it| it.1.as_str())
    }

    /// What a list shows: all of them, or none when there are too many.
    pub fn listed(&self) -> &[DiagramTool] {
        if self.tools.len() > LISTED_MAX { &[] } else { &self.tools }
    }
}

/// What is known of one file as long as it does not change.
struct Known {
    modified: Option<SystemTime>,
    size_bytes: u64,
    sha256: String,
    candidate: Option<DiagramTool>,
}

/// What was read of the workspace's files; a file is read again when its time or size changes.
#[derive(Default)]
pub struct Seen(Mutex<BTreeMap<PathBuf, Arc<Known>>>);

/// Returns the tools that `caller` may use.
///
/// # Errors
///
/// What the database says.
pub fn diagram_tools(app: &App, caller: &Caller) -> Result<Catalog, Error> {
    let mut catalog = Catalog::default();
    let offered = &app.config.mcp;
    if !caller.scopes().has(Scope::ExecutionRun) || !offered.has(Toolset::Diagrams) {
        return Ok(catalog);
    }
    for (found, known) in candidates(app) {
        let Some(tool) = known.candidate.as_ref().filter(|it| offered.allows(&it.diagram)) else { continue };
        let reason = match reason_against(app, tool, &known.sha256)? {
            Some(reason) => Some(reason),
            None if OWN_NAMES.contains(&tool.name.as_str()) => {
                Some(format!("`{}` is the name of a tool of this server", tool.name))
            }
            None => catalog
                .find(&tool.name)
                .map(|first| format!("the tool name `{}` is taken by `{}`", tool.name, first.diagram)),
        };
        match reason {
            Some(reason) => catalog.left_out.push((found.name, reason)),
            None => catalog.tools.push(tool.clone()),
        }
    }
    catalog.tools.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(catalog)
}

/// Every diagram that asks to be a tool, by path.
fn candidates(app: &App) -> Vec<(Found, Arc<Known>)> {
    let found = app.workspace.list();
    let mut seen = app.seen_tools.0.lock().unwrap_or_else(PoisonError::into_inner);
    seen.retain(|path, _| found.iter().any(|it| it.path == *path));
    let known = found.into_iter().filter_map(|found| {
        let known = look(app, &found, seen.get(&found.path))?;
        seen.insert(found.path.clone(), Arc::clone(&known));
        known.candidate.is_some().then_some((found, known))
    });
    known.collect()
}

fn look(app: &App, found: &Found, before: Option<&Arc<Known>>) -> Option<Arc<Known>> {
    let metadata = std::fs::metadata(&found.path).ok()?;
    let (modified, size_bytes) = (metadata.modified().ok(), metadata.len());
    if let Some(before) = before.filter(|it| it.modified == modified && it.size_bytes == size_bytes) {
        return Some(Arc::clone(before));
    }
    let source = app.workspace.open_named(&found.relative, None).ok()?;
    // Most files of a workspace are no tools, and some are large: this spares parsing them.
    let candidate = source.text.contains("tool").then(|| read(&source.text, &found.name)).flatten();
    Some(Arc::new(Known { modified, size_bytes, sha256: sha256(&source.text), candidate }))
}

/// The tool a text describes, if it asks to be one and can be read without errors.
fn read(text: &str, name: &str) -> Option<DiagramTool> {
    let parsed = parse(text, None);
    if parsed.diagnostics.iter().any(|it| it.severity() == Severity::Error) {
        return None;
    }
    let diagram = parsed.diagram?;
    let tool = diagram.tool.as_ref()?;
    let text = |key: &str| tool.get(key).and_then(|it| it.as_text());
    let own = diagram.metadata.get("description").and_then(|it| it.as_str());
    Some(DiagramTool {
        name: text("name").map_or_else(|| tool_name(name), str::to_owned),
        diagram: name.to_owned(),
        description: line(text("description").or(own).unwrap_or_default(), DESCRIPTION_CHARS_MAX),
        endpoints: endpoints(&diagram),
        has_effects: diagram.nodes.iter().any(may_have_effects),
        inputs: diagram.inputs.into_iter().map(with_short_description).collect(),
    })
}

/// A model reads the descriptions of arguments too.
fn with_short_description(input: InputDeclaration) -> InputDeclaration {
    let description = input.description.as_deref().map(|it| line(it, DESCRIPTION_CHARS_MAX));
    InputDeclaration { description, ..input }
}

/// Why a diagram may not be a tool although it asks to.
fn reason_against(app: &App, tool: &DiagramTool, sha256: &str) -> Result<Option<String>, Error> {
    if !is_tool_name(&tool.name) {
        return Ok(Some(format!("`{}` can be no tool name", tool.name)));
    }
    if let Some(secret) = tool.inputs.iter().find(|it| it.secret) {
        return Ok(Some(format!("its input `{}` is a secret, and models are given none", secret.name)));
    }
    let was_submitted = match app.existing_store()? {
        Some(store) => store.is_submitted(sha256)?,
        None => false,
    };
    let is_trusted = !was_submitted || is_granted(&app.config.user_dir, sha256);
    Ok((!is_trusted).then(|| format!("a client wrote it; `dipeo trust {}` makes it a tool", tool.diagram)))
}

/// A tool name made from the name of a diagram: `team/review` becomes `team_review`.
fn tool_name(diagram: &str) -> String {
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-');
    diagram.chars().map(|it| if is_allowed(it) { it } else { '_' }).take(NAME_CHARS_MAX).collect()
}

fn endpoints(diagram: &Diagram) -> Vec<String> {
    let endpoints = diagram.nodes.iter().filter(|it| it.kind == Some(NodeKind::Endpoint));
    endpoints.map(|it| it.label.clone()).collect()
}

/// Whether a node may do more than compute. Code may: where host code is allowed it reaches everything.
fn may_have_effects(node: &DiagramNode) -> bool {
    match node.kind {
        Some(
            NodeKind::Start
            | NodeKind::Condition
            | NodeKind::TemplateJob
            | NodeKind::JsonSchemaValidator
            | NodeKind::TypescriptAst
            | NodeKind::UserResponse,
        ) => false,
        Some(NodeKind::Endpoint) => node.field("save_to_file").is_some() || node.field("file_name").is_some(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_from_the_diagrams_own() {
        for (diagram, expected) in [("review", "review"), ("team/review v2", "team_review_v2"), ("é", "_")] {
            assert_eq!(tool_name(diagram), expected);
        }
        assert_eq!(tool_name(&"x".repeat(200)).len(), NAME_CHARS_MAX);
    }

    #[test]
    fn only_what_asks_to_be_a_tool_and_can_be_read_is_one() {
        let nodes =
            "nodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\nconnections: [{from: s, to: e}]\n";
        let text = |head: &str| format!("version: light\n{head}{nodes}");
        for (head, expected) in [
            ("", None),
            ("tool: false\n", None),
            ("tool: true\n", Some(("some_name", ""))),
            ("tool: true\ndescription: Says it.\n", Some(("some_name", "Says it."))),
            (
                "tool: {name: own-name, description: Says more.}\ndescription: Says it.\n",
                Some(("own-name", "Says more.")),
            ),
            ("tool: {name: not a name}\n", None),
            ("tool: maybe\n", None),
        ] {
            let tool = read(&text(head), "some/name");
            let found = tool.as_ref().map(|it| (it.name.as_str(), it.description.as_str()));
            assert_eq!(found, expected, "{head}");
            assert!(tool.is_none_or(|it| it.endpoints == ["e"] && !it.has_effects));
        }
    }
}
