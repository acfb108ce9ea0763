//! Providers of integrations and what they can do.

use async_graphql::{ID, InputObject, SimpleObject};
use serde_json::{Value, json};

use super::scalars::Json;
use crate::error::Error;
use crate::handlers::integrations::describe::{
    AuthConfig, Described, DescribedOperation, OperationSchema, RateLimit, RetryPolicy,
};
use crate::handlers::integrations::try_operation;
use crate::limits::HTTP_TIMEOUT_S;

/// How a provider is told who calls.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct AuthConfigType {
    pub strategy: String,
    pub header: Option<String>,
    pub query_param: Option<String>,
    pub format: Option<String>,
    pub scopes: Option<Vec<String>>,
}

/// How often a provider may be called.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct RateLimitConfigType {
    pub algorithm: String,
    pub capacity: i32,
    pub refill_per_sec: f64,
    pub window_size_sec: Option<i32>,
}

/// How often a failed call is repeated.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct RetryPolicyType {
    pub strategy: String,
    pub max_retries: i32,
    pub base_delay_ms: i32,
    pub max_delay_ms: Option<i32>,
    pub retry_on_status: Vec<i32>,
}

/// What an operation takes and gives.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct OperationSchemaType {
    pub operation: String,
    pub method: String,
    pub path: String,
    pub description: Option<String>,
    pub request_body: Option<Json>,
    pub query_params: Option<Json>,
    pub response: Option<Json>,
}

/// One operation of a provider.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct OperationType {
    pub name: String,
    pub method: String,
    pub path: String,
    pub description: Option<String>,
    pub required_scopes: Option<Vec<String>>,
    pub has_pagination: bool,
    pub timeout_override: Option<f64>,
}

/// Where a provider comes from.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct ProviderMetadataType {
    pub version: String,
    /// Always `manifest`: providers carry no code here.
    #[graphql(name = "type")]
    pub kind: String,
    pub manifest_path: Option<String>,
    /// What it is, or why its manifest cannot be used.
    pub description: Option<String>,
    pub documentation_url: Option<String>,
    pub support_email: Option<String>,
}

/// A provider.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct ProviderType {
    pub name: String,
    pub operations: Vec<OperationType>,
    pub metadata: ProviderMetadataType,
    pub base_url: Option<String>,
    pub auth_config: Option<AuthConfigType>,
    pub rate_limit: Option<RateLimitConfigType>,
    pub retry_policy: Option<RetryPolicyType>,
    pub default_timeout: f64,
}

/// Counts of providers.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct ProviderStatisticsType {
    pub total_providers: i32,
    pub total_operations: i32,
    pub provider_types: Json,
    pub providers: Vec<Json>,
}

/// What came of trying an operation.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct IntegrationTestResultType {
    pub success: bool,
    pub provider: String,
    pub operation: String,
    pub status_code: Option<i32>,
    pub response_time_ms: Option<f64>,
    pub error: Option<String>,
    pub response_preview: Option<Json>,
}

/// One call of an operation.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct ExecuteIntegrationInput {
    pub provider: String,
    pub operation: String,
    pub config: Json,
    pub api_key_id: Option<ID>,
    pub timeout: Option<i32>,
    pub resource_id: Option<String>,
}

/// An operation to be tried.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct TestIntegrationInput {
    pub provider: String,
    pub operation: String,
    pub config_preview: Json,
    pub api_key_id: Option<ID>,
    /// Nothing is sent; the request is made and checked.
    #[graphql(default = true)]
    pub dry_run: bool,
}

impl From<Described> for ProviderType {
    fn from(provider: Described) -> Self {
        let text = |key: &str| provider.metadata.get(key).and_then(Value::as_str).map(str::to_owned);
        let metadata = ProviderMetadataType {
            version: provider.version.clone().unwrap_or_default(),
            kind: "manifest".to_owned(),
            documentation_url: text("documentation_url"),
            support_email: text("support_email"),
            manifest_path: Some(provider.source.clone()).filter(|_| !provider.shipped),
            description: provider.error.clone().or_else(|| provider.description.clone()),
        };
        Self {
            name: provider.name,
            operations: provider.operations.into_iter().map(OperationType::from).collect(),
            metadata,
            base_url: provider.base_url,
            auth_config: provider.auth_config.map(AuthConfigType::from),
            rate_limit: provider.rate_limit.map(RateLimitConfigType::from),
            retry_policy: provider.retry_policy.map(RetryPolicyType::from),
            default_timeout: provider.default_timeout.unwrap_or(HTTP_TIMEOUT_S),
        }
    }
}

impl From<AuthConfig> for AuthConfigType {
    fn from(auth: AuthConfig) -> Self {
        let AuthConfig { strategy, header, query_param, scopes } = auth;
        Self { strategy, header, query_param, format: None, scopes: Some(scopes).filter(|it| !it.is_empty()) }
    }
}

impl From<RateLimit> for RateLimitConfigType {
    fn from(limit: RateLimit) -> Self {
        Self {
            algorithm: limit.algorithm,
            capacity: int(limit.capacity),
            refill_per_sec: limit.refill_per_sec,
            window_size_sec: Some(limit.window_size_sec as i32),
        }
    }
}

impl From<RetryPolicy> for RetryPolicyType {
    fn from(policy: RetryPolicy) -> Self {
        Self {
            strategy: policy.strategy,
            max_retries: int(policy.max_retries),
            base_delay_ms: int(policy.base_delay_ms),
            max_delay_ms: Some(int(policy.max_delay_ms)),
            retry_on_status: policy.retry_on_status.into_iter().map(i32::from).collect(),
        }
    }
}

/// A number as the schema has them: none of these comes near the end of its range.
pub fn int(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

impl From<DescribedOperation> for OperationType {
    fn from(operation: DescribedOperation) -> Self {
        Self {
            name: operation.name,
            method: operation.method,
            path: operation.path,
            description: operation.refused.or(operation.description),
            required_scopes: Some(operation.required_scopes).filter(|it| !it.is_empty()),
            has_pagination: operation.has_pagination,
            timeout_override: operation.timeout_override,
        }
    }
}

impl From<OperationSchema> for OperationSchemaType {
    fn from(schema: OperationSchema) -> Self {
        Self {
            operation: schema.operation,
            method: schema.method,
            path: schema.path,
            description: schema.description,
            request_body: schema.request_body.map(Json::from),
            query_params: schema.query_params.map(Json::from),
            response: schema.response.map(Json::from),
        }
    }
}

impl From<try_operation::Response> for IntegrationTestResultType {
    fn from(response: try_operation::Response) -> Self {
        let preview = response.request.map(|it| json!(it)).or(response.response_preview.map(Value::String));
        Self {
            success: response.success,
            provider: response.provider,
            operation: response.operation,
            status_code: response.status_code.map(int),
            response_time_ms: response.response_time_ms.map(|it| it as f64),
            error: response.error.map(|it| format!("{}: {}", text_of(&it, "code"), text_of(&it, "message"))),
            response_preview: preview.map(Json::from),
        }
    }
}

impl IntegrationTestResultType {
    /// It was not even tried.
    pub fn refused(provider: String, operation: String, error: Error) -> Self {
        Self {
            success: false,
            provider,
            operation,
            status_code: None,
            response_time_ms: None,
            error: Some(format!("{}: {}", error.code(), error.message())),
            response_preview: None,
        }
    }
}

fn text_of<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// An operation as a value of the scalar.
pub fn shown_operation(operation: &OperationType) -> Value {
    json!({
        "name": operation.name,
        "method": operation.method,
        "path": operation.path,
        "description": operation.description,
        "required_scopes": operation.required_scopes,
        "has_pagination": operation.has_pagination,
        "timeout_override": operation.timeout_override,
    })
}
