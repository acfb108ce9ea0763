//! A node as a format writes it, to a [`DiagramNode`]: id, label, type, position and fields, by the
//! rules that are the same for all formats (diagrams.md 1.0, 1.1, 1.6, 1.7). Must not know where in
//! the text the format keeps them.

use std::collections::HashMap;

use super::diagnostic::Diagnostic;
use super::draft::{Draft, NAME_CHARS_MAX, shortened};
use super::infer::kind_of;
use super::kinds::{Format, NodeKind};
use super::legacy;
use super::model::{DiagramNode, Field};
use super::nested::nested;
use super::tree::{Span, Spanned, Tree, TreeKind};

/// Old type names that are no misspelling.
const OLD_TYPES: [&str; 2] = ["end", "person_batch_job"];

/// Fields for which null is a value and not the same as nothing.
pub(super) const NULL_IS_A_VALUE: [&str; 3] = ["missing_value", "default", "mock_response"];

/// A node before its names are settled.
pub(super) struct RawNode {
    pub id: Option<Tree>,
    pub label: Option<Tree>,
    pub kind: Option<Tree>,
    pub position: Option<Tree>,
    pub fields: Vec<Field>,
    /// Where the node begins.
    pub begin: Span,
}

impl RawNode {
    /// Sorts the entries of a node into its own keys and the fields of its type. Of two entries with
    /// one name the first counts.
    pub(super) fn from_entries<'t>(
        entries: impl IntoIterator<Item = &'t (Spanned<String>, Tree)>,
        begin: Span,
    ) -> Self {
        let mut raw = Self { id: None, label: None, kind: None, position: None, fields: Vec::new(), begin };
        for (key, value) in entries {
            let slot = match key.value.as_str() {
                "id" => &mut raw.id,
                "label" => &mut raw.label,
                "type" => &mut raw.kind,
                "position" => &mut raw.position,
                _ => {
                    if !raw.fields.iter().any(|it| it.key == key.value) {
                        raw.fields.push(Field { key: key.value.clone(), key_span: key.span, value: value.clone() });
                    }
                    continue;
                }
            };
            if !value.is_null() {
                slot.get_or_insert_with(|| value.clone());
            }
        }
        raw
    }
}

/// Settles the nodes of a diagram, in file order.
pub(super) fn settle(raw: Vec<RawNode>, draft: &mut Draft<'_>) -> Vec<DiagramNode> {
    let mut settling = Settling { draft, lines_of_labels: HashMap::new(), lines_of_ids: HashMap::new() };
    raw.into_iter().enumerate().map(|(node_idx, it)| settling.node(node_idx, it)).collect()
}

struct Settling<'d, 'a> {
    draft: &'d mut Draft<'a>,
    lines_of_labels: HashMap<String, u32>,
    lines_of_ids: HashMap<String, u32>,
}

impl Settling<'_, '_> {
    fn node(&mut self, node_idx: usize, mut raw: RawNode) -> DiagramNode {
        self.take_name_as_label(node_idx, &mut raw);
        let id = raw.id.as_ref().and_then(|it| self.draft.scalar_text(it));
        let id = shortened(id.unwrap_or_else(|| format!("node_{node_idx}")));
        let span = raw.label.as_ref().map_or(raw.begin, |it| it.span);
        let mut node = DiagramNode { id, label: String::new(), kind: None, position: None, fields: Vec::new(), span };
        node.label = self.label(node_idx, raw.label.as_ref(), &node);
        self.check_id(&node, raw.id.as_ref());
        let mut found = Vec::new();
        node.fields = nested(raw.fields, &mut found);
        node.kind = self.kind(node_idx, raw.kind.as_ref(), &mut node);
        if let Some(kind) = node.kind {
            legacy::translate(kind, &mut node.fields, &mut found);
        }
        node.position = raw.position.as_ref().and_then(|it| self.position(it, &node));
        for diagnostic in found {
            self.report(&node, diagnostic);
        }
        node
    }

    fn report(&mut self, node: &DiagramNode, diagnostic: Diagnostic) {
        self.draft.report(diagnostic.node(&node.id, &node.label));
    }

    /// `name: x` where `label: x` belongs: what others call a label is one, so that connections find it.
    fn take_name_as_label(&mut self, node_idx: usize, raw: &mut RawNode) {
        if raw.label.is_some() || self.draft.format == Format::Native {
            return;
        }
        let named = ["name", "title"].into_iter().find_map(|key| {
            let field = raw.fields.iter().position(|it| it.key == key && it.value.as_text().is_some())?;
            Some(raw.fields.remove(field))
        });
        let Some(field) = named else { return };
        let shown = field.value.as_text().unwrap_or_default().to_owned();
        let diagnostic = Diagnostic::new("E204", field.key_span, format!("a node has `{}` and no label", field.key));
        let diagnostic = diagnostic.hint(format!("write `label: {shown}`")).field("label");
        let diagnostic = self.draft.repair(diagnostic, field.key_span, "label");
        self.draft.report(diagnostic.node(format!("node_{node_idx}"), shown));
        raw.label = Some(field.value);
    }

    fn label(&mut self, node_idx: usize, tree: Option<&Tree>, node: &DiagramNode) -> String {
        let text = tree.and_then(|it| self.draft.scalar_text(it));
        let (Some(tree), Some(label)) = (tree, text) else {
            // With an id of its own the node is called by that, so that connections find it.
            let has_id = node.id != format!("node_{node_idx}");
            let label = if has_id { node.id.clone() } else { format!("node {node_idx}") };
            let hint =
                if has_id { format!("add `label: {label}`") } else { "add `label:` with a unique name".to_owned() };
            let message = match tree {
                Some(tree) if tree.as_text().is_none() => format!("the label of a node is {}", tree.kind_name()),
                _ => "a node has no label".to_owned(),
            };
            let diagnostic = Diagnostic::new("E204", node.span, message).field("label");
            self.draft.report(diagnostic.node(&node.id, &label).hint(hint));
            return label;
        };
        if let Some(diagnostic) = self.bad_label(tree, &label) {
            let label = shortened(label);
            self.draft.report(diagnostic.node(&node.id, &label).field("label"));
            return label;
        }
        let Some(first) = self.lines_of_labels.get(&label) else {
            self.lines_of_labels.insert(label.clone(), tree.span.line);
            return label;
        };
        let message = format!("two nodes have the label `{label}`, in lines {first} and {}", tree.span.line);
        let diagnostic = Diagnostic::new("E205", tree.span, message).field("label");
        self.draft.report(diagnostic.node(&node.id, &label).hint("rename one of them"));
        label
    }

    fn bad_label(&self, tree: &Tree, label: &str) -> Option<Diagnostic> {
        if tree.as_text().is_none() {
            let message = format!("the label `{label}` is {}, not a text", tree.kind_name());
            let quoted = format!("\"{label}\"");
            let diagnostic = Diagnostic::new("E204", tree.span, message);
            return Some(diagnostic.hint(format!("write `{quoted}`")).patch(tree.span, quoted));
        }
        let n_chars = label.chars().count();
        if n_chars > NAME_CHARS_MAX {
            let message = format!("the label has {n_chars} characters, more than {NAME_CHARS_MAX}");
            return Some(Diagnostic::new("E204", tree.span, message).hint("put what it says into `description`"));
        }
        let character = label.chars().find(|it| matches!(it, '[' | ']' | '\n' | '\r'))?;
        let shown = if matches!(character, '[' | ']') { format!("`{character}`") } else { "a line break".to_owned() };
        let message = format!("the label `{}` contains {shown}", label.replace(['\n', '\r'], " "));
        let hint = "brackets name handles, as in `Label[condtrue]`: leave them out of labels";
        Some(Diagnostic::new("E204", tree.span, message).hint(hint))
    }

    fn check_id(&mut self, node: &DiagramNode, tree: Option<&Tree>) {
        let span = tree.map_or(node.span, |it| it.span);
        if let Some(tree) = tree
            && (matches!(tree.kind, TreeKind::List(_) | TreeKind::Map(_)))
        {
            let message = format!("`id` must be a text, not {}", tree.kind_name());
            self.report(node, Diagnostic::new("E402", span, message).field("id").hint("write a text"));
        }
        let Some(first) = self.lines_of_ids.insert(node.id.clone(), span.line) else { return };
        let message = format!("two nodes have the id `{}`, in lines {first} and {}", node.id, span.line);
        let diagnostic = Diagnostic::new("E206", span, message).field("id").hint("give one of them another id");
        self.draft.report(diagnostic.node(&node.id, &node.id));
    }

    fn kind(&mut self, node_idx: usize, tree: Option<&Tree>, node: &mut DiagramNode) -> Option<NodeKind> {
        let tree = tree.filter(|it| it.as_text().is_none_or(|text| !text.trim().is_empty()));
        let Some(tree) = tree.filter(|it| it.as_text() != Some("job")) else {
            return self.inferred(node_idx, tree, node);
        };
        let name = tree.as_text().unwrap_or_default();
        if let Some((kind, is_batch)) = legacy::old_type(name) {
            if is_batch && node.field("batch").is_none() {
                let value = Tree { span: tree.span, kind: TreeKind::Bool(true) };
                node.fields.push(Field { key: "batch".to_owned(), key_span: tree.span, value });
            }
            return Some(kind);
        }
        let kind = NodeKind::parse(name);
        if kind.is_none() {
            self.unknown_type(tree, node);
        }
        kind
    }

    fn unknown_type(&mut self, tree: &Tree, node: &DiagramNode) {
        let names = NodeKind::ALL.map(NodeKind::name);
        let otherwise = format!("write one of: {}", names.join(", "));
        let diagnostic = match tree.as_text() {
            Some(text) => {
                let diagnostic = Diagnostic::new("E202", tree.span, format!("`{text}` is not a node type"));
                let name = Spanned { value: text, span: tree.span };
                self.draft.near(diagnostic, &name, names.into_iter().chain(OLD_TYPES), &otherwise)
            }
            None => {
                let message = format!("`type` must be a text, not {}", tree.kind_name());
                Diagnostic::new("E202", tree.span, message).hint(otherwise)
            }
        };
        self.report(node, diagnostic.field("type"));
    }

    /// Infers the type; `tree` is the `type: job` that names none.
    fn inferred(&mut self, node_idx: usize, tree: Option<&Tree>, node: &DiagramNode) -> Option<NodeKind> {
        let is_readable = self.draft.format == Format::Readable;
        let is_first_of_flow = is_readable && node_idx == 0 && node.fields.is_empty();
        let kind =
            kind_of(|it| node.field(it).is_some(), &node.label).or_else(|| is_first_of_flow.then_some(NodeKind::Start));
        let span = tree.map_or(node.span, |it| it.span);
        let Some(kind) = kind else {
            let message = format!("node `{}` has no type, and its fields do not show one", node.label);
            let names = NodeKind::ALL.map(NodeKind::name).join(", ");
            let diagnostic = Diagnostic::new("E203", span, message).field("type");
            self.report(node, diagnostic.hint(format!("add `type:` with one of: {names}")));
            return None;
        };
        if self.draft.format == Format::Light {
            let message = format!("node `{}` has no type and is read as {}", node.label, kind.name());
            let mut warning = Diagnostic::new("W201", span, message).field("type");
            warning = warning.hint(format!("write `type: {}`", kind.name()));
            if let Some(tree) = tree {
                warning = warning.patch(tree.span, kind.name());
            }
            self.report(node, warning);
        }
        Some(kind)
    }

    fn position(&mut self, tree: &Tree, node: &DiagramNode) -> Option<(f64, f64)> {
        let number = |key: &str| match &tree.get(key)?.kind {
            TreeKind::Number(number) => number.as_f64(),
            _ => None,
        };
        if let (Some(x), Some(y)) = (number("x"), number("y")) {
            return Some((x, y));
        }
        let message = format!("the position of `{}` needs two numbers, `x` and `y`", node.label);
        let diagnostic = Diagnostic::new("E108", tree.span, message).field("position");
        self.report(node, diagnostic.hint("write `position: {x: 100, y: 0}`, or leave it out"));
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::diagram::parse;
    use crate::diagram::testing::{light_problems, readable_problems, repaired};

    #[test]
    fn problems_of_nodes_stand_once_and_where_they_are() {
        for (nodes, expected) in [
            ("- {label: a, type: start}", vec![]),
            ("- {label: ' a ', type: start}", vec![]),
            ("- {label: 5, type: start}", vec!["E204 5 3:11"]),
            ("- {label: true, type: start}", vec!["E204 true 3:11"]),
            ("- {label: [x], type: start}", vec!["E204 node 0 3:11"]),
            ("- {label: '', type: start}", vec!["E204 node 0 3:11"]),
            ("- {type: start}", vec!["E204 node 0 3:3"]),
            ("- {label: 'a[b]', type: start}", vec!["E204 a[b] 3:11"]),
            ("- {label: \"a\\nb\", type: start}", vec!["E204 a\nb 3:11"]),
            ("- {label: a, type: start}\n- {label: a, type: endpoint}", vec!["E205 a 4:11"]),
            ("- {label: a, type: start, id: x}\n- {label: b, type: endpoint, id: x}", vec!["E206 x 4:34"]),
            ("- {label: a, type: start, id: node_1}\n- {label: b, type: endpoint}", vec!["E206 node_1 4:11"]),
            ("- {label: a, type: start, id: [x]}", vec!["E402 a 3:31"]),
            ("- {label: a, type: strat}", vec!["E202 a 3:20"]),
            ("- {label: a, type: 7}", vec!["E202 a 3:20"]),
            ("- {label: a}", vec!["E203 a 3:11"]),
            ("- {label: a, type: job}", vec!["E203 a 3:20"]),
            ("- {label: a, type: job, code: x}", vec!["W201 a 3:20"]),
            ("- {label: start}", vec!["W201 start 3:11"]),
            ("- {label: a, type: start, position: {x: 1}}", vec!["E108 a 3:37"]),
            ("- {label: a, type: start, position: {x: 1, y: '2'}}", vec!["E108 a 3:37"]),
            ("- {label: a, type: start, position: {x: 1, y: 2.5}}", vec![]),
            ("- {label: a, type: start, position: null}", vec![]),
            ("- {label: a, type: start, props: [x]}", vec!["E402 a 3:34"]),
            ("- start", vec!["E106 nodes 3:3"]),
        ] {
            assert_eq!(light_problems(&format!("nodes:\n{nodes}\n")), expected, "{nodes}");
        }
    }

    #[test]
    fn types_are_folded_and_old_types_are_understood() {
        for (kind, expected) in [
            ("START", Some(NodeKind::Start)),
            ("Person-Job", Some(NodeKind::PersonJob)),
            ("person job", Some(NodeKind::PersonJob)),
            ("End", Some(NodeKind::Endpoint)),
            ("PersonBatchJob", Some(NodeKind::PersonJob)),
            ("nothing_like_it", None),
        ] {
            let diagram = parse(&format!("version: light\nnodes: [{{label: a, type: {kind}}}]"), None).diagram.unwrap();
            assert_eq!(diagram.nodes[0].kind, expected, "{kind}");
            let is_batch = diagram.nodes[0].field("batch").is_some();
            assert_eq!(is_batch, kind == "PersonBatchJob", "{kind}");
        }
    }

    #[test]
    fn fields_stand_on_the_node_or_below_props_and_are_un_dotted() {
        let text = "version: light\nnodes:\n- {label: a, type: endpoint, file_path: x, __t: 1, retry.max_attempts: 3, \
                    props: {file_path: y, save_to_file: true}}\n";
        let node = parse(text, None).diagram.unwrap().nodes.remove(0);
        let fields: serde_json::Map<_, _> = node.fields.iter().map(|it| (it.key.clone(), it.value.to_json())).collect();
        let expected = json!({"file_name": "x", "save_to_file": true, "retry": {"max_attempts": 3}});
        assert_eq!(serde_json::Value::Object(fields), expected);
    }

    #[test]
    fn the_first_node_of_a_readable_flow_is_its_start() {
        let text = "nodes:\n- Begin: {}\n- Work: {code: x}\n- End:\n";
        assert_eq!(readable_problems(text), Vec::<String>::new());
        assert_eq!(readable_problems("nodes:\n- Work: {code: x}\n- Then: {}\n"), ["E203 Then 4:3"]);
    }

    #[test]
    fn mechanical_repairs_lead_to_a_clean_text() {
        for (text, expected) in [
            (
                "version: light\nnodes:\n- {label: 5, type: strat}\n- {label: x, type: \"endpiont\"}\n",
                "version: light\nnodes:\n- {label: \"5\", type: start}\n- {label: x, type: \"endpoint\"}\n",
            ),
            (
                "nodes:\n- {label: a, type: job, code: x}\n",
                "version: light\nnodes:\n- {label: a, type: code_job, code: x}\n",
            ),
        ] {
            assert_eq!(repaired(text), expected);
        }
    }
}
