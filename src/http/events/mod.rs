//! Live events of executions: as server-sent events, over a WebSocket, and in the form of a debugger. All of them
//! pull from `follow_execution`, so a client that reads slowly makes nobody else wait and nothing pile up.

mod debug;
mod fields;
mod frames;
mod inspect;
mod line;
mod places;
mod socket;
mod sse;
mod tool_hub;
mod topics;
mod upgrade;

use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use self::places::Places;
use crate::handlers::caller::{Door, Identity};
use crate::handlers::{App, Caller};

/// Paths of this folder.
pub const ROUTES: [&str; 4] =
    ["/api/v1/executions/{id}/events", "/api/executions/{id}/stream", "/ws", "/ws/debug/{*diagram}"];

/// The streams of one server.
#[derive(Clone)]
pub struct Events {
    app: Arc<App>,
    places: Arc<Places>,
    stop: CancellationToken,
}

impl Events {
    /// No stream is open yet; all end once `stop` is cancelled.
    pub fn new(app: Arc<App>, stop: CancellationToken) -> Self {
        Self { app, places: Places::new(), stop }
    }

    /// The routes, to be joined with those of other adapters.
    pub fn routes(&self) -> Router {
        Router::new()
            .route(ROUTES[0], get(sse::answer))
            .route(ROUTES[1], get(sse::answer_tool_hub))
            .route(ROUTES[2], get(socket::answer))
            .route(ROUTES[3], get(debug::answer))
            .with_state(self.clone())
    }

    /// How many streams are open.
    pub fn n_open(&self) -> usize {
        self.places.n_taken()
    }

    /// Who sends a request; `None` for a name where nobody is asked for one.
    fn sender(&self, parts: &Parts) -> (Caller, Option<Arc<str>>) {
        let identity = parts.extensions.get::<Identity>();
        let principal = identity.map(|it| Arc::clone(&it.principal));
        (self.caller(identity.cloned().unwrap_or_else(Identity::owner)), principal)
    }

    fn caller(&self, identity: Identity) -> Caller {
        Caller::client(identity.limited_to(self.app.client_scopes()), Door::Http)
    }
}
