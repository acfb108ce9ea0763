//! The description as a document and as a page. The page is whole in itself: what it loads, this server has.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;

/// Every path of `routes`.
pub const PATHS: [&str; 5] = ["/openapi.json", "/docs", "/docs/page.css", "/docs/page.js", "/redoc"];

const HTML: &str = include_str!("../../../resources/ui/docs.html");
const CSS: &str = include_str!("../../../resources/ui/docs.css");
const SCRIPT: &str = include_str!("../../../resources/ui/docs.js");

/// Nothing from elsewhere, no script or style in the page itself, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| super::description().to_string());

/// The document and the page.
pub fn routes() -> Router {
    Router::new()
        .route("/openapi.json", get(async || typed("application/json", DOCUMENT.as_str())))
        .route("/docs", get(async || typed("text/html; charset=utf-8", HTML)))
        .route("/redoc", get(async || typed("text/html; charset=utf-8", HTML)))
        .route("/docs/page.css", get(async || typed("text/css; charset=utf-8", CSS)))
        .route("/docs/page.js", get(async || typed("text/javascript; charset=utf-8", SCRIPT)))
}

fn typed(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (headers, text)
}
