//! The part of two long texts where they differ.

use crate::shown;

/// Longest text that is shown whole, in characters.
const CHARS_MAX: usize = 400;
/// Characters that are shown before the first difference.
const BEFORE: usize = 80;

/// Returns both texts, cut around their first difference when one of them is long.
pub(super) fn excerpts(a: &str, b: &str) -> (String, String) {
    let is_long = [a, b].iter().any(|it| it.chars().nth(CHARS_MAX).is_some());
    let common = if is_long { a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count() } else { 0 };
    let from = common.saturating_sub(BEFORE);
    (excerpt(a, from), excerpt(b, from))
}

/// Returns the beginning of a text, or all of it.
pub(super) fn beginning(text: &str) -> String {
    excerpt(text, 0)
}

/// The characters behind the first `from`, with how many are missing on either side.
fn excerpt(text: &str, from: usize) -> String {
    let at = text.char_indices().nth(from).map_or(text.len(), |(at, _)| at);
    let before = if from > 0 { format!("({} characters) …", text[..at].chars().count()) } else { String::new() };
    match shown::beginning(&text[at..], CHARS_MAX) {
        (shown, 0) => format!("{before}{shown}"),
        (shown, left) => format!("{before}{shown}… ({left} more characters)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_shown_where_they_differ() {
        let long = |n: usize, middle: &str, m: usize| format!("{}{middle}{}", "x".repeat(n), "y".repeat(m));
        let x = |n| "x".repeat(n);
        let y = |n| "y".repeat(n);
        for (a, b, expected) in [
            ("one".to_owned(), "two".to_owned(), ("one".to_owned(), "two".to_owned())),
            (
                long(1_000, "A", 500),
                long(1_000, "B", 10),
                (
                    format!("(920 characters) …{}A{}… (181 more characters)", x(80), y(319)),
                    format!("(920 characters) …{}B{}", x(80), y(10)),
                ),
            ),
            (x(500), "short".to_owned(), (format!("{}… (100 more characters)", x(400)), "short".to_owned())),
            (x(500), x(450), (format!("(370 characters) …{}", x(130)), format!("(370 characters) …{}", x(80)))),
        ] {
            assert_eq!(excerpts(&a, &b), expected);
        }
    }
}
