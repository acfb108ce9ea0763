//! Keeping, trying and forgetting keys.

use async_graphql::{Context, Object};

use crate::error::Error;
use crate::handlers::api_keys::create::{self, create_api_key};
use crate::handlers::api_keys::delete::delete_api_key;
use crate::handlers::api_keys::test::test_api_key;
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::person::{CreateApiKeyInput, DomainApiKeyType};
use crate::http::graphql::types::results::{DeleteResult, Outcome};

type ApiKeyResult = Outcome<DomainApiKeyType>;

#[derive(Default)]
pub struct ApiKeyMutations;

#[Object(rename_args = "snake_case")]
impl ApiKeyMutations {
    /// Keeps a key; it is never shown again.
    async fn create_api_key(&self, context: &Context<'_>, input: CreateApiKeyInput) -> ApiKeyResult {
        let (app, caller) = desk(context);
        let request = match input.service.name() {
            Some(service) => create::Request { label: input.label, service, key: input.key },
            None => return Outcome::refused(unnamed_service(), app.scrubber()),
        };
        match create_api_key(app, caller, request).await {
            Ok(kept) => Outcome::done(format!("kept as `{}`", kept.id), &kept, kept.clone().into()),
            Err(error) => Outcome::refused(error, app.scrubber()),
        }
    }

    /// Asks the service whether a key works.
    async fn test_api_key(&self, context: &Context<'_>, api_key_id: String) -> ApiKeyResult {
        let (app, caller) = desk(context);
        match test_api_key(app, caller, &api_key_id).await {
            Ok(tried) => {
                let said = tried.error.as_ref().map(|it| (text_of(it, "code"), text_of(it, "message")));
                let message = format!("`{api_key_id}` works");
                let outcome = Outcome::done(message, &tried, tried.api_key.clone().into());
                outcome.but_failed(said)
            }
            Err(error) => Outcome::refused(error, app.scrubber()),
        }
    }

    /// Forgets a key.
    async fn delete_api_key(&self, context: &Context<'_>, api_key_id: String) -> DeleteResult {
        let (app, caller) = desk(context);
        match delete_api_key(app, caller, &api_key_id).await {
            Ok(gone) => DeleteResult::done(format!("forgot `{}`", gone.deleted_id), &gone, gone.deleted_id.clone()),
            Err(error) => DeleteResult::refused(error, app.scrubber()),
        }
    }
}

fn unnamed_service() -> Error {
    Error::invalid("INVALID_INPUT", "`service` is `OTHER`, which says whose keys are shown and not whose key this is")
        .hint("at the terminal `dipeo secrets set NAME` keeps a key of any provider")
}

fn text_of(value: &serde_json::Value, key: &str) -> String {
    value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}
