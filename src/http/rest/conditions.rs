//! The headers that make a request depend on what the client has seen: `If-None-Match`, `If-Match`,
//! `Idempotency-Key`.

use axum::http::{HeaderMap, HeaderName, header};

use crate::error::Error;
use crate::handlers::save_diagram::Expected;

/// Longest idempotency key, in characters.
const KEY_CHARS_MAX: usize = 255;
/// The header of the key.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What a request depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The states that the client has.
    if_none_match: Vec<String>,
    /// The state that is to be changed.
    if_match: Option<String>,
    pub idempotency_key: Option<String>,
}

impl Conditions {
    /// Reads the headers.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for a header that holds something else.
    pub fn read(headers: &HeaderMap) -> Result<Self, Error> {
        let if_none_match = texts(headers, &header::IF_NONE_MATCH)?;
        let if_match = texts(headers, &header::IF_MATCH)?;
        let key = texts(headers, &HeaderName::from_static(IDEMPOTENCY_KEY))?;
        Ok(Self {
            if_none_match: if_none_match.iter().flat_map(|it| it.split(',')).map(|it| opaque(it).to_owned()).collect(),
            if_match: one("If-Match", if_match)?.map(|it| opaque(&it).to_owned()),
            idempotency_key: one("Idempotency-Key", key)?.map(checked_key).transpose()?,
        })
    }

    /// Whether the client has this state already.
    pub fn has(&self, tag: &str) -> bool {
        self.if_none_match.iter().any(|it| it == "*" || it == opaque(tag))
    }

    /// What a change counts on.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for an `If-Match` that no answer gave.
    pub fn expected(&self) -> Result<Expected, Error> {
        let Some(tag) = self.if_match.as_deref().filter(|it| *it != "*") else { return Ok(Expected::Anything) };
        // What was read in another format is the same revision.
        let digits = tag.split('-').next().unwrap_or_default();
        digits.parse().map(Expected::Revision).map_err(|_| {
            Error::invalid("INVALID_INPUT", "`If-Match` holds no revision")
                .hint("send the `ETag` that came with the diagram, such as `\"3\"`")
        })
    }
}

fn texts(headers: &HeaderMap, name: &HeaderName) -> Result<Vec<String>, Error> {
    let text = |value: &axum::http::HeaderValue| {
        value.to_str().map(|it| it.trim().to_owned()).map_err(|_| {
            Error::invalid("INVALID_INPUT", format!("the header `{name}` is no text")).hint("write it in ASCII")
        })
    };
    headers.get_all(name).iter().map(text).collect()
}

fn one(name: &str, mut all: Vec<String>) -> Result<Option<String>, Error> {
    if all.len() > 1 || all.iter().any(|it| name == "If-Match" && it.contains(',')) {
        return Err(Error::invalid("INVALID_INPUT", format!("`{name}` stands there more than once"))
            .hint("send it once, with one value"));
    }
    Ok(all.pop())
}

/// The text between the quotes.
fn opaque(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

fn checked_key(key: String) -> Result<String, Error> {
    if (1..=KEY_CHARS_MAX).contains(&key.chars().count()) {
        return Ok(key);
    }
    Err(Error::invalid("INVALID_INPUT", "`Idempotency-Key` is empty or too long")
        .hint(format!("send a text of 1 to {KEY_CHARS_MAX} characters, another one for each thing to start")))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(headers: &[(&'static str, &'static str)]) -> Result<Conditions, Error> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        Conditions::read(&map)
    }

    #[test]
    fn a_tag_is_told_from_others_however_it_is_quoted() {
        for (header, tag, expected) in [
            ("\"3\"", "3", true),
            ("W/\"3\"", "3", true),
            ("\"2\", \"3\"", "3", true),
            ("*", "3", true),
            ("\"2\"", "3", false),
            ("", "3", false),
        ] {
            assert_eq!(read(&[("if-none-match", header)]).expect("read").has(tag), expected, "{header}");
        }
        assert!(!read(&[]).expect("read").has("3"));
    }

    #[test]
    fn a_change_counts_on_a_revision_or_on_nothing() {
        for (header, expected) in [
            ("\"3\"", Some(Expected::Revision(3))),
            ("\"3-native\"", Some(Expected::Revision(3))),
            ("3", Some(Expected::Revision(3))),
            ("*", Some(Expected::Anything)),
            ("\"x\"", None),
            ("\"-3\"", None),
        ] {
            let found = read(&[("if-match", header)]).and_then(|it| it.expected());
            assert_eq!(found.ok(), expected, "{header}");
        }
        assert_eq!(read(&[]).expect("read").expected().ok(), Some(Expected::Anything));
        for twice in [&[("if-match", "\"1\""), ("if-match", "\"2\"")][..], &[("if-match", "\"1\", \"2\"")]] {
            assert_eq!(read(twice).expect_err("two").code(), "INVALID_INPUT");
        }
    }

    #[test]
    fn a_key_is_a_text_of_bounded_length() {
        assert_eq!(read(&[("idempotency-key", "k-1")]).expect("read").idempotency_key.as_deref(), Some("k-1"));
        assert_eq!(read(&[("idempotency-key", "")]).expect_err("empty").code(), "INVALID_INPUT");
        assert_eq!(
            read(&[("idempotency-key", "a"), ("idempotency-key", "b")]).expect_err("two").code(),
            "INVALID_INPUT"
        );
        assert!(checked_key("x".repeat(256)).is_err() && checked_key("x".repeat(255)).is_ok());
    }
}
