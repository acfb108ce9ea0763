//! Tries a key with the cheapest call there is: its service is asked which models it has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{App, Caller};
use super::available_models::ask;
use super::{ApiKey, find, require_owner};
use crate::error::Error;

/// Whether it works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub success: bool,
    pub api_key: ApiKey,
    /// How many models it opens.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub models_count: Option<usize>,
    /// `{code, message, hint?, details?}`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Value>,
}

/// Tries a key. One that is refused is a result; so is a service that does not answer, with its own code.
///
/// # Errors
///
/// `PERMISSION_REQUIRED`, `INSUFFICIENT_SCOPE`, `SECRET_NOT_FOUND`, `INVALID_INPUT` for a key of a service that
/// cannot be asked; what the store of secrets says.
pub async fn test_api_key(app: &App, caller: &Caller, id: &str) -> Result<Response, Error> {
    require_owner(caller)?;
    let api_key = find(app, id)?;
    match ask(app, &api_key.service, Some(id)).await {
        Ok(models) => Ok(Response { success: true, api_key, models_count: Some(models.len()), error: None }),
        Err(error) if matches!(error.code(), "LLM_FAILED" | "NO_MODEL") => {
            let error = Some(error.scrubbed(app.scrubber()).to_json());
            Ok(Response { success: false, api_key, models_count: None, error })
        }
        Err(error) => Err(error),
    }
}
