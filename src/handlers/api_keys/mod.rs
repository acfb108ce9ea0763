//! Keys of model services and providers, kept where all secrets are: in the user's own folder, mode 0600, never in
//! the workspace or the database. A key is never part of an answer, and no model ever sees one asked for.
//!
//! A key is a secret with a service. Persons and nodes name it as `api_key_id`.

pub mod available_models;
pub mod create;
pub mod delete;
pub mod list;
pub mod test;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::{Door, Scope};
use super::{App, Caller};
use crate::error::Error;
use crate::nodes::ports::secrets::SecretInfo;
use crate::secret::looks_like_a_key;

/// A key as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKey {
    /// What persons and nodes name as `api_key_id`.
    pub id: String,
    /// What its owner calls it; its id when nobody said.
    pub label: String,
    pub service: String,
    pub created_at: String,
    /// Always absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
}

impl ApiKey {
    fn of(info: SecretInfo) -> Option<Self> {
        let label = info.label.unwrap_or_else(|| info.name.clone());
        Some(Self { id: info.name, label, service: info.service?, created_at: info.created_at, key: None })
    }
}

/// Only the owner of this machine's secrets may change them, and not by way of a model.
fn require_owner(caller: &Caller) -> Result<(), Error> {
    let is_model = matches!(caller, Caller::Client(it) if it.door != Door::Http);
    if caller.is_owner() && !is_model {
        return caller.require(&[Scope::DiagramWrite]);
    }
    Err(Error::refused("PERMISSION_REQUIRED", "only the owner of this server may use its keys")
        .hint("ask the owner to run `dipeo secrets set NAME`"))
}

/// Finds a key by its id.
fn find(app: &App, id: &str) -> Result<ApiKey, Error> {
    let found = app.ports.secrets.list()?.into_iter().find(|it| it.name == id).and_then(ApiKey::of);
    found.ok_or_else(|| {
        let shown: String = id.chars().filter(|it| !it.is_control()).take(60).collect();
        // Somebody may have put the key itself where its name belongs.
        let shown = if looks_like_a_key(&shown) { "***".to_owned() } else { shown };
        Error::not_found("SECRET_NOT_FOUND", format!("there is no key `{shown}`"))
            .hint("`getApiKeys` lists them; `dipeo secrets list` at the terminal shows every secret")
    })
}
