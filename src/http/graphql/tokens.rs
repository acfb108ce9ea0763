//! Counts the tokens of a document and how deep its brackets are nested, without building anything: the parser
//! behind it calls itself for each bracket, and has no end of its own.

/// What a document consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Names, numbers, texts and signs.
    pub tokens: usize,
    /// Brackets of any kind inside one another.
    pub depth: usize,
}

/// Counts. Texts and comments are passed over as the language says (GraphQL, section 2.1); of what is no document
/// at all, some count comes out.
pub fn count(text: &str) -> Counted {
    let bytes = text.as_bytes();
    let (mut counted, mut open, mut at) = (Counted::default(), 0_usize, 0);
    while let Some(byte) = bytes.get(at) {
        let next = match byte {
            b'#' => end_of_line(bytes, at),
            b'"' => end_of_text(bytes, at),
            b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => end_of_word(bytes, at),
            _ => at + 1,
        };
        match byte {
            b'{' | b'[' | b'(' => open += 1,
            b'}' | b']' | b')' => open = open.saturating_sub(1),
            _ => {}
        }
        counted.depth = counted.depth.max(open);
        let is_token = !matches!(byte, b' ' | b',' | b'\t' | b'\n' | b'\r' | b'#');
        counted.tokens += usize::from(is_token);
        at = next;
    }
    counted
}

fn end_of_line(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|it| matches!(it, b'\n' | b'\r')).map_or(bytes.len(), |it| from + it)
}

fn end_of_word(bytes: &[u8], from: usize) -> usize {
    let is_part = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'-' | b'+');
    bytes[from..].iter().position(|it| !is_part(it)).map_or(bytes.len(), |it| from + it)
}

/// The place behind a text in one or in three quotation marks.
fn end_of_text(bytes: &[u8], from: usize) -> usize {
    const BLOCK: &[u8] = b"\"\"\"";
    if bytes[from..].starts_with(BLOCK) {
        let mut at = from + BLOCK.len();
        while at < bytes.len() {
            if bytes[at..].starts_with(BLOCK) {
                return at + BLOCK.len();
            }
            at += if bytes[at..].starts_with(b"\\\"\"\"") { 1 + BLOCK.len() } else { 1 };
        }
        return bytes.len();
    }
    let mut at = from + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            // A text ends with its line; what follows is read again.
            b'\n' | b'\r' => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_and_comments_do_not_count() {
        for (text, tokens, depth) in [
            ("", 0, 0),
            ("{ a }", 3, 1),
            ("{a{b{c}}}", 9, 3),
            ("query Q($a: [Int!]! = [1, 2]) { f(a: $a) @x }", 28, 2),
            ("{ f(a: \"}}}{{{\") # }}} {{{\n }", 8, 2),
            ("{ f(a: \"\\\"}\") }", 8, 2),
            ("{ f(a: \"\"\"{ \"{ \\\"\"\" { \"\"\") }", 8, 2),
            ("{ f(a: \"{\n{", 7, 3),
            ("\"", 1, 0),
            ("\"\"\"", 1, 0),
            ("\\", 1, 0),
            ("}}}{", 4, 1),
            ("ä{", 3, 1),
        ] {
            assert_eq!(count(text), Counted { tokens, depth }, "{text}");
        }
    }
}
