//! The HTTP server: it binds, guards every route, answers the plain ones and joins the routers it is handed
//! as values. It must not know what they serve, nor any other adapter.
//!
//! Order of a request, in `front`: [`guard`] (Host, Origin, forwarded headers) → CORS → [`authentication`] → `traffic` (rate, number,
//! size and time) → route.

pub mod authentication;
pub mod config;
mod connections;
mod error_body;
mod front;
pub mod guard;
mod lanes;
pub mod metrics;
mod origin;
mod plain;
mod request_id;
mod server;
mod traffic;

pub use config::{HttpConfig, Readiness};
pub use server::serve;
