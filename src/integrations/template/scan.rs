//! Where the tags of a template are, and bounds that keep the parser's stack small.

/// Longest tag without the texts in it, in bytes: the parser recurses along chains such as `a.b.b`, and this
/// many fit any stack.
const TAG_BYTES_MAX: usize = 512;
/// Deepest nesting of blocks.
const DEPTH_MAX: usize = 32;
/// Longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// A `{{ … }}`, `{% … %}` or `{# … #}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// In bytes, of its first brace.
    pub start: usize,
    /// Behind its last brace.
    pub end: usize,
    pub is_value: bool,
}

/// Finds the tags of `text`.
///
/// # Errors
///
/// A tag that does not end, is too long, or is nested too deep.
pub(super) fn tags(text: &str) -> Result<Vec<Tag>, String> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(format!("the template has {} bytes, and {TEMPLATE_BYTES_MAX} are the most", text.len()));
    }
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(offset) = text[at..].find('{') {
        let start = at + offset;
        let Some(kind) = text.as_bytes().get(start + 1).filter(|it| matches!(it, b'{' | b'%' | b'#')) else {
            at = start + 1;
            continue;
        };
        let close = match kind {
            b'{' => "}}",
            b'%' => "%}",
            _ => "#}",
        };
        let rest = &text[start + 2..];
        let ended = if *kind == b'#' { rest.find(close).map(|it| (it, 0)) } else { end_of_expression(rest, close) };
        let Some((length, n_bytes)) = ended else {
            return Err(format!("a tag that begins at byte {start} is never closed by `{close}`"));
        };
        if n_bytes > TAG_BYTES_MAX {
            return Err(format!("a tag has {n_bytes} bytes, and {TAG_BYTES_MAX} are the most"));
        }
        if *kind == b'%' {
            depth = depth_after(&rest[..length], depth);
            if depth > DEPTH_MAX {
                return Err(format!("blocks are nested deeper than {DEPTH_MAX}"));
            }
        }
        at = start + 2 + length + 2;
        found.push(Tag { start, end: at, is_value: *kind == b'{' });
    }
    Ok(found)
}

/// The length of an expression up to `close`, which does not count inside quotes or `{…}` of the expression,
/// and its bytes outside of quotes.
fn end_of_expression(text: &str, close: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut n_outside = 0;
    let mut quote = None;
    let mut braces = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if braces == 0 && bytes[at..].starts_with(close.as_bytes()) => return Some((at, n_outside)),
            None => {
                n_outside += 1;
                match byte {
                    b'"' | b'\'' => quote = Some(byte),
                    b'{' => braces += 1,
                    b'}' => braces = braces.saturating_sub(1),
                    _ => {}
                }
            }
        }
        at += 1;
    }
    None
}

/// The nesting after a block tag; every `elif` counts as one more, because the parser recurses there too.
fn depth_after(tag: &str, depth: usize) -> usize {
    let word = tag.trim_start_matches(['-', '+']).split_whitespace().next().unwrap_or_default();
    match word {
        "if" | "elif" | "for" | "macro" | "call" | "filter" | "with" | "block" | "autoescape" | "raw" => depth + 1,
        _ if word.starts_with("end") => depth.saturating_sub(1),
        _ => depth,
    }
}

/// Whether a JSON text is open after `text`, when it was before.
pub(super) fn quoted_after(text: &str, mut is_quoted: bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' if is_quoted => {
                bytes.next();
            }
            _ => {}
        }
    }
    is_quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_end_where_the_expression_ends() {
        for (text, expected) in [
            ("a {{ b }} c", vec!["{{ b }}"]),
            ("{{ '}}' }}{% if x %}", vec!["{{ '}}' }}", "{% if x %}"]),
            ("{{ {'a': {'b': 1}} }}", vec!["{{ {'a': {'b': 1}} }}"]),
            ("{# {{ #}x", vec!["{# {{ #}"]),
            ("{ {a} }", vec![]),
        ] {
            let found: Vec<&str> = tags(text).expect(text).iter().map(|it| &text[it.start..it.end]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn quotes_open_and_close_texts() {
        for (text, expected) in [("{\"a\": \"", true), ("\"a\\\"", true), ("\"a\\\\\"", false), ("", false)] {
            assert_eq!(quoted_after(text, false), expected, "{text}");
        }
    }
}
