//! Keys of services, never the keys themselves.

use async_graphql::{Context, Object};

use crate::error::Error;
use crate::handlers::api_keys::available_models::{self, available_models};
use crate::handlers::api_keys::list::{get_api_key, list_api_keys};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::person::DomainApiKeyType;
use crate::http::graphql::types::results::envelope;
use crate::http::graphql::types::scalars::Json;

#[derive(Default)]
pub struct ApiKeyQueries;

#[Object(rename_args = "snake_case")]
impl ApiKeyQueries {
    /// The keys that are stored, by id.
    async fn get_api_keys(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Only keys of this service.")] service: Option<String>,
    ) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        Ok(envelope(&list_api_keys(app, caller, service.as_deref()).await?).into())
    }

    /// One of them.
    async fn get_api_key(&self, context: &Context<'_>, api_key_id: String) -> Result<DomainApiKeyType, Error> {
        let (app, caller) = desk(context);
        Ok(get_api_key(app, caller, &api_key_id).await?.into())
    }

    /// The names of the models that a service offers to whoever has this key.
    async fn get_available_models(
        &self,
        context: &Context<'_>,
        service: String,
        api_key_id: String,
    ) -> Result<Json, Error> {
        let (app, caller) = desk(context);
        let request = available_models::Request { service, api_key_id: Some(api_key_id) };
        Ok(envelope(&available_models(app, caller, request).await?).into())
    }
}
