//! From places to text and back: lines, excerpts for reports, and the spelling of a replacement.
//! Must not know what stands at a place.

use super::load::scalar::{Plain, read_plain};
use super::tree::{Span, TreeKind};

/// Longest excerpt, in characters; longer lines are cut around the place.
const EXCERPT_CHARS_MAX: usize = 160;
/// How much of a cut line stands before the place, in characters.
const EXCERPT_CHARS_BEFORE: usize = 60;

/// Maps byte offsets of one text to lines and columns, and back.
#[derive(Clone, Debug)]
pub struct LineIndex<'a> {
    text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    /// Finds the lines of `text`; `\n`, `\r\n` and a lone `\r` end one.
    pub fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let ends = bytes
            .iter()
            .enumerate()
            .filter(|&(offset, &byte)| byte == b'\n' || (byte == b'\r' && bytes.get(offset + 1) != Some(&b'\n')));
        Self { text, starts: std::iter::once(0).chain(ends.map(|(offset, _)| offset + 1)).collect() }
    }

    /// Returns the place of `len` bytes at `offset`; an offset beyond the end or within a character
    /// is moved back to the nearest place.
    pub fn span(&self, offset: usize, len: usize) -> Span {
        let offset = floor_boundary(self.text, offset);
        let line_idx = self.starts.partition_point(|&it| it <= offset) - 1;
        let column = self.text[self.starts[line_idx]..offset].chars().count() + 1;
        Span { line: to_u32(line_idx + 1), column: to_u32(column), offset, len: len.min(self.text.len() - offset) }
    }

    /// Returns the byte offset of a line and column (both from 1), `None` where the text has no such place.
    pub fn offset(&self, line: u32, column: u32) -> Option<usize> {
        let line_idx = usize::try_from(line).ok()?.checked_sub(1)?;
        let start = *self.starts.get(line_idx)?;
        let end = self.starts.get(line_idx + 1).copied().unwrap_or(self.text.len());
        let n_before = usize::try_from(column).ok()?.checked_sub(1)?;
        let mut places = self.text[start..end].char_indices().map(|(offset, _)| start + offset).chain([end]);
        places.nth(n_before)
    }
}

/// Returns the line of `text` that `span` begins in, without its end, cut to a length that fits a report.
pub fn excerpt(text: &str, span: Span) -> &str {
    let (start, end) = shown(text, span);
    &text[start..end]
}

/// Returns what to print below the [`excerpt`] so that carets stand under the text at `span`.
pub fn carets(text: &str, span: Span) -> String {
    let (start, end) = shown(text, span);
    let offset = floor_boundary(text, span.offset).clamp(start, end);
    // Tabs stay tabs, so the carets stand right whatever a tab is worth.
    let mut below: String = text[start..offset].chars().map(|it| if it == '\t' { '\t' } else { ' ' }).collect();
    let token_end = floor_boundary(text, span.offset.saturating_add(span.len)).clamp(offset, end);
    below.push_str(&"^".repeat(text[offset..token_end].chars().count().max(1)));
    below
}

/// Returns where the shown part of the line that `span` begins in begins and ends.
fn shown(text: &str, span: Span) -> (usize, usize) {
    let offset = floor_boundary(text, span.offset);
    let is_break = |it: &(usize, char)| matches!(it.1, '\n' | '\r');
    // Never farther than an excerpt is long: a text may be one line of a mebibyte.
    let before = text[..offset].char_indices().rev().take(EXCERPT_CHARS_MAX).take_while(|it| !is_break(it));
    let starts: Vec<usize> = before.map(|(at, _)| at).collect();
    let after = text[offset..].char_indices().take(EXCERPT_CHARS_MAX).take_while(|it| !is_break(it));
    let ends: Vec<usize> = after.map(|(at, it)| offset + at + it.len_utf8()).collect();
    let is_short = starts.len() + ends.len() <= EXCERPT_CHARS_MAX && starts.len() < EXCERPT_CHARS_MAX;
    let n_before = if is_short { starts.len() } else { starts.len().min(EXCERPT_CHARS_BEFORE) };
    let n_after = ends.len().min(EXCERPT_CHARS_MAX - n_before);
    let start = n_before.checked_sub(1).map_or(offset, |it| starts[it]);
    let end = n_after.checked_sub(1).map_or(offset, |it| ends[it]);
    (start, end)
}

/// Returns the text at `span`, empty where there is none.
pub(crate) fn source(text: &str, span: Span) -> &str {
    text.get(span.offset..span.offset + span.len).unwrap_or_default()
}

/// Returns the place of `part`, a slice of the scalar `whole` that stands at `span`; `span` itself when
/// the scalar is not written literally (escapes, several lines).
pub(super) fn within(text: &str, span: Span, whole: &str, part: &str) -> Span {
    let written = source(text, span);
    let Some(base) = written.find(whole).filter(|_| !part.is_empty() && !written.contains('\n')) else { return span };
    // Where the slice begins; the comparison below guards against a slice of something else.
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if whole.get(start..start.saturating_add(part.len())) != Some(part) {
        return span;
    }
    let at = base + start;
    let column = span.column + to_u32(written[..at].chars().count());
    Span { column, offset: span.offset + at, len: part.len(), ..span }
}

/// Spells `value` so that it can stand in place of the scalar `old`: with the same quotes, and with
/// quotes where an unquoted `value` would mean something else.
pub(crate) fn spelled_like(old: &str, value: &str) -> String {
    match old.bytes().next() {
        Some(b'\'') if !value.contains(['\n', '\r']) => format!("'{}'", value.replace('\'', "''")),
        Some(b'"' | b'\'') => serde_json::Value::from(value).to_string(),
        _ if is_plain(value) => value.to_owned(),
        _ => serde_json::Value::from(value).to_string(),
    }
}

/// Whether `value` may stand unquoted everywhere, also inside `{…}`.
fn is_plain(value: &str) -> bool {
    let is_text = matches!(read_plain(value), Plain::Value(TreeKind::Text(_)));
    is_text
        && value.trim() == value
        && !value.starts_with(['-', '?', ':', '!', '&', '*', '|', '>', '%', '@', '`', '#', '"', '\''])
        && !value.contains(['[', ']', '{', '}', ',', '\n', '\r', '\t'])
        && !value.contains(": ")
        && !value.contains(" #")
        && !value.ends_with(':')
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// Texts are at most a mebibyte, so nothing saturates.
fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_map_to_lines_and_columns_and_back() {
        let text = "ab\nüx\r\ny\rz\n";
        let index = LineIndex::new(text);
        for (offset, line, column) in [(0, 1, 1), (1, 1, 2), (3, 2, 1), (5, 2, 2), (8, 3, 1), (10, 4, 1), (12, 5, 1)] {
            let span = index.span(offset, 0);
            assert_eq!((span.line, span.column), (line, column), "offset {offset}");
            assert_eq!(index.offset(line, column), Some(offset), "{line}:{column}");
        }
        assert_eq!(index.span(4, 0).offset, 3, "an offset within a character moves back");
        assert_eq!(index.span(99, 5), Span { line: 5, column: 1, offset: 12, len: 0 });
        assert_eq!((index.offset(0, 1), index.offset(9, 1), index.offset(1, 99)), (None, None, None));
    }

    #[test]
    fn an_excerpt_is_the_line_without_its_end() {
        let text = "one\r\ntwo: x\nthree";
        let index = LineIndex::new(text);
        for (offset, expected) in [(0, "one"), (3, "one"), (8, "two: x"), (17, "three"), (99, "three")] {
            assert_eq!(excerpt(text, Span { offset, ..index.span(0, 0) }), expected, "{offset}");
        }
    }

    #[test]
    fn carets_stand_under_the_token_and_end_with_the_line() {
        let text = "one\n\tü: wrong\nlast";
        for (offset, len, expected) in
            [(0, 3, "^^^"), (9, 5, "\t   ^^^^^"), (9, 9, "\t   ^^^^^"), (3, 0, "   ^"), (99, 1, "    ^")]
        {
            assert_eq!(carets(text, Span { offset, len, ..Span::default() }), expected, "{offset}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}NEEDLE{}", "ä".repeat(500), "b".repeat(500));
        let shown = excerpt(&text, Span { offset: 1000, ..Span::default() });
        assert!(shown.contains("äNEEDLEb"), "{shown}");
        assert!(shown.chars().count() <= EXCERPT_CHARS_MAX);
    }

    #[test]
    fn a_replacement_keeps_the_quotes_and_gets_some_where_it_needs_them() {
        for (old, value, expected) in [
            ("writr", "Writer", "Writer"),
            ("writr", "a b", "a b"),
            ("gate", "gate[condtrue]", "\"gate[condtrue]\""),
            ("'x'", "it's", "'it''s'"),
            ("\"x\"", "say \"hi\"", "\"say \\\"hi\\\"\""),
            ("x", "true", "\"true\""),
            ("x", "5", "\"5\""),
            ("x", "a: b", "\"a: b\""),
        ] {
            assert_eq!(spelled_like(old, value), expected, "{old} -> {value}");
        }
    }

    #[test]
    fn a_part_of_a_scalar_has_its_own_place() {
        let text = "from: \"writr[r]\"";
        let span = Span { line: 1, column: 7, offset: 6, len: 10 };
        let whole = "writr[r]".to_owned();
        for (part, column, offset) in [(&whole[..5], 8, 7), (&whole[6..7], 14, 13)] {
            assert_eq!(within(text, span, &whole, part), Span { line: 1, column, offset, len: part.len() }, "{part}");
        }
        assert_eq!(within(text, span, &whole, "writr"), span, "not a slice of it");
        assert_eq!(within(text, span, "wri\"tr", "tr"), span, "not written so");
    }
}
