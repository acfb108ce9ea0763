//! Fields that name something else in the diagram: a person, other nodes.

use super::Fields;
use crate::diagram::{Diagnostic, Diagram, Person, Span, Tree, TreeKind};
use crate::nearest::nearest;

impl Fields<'_> {
    /// Reads the person named in `key` and returns its position in [`Diagram::persons`]: by id, by label,
    /// then by `person_<label>` with `_` for blanks. E502 when absent, E501 with the nearest name when unknown.
    pub fn person(&mut self, key: &'static str) -> Option<usize> {
        let is_blank = |it: &&Tree| it.as_text().is_some_and(|text| text.trim().is_empty());
        let Some(tree) = self.tree(key).filter(|it| !is_blank(it)) else {
            let message = format!("{} `{}` names no person", self.kind_name(), self.node.label);
            let diagnostic = Diagnostic::new("E502", self.node.span, message).field(key);
            self.report(diagnostic.hint(self.persons_hint()));
            return None;
        };
        let Some(name) = tree.as_text() else {
            self.wrong_type(key, tree, "the name of a person");
            return None;
        };
        let persons = &self.cx.diagram.persons;
        if let Some(found) = find_person(persons, name) {
            return Some(found);
        }
        let mut diagnostic = Diagnostic::new("E501", tree.span, format!("no person is named `{name}`")).field(key);
        let others = self.cx.surroundings.person_names();
        let known = persons.iter().map(|it| it.label.as_str()).chain(others.iter().map(String::as_str));
        diagnostic = match nearest(name, known) {
            Some(near) => {
                diagnostic.hint(format!("did you mean `{near}`?")).patch(tree.span, self.respelled(tree, near))
            }
            None => diagnostic.hint(self.persons_hint()),
        };
        self.report(diagnostic);
        None
    }

    fn persons_hint(&self) -> String {
        let labels: Vec<_> = self.cx.diagram.persons.iter().map(|it| it.label.as_str()).collect();
        if labels.is_empty() {
            return "add it under `persons:`, e.g. `Writer: {service: caller}`".to_owned();
        }
        format!("write `person:` with one of: {}", labels.join(", "))
    }

    /// Reads the nodes named in `key` (ids or labels, a list or one text split at commas) and returns their
    /// positions; E507 with the nearest label for each unknown one.
    pub fn node_refs(&mut self, key: &'static str) -> Vec<usize> {
        let Some(tree) = self.tree(key) else { return Vec::new() };
        let mut found = Vec::new();
        for (name, span) in self.names_in(key, tree) {
            match find_node(self.cx.diagram, &name) {
                Some(idx) => found.push(idx),
                None => self.unknown_node(key, &name, span),
            }
        }
        found
    }

    fn names_in(&mut self, key: &str, tree: &Tree) -> Vec<(String, Span)> {
        match &tree.kind {
            TreeKind::Text(text) if find_node(self.cx.diagram, text).is_some() => vec![(text.clone(), tree.span)],
            TreeKind::Text(text) => {
                text.split(',').map(|it| (it.trim().to_owned(), tree.span)).filter(|(it, _)| !it.is_empty()).collect()
            }
            TreeKind::List(items) => {
                let names: Vec<_> =
                    items.iter().filter_map(|it| it.as_text().map(|text| (text.to_owned(), it.span))).collect();
                if names.len() != items.len() {
                    self.wrong_type(key, tree, "a list of node labels");
                }
                names
            }
            _ => {
                self.wrong_type(key, tree, "a list of node labels");
                Vec::new()
            }
        }
    }

    fn unknown_node(&mut self, key: &str, name: &str, span: Span) {
        let labels = self.cx.diagram.nodes.iter().map(|it| it.label.as_str());
        let mut diagnostic = Diagnostic::new("E507", span, format!("no node is named `{name}`")).field(key);
        diagnostic = match nearest(name, labels) {
            Some(near) => diagnostic.hint(format!("did you mean `{near}`?")),
            None => {
                let labels: Vec<&str> = self.cx.diagram.nodes.iter().take(12).map(|it| it.label.as_str()).collect();
                diagnostic.hint(format!("write labels or ids of nodes of this diagram, such as {}", labels.join(", ")))
            }
        };
        self.report(diagnostic);
    }
}

/// Finds a person by id, by label, then by `person_<label>` with `_` for blanks (diagrams.md 1.1).
pub(crate) fn find_person(persons: &[Person], name: &str) -> Option<usize> {
    let name = name.trim();
    let is_legacy_name = |label: &str| name.strip_prefix("person_").is_some_and(|it| it == label.replace(' ', "_"));
    persons
        .iter()
        .position(|it| it.id == name)
        .or_else(|| persons.iter().position(|it| it.label == name))
        .or_else(|| persons.iter().position(|it| is_legacy_name(&it.label)))
}

/// Finds a node by id, then by label.
fn find_node(diagram: &Diagram, name: &str) -> Option<usize> {
    let nodes = &diagram.nodes;
    nodes.iter().position(|it| it.id == name).or_else(|| nodes.iter().position(|it| it.label == name))
}
