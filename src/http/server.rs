//! Binds, puts the rules in front of all routes, serves until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::authentication::Gate;
use super::config::HttpConfig;
use super::front::Front;
use super::guard::Guard;
use super::headers::Headers;
use super::traffic::Traffic;
use super::{connections, plain};
use crate::error::Error;

/// Largest request body, in bytes, where a route has no smaller limit (surface.md 4.2).
pub(super) const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
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
    if !bound.ip().is_loopback() && !config.has_a_way_in()? {
        // A name such as `localhost` may lead anywhere.
        return Err(Error::refused(
            "AUTHENTICATION_REQUIRED",
            format!("`{}` leads to `{bound}`, which others can reach", config.host),
        )
        .hint("run `dipeo tokens create` or set `DIPEO_TOKEN`, or use `--host 127.0.0.1`"));
    }
    let front = front(&config, router, bound, &stop)?;
    on_bound(bound);
    let server = connections::serve(listener, front, stop.clone());
    let drained = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        outcome = server => outcome,
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

/// Joins all routes and puts the rules in front of them.
fn front(
    config: &HttpConfig,
    router: Router,
    bound: SocketAddr,
    stop: &CancellationToken,
) -> Result<Arc<Front>, Error> {
    let routes = plain::routes(config, stop.clone()).merge(router);
    let is_public = !config.is_local() || !bound.ip().is_loopback();
    let public_origin: Option<Arc<str>> = config.public_origin().map(Arc::from);
    let gate = config.access.as_ref().map(|access| Gate { access: Arc::clone(access), is_public, public_origin });
    let headers = Headers { is_secure: config.public_url.as_deref().is_some_and(|it| it.starts_with("https://")) };
    Ok(Front::new(headers, Guard::new(config, bound)?, gate, Traffic::new(config.limits), routes))
}
