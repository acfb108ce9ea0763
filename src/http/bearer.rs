//! The static bearer token of a server that others can reach.

use std::fmt;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::error::Error;

/// The one route that says nothing about anything, so that a supervisor needs no token.
const OPEN_ROUTE: &str = "/health/live";

/// A token that callers must show. Only its digest is kept, so it cannot be printed.
#[derive(Clone)]
pub struct BearerToken {
    digest: [u8; 32],
    fits_header: bool,
}

impl BearerToken {
    /// Takes the token from a setting; [`BearerToken::check`] says whether it can be used.
    pub fn new(text: &str) -> Self {
        let fits_header = !text.is_empty() && text.bytes().all(|it| it.is_ascii_graphic());
        Self { digest: digest(text), fits_header }
    }

    /// Refuses a token that no caller could send. The message does not repeat it.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT`.
    pub fn check(&self) -> Result<(), Error> {
        if self.fits_header {
            return Ok(());
        }
        Err(Error::invalid("INVALID_INPUT", "the bearer token is empty or has blanks or special characters")
            .hint("set `DIPEO_TOKEN` to a long random text of letters and digits"))
    }

    /// Says whether `text` is the token, in a time that does not depend on how much of it is right.
    pub fn matches(&self, text: &str) -> bool {
        let given = digest(text);
        self.digest.iter().zip(given).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Passes on requests that show the token. Tokens in the address are not looked at: addresses end up in logs.
pub async fn check(State(token): State<Arc<BearerToken>>, request: Request, next: Next) -> Response {
    if request.uri().path() == OPEN_ROUTE {
        return next.run(request).await;
    }
    match given(request.headers()) {
        Some(text) if token.matches(text) => next.run(request).await,
        Some(_) => {
            refuse("the bearer token is not the one of this server", r#"Bearer realm="dipeo", error="invalid_token""#)
        }
        None => refuse("this server asks for a bearer token", r#"Bearer realm="dipeo""#),
    }
}

fn given(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = values.next()?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && values.next().is_none()).then(|| token.trim())
}

fn refuse(message: &str, challenge: &'static str) -> Response {
    let error =
        Error::refused("UNAUTHENTICATED", message).hint("send `Authorization: Bearer` and the server's `DIPEO_TOKEN`");
    let mut response = (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": error.to_json()}))).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_matches_and_nothing_prints_it() {
        let token = BearerToken::new("s3cret");
        assert!(token.matches("s3cret"));
        for wrong in ["", "s3cre", "s3cret ", "S3cret", "s3crets"] {
            assert!(!token.matches(wrong), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "BearerToken(…)");
    }

    #[test]
    fn a_token_that_cannot_stand_in_a_header_is_refused_without_repeating_it() {
        for bad in ["", "a b", "naïve", "a\n"] {
            let error = BearerToken::new(bad).check().expect_err("refused");
            assert!(bad.is_empty() || !error.message().contains(bad));
        }
    }

    #[test]
    fn the_token_is_read_from_one_bearer_header() {
        for (values, expected) in [
            (&["Bearer abc"][..], Some("abc")),
            (&["bearer  abc"], Some("abc")),
            (&["Basic abc"], None),
            (&["abc"], None),
            (&["Bearer a", "Bearer b"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(given(&headers), expected, "{values:?}");
        }
    }
}
