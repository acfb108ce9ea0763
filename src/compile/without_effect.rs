//! What the formats know and this version does not act on: said aloud (W402), never ignored in silence.

use crate::diagram::{Diagnostic, Diagram};

/// Reports the sections and keys outside nodes that have no effect yet.
pub(super) fn check(diagram: &Diagram) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for input in diagram.inputs.iter().filter(|it| it.secret) {
        let message =
            format!("`secret` of the input `{}` has no effect in this version: its value is stored", input.name);
        found.push(Diagnostic::new("W402", input.span, message).at("inputs").hint("do not give secrets as inputs"));
    }
    found
}
