//! Calling providers.

use async_graphql::{Context, Object};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::handlers::integrations::execute::{self, execute_integration};
use crate::handlers::integrations::reload::reload_provider;
use crate::handlers::integrations::try_operation::{self, test_integration};
use crate::handlers::run_diagram::Waiting;
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::provider::{ExecuteIntegrationInput, IntegrationTestResultType, TestIntegrationInput};
use crate::http::graphql::types::results::{envelope, refused_json};
use crate::http::graphql::types::scalars::Json;

#[derive(Default)]
pub struct IntegrationMutations;

#[Object(rename_args = "snake_case")]
impl IntegrationMutations {
    /// Calls an operation, as an execution of one node.
    async fn execute_integration(&self, context: &Context<'_>, input: ExecuteIntegrationInput) -> Json {
        let (app, caller) = desk(context);
        let config = match config_of("config", input.config.0) {
            Ok(config) => config,
            Err(error) => return refused_json(error, app.scrubber()).into(),
        };
        let request = execute::Request {
            provider: input.provider,
            operation: input.operation,
            config,
            api_key_id: input.api_key_id.map(|it| it.0),
            timeout: input.timeout.map(f64::from),
            resource_id: input.resource_id,
            wait_seconds: None,
        };
        let outcome = execute_integration(app, caller, request, Waiting::default()).await;
        outcome.map_or_else(|it| refused_json(it, app.scrubber()), |it| envelope(&it)).into()
    }

    /// Shows the request that an operation would send, or sends it.
    async fn test_integration(&self, context: &Context<'_>, input: TestIntegrationInput) -> IntegrationTestResultType {
        let (app, caller) = desk(context);
        let (provider, operation) = (input.provider.clone(), input.operation.clone());
        let outcome = async {
            let request = try_operation::Request {
                provider: input.provider,
                operation: input.operation,
                config_preview: config_of("config_preview", input.config_preview.0)?,
                api_key_id: input.api_key_id.map(|it| it.0),
                dry_run: input.dry_run,
            };
            test_integration(app, caller, request).await
        };
        match outcome.await {
            Ok(response) => response.into(),
            Err(error) => IntegrationTestResultType::refused(provider, operation, error.scrubbed(app.scrubber())),
        }
    }

    /// Reads a manifest anew, or all with `*`, and says what is wrong with it.
    async fn reload_provider(&self, context: &Context<'_>, name: String) -> Json {
        let (app, caller) = desk(context);
        let outcome = reload_provider(app, caller, &name).await;
        outcome.map_or_else(|it| refused_json(it, app.scrubber()), |it| envelope(&it)).into()
    }
}

fn config_of(name: &str, value: Value) -> Result<Option<Map<String, Value>>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::Object(map) => Ok(Some(map)),
        _ => Err(Error::invalid("INVALID_INPUT", format!("`{name}` is no object")).hint("write {\"NAME\": VALUE}")),
    }
}
