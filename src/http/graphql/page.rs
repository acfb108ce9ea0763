//! The page at `GET /graphql`: a document, its variables, the answer, the operations there are. It is made of three
//! files in the program, asks nobody but this server, and runs no script from anywhere else.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::error::Error;
use crate::http::error_body::error_response;

const HTML: &str = include_str!("../../../resources/ui/graphql.html");
const SCRIPT: &str = include_str!("../../../resources/ui/graphql.js");
const STYLE: &str = include_str!("../../../resources/ui/graphql.css");

/// Nothing from elsewhere, nothing written into the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The files beside the page.
pub fn routes() -> Router {
    Router::new()
        .route("/graphql/page.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/graphql/page.css", get(async || file("text/css; charset=utf-8", STYLE)))
}

/// The page, where it is open.
pub fn show(is_open: bool) -> Response {
    if is_open {
        return file("text/html; charset=utf-8", HTML);
    }
    let error = Error::not_found("ROUTE_NOT_FOUND", "there is no page here in production")
        .hint("post operations, or open a WebSocket with the protocol `graphql-transport-ws`");
    error_response(&error)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_brings_nothing_from_elsewhere_and_no_script_of_its_own() {
        for (name, text) in [("html", HTML), ("js", SCRIPT), ("css", STYLE)] {
            for word in ["http://", "https://", "//cdn", "@import", "eval(", "innerHTML", "document.write"] {
                assert!(!text.contains(word), "{name} has `{word}`");
            }
        }
        assert_eq!(HTML.matches("<script").count(), 1);
        assert!(HTML.contains("<script src=\"/graphql/page.js\""));
        for word in [" style=", "<style", " onclick", "javascript:"] {
            assert!(!HTML.contains(word), "{word}");
        }
    }
}
