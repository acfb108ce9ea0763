//! The light format: `nodes` and `connections` as lists of mappings (diagrams.md 1.1).

use super::connections::{Connections, Keys};
use super::diagnostic::Diagnostic;
use super::draft::{Draft, key_span};
use super::ends::Direction;
use super::model::Diagram;
use super::node::{RawNode, settle};
use super::sections;
use super::tree::{Spanned, Tree, TreeKind};

const CONNECTION_KEYS: Keys = Keys { ends: &["from", "to"], label: "label", content_type: &["content_type", "type"] };

/// Reads a light diagram.
pub(super) fn read(tree: &Tree, draft: &mut Draft<'_>) -> Diagram {
    let mut diagram = sections::read(tree, draft);
    diagram.nodes = nodes(tree, draft);
    let mut connections = Connections::new(&diagram.nodes, draft);
    for item in connection_items(tree, connections.draft) {
        connection(item, &mut connections);
    }
    (diagram.connections, diagram.connection_count) = connections.finish();
    diagram
}

fn nodes(tree: &Tree, draft: &mut Draft<'_>) -> Vec<super::model::DiagramNode> {
    let Some(section) = sections::nodes(tree, draft) else { return Vec::new() };
    let mut raw = Vec::new();
    match &section.kind {
        TreeKind::List(items) => {
            for item in items {
                if item.is_map() {
                    raw.push(raw_node(item, draft));
                } else {
                    let message = format!("a node is {}, not a mapping", item.kind_name());
                    draft.wrong_shape("nodes", item.span, message, "write `- {label: start, type: start}`");
                }
            }
        }
        // Read all the same, so that connections find their nodes.
        TreeKind::Map(entries) => {
            draft.wrong_shape(
                "nodes",
                key_span(tree, "nodes"),
                "`nodes` is a mapping, not a list",
                "write each node as an item of a list: `- {label: start, type: start}`",
            );
            for (key, node) in entries {
                let mut node = raw_node(node, draft);
                let label = Tree { span: key.span, kind: TreeKind::Text(key.value.clone()) };
                node.label.get_or_insert(label);
                raw.push(node);
            }
        }
        _ => draft.wrong_shape(
            "nodes",
            key_span(tree, "nodes"),
            format!("`nodes` is {}, not a list", section.kind_name()),
            "write each node as an item of a list: `- {label: start, type: start}`",
        ),
    }
    settle(raw, draft)
}

/// The fields of a node stand beside its label, or below `props`; beside it they win.
pub(super) fn raw_node(item: &Tree, draft: &mut Draft<'_>) -> RawNode {
    let props = item.get("props").filter(|it| !it.is_null());
    if let Some(props) = props.filter(|it| !it.is_map()) {
        let message = format!("`props` must be a mapping, not {}", props.kind_name());
        let diagnostic = Diagnostic::new("E402", props.span, message).field("props");
        let label = item.get("label").and_then(|it| draft.scalar_text(it)).unwrap_or_else(|| "nodes".to_owned());
        draft.report(diagnostic.at(label).hint("write the fields below `props:`, or beside the label"));
    }
    let direct = item.entries().iter().filter(|(key, _)| key.value != "props");
    RawNode::from_entries(direct.chain(props.map(Tree::entries).unwrap_or_default()), item.span)
}

fn connection_items<'t>(tree: &'t Tree, draft: &mut Draft<'_>) -> &'t [Tree] {
    sections::items(tree, "connections", "- {from: start, to: end}", draft)
}

fn connection(item: &Tree, connections: &mut Connections<'_, '_, '_>) {
    if !item.is_map() {
        let message = format!("a connection is {}, not a mapping", item.kind_name());
        connections.report(Diagnostic::new("E303", item.span, message).hint("write `- {from: start, to: end}`"));
        connections.add(None, None, Default::default());
        return;
    }
    connections.check_ends(item, &CONNECTION_KEYS);
    let mut end = |key: &str, direction| {
        let tree = item.get(key).filter(|it| !it.is_null())?;
        let text = connections.text(key, tree)?;
        connections.end(&Spanned { value: text.value, span: tree.span }, direction)
    };
    let from = end("from", Direction::Output);
    let to = end("to", Direction::Input);
    let cable = connections.cable(item, &CONNECTION_KEYS);
    connections.add(from, to, cable);
}
