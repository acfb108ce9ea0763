//! `GET /metrics`: what there is to know of this server in numbers, as Prometheus text or as JSON.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};

use super::error_body::error_response;
use crate::handlers::caller::{Door, Identity};
use crate::handlers::{App, Caller, server_metrics};

/// The path of this file.
pub const ROUTE: &str = "/metrics";
/// The version of the text format that every Prometheus reads.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The route, for clients that may read executions.
pub fn router(app: Arc<App>) -> Router {
    Router::new().route(ROUTE, get(metrics)).with_state(app)
}

async fn metrics(State(app): State<Arc<App>>, identity: Option<Extension<Identity>>, headers: HeaderMap) -> Response {
    let identity = identity.map_or_else(Identity::owner, |it| it.0).limited_to(app.client_scopes());
    let caller = Caller::client(identity, Door::Http);
    match server_metrics::server_metrics(&app, &caller, server_metrics::Request {}).await {
        Ok(families) if wants_json(&headers) => Json(families).into_response(),
        Ok(families) => ([(header::CONTENT_TYPE, TEXT)], families.to_text()).into_response(),
        Err(error) => {
            tracing::warn!(code = error.code(), "metrics cannot be told: {}", error.chain());
            error_response(&error)
        }
    }
}

/// Whoever takes text as well, as Prometheus does, gets text.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok()).collect();
    let names = |kind: &str| {
        let kinds = accepted.iter().flat_map(|it| it.split(',')).filter_map(|it| it.split(';').next());
        kinds.map(str::trim).any(|it| it.eq_ignore_ascii_case(kind))
    };
    names("application/json") && !names("text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_those_who_ask_for_it_alone() {
        for (accept, expected) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8, */*;q=0.1"), true),
            (Some("text/plain;q=0.5, application/json"), false),
            (Some("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|it| (header::ACCEPT, it.parse().expect("a value"))));
            assert_eq!(wants_json(&headers), expected, "{accept:?}");
        }
    }
}
