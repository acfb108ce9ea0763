//! Which services can be asked for models here, and which keys there are: by their names, never by their values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::{App, Caller};
use crate::diagram::Service;
use crate::error::Error;

/// The services, in the order in which the guide names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub models: Vec<ListedModel>,
    pub total: usize,
}

/// A service that persons of diagrams may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedModel {
    /// As `service` of a person.
    pub service: String,
    /// What a person gets that names no model; absent when it has to name one, or needs none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub default_model: Option<String>,
    /// Whether it is asked with a key.
    pub needs_key: bool,
    /// Whether a person without a key of its own can ask it.
    pub available: bool,
    /// It is asked at another address than the provider's.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub has_own_address: bool,
}

/// The keys, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeysResponse {
    pub keys: Vec<ListedKey>,
    pub total: usize,
}

/// A key that persons may name, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListedKey {
    /// As `api_key_id` of a person, or the variable that holds it.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub service: Option<String>,
    /// `secrets` or `environment`.
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated_at: Option<String>,
}

/// Lists the services that persons may name.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`.
pub async fn list_models(app: &App, caller: &Caller) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let settings = &app.config.models;
    let listed = |service: Service| {
        let provider = settings.provider(service);
        let address = provider.map_or(settings.ollama_host.as_ref(), |it| it.base_url.as_ref());
        ListedModel {
            service: service.name().to_owned(),
            default_model: settings.default_model(service).map(str::to_owned),
            needs_key: provider.is_some(),
            available: settings.has_key(service),
            has_own_address: address.is_some() && (provider.is_some() || service == Service::Ollama),
        }
    };
    let models: Vec<ListedModel> = Service::ALL.into_iter().map(listed).collect();
    Ok(Response { total: models.len(), models })
}

/// Lists the keys by name: those that were stored, then the variables that hold one.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for everybody but the owner of the server; what reading the secrets says.
pub async fn list_keys(app: &App, caller: &Caller) -> Result<KeysResponse, Error> {
    caller.require(&[Scope::DiagramRead])?;
    if !caller.is_owner() {
        return Err(Error::refused("PERMISSION_REQUIRED", "only the owner of the server may see which keys there are")
            .hint("ask the owner, or name the key in the diagram: whether it is there is said when it is compiled"));
    }
    let stored = app.ports.secrets.list()?.into_iter().map(|it| ListedKey {
        name: it.name,
        service: it.service,
        source: "secrets".to_owned(),
        created_at: Some(it.created_at),
        updated_at: Some(it.updated_at),
    });
    let of_environment = app.config.provider_keys.keys().map(|name| ListedKey {
        name: name.clone(),
        service: None,
        source: "environment".to_owned(),
        created_at: None,
        updated_at: None,
    });
    let keys: Vec<ListedKey> = stored.chain(of_environment).collect();
    Ok(KeysResponse { total: keys.len(), keys })
}
