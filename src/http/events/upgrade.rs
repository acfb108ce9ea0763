//! From a request to a WebSocket: who may open one, and how whoever could not say so before says who they are.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use tokio::time::Instant;

use super::Events;
use super::line::{self, Close};
use super::places::Place;
use super::sse::refused;
use crate::error::{Error, ErrorKind};
use crate::handlers::Caller;
use crate::http::authentication::LateComer;
use crate::http::error_body::error_response_with;

/// How long a client has to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// Who is at the other end of a socket.
pub(super) enum Peer {
    Known(Known),
    /// They have to say so with their first frame.
    Stranger(Stranger),
}

/// A client that may speak.
pub(super) struct Known {
    pub caller: Caller,
    _place: Place,
}

/// A client that has not said yet who it is.
pub(super) struct Stranger {
    events: Events,
    gate: LateComer,
    pub deadline: Instant,
    _place: Place,
}

impl Stranger {
    /// Takes the token and lets the client speak.
    ///
    /// # Errors
    ///
    /// What to tell the client, and how to close.
    pub async fn introduce(&self, token: &str) -> Result<Known, (Error, Close)> {
        let found = tokio::time::timeout_at(self.deadline, self.gate.identify(token)).await;
        let identity = match found {
            Ok(Ok(identity)) => identity,
            Ok(Err(error)) if error.kind() == ErrorKind::Refused => return Err((error, Close::UNKNOWN)),
            Ok(Err(error)) => {
                tracing::warn!(code = error.code(), "a client could not be recognised: {}", error.chain());
                return Err((error, Close::FAILED));
            }
            Err(_) => return Err((unknown("nobody could say in time who you are"), Close::UNKNOWN)),
        };
        let place = self.events.places.take(Some(&identity.principal)).map_err(|error| (error, Close::FULL))?;
        Ok(Known { caller: self.events.caller(identity), _place: place })
    }
}

/// The error for a client that has not said who it is.
pub(super) fn unknown(message: &str) -> Error {
    Error::refused("UNAUTHENTICATED", message.to_owned())
        .hint("send the token of this server with the first frame, or `Authorization: Bearer …` with the request")
}

/// Lets the request become a socket, or says why not.
///
/// # Errors
///
/// The whole answer.
pub(super) async fn upgrade(events: &Events, mut parts: Parts) -> Result<(WebSocketUpgrade, Peer), Box<Response>> {
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|rejection| Box::new(no_socket(&rejection)))?;
    let peer = peer(events, &parts).map_err(|error| Box::new(refused(&error)))?;
    Ok((line::limited(upgrade), peer))
}

fn peer(events: &Events, parts: &Parts) -> Result<Peer, Error> {
    if let Some(gate) = parts.extensions.get::<LateComer>() {
        let (events, gate, place) = (events.clone(), gate.clone(), events.places.take_unnamed()?);
        return Ok(Peer::Stranger(Stranger { events, gate, deadline: Instant::now() + INTRODUCTION, _place: place }));
    }
    let (caller, principal) = events.sender(parts);
    let place = events.places.take(principal.as_deref())?;
    Ok(Peer::Known(Known { caller, _place: place }))
}

/// The answer to a request that cannot become a socket.
fn no_socket(rejection: &WebSocketUpgradeRejection) -> Response {
    let error = Error::invalid("UPGRADE_REQUIRED", "this address speaks WebSocket only")
        .hint(format!("open it with a WebSocket client, version 13, over HTTP/1.1 ({})", rejection.body_text()));
    let mut response = error_response_with(StatusCode::UPGRADE_REQUIRED, &error);
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response
}
