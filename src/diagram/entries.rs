//! Reads the entries of a mapping that is not a node (a person, the settings, a declared input) into
//! typed values, and records every problem with its place. Must not know what the mapping is for.

use serde_json::{Number, Value};

use super::diagnostic::Diagnostic;
use super::draft::{Draft, shortened};
use super::tree::{Span, Spanned, Tree, TreeKind};

/// The entries of one mapping, being read.
pub(super) struct Entries<'t, 'd, 'a> {
    draft: &'d mut Draft<'a>,
    /// What the mapping is called in messages and in `at`.
    name: String,
    entries: Vec<&'t (Spanned<String>, Tree)>,
    asked: Vec<&'static str>,
}

impl<'t, 'd, 'a> Entries<'t, 'd, 'a> {
    pub(super) fn new(draft: &'d mut Draft<'a>, name: impl Into<String>, tree: &'t Tree) -> Self {
        let name = shortened(name.into());
        Self { draft, name, entries: tree.entries().iter().collect(), asked: Vec::new() }
    }

    /// Adds the entries of a mapping nested under `key`; those beside it win.
    pub(super) fn lift(&mut self, key: &'static str) {
        let Some(nested) = self.tree(key) else { return };
        if !nested.is_map() {
            self.wrong_type(key, nested, "a mapping");
        }
        for entry in nested.entries() {
            if !self.entries.iter().any(|it| it.0.value == entry.0.value) {
                self.entries.push(entry);
            }
        }
    }

    pub(super) fn draft(&mut self) -> &mut Draft<'a> {
        self.draft
    }

    /// Returns the value of `key`; null counts as absent.
    pub(super) fn tree(&mut self, key: &'static str) -> Option<&'t Tree> {
        self.asked.push(key);
        self.entries.iter().find(|it| it.0.value == key).map(|it| &it.1).filter(|it| !it.is_null())
    }

    /// The place of the key `key`, else of nothing.
    pub(super) fn key_span(&self, key: &str) -> Span {
        self.entries.iter().find(|it| it.0.value == key).map(|it| it.0.span).unwrap_or_default()
    }

    /// Reads a text; a blank one counts as absent.
    pub(super) fn text(&mut self, key: &'static str) -> Option<Spanned<String>> {
        let tree = self.tree(key)?;
        match &tree.kind {
            TreeKind::Text(text) if text.trim().is_empty() => None,
            TreeKind::Text(text) => Some(Spanned { value: text.clone(), span: tree.span }),
            _ => {
                self.wrong_type(key, tree, "a text");
                None
            }
        }
    }

    /// Reads a boolean; the words `yes`, `no`, `on`, `off` are understood with W103.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let tree = self.tree(key)?;
        let meant = match &tree.kind {
            TreeKind::Bool(it) => return Some(*it),
            TreeKind::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "true" => true,
                "no" | "off" | "n" | "false" => false,
                _ => {
                    self.wrong_type(key, tree, "true or false");
                    return None;
                }
            },
            _ => {
                self.wrong_type(key, tree, "true or false");
                return None;
            }
        };
        let message = format!("`{key}: {}` is read as {meant}", self.draft.source(tree.span));
        let warning = Diagnostic::new("W103", tree.span, message).hint(format!("write `{meant}`"));
        self.report(key, warning.patch(tree.span, meant.to_string()));
        Some(meant)
    }

    /// Reads a whole number of at least `least`.
    pub(super) fn integer(&mut self, key: &'static str, least: u64) -> Option<u64> {
        let (number, span) = self.numeral(key, "a whole number")?;
        match number.as_u64().or_else(|| whole(&number)) {
            Some(value) if value >= least => Some(value),
            _ if number.as_f64().is_some_and(|it| it.fract() != 0.0) => {
                self.out_of_range(key, span, &number, "a whole number");
                None
            }
            _ => {
                self.out_of_range(key, span, &number, &format!("{least} or more"));
                None
            }
        }
    }

    /// Reads a whole number of at least `least` that fits into 32 bits.
    pub(super) fn small_integer(&mut self, key: &'static str, least: u64) -> Option<u32> {
        let value = self.integer(key, least)?;
        Some(u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// Reads a number above `least`, or equal to it when `least_fits`.
    pub(super) fn number(&mut self, key: &'static str, allowed: Range) -> Option<f64> {
        let (number, span) = self.numeral(key, "a number")?;
        let value = number.as_f64()?;
        let (fits, words) = match allowed {
            Range::Positive => (value > 0.0, "a number above 0"),
            Range::NotNegative => (value >= 0.0, "0 or more"),
        };
        if fits {
            return Some(value);
        }
        self.out_of_range(key, span, &number, words);
        None
    }

    /// Reads one of `choices`.
    pub(super) fn choice(&mut self, key: &'static str, choices: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        if let Some(found) = choices.iter().find(|it| it.eq_ignore_ascii_case(text.value.trim())) {
            return Some(found);
        }
        let diagnostic = Diagnostic::new("E403", text.span, format!("`{}` is not a value of `{key}`", text.value));
        let name = Spanned { value: text.value.as_str(), span: text.span };
        let otherwise = format!("write one of: {}", choices.join(", "));
        let diagnostic = self.draft.near(diagnostic, &name, choices.iter().copied(), &otherwise);
        self.report(key, diagnostic);
        None
    }

    /// Reads a list of any values.
    pub(super) fn list(&mut self, key: &'static str) -> Option<Vec<Value>> {
        let tree = self.tree(key)?;
        if let TreeKind::List(items) = &tree.kind {
            return Some(items.iter().map(Tree::to_json).collect());
        }
        self.wrong_type(key, tree, "a list");
        None
    }

    /// Reports what nobody asked for (W401).
    pub(super) fn finish(mut self) {
        let unknown: Vec<_> =
            self.entries.iter().copied().filter(|it| !self.asked.contains(&it.0.value.as_str())).collect();
        for (key, _) in unknown {
            let message = format!("`{}` has no field `{}`", self.name, key.value);
            let name = Spanned { value: key.value.as_str(), span: key.span };
            let warning = Diagnostic::new("W401", key.span, message);
            let warning = self.draft.near(warning, &name, self.asked.iter().copied(), "remove it: it has no effect");
            self.report(&key.value, warning);
        }
    }

    /// Records a problem with field `key`.
    pub(super) fn report(&mut self, key: &str, diagnostic: Diagnostic) {
        self.draft.report(diagnostic.at(&self.name).field(key));
    }

    /// Records that `key` holds something else than `wanted` (E402).
    pub(super) fn wrong_type(&mut self, key: &str, tree: &Tree, wanted: &str) {
        let message = format!("`{key}` must be {wanted}, not {}", tree.kind_name());
        self.report(key, Diagnostic::new("E402", tree.span, message).hint(format!("write {wanted}")));
    }

    fn numeral(&mut self, key: &'static str, wanted: &str) -> Option<(Number, Span)> {
        let tree = self.tree(key)?;
        match &tree.kind {
            TreeKind::Number(number) => Some((number.clone(), tree.span)),
            TreeKind::Text(text) if let Ok(number) = serde_json::from_str::<Number>(text.trim()) => {
                let message = format!("`{key}` is the text `{text}`, read as a number");
                let warning =
                    Diagnostic::new("W104", tree.span, message).hint(format!("write {number} without quotes"));
                self.report(key, warning.patch(tree.span, number.to_string()));
                Some((number, tree.span))
            }
            _ => {
                self.wrong_type(key, tree, wanted);
                None
            }
        }
    }

    fn out_of_range(&mut self, key: &str, span: Span, number: &Number, wanted: &str) {
        let message = format!("`{key}` is {number}, which is not allowed");
        self.report(key, Diagnostic::new("E404", span, message).hint(format!("write {wanted}")));
    }
}

/// Which numbers a field takes.
#[derive(Clone, Copy)]
pub(super) enum Range {
    Positive,
    NotNegative,
}

/// A number such as `3.0` is whole too.
fn whole(number: &Number) -> Option<u64> {
    let value = number.as_f64()?;
    // 2^53: from there on a double does not know its last digit.
    (value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value)).then_some(value as u64)
}
