//! `X-Request-Id`: the name under which a request stands in the logs of everybody it passed through. A client's own
//! is kept; one that asks for none gets a fresh one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header, in and out.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that is taken over, in bytes: a few times what proxies send.
const BYTES_MAX: usize = 128;

/// The name that a request came with, if it is one and harmless, else a new one.
pub fn of(headers: &HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(X_REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(id), None) if is_harmless(id.as_bytes()) => id.clone(),
        _ => fresh(),
    }
}

fn is_harmless(id: &[u8]) -> bool {
    let is_plain = |it: &u8| it.is_ascii_alphanumeric() || b"_.:-".contains(it);
    !id.is_empty() && id.len() <= BYTES_MAX && id.iter().all(is_plain)
}

/// Random for the process, counted within it: no question to the system for each request.
fn fresh() -> HeaderValue {
    static PROCESS: OnceLock<String> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let process = PROCESS.get_or_init(|| Uuid::new_v4().simple().to_string()[..16].to_owned());
    let id = format!("req_{process}{:08x}", NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(id).expect("letters and digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harmless_name_is_kept_and_anything_else_gets_a_new_one() {
        let long = "a".repeat(129);
        for (given, is_kept) in [
            (&["abc-1.2:3_x"][..], true),
            (&["abc-1.2:3"], true),
            (&["550e8400-e29b-41d4-a716-446655440000"], true),
            (&[], false),
            (&[""], false),
            (&["a b"], false),
            (&["a\"b"], false),
            (&[&long], false),
            (&["a", "b"], false),
        ] {
            let mut headers = HeaderMap::new();
            for it in given {
                headers.append(X_REQUEST_ID, it.parse().expect("a value"));
            }
            let id = of(&headers);
            let text = id.to_str().expect("text");
            if is_kept {
                assert_eq!(text, given[0]);
            } else {
                assert!(text.starts_with("req_") && text.len() == 28, "{given:?}: {text}");
            }
        }
        assert_ne!(fresh(), fresh());
    }
}
