//! The light format: `nodes` and `connections` as lists of mappings (diagrams.md 1.1).

use super::connections::{Connections, Keys};
use super::diagnostic::Diagnostic;
use super::draft::{Draft, key_span};
use super::ends::Direction;
use super::model::Diagram;
use super::node::{RawNode, settle};
use super::render::spelled_like;
use super::tree::{Spanned, Tree, TreeKind};
use super::{sections, slips};

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
            let mut diagnostic =
                Diagnostic::new("E106", key_span(tree, "nodes"), "`nodes` is a mapping, not a list").at("nodes");
            diagnostic = diagnostic.hint("write each node as an item of a list: `- {label: start, type: start}`");
            diagnostic.patch = slips::nodes_as_list(draft.text, entries);
            draft.report(diagnostic);
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
        let mut diagnostic = Diagnostic::new("E303", item.span, message).hint("write `- {from: start, to: end}`");
        if let Some(written) = item.as_text().and_then(|it| as_mapping(it, connections)) {
            diagnostic = diagnostic.hint(format!("write `- {written}`"));
            diagnostic = if item.span.len == 0 { diagnostic } else { diagnostic.patch(item.span, written) };
        }
        connections.report(diagnostic);
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

/// `a -> b` as the mapping it means, when both ends are known.
fn as_mapping(text: &str, connections: &Connections<'_, '_, '_>) -> Option<String> {
    let (from, to) = text.split_once("->")?;
    let (from, to) = (from.trim(), to.trim());
    connections.names.resolve(from, Direction::Output).ok()?;
    connections.names.resolve(to, Direction::Input).ok()?;
    Some(format!("{{from: {}, to: {}}}", spelled_like("", from), spelled_like("", to)))
}

#[cfg(test)]
mod tests {
    use crate::diagram::testing::{light_problems, repaired, wires};

    const NODES: &str = "version: light
nodes:
- {label: s, type: start}
- {label: p q, type: person_job}
- {label: c, type: condition}
- {label: x, type: persn}
- {label: h, type: hook}
- {label: e, type: endpoint}
connections:
";

    /// The connections stand from line 10 on.
    fn problems(connections: &str) -> Vec<String> {
        let text = format!("{}{connections}\n", &NODES["version: light\n".len()..]);
        light_problems(&text).into_iter().filter(|it| !it.starts_with("E202")).collect()
    }

    #[test]
    fn connections_name_their_ends_in_every_spelling() {
        let text = NODES.replace("persn", "code_job")
            + "- {from: s, to: p q}
- {from: 'p q[default]', to: c, label: n, content_type: JSON}
- {from: c_condtrue, to: p_q__first, type: text}
- {from: 'c[no]', to: p_q_first}
- {from: h_success, to: e, data: {branch: 'true', is_conditional: true}}
- {from: p q_error, to: e}
- {from: s, to: p q, data: {requires_first_execution: true, color: red}}
";
        assert_eq!(
            wires(&text),
            [
                "s.default -> p q.default",
                "p q.default -> c.default n (object)",
                "c.condtrue -> p q.first (raw_text)",
                "c.condfalse -> p q.first",
                "h.success -> e.default",
                "p q.error -> e.default",
                "s.default -> p q.first",
            ]
        );
        let data: Vec<_> = crate::diagram::parse(&text, None).diagram.unwrap().connections;
        assert_eq!(data[4].data, None);
        assert_eq!(data[6].data, Some(serde_json::json!({"color": "red"})));
    }

    #[test]
    fn problems_of_connections_stand_once_and_where_they_are() {
        for (connection, expected) in [
            ("- {from: s, to: x}", vec![]),
            ("- {from: x, to: e}", vec![]),
            ("- {from: 'x[condtrue]', to: e}", vec![]),
            ("- {from: t, to: u}", vec!["E301 connection 0 10:10", "E301 connection 0 10:17"]),
            ("- {from: 'pq[error]', to: e}", vec!["E301 connection 0 10:10"]),
            ("- {from: node_0, to: e}", vec!["E301 connection 0 10:10"]),
            ("- {from: c, to: e}", vec!["E302 connection 0 10:10"]),
            ("- from: c\n  to: e", vec!["E302 connection 0 10:9"]),
            ("- {from: 'c[maybe]', to: e}", vec!["E302 connection 0 10:10"]),
            ("- {from: s_error, to: e}", vec!["E302 connection 0 10:10"]),
            ("- {from: s, to: 'p q[second]'}", vec!["E302 connection 0 10:17"]),
            ("- {from: s}", vec!["E303 connection 0 10:3"]),
            ("- {}", vec!["E303 connection 0 10:3"]),
            ("- {source: s, target: e}", vec!["E303 connection 0 10:4", "E303 connection 0 10:15"]),
            ("- {form: s, to: e}", vec!["E303 connection 0 10:4"]),
            ("- {from: [s], to: e}", vec!["E303 connection 0 10:10"]),
            ("- s", vec!["E303 connection 0 10:3"]),
            ("- {from: s, to: e, content_type: rawtext}", vec!["E304 connection 0 10:34"]),
            ("- {from: s, to: e, content_type: null, label: ''}", vec![]),
            ("- {from: s, to: s}\n- {from: p q, to: 's[first]'}", vec!["E208 s 3:11"]),
            ("- {from: e, to: p q}\n- {from: e_default, to: p q}", vec!["E209 e 8:11"]),
            ("- {from: s, to: e, lable: x}", vec!["W301 connection 0 10:20"]),
            (
                "- {from: s, to: e, execution_priority: 1, data: {transform: x, other: 1}}",
                vec!["W302 connection 0 10:20", "W302 connection 0 10:50"],
            ),
        ] {
            assert_eq!(problems(connection), expected, "{connection}");
        }
    }

    #[test]
    fn misspelt_ends_handles_keys_and_types_have_repairs() {
        let nodes = NODES.replace("persn", "code_job");
        for (wrong, right) in [
            ("- {from: s, to: p qq}", "- {from: s, to: p q}"),
            ("- {from: node_0, to: e}", "- {from: s, to: e}"),
            ("- {from: \"c[condtru]\", to: e}", "- {from: \"c[condtrue]\", to: e}"),
            ("- {from: \"pq[error]\", to: e}", "- {from: \"p q[error]\", to: e}"),
            ("- {source: s, target: e}", "- {from: s, to: e}"),
            (
                "- {from: s, to: e, lable: x, content_type: rawtext}",
                "- {from: s, to: e, label: x, content_type: raw_text}",
            ),
        ] {
            assert_eq!(repaired(&format!("{nodes}{wrong}\n")), format!("{nodes}{right}\n"));
        }
    }

    #[test]
    fn connections_that_cannot_be_resolved_are_counted_and_left_out() {
        let text = format!("{NODES}- {{from: s, to: nobody}}\n- nonsense\n- {{from: s, to: e}}\n");
        let diagram = crate::diagram::parse(&text, None).diagram.unwrap();
        assert_eq!((diagram.connection_count, diagram.connections.len()), (3, 1));
        assert_eq!((diagram.connections[0].index, diagram.connections[0].id.as_str()), (2, "arrow_2"));
    }

    #[test]
    fn long_misspellings_in_great_number_stay_cheap() {
        let mut text = "version: light\nnodes:\n".to_owned();
        for n in 0..1_000 {
            text.push_str(&format!("- {{label: {}{n}, type: code_job}}\n", "x".repeat(60)));
        }
        text.push_str("connections:\n");
        for n in 0..2_000 {
            text.push_str(&format!("- {{from: {}{n}, to: {}{n}}}\n", "x".repeat(61), "y".repeat(61)));
        }
        assert_eq!(light_problems(&text["version: light\n".len()..]).len(), 4_000);
    }

    #[test]
    fn sections_of_another_shape_are_reported_and_read_where_possible() {
        for (text, expected) in [
            ("nodes: {s: {type: start}}", vec!["E106 nodes 2:1"]),
            ("nodes: 5", vec!["E106 nodes 2:1"]),
            ("nodes: []", vec!["E201 nodes 2:1"]),
            ("name: x", vec!["E201 nodes 1:1"]),
            ("nodes: [{label: s, type: start}]\nconnections: {from: s, to: e}", vec!["E106 connections 3:1"]),
            ("nodes: [{label: s, type: start}]\nconnections:", vec![]),
        ] {
            assert_eq!(light_problems(text), expected, "{text}");
        }
    }
}
