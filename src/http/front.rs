//! The way in: what every request passes before a route sees it. One for all requests of a server; as layers of
//! the router each part would be copied for each request, with everything that lies behind it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::{Instrument, Span};

use super::authentication::Gate;
use super::error_body::{REQUEST_ID, error_response, explained};
use super::guard::Guard;
use super::headers::Headers;
use super::traffic::Traffic;
use crate::meter;
use crate::spans::{self, Parent};

/// What an answer depends on, whether or not a page asked: caches must not hand it to another page.
const VARY: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// What pages may send besides what every page may: the headers that some route reads, by name, so that a page cannot
/// try out others.
const TAKEN_HEADERS: [HeaderName; 17] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-requested-with"),
    HeaderName::from_static(REQUEST_ID),
];

/// Everything in front of the routes, and the routes.
pub struct Front {
    headers: Headers,
    guard: Arc<Guard>,
    cors: CorsLayer,
    /// Absent where nobody is asked who they are.
    gate: Option<Gate>,
    traffic: Arc<Traffic>,
    routes: Router,
}

impl Front {
    /// Puts the rules in front of `routes`.
    pub fn new(headers: Headers, guard: Guard, gate: Option<Gate>, traffic: Arc<Traffic>, routes: Router) -> Arc<Self> {
        let guard = Arc::new(guard);
        // Once here instead of for each request.
        let routes = routes.with_state::<()>(());
        Arc::new(Self { headers, cors: cors(Arc::clone(&guard)), guard, gate, traffic, routes })
    }

    /// Answers a request: with what its route says, or with why it does not get there.
    pub async fn answer(self: Arc<Self>, mut request: Request) -> Response {
        let named = self.headers.named(&mut request);
        let is_logged = tracing::enabled!(tracing::Level::DEBUG);
        let asked = is_logged.then(|| Asked::of(&request));
        let span = span_of(&request);
        let response = self.guarded(request).instrument(span.clone()).await;
        let status = response.status().as_u16();
        spans::answered(&span, status);
        if let Some(Asked { id, method, path }) = asked {
            tracing::debug!(request.id = id, %method, path, status, "answered");
        }
        if let Some(meters) = meter::on() {
            meters.answered(status);
        }
        named.dressed(response)
    }

    async fn guarded(self: Arc<Self>, request: Request) -> Response {
        if let Err(error) = self.guard.check(request.uri(), request.headers()) {
            return error_response(&error);
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        explained(&method, &uri, self.with_cors(request).await)
    }

    /// Only pages say where they come from; others need nothing but the reminder for caches.
    async fn with_cors(self: Arc<Self>, request: Request) -> Response {
        if request.method() == Method::OPTIONS || request.headers().contains_key(header::ORIGIN) {
            let cors = self.cors.clone();
            let behind = service_fn(move |request| {
                let me = Arc::clone(&self);
                async move { Ok::<_, std::convert::Infallible>(me.identified(request).await) }
            });
            // On the heap: a page's request is rare, and every other one would carry the room for this.
            let answered = Box::pin(cors.layer(behind).oneshot(request));
            return answered.await.unwrap_or_else(|never| match never {});
        }
        let mut response = self.identified(request).await;
        response.headers_mut().append(header::VARY, VARY);
        response
    }

    async fn identified(&self, request: Request) -> Response {
        match &self.gate {
            Some(gate) => gate.pass(request, |request| self.admitted(request)).await,
            None => self.admitted(request).await,
        }
    }

    async fn admitted(&self, request: Request) -> Response {
        self.traffic.pass(request, |request| self.routed(request)).await
    }

    async fn routed(&self, request: Request<Body>) -> Response {
        self.routes.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }
}

/// What a line of the log says of a request; only put together when somebody wants to read it.
struct Asked {
    id: String,
    method: Method,
    path: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let id = request.headers().get(REQUEST_ID).and_then(|it| it.to_str().ok()).unwrap_or("-").to_owned();
        Self { id, method: request.method().clone(), path: request.uri().path().to_owned() }
    }
}

/// The span of a request, below the one that its sender names.
fn span_of(request: &Request) -> Span {
    let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok());
    let parent = Parent { traceparent: header("traceparent"), tracestate: header("tracestate") };
    spans::http_request(request.method().as_str(), request.uri().path(), parent)
}

fn cors(rules: Arc<Guard>) -> CorsLayer {
    let origins = AllowOrigin::predicate(move |origin, request| {
        origin.to_str().is_ok_and(|text| rules.allows_origin(text, request))
    });
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(TAKEN_HEADERS)
        .expose_headers([
            HeaderName::from_static("mcp-session-id"),
            HeaderName::from_static("mcp-protocol-version"),
            HeaderName::from_static(REQUEST_ID),
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
        ])
        .max_age(Duration::from_secs(600))
}
