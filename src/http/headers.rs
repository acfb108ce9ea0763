//! The headers of every answer: what browsers may do with it, and which request it answers (platform.md 2).

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

use super::error_body::REQUEST_ID;

/// Longest name of a request that is taken over, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// Paths whose answers are of one moment and one caller.
const NEVER_STORED: [&str; 3] = ["/api/", "/mcp", "/sessions"];

const OF_EVERY_ANSWER: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin")),
];
/// For what has no stricter rule of its own.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'");
/// One year.
const SECURE: HeaderValue = HeaderValue::from_static("max-age=31536000");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What the headers depend on.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    /// The world reaches this server by `https`.
    pub is_secure: bool,
}

/// A request with a name.
pub struct Named {
    headers: Headers,
    request_id: Option<HeaderValue>,
    is_never_stored: bool,
}

impl Headers {
    /// Gives a request a name, unless it has one. Messages of MCP have ids of their own.
    pub fn named(self, request: &mut Request) -> Named {
        let path = request.uri().path();
        let is_never_stored = NEVER_STORED.iter().any(|it| path.starts_with(it));
        let wants_name = !path.starts_with("/mcp");
        let name = HeaderName::from_static(REQUEST_ID);
        let given = request.headers().get(&name).filter(|it| is_name(it.as_bytes())).cloned();
        let request_id = given.or_else(|| wants_name.then(new_name).flatten());
        match &request_id {
            Some(id) => drop(request.headers_mut().insert(name, id.clone())),
            None => drop(request.headers_mut().remove(name)),
        }
        Named { headers: self, request_id, is_never_stored }
    }
}

fn is_name(bytes: &[u8]) -> bool {
    let is_plain = |it: &u8| it.is_ascii_alphanumeric() || b"-_.:".contains(it);
    (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_plain)
}

fn new_name() -> Option<HeaderValue> {
    HeaderValue::from_str(&uuid::Uuid::new_v4().simple().to_string()).ok()
}

impl Named {
    /// Puts the headers on the answer to this request.
    pub fn dressed(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        for (name, value) in OF_EVERY_ANSWER {
            headers.insert(name, value);
        }
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(POLICY);
        if self.headers.is_secure {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, SECURE);
        }
        if self.is_never_stored {
            headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
        }
        if let Some(id) = self.request_id {
            headers.insert(HeaderName::from_static(REQUEST_ID), id);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn answered(path: &str, given: Option<&'static str>, is_secure: bool) -> Response {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().expect("a path");
        if let Some(given) = given {
            request.headers_mut().insert(REQUEST_ID, HeaderValue::from_static(given));
        }
        let named = Headers { is_secure }.named(&mut request);
        assert_eq!(request.headers().get(REQUEST_ID), named.request_id.as_ref(), "{path}");
        named.dressed(Response::new(Body::empty()))
    }

    #[test]
    fn every_answer_has_the_headers_that_protect_browsers() {
        for (path, is_stored) in [("/", true), ("/docs", true), ("/api/v1/diagrams", false), ("/mcp", false)] {
            let response = answered(path, None, false);
            let header = |name: &str| response.headers().get(name).and_then(|it| it.to_str().ok());
            assert_eq!(header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(header("x-frame-options"), Some("DENY"), "{path}");
            assert_eq!(header("cache-control"), (!is_stored).then_some("no-store"), "{path}");
            assert_eq!(header("strict-transport-security"), None, "{path}");
        }
        let response = answered("/", None, true);
        assert!(response.headers().contains_key("strict-transport-security"));
    }

    #[test]
    fn a_request_keeps_its_name_or_gets_one() {
        let name = |path: &str, given| {
            let response = answered(path, given, false);
            response.headers().get(REQUEST_ID).map(|it| it.to_str().expect("text").to_owned())
        };
        assert_eq!(name("/", Some("a-1")).as_deref(), Some("a-1"));
        assert_eq!(name("/mcp", Some("a-1")).as_deref(), Some("a-1"));
        assert_eq!(name("/mcp", None), None);
        for given in [None, Some(""), Some("a b"), Some("<script>")] {
            assert_eq!(name("/", given).map(|it| it.len()), Some(32), "{given:?}");
        }
    }
}
