//! How many providers and operations there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{App, Caller};
use super::describe::providers;
use crate::error::Error;

/// The providers, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub total_providers: usize,
    pub total_operations: usize,
    pub provider_types: ProviderTypes,
    /// By name.
    pub providers: Vec<ProviderCount>,
}

/// Where the providers come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderTypes {
    /// Manifests of the workspace.
    pub workspace: usize,
    /// Those that come with the program.
    pub shipped: usize,
    /// Of both, those that cannot be used.
    pub invalid: usize,
}

/// One provider, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderCount {
    pub name: String,
    pub operations: usize,
    /// Whether a call could be made now: the manifest is sound and a key is there if one is needed.
    pub usable: bool,
}

/// Counts providers and operations.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`; what the store of secrets says.
pub async fn provider_statistics(app: &App, caller: &Caller) -> Result<Response, Error> {
    let all = providers(app, caller).await?;
    let counts = all.iter().map(|it| ProviderCount {
        name: it.name.clone(),
        operations: it.operations.len(),
        usable: it.error.is_none() && it.key_present != Some(false),
    });
    let shipped = all.iter().filter(|it| it.shipped).count();
    Ok(Response {
        total_providers: all.len(),
        total_operations: all.iter().map(|it| it.operations.len()).sum(),
        provider_types: ProviderTypes {
            workspace: all.len() - shipped,
            shipped,
            invalid: all.iter().filter(|it| it.error.is_some()).count(),
        },
        providers: counts.collect(),
    })
}
