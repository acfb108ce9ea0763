//! What the two ends of a connection name: a label with or without a handle (diagrams.md 1.1 rule 4),
//! or a native handle id (1.3). Must not report anything: it says what is wrong, and the caller, who
//! knows where it stands, reports it.

use std::collections::HashMap;

use super::kinds::{Handle, NodeKind};
use super::model::DiagramNode;

/// Longest text behind a `_` that is looked at as a handle, in bytes; twice the longest handle.
const HANDLE_BYTES_MAX: usize = 20;

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// Where it begins.
    Output,
    /// Where it ends.
    Input,
}

impl Direction {
    /// The word in native handle ids and in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Input => "input",
        }
    }

    /// The handles a node of type `kind` has here; every handle for an unknown type.
    pub(super) fn handles(self, kind: Option<NodeKind>) -> &'static [Handle] {
        match (kind, self) {
            (None, _) => &Handle::ALL,
            (Some(kind), Self::Output) => kind.outputs(),
            (Some(kind), Self::Input) => kind.inputs(),
        }
    }
}

/// A node, and the handle if the text names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub node: usize,
    pub handle: Option<Handle>,
}

/// Why a text names no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// No node is called so.
    Node { name: String },
    /// The node has no such handle in this direction.
    Handle { node: usize, name: String },
    /// Not of the shape `<node_id>_<handle>_<direction>`; what was probably meant, if one can tell.
    Malformed { meant: Option<String> },
}

/// The nodes of a diagram by what connections call them.
pub(super) struct Names<'n> {
    pub nodes: &'n [DiagramNode],
    by_label: HashMap<&'n str, usize>,
    by_id: HashMap<&'n str, usize>,
}

impl<'n> Names<'n> {
    /// Of two nodes with one label or id the first is meant (the second is E205 or E206).
    pub(super) fn new(nodes: &'n [DiagramNode]) -> Self {
        let (mut by_label, mut by_id) = (HashMap::new(), HashMap::new());
        for (node_idx, node) in nodes.iter().enumerate() {
            by_label.entry(node.label.as_str()).or_insert(node_idx);
            by_id.entry(node.id.as_str()).or_insert(node_idx);
        }
        Self { nodes, by_label, by_id }
    }

    /// Whether `text` as a whole is a label.
    pub(super) fn is_label(&self, text: &str) -> bool {
        self.by_label.contains_key(text)
    }

    /// Returns the node with this id.
    pub(super) fn by_id(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Reads `Label`, `Label[handle]` or `Label_handle`, in this order.
    pub(super) fn resolve(&self, text: &str, direction: Direction) -> Result<End, Unresolved> {
        let text = text.trim();
        if let Some(&node) = self.by_label.get(text) {
            return Ok(End { node, handle: None });
        }
        if let Some((label, handle)) = text.strip_suffix(']').and_then(|it| it.rsplit_once('[')) {
            let Some(&node) = self.by_label.get(label.trim()) else {
                return Err(Unresolved::Node { name: label.trim().to_owned() });
            };
            let handle = self.handle(node, handle, direction)?;
            return Ok(End { node, handle: Some(handle) });
        }
        self.underscored(text, direction)
    }

    /// Returns the handle `name` of a node.
    ///
    /// A start has no inputs and an endpoint no outputs; there every handle is taken, because the
    /// connection itself is the mistake (E208, E209).
    pub(super) fn handle(&self, node: usize, name: &str, direction: Direction) -> Result<Handle, Unresolved> {
        let kind = self.nodes[node].kind;
        let handles = direction.handles(kind);
        Handle::parse(name, kind)
            .filter(|it| handles.is_empty() || handles.contains(it))
            .ok_or_else(|| Unresolved::Handle { node, name: name.trim().to_owned() })
    }

    /// The legacy form: every `_` from the right may be the one before the handle.
    fn underscored(&self, text: &str, direction: Direction) -> Result<End, Unresolved> {
        let mut nearly = None;
        for (at, _) in text.rmatch_indices('_') {
            let (label, name) = (&text[..at], &text[at + 1..]);
            if name.len() > HANDLE_BYTES_MAX {
                break;
            }
            let node = self.by_label.get(label).or_else(|| self.by_label.get(label.replace('_', " ").as_str()));
            let Some(&node) = node else { continue };
            match self.handle(node, name, direction) {
                Ok(handle) => return Ok(End { node, handle: Some(handle) }),
                Err(unresolved) => nearly = nearly.or(Some(unresolved)),
            }
        }
        Err(nearly.unwrap_or_else(|| Unresolved::Node { name: text.to_owned() }))
    }

    /// Reads a native handle id, `<node_id>_<handle>_<direction>`, from the right.
    pub(super) fn resolve_handle_id(&self, id: &str, direction: Direction) -> Result<End, Unresolved> {
        let (node_id, handle) = split_handle_id(id, direction).map_err(|_| self.malformed(id, direction))?;
        // The older spelling `_first` leaves a second `_` behind the node id.
        let node = self.by_id(node_id).or_else(|| self.by_id(node_id.trim_end_matches('_')));
        let node = node.ok_or_else(|| Unresolved::Node { name: node_id.to_owned() })?;
        Ok(End { node, handle: Some(self.handle(node, handle, direction)?) })
    }

    fn malformed(&self, id: &str, direction: Direction) -> Unresolved {
        let word = direction.name();
        let opposite = if direction == Direction::Output { "_input" } else { "_output" };
        let names_handle = |it: &str| {
            it.rsplit_once('_').is_some_and(|(node_id, handle)| {
                self.by_id(node_id).is_some_and(|node| self.handle(node, handle, direction).is_ok())
            })
        };
        let turned = id.strip_suffix(opposite);
        let meant = if let Some(stem) = turned.filter(|it| names_handle(it)) {
            Some(format!("{stem}_{word}"))
        } else if names_handle(id) {
            Some(format!("{id}_{word}"))
        } else {
            let node = self.by_id(id);
            let has_default = |it: &usize| direction.handles(self.nodes[*it].kind).contains(&Handle::Default);
            node.filter(has_default).map(|_| format!("{id}_default_{word}"))
        };
        Unresolved::Malformed { meant }
    }
}

/// Not of the shape of a native handle id.
pub(super) struct BadShape;

/// Splits a native handle id into node id and handle.
pub(super) fn split_handle_id(id: &str, direction: Direction) -> Result<(&str, &str), BadShape> {
    let stem = id.strip_suffix(direction.name()).and_then(|it| it.strip_suffix('_')).ok_or(BadShape)?;
    match stem.rsplit_once('_') {
        Some((node_id, handle)) if !node_id.is_empty() && !handle.is_empty() => Ok((node_id, handle)),
        _ => Err(BadShape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagram::tree::Span;

    fn nodes() -> Vec<DiagramNode> {
        let rows = [
            ("n_1", "Check Done", Some(NodeKind::Condition)),
            ("n_2", "Check_Done_condtrue", Some(NodeKind::CodeJob)),
            ("n_3", "Final Writer", Some(NodeKind::PersonJob)),
            ("n_4", "a_b", Some(NodeKind::PersonJob)),
            ("n_5", "mystery", None),
            ("n_6", "end", Some(NodeKind::Endpoint)),
        ];
        rows.map(|(id, label, kind)| DiagramNode {
            id: id.to_owned(),
            label: label.to_owned(),
            kind,
            position: None,
            fields: Vec::new(),
            span: Span::default(),
        })
        .into()
    }

    fn end(node: usize, handle: impl Into<Option<Handle>>) -> Result<End, Unresolved> {
        Ok(End { node, handle: handle.into() })
    }

    fn no_node(name: &str) -> Result<End, Unresolved> {
        Err(Unresolved::Node { name: name.to_owned() })
    }

    fn no_handle(node: usize, name: &str) -> Result<End, Unresolved> {
        Err(Unresolved::Handle { node, name: name.to_owned() })
    }

    #[test]
    fn a_label_wins_then_brackets_then_underscores_from_the_right() {
        use Direction::{Input, Output};
        let nodes = nodes();
        let names = Names::new(&nodes);
        for (text, direction, expected) in [
            ("Check Done", Output, end(0, None)),
            (" Check Done ", Output, end(0, None)),
            ("Check_Done_condtrue", Output, end(1, None)),
            ("Check Done_condtrue", Output, end(0, Handle::CondTrue)),
            ("Check_Done_no", Output, end(0, Handle::CondFalse)),
            ("Check Done[true]", Output, end(0, Handle::CondTrue)),
            ("Check Done[_CondFalse]", Output, end(0, Handle::CondFalse)),
            ("Check Done[error]", Output, end(0, Handle::Error)),
            ("Check Done[maybe]", Output, no_handle(0, "maybe")),
            ("Final_Writer__first", Input, end(2, Handle::First)),
            ("Final Writer_first", Input, end(2, Handle::First)),
            ("Final Writer_first", Output, no_handle(2, "first")),
            ("a_b[first]", Input, end(3, Handle::First)),
            ("a_b_default", Output, end(3, Handle::Default)),
            ("a_b_second", Input, no_handle(3, "second")),
            ("mystery[results]", Output, end(4, Handle::Results)),
            ("end_default", Output, end(5, Handle::Default)),
            ("nobody", Input, no_node("nobody")),
            ("nobody[first]", Input, no_node("nobody")),
            ("Final_Writer", Input, no_node("Final_Writer")),
            ("", Input, no_node("")),
            ("]", Input, no_node("]")),
        ] {
            assert_eq!(names.resolve(text, direction), expected, "{text}");
        }
    }

    #[test]
    fn native_handle_ids_are_read_from_the_right() {
        use Direction::{Input, Output};
        let nodes = nodes();
        let names = Names::new(&nodes);
        let malformed = |meant: Option<&str>| Err(Unresolved::Malformed { meant: meant.map(str::to_owned) });
        for (id, direction, expected) in [
            ("n_1_condtrue_output", Output, end(0, Handle::CondTrue)),
            ("n_1_true_output", Output, end(0, Handle::CondTrue)),
            ("n_3__first_input", Input, end(2, Handle::First)),
            ("n_1_default_output", Output, no_handle(0, "default")),
            ("n_9_default_output", Output, no_node("n_9")),
            ("n_1_condtrue_input", Output, malformed(Some("n_1_condtrue_output"))),
            ("n_3_default", Input, malformed(Some("n_3_default_input"))),
            ("n_3", Input, malformed(Some("n_3_default_input"))),
            ("n_1", Output, malformed(None)),
            ("_output", Output, malformed(None)),
            ("", Output, malformed(None)),
        ] {
            assert_eq!(names.resolve_handle_id(id, direction), expected, "{id}");
        }
    }
}
