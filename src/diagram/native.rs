//! The native format: JSON with `nodes`, `arrows`, `handles` and `persons`, each a list of objects
//! with an `id` or a map from id to object (diagrams.md 1.3).

use super::connections::{Cable, Connections, Keys};
use super::diagnostic::Diagnostic;
use super::draft::{Draft, key_span};
use super::ends::{Direction, split_handle_id};
use super::model::{Diagram, DiagramNode};
use super::node::{RawNode, settle};
use super::sections;
use super::tree::{Span, Spanned, Tree, TreeKind};

const ARROW_KEYS: Keys = Keys { ends: &["source", "target"], label: "label", content_type: &["content_type"] };

/// Reads a native diagram.
pub(super) fn read(tree: &Tree, draft: &mut Draft<'_>) -> Diagram {
    let mut diagram = sections::read(tree, draft);
    diagram.nodes = nodes(tree, draft);
    let arrows = objects(tree, "arrows", draft);
    let arrows = if sections::too_many_connections(tree, arrows.len(), draft) { Vec::new() } else { arrows };
    let mut connections = Connections::new(&diagram.nodes, draft);
    for (id, arrow) in arrows {
        connect(id, arrow, &mut connections);
    }
    check_handles(tree, &mut connections);
    (diagram.connections, diagram.connection_count) = connections.finish();
    diagram
}

/// Returns the objects of a section, with their ids where it is a map. Null items are left out.
fn objects<'t>(tree: &'t Tree, key: &str, draft: &mut Draft<'_>) -> Vec<(Option<&'t Spanned<String>>, &'t Tree)> {
    let Some(section) = tree.get(key).filter(|it| !it.is_null()) else { return Vec::new() };
    let objects: Vec<_> = match &section.kind {
        TreeKind::List(items) => items.iter().map(|it| (None, it)).collect(),
        TreeKind::Map(entries) => entries.iter().map(|(id, it)| (Some(id), it)).collect(),
        _ => {
            let message = format!("`{key}` is {}, not a list or an object", section.kind_name());
            draft.wrong_shape(key, key_span(tree, key), message, "write a list of objects with an `id`");
            Vec::new()
        }
    };
    objects.into_iter().filter(|(_, it)| !it.is_null()).collect()
}

fn nodes(tree: &Tree, draft: &mut Draft<'_>) -> Vec<DiagramNode> {
    if sections::nodes(tree, draft).is_none() {
        return Vec::new();
    }
    let mut raw = Vec::new();
    for (id, node) in objects(tree, "nodes", draft) {
        if node.is_map() {
            raw.push(raw_node(id, node, draft));
        } else {
            let message = format!("a node is {}, not an object", node.kind_name());
            let hint = "write `{\"id\": \"node_0\", \"type\": \"start\", \"data\": {\"label\": \"start\"}}`";
            draft.wrong_shape("nodes", node.span, message, hint);
        }
    }
    settle(raw, draft)
}

/// The fields stand under `data`; what stands beside it is read too. Null means absent.
fn raw_node(id: Option<&Spanned<String>>, node: &Tree, draft: &mut Draft<'_>) -> RawNode {
    let data = node.get("data").filter(|it| !it.is_null());
    if let Some(data) = data.filter(|it| !it.is_map()) {
        let message = format!("`data` must be an object, not {}", data.kind_name());
        let at = id.map_or("nodes", |it| it.value.as_str());
        let hint = "write `\"data\": {\"label\": …}`";
        draft.report(Diagnostic::new("E402", data.span, message).at(at).field("data").hint(hint));
    }
    let beside = node.entries().iter().filter(|(key, _)| key.value != "data");
    let (own, others): (Vec<_>, Vec<_>) =
        beside.partition(|(key, _)| matches!(key.value.as_str(), "id" | "type" | "position"));
    let below = data.map(Tree::entries).unwrap_or_default();
    let entries = own.into_iter().chain(below).chain(others).filter(|(_, value)| !value.is_null());
    let mut raw = RawNode::from_entries(entries, node.span);
    if let Some(id) = id {
        raw.id = Some(Tree { span: id.span, kind: TreeKind::Text(id.value.clone()) });
    }
    raw
}

fn connect(id: Option<&Spanned<String>>, arrow: &Tree, connections: &mut Connections<'_, '_, '_>) {
    if !arrow.is_map() {
        let message = format!("an arrow is {}, not an object", arrow.kind_name());
        let hint = "write `{\"source\": \"<node_id>_default_output\", \"target\": \"<node_id>_default_input\"}`";
        connections.report(Diagnostic::new("E303", arrow.span, message).hint(hint));
        return connections.add(None, None, Cable { span: arrow.span, ..Cable::default() });
    }
    connections.check_ends(arrow, &ARROW_KEYS);
    let mut end = |key: &str, direction| {
        let text = connections.text(key, arrow.get(key).filter(|it| !it.is_null())?)?;
        let resolved = connections.names.resolve_handle_id(&text.value, direction);
        let end = resolved.map_err(|it| connections.unresolved(it, &text, direction)).ok()?;
        Some(Spanned { value: end, span: text.span })
    };
    let source = end("source", Direction::Output);
    let target = end("target", Direction::Input);
    let mut cable = connections.cable(arrow, &ARROW_KEYS);
    cable.id = id.map(|it| it.value.clone()).or(cable.id);
    connections.add(source, target, cable);
}

/// The `handles` section says again what the node types say; entries that cannot be true are W305.
fn check_handles(tree: &Tree, connections: &mut Connections<'_, '_, '_>) {
    for (id, handle) in objects(tree, "handles", connections.draft) {
        let id_tree = handle.get("id");
        let id_text = id.map(|it| it.value.as_str()).or_else(|| id_tree.and_then(Tree::as_text)).unwrap_or_default();
        if is_true_handle(id_text, handle, connections) {
            continue;
        }
        let span: Span = id.map(|it| it.span).or(id_tree.map(|it| it.span)).unwrap_or(handle.span);
        let message = format!("handle `{id_text}` is ignored: there is no such node or handle");
        let warning = Diagnostic::new("W305", span, message).at("handles");
        connections.draft.report(warning.hint("remove the entry: handles follow from the types of the nodes"));
    }
}

fn is_true_handle(id: &str, handle: &Tree, connections: &Connections<'_, '_, '_>) -> bool {
    let text = |key: &str| handle.get(key).and_then(Tree::as_text);
    let direction = match text("direction") {
        Some("input") => Direction::Input,
        Some("output") => Direction::Output,
        Some(_) => return false,
        None if id.ends_with("_input") => Direction::Input,
        None => Direction::Output,
    };
    let from_id = split_handle_id(id, direction).ok();
    let node_id = text("node_id").or(from_id.map(|it| it.0));
    let name = text("label").or(from_id.map(|it| it.1));
    let (Some(node), Some(name)) = (node_id.and_then(|it| connections.names.by_id(it)), name) else { return false };
    let handles = direction.handles(connections.names.nodes[node].kind);
    connections.names.handle(node, name, direction).is_ok_and(|it| handles.contains(&it))
}
