//! A compile result as text for a terminal: every problem with its source line and a caret.

use super::check::Compiled;
use crate::diagram::{Diagnostic, Severity, Span};

/// Characters of a source line that are shown; a native diagram may stand on one line altogether.
const EXCERPT_CHARS_MAX: usize = 160;

/// The part of the source that a diagnostic is about.
pub(super) struct Excerpt {
    /// The source line, or the part of a long one around the place.
    pub line: String,
    /// Blanks and carets to print below it.
    pub carets: String,
}

/// Cuts out the line of `span` and underlines its token.
pub(super) fn excerpt(text: &str, span: Span) -> Excerpt {
    let nth = (span.line as usize).saturating_sub(1);
    let chars: Vec<char> = text.lines().nth(nth).unwrap_or_default().chars().collect();
    let column = (span.column as usize).saturating_sub(1).min(chars.len());
    let cut = if chars.len() <= EXCERPT_CHARS_MAX { 0 } else { column.saturating_sub(EXCERPT_CHARS_MAX / 2) };
    let shown: Vec<char> = chars.iter().skip(cut).take(EXCERPT_CHARS_MAX).copied().collect();
    // Tabs stay tabs, so the carets stand below their token whatever a tab is worth.
    let mut carets: String = shown.iter().take(column - cut).map(|it| if *it == '\t' { '\t' } else { ' ' }).collect();
    let token = text.get(span.offset..span.offset.saturating_add(span.len)).unwrap_or_default();
    let width = token.lines().next().unwrap_or_default().chars().count();
    carets.push_str(&"^".repeat(width.clamp(1, (shown.len() - (column - cut)).max(1))));
    Excerpt { line: shown.into_iter().collect(), carets }
}

/// The word for a severity.
pub(super) fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Writes all problems of `compiled` and, last, what it comes to.
pub(super) fn render(path: &str, compiled: &Compiled, text: &str) -> String {
    let mut out = String::new();
    for diagnostic in &compiled.diagnostics {
        out.push_str(&render_one(path, diagnostic, text));
    }
    out.push_str(&last_line(path, compiled));
    out.push('\n');
    out
}

fn render_one(path: &str, diagnostic: &Diagnostic, text: &str) -> String {
    let Span { line, column, .. } = diagnostic.span;
    let severity = word(diagnostic.severity());
    let Excerpt { line: source, carets } = excerpt(text, diagnostic.span);
    let mut out = format!("{path}:{line}:{column}: {severity} {} {}\n", diagnostic.code, diagnostic.message);
    if !source.trim().is_empty() {
        out.push_str(&format!("  {source}\n  {carets}\n"));
    }
    if let Some(hint) = &diagnostic.hint {
        out.push_str(&format!("  hint: {hint}\n"));
    }
    out.push('\n');
    out
}

fn last_line(path: &str, compiled: &Compiled) -> String {
    let of = |severity| compiled.diagnostics.iter().filter(|it| it.severity() == severity).count();
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let mut parts = Vec::new();
    match compiled.diagram.as_ref().filter(|_| compiled.is_valid()) {
        Some(diagram) => {
            parts.push(counted(diagram.nodes.len(), "node"));
            parts.push(counted(diagram.connection_count, "connection"));
            parts.push(diagram.format.name().to_owned());
        }
        None => parts.push(counted(errors, "error")),
    }
    if 0 < warnings {
        parts.push(counted(warnings, "warning"));
    }
    let repairs = compiled.diagnostics.iter().filter(|it| it.patch.is_some()).count();
    if 0 < repairs {
        parts.push(format!("{} with `--fix`", counted(repairs, "repair")));
    }
    let ok = if compiled.is_valid() { "ok " } else { "" };
    format!("{ok}{path}: {}", parts.join(", "))
}

/// `1 node`, `2 nodes`.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
