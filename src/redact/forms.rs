//! Secrets and personal data by their form, wherever they stand.

use super::{Found, REDACTED, begins_word, span};

/// Finds what begins at `at` and has the form of something that must not be shown.
pub(super) fn find(text: &str, at: usize) -> Option<Found> {
    if !begins_word(text, at) {
        return None;
    }
    let rest = &text[at..];
    match rest.as_bytes()[0] {
        b'b' | b'B' => {
            bearer(rest).and_then(|(from, to)| Found::new(at + from, at + to, REDACTED)).or_else(|| email(text, at))
        }
        b'-' => pem(rest).and_then(|to| Found::new(at, at + to, REDACTED)),
        b'+' | b'(' => phone(rest).and_then(|to| Found::new(at, at + to, "[PHONE]")),
        b'0'..=b'9' => number(text, at).or_else(|| email(text, at)),
        b'_' => email(text, at),
        it if it.is_ascii_alphabetic() => {
            key(rest).and_then(|to| Found::new(at, at + to, REDACTED)).or_else(|| email(text, at))
        }
        _ => None,
    }
}

fn is_token(it: u8) -> bool {
    it.is_ascii_alphanumeric() || b"-._~+/=".contains(&it)
}

/// `Bearer abc`: a token has a digit or a sign in it, or follows no prose.
fn bearer(rest: &str) -> Option<(usize, usize)> {
    const WORD: &str = "bearer ";
    if !rest.get(..WORD.len()).is_some_and(|it| it.eq_ignore_ascii_case(WORD)) {
        return None;
    }
    let token = &rest[WORD.len()..];
    let length = span(token, is_token);
    let has_sign = token[..length].bytes().any(|it| !it.is_ascii_alphabetic());
    (length > 0 && (has_sign || length >= 16)).then_some((WORD.len(), WORD.len() + length))
}

/// Keys that begin with who made them, and signed tokens.
fn key(rest: &str) -> Option<usize> {
    let word = |it: u8| it.is_ascii_alphanumeric() || it == b'_' || it == b'-';
    for (prefix, bytes_min) in [("sk-", 8), ("dpo_", 20), ("xai-", 16), ("AIza", 20)] {
        if let Some(after) = rest.strip_prefix(prefix) {
            let length = span(after, word);
            return (length >= bytes_min).then_some(prefix.len() + length);
        }
    }
    if !rest.starts_with("eyJ") {
        return None;
    }
    let mut end = 0;
    for part in 0..3 {
        let length = span(&rest[end..], word);
        if length == 0 {
            return None;
        }
        end += length;
        if part < 2 {
            if rest.as_bytes().get(end) != Some(&b'.') {
                return None;
            }
            end += 1;
        }
    }
    Some(end)
}

/// A block of a key or certificate; one that does not end goes to the end of the text.
fn pem(rest: &str) -> Option<usize> {
    if !rest.starts_with("-----BEGIN ") {
        return None;
    }
    const END: &str = "-----END ";
    let Some(end) = rest.find(END) else { return Some(rest.len()) };
    let label = &rest[end + END.len()..];
    Some(label.find("-----").map_or(rest.len(), |it| end + END.len() + it + "-----".len()))
}

/// `local@name.tld`, from the beginning of the local part.
fn email(text: &str, at: usize) -> Option<Found> {
    let is_local = |it: u8| it.is_ascii_alphanumeric() || b"._%+-".contains(&it);
    // The whole local part is taken at its beginning, or not at all.
    if text[..at].bytes().next_back().is_some_and(is_local) {
        return None;
    }
    let rest = &text[at..];
    let local = span(rest, is_local);
    if rest.as_bytes().get(local) != Some(&b'@') {
        return None;
    }
    let after = &rest[local + 1..];
    let host =
        after[..span(after, |it| it.is_ascii_alphanumeric() || it == b'.' || it == b'-')].trim_end_matches(['.', '-']);
    let top = host.rsplit_once('.')?.1;
    let is_name = top.len() >= 2 && top.bytes().all(|it| it.is_ascii_alphabetic());
    if is_name { Found::new(at, at + local + 1 + host.len(), "[EMAIL]") } else { None }
}

/// A social security number, a phone number or a card, which all begin with a digit.
fn number(text: &str, at: usize) -> Option<Found> {
    // Parts of dates, versions, addresses and identifiers are not looked at by themselves.
    if text[..at].ends_with(['-', '.', ':', '/']) {
        return None;
    }
    let rest = &text[at..];
    ssn(rest)
        .and_then(|to| Found::new(at, at + to, "[SSN]"))
        .or_else(|| card(rest).and_then(|to| Found::new(at, at + to, "[CARD]")))
        .or_else(|| phone(rest).and_then(|to| Found::new(at, at + to, "[PHONE]")))
}

/// Most groups of digits that are looked at: a card has at most six.
const GROUPS_MAX: usize = 8;
/// What is looked at of a phone number with a plus, in bytes.
const PHONE_BYTES_MAX: usize = 32;

/// The groups of digits at the beginning, and what stands between them: one blank, hyphen or point each.
fn groups(rest: &str) -> (Vec<usize>, Vec<u8>, usize) {
    let (mut sizes, mut signs, mut end) = (Vec::new(), Vec::new(), 0);
    loop {
        let size = span(&rest[end..], |it| it.is_ascii_digit());
        if size == 0 {
            // The sign before what is no digit belongs to the text around.
            signs.pop();
            return (sizes, signs, end.saturating_sub(1));
        }
        sizes.push(size);
        end += size;
        match rest.as_bytes().get(end) {
            Some(sign) if b" -.".contains(sign) && sizes.len() < GROUPS_MAX => signs.push(*sign),
            _ => return (sizes, signs, end),
        }
        end += 1;
    }
}

/// Whether nothing of a word or number follows.
fn ends_at(rest: &str, end: usize) -> bool {
    !rest.as_bytes().get(end).is_some_and(|it| it.is_ascii_alphanumeric() || *it == b'_')
}

fn ssn(rest: &str) -> Option<usize> {
    let (sizes, signs, end) = groups(rest);
    (sizes == [3, 2, 4] && signs == *b"--" && ends_at(rest, end)).then_some(end)
}

/// 13 to 19 digits whose check digit is right, in one piece or in groups with the same sign between them.
fn card(rest: &str) -> Option<usize> {
    let (sizes, signs, end) = groups(rest);
    let is_grouped = sizes.len() == 1 || sizes.len() >= 3 && sizes.iter().all(|it| (3..=6).contains(it));
    let is_even = signs.windows(2).all(|it| it[0] == it[1]) && !signs.contains(&b'.');
    let digits: Vec<u8> = rest[..end].bytes().filter(u8::is_ascii_digit).map(|it| it - b'0').collect();
    let is_card = is_grouped && is_even && (13..=19).contains(&digits.len()) && has_check_digit(&digits);
    (is_card && ends_at(rest, end)).then_some(end)
}

/// The test of Luhn.
fn has_check_digit(digits: &[u8]) -> bool {
    let doubled = |it: u8| if it > 4 { it * 2 - 9 } else { it * 2 };
    let sum: u32 =
        digits.iter().rev().enumerate().map(|(n, it)| u32::from(if n % 2 == 1 { doubled(*it) } else { *it })).sum();
    sum.is_multiple_of(10)
}

/// `+1 555 123 4567`, `(555) 123-4567`, `555-123-4567`: international with a plus, or the ten digits that are
/// written in three groups.
fn phone(rest: &str) -> Option<usize> {
    if let Some(after) = rest.strip_prefix('+') {
        let after = &after[..after.floor_char_boundary(PHONE_BYTES_MAX)];
        let plain = after.replace(['(', ')'], "");
        let n_brackets = after.len() - plain.len();
        let (sizes, _, end) = groups(&plain);
        let n_digits: usize = sizes.iter().sum();
        // Brackets are rare behind a plus: they are counted in when they stand inside the number.
        let inside = after.bytes().take(end + n_brackets).filter(|it| b"()".contains(it)).count();
        let end = end + inside;
        return ((8..=15).contains(&n_digits) && ends_at(after, end)).then_some(1 + end);
    }
    if let Some(after) = rest.strip_prefix('(') {
        let (area, behind) = after.split_at_checked(3)?;
        let number = behind.strip_prefix(") ").or_else(|| behind.strip_prefix(')'))?;
        let (sizes, _, end) = groups(number);
        let is_phone = area.bytes().all(|it| it.is_ascii_digit()) && sizes == [3, 4] && ends_at(number, end);
        return is_phone.then(|| rest.len() - number.len() + end);
    }
    let (sizes, signs, end) = groups(rest);
    let is_even = signs.windows(2).all(|it| it[0] == it[1]);
    let is_phone = matches!(sizes.as_slice(), [3, 3, 4] | [1, 3, 3, 4]) && is_even;
    (is_phone && ends_at(rest, end)).then_some(end)
}
