//! A diagram as a Mermaid flowchart.

use super::{kind_name, on_one_line, words};
use crate::diagram::kinds::{Handle, NodeKind};
use crate::diagram::model::{Connection, Diagram, DiagramNode};

/// Returns the diagram as Mermaid text, ending with a line end.
pub fn mermaid(diagram: &Diagram) -> String {
    let mut out = "flowchart TD\n".to_owned();
    for (idx, node) in diagram.nodes.iter().enumerate() {
        out.push_str(&node_line(idx, node));
    }
    for connection in &diagram.connections {
        out.push_str(&connection_line(connection));
    }
    out
}

fn node_line(idx: usize, node: &DiagramNode) -> String {
    let (open, close) = match node.kind {
        Some(NodeKind::Start | NodeKind::Endpoint) => ("([", "])"),
        Some(NodeKind::Condition) => ("{", "}"),
        Some(NodeKind::UserResponse) => ("[/", "/]"),
        Some(NodeKind::SubDiagram) => ("[[", "]]"),
        Some(NodeKind::Db) => ("[(", ")]"),
        _ => ("[", "]"),
    };
    format!("    n{idx}{open}\"{}<br/>{}\"{close}\n", escaped(&node.label), kind_name(node))
}

fn connection_line(connection: &Connection) -> String {
    let arrow = if connection.output == Handle::Error { "-.->" } else { "-->" };
    let words = words(connection);
    let label = if words.is_empty() { String::new() } else { format!("|\"{}\"|", escaped(&words)) };
    format!("    n{} {arrow}{label} n{}\n", connection.from, connection.to)
}

/// Inside quotes only these mean something; a text that begins with a backtick would be Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in on_one_line(text).chars() {
        match character {
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '&' => out.push_str("#amp;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '`' => out.push_str("#96;"),
            other => out.push(other),
        }
    }
    out
}
