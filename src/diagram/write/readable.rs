//! The readable format, with types in the keys of nodes and the third dialect of flows (diagrams.md 1.2).

use serde_json::Value;

use super::yaml::Doc;
use super::{Catalogue, connections, fields, is_whole, light, persons, sections};
use crate::diagram::kinds::Format;
use crate::diagram::model::{Diagram, DiagramNode};

pub(super) fn document(diagram: &Diagram, catalogue: Catalogue<'_>) -> Vec<(String, Doc)> {
    let mut document = sections::head(diagram, Format::Readable);
    let persons = persons::by_label(&diagram.persons);
    if !persons.is_empty() {
        let persons = persons.into_iter().map(|(key, map)| Doc::Map(vec![(key, Doc::Value(Value::Object(map)))]));
        document.push(("persons".to_owned(), Doc::List(persons.collect())));
    }
    let nodes = diagram.nodes.iter().enumerate().map(|(idx, it)| node(idx, it, catalogue));
    document.push(("nodes".to_owned(), Doc::List(nodes.collect())));
    document.push(("flow".to_owned(), Doc::List(connections::readable(diagram))));
    document
}

fn node(idx: usize, node: &DiagramNode, catalogue: Catalogue<'_>) -> Doc {
    let mut key = as_key(&node.label);
    key.extend(node.kind.map(|it| format!(" [{}]", it.name())));
    let mut entries: Vec<(String, Doc)> = light::id(idx, node).into_iter().collect();
    match node.position {
        Some((x, y)) if is_whole(x) && is_whole(y) => key.push_str(&format!(" @({},{})", x as i64, y as i64)),
        Some(position) => entries.push(("position".to_owned(), light::position(position))),
        None => {}
    }
    let fields = fields::entries(node, Format::Readable, catalogue);
    entries.extend(fields.into_iter().map(|(key, value)| (key, Doc::Value(value))));
    Doc::Map(vec![(key, Doc::Map(entries))])
}

/// A label where it is a key: keys that begin with `__` are ignored, and labels are trimmed.
pub(super) fn as_key(label: &str) -> String {
    super::native::key(label)
}
