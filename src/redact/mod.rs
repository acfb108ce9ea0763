//! What must not stand in a log, whoever put it there: values of keys that name a secret, tokens and keys by their
//! form, and what identifies a person (platform.md 14). It goes by the text alone and knows no secret; what is
//! known is blotted out by [`crate::secret::Scrubber`] first.

mod forms;
mod pairs;

use std::borrow::Cow;

/// What stands in the place of a secret.
const REDACTED: &str = "[REDACTED]";

/// Returns `text` without secrets and personal data. JSON inside it stays JSON; text without any is not copied.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut clean: Option<String> = None;
    // Where what is not yet copied begins.
    let mut kept = 0;
    let mut at = 0;
    while at < text.len() {
        let found = pairs::find(text, at).or_else(|| forms::find(text, at));
        match found {
            Some(found) => {
                let clean = clean.get_or_insert_with(|| String::with_capacity(text.len()));
                clean.push_str(&text[kept..found.from]);
                clean.push_str(&found.instead);
                (at, kept) = (found.to, found.to);
            }
            None => at += width_at(text, at),
        }
    }
    match clean {
        None => Cow::Borrowed(text),
        Some(clean) => Cow::Owned(clean + &text[kept..]),
    }
}

/// A part of a text and what stands there instead.
struct Found {
    from: usize,
    to: usize,
    instead: Cow<'static, str>,
}

impl Found {
    fn new(from: usize, to: usize, instead: &'static str) -> Option<Self> {
        Some(Self { from, to, instead: Cow::Borrowed(instead) })
    }
}

/// How many bytes the character at `at` has.
fn width_at(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(1, char::len_utf8)
}

/// Whether a word could begin at `at`: nothing of a word stands before it.
fn begins_word(text: &str, at: usize) -> bool {
    !text[..at].chars().next_back().is_some_and(|it| it.is_ascii_alphanumeric() || it == '_')
}

/// Returns how many bytes from the beginning of `text` are of a kind.
fn span(text: &str, is_of_kind: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|it| is_of_kind(*it)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_or_looks_like_a_secret_goes_and_all_else_stays() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ";
        let token = "dpo_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
        let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQ\nIBADAN\n-----END PRIVATE KEY-----";
        let id = "exec_0123456789abcdef0123456789abcdef";
        for (text, expected) in [
            // The vectors of platform.md 14.
            ("1705326600", "1705326600"),
            ("call (555) 123-4567 now", "call [PHONE] now"),
            ("+1 555 123 4567", "[PHONE]"),
            ("Authorization: Bearer x", "Authorization: [REDACTED]"),
            (r#"{"password":"x"}"#, r#"{"password":"[REDACTED]"}"#),
            (id, id),
            // Keys, however they are spelt.
            ("password=hunter2&a=1", "password=[REDACTED]&a=1"),
            ("API-Key: abc, next", "API-Key: [REDACTED], next"),
            ("DIPEO_TOKEN=abc def", "DIPEO_TOKEN=[REDACTED] def"),
            ("client_secret = 'a b' and", "client_secret = '[REDACTED]' and"),
            (r#"{"api_key": 12, "b": 1}"#, r#"{"api_key": "[REDACTED]", "b": 1}"#),
            (r#"{"cookie":{"a":"}"},"b":[1]}"#, r#"{"cookie":"[REDACTED]","b":[1]}"#),
            (r#"{"token":["a","b"]}"#, r#"{"token":"[REDACTED]"}"#),
            (r#"{"a":"{\"password\":\"x\\\"y\"}"}"#, r#"{"a":"{\"password\":\"[REDACTED]\"}"}"#),
            (r#"{"password":"never ends"#, r#"{"password":"[REDACTED]"#),
            ("authorization=Basic YTpi rest", "authorization=[REDACTED] rest"),
            // Words that only contain such a key, and keys without a value.
            ("max_tokens=12 tokens: 4", "max_tokens=12 tokens: 4"),
            ("the token is wrong; passwords: none", "the token is wrong; passwords: none"),
            ("secretary=x password", "secretary=x password"),
            ("password=", "password="),
            // Forms.
            ("sent with bearer abc.def-1", "sent with bearer [REDACTED]"),
            ("a bearer of news", "a bearer of news"),
            ("Incorrect key sk-proj-abcdefgh given", "Incorrect key [REDACTED] given"),
            ("task-force and sk-1", "task-force and sk-1"),
            (jwt, "[REDACTED]"),
            (token, "[REDACTED]"),
            ("dpo_short", "dpo_short"),
            (pem, "[REDACTED]"),
            // Persons.
            ("ask ada.l+x@mail.example.org.", "ask [EMAIL]."),
            ("@ada or a@b", "@ada or a@b"),
            ("4111 1111 1111 1111", "[CARD]"),
            ("4111-1111-1111-1111,", "[CARD],"),
            ("4111111111111112", "4111111111111112"),
            ("x4111111111111111", "x4111111111111111"),
            ("123-45-6789", "[SSN]"),
            ("555.123.4567", "[PHONE]"),
            // What looks a little like them.
            ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z"),
            ("127.0.0.1:8000 and 10.11.12.13", "127.0.0.1:8000 and 10.11.12.13"),
            ("version 0.1.0 of 2026-11-21", "version 0.1.0 of 2026-11-21"),
            ("550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"),
            ("ü password: ü ü", "ü password: [REDACTED] ü"),
        ] {
            assert_eq!(redact(text), expected, "{text}");
        }
    }

    #[test]
    fn json_stays_json_and_is_clean_the_second_time() {
        for text in [
            r#"{"password":"a\\","x":1}"#,
            r#"{"a":{"Private-Key":null},"mail":"a@example.org","n":4111111111111111}"#,
            r#"[{"set_cookie":"a=b; c"},{"authorization":"Bearer abc"}]"#,
        ] {
            let clean = redact(text).into_owned();
            // Only a number that was a card is no JSON any more where it stood bare.
            let is_json = |it: &str| serde_json::from_str::<serde_json::Value>(it).is_ok();
            assert!(is_json(&clean.replace("[CARD]", "0")), "{clean}");
            assert_eq!(redact(&clean), clean);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_strange(text in "(\\PC|password|[\"\\\\:={}\\[\\]@+. -]|[0-9]{1,6}|sk-|eyJ|bearer ){0,40}") {
            // Cut in the middle of a character it would panic; and what was clean once is not longer the second time.
            let clean = redact(&text).into_owned();
            proptest::prop_assert!(redact(&clean).len() <= clean.len());
        }
    }
}
