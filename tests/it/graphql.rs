//! GraphQL on the wire: the rules of the transport, limits, every operation with its effect, subscriptions.

mod access;
pub mod client;
mod hostile;
mod operations;
mod schema;
mod subscription;
mod transport;
