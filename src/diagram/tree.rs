//! The text of a diagram as a tree of values, each with its place. All three formats are read into
//! it first; typed things are built from it, so every message can point at its text.

use serde_json::{Map, Number, Value};

/// A place in the text: line and column count from 1 (column in characters), offset and length in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub offset: usize,
    pub len: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

/// One value of the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// Where it stands. Maps and lists: where they begin (`len` may be 0).
    pub span: Span,
    pub kind: TreeKind,
}

/// What a [`Tree`] holds.
#[derive(Clone, Debug, PartialEq)]
pub enum TreeKind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Tree>),
    /// Keys in file order; duplicates cannot occur (E103).
    Map(Vec<(Spanned<String>, Tree)>),
}

impl Tree {
    /// Returns the value under `key` of a map.
    pub fn get(&self, key: &str) -> Option<&Tree> {
        self.entries().iter().find(|(name, _)| name.value == key).map(|(_, tree)| tree)
    }

    /// Returns the entries of a map, none for anything else.
    pub fn entries(&self) -> &[(Spanned<String>, Tree)] {
        match &self.kind {
            TreeKind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Returns the items of a list, none for anything else.
    pub fn items(&self) -> &[Tree] {
        match &self.kind {
            TreeKind::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the text of a text value.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            TreeKind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same value as if all of it stood at `span`.
    #[must_use]
    pub fn placed_at(self, span: Span) -> Self {
        let kind = match self.kind {
            TreeKind::List(items) => TreeKind::List(items.into_iter().map(|it| it.placed_at(span)).collect()),
            TreeKind::Map(entries) => {
                let placed = |(key, it): (Spanned<String>, Self)| (Spanned { span, ..key }, it.placed_at(span));
                TreeKind::Map(entries.into_iter().map(placed).collect())
            }
            plain => plain,
        };
        Self { span, kind }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, TreeKind::Null)
    }

    /// Whether this is a map.
    pub fn is_map(&self) -> bool {
        matches!(self.kind, TreeKind::Map(_))
    }

    /// Names the kind in the words of messages: `a text`, `a number`, `a list` …
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            TreeKind::Null => "null",
            TreeKind::Bool(_) => "a boolean",
            TreeKind::Number(_) => "a number",
            TreeKind::Text(_) => "a text",
            TreeKind::List(_) => "a list",
            TreeKind::Map(_) => "a mapping",
        }
    }

    /// Returns the value without its places. Keys that begin with `__` are left out at every level
    /// (residue of editors, diagrams.md 1.0).
    pub fn to_json(&self) -> Value {
        match &self.kind {
            TreeKind::Null => Value::Null,
            TreeKind::Bool(it) => Value::Bool(*it),
            TreeKind::Number(it) => Value::Number(it.clone()),
            TreeKind::Text(it) => Value::String(it.clone()),
            TreeKind::List(items) => Value::Array(items.iter().map(Tree::to_json).collect()),
            TreeKind::Map(entries) => {
                let mut map = Map::new();
                for (key, tree) in entries.iter().filter(|(key, _)| !key.value.starts_with("__")) {
                    map.insert(key.value.clone(), tree.to_json());
                }
                Value::Object(map)
            }
        }
    }
}
