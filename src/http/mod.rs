//! The HTTP server: it binds, guards every route, answers the plain ones and joins the routers it is handed
//! as values. It must not know what they serve, nor any other adapter.
//!
//! Order of a request, in `front`: `headers` → [`guard`] (Host, Origin, forwarded headers) → CORS → [`authentication`] → `traffic` (rate, number,
//! size and time) → route.

pub mod authentication;
pub mod config;
mod connections;
mod error_body;
pub mod events;
mod front;
pub mod graphql;
pub mod guard;
mod headers;
mod lanes;
pub mod metrics;
mod origin;
mod plain;
pub mod rest;
mod server;
mod traffic;

pub use config::{HttpConfig, Readiness, VitalSigns, Vitals};
pub use server::serve;
