//! The native format (diagrams.md 1.3). `handles` is left out: it says again what the types of the nodes
//! say, and for a large diagram it would fill the number of values a text may have.

use serde_json::{Map, Value, json};

use super::{Catalogue, connections, fields, number, persons, sections};
use crate::diagram::kinds::Format;
use crate::diagram::model::{Diagram, DiagramNode};

pub(super) fn document(diagram: &Diagram, catalogue: Catalogue<'_>) -> Value {
    let nodes: Map<String, Value> = diagram.nodes.iter().map(|it| (key(&it.id), node(it, catalogue))).collect();
    let mut document = Map::from_iter([
        ("nodes".to_owned(), Value::Object(nodes)),
        ("arrows".to_owned(), Value::Array(connections::native(diagram))),
        ("persons".to_owned(), Value::Object(persons::by_id(&diagram.persons))),
    ]);
    let mut metadata = sections::metadata(diagram);
    for (name, section) in own_sections(diagram) {
        // Metadata of that name: then the section, or that there is none, stands at the top.
        if metadata.contains_key(name) {
            document.insert(name.to_owned(), section.unwrap_or_default());
        } else if let Some(section) = section {
            metadata.insert(name.to_owned(), section);
        }
    }
    if !metadata.is_empty() {
        document.insert("metadata".to_owned(), Value::Object(metadata));
    }
    Value::Object(document)
}

/// The sections that native keeps under `metadata`.
fn own_sections(diagram: &Diagram) -> [(&'static str, Option<Value>); 3] {
    let map = |it: Map<String, Value>| (!it.is_empty()).then_some(Value::Object(it));
    [
        ("settings", map(sections::settings(&diagram.settings))),
        ("inputs", map(sections::inputs(&diagram.inputs))),
        ("tool", diagram.tool.as_ref().map(|it| it.to_json())),
    ]
}

fn node(node: &DiagramNode, catalogue: Catalogue<'_>) -> Value {
    let mut data = Map::from_iter([("label".to_owned(), Value::from(node.label.as_str()))]);
    data.extend(fields::entries(node, Format::Native, catalogue));
    let mut map = Map::new();
    map.extend(node.kind.map(|it| ("type".to_owned(), Value::from(it.name()))));
    map.extend(node.position.map(|(x, y)| ("position".to_owned(), json!({"x": number(x), "y": number(y)}))));
    map.insert("data".to_owned(), Value::Object(data));
    Value::Object(map)
}

/// A name where it is a key: keys that begin with `__` are ignored at every level, and names are trimmed.
pub(super) fn key(name: &str) -> String {
    if name.starts_with("__") { format!(" {name}") } else { name.to_owned() }
}
