//! What the readers of the three formats share while one text is read: the text, its format and the
//! problems found so far.

use super::diagnostic::Diagnostic;
use super::kinds::Format;
use super::render::{source, spelled_like};
use super::tree::{Span, Spanned, Tree};
use crate::nearest::meant;

/// Longest label or id of a node, and longest name in a diagnostic, in characters.
pub(super) const NAME_CHARS_MAX: usize = 200;
/// Longest message or hint, in characters.
const MESSAGE_CHARS_MAX: usize = 600;

/// One text being read.
pub(super) struct Draft<'a> {
    pub text: &'a str,
    pub format: Format,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(text: &'a str, format: Format) -> Self {
        Self { text, format, diagnostics: Vec::new() }
    }

    /// Records a problem. Its words are cut to a length that can be read: a text may repeat one long
    /// name in thousands of problems.
    pub(super) fn report(&mut self, mut diagnostic: Diagnostic) {
        diagnostic.message = cut(diagnostic.message, MESSAGE_CHARS_MAX);
        diagnostic.hint = diagnostic.hint.map(|it| cut(it, MESSAGE_CHARS_MAX));
        diagnostic.at = diagnostic.at.map(shortened);
        self.diagnostics.push(diagnostic);
    }

    /// Returns the text of the scalar at `span` as written.
    pub(super) fn source(&self, span: Span) -> &'a str {
        source(self.text, span)
    }

    /// Adds the candidate that `name` probably means as hint and repair, else `otherwise` as hint.
    pub(super) fn near<'c>(
        &self,
        diagnostic: Diagnostic,
        name: &Spanned<&str>,
        candidates: impl IntoIterator<Item = &'c str, IntoIter: Clone>,
        otherwise: &str,
    ) -> Diagnostic {
        match meant(name.value, candidates) {
            Some(near) => self.repair(diagnostic.hint(format!("did you mean `{near}`?")), name.span, near),
            None => diagnostic.hint(otherwise),
        }
    }

    /// Adds the repair that writes `replacement` in place of the scalar at `span`.
    pub(super) fn repair(&self, diagnostic: Diagnostic, span: Span, replacement: &str) -> Diagnostic {
        let old = self.source(span);
        // A text over several lines has no spelling of its own to imitate.
        if old.is_empty() || old.contains('\n') {
            return diagnostic;
        }
        diagnostic.patch(span, spelled_like(old, replacement))
    }

    /// Returns a scalar as text: numbers and booleans as they are written. `None` for null, a blank
    /// text, lists and mappings.
    pub(super) fn scalar_text(&self, tree: &Tree) -> Option<String> {
        scalar_text(self.text, tree)
    }

    /// Reports that section `key` has the wrong shape (E106).
    pub(super) fn wrong_shape(&mut self, key: &str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Diagnostic::new("E106", span, message).at(key).hint(hint));
    }
}

/// Returns a scalar of `text` as text, trimmed; `None` for null, a blank text, lists and mappings.
pub(super) fn scalar_text(text: &str, tree: &Tree) -> Option<String> {
    use super::tree::TreeKind;
    let found = match &tree.kind {
        TreeKind::Text(it) => it.trim(),
        TreeKind::Number(_) | TreeKind::Bool(_) => source(text, tree.span),
        TreeKind::Null | TreeKind::List(_) | TreeKind::Map(_) => return None,
    };
    (!found.is_empty()).then(|| found.to_owned())
}

/// Returns a name, cut to [`NAME_CHARS_MAX`].
pub(super) fn shortened(name: String) -> String {
    cut(name, NAME_CHARS_MAX)
}

fn cut(mut text: String, n_chars: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(n_chars) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// Returns the place of the key `key` in `tree`, else where `tree` begins.
pub(super) fn key_span(tree: &Tree, key: &str) -> Span {
    tree.entries().iter().find(|(name, _)| name.value == key).map_or(tree.span, |(name, _)| name.span)
}
