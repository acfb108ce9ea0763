//! A compile result as text for a terminal: every problem with its source line and a caret.

use super::check::Compiled;
use crate::diagram::render::{carets, excerpt};
use crate::diagram::{Diagnostic, Severity, Span};

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
    let (source, carets) = (excerpt(text, diagnostic.span), carets(text, diagnostic.span));
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
