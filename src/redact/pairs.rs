//! Values whose key says that they are secret: `password=x`, `"api_key": "x"`, `Authorization: Bearer x`, also in
//! JSON inside JSON.

use std::borrow::Cow;

use super::{Found, REDACTED, begins_word, span};

/// Last words of keys that name a secret, with `_` for what joins words.
const KEYS: [&str; 9] =
    ["password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "cookie", "private_key"];
/// Longest key that is looked at.
const KEY_BYTES_MAX: usize = 64;
/// Schemes of `Authorization` that stand before what is secret.
const SCHEMES: [&str; 2] = ["bearer", "basic"];

/// Finds a secret value whose key begins at `at`.
pub(super) fn find(text: &str, at: usize) -> Option<Found> {
    let rest = &text[at..];
    let is_of_key = |it: &u8| it.is_ascii_alphanumeric() || *it == b'_' || *it == b'-';
    let key = &rest[..rest.bytes().take(KEY_BYTES_MAX + 1).take_while(is_of_key).count()];
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !begins_word(text, at) || !is_secret(key) {
        return None;
    }
    let after_key = at + key.len();
    let quote = quote_at(&text[after_key..]);
    let after_quote = after_key + quote.len();
    let blank = |at: usize| at + span(&text[at..], |it| it == b' ');
    let sign = blank(after_quote);
    if !text[sign..].starts_with([':', '=']) {
        return None;
    }
    let value = blank(sign + 1);
    let (from, to) = value_at(text, value)?;
    // In JSON, what was no text becomes one.
    let is_bare = !quote.is_empty() && quote_at(&text[value..]).is_empty();
    let instead = if is_bare { Cow::Owned(format!("{quote}{REDACTED}{quote}")) } else { Cow::Borrowed(REDACTED) };
    (&text[from..to] != REDACTED).then_some(Found { from, to, instead })
}

fn is_secret(key: &str) -> bool {
    let folded = key.to_ascii_lowercase().replace('-', "_");
    KEYS.iter().any(|it| folded.strip_suffix(it).is_some_and(|before| before.is_empty() || before.ends_with('_')))
}

/// A quote at the beginning of `text`, with the backslashes that each level of JSON puts before it.
fn quote_at(text: &str) -> &str {
    let n_backslashes = span(text, |it| it == b'\\');
    match text.as_bytes().get(n_backslashes) {
        Some(b'"') => &text[..=n_backslashes],
        Some(b'\'') if n_backslashes == 0 => &text[..1],
        _ => "",
    }
}

/// Where the value at `at` begins and ends, without its quotes; `None` when there is none.
fn value_at(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    let quote = quote_at(rest);
    if !quote.is_empty() {
        let from = at + quote.len();
        return Some((from, from + quoted(&text[from..], quote)));
    }
    let length = match rest.as_bytes().first()? {
        b'{' | b'[' => nested(rest),
        _ => bare(rest),
    };
    (length > 0).then_some((at, at + length))
}

/// Returns how long a text is that `quote` ends. Inside it a quote has more backslashes before it.
fn quoted(text: &str, quote: &str) -> usize {
    let mut at = 0;
    while at < text.len() {
        let n_backslashes = span(&text[at..], |it| it == b'\\');
        let end = at + n_backslashes;
        let is_end = text.as_bytes().get(end) == quote.as_bytes().last();
        // An even number of them before a plain quote are themselves escaped.
        let is_ours = n_backslashes + 1 == quote.len() || quote.len() == 1 && n_backslashes.is_multiple_of(2);
        if is_end && is_ours {
            return end + 1 - quote.len();
        }
        at = end + if end < text.len() { super::width_at(text, end) } else { 0 };
    }
    text.len()
}

/// Returns how long an object or list is; brackets inside texts do not count.
fn nested(text: &str) -> usize {
    let (mut depth, mut is_text, mut is_escaped) = (0_u32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => depth += 1,
            b'}' | b']' if !is_text => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Returns how long a value without quotes is: to the next blank or sign that parts values.
fn bare(text: &str) -> usize {
    let ends = |it: u8| it.is_ascii_whitespace() || b",;&}])\"'\\".contains(&it);
    let first = span(text, |it| !ends(it));
    if !SCHEMES.iter().any(|it| text[..first].eq_ignore_ascii_case(it)) {
        return first;
    }
    let blanks = span(&text[first..], |it| it == b' ');
    first + blanks + span(&text[first + blanks..], |it| !ends(it))
}
