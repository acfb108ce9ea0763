//! Providers of integrations.

use async_graphql::{Context, Object};

use crate::error::Error;
use crate::handlers::integrations::describe::{operation_schema, provider, providers};
use crate::handlers::integrations::statistics::provider_statistics;
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::provider::{
    OperationSchemaType, OperationType, ProviderStatisticsType, ProviderType, int, shown_operation,
};
use crate::http::graphql::types::results::envelope;
use crate::http::graphql::types::scalars::Json;

#[derive(Default)]
pub struct ProviderQueries;

#[Object(rename_args = "snake_case")]
impl ProviderQueries {
    /// The providers of the workspace and those that are shipped, by name.
    async fn list_providers(&self, context: &Context<'_>) -> Result<Vec<ProviderType>, Error> {
        let (app, caller) = desk(context);
        Ok(providers(app, caller).await?.into_iter().map(ProviderType::from).collect())
    }

    /// One provider.
    async fn get_provider(&self, context: &Context<'_>, name: String) -> Result<ProviderType, Error> {
        let (app, caller) = desk(context);
        Ok(provider(app, caller, &name).await?.into())
    }

    /// The operations of a provider: `OperationType` values.
    async fn get_provider_operations(&self, context: &Context<'_>, provider: String) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        let found = self::provider(app, caller, &provider).await?;
        let operations: Vec<_> = found.operations.into_iter().map(OperationType::from).collect();
        Ok(operations.iter().map(shown_operation).collect::<serde_json::Value>().into())
    }

    /// What an operation takes and gives.
    async fn get_operation_schema(
        &self,
        context: &Context<'_>,
        provider: String,
        operation: String,
    ) -> Result<Option<OperationSchemaType>, Error> {
        let (app, caller) = desk(context);
        Ok(Some(operation_schema(app, caller, &provider, &operation).await?.into()))
    }

    /// How many providers and operations there are.
    async fn get_provider_statistics(&self, context: &Context<'_>) -> Result<ProviderStatisticsType, Error> {
        let (app, caller) = desk(context);
        let counted = provider_statistics(app, caller).await?;
        Ok(ProviderStatisticsType {
            total_providers: int(counted.total_providers),
            total_operations: int(counted.total_operations),
            provider_types: envelope(&counted.provider_types).into(),
            providers: counted.providers.iter().map(|it| envelope(it).into()).collect(),
        })
    }
}
