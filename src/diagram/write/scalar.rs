//! One scalar as YAML: plain where every reader takes it for the same value, else in quotes.

use serde_json::{Number, Value};

use super::super::load::scalar::{Plain, read_plain};
use super::super::tree::TreeKind;

/// Words that readers of YAML 1.1 take for booleans or nothing, and YAML 1.2 for texts. `y` and `n`, which
/// that version also lists, are texts for the readers in use, and every position has a key `y`.
const OLD_WORDS: [&str; 7] = ["yes", "no", "on", "off", "true", "false", "null"];

/// Returns a scalar as it stands in block style: behind a key or a dash.
pub(in crate::diagram) fn in_block(value: &Value) -> String {
    spelled(value, is_plain)
}

/// Returns a scalar as it may stand within braces and brackets.
pub(in crate::diagram) fn in_flow(value: &Value) -> String {
    spelled(value, |text| is_plain(text) && !text.contains([',', '[', ']', '{', '}']))
}

fn spelled(value: &Value, may_be_plain: impl Fn(&str) -> bool) -> String {
    match value {
        Value::String(text) if may_be_plain(text) => text.clone(),
        Value::String(text) => quoted(text),
        Value::Number(number) => numeral(number),
        other => other.to_string(),
    }
}

/// An exponent needs a point and a sign, or readers of YAML 1.1 take the number for a text.
fn numeral(number: &Number) -> String {
    let text = number.to_string();
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let mantissa = if mantissa.contains('.') { mantissa.to_owned() } else { format!("{mantissa}.0") };
    let exponent = if exponent.starts_with(['-', '+']) { exponent.to_owned() } else { format!("+{exponent}") };
    format!("{mantissa}e{exponent}")
}

/// Whether a text may stand without quotes.
fn is_plain(text: &str) -> bool {
    let is_text = matches!(read_plain(text), Plain::Value(TreeKind::Text(_)));
    is_text
        && !text.starts_with(|it: char| it.is_whitespace() || "-?:,[]{}#&*!|>'\"%@`=".contains(it))
        && !text.ends_with(|it: char| it.is_whitespace() || it == ':')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("<<")
        && !text.starts_with("...")
        && !text.contains(is_special)
        && !OLD_WORDS.iter().any(|it| it.eq_ignore_ascii_case(text))
        && !looks_numeric(text)
}

/// Characters that stand in a text only as escapes: control characters and line ends of any kind, and what
/// YAML does not count as printable.
fn is_special(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
        || matches!(u32::from(character) & 0xffff, 0xfffe | 0xffff)
}

/// Whether a text looks like a number or a time of YAML 1.1: digits with `_`, `:`, `.`, signs and exponents,
/// `0x…` and `0b…`, or something that begins like a date.
fn looks_numeric(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(digits) = ["0x", "0b", "0o"].iter().find_map(|it| unsigned.strip_prefix(it)) {
        return digits.bytes().all(|it| it.is_ascii_hexdigit() || it == b'_');
    }
    let is_part = |it: u8| it.is_ascii_digit() || b"_.:+-eE".contains(&it);
    let begins = unsigned.starts_with(|it: char| it.is_ascii_digit() || it == '.');
    let is_number = begins && unsigned.bytes().any(|it| it.is_ascii_digit()) && unsigned.bytes().all(is_part);
    let is_dated = text.get(..5).is_some_and(|it| it.ends_with('-') && it[..4].bytes().all(|it| it.is_ascii_digit()));
    is_number || is_dated || matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan")
}

/// Returns a text in the quotes that leave it most readable.
fn quoted(text: &str) -> String {
    let needs_escapes = text.contains(is_special);
    if !needs_escapes && text.contains(['"', '\\']) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            special if is_special(special) => out.push_str(&escape(u32::from(special))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn escape(code: u32) -> String {
    match code {
        0..=0xff => format!("\\x{code:02x}"),
        0x100..=0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

/// Returns the lines of a text for a literal block and the block's header, `None` where a block would not
/// hold exactly this text.
pub(in crate::diagram) fn literal(text: &str) -> Option<(&'static str, impl Iterator<Item = &str>)> {
    let is_exact = |it: char| it == '\n' || it == '\t' || !is_special(it);
    let first = text.lines().find(|it| !it.is_empty())?;
    // The first line that is not empty sets the indentation.
    if !text.contains('\n') || !text.chars().all(is_exact) || first.starts_with([' ', '\t']) {
        return None;
    }
    let body = text.trim_end_matches('\n');
    let header = match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    // A block ends its last line itself; with `+` the empty lines behind it count too.
    let lines = if header == "|+" { &text[..text.len() - 1] } else { body };
    Some((header, lines.split('\n')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_quoted_exactly_where_a_reader_would_misread_it() {
        for (text, expected) in [
            ("plain", "plain"),
            ("two words", "two words"),
            ("a.b/c_d-e", "a.b/c_d-e"),
            ("http://x/y?z", "http://x/y?z"),
            ("3 apples", "3 apples"),
            ("e5", "e5"),
            ("ü", "ü"),
            ("a, b", "a, b"),
            ("f(x)", "f(x)"),
            ("it's", "it's"),
            ("", "\"\""),
            (" x", "\" x\""),
            ("x ", "\"x \""),
            ("yes", "\"yes\""),
            ("No", "\"No\""),
            ("on", "\"on\""),
            ("y", "y"),
            ("true", "\"true\""),
            ("null", "\"null\""),
            ("~", "\"~\""),
            ("5", "\"5\""),
            ("007", "\"007\""),
            ("1_000", "\"1_000\""),
            ("0b1", "\"0b1\""),
            ("1:30", "\"1:30\""),
            ("1e3", "\"1e3\""),
            (".5", "\".5\""),
            (".nan", "\".nan\""),
            ("2024-01-02", "\"2024-01-02\""),
            ("2024-01-02 10:00:00 Z", "\"2024-01-02 10:00:00 Z\""),
            ("a: b", "\"a: b\""),
            ("a:", "\"a:\""),
            ("a #b", "\"a #b\""),
            ("- a", "\"- a\""),
            ("<<", "\"<<\""),
            ("{{topic}}", "\"{{topic}}\""),
            ("say \"hi\"", "say \"hi\""),
            ("\"hi\" said", "'\"hi\" said'"),
            ("'it\"s'", "'''it\"s'''"),
            ("C:\\x: y", "'C:\\x: y'"),
            ("a\nb", "\"a\\nb\""),
            ("a\tb\u{1}\u{85}\u{feff}", "\"a\\tb\\x01\\x85\\ufeff\""),
        ] {
            assert_eq!(in_block(&json!(text)), expected, "{text}");
        }
        for (text, expected) in [("a, b", "\"a, b\""), ("c[condtrue]", "\"c[condtrue]\""), ("plain x", "plain x")] {
            assert_eq!(in_flow(&json!(text)), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_numbers_for_every_reader() {
        for (value, expected) in [
            (json!(1), "1"),
            (json!(-0.5), "-0.5"),
            (json!(1e300), "1.0e+300"),
            (json!(2.5e-9), "2.5e-9"),
            (json!(true), "true"),
            (json!(null), "null"),
        ] {
            assert_eq!(in_block(&value), expected);
        }
    }

    #[test]
    fn a_block_is_used_where_it_is_exact() {
        let block =
            |text| literal(text).map(|(header, lines)| format!("{header} {}", lines.collect::<Vec<_>>().join("/")));
        for (text, expected) in [
            ("a\nb", Some("|- a/b")),
            ("a\n\n b\n", Some("| a// b")),
            ("a\n\n\n", Some("|+ a//")),
            ("\na\n", Some("| /a")),
            ("a", None),
            (" a\nb", None),
            ("\n\tx", None),
            ("a\r\nb", None),
            ("\n\n", None),
            ("a\n\u{1}", None),
        ] {
            assert_eq!(block(text).as_deref(), expected, "{text:?}");
        }
    }
}
