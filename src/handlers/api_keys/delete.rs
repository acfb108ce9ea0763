//! Forgets a key.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{App, Caller};
use super::{find, require_owner};
use crate::error::Error;

/// What was forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    pub deleted_id: String,
}

/// Forgets a key; persons that name it go on with the key of their service, and say so.
///
/// # Errors
///
/// `PERMISSION_REQUIRED`, `INSUFFICIENT_SCOPE`, `SECRET_NOT_FOUND`; what the store of secrets says.
pub async fn delete_api_key(app: &App, caller: &Caller, id: &str) -> Result<Deleted, Error> {
    require_owner(caller)?;
    let key = find(app, id)?;
    app.ports.secrets.remove(&key.id)?;
    Ok(Deleted { deleted_id: key.id })
}
