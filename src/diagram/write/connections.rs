//! Connections in the words of each format.

use serde_json::{Map, Value};

use super::sections::given;
use super::yaml::Doc;
use crate::diagram::kinds::Handle;
use crate::diagram::model::{Connection, Diagram};

/// The items of `connections`.
pub(super) fn light(diagram: &Diagram) -> Vec<Doc> {
    let end = |node: usize, handle: Handle| {
        let label = &diagram.nodes[node].label;
        if handle == Handle::Default { label.clone() } else { format!("{label}[{}]", handle.name()) }
    };
    let item = |(nth, it): (usize, &Connection)| {
        let mut entries =
            given([("from", Some(end(it.from, it.output).into())), ("to", Some(end(it.to, it.input).into()))]);
        entries.extend(cable(nth, it, "label", "content_type"));
        Doc::Braces(entries.into_iter().collect())
    };
    diagram.connections.iter().enumerate().map(item).collect()
}

/// The items of `flow`, dialect 3: neighbours from one source share an item.
pub(super) fn readable(diagram: &Diagram) -> Vec<Doc> {
    let mut items: Vec<(usize, Vec<Doc>)> = Vec::new();
    for (nth, it) in diagram.connections.iter().enumerate() {
        let handle = |handle: Handle| (handle != Handle::Default).then(|| Value::from(handle.name()));
        let mut entries = given([
            ("to", Some(diagram.nodes[it.to].label.as_str().into())),
            ("from", handle(it.output)),
            ("in", handle(it.input)),
        ]);
        entries.extend(cable(nth, it, "naming", "as"));
        let destination = Doc::Braces(entries.into_iter().collect());
        match items.last_mut() {
            Some((source, destinations)) if *source == it.from => destinations.push(destination),
            _ => items.push((it.from, vec![destination])),
        }
    }
    let item = |(source, mut destinations): (usize, Vec<Doc>)| {
        let key = super::readable::as_key(&diagram.nodes[source].label);
        let only = if destinations.len() == 1 { destinations.pop() } else { None };
        Doc::Map(vec![(key, only.unwrap_or(Doc::List(destinations)))])
    };
    items.into_iter().map(item).collect()
}

/// The items of `arrows`.
pub(super) fn native(diagram: &Diagram) -> Vec<Value> {
    let handle_id = |node: usize, handle: Handle, direction: &str| {
        Value::from(format!("{}_{}_{direction}", diagram.nodes[node].id, handle.name()))
    };
    let arrow = |it: &Connection| {
        let mut arrow = given([
            ("id", Some(it.id.as_str().into())),
            ("source", Some(handle_id(it.from, it.output, "output"))),
            ("target", Some(handle_id(it.to, it.input, "input"))),
        ]);
        // The position that no id stands for: this one is written already.
        let mut rest = cable(usize::MAX, it, "label", "content_type");
        rest.shift_remove("id");
        arrow.extend(rest);
        Value::Object(arrow)
    };
    diagram.connections.iter().map(arrow).collect()
}

/// Everything about the `nth` connection but its ends.
fn cable(nth: usize, it: &Connection, label: &'static str, content_type: &'static str) -> Map<String, Value> {
    given([
        (label, it.label.as_ref().map(|it| it.value.as_str().into())),
        (content_type, it.content_type.map(|it| it.name().into())),
        ("id", (it.id != format!("arrow_{nth}")).then(|| it.id.as_str().into())),
        ("data", it.data.clone()),
        ("execution_priority", it.execution_priority.clone()),
    ])
}
