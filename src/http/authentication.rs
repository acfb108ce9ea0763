//! Asks clients who they are, when the server is one that asks, and puts the answer into the request.

use std::sync::Arc;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::error_body::{error_response, error_response_with};
use crate::error::{Error, ErrorKind};
use crate::handlers::authenticate::Access;
use crate::handlers::caller::{Identity, Scope, Scopes};

/// What is the same for everybody and says nothing about anybody: a supervisor needs no token (platform.md 15), and a
/// browser that opens the page of the description has none.
const OPEN_ROUTES: [&str; 8] =
    ["/health", "/health/live", "/health/ready", "/openapi.json", "/docs", "/docs/page.css", "/docs/page.js", "/redoc"];
/// Where clients ask which authorization server they need, with the path of the resource behind it (RFC 9728).
const METADATA_ROUTE: &str = "/.well-known/oauth-protected-resource";
const RESOURCES: [&str; 3] = ["", "/mcp", "/mcp/messages"];
/// Where pages of browsers open WebSockets. They cannot show a token before the socket is open, so they show it
/// then; everything else that these addresses answer to a `GET` is the same for everybody.
const LATE_ROUTES: [&str; 4] = ["/ws", "/graphql", "/graphql/page.js", "/graphql/page.css"];
/// Such addresses with the name of something behind them.
const LATE_PREFIXES: [&str; 1] = ["/ws/debug/"];
/// Where some clients put tokens in an address.
const TOKEN_PARAMETERS: [&str; 7] =
    ["access_token", "token", "api_key", "apikey", "api-key", "authorization", "bearer"];

/// Who decides, and whether everybody is asked whatever tokens there are.
#[derive(Clone)]
pub struct Gate {
    pub access: Arc<Access>,
    /// Others than this machine can reach the server.
    pub is_public: bool,
    /// Where the server is reached, when that is not where it listens.
    pub public_origin: Option<Arc<str>>,
}

impl Gate {
    /// The address that this request reached the server by, as `scheme://name[:port]`. The guard has let its
    /// host pass.
    fn base(&self, request: &Request) -> String {
        if let Some(origin) = &self.public_origin {
            return origin.to_string();
        }
        let host = request.headers().get(header::HOST).and_then(|it| it.to_str().ok());
        let host = host.or(request.uri().authority().map(|it| it.as_str())).unwrap_or("localhost");
        format!("http://{host}")
    }

    /// Passes on requests of clients that are known, or whom nobody asks.
    pub async fn pass<F>(&self, mut request: Request, next: impl FnOnce(Request) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        if let Some(resource) = request.uri().path().strip_prefix(METADATA_ROUTE) {
            return match (self.access.issuer(), RESOURCES.contains(&resource)) {
                (Some(issuer), true) => metadata(&self.base(&request), resource, issuer),
                _ => next(request).await,
            };
        }
        if OPEN_ROUTES.contains(&request.uri().path()) {
            return next(request).await;
        }
        match self.asks() {
            Ok(true) => {}
            Ok(false) => return next(request).await,
            Err(error) => return unrecognised(&error),
        }
        let base = self.base(&request);
        let challenge = Challenge::of(self, &request, &base);
        if may_come_late(&request) && !challenge.shows_one {
            request.extensions_mut().insert(LateComer { gate: self.clone(), base });
            return next(request).await;
        }
        // A box: asking an authorization server is large, and most requests never do.
        match Box::pin(identify(self, request.headers(), &base)).await {
            Ok(identity) => {
                request.extensions_mut().insert(identity);
                // Nothing behind this point may see, log or pass on what was shown.
                request.headers_mut().remove(header::AUTHORIZATION);
                request.headers_mut().remove(API_KEY);
                challenge.completed(next(request).await)
            }
            Err(error) if error.kind() == ErrorKind::Refused => challenge.unauthorized(&error),
            Err(error) => unrecognised(&error),
        }
    }

    /// Whether everybody has to say who they are.
    fn asks(&self) -> Result<bool, Error> {
        Ok(self.is_public || self.access.is_required()?)
    }
}

fn may_come_late(request: &Request) -> bool {
    let path = request.uri().path();
    let is_late = LATE_ROUTES.contains(&path) || LATE_PREFIXES.iter().any(|it| path.starts_with(it));
    request.method() == Method::GET && is_late
}

/// Stands in requests of clients that were let in without having said who they are: whoever serves them asks.
#[derive(Clone)]
pub struct LateComer {
    gate: Gate,
    base: String,
}

impl LateComer {
    /// Returns who shows `token`.
    ///
    /// # Errors
    ///
    /// As [`Access::identify`].
    pub async fn identify(&self, token: &str) -> Result<Identity, Error> {
        self.gate.access.identify(token, &resources(&self.base)).await
    }
}

fn unrecognised(error: &Error) -> Response {
    tracing::warn!(code = error.code(), "a client could not be recognised: {}", error.chain());
    error_response(error)
}

/// Refuses a token in the address before anything else looks at the request.
///
/// # Errors
///
/// `TOKEN_IN_QUERY`.
pub fn check_query(uri: &Uri) -> Result<(), Error> {
    let names = uri.query().unwrap_or_default().split('&').map(|it| it.split('=').next().unwrap_or_default());
    let mut decoded = names.map(|it| percent_encoding::percent_decode_str(it).decode_utf8_lossy().to_ascii_lowercase());
    match decoded.find(|it| TOKEN_PARAMETERS.contains(&it.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::invalid("TOKEN_IN_QUERY", format!("the address has a token in `{name}`"))
            .hint("send it as `Authorization: Bearer …`, and revoke it: addresses are kept in logs")),
    }
}

const API_KEY: &str = "x-api-key";

async fn identify(gate: &Gate, headers: &HeaderMap, base: &str) -> Result<Identity, Error> {
    match shown(headers)? {
        Some(token) => gate.access.identify(token, &resources(base)).await,
        None => Err(Error::refused("UNAUTHENTICATED", "this server asks for a token")
            .hint("send `Authorization: Bearer …`; the server's owner makes a token with `dipeo tokens create`")),
    }
}

/// What a token of an authorization server may be meant for.
fn resources(base: &str) -> Vec<String> {
    ["/mcp", "/mcp/messages"].iter().map(|it| format!("{base}{it}")).collect()
}

/// The one token that a request shows, in the one header that it may stand in.
fn shown(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let wrong = |what: &str| {
        Err(Error::refused("UNAUTHENTICATED", what.to_owned())
            .hint("send one header, `Authorization: Bearer TOKEN` or `X-API-Key: TOKEN`"))
    };
    let mut given = headers.get_all(header::AUTHORIZATION).iter().chain(headers.get_all(API_KEY).iter());
    let Some(first) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return wrong("the request shows more than one token");
    }
    let Ok(text) = first.to_str() else { return wrong("the header of the token is no text") };
    if headers.contains_key(API_KEY) {
        return Ok(Some(text.trim()));
    }
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => wrong("`Authorization` holds no bearer token"),
    }
}

/// How a client learns which token it needs (RFC 6750, RFC 9728).
struct Challenge {
    /// Where the authorization server is named, when there is one.
    metadata: Option<String>,
    shows_one: bool,
}

impl Challenge {
    fn of(gate: &Gate, request: &Request, base: &str) -> Self {
        let resource = if request.uri().path() == "/mcp/messages" { "/mcp/messages" } else { "/mcp" };
        let metadata = gate.access.issuer().map(|_| format!("{base}{METADATA_ROUTE}{resource}"));
        let shows_one = [header::AUTHORIZATION.as_str(), API_KEY].iter().any(|it| request.headers().contains_key(*it));
        Self { metadata, shows_one }
    }

    /// 401: with the scopes that open everything, and why when a token was shown.
    fn unauthorized(&self, error: &Error) -> Response {
        let mut text = format!(r#"Bearer realm="dipeo", scope="{}""#, Scopes::ALL.to_text());
        if self.shows_one {
            text.push_str(r#", error="invalid_token""#);
        }
        let mut response = error_response_with(StatusCode::UNAUTHORIZED, error);
        set_challenge(&mut response, &self.with_metadata(text));
        response
    }

    /// Adds the place of the metadata to the challenge of a 403 that was decided further in.
    fn completed(&self, mut response: Response) -> Response {
        let text = response.headers().get(header::WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
        if let Some(text) = text.map(|it| self.with_metadata(it.to_owned())) {
            set_challenge(&mut response, &text);
        }
        response
    }

    fn with_metadata(&self, text: String) -> String {
        match &self.metadata {
            Some(url) => format!(r#"{text}, resource_metadata="{url}""#),
            None => text,
        }
    }
}

fn set_challenge(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
}

/// What RFC 9728 says about a resource of this server. The bare path speaks of `/mcp`.
fn metadata(base: &str, resource: &str, issuer: &str) -> Response {
    let resource = if resource.is_empty() { "/mcp" } else { resource };
    let scopes: Vec<&str> = Scopes::ALL.iter().map(Scope::name).collect();
    Json(json!({
        "resource": format!("{base}{resource}"),
        "authorization_servers": [issuer],
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
        "resource_name": "DiPeO",
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_read_from_one_header() {
        for (headers, expected) in [
            (&[][..], Ok(None)),
            (&[("authorization", "Bearer abc")], Ok(Some("abc"))),
            (&[("authorization", "bearer  abc")], Ok(Some("abc"))),
            (&[("x-api-key", "abc")], Ok(Some("abc"))),
            (&[("authorization", "Basic abc")], Err(())),
            (&[("authorization", "abc")], Err(())),
            (&[("authorization", "Bearer a"), ("authorization", "Bearer b")], Err(())),
            (&[("authorization", "Bearer a"), ("x-api-key", "a")], Err(())),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(shown(&map).map_err(drop), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_token_in_the_address_is_refused_however_it_is_spelt() {
        for (path, is_fine) in [
            ("/mcp", true),
            ("/mcp?", true),
            ("/mcp?limit=1", true),
            ("/mcp?access_token=x", false),
            ("/mcp?a=1&Token=x", false),
            ("/mcp?%61pi_key=x", false),
            ("/health?token", false),
        ] {
            assert_eq!(check_query(&path.parse().expect(path)).is_ok(), is_fine, "{path}");
        }
    }
}
