//! MCP over HTTP as a router: the endpoint of both eras and a few plain pages about it. It must not know the
//! server it is put into; limits, authentication and CORS are that server's.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use axum::{Json, Router};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::info;
use super::json_errors::json_errors;
use super::scopes;
use super::server::McpServer;
use super::subscriptions::narrow_http;
use crate::error::Error;
use crate::handlers::App;
use crate::limits::{MCP_BODY_BYTES_MAX, SESSIONS_MAX};

/// Every path of [`router`].
pub const ROUTES: &[&str] = &["/mcp", "/mcp/messages", "/mcp/info", "/mcp/tools", "/mcp/resources"];

/// What the endpoint has to know of the server it is mounted in.
#[derive(Clone, Debug)]
pub struct McpConfig {
    /// Names that requests may address this server by: the complete list, loopback names included.
    pub hosts: Vec<String>,
    /// Origins of pages that may call it, with a port or `:*`: the complete list.
    pub origins: Vec<String>,
    /// Whether the server asks for a bearer token; only said in `/mcp/info`.
    pub needs_token: bool,
    /// Ends all sessions, streams and waits.
    pub stop: CancellationToken,
}

impl McpConfig {
    /// Settings for a server that answers to `hosts` and to pages of `origins`, both complete.
    pub fn for_server(hosts: &[String], origins: &[String], needs_token: bool, stop: CancellationToken) -> Self {
        Self { hosts: hosts.to_vec(), origins: origins.to_vec(), needs_token, stop }
    }
}

/// Serves `app` on `/mcp`, `/mcp/` and `/mcp/messages`, and describes itself on `/mcp/info`, `/mcp/tools` and
/// `/mcp/resources`.
pub fn router(app: Arc<App>, config: &McpConfig) -> Router {
    let server = McpServer::new(app.clone(), config.stop.child_token());
    let endpoint = mount(server.clone(), config)
        .layer(from_fn_with_state(server, narrow_http))
        .layer(from_fn_with_state(Arc::clone(&app), scopes::check));
    endpoint.merge(info::routes(app, config.needs_token))
}

/// Serves any handler on the endpoint's paths; other paths below `/mcp` stay free.
pub fn mount<H: ServerHandler + Clone>(handler: H, config: &McpConfig) -> Router {
    let http = StreamableHttpServerConfig::default()
        .with_json_response(true)
        .with_max_request_body_bytes(MCP_BODY_BYTES_MAX)
        .with_allowed_hosts(config.hosts.clone())
        .with_allowed_origins(config.origins.clone())
        .enforce_origin_validation()
        .with_cancellation_token(last_words(&config.stop));
    let service = |http| {
        let handler = handler.clone();
        let sessions = Arc::new(LocalSessionManager::default());
        (StreamableHttpService::new(move || Ok(handler.clone()), Arc::clone(&sessions), http), sessions)
    };
    let (endpoint, sessions) = service(http.clone());
    let endpoint = shared(endpoint, Some(sessions));
    let (messages, _) = service(http.with_legacy_session_mode(false));
    // The path of the original: no session, one message in, plain JSON out.
    let messages = Router::new().route("/mcp/messages", shared(messages, None)).layer(from_fn(accept_both_types));
    Router::new().route("/mcp", endpoint.clone()).route("/mcp/", endpoint).merge(messages).layer(from_fn(json_errors))
}

/// One service for all requests. As a service of its own it would be copied for each of them, and again by each
/// layer in front, with all its lists of names. Of `sessions` there may be so many and no more.
fn shared<H: ServerHandler + Clone>(
    service: StreamableHttpService<H, LocalSessionManager>,
    sessions: Option<Arc<LocalSessionManager>>,
) -> MethodRouter {
    let shared = Arc::new((service, sessions));
    any(move |request: Request| {
        let shared = Arc::clone(&shared);
        async move {
            let (service, sessions) = &*shared;
            if let Some(sessions) = sessions
                && may_open_session(&request)
                && sessions.sessions.read().await.len() >= SESSIONS_MAX
            {
                return no_more_sessions();
            }
            service.handle(request).await.into_response()
        }
    })
}

/// Modern requests name their method in a header, and those of a legacy session their session.
fn may_open_session(request: &Request) -> bool {
    let headers = request.headers();
    request.method() == Method::POST && !headers.contains_key("mcp-session-id") && !headers.contains_key("mcp-method")
}

fn no_more_sessions() -> Response {
    let error = Error::limit("TOO_MANY_REQUESTS", format!("{SESSIONS_MAX} sessions are open already"))
        .hint("end one with DELETE, or wait: a session ends after five idle minutes");
    let body = Json(json!({"error": error.to_json()}));
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "60")], body).into_response()
}

/// How long streams stay open after the server was told to stop, for the answers that this brings about: every
/// wait and every subscription ends with a result at once.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Ends the streams of a server that stops, once their last answers are through.
fn last_words(stop: &CancellationToken) -> CancellationToken {
    let (stop, streams) = (stop.clone(), CancellationToken::new());
    let ended = streams.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
        streams.cancel();
    });
    ended
}

/// Lets clients of the original's path leave out the header that the endpoint insists on.
async fn accept_both_types(mut request: Request, next: Next) -> Response {
    let both = HeaderValue::from_static("application/json, text/event-stream");
    request.headers_mut().insert(header::ACCEPT, both);
    next.run(request).await
}
