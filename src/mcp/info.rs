//! Plain pages about the endpoint, for people and scripts without an MCP client.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use rmcp::model::{ProtocolVersion, Resource, Tool};
use serde_json::{Value, json};

use super::diagram_tools::tools_of;
use super::{answer, resources};
use crate::error::Error;
use crate::handlers::caller::{Door, Identity};
use crate::handlers::{App, Caller};

#[derive(Clone)]
struct Pages {
    app: Arc<App>,
    needs_token: bool,
}

/// `GET /mcp/info`, `/mcp/tools` and `/mcp/resources`.
pub fn routes(app: Arc<App>, needs_token: bool) -> Router {
    Router::new()
        .route("/mcp/info", get(about))
        .route("/mcp/tools", get(list_tools))
        .route("/mcp/resources", get(list_resources))
        .with_state(Pages { app, needs_token })
}

async fn about(State(pages): State<Pages>, identity: Option<Extension<Identity>>) -> Response {
    let method = if pages.needs_token || identity.is_some() { "bearer" } else { "none" };
    let caller = pages.caller(identity);
    match pages.listed(&caller).await {
        Ok((resources, tools)) => Json(describe(&resources, &tools, method)).into_response(),
        Err(error) => failure(&error),
    }
}

impl Pages {
    /// Whom the HTTP server recognised, else the owner.
    fn caller(&self, identity: Option<Extension<Identity>>) -> Caller {
        let identity = identity.map_or_else(Identity::owner, |it| it.0);
        Caller::client(identity.limited_to(self.app.client_scopes()), Door::Http)
    }

    async fn listed(&self, caller: &Caller) -> Result<(Vec<Resource>, Vec<Tool>), Error> {
        Ok((resources::list(&self.app, caller).await?, tools_of(&self.app, caller)?))
    }
}

async fn list_tools(State(pages): State<Pages>, identity: Option<Extension<Identity>>) -> Response {
    match tools_of(&pages.app, &pages.caller(identity)) {
        Ok(tools) => Json(json!({"tools": tools})).into_response(),
        Err(error) => failure(&error),
    }
}

fn describe(listed: &[Resource], tools: &[Tool], authentication: &str) -> Value {
    let versions: Vec<&str> = ProtocolVersion::KNOWN_VERSIONS.iter().map(ProtocolVersion::as_str).collect();
    let tools: Vec<Value> = tools.iter().map(|it| json!({"name": it.name, "description": it.description})).collect();
    let resources: Vec<Value> =
        listed.iter().map(|it| json!({"uri": it.uri, "name": it.name, "description": it.description})).collect();
    json!({
        "server": {
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "description": env!("CARGO_PKG_DESCRIPTION"),
        },
        "protocol": {
            "version": ProtocolVersion::LATEST.as_str(),
            "versions": versions,
            "transport": "streamable-http",
        },
        "endpoints": {
            "mcp": "/mcp",
            "messages": "/mcp/messages",
            "info": "/mcp/info",
            "tools": "/mcp/tools",
            "resources": "/mcp/resources",
        },
        "authentication": {"method": authentication},
        "capabilities": {"tools": tools.len(), "resources": resources.len()},
        "tools": tools,
        "resources": resources,
    })
}

async fn list_resources(State(pages): State<Pages>, identity: Option<Extension<Identity>>) -> Response {
    match resources::list(&pages.app, &pages.caller(identity)).await {
        Ok(all) => Json(json!({"resources": all, "resource_templates": resources::templates()})).into_response(),
        Err(error) => failure(&error),
    }
}

fn failure(error: &Error) -> Response {
    answer::log(error);
    let status = StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({"error": error.to_json()}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::tools;

    #[test]
    fn the_page_counts_what_it_lists() {
        let page = describe(&[], tools::all(), "none");
        assert_eq!(page["capabilities"], json!({"tools": 6, "resources": 0}));
        assert_eq!(page["tools"][0]["name"], "dipeo_run");
        assert_eq!(page["protocol"]["version"], "2026-07-28");
        assert_eq!(page["authentication"]["method"], "none");
    }
}
