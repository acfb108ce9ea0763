//! The HTTP server: it binds, guards every route, answers the plain ones and joins the routers it is handed
//! as values. It must not know what they serve, nor any other adapter.
//!
//! Order of a request: [`guard`] (Host, Origin, forwarded headers) → CORS → [`bearer`] → size limit → route.

pub mod bearer;
pub mod config;
mod error_body;
pub mod guard;
mod origin;
mod plain;
mod server;

pub use bearer::BearerToken;
pub use config::{HttpConfig, Readiness};
pub use server::serve;
