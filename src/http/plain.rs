//! The routes every server has: what it is, whether it lives, and what to answer where nothing is.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::config::{HttpConfig, Readiness, VitalSigns, Vitals};
use super::error_body::error_response;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::handlers::readiness;
use crate::nearest::nearest;

/// Paths of this file.
pub(super) const OWN_ROUTES: [&str; 4] = ["/", "/health", "/health/live", "/health/ready"];

#[derive(Clone)]
struct Plain {
    routes: Arc<[&'static str]>,
    /// Other paths that there are.
    hints: Arc<[&'static str]>,
    readiness: Option<Readiness>,
    vitals: Option<Vitals>,
    stop: CancellationToken,
}

/// `GET /`, `/health`, `/health/live`, `/health/ready` and the answer for every other path.
pub fn routes(config: &HttpConfig, stop: CancellationToken) -> Router {
    let routes = OWN_ROUTES.into_iter().chain(config.routes.iter().copied()).collect();
    let hints = config.hints.as_slice().into();
    let (readiness, vitals) = (config.readiness.clone(), config.vitals.clone());
    Router::new()
        .route("/", get(about))
        .route("/health", get(health))
        .route("/health/live", get(async || Json(json!({"status": "alive"}))))
        .route("/health/ready", get(ready))
        .fallback(not_found)
        .with_state(Plain { routes, hints, readiness, vitals, stop })
}

async fn about(State(plain): State<Plain>) -> Response {
    Json(json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "description": env!("CARGO_PKG_DESCRIPTION"),
        "links": *plain.routes,
    }))
    .into_response()
}

/// Answers without asking anybody, so that a probe costs nothing and nothing that hangs holds it up.
async fn health(State(plain): State<Plain>) -> Response {
    let signs = plain.vitals.map(|it| it());
    let is_whole = signs.is_none_or(|it| it.keeps_house && it.offers_tools) && !plain.stop.is_cancelled();
    let status = if is_whole { "healthy" } else { "degraded" };
    let checks = signs.map_or_else(|| json!({}), checks);
    let signs = signs.unwrap_or_default();
    Json(json!({
        "status": status,
        "service": "dipeo-server",
        "version": env!("CARGO_PKG_VERSION"),
        "timestamp": SystemClock.now().to_rfc3339(),
        "active_sessions": signs.n_running,
        "active_sse_connections": signs.n_streams,
        "checks": checks,
        // The tool servers that are enabled.
        "services": {},
    }))
    .into_response()
}

/// What is known without asking, in the words of `/health/ready`.
fn checks(signs: VitalSigns) -> Value {
    let word = |is_fine: bool, otherwise: &'static str| if is_fine { "ok" } else { otherwise };
    json!({"scheduler": word(signs.keeps_house, "stopped"), "tools": word(signs.offers_tools, "none")})
}

async fn ready(State(plain): State<Plain>) -> Response {
    if plain.stop.is_cancelled() {
        let body = json!({"status": readiness::Readiness::NotReady, "checks": {"server": "draining"}});
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    let Some(ask) = &plain.readiness else {
        return Json(json!({"status": readiness::Readiness::Ready, "checks": {}})).into_response();
    };
    let found = ask().await;
    let status = match found.status {
        readiness::Readiness::Ready | readiness::Readiness::Degraded => StatusCode::OK,
        readiness::Readiness::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(found)).into_response()
}

async fn not_found(State(plain): State<Plain>, uri: Uri) -> Response {
    let all: Vec<&'static str> = plain.routes.iter().chain(&*plain.hints).copied().collect();
    error_response(&no_route(uri.path(), &all))
}

fn no_route(path: &str, routes: &[&'static str]) -> Error {
    let shown: String = path.chars().take(80).collect();
    let hint = match closest(path, routes) {
        Some(near) => format!("the closest route is `{near}`"),
        None => "`GET /` lists the routes".to_owned(),
    };
    Error::not_found("ROUTE_NOT_FOUND", format!("there is no route `{shown}`")).hint(hint)
}

/// Returns the route spelt nearly like `path`, else the longest one that `path` lies below.
fn closest<'a>(path: &str, routes: &[&'a str]) -> Option<&'a str> {
    let above = || {
        let is_above = |it: &&&str| path.strip_prefix(**it).is_some_and(|rest| it.len() > 1 && rest.starts_with('/'));
        routes.iter().filter(is_above).max_by_key(|it| it.len()).copied()
    };
    nearest(path, routes.iter().copied()).or_else(above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_route_names_the_closest() {
        let routes = ["/", "/health", "/health/ready", "/mcp", "/mcp/info"];
        for (path, expected) in [
            ("/heatlh", "the closest route is `/health`"),
            ("/mcp/inof", "the closest route is `/mcp/info`"),
            ("/mcp/some/tool", "the closest route is `/mcp`"),
            ("/health/ready/now", "the closest route is `/health/ready`"),
            ("/something/else", "`GET /` lists the routes"),
        ] {
            assert_eq!(no_route(path, &routes).hint_text(), Some(expected), "{path}");
        }
    }
}
