//! The native format: JSON with `nodes`, `arrows`, `handles` and `persons`, each a list of objects
//! with an `id` or a map from id to object (diagrams.md 1.3).

use super::connections::{Cable, Connections, Keys};
use super::diagnostic::Diagnostic;
use super::draft::{Draft, key_span};
use super::ends::{Direction, split_handle_id};
use super::model::{Diagram, DiagramNode};
use super::node::{NULL_IS_A_VALUE, RawNode, settle};
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

/// The fields stand under `data`; what stands beside it is read too. Null means absent where it is no value.
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
    let means_something =
        |it: &&(Spanned<String>, Tree)| !it.1.is_null() || NULL_IS_A_VALUE.contains(&it.0.value.as_str());
    let entries = own.into_iter().chain(below).chain(others).filter(means_something);
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
    let key = id.map(|it| it.value.trim().to_owned()).filter(|it| !it.is_empty());
    cable.id = key.or(cable.id);
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

#[cfg(test)]
mod tests {
    use crate::diagram::testing::{problems, wires};

    fn text(arrows: &str, more: &str) -> String {
        format!(
            r#"{{"nodes": {{
"n_1": {{"type": "start", "data": {{"label": "s", "custom_data": null}}}},
"n_2": {{"type": "person_job", "position": {{"x": 1, "y": 2}}, "data": {{"label": "p"}}}},
"n_3": {{"type": "condition", "data": {{"label": "c"}}}},
"n_4": {{"type": "endpoint", "data": {{"label": "e"}}}}
}}, "arrows": [
{arrows}
]{more}}}"#
        )
    }

    #[test]
    fn arrows_name_handle_ids() {
        let arrows = r#"{"source": "n_1_default_output", "target": "n_2_first_input", "content_type": null, "data": {}},
{"id": "x", "source": "n_3_true_output", "target": "n_2_default_input", "label": "l", "content_type": "json"}"#;
        assert_eq!(wires(&text(arrows, "")), ["s.default -> p.first", "c.condtrue -> p.default l (object)"]);
        let diagram = crate::diagram::parse(&text(arrows, ""), None).diagram.unwrap();
        assert_eq!(diagram.connections.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["arrow_0", "x"]);
        assert_eq!(diagram.nodes[0].fields, [], "null means absent");
        assert_eq!(diagram.nodes[1].position, Some((1.0, 2.0)));
    }

    #[test]
    fn problems_of_arrows_and_handles_stand_where_they_are() {
        let arrow = |source: &str, target: &str| format!(r#"{{"source": "{source}", "target": "{target}"}}"#);
        let handles = |it: &str| format!(r#", "handles": [{it}]"#);
        for (arrows, more, expected) in [
            (
                arrow("n_9_default_output", "n_8_default_input"),
                String::new(),
                vec!["E301 connection 0 7:12", "E301 connection 0 7:44"],
            ),
            (arrow("n_3_default_output", "n_4_default_input"), String::new(), vec!["E302 connection 0 7:12"]),
            (arrow("n_1_default", "n_4_default_input"), String::new(), vec!["E305 connection 0 7:12"]),
            (arrow("n_1_default_output", "n_1_default_input"), String::new(), vec!["E208 s 2:44"]),
            (arrow("n_4_default_output", "n_2_default_input"), String::new(), vec!["E209 e 5:47"]),
            ("{}".to_owned(), String::new(), vec!["E303 connection 0 7:1"]),
            ("7".to_owned(), String::new(), vec!["E303 connection 0 7:1"]),
            (String::new(), handles(r#"{"id": "n_2_first_input"}"#), vec![]),
            (
                String::new(),
                handles(r#"{"id": "h", "node_id": "n_3", "label": "true", "direction": "output"}"#),
                vec![],
            ),
            (String::new(), handles(r#"{"id": "n_9_first_input"}"#), vec!["W305 handles 8:23"]),
            (String::new(), handles(r#"{"id": "n_4_default_output"}"#), vec!["W305 handles 8:23"]),
            (String::new(), r#", "connections": []"#.to_owned(), vec!["E107 connections 8:4"]),
            (
                String::new(),
                r#", "persons": [{"id": "P", "label": "Pat", "llm_config": {"service": "opnai"}}]"#.to_owned(),
                vec!["E506 Pat 8:70"],
            ),
        ] {
            assert_eq!(problems(&text(&arrows, &more)), expected, "{arrows} {more}");
        }
    }

    #[test]
    fn a_list_of_nodes_and_sections_under_metadata_are_read() {
        let text = r#"{"nodes": [{"id": "a", "type": "start", "data": {"label": "s"}}, null],
"metadata": {"name": "n", "author": null, "settings": {"timeout": 5}, "inputs": {"t": {"type": "string"}}, "tool": true}}"#;
        let diagram = crate::diagram::parse(text, None).diagram.unwrap();
        assert_eq!((diagram.nodes.len(), diagram.nodes[0].id.as_str()), (1, "a"));
        assert_eq!(serde_json::Value::Object(diagram.metadata), serde_json::json!({"name": "n"}));
        assert_eq!((diagram.settings.timeout, diagram.inputs.len(), diagram.tool.is_some()), (Some(5.0), 1, true));
    }
}
