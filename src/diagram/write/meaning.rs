//! What a diagram says, as one value without places: two texts mean the same exactly when these are equal.

use serde_json::{Map, Value, json};

use super::fields::ordered;
use super::sections::{inputs, metadata, settings};
use super::{Catalogue, persons};
use crate::diagram::model::{Connection, Diagram, DiagramNode};

/// Returns everything that the engine uses of `diagram`, and what is kept without effect. Order is part of
/// it, but for the order of the fields of a node.
pub fn meaning(diagram: &Diagram, catalogue: Catalogue<'_>) -> Value {
    json!({
        "nodes": diagram.nodes.iter().map(|it| node(it, catalogue)).collect::<Vec<_>>(),
        "connections": diagram.connections.iter().map(connection).collect::<Vec<_>>(),
        "persons": diagram.persons.iter().map(person).collect::<Vec<_>>(),
        "settings": settings(&diagram.settings),
        "inputs": inputs(&diagram.inputs),
        "tool": diagram.tool.as_ref().map(|it| it.to_json()),
        "metadata": Value::Object(metadata(diagram)),
    })
}

fn node(node: &DiagramNode, catalogue: Catalogue<'_>) -> Value {
    json!({
        "id": node.id,
        "label": node.label,
        "type": node.kind.map(|it| it.name()),
        "position": node.position.map(|(x, y)| json!([x, y])),
        "fields": Value::Object(Map::from_iter(ordered(node, catalogue))),
    })
}

fn connection(it: &Connection) -> Value {
    json!({
        "id": it.id,
        "from": [it.from, it.output.name()],
        "to": [it.to, it.input.name()],
        "label": it.label.as_ref().map(|it| &it.value),
        "content_type": it.content_type.map(|it| it.name()),
        "data": it.data,
        "execution_priority": it.execution_priority,
    })
}

fn person(it: &crate::diagram::model::Person) -> Value {
    json!({ "id": it.id, "label": it.label, "fields": Value::Object(Map::from_iter(persons::fields(it))) })
}
