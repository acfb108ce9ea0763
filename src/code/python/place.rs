//! Byte offsets of the Python parser as lines and columns, and its syntax errors.

use ruff_python_parser::ParseError;
use ruff_text_size::TextSize;

use crate::nodes::ports::SyntaxProblem;

/// Returns line and column of a byte offset, both from 1, the column in characters.
pub(in crate::code) fn line_column(source: &str, offset: usize) -> (u32, u32) {
    let mut at = offset.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |it| it + 1);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (count(before.matches('\n').count() + 1), count(before[line_start..].chars().count() + 1))
}

/// Returns the line of a byte offset, from 1.
pub(in crate::code) fn line(source: &str, offset: TextSize) -> u32 {
    line_column(source, offset.to_usize()).0
}

/// Translates an error of the parser.
pub(in crate::code) fn syntax_problem(source: &str, error: &ParseError) -> SyntaxProblem {
    let (line, column) = line_column(source, error.location.start().to_usize());
    SyntaxProblem { message: lower_first(&error.error.to_string()), line, column }
}

/// Makes a sentence of a library fit our messages: lower case at the start, no full stop.
pub(in crate::code) fn lower_first(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_start_at_one_and_count_characters() {
        let source = "äb\nc";
        for (offset, expected) in [(0, (1, 1)), (1, (1, 1)), (2, (1, 2)), (4, (2, 1)), (99, (2, 2))] {
            assert_eq!(line_column(source, offset), expected, "{offset}");
        }
    }
}
