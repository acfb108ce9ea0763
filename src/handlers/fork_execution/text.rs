//! The diagram that a fork goes on with: the one that ran, another one, and edits of either; and what it may do.

use super::super::convert_diagram::written;
use super::super::edit_diagram::{EditRequest, edited, split};
use super::super::workspace::Source;
use super::super::{App, Caller};
use super::{Past, Request};
use crate::config::sha256;
use crate::diagram::{Diagram, DiagramNode, Format, NodeKind, parse};
use crate::error::Error;
use crate::nodes::{Origin, Rights};

/// The text that a fork goes on with.
pub(super) struct NewText {
    pub source: Source,
    /// `None`: it is detected.
    pub format: Option<Format>,
    /// Whether it is another text than the one that ran.
    pub is_changed: bool,
}

/// Makes the text. One that is edited and is not light is written as light first: edits keep the rest of a text as
/// it is, and nobody has a layout to lose in a stored one.
///
/// # Errors
///
/// `INVALID_INPUT` for an edit that cannot be made.
pub(super) fn new_text(past: &Past, request: &Request) -> Result<NewText, Error> {
    let ran = &past.source;
    let (mut text, mut format) = match &request.diagram {
        Some(text) => (text.clone(), None),
        None => (ran.content.clone(), Format::parse(&ran.format)),
    };
    if !(request.set.is_empty() && request.prompts.is_empty() && request.models.is_empty()) {
        let parsed = parse(&text, format);
        let diagram = parsed.diagram.ok_or_else(unreadable)?;
        if diagram.format != Format::Light {
            text = written(&diagram, Format::Light)?;
        }
        format = Some(Format::Light);
        text = edited(&text, &edits(&diagram, request)?)?;
    }
    let sha256 = sha256(&text);
    let is_changed = sha256 != ran.sha256;
    let diagram_id = past.row.head.diagram_id.clone().unwrap_or_else(|| "inline".to_owned());
    let source = Source { text, sha256, diagram_id, path: None, is_in_workspace: false };
    Ok(NewText { source, format, is_changed })
}

fn unreadable() -> Error {
    Error::invalid("INVALID_DIAGRAM", "the diagram cannot be read").hint("compile it to see why")
}

/// The edits in a fixed order: prompts, models, then what is set by name, so that the most particular wins.
fn edits(diagram: &Diagram, request: &Request) -> Result<Vec<EditRequest>, Error> {
    let mut edits = Vec::new();
    for (name, prompt) in &request.prompts {
        let found = diagram.nodes.iter().find(|it| it.label == *name || it.id == *name);
        let node = found.ok_or_else(|| {
            Error::not_found("NODE_NOT_FOUND", format!("the diagram has no node `{name}`"))
                .hint("name a node by its label or id")
        })?;
        edits.extend(prompt_edits(node, prompt)?);
    }
    for (person, model) in &request.models {
        edits.push(EditRequest::SetPersonField { at: format!("{person}.model"), value: model.as_str().into() });
    }
    for (at, value) in &request.set {
        let (at, value) = (at.clone(), value.clone());
        let is_person = !names_one(&at, diagram.nodes.iter().flat_map(|it| [&*it.label, &*it.id]))
            && names_one(&at, diagram.persons.iter().flat_map(|it| [&*it.label, &*it.id]));
        edits.push(match is_person {
            true => EditRequest::SetPersonField { at, value },
            false => EditRequest::SetField { at, value },
        });
    }
    Ok(edits)
}

/// Whether `at` is a field of one of these.
fn names_one<'n>(at: &str, names: impl Iterator<Item = &'n str> + Clone) -> bool {
    let (name, _) = split(at, names.clone());
    let mut names = names;
    names.any(|it| it == name)
}

fn prompt_edits(node: &DiagramNode, prompt: &str) -> Result<Vec<EditRequest>, Error> {
    let set = |field: &str| EditRequest::SetField { at: format!("{}.{field}", node.label), value: prompt.into() };
    let label = &node.label;
    match node.kind {
        Some(NodeKind::PersonJob) => {
            let first = ["first_only_prompt", "first_prompt_file"].into_iter().find(|it| node.field(it).is_some());
            if let Some(first) = first {
                let message = format!("`{label}` has two prompts: `default_prompt` and `{first}`");
                return Err(Error::invalid("INVALID_INPUT", message)
                    .hint(format!("set `{label}.default_prompt` or `{label}.first_only_prompt`")));
            }
            // The file would win over the text.
            let file = node.field("prompt_file").is_some();
            let file = file.then(|| EditRequest::RemoveField { at: format!("{label}.prompt_file") });
            Ok(file.into_iter().chain([set("default_prompt")]).collect())
        }
        Some(NodeKind::UserResponse) => Ok(vec![set("prompt")]),
        _ => Err(Error::invalid("INVALID_INPUT", format!("`{label}` has no prompt"))
            .hint("set the field that is meant, as NODE.FIELD")),
    }
}

/// The name of the diagram if the workspace holds this very text under it.
pub(super) fn workspace_name(app: &App, past: &Past, text: &NewText) -> Option<String> {
    let name = past.row.head.diagram_id.as_ref()?;
    let found = app.workspace.open_named(name, None).ok()?;
    (found.sha256 == text.source.sha256).then_some(found.diagram_id)
}

/// What the fork may do: at most what its text may when this caller runs it, and at most what the execution could
/// that it goes on from. A text that a client changed is one that a client sent.
///
/// # Errors
///
/// What the database says.
pub(super) fn rights(app: &App, caller: &Caller, past: &Past, text: &NewText) -> Result<Rights, Error> {
    let is_in_workspace = || past.rights.origin == Origin::Workspace || workspace_name(app, past, text).is_some();
    let own = match caller {
        Caller::Terminal { .. } => Origin::Local,
        Caller::Client(_) if !text.is_changed && is_in_workspace() => Origin::Workspace,
        Caller::Client(_) => Origin::Submitted,
    };
    // A submitted text stays one, whoever edits it; what a person trusted was another text.
    let origin = if past.rights.origin == Origin::Submitted { Origin::Submitted } else { own };
    Ok(app.rights_of(origin, &text.source.sha256)?.at_most(&past.rights))
}
