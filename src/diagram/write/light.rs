//! The light format (diagrams.md 1.1).

use serde_json::Value;

use super::yaml::Doc;
use super::{Catalogue, connections, fields, number, persons, sections};
use crate::diagram::kinds::{Format, NodeKind};
use crate::diagram::model::{Diagram, DiagramNode};

pub(super) fn document(diagram: &Diagram, catalogue: Catalogue<'_>) -> Vec<(String, Doc)> {
    let mut document = sections::head(diagram, Format::Light);
    let persons = persons::by_label(&diagram.persons);
    if !persons.is_empty() {
        let persons = persons.into_iter().map(|(key, map)| (key, Doc::Value(Value::Object(map))));
        document.push(("persons".to_owned(), Doc::Map(persons.collect())));
    }
    let nodes = diagram.nodes.iter().enumerate().map(|(idx, it)| node(idx, it, catalogue));
    document.push(("nodes".to_owned(), Doc::List(nodes.collect())));
    document.push(("connections".to_owned(), Doc::List(connections::light(diagram))));
    document
}

fn node(idx: usize, node: &DiagramNode, catalogue: Catalogue<'_>) -> Doc {
    let mut entries = vec![("label".to_owned(), Doc::Value(node.label.as_str().into()))];
    entries.extend(node.kind.map(|it| ("type".to_owned(), Doc::Value(NodeKind::name(it).into()))));
    entries.extend(id(idx, node));
    entries.extend(node.position.map(|it| ("position".to_owned(), position(it))));
    let fields = fields::entries(node, Format::Light, catalogue);
    entries.extend(fields.into_iter().map(|(key, value)| (key, Doc::Value(value))));
    Doc::Map(entries)
}

/// The id, unless it is the one that the place of the node gives it.
pub(super) fn id(idx: usize, node: &DiagramNode) -> Option<(String, Doc)> {
    (node.id != format!("node_{idx}")).then(|| ("id".to_owned(), Doc::Value(node.id.as_str().into())))
}

pub(super) fn position((x, y): (f64, f64)) -> Doc {
    Doc::Braces(vec![("x".to_owned(), number(x)), ("y".to_owned(), number(y))])
}
