//! The words of what can be wrong with a text before it is a diagram (E101 to E104).

use serde_yaml::granit_parser::{ErrorKind, Tag};

use super::super::diagnostic::Diagnostic;
use super::super::tree::Span;
use crate::limits::DIAGRAM_DEPTH_MAX;

/// A problem that ends loading. Boxed: it travels through every step of the loop.
pub(super) type Problem = Box<Diagnostic>;

pub(super) fn too_large(span: Span, message: String, hint: &str) -> Diagnostic {
    Diagnostic::new("E104", span, message).hint(hint)
}

pub(super) fn not_one_mapping(span: Span, message: String) -> Problem {
    Box::new(
        Diagnostic::new("E102", span, message)
            .hint("a diagram is one mapping with `nodes` and `connections`; begin with `version: light`"),
    )
}

pub(super) fn too_deep(span: Span) -> Problem {
    let message = format!("the text is nested deeper than {DIAGRAM_DEPTH_MAX} levels");
    Box::new(too_large(span, message, "close a bracket that is still open, or move data into a file"))
}

pub(super) fn bad_key(span: Span, message: &str) -> Problem {
    Box::new(Diagnostic::new("E101", span, message).hint("a key is a text, as in `label: start`"))
}

pub(super) fn unknown_tag(tag: &Tag, span: Span) -> Problem {
    let message = format!("the tag `{}` means nothing here", shortened(&tag.original()));
    Box::new(Diagnostic::new("E101", span, message).hint("remove the tag, or write the whole text in quotes"))
}

pub(super) fn duplicate_key(name: &str, first_line: u32, span: Span) -> Diagnostic {
    let name = shortened(name);
    if first_line == span.line {
        let message = format!("the key `{name}` stands twice in line {first_line}");
        return Diagnostic::new("E103", span, message).field(name).hint("remove one of the two");
    }
    let message = format!("the key `{name}` stands in line {first_line} and again in line {}", span.line);
    let hint = format!("remove one of the two lines, {first_line} or {}", span.line);
    Diagnostic::new("E103", span, message).field(name).hint(hint)
}

pub(super) fn syntax_hint(kind: &ErrorKind, line: &str) -> String {
    let is_flow = line.contains('{') || line.contains('[');
    match kind {
        ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation | ErrorKind::TabNotAllowed => {
            "indent with blanks, not with tabs".to_owned()
        }
        ErrorKind::UnclosedFlowCollection { open } => format!("close the `{open}`, or quote the text it stands in"),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => "close the quotes".to_owned(),
        ErrorKind::UnknownAnchor => {
            "define the anchor first (`&name`), or quote a text that begins with `*`".to_owned()
        }
        ErrorKind::MappingValueNotAllowed => "quote a text that contains `: `, and check the indentation".to_owned(),
        _ if is_flow => "inside `{…}` quote texts that contain `[`, `]`, `{`, `}` or `,`, as in `\"A[b]\"`".to_owned(),
        _ => "check quotes, brackets and indentation at this place and in the line before".to_owned(),
    }
}

pub(super) fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}
