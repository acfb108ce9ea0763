//! Applies the repairs that diagnostics bring with them.

use crate::diagram::{Diagnostic, Patch};

/// Returns `text` with every patch of `diagnostics` applied that fits: of two that overlap, the first in
/// the text; none that reaches beyond the text or into the middle of a character.
pub fn apply_patches(text: &str, diagnostics: &[Diagnostic]) -> String {
    applied(text, diagnostics).0
}

/// As [`apply_patches`], with the diagnostics whose patches were taken.
pub(super) fn applied<'d>(text: &str, diagnostics: &'d [Diagnostic]) -> (String, Vec<&'d Diagnostic>) {
    let with_patch = |it: &'d Diagnostic| it.patch.as_ref().map(|patch| (patch, it));
    let mut patches: Vec<(&Patch, &Diagnostic)> = diagnostics.iter().filter_map(with_patch).collect();
    patches.sort_by_key(|(it, _)| (it.offset, it.len));
    let mut repaired = String::with_capacity(text.len());
    let (mut done, mut taken) = (0, Vec::new());
    for (patch, diagnostic) in patches {
        let Some(end) = patch.offset.checked_add(patch.len) else { continue };
        let Some(kept) = text.get(done..patch.offset).filter(|_| text.is_char_boundary(end)) else { continue };
        repaired.push_str(kept);
        repaired.push_str(&patch.replacement);
        done = end;
        taken.push(diagnostic);
    }
    // `done` is the end of a patch that was checked against the text, so the rest is there.
    repaired.push_str(text.get(done..).unwrap_or_default());
    (repaired, taken)
}

#[cfg(test)]
mod tests {
    use super::apply_patches;
    use crate::diagram::{Diagnostic, Span};

    fn patch(offset: usize, len: usize, replacement: &str) -> Diagnostic {
        let span = Span { line: 1, column: 1, offset, len };
        Diagnostic::new("W401", span, "").patch(span, replacement)
    }

    #[test]
    fn patches_that_fit_are_applied_whatever_their_order() {
        let cases = [
            (vec![], "name: tea"),
            (vec![patch(6, 3, "coffee"), patch(0, 4, "title")], "title: coffee"),
            (vec![patch(0, 4, "a"), patch(2, 4, "b")], "a: tea"),
            (vec![patch(0, 4, "a"), patch(0, 4, "a")], "a: tea"),
            (vec![patch(9, 0, "!")], "name: tea!"),
            (vec![patch(8, 5, "beyond"), patch(usize::MAX, 2, "beyond")], "name: tea"),
        ];
        for (diagnostics, expected) in cases {
            assert_eq!(apply_patches("name: tea", &diagnostics), expected, "{diagnostics:?}");
        }
        assert_eq!(apply_patches("é", &[patch(1, 1, "x")]), "é");
    }
}
