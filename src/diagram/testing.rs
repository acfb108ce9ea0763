//! Short forms of what reading gives, for tables in tests.

use super::diagnostic::Diagnostic;
use super::parse::{Parsed, parse};

/// Returns every problem as `code at line:column`, in the order of their places.
pub(super) fn problems(text: &str) -> Vec<String> {
    parse(text, None).diagnostics.iter().map(short).collect()
}

/// Returns the problems of a light text with this below `version: light`.
pub(super) fn light_problems(text: &str) -> Vec<String> {
    problems(&format!("version: light\n{text}"))
}

/// Returns the problems of a readable text with this below `version: readable`.
pub(super) fn readable_problems(text: &str) -> Vec<String> {
    problems(&format!("version: readable\n{text}"))
}

/// Returns the connections of a text that reads without an error, as `from.handle -> to.handle`, then
/// label and content type where there are any.
pub(super) fn wires(text: &str) -> Vec<String> {
    let Parsed { diagram, diagnostics, .. } = parse(text, None);
    let errors: Vec<_> = diagnostics.iter().filter(|it| it.code.starts_with('E')).collect();
    assert!(errors.is_empty(), "{text}\n{errors:?}");
    let diagram = diagram.unwrap();
    let label = |node: usize| diagram.nodes[node].label.as_str();
    let wire = |it: &super::model::Connection| {
        let name = it.label.as_ref().map(|it| format!(" {}", it.value)).unwrap_or_default();
        let content = it.content_type.map(|it| format!(" ({})", it.name())).unwrap_or_default();
        format!("{}.{} -> {}.{}{name}{content}", label(it.from), it.output.name(), label(it.to), it.input.name())
    };
    diagram.connections.iter().map(wire).collect()
}

/// Applies every patch, from the end of the text to its beginning, and returns the text.
pub(super) fn repaired(text: &str) -> String {
    let mut patches: Vec<_> = parse(text, None).diagnostics.into_iter().filter_map(|it| it.patch).collect();
    patches.sort_by_key(|it| std::cmp::Reverse(it.offset));
    let mut text = text.to_owned();
    for patch in patches {
        text.replace_range(patch.offset..patch.offset + patch.len, &patch.replacement);
    }
    text
}

fn short(diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, at, span, .. } = diagnostic;
    format!("{code} {} {}:{}", at.as_deref().unwrap_or("-"), span.line, span.column)
}
