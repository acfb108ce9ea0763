//! Changes a light diagram in place: comments, layout and everything that was not meant stay as they are.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::compile_diagram::{self, compile_diagram};
use super::workspace::Source;
use super::{App, Caller};
use crate::diagram::edit::{Edit, Refused, edit};
use crate::diagram::{Diagram, parse};
use crate::error::Error;

/// What to change.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A diagram of the workspace, or a file at the terminal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram: Option<String>,
    /// The text itself, instead of a name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<String>,
    /// Made one after the other; none is made when one cannot be.
    pub edits: Vec<EditRequest>,
    /// Save the new text under this name when it is valid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub push_as: Option<String>,
}

/// One change. `at` is `NODE.FIELD`, where FIELD may lead into mappings: `work.retry.max_attempts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum EditRequest {
    SetField {
        at: String,
        value: Value,
    },
    RemoveField {
        at: String,
    },
    AddNode {
        label: String,
        #[serde(rename = "type")]
        kind: String,
        #[serde(default)]
        fields: Map<String, Value>,
    },
    RemoveNode {
        node: String,
    },
    RenameNode {
        node: String,
        label: String,
    },
    AddConnection {
        from: String,
        to: String,
        #[serde(default)]
        label: Option<String>,
        #[serde(default)]
        content_type: Option<String>,
    },
    RemoveConnection {
        from: String,
        to: String,
    },
    /// `at` is `PERSON.FIELD`.
    SetPersonField {
        at: String,
        value: Value,
    },
}

/// What only the terminal may ask besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    /// Write the file that was read, when the new text has no errors that the old one did not have.
    pub in_place: bool,
}

/// The new text and what compiling it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub content: String,
    /// Whether the text is another one now.
    pub changed: bool,
    #[serde(flatten)]
    pub compiled: compile_diagram::Response,
}

/// Makes the edits, compiles the result and saves it when asked to: under a name as `compile_diagram` does,
/// or, at the terminal, in the file it came from.
///
/// # Errors
///
/// `INVALID_INPUT` for an edit that cannot be made, `DIAGRAM_NOT_FOUND`, `INVALID_DIAGRAM` when an edit in
/// place would break a valid diagram, and what `compile_diagram` and writing say.
pub async fn edit_diagram(app: &App, caller: &Caller, request: Request, extras: Extras) -> Result<Response, Error> {
    let source = source(app, caller, &request)?;
    let content = edited(&source.text, &request.edits)?;
    let base_dir = source.path.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let compile = async |text: &str, push_as: Option<String>| {
        let request = compile_diagram::Request { content: text.to_owned(), push_as, ..Default::default() };
        let extras = compile_diagram::Extras { base_dir: base_dir.clone(), ..Default::default() };
        compile_diagram(app, caller, request, extras).await
    };
    let compiled = compile(&content, request.push_as.clone()).await?;
    let changed = content != source.text;
    if extras.in_place && changed {
        if !compiled.report.valid && compile(&source.text, None).await?.report.valid {
            return Err(crate::compile::invalid(&compiled.report));
        }
        write_back(app, caller, &source, &content).await?;
    }
    Ok(Response { content, changed, compiled })
}

fn source(app: &App, caller: &Caller, request: &Request) -> Result<Source, Error> {
    match (&request.diagram, &request.content, caller) {
        (Some(name), None, Caller::Terminal { working_dir }) => app.workspace.open_typed(name, working_dir, None),
        (Some(name), None, Caller::Client(_)) => app.workspace.open_named(name, None),
        (None, Some(text), _) => Ok(Source::inline(text.clone())),
        _ => Err(Error::invalid("INVALID_INPUT", "one of `diagram` and `content` must be given")
            .hint("name a diagram, or send its text")),
    }
}

/// Makes the edits in their order.
///
/// # Errors
///
/// `INVALID_INPUT` for the first edit that cannot be made.
pub(super) fn edited(text: &str, edits: &[EditRequest]) -> Result<String, Error> {
    let mut text = text.to_owned();
    for (nth, request) in edits.iter().enumerate() {
        let it = resolved(request, parse(&text, None).diagram.as_ref());
        text = edit(&text, &[it]).map_err(|(_, refused)| refusal(nth, edits.len(), refused))?;
    }
    Ok(text)
}

fn refusal(nth: usize, n_edits: usize, refused: Refused) -> Error {
    let which = if n_edits > 1 { format!("edit {}: ", nth + 1) } else { String::new() };
    Error::invalid("INVALID_INPUT", format!("{which}{}", refused.message)).hint(refused.hint)
}

fn resolved(request: &EditRequest, diagram: Option<&Diagram>) -> Edit {
    let nodes = diagram.map(|it| it.nodes.as_slice()).unwrap_or_default();
    let node_names = || nodes.iter().flat_map(|it| [it.label.as_str(), it.id.as_str()]);
    let persons = diagram.map(|it| it.persons.as_slice()).unwrap_or_default();
    match request.clone() {
        EditRequest::SetField { at, value } => {
            let (node, path) = split(&at, node_names());
            Edit::SetField { node, path, value }
        }
        EditRequest::RemoveField { at } => {
            let (node, path) = split(&at, node_names());
            Edit::RemoveField { node, path }
        }
        EditRequest::AddNode { label, kind, fields } => Edit::AddNode { label, kind, fields },
        EditRequest::RemoveNode { node } => Edit::RemoveNode { node },
        EditRequest::RenameNode { node, label } => Edit::RenameNode { node, label },
        EditRequest::AddConnection { from, to, label, content_type } => {
            Edit::AddConnection { from, to, label, content_type }
        }
        EditRequest::RemoveConnection { from, to } => Edit::RemoveConnection { from, to },
        EditRequest::SetPersonField { at, value } => {
            let (person, path) = split(&at, persons.iter().flat_map(|it| [it.label.as_str(), it.id.as_str()]));
            Edit::SetPersonField { person, path, value }
        }
    }
}

/// Splits `NAME.FIELD` behind the longest name there is; names may hold dots.
pub(super) fn split<'n>(at: &str, names: impl Iterator<Item = &'n str>) -> (String, Vec<String>) {
    let fits = |it: &&str| at.strip_prefix(it).is_some_and(|rest| rest.starts_with('.'));
    let longest = names.filter(fits).max_by_key(|it| it.len());
    let (name, path) = match longest {
        Some(name) => (name, &at[name.len() + 1..]),
        None => at.split_once('.').unwrap_or((at, "")),
    };
    let path = if path.is_empty() { Vec::new() } else { path.split('.').map(str::to_owned).collect() };
    (name.to_owned(), path)
}

/// Writes the file that was read. A text that a client submitted stays submitted, whoever edits it.
async fn write_back(app: &App, caller: &Caller, source: &Source, content: &str) -> Result<(), Error> {
    let (Some(path), Caller::Terminal { .. }) = (&source.path, caller) else {
        return Err(Error::refused("PERMISSION_REQUIRED", "only a person at the terminal may edit a file in place")
            .hint("save the new text under a name with `push_as`"));
    };
    let was_submitted = match app.existing_store()? {
        Some(store) => store.is_submitted(&source.sha256)?,
        None => false,
    };
    if was_submitted {
        let kept = crate::store::NewRevision {
            diagram_id: source.diagram_id.clone(),
            source: crate::store::Source {
                sha256: crate::config::sha256(content),
                format: crate::diagram::Format::Light.name().to_owned(),
                content: content.to_owned(),
            },
            message: None,
            author: Some(caller.by()),
            submitted: true,
        };
        app.store()?.save_revision(kept).await?;
    }
    std::fs::write(path, content).map_err(|error| {
        Error::external("FILE_FAILED", format!("cannot write `{}`: {}", path.display(), error.kind()))
            .hint("check that it may be written")
            .source(error)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_may_hold_dots() {
        let names = ["a", "a.b", "c d"];
        for (at, name, path) in [
            ("a.b.c", "a.b", vec!["c"]),
            ("a.x.y", "a", vec!["x", "y"]),
            ("c d.code", "c d", vec!["code"]),
            ("z.code", "z", vec!["code"]),
            ("z", "z", vec![]),
        ] {
            let (found, rest) = split(at, names.into_iter());
            assert_eq!((found.as_str(), rest.iter().map(String::as_str).collect::<Vec<_>>()), (name, path), "{at}");
        }
    }

    #[test]
    fn an_edit_sees_what_the_one_before_it_did() {
        let text = "version: light\nnodes:\n- {label: s, type: start} # one\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: e}\n";
        let edits: Vec<EditRequest> = serde_json::from_value(json!([
            {"op": "rename_node", "node": "e", "label": "v1.0"},
            {"op": "set_field", "at": "v1.0.save_to_file", "value": true},
            {"op": "remove_connection", "from": "s", "to": "v1.0"},
            {"op": "add_node", "label": "c", "type": "code_job", "fields": {"code": "result = 1"}},
            {"op": "add_connection", "from": "s", "to": "c"},
            {"op": "add_connection", "from": "c", "to": "v1.0", "label": "n"},
        ]))
        .expect("edits");
        let expected = "version: light\nnodes:\n- {label: s, type: start} # one\n- {label: v1.0, type: endpoint, save_to_file: true}\n\
                        - {label: c, type: code_job, code: result = 1}\nconnections:\n- {from: s, to: c}\n- {from: c, to: v1.0, label: n}\n";
        assert_eq!(edited(text, &edits).expect("they can be made"), expected);
        let wrong = [edits[0].clone(), EditRequest::RemoveNode { node: "e".into() }];
        let error = edited(text, &wrong).expect_err("it has another name by then");
        assert_eq!((error.code(), error.message()), ("INVALID_INPUT", "edit 2: no node is named `e`"));
    }
}
