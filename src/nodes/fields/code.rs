//! Fields that hold a text of another language: code, expressions, templates. A problem inside of one
//! points at its own line and column of the diagram wherever the text stands there as it is.

use super::{Fields, expression};
use crate::diagram::{Diagnostic, Span};
use crate::nodes::ports::{CodeFacts, Language, SyntaxProblem};
use crate::nodes::template::Template;

impl Fields<'_> {
    /// Checks code of `language` in field `key` (E603) and returns what its parser knows.
    pub fn check_code(&mut self, key: &'static str, language: Language, source: &str) -> Option<CodeFacts> {
        match self.cx.surroundings.languages().check_code(language, source) {
            Ok(facts) => Some(facts),
            Err(problem) => {
                let span = self.place_in(key, source, problem.line, problem.column);
                let message = format!("{} code does not parse: {}", language.name(), problem.message);
                let hint = format!("line {} of the code", problem.line);
                self.report(Diagnostic::new("E603", span, message).field(key).hint(hint));
                None
            }
        }
    }

    /// Checks an expression in field `key` (E601).
    pub fn check_expression(&mut self, key: &'static str, expression: &str) {
        let languages = self.cx.surroundings.languages();
        let respelt = expression::in_python(expression).filter(|it| languages.check_expression(it).is_ok());
        let (message, place) = match languages.check_expression(expression) {
            Err(problem) => (format!("does not parse: {}", problem.message), (problem.line, problem.column)),
            // `{{n}}` is a set in a set to Python, which no value can be.
            Ok(()) if respelt.is_some() && expression.contains("{{") => (
                "has the braces of a template".to_owned(),
                line_and_column(expression, expression.find("{{").unwrap_or(0)),
            ),
            Ok(()) => return,
        };
        let span = self.place_in(key, expression, place.0, place.1);
        let diagnostic = Diagnostic::new("E601", span, format!("expression `{expression}` {message}")).field(key);
        self.report(match (respelt, self.node.field(key)) {
            (Some(meant), Some(tree)) => diagnostic
                .hint(format!("write `{meant}`: expressions are Python"))
                .patch(tree.span, self.respelled(tree, &meant)),
            _ => diagnostic
                .hint(format!("position {} of the expression; expressions are Python, e.g. `n >= 3 and ok`", place.1)),
        });
    }

    /// Reads a prompt template (E602) and returns it ready to render.
    pub fn template(&mut self, key: &'static str, text: &str) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => Some(template),
            Err(problem) => {
                let (line, column) = line_and_column(text, problem.offset);
                let span = self.place_in(key, text, line, column);
                let message = format!("template does not parse: {}", problem.message);
                self.report(Diagnostic::new("E602", span, message).field(key).hint(problem.hint));
                None
            }
        }
    }

    /// Records a problem inside the text of `key`, at its place there.
    pub fn problem_in(&mut self, code: &'static str, key: &'static str, text: &str, problem: (SyntaxProblem, &str)) {
        let (SyntaxProblem { message, line, column }, hint) = problem;
        let span = self.place_in(key, text, line, column);
        self.report(Diagnostic::new(code, span, message).field(key).hint(hint));
    }

    /// The place of a line and column (both from 1) inside the text of `key`, or the field itself where
    /// the text does not stand in the diagram as it is (escapes, folded lines, a file).
    fn place_in(&self, key: &str, text: &str, line: u32, column: u32) -> Span {
        let Some(tree) = self.node.field(key) else { return self.node.span };
        let raw = self.source.get(tree.span.offset..tree.span.offset.saturating_add(tree.span.len));
        raw.and_then(|raw| place_within(raw, tree.span, text, (line, column))).unwrap_or(tree.span)
    }
}

/// Finds line and column of `text` in `raw`, the scalar at `span` that it was read from: without escapes
/// on one line, or a block, which begins with its first line and keeps its indentation from the second on.
fn place_within(raw: &str, span: Span, text: &str, (line, column): (u32, u32)) -> Option<Span> {
    let nth = line.checked_sub(1)?;
    let wanted = text.lines().nth(nth as usize).unwrap_or_default();
    let mut start = 0;
    for _ in 0..nth {
        start += raw[start..].find('\n')? + 1;
    }
    let here = raw[start..].lines().next().unwrap_or_default();
    let before = if nth == 0 { here.find(wanted)? } else { here.strip_suffix(wanted)?.len() };
    let first_column = if nth == 0 { span.column } else { 1 };
    let at = Span { line: span.line.saturating_add(nth), column: first_column, offset: span.offset + start, len: 0 };
    Some(moved(at, here, before, wanted, column))
}

/// The place `column` characters into `wanted`, which stands `before` bytes into `raw`, which begins at `at`.
fn moved(at: Span, raw: &str, before: usize, wanted: &str, column: u32) -> Span {
    let n_chars = column.saturating_sub(1) as usize;
    let within = wanted.char_indices().nth(n_chars).map_or(wanted.len(), |(offset, _)| offset);
    let n_before = raw[..before].chars().count() + wanted[..within].chars().count();
    let len = wanted[within..].chars().next().map_or(0, char::len_utf8);
    let column = at.column.saturating_add(u32::try_from(n_before).unwrap_or(u32::MAX));
    Span { line: at.line, column, offset: at.offset + before + within, len }
}

/// Line and column, both from 1, of a place in bytes; the column counts characters.
pub(in crate::nodes) fn line_and_column(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_inside_a_scalar_is_its_place_in_the_diagram() {
        let span = Span { line: 4, column: 7, offset: 100, len: 0 };
        let cases = [
            ("n >= and 3", "n >= and 3", (1, 6), Some((4, 12, 105))),
            ("\"n >= and 3\"", "n >= and 3", (1, 6), Some((4, 13, 106))),
            ("'ü + '", "ü + ", (1, 5), Some((4, 12, 106))),
            ("a = 1\n  b = (\n", "a = 1\nb = (\n", (2, 5), Some((5, 7, 112))),
            ("| a\n\n    b (", "| a\n\nb (", (3, 3), Some((6, 7, 111))),
            ("| a\n\n    b (", "| a\n\nb (", (1, 3), Some((4, 9, 102))),
            (r#""a\nb""#, "a\nb", (2, 1), None),
            ("a\n  b\n", "a b\n", (1, 3), None),
        ];
        for (raw, text, place, expected) in cases {
            let found = place_within(raw, span, text, place).map(|it| (it.line, it.column, it.offset));
            assert_eq!(found, expected, "{raw}");
        }
    }

    #[test]
    fn an_offset_becomes_line_and_column() {
        for (text, offset, expected) in [("ab", 1, (1, 2)), ("ä\nbü{", 6, (2, 3)), ("a", 9, (1, 2))] {
            assert_eq!(line_and_column(text, offset), expected, "{text}");
        }
    }
}
