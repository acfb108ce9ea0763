//! One change of a node, made in the text of a diagram: a light one in place, a native one in its JSON, a readable
//! one by way of a light one, as nothing of its layout could be kept anyway.

use serde_json::{Map, Value, json};

use super::super::edit_diagram::{EditRequest, edited};
use super::{Position, invalid, native};
use crate::diagram::write::write;
use crate::diagram::{Format, NodeKind, Severity, parse};
use crate::error::Error;
use crate::nodes::known_fields;

/// What to change. Nodes are named by their label.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Add { label: String, kind: NodeKind, position: Option<Position>, data: Map<String, Value> },
    Set { node: String, position: Option<Position>, data: Map<String, Value> },
    Remove { node: String },
}

impl Change {
    /// What the revision says of itself.
    pub fn in_words(&self) -> String {
        let (verb, node) = match self {
            Self::Add { label, .. } => ("add", label),
            Self::Set { node, .. } => ("change", node),
            Self::Remove { node } => ("remove", node),
        };
        format!("{verb} the node {node}").chars().take(200).collect()
    }
}

/// Makes the change and returns the new text.
///
/// # Errors
///
/// `INVALID_INPUT` when it cannot be made, `INVALID_DIAGRAM` for a text that cannot be read well enough.
pub(super) fn changed(text: &str, change: &Change) -> Result<String, Error> {
    let parsed = parse(text, None);
    match parsed.format {
        Some(Format::Native) => native::changed(text, change),
        Some(Format::Readable) => by_way_of_light(text, change),
        Some(Format::Light) | None => edited(text, &edits(change)),
    }
}

fn edits(change: &Change) -> Vec<EditRequest> {
    match change {
        Change::Add { label, kind, position, data } => {
            let place = position.map(|it| ("position".to_owned(), json!({"x": it.x, "y": it.y})));
            let fields = place.into_iter().chain(data.clone()).collect();
            vec![EditRequest::AddNode { label: label.clone(), kind: kind.name().to_owned(), fields }]
        }
        Change::Set { node, position, data } => {
            let at = |field: &str| format!("{node}.{field}");
            let mut edits: Vec<EditRequest> = Vec::new();
            for (key, value) in data.iter().filter(|(key, _)| *key != "label") {
                edits.push(match value {
                    Value::Null => EditRequest::RemoveField { at: at(key) },
                    value => EditRequest::SetField { at: at(key), value: value.clone() },
                });
            }
            edits.extend(
                position.map(|it| EditRequest::SetField { at: at("position"), value: json!({"x": it.x, "y": it.y}) }),
            );
            // Last: the others still name it as it was.
            if let Some(Value::String(label)) = data.get("label") {
                edits.push(EditRequest::RenameNode { node: node.clone(), label: label.clone() });
            }
            edits
        }
        Change::Remove { node } => vec![EditRequest::RemoveNode { node: node.clone() }],
    }
}

fn by_way_of_light(text: &str, change: &Change) -> Result<String, Error> {
    let read = |text: &str| {
        let parsed = parse(text, None);
        let problem = parsed.diagnostics.iter().find(|it| it.severity() == Severity::Error);
        match (parsed.diagram, problem) {
            (Some(diagram), None) => Ok(diagram),
            (_, problem) => {
                let why = problem.map(|it| format!(": line {} {}", it.span.line, it.message)).unwrap_or_default();
                Err(Error::invalid(
                    "INVALID_DIAGRAM",
                    format!("a readable diagram is changed only while it is sound{why}"),
                )
                .hint("correct it first, or convert it to light"))
            }
        }
    };
    let light = write(&read(text)?, Format::Light, &known_fields);
    let after = read(&edited(&light, &edits(change))?)
        .map_err(|error| invalid(error.message(), "a readable diagram cannot hold it; convert it to light first"))?;
    Ok(write(&after, Format::Readable, &known_fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("a map")
    }

    fn add(label: &str, data: Value) -> Change {
        let position = Some(Position { x: 10.0, y: 2.5 });
        Change::Add { label: label.into(), kind: NodeKind::CodeJob, position, data: map(data) }
    }

    fn set(node: &str, data: Value) -> Change {
        Change::Set { node: node.into(), position: None, data: map(data) }
    }

    #[test]
    fn a_light_text_keeps_its_comments() {
        let text = "version: light # mine\nnodes:\n- {label: s, type: start} # begins\n# then\n\
                    - {label: work, type: code_job, code: \"1\", timeout: 5}\nconnections:\n- {from: s, to: work} # on\n";
        let after = changed(text, &add("more", json!({"code": "2"}))).expect("added");
        assert!(after.contains("# mine") && after.contains("# begins") && after.contains("# then"), "{after}");
        let diagram = parse(&after, None).diagram.expect("a diagram");
        let more = diagram.nodes.last().expect("a node");
        assert_eq!((more.label.as_str(), more.position), ("more", Some((10.0, 2.5))));

        let after =
            changed(text, &set("work", json!({"timeout": null, "code": "3", "label": "job"}))).expect("changed");
        assert!(after.contains("{label: job, type: code_job, code: \"3\"}"), "{after}");
        assert!(after.contains("{from: s, to: job} # on"), "{after}");
        let after = changed(text, &Change::Remove { node: "work".into() }).expect("removed");
        assert!(after.contains("# begins") && !after.contains("work"), "{after}");
    }

    #[test]
    fn a_readable_text_says_the_same_with_the_change() {
        let light = "version: light\nnodes:\n- {label: s, type: start}\n- {label: work, type: code_job, code: \"1\"}\n\
                     - {label: e, type: endpoint}\nconnections:\n- {from: s, to: work}\n- {from: work, to: e}\n";
        let text = write(&parse(light, None).diagram.expect("a diagram"), Format::Readable, &known_fields);
        let after = changed(&text, &set("work", json!({"code": "result = 2"}))).expect("changed");
        let parsed = parse(&after, None);
        assert_eq!(parsed.format, Some(Format::Readable), "{after}");
        let diagram = parsed.diagram.expect("a diagram");
        assert_eq!(diagram.nodes[1].field("code").and_then(|it| it.as_text()), Some("result = 2"));
        let after = changed(&text, &Change::Remove { node: "work".into() }).expect("removed");
        let diagram = parse(&after, None).diagram.expect("a diagram");
        assert_eq!((diagram.nodes.len(), diagram.connections.len()), (2, 0), "{after}");
    }

    #[test]
    fn what_cannot_be_changed_is_refused() {
        let text = "version: light\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\n";
        for (what, change) in [
            ("a label that is taken", add("s", json!({}))),
            ("a label with brackets", add("a[b]", json!({}))),
            ("a field that is not there", set("s", json!({"code": null}))),
            ("a node that is not there", set("nobody", json!({"x": 1}))),
            ("a second type", add("n", json!({"type": "start"}))),
        ] {
            assert_eq!(changed(text, &change).expect_err(what).code(), "INVALID_INPUT", "{what}");
        }
    }
}
