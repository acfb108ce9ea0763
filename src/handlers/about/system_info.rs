//! The version, and what diagrams may consist of.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::caller::Scope;
use super::super::{App, Caller};
use crate::diagram::Service;
use crate::error::Error;
use crate::limits;
use crate::nodes;

/// This program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub version: String,
    pub supported_node_types: Vec<String>,
    pub supported_llm_services: Vec<String>,
    pub max_upload_size_mb: u64,
    pub graphql_subscriptions_enabled: bool,
}

/// Describes this program.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`.
pub async fn system_info(_app: &App, caller: &Caller) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramRead])?;
    Ok(Response {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        supported_node_types: node_types(),
        supported_llm_services: llm_services(),
        max_upload_size_mb: limits::UPLOAD_BYTES_MAX / 1024 / 1024,
        graphql_subscriptions_enabled: true,
    })
}

/// The node types that run, as diagrams write them.
pub(super) fn node_types() -> Vec<String> {
    nodes::ALL.iter().map(|it| it.kind.name().to_owned()).collect()
}

/// The services that persons may name.
pub(super) fn llm_services() -> Vec<String> {
    Service::ALL.iter().map(|it| it.name().to_owned()).collect()
}
