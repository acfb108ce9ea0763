//! One provider in full: what its manifest says, and the schemas of its operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::caller::Scope;
use super::super::{App, Caller};
use super::find;
use super::list::{self, Provider};
use super::validate::unknown_provider;
use crate::error::Error;
use crate::integrations::{Manifest, manifest, read_to_use};

/// A provider as a client sees it. No key is ever part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Described {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub base_url: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub default_timeout: Option<f64>,
    /// The strategy of `auth`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auth: Option<String>,
    /// Where the key goes, and what it is asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auth_config: Option<AuthConfig>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate_limit: Option<RateLimit>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_policy: Option<RetryPolicy>,
    /// Whether a key is there; absent when none is needed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_present: Option<bool>,
    /// Path of the manifest, or that it is shipped.
    pub source: String,
    /// Whether it comes with the program.
    pub shipped: bool,
    /// What stood under `metadata`.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub metadata: Map<String, Value>,
    pub operations: Vec<DescribedOperation>,
    /// Why the manifest cannot be used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// How a provider is told who calls; the key itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthConfig {
    pub strategy: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub query_param: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub scopes: Vec<String>,
}

/// How many requests may be sent in which time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateLimit {
    pub algorithm: String,
    pub capacity: u32,
    pub refill_per_sec: f64,
    pub window_size_sec: f64,
}

/// How often a failed call is repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RetryPolicy {
    pub strategy: String,
    pub max_retries: u32,
    pub base_delay_ms: u64,
    pub max_delay_ms: u64,
    pub retry_on_status: Vec<u16>,
}

/// One operation in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DescribedOperation {
    pub name: String,
    pub method: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub required_scopes: Vec<String>,
    /// Whether its answers come in pages.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub has_pagination: bool,
    /// Seconds, where it is another than the provider's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout_override: Option<f64>,
    /// Why it cannot run here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<String>,
}

/// One operation with what goes in and what comes out, as JSON Schemas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationSchema {
    pub provider: String,
    pub operation: String,
    pub method: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// Names in the path that a call fills in.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub path_params: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub query_params: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_body: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub response: Option<Value>,
}

/// Describes one provider.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `RESOURCE_NOT_FOUND` with the nearest name; what the store of secrets says.
pub async fn provider(app: &App, caller: &Caller, name: &str) -> Result<Described, Error> {
    caller.require(&[Scope::DiagramRead])?;
    described(app, &found(app, name)?)
}

/// Describes every provider of the workspace and every shipped one, by name.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`; what the store of secrets says.
pub async fn providers(app: &App, caller: &Caller) -> Result<Vec<Described>, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let mut all = find::all(app.workspace.root()).iter().map(|it| described(app, it)).collect::<Result<Vec<_>, _>>()?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Describes one operation of a provider.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `RESOURCE_NOT_FOUND` for either name, `INVALID_INPUT` for a manifest that cannot be used.
pub async fn operation_schema(
    app: &App,
    caller: &Caller,
    provider: &str,
    operation: &str,
) -> Result<OperationSchema, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let manifest = manifest_of(app, provider)?;
    let it = operation_of(&manifest, operation)?;
    let schema = |it: &Option<crate::integrations::schema::Schema>| it.as_ref().map(|it| it.value().clone());
    let params = it.path.split('{').skip(1).filter_map(|it| it.split_once('}'));
    Ok(OperationSchema {
        provider: manifest.name.clone(),
        operation: it.name.clone(),
        method: it.method.clone(),
        path: it.path.clone(),
        description: it.description.clone(),
        path_params: params.map(|(name, _)| name.to_owned()).collect(),
        query_params: schema(&it.request.query_schema),
        request_body: schema(&it.request.body_schema),
        response: schema(&it.response.schema),
    })
}

fn found(app: &App, name: &str) -> Result<find::Found, Error> {
    let root = app.workspace.root();
    find::manifest(root, name).ok_or_else(|| unknown_provider(name, &find::names(root)))
}

/// Reads the manifest of a provider that is to be used.
///
/// # Errors
///
/// `RESOURCE_NOT_FOUND`, `INVALID_INPUT` with the first problem.
pub(super) fn manifest_of(app: &App, provider: &str) -> Result<Manifest, Error> {
    let read = read_to_use(&found(app, provider)?.text);
    read.manifest.ok_or_else(|| {
        let first = read.diagnostics.first().map(|it| format!("line {}: {}", it.span.line, it.message));
        let message = format!("the manifest of `{provider}` cannot be used: {}", first.unwrap_or_default());
        Error::invalid("INVALID_INPUT", message).hint("`dipeo integrations validate` shows every problem")
    })
}

/// Finds an operation.
///
/// # Errors
///
/// `RESOURCE_NOT_FOUND` with the nearest name.
pub(super) fn operation_of<'m>(manifest: &'m Manifest, name: &str) -> Result<&'m manifest::Operation, Error> {
    manifest.operation(name).ok_or_else(|| {
        let message = format!("`{}` has no operation `{name}`", manifest.name);
        Error::not_found("RESOURCE_NOT_FOUND", message).hint(manifest.operation_hint(name))
    })
}

fn described(app: &App, found: &find::Found) -> Result<Described, Error> {
    let Provider { name, version, description, source, auth, key_present, error, .. } = list::provider(app, found)?;
    let manifest = read_to_use(&found.text).manifest;
    let operations = manifest.iter().flat_map(|it| &it.operations).map(|it| DescribedOperation {
        name: it.name.clone(),
        method: it.method.clone(),
        path: it.path.clone(),
        description: it.description.clone(),
        required_scopes: it.required_scopes.clone(),
        has_pagination: it.pagination.is_some(),
        timeout_override: it.timeout_s,
        refused: it.refused.clone(),
    });
    Ok(Described {
        name,
        version,
        description,
        base_url: manifest.as_ref().map(|it| it.base_url.clone()),
        default_timeout: manifest.as_ref().map(|it| it.default_timeout_s),
        auth,
        auth_config: manifest.as_ref().map(|it| auth_config(&it.auth)),
        rate_limit: manifest.as_ref().and_then(|it| it.rate_limit.as_ref()).map(rate_limit),
        retry_policy: manifest.as_ref().and_then(|it| it.retry.as_ref()).map(retry_policy),
        key_present,
        source,
        shipped: found.path.is_none(),
        operations: operations.collect(),
        metadata: manifest.map(|it| it.metadata).unwrap_or_default(),
        error,
    })
}

fn auth_config(auth: &manifest::Auth) -> AuthConfig {
    let used = |is_used: bool, name: &str| is_used.then(|| name.to_owned());
    let by_query = auth.strategy == manifest::Strategy::ApiKeyQuery;
    AuthConfig {
        strategy: auth.strategy.name().to_owned(),
        header: used(auth.strategy.needs_key() && !by_query, &auth.header),
        query_param: used(by_query, &auth.query_param),
        scopes: auth.scopes.clone(),
    }
}

fn rate_limit(limit: &manifest::RateLimit) -> RateLimit {
    RateLimit {
        algorithm: limit.algorithm.name().to_owned(),
        capacity: limit.capacity,
        refill_per_sec: limit.refill_per_sec,
        window_size_sec: limit.window_size_sec,
    }
}

fn retry_policy(policy: &manifest::RetryPolicy) -> RetryPolicy {
    RetryPolicy {
        strategy: policy.strategy.name().to_owned(),
        max_retries: policy.max_retries,
        base_delay_ms: policy.base_delay_ms,
        max_delay_ms: policy.max_delay_ms,
        retry_on_status: policy.retry_on_status.clone(),
    }
}
