//! MCP over HTTP as a router: the endpoint of both eras and a few plain pages about it. It must not know the
//! server it is put into; limits, authentication and CORS are that server's.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use axum::{Json, Router};
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::server::McpServer;
use super::subscriptions::narrowed_message;
use super::{info, json_errors, scopes};
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
    endpoints(server.clone(), config, Some(&server)).merge(info::routes(app, config.needs_token))
}

/// Serves any handler on the endpoint's paths; other paths below `/mcp` stay free.
pub fn mount<H: ServerHandler + Clone>(handler: H, config: &McpConfig) -> Router {
    endpoints(handler, config, None)
}

fn endpoints<H: ServerHandler + Clone>(handler: H, config: &McpConfig, server: Option<&McpServer>) -> Router {
    let http = StreamableHttpServerConfig::default()
        .with_json_response(true)
        .with_max_request_body_bytes(MCP_BODY_BYTES_MAX)
        .with_allowed_hosts(config.hosts.clone())
        .with_allowed_origins(config.origins.clone())
        .enforce_origin_validation()
        .with_cancellation_token(last_words(&config.stop));
    let endpoint = |http, is_for_originals| {
        let handler = handler.clone();
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(handler.clone()), Arc::clone(&sessions), http);
        Endpoint { service, sessions, server: server.cloned(), is_for_originals }.served()
    };
    let with_sessions = endpoint(http.clone(), false);
    // The path of the original: no session, one message in, plain JSON out.
    let messages = endpoint(http.with_legacy_session_mode(false), true);
    Router::new().route("/mcp", with_sessions.clone()).route("/mcp/", with_sessions).route("/mcp/messages", messages)
}

/// The library's service with what is done for it before and after. One for all requests: as a service of its
/// own it would be copied for each of them, and again by each layer in front, with all its lists of names.
struct Endpoint<H> {
    service: StreamableHttpService<H, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
    /// Who knows what each caller may do; absent where nobody is asked.
    server: Option<McpServer>,
    /// No sessions, and clients may leave out a header that the library insists on.
    is_for_originals: bool,
}

impl<H: ServerHandler + Clone> Endpoint<H> {
    fn served(self) -> MethodRouter {
        let shared = Arc::new(self);
        any(move |request: Request| {
            let shared = Arc::clone(&shared);
            async move { shared.answer(request).await }
        })
    }

    async fn answer(&self, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        if self.is_for_originals {
            let both = HeaderValue::from_static("application/json, text/event-stream");
            parts.headers.insert(header::ACCEPT, both);
        }
        if parts.method != Method::POST {
            let method = parts.method.clone();
            let response = self.service.handle(Request::from_parts(parts, body)).await.into_response();
            return json_errors::repaired(&method, response).await;
        }
        match to_bytes(body, MCP_BODY_BYTES_MAX).await {
            Ok(message) => self.answer_message(parts, message).await,
            Err(_) => json_errors::too_large(),
        }
    }

    async fn answer_message(&self, mut parts: Parts, mut message: Bytes) -> Response {
        if let Some(server) = &self.server {
            if let Some(refusal) = scopes::refusal_of(server.app(), parts.extensions.get(), &message) {
                return refusal;
            }
            if let Some(narrowed) = narrowed_message(server, &parts, &message) {
                parts.headers.insert(header::CONTENT_LENGTH, narrowed.len().into());
                message = narrowed.into();
            }
        }
        if !self.is_for_originals
            && may_open_session(&parts.headers)
            && self.sessions.sessions.read().await.len() >= SESSIONS_MAX
        {
            return no_more_sessions();
        }
        let says_json = json_errors::says_json(&parts.headers);
        let request = Request::from_parts(parts, Body::from(message.clone()));
        let response = self.service.handle(request).await.into_response();
        json_errors::repaired_answer(says_json, &message, response).await
    }
}

/// Modern requests name their method in a header, and those of a legacy session their session.
fn may_open_session(headers: &HeaderMap) -> bool {
    !headers.contains_key("mcp-session-id") && !headers.contains_key("mcp-method")
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
