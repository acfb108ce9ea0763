//! A diagram as a Mermaid flowchart, as it was written or with what became of its nodes.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{State, kind_name, on_one_line, words};
use crate::diagram::kinds::{Handle, NodeKind};
use crate::diagram::model::{Connection, Diagram, DiagramNode};

/// Letters of a name in a picture of an execution, at most.
const NAME_CHARS_MAX: usize = 60;

/// What became of a diagram's parts in one execution, in the order of the diagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub nodes: Vec<NodeMark>,
    /// How often each connection carried a value.
    pub connections: Vec<u32>,
}

/// What became of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeMark {
    pub state: State,
    /// How often it started.
    pub n_runs: u32,
}

/// Returns the diagram as Mermaid text, ending with a line end.
pub fn mermaid(diagram: &Diagram) -> String {
    let mut out = "flowchart TD\n".to_owned();
    for (idx, node) in diagram.nodes.iter().enumerate() {
        let shape = shape(node, &format!("{}<br/>{}", escaped(&node.label), kind_name(node)));
        let _ = writeln!(out, "    n{idx}{shape}");
    }
    for connection in &diagram.connections {
        out.push_str(&connection_line(connection, arrow(connection, 0), escaped(&words(connection))));
    }
    out
}

/// Returns the diagram as Mermaid text with the state of each node, how often it ran, and thick arrows where a
/// value went. Long names are cut.
pub fn mermaid_with(diagram: &Diagram, marks: &Marks) -> String {
    let mut out = "flowchart TD\n".to_owned();
    let mut states = BTreeSet::new();
    let pending = NodeMark { state: State::Pending, n_runs: 0 };
    for (idx, node) in diagram.nodes.iter().enumerate() {
        let mark = marks.nodes.get(idx).copied().unwrap_or(pending);
        states.insert(mark.state);
        let (sign, state) = (mark.state.sign(), mark.state.name());
        let label = format!("{}<br/>{}<br/>{sign} {state}{}", name(&node.label), kind_name(node), times(mark.n_runs));
        let _ = writeln!(out, "    n{idx}{}:::{state}", shape(node, &label));
    }
    for (idx, connection) in diagram.connections.iter().enumerate() {
        let n_values = marks.connections.get(idx).copied().unwrap_or(0);
        let label = format!("{}{}", name(&words(connection)), times(n_values));
        out.push_str(&connection_line(connection, arrow(connection, n_values), label.trim_start().to_owned()));
    }
    for state in states {
        let _ = writeln!(out, "    classDef {} {}", state.name(), style(state));
    }
    out
}

fn times(n: u32) -> String {
    if n > 1 { format!(" ×{n}") } else { String::new() }
}

/// Letters are dark on light grounds, so they can be read on any page.
fn style(state: State) -> &'static str {
    match state {
        State::Pending => "fill:#ffffff,stroke:#8c959f,color:#59636e",
        State::Running => "fill:#ddf4ff,stroke:#0969da,color:#0a3069,stroke-width:3px",
        State::Waiting => "fill:#fff8c5,stroke:#9a6700,color:#4d2d00,stroke-width:3px,stroke-dasharray:2 3",
        State::Completed => "fill:#dafbe1,stroke:#1a7f37,color:#044f1e",
        State::Failed => "fill:#ffebe9,stroke:#cf222e,color:#82071e,stroke-width:4px",
        State::Aborted => "fill:#eaeef2,stroke:#24292f,color:#24292f,stroke-dasharray:8 3",
        State::Skipped => "fill:#ffffff,stroke:#8c959f,color:#59636e,stroke-dasharray:4 4",
        State::MaxiterReached => "fill:#fbefff,stroke:#8250df,color:#3e1f79,stroke-dasharray:8 3 2 3",
    }
}

/// A node's label in the brackets of its type; the label is escaped already.
fn shape(node: &DiagramNode, label: &str) -> String {
    let (open, close) = match node.kind {
        Some(NodeKind::Start | NodeKind::Endpoint) => ("([", "])"),
        Some(NodeKind::Condition) => ("{", "}"),
        Some(NodeKind::UserResponse) => ("[/", "/]"),
        Some(NodeKind::SubDiagram) => ("[[", "]]"),
        Some(NodeKind::Db) => ("[(", ")]"),
        _ => ("[", "]"),
    };
    format!("{open}\"{label}\"{close}")
}

fn arrow(connection: &Connection, n_values: u32) -> &'static str {
    match (n_values, connection.output) {
        (0, Handle::Error) => "-.->",
        (0, _) => "-->",
        _ => "==>",
    }
}

fn connection_line(connection: &Connection, arrow: &str, label: String) -> String {
    let label = if label.is_empty() { label } else { format!("|\"{label}\"|") };
    format!("    n{} {arrow}{label} n{}\n", connection.from, connection.to)
}

fn name(text: &str) -> String {
    let whole = on_one_line(text);
    if whole.chars().count() <= NAME_CHARS_MAX {
        return escaped(&whole);
    }
    let begin: String = whole.chars().take(NAME_CHARS_MAX - 1).collect();
    escaped(&begin) + "…"
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
