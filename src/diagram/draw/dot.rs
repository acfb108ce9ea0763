//! A diagram in the language of Graphviz.

use super::{kind_name, on_one_line, words};
use crate::diagram::kinds::{Handle, NodeKind};
use crate::diagram::model::{Connection, Diagram, DiagramNode};

/// Returns the diagram as DOT text, ending with a line end.
pub fn dot(diagram: &Diagram) -> String {
    let name = diagram.metadata.get("name").and_then(|it| it.as_str()).unwrap_or("diagram");
    let mut out = format!("digraph {} {{\n    rankdir=TB;\n    node [shape=box, style=rounded];\n", quoted(name));
    for (idx, node) in diagram.nodes.iter().enumerate() {
        out.push_str(&node_line(idx, node));
    }
    for connection in &diagram.connections {
        out.push_str(&connection_line(connection));
    }
    out.push_str("}\n");
    out
}

fn node_line(idx: usize, node: &DiagramNode) -> String {
    let shape = match node.kind {
        Some(NodeKind::Start | NodeKind::Endpoint) => ", shape=oval",
        Some(NodeKind::Condition) => ", shape=diamond",
        Some(NodeKind::Db) => ", shape=cylinder",
        Some(NodeKind::SubDiagram) => ", shape=component",
        _ => "",
    };
    // `\n` here is Graphviz's own escape for a line break.
    format!("    n{idx} [label=\"{}\\n{}\"{shape}];\n", escaped(&node.label), kind_name(node))
}

fn connection_line(connection: &Connection) -> String {
    let words = words(connection);
    let label = (!words.is_empty()).then(|| format!("label={}", quoted(&words)));
    let style = (connection.output == Handle::Error).then(|| "style=dashed".to_owned());
    let attributes: Vec<String> = label.into_iter().chain(style).collect();
    let attributes = if attributes.is_empty() { String::new() } else { format!(" [{}]", attributes.join(", ")) };
    format!("    n{} -> n{}{attributes};\n", connection.from, connection.to)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    on_one_line(text).replace('\\', "\\\\").replace('"', "\\\"")
}
