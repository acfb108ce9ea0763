//! Slips within a line: values that need quotes because a character in them means something else.

use super::Slip;
use super::lines::Line;
use crate::diagram::diagnostic::Patch;
use crate::diagram::tree::Span;

/// A value as it stands behind its key.
#[derive(Clone, Copy)]
struct Value<'a> {
    /// In bytes of the text.
    offset: usize,
    written: &'a str,
    /// Whether it stands within `{…}`.
    is_in_braces: bool,
}

/// Returns what may be wrong with the value at `place`, or the one before it, the likeliest first.
pub(super) fn slips(text: &str, place: Span) -> Vec<Slip> {
    let line = Line::at(text, place.offset);
    let found = values(line);
    let near = found.iter().filter(|it| it.offset <= place.offset && place.offset <= it.offset + it.written.len() + 1);
    let here = near.flat_map(|it| [colon(*it), closed(*it), quoted(*it)]).flatten();
    // An open quote is noticed only in the line after it.
    let above = line.before(text).map(values).unwrap_or_default();
    here.chain(above.last().and_then(|it| closed(*it))).collect()
}

/// `label: a:` within braces: the second colon is one too many.
fn colon(value: Value<'_>) -> Option<Slip> {
    let name = value.written.strip_suffix(':').filter(|it| value.is_in_braces && !it.contains(':'))?;
    let patch = Patch { offset: value.offset + name.len(), len: 1, replacement: String::new() };
    Some(Slip::new(format!("a colon stands behind `{name}`"), "leave the colon out", patch))
}

/// A quote that the line does not close.
fn closed(value: Value<'_>) -> Option<Slip> {
    let quote = value.written.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    if value.is_in_braces || value.written.matches(quote).count() != 1 {
        return None;
    }
    let patch = Patch { offset: value.offset + value.written.len(), len: 0, replacement: quote.to_string() };
    Some(Slip::new("a quote is not closed in its line", "close the quotes", patch))
}

fn quoted(value: Value<'_>) -> Option<Slip> {
    let written = value.written;
    let inner = written.trim_matches(['“', '”', '„', '‘', '’']);
    let is_curly = inner.len() != written.len();
    if written.is_empty() || written.starts_with(['"', '\'', '|', '>', '&', '*', '!']) {
        return None;
    }
    let is_collection = written.starts_with('[') || written.starts_with('{') && !written.starts_with("{{");
    if is_collection && !is_curly {
        return None;
    }
    let patch =
        Patch { offset: value.offset, len: written.len(), replacement: serde_json::Value::from(inner).to_string() };
    let message = if is_curly {
        "these are no quotes that YAML knows".to_owned()
    } else {
        let shown: String = written.chars().take(60).collect();
        format!("`{shown}` needs quotes")
    };
    let hint = if value.is_in_braces {
        "inside `{…}` quote texts that contain `[`, `]`, `{`, `}` or `,`, as in `\"A[b]\"`"
    } else {
        "quote a text that contains `: `, or begins with a character such as `{`, `%` or `@`"
    };
    Some(Slip::new(message, hint, patch))
}

/// The values of a line that stand behind `key: `.
fn values(line: Line<'_>) -> Vec<Value<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(colon) = line.text.get(at..).and_then(|it| it.find(": ")) {
        let colon = at + colon;
        let start = colon + 2 + blanks(&line.text[colon + 2..]);
        at = colon + 2;
        if !is_key(&line.text[..colon]) {
            continue;
        }
        let is_in_braces = is_open(&line.text[..colon]);
        let rest = &line.text[start..];
        let written = if is_in_braces { until_comma(rest) } else { without_comment(rest) };
        found.push(Value { offset: line.start + start, written, is_in_braces });
    }
    found
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches(' ').len()
}

/// Whether a plain key ends here, at the beginning of the line or of an entry in braces.
fn is_key(before: &str) -> bool {
    let head = before.trim_end_matches(|it: char| it.is_alphanumeric() || matches!(it, '_' | '.' | '-'));
    let name = &before[head.len()..];
    let head = head.trim_end();
    !name.is_empty() && (head.is_empty() || head.ends_with(['{', ',']) || head == "-")
}

/// Whether a brace is still open at the end of `before`.
fn is_open(before: &str) -> bool {
    before.matches('{').count() > before.matches('}').count()
}

/// The value up to the comma or brace that ends it; braces and brackets of its own count.
fn until_comma(rest: &str) -> &str {
    let mut depth = 0_u32;
    for (at, it) in rest.char_indices() {
        match it {
            '{' | '[' | '“' | '„' => depth += 1,
            '}' | ']' | ',' if depth == 0 => return rest[..at].trim_end(),
            '}' | ']' | '”' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    rest.trim_end()
}

fn without_comment(rest: &str) -> &str {
    rest.split(" #").next().unwrap_or_default().trim_end()
}
