//! Binds, puts the layers in front of all routes, serves until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::limit::RequestBodyLimitLayer;

use super::config::HttpConfig;
use super::guard::Guard;
use super::{bearer, error_body, guard, plain};
use crate::error::Error;

/// Largest request body, in bytes, where a route has no smaller limit (surface.md 4.2).
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// How long open connections may take to finish after the server was told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves `router` and the plain routes until `stop` is cancelled. `on_bound` is told the address once, before
/// the first request is taken.
///
/// # Errors
///
/// `AUTHENTICATION_REQUIRED` for a server that others could reach without a token; `INVALID_INPUT` for settings
/// that cannot be read; `PORT_IN_USE`; `LISTEN_FAILED`.
pub async fn serve(
    config: HttpConfig,
    router: Router,
    stop: CancellationToken,
    on_bound: impl FnOnce(SocketAddr),
) -> Result<(), Error> {
    config.check()?;
    let listener = bind(&config).await?;
    let bound = listener.local_addr().map_err(|error| cannot_listen(&config).source(error))?;
    if config.token.is_none() && !bound.ip().is_loopback() {
        // A name such as `localhost` may lead anywhere.
        return Err(Error::refused(
            "AUTHENTICATION_REQUIRED",
            format!("`{}` leads to `{bound}`, which others can reach", config.host),
        )
        .hint("set `DIPEO_TOKEN`, or use `--host 127.0.0.1`"));
    }
    let app = with_layers(&config, router, bound, &stop)?;
    // Small answers go out at once instead of waiting to be joined with a next one.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
    });
    on_bound(bound);
    let server = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = server => ended.map_err(|error| Error::external("LISTEN_FAILED", "the server broke off").source(error)),
        () = drained => Ok(()),
    }
}

async fn bind(config: &HttpConfig) -> Result<TcpListener, Error> {
    let host = config.host.trim_matches(['[', ']']);
    TcpListener::bind((host, config.port)).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return Error::conflict("PORT_IN_USE", format!("`{}:{}` is in use", config.host, config.port))
                .hint("choose another `--port`; 0 takes a free one")
                .source(error);
        }
        cannot_listen(config).source(error)
    })
}

fn cannot_listen(config: &HttpConfig) -> Error {
    Error::external("LISTEN_FAILED", format!("cannot listen on `{}:{}`", config.host, config.port))
        .hint("`--host` must be an address of this machine, and ports below 1024 need rights")
}

/// Joins all routes; the layer added last sees a request first.
fn with_layers(
    config: &HttpConfig,
    router: Router,
    bound: SocketAddr,
    stop: &CancellationToken,
) -> Result<Router, Error> {
    let rules = Arc::new(Guard::new(config, bound)?);
    let mut app = plain::routes(&config.routes, config.readiness.clone(), stop.clone())
        .merge(router)
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX));
    if let Some(token) = &config.token {
        app = app.layer(from_fn_with_state(Arc::new(token.clone()), bearer::check));
    }
    Ok(app
        .layer(cors(rules.clone()))
        .layer(from_fn(error_body::explain))
        .layer(from_fn_with_state(rules, guard::check)))
}

fn cors(rules: Arc<Guard>) -> CorsLayer {
    let origins = AllowOrigin::predicate(move |origin, request| {
        origin.to_str().is_ok_and(|text| rules.allows_origin(text, request))
    });
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            HeaderName::from_static("mcp-session-id"),
            HeaderName::from_static("mcp-protocol-version"),
            header::WWW_AUTHENTICATE,
        ])
        .max_age(Duration::from_secs(600))
}
