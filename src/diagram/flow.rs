//! The `flow` of the readable format: a source and its destinations, in three dialects that may be
//! mixed (diagrams.md 1.2).

use super::connections::{Cable, Connections, Keys};
use super::destination::{Parts, groups, is_like_keywords, keywords};
use super::diagnostic::Diagnostic;
use super::draft::{Draft, key_span};
use super::ends::{Direction, End};
use super::kinds::ContentType;
use super::model::{Connection, DiagramNode};
use super::render::within;
use super::sections;
use super::tree::{Spanned, Tree, TreeKind};

const KEYS: Keys = Keys { ends: &["to"], label: "naming", content_type: &["as"] };

/// A source as a flow item names it: found, or reported already.
type Source = Option<Spanned<End>>;

/// Reads the flow; each destination is one connection.
pub(super) fn read(tree: &Tree, nodes: &[DiagramNode], draft: &mut Draft<'_>) -> (Vec<Connection>, usize) {
    let items = flow_items(tree, draft);
    let n_connections = items.iter().map(|it| n_destinations(it)).sum();
    if sections::too_many_connections(tree, n_connections, draft) {
        return (Vec::new(), 0);
    }
    let mut flow = Connections::new(nodes, draft);
    for item in items {
        read_item(item, &mut flow);
    }
    flow.finish()
}

/// A mapping of sources is read too, after E106.
fn flow_items<'t>(tree: &'t Tree, draft: &mut Draft<'_>) -> Vec<&'t Tree> {
    match tree.get("flow") {
        Some(flow) if flow.is_map() && !flow.entries().is_empty() => {
            let hint = "write each source as an item of a list: `- A: B`";
            draft.wrong_shape("flow", key_span(tree, "flow"), "`flow` is a mapping, not a list", hint);
            vec![flow]
        }
        _ => sections::items(tree, "flow", "- A -> B", draft).iter().collect(),
    }
}

fn n_destinations(item: &Tree) -> usize {
    let of_one = |it: &Tree| if matches!(it.kind, TreeKind::List(_)) { it.items().len() } else { 1 };
    if item.is_map() { item.entries().iter().map(|(_, it)| of_one(it)).sum() } else { 1 }
}

fn read_item(item: &Tree, flow: &mut Connections<'_, '_, '_>) {
    if let Some((source, destination)) = item.as_text().and_then(|it| it.split_once("->")) {
        let whole = item.as_text().unwrap_or_default();
        let place = |part: &str| within(flow.draft.text, item.span, whole, part.trim());
        let (source, destination) = (
            Spanned { value: source.trim().to_owned(), span: place(source) },
            Spanned { value: destination.trim().to_owned(), span: place(destination) },
        );
        let source = flow.end(&source, Direction::Output);
        return text_destination(source, &destination, flow);
    }
    if item.entries().is_empty() {
        let message = format!("a flow item is {}, not a source with its destination", item.kind_name());
        flow.report(Diagnostic::new("E303", item.span, message).hint("write `- A -> B` or `- A: B`"));
        return flow.add(None, None, Cable { span: item.span, ..Cable::default() });
    }
    for (key, destinations) in item.entries() {
        let source = flow.end(key, Direction::Output);
        match &destinations.kind {
            TreeKind::List(items) if !items.is_empty() => {
                for it in items {
                    destination(source.clone(), it, flow);
                }
            }
            TreeKind::List(_) | TreeKind::Null => {
                let message = format!("`{}` names no destination", key.value);
                flow.report(Diagnostic::new("E303", key.span, message).hint("add one, or remove the line"));
                if destinations.is_null() {
                    flow.add(None, None, Cable { span: key.span, ..Cable::default() });
                }
            }
            _ => destination(source, destinations, flow),
        }
    }
}

fn destination(source: Source, tree: &Tree, flow: &mut Connections<'_, '_, '_>) {
    if tree.is_map() {
        return mapped_destination(source, tree, flow);
    }
    match flow.draft.scalar_text(tree) {
        Some(value) => text_destination(source, &Spanned { value, span: tree.span }, flow),
        None => {
            let message = format!("a destination is {}, not the label of a node", tree.kind_name());
            flow.report(Diagnostic::new("E303", tree.span, message).hint("write `- A: B`, or `- A: [B, C]`"));
            flow.add(None, None, Cable { span: tree.span, ..Cable::default() });
        }
    }
}

/// Dialect 3: a mapping.
fn mapped_destination(source: Source, map: &Tree, flow: &mut Connections<'_, '_, '_>) {
    let keys = Keys { ends: &["to", "in", "from"], ..KEYS };
    flow.check_ends(map, &KEYS);
    let mut text = |key: &str| flow.text(key, map.get(key).filter(|it| !it.is_null())?);
    let (to, input, from) = (text("to"), text("in"), text("from"));
    let to = to.and_then(|it| flow.end(&it, Direction::Input));
    let to = with_handle(to, input.as_ref(), Direction::Input, flow);
    let source = with_handle(source, from.as_ref(), Direction::Output, flow);
    let cable = flow.cable(map, &keys);
    flow.add(source, to, cable);
}

/// Dialects 1 and 2: a text.
fn text_destination(source: Source, text: &Spanned<String>, flow: &mut Connections<'_, '_, '_>) {
    if flow.names.is_label(&text.value) {
        let to = flow.end(text, Direction::Input);
        return flow.add(source, to, Cable { span: text.span, ..Cable::default() });
    }
    if is_like_keywords(&text.value) {
        return match keywords(&text.value) {
            Some(parts) => keyword_destination(source, text, &parts, flow),
            None => {
                let message = format!("`{}` is not a list of keywords with quoted values", text.value);
                let hint = "write `to \"B\" in \"first\" as \"raw_text\" naming \"topic\"`";
                flow.report(Diagnostic::new("E303", text.span, message).hint(hint));
                flow.add(None, None, Cable { span: text.span, ..Cable::default() });
            }
        };
    }
    grouped_destination(source, text, flow);
}

fn keyword_destination(source: Source, text: &Spanned<String>, parts: &Parts<'_>, flow: &mut Connections<'_, '_, '_>) {
    let span = text.span;
    let placed = |it: &str, flow: &Connections<'_, '_, '_>| Spanned {
        value: it.to_owned(),
        span: within(flow.draft.text, span, &text.value, it),
    };
    let part = |it: Option<&str>, flow: &Connections<'_, '_, '_>| it.map(|it| placed(it, flow));
    if parts.to.is_none() {
        let hint = "add `to \"…\"`";
        flow.report(Diagnostic::new("E303", span, "the connection has no `to`").field("to").hint(hint));
    }
    let to = part(parts.to, flow).and_then(|it| flow.end(&it, Direction::Input));
    let to = with_handle(to, part(parts.input, flow).as_ref(), Direction::Input, flow);
    let source = with_handle(source, part(parts.from, flow).as_ref(), Direction::Output, flow);
    let content_type = part(parts.content_type, flow)
        .and_then(|it| flow.content_type(&Tree { span: it.span, kind: TreeKind::Text(it.value) }));
    let label = part(parts.naming, flow).filter(|it| !it.value.trim().is_empty());
    flow.add(source, to, Cable { label, content_type, span, ..Cable::default() });
}

/// Dialect 1: `Target (raw_text)(topic)`.
fn grouped_destination(source: Source, text: &Spanned<String>, flow: &mut Connections<'_, '_, '_>) {
    let is_end = |it: &str| flow.names.is_label(it) || flow.names.resolve(it, Direction::Input).is_ok();
    let (target, mut groups) = groups(&text.value, is_end);
    let place = |it: &str| within(flow.draft.text, text.span, &text.value, it);
    let target = Spanned { value: target.to_owned(), span: place(target) };
    let content_type = groups.iter().position(|it| ContentType::parse(it).is_some());
    let content_type = content_type.and_then(|at| ContentType::parse(groups.remove(at)));
    let mut groups = groups.into_iter();
    let label = groups.next().map(|it| Spanned { value: it.to_owned(), span: place(it) });
    let extra = groups.next().map(|it| (it, place(it)));
    if let Some((extra, span)) = extra {
        let message = format!("`({extra})` is one group too many after `{}`", target.value);
        let hint = "a destination takes one content type and one label";
        flow.report(Diagnostic::new("E303", span, message).hint(hint));
    }
    let to = flow.end(&target, Direction::Input);
    flow.add(source, to, Cable { label, content_type, span: text.span, ..Cable::default() });
}

/// Sets the handle that `in` or `from` names.
fn with_handle(
    end: Source,
    handle: Option<&Spanned<String>>,
    direction: Direction,
    flow: &mut Connections<'_, '_, '_>,
) -> Source {
    let end = end?;
    let Some(handle) = handle else { return Some(end) };
    match flow.names.handle(end.value.node, &handle.value, direction) {
        Ok(found) => Some(Spanned { value: End { handle: Some(found), ..end.value }, ..end }),
        Err(problem) => {
            flow.unresolved(problem, handle, direction);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagram::testing::{readable_problems, wires};

    const NODES: &str = "version: readable
nodes:
- s [start]:
- w x [person_job]:
- c [condition]:
- Fix (a) [code_job]:
- e [endpoint]:
flow:
";

    fn problems(flow: &str) -> Vec<String> {
        readable_problems(&format!("{}{flow}\n", &NODES["version: readable\n".len()..]))
    }

    #[test]
    fn the_three_dialects_mean_the_same() {
        for flow in [
            "- s -> w x_first (raw_text)(topic)\n- c_condtrue: [w x, e (object)]",
            "- s: w x_first (topic) (text)\n- c[condtrue]:\n  - w x\n  - e (json)",
            "- s: to \"w x\" in \"_first\" as \"raw_text\" naming \"topic\"\n- c:\n  - to 'w x' from '_condtrue'\n  - as \"object\" from \"yes\" to \"e\"",
            "- s: {to: w x, in: first, as: raw_text, naming: topic}\n- c: [{from: condtrue, to: w x}, {from: 'true', to: e, as: object}]",
            "- {s: {to: w_x_first, as: raw_text, naming: topic}, c_condfalse: [{from: condtrue, to: w x}, {to: e, as: object, from: condtrue}]}",
        ] {
            let expected = [
                "s.default -> w x.first topic (raw_text)",
                "c.condtrue -> w x.default",
                "c.condtrue -> e.default (object)",
            ];
            assert_eq!(wires(&format!("{NODES}{flow}\n")), expected, "{flow}");
        }
    }

    #[test]
    fn a_whole_label_wins_over_groups() {
        let text = format!("{NODES}- s: Fix (a)\n- w x: Fix (a) (object)\n- Fix (a): e (a)\n");
        let expected = [
            "s.default -> Fix (a).default",
            "w x.default -> Fix (a).default (object)",
            "Fix (a).default -> e.default a",
        ];
        assert_eq!(wires(&text), expected);
    }

    #[test]
    fn problems_of_the_flow_stand_once_and_where_they_are() {
        for (flow, expected) in [
            ("- t: [e, w x]", vec!["E301 connection 0 9:3"]),
            ("- t -> e", vec!["E301 connection 0 9:3"]),
            ("- s -> f", vec!["E301 connection 0 9:8"]),
            ("- s: f (object)", vec!["E301 connection 0 9:6"]),
            ("- s: [e, to \"f\"]", vec!["E301 connection 1 9:14"]),
            ("- c: [e, w x]", vec!["E302 connection 0 9:3", "E302 connection 1 9:3"]),
            ("- c_maybe: e", vec!["E302 connection 0 9:3"]),
            ("- s: to \"w x\" in \"second\"", vec!["E302 connection 0 9:19"]),
            ("- c: {to: e, from: maybe}", vec!["E302 connection 0 9:20"]),
            ("- s:", vec!["E303 connection 0 9:3"]),
            ("- s: []", vec!["E303 connection 0 9:3"]),
            ("- just words", vec!["E303 connection 0 9:3"]),
            ("- s: to \"e\" by \"x\"", vec!["E303 connection 0 9:6"]),
            ("- s: {as: object}", vec!["E303 connection 0 9:6"]),
            ("- s: e (object)(a)(b)", vec!["E303 connection 0 9:20"]),
            ("- s: to \"e\" as \"rawtext\"", vec!["E304 connection 0 9:17"]),
            ("- s: {to: e, as: rawtext}", vec!["E304 connection 0 9:18"]),
            ("- s: {to: e, nameing: x}", vec!["W301 connection 0 9:14"]),
            ("- w x: s", vec!["E208 s 3:3"]),
            ("- e: w x", vec!["E209 e 7:3"]),
        ] {
            assert_eq!(problems(flow), expected, "{flow}");
        }
    }

    #[test]
    fn a_mapping_of_sources_is_reported_and_read() {
        let text = format!("{NODES}  s: w x\n  w x: e\n");
        let parsed = crate::diagram::parse(&text, None);
        assert_eq!(parsed.diagnostics.iter().map(|it| it.code).collect::<Vec<_>>(), ["E106"]);
        assert_eq!(parsed.diagram.unwrap().connections.len(), 2);
    }
}
