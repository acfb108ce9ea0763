//! The nodes of the readable format: one-key mappings whose key is `Label [type] @(x,y)`
//! (diagrams.md 1.2). Its connections are in `flow`.

use serde_json::Number;

use super::diagnostic::Diagnostic;
use super::draft::{Draft, key_span};
use super::flow;
use super::light;
use super::model::{Diagram, DiagramNode};
use super::node::{RawNode, settle};
use super::render::within;
use super::sections;
use super::tree::{Span, Spanned, Tree, TreeKind};

/// Reads a readable diagram.
pub(super) fn read(tree: &Tree, draft: &mut Draft<'_>) -> Diagram {
    let mut diagram = sections::read(tree, draft);
    diagram.nodes = nodes(tree, draft);
    (diagram.connections, diagram.connection_count) = flow::read(tree, &diagram.nodes, draft);
    diagram
}

fn nodes(tree: &Tree, draft: &mut Draft<'_>) -> Vec<DiagramNode> {
    let Some(section) = sections::nodes(tree, draft) else { return Vec::new() };
    let raw = match &section.kind {
        TreeKind::List(items) => items.iter().filter_map(|it| item(it, draft)).collect(),
        // Read all the same, so that connections find their nodes.
        TreeKind::Map(entries) => {
            let hint = "write each node as an item of a list: `- Start [start]: {}`";
            draft.wrong_shape("nodes", key_span(tree, "nodes"), "`nodes` is a mapping, not a list", hint);
            entries.iter().map(|(key, fields)| node(key, fields, draft)).collect()
        }
        _ => {
            let message = format!("`nodes` is {}, not a list", section.kind_name());
            draft.wrong_shape("nodes", key_span(tree, "nodes"), message, "write `- Start [start]: {}`");
            Vec::new()
        }
    };
    settle(raw, draft)
}

fn item(item: &Tree, draft: &mut Draft<'_>) -> Option<RawNode> {
    let hint = "write `- Label [type]:` and indent the fields below it";
    match (item.entries(), item.as_text()) {
        ([(key, fields)], _) => Some(node(key, fields, draft)),
        // A node without fields may leave out the colon.
        ([], Some(text)) => {
            let key = Spanned { value: text.to_owned(), span: item.span };
            Some(node(&key, &Tree { span: item.span, kind: TreeKind::Null }, draft))
        }
        ([], None) => {
            let message = format!("a node is {}, not a mapping", item.kind_name());
            draft.wrong_shape("nodes", item.span, message, hint);
            None
        }
        (entries, _) if item.get("label").is_some() => {
            draft.wrong_shape("nodes", entries[0].0.span, "a node is written as in the light format", hint);
            Some(light::raw_node(item, draft))
        }
        (entries, _) => {
            let key = &entries[0].0;
            draft.wrong_shape(&key.value, key.span, format!("the fields of `{}` are not indented", key.value), hint);
            let mut raw = RawNode::from_entries(&entries[1..], item.span);
            apply_key(&mut raw, key, draft);
            Some(raw)
        }
    }
}

fn node(key: &Spanned<String>, fields: &Tree, draft: &mut Draft<'_>) -> RawNode {
    if !fields.is_map() && !fields.is_null() {
        let message = format!("the fields of `{}` are {}, not a mapping", key.value, fields.kind_name());
        draft.wrong_shape(&key.value, fields.span, message, "write the fields as `name: value` below the label");
    }
    let mut raw = light::raw_node(fields, draft);
    raw.begin = key.span;
    apply_key(&mut raw, key, draft);
    raw
}

/// What a node key says. Parts that are not there are `None`.
#[derive(Debug, PartialEq)]
struct KeyParts<'k> {
    label: &'k str,
    kind: Option<&'k str>,
    position: Option<&'k str>,
}

/// Splits `Label [type] @(x,y)` from the right.
fn split_key(key: &str) -> KeyParts<'_> {
    let mut parts = KeyParts { label: key.trim(), kind: None, position: None };
    if let Some((rest, position)) = parts.label.strip_suffix(')').and_then(|it| it.rsplit_once("@(")) {
        (parts.label, parts.position) = (rest.trim_end(), Some(position));
    }
    if let Some((rest, kind)) = parts.label.strip_suffix(']').and_then(|it| it.rsplit_once('[')) {
        (parts.label, parts.kind) = (rest.trim_end(), Some(kind.trim()));
    }
    parts
}

/// Lets the key supply label, type and position; it wins over what stands below it.
fn apply_key(raw: &mut RawNode, key: &Spanned<String>, draft: &mut Draft<'_>) {
    let parts = split_key(&key.value);
    let place = |part: &str| within(draft.text, key.span, &key.value, part);
    let text = |part: &str| Tree { span: place(part), kind: TreeKind::Text(part.to_owned()) };
    let label = text(parts.label);
    let kind = parts.kind.map(text);
    let position = parts.position.map(|it| Tree { span: place(it), kind: coordinates(it, place(it)) });
    let clashes = [
        ("label", raw.label.as_ref()),
        ("type", raw.kind.as_ref().filter(|_| kind.is_some())),
        ("position", raw.position.as_ref().filter(|_| position.is_some())),
    ];
    for (name, below) in clashes {
        let Some(below) = below else { continue };
        let message = format!("`{name}` has no effect: the key `{}` says it already", key.value);
        let diagnostic = Diagnostic::new("W402", below.span, message).at(parts.label).field(name);
        draft.report(diagnostic.hint(format!("remove `{name}`")));
    }
    raw.label = Some(label);
    raw.kind = kind.or(raw.kind.take());
    raw.position = position.or(raw.position.take());
}

/// `x,y` as the mapping that `position` is elsewhere; anything else stays a text, which is E108.
fn coordinates(text: &str, span: Span) -> TreeKind {
    let number = |it: &str| it.trim().parse::<f64>().ok().and_then(Number::from_f64);
    let pair = text.split_once(',').and_then(|(x, y)| Some((number(x)?, number(y)?)));
    let Some((x, y)) = pair else { return TreeKind::Text(text.to_owned()) };
    let entry =
        |name: &str, value| (Spanned { value: name.to_owned(), span }, Tree { span, kind: TreeKind::Number(value) });
    TreeKind::Map(vec![entry("x", x), entry("y", y)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_label_type_and_position() {
        for (key, label, kind, position) in [
            ("Start", "Start", None, None),
            ("Start @(10,20)", "Start", None, Some("10,20")),
            ("Start [start]", "Start", Some("start"), None),
            ("Load topic [code_job] @(200, -2.5)", "Load topic", Some("code_job"), Some("200, -2.5")),
            ("Fix (a)", "Fix (a)", None, None),
            ("mail@(home)", "mail", None, Some("home")),
        ] {
            assert_eq!(split_key(key), KeyParts { label, kind, position }, "{key}");
        }
    }

    #[test]
    fn problems_of_readable_nodes_stand_where_they_are() {
        use crate::diagram::testing::readable_problems;
        for (node, expected) in [
            ("- A [start] @(1,2): {}", vec![]),
            ("- A [start]", vec![]),
            ("- A: {type: start, position: {x: 1, y: 2}}", vec![]),
            ("- A [strat]:", vec!["E202 A 3:6"]),
            ("- A [start] @(1):", vec!["E108 A 3:15"]),
            ("- A[b] [start]:", vec!["E204 A[b] 3:3"]),
            ("- A [start]: {type: endpoint}", vec!["W402 A 3:21"]),
            ("- A [start]: 5", vec!["E106 A [start] 3:14"]),
            ("- A [start]:\n  custom_data: {}", vec!["E106 A [start] 3:3"]),
            ("- {label: A, type: start}", vec!["E106 nodes 3:4"]),
            ("- [A]", vec!["E106 nodes 3:3"]),
        ] {
            assert_eq!(readable_problems(&format!("nodes:\n{node}\n")), expected, "{node}");
        }
    }
}
