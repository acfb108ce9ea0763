//! Lists providers.

use serde::{Deserialize, Serialize};

use super::super::{App, Caller};
use super::find;
use crate::error::Error;
use crate::integrations::read_to_use;
use crate::nodes::integrated_api::keys;

/// Providers by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub providers: Vec<Provider>,
    pub total: usize,
}

/// One provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Path of the manifest, or that it is shipped.
    pub source: String,
    pub operations: Vec<Operation>,
    /// The strategy of `auth`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auth: Option<String>,
    /// Whether a key is there; absent when none is needed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_present: Option<bool>,
    /// Why the manifest cannot be used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub name: String,
    pub method: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
}

/// Lists the workspace's providers and the shipped ones.
///
/// # Errors
///
/// What the store of secrets says.
pub async fn list(app: &App, _caller: &Caller) -> Result<Response, Error> {
    let mut providers = Vec::new();
    for found in find::all(&app.config.workspace) {
        providers.push(provider(app, &found)?);
    }
    providers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Response { total: providers.len(), providers })
}

/// Describes one manifest.
pub(super) fn provider(app: &App, found: &find::Found) -> Result<Provider, Error> {
    let read = read_to_use(&found.text);
    let Some(manifest) = read.manifest else {
        let problem = read.diagnostics.first().map(|it| format!("line {}: {} {}", it.span.line, it.code, it.message));
        return Ok(Provider {
            name: find::name_of(&found.text).unwrap_or_else(|| found.shown.clone()),
            version: None,
            description: None,
            source: found.shown.clone(),
            operations: Vec::new(),
            auth: None,
            key_present: None,
            error: problem,
        });
    };
    let key_present = match manifest.auth.strategy.needs_key() {
        true => Some(keys::present(&manifest, None, &app.ports)?.is_some()),
        false => None,
    };
    let operations = manifest.operations.iter().map(|it| Operation {
        name: it.name.clone(),
        method: it.method.clone(),
        path: it.path.clone(),
        description: it.description.clone(),
    });
    Ok(Provider {
        operations: operations.collect(),
        name: manifest.name.clone(),
        version: Some(manifest.version.clone()),
        description: manifest.description.clone(),
        source: found.shown.clone(),
        auth: Some(manifest.auth.strategy.name().to_owned()),
        key_present,
        error: None,
    })
}
