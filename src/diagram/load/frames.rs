//! What the loader keeps while a collection is open, and what it remembers of an anchor.

use std::collections::{HashMap, HashSet};

use super::super::diagnostic::Diagnostic;
use super::super::tree::{Span, Spanned, Tree, TreeKind};
use super::faults::Problem;

/// A collection whose end has not come yet.
pub(super) struct Open {
    pub(super) span: Span,
    pub(super) anchor: usize,
    pub(super) content: Content,
}

pub(super) enum Content {
    List(Vec<Tree>),
    Map(OpenMap),
}

#[derive(Default)]
pub(super) struct OpenMap {
    pub(super) entries: Vec<(Spanned<String>, Tree)>,
    /// Line of each key so far.
    pub(super) lines: HashMap<String, u32>,
    /// What `<<` brings in; own keys win.
    pub(super) merged: Vec<(Spanned<String>, Tree)>,
    pub(super) key: Option<Key>,
}

/// The key whose value comes next.
pub(super) enum Key {
    Named(Spanned<String>),
    Merge,
    /// Editor residue, or the second of two equal keys.
    Ignored,
}

/// What an alias stands for, and what it costs to expand.
pub(super) struct Anchored {
    pub(super) tree: Tree,
    pub(super) n_values: usize,
    pub(super) n_bytes: usize,
    pub(super) depth: usize,
}

impl Anchored {
    /// Measures `tree` once, so that an alias is refused before it is expanded.
    pub(super) fn new(tree: Tree) -> Self {
        let (n_values, n_bytes, depth) = measure(&tree);
        Self { tree, n_values, n_bytes, depth }
    }
}

impl OpenMap {
    /// Takes in the mapping, or the mappings, that `<<` names.
    pub(super) fn merge(&mut self, tree: Tree) -> Result<(), Problem> {
        let span = tree.span;
        let sources = match tree.kind {
            TreeKind::List(items) => items,
            kind => vec![Tree { span, kind }],
        };
        for source in sources {
            let TreeKind::Map(entries) = source.kind else {
                let message = "`<<` takes a mapping or a list of mappings";
                return Err(Box::new(
                    Diagnostic::new("E101", source.span, message).hint("name an anchor: `<<: *base`"),
                ));
            };
            self.merged.extend(entries);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<(Spanned<String>, Tree)> {
        let Self { mut entries, lines, merged, .. } = self;
        let mut seen: HashSet<String> = lines.into_keys().collect();
        entries.extend(merged.into_iter().filter(|(key, _)| seen.insert(key.value.clone())));
        entries
    }
}

/// Returns values, bytes of text and depth of `tree`. Trees are at most `DIAGRAM_DEPTH_MAX` deep.
fn measure(tree: &Tree) -> (usize, usize, usize) {
    let add = |(values, bytes, depth): (usize, usize, usize), tree: &Tree| {
        let (more_values, more_bytes, below) = measure(tree);
        (values + more_values, bytes + more_bytes, depth.max(below + 1))
    };
    match &tree.kind {
        TreeKind::Text(text) => (1, text.len(), 0),
        TreeKind::List(items) => items.iter().fold((1, 0, 1), add),
        TreeKind::Map(entries) => entries.iter().fold((1, 0, 1), |sum, (key, value)| {
            let (values, bytes, depth) = add(sum, value);
            (values, bytes + key.value.len(), depth)
        }),
        TreeKind::Null | TreeKind::Bool(_) | TreeKind::Number(_) => (1, 0, 0),
    }
}
