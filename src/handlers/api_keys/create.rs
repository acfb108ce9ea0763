//! Keeps a new key.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::integrations::find as providers;
use super::super::secrets::new_secret;
use super::super::{App, Caller};
use super::{ApiKey, require_owner};
use crate::diagram::Service;
use crate::error::Error;
use crate::nearest::nearest;
use crate::nodes::ports::secrets::NewSecret;
use crate::secret::looks_like_a_key;

/// Longest label, in characters.
const LABEL_CHARS_MAX: usize = 100;

/// A key to keep. It cannot be printed.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub label: String,
    /// A model service or a provider.
    pub service: String,
    pub key: String,
}

/// Keeps a key under an id of its own, `APIKEY_` and six digits.
///
/// # Errors
///
/// `PERMISSION_REQUIRED`, `INSUFFICIENT_SCOPE`, `INVALID_INPUT`; what the store of secrets says. None repeats the key.
pub async fn create_api_key(app: &App, caller: &Caller, request: Request) -> Result<ApiKey, Error> {
    require_owner(caller)?;
    let label = label(&request)?;
    let service = service(app, &request.service)?;
    let taken: Vec<String> = app.ports.secrets.list()?.into_iter().map(|it| it.name).collect();
    let id = std::iter::repeat_with(new_id).find(|it| !taken.contains(it)).unwrap_or_else(new_id);
    let secret = new_secret(app, &id, &request.key, Some(service.clone()))?;
    let created_at = secret.at.clone();
    app.ports.secrets.put(vec![NewSecret { label: Some(label.clone()), ..secret }])?;
    Ok(ApiKey { id, label, service, created_at, key: None })
}

fn label(request: &Request) -> Result<String, Error> {
    let label = request.label.trim();
    let is_fine = !label.is_empty() && label.chars().count() <= LABEL_CHARS_MAX && !label.chars().any(char::is_control);
    // Fields are easily confused: what is no label is not repeated.
    if is_fine && !["sk-", "AIza", "xai-"].iter().any(|it| label.starts_with(it)) && label != request.key.trim() {
        return Ok(label.to_owned());
    }
    Err(Error::invalid("INVALID_INPUT", "`label` is no name for a key")
        .hint(format!("use one line of 1 to {LABEL_CHARS_MAX} characters that is not the key itself")))
}

/// The service by its own name: one that models answer for, or a provider of integrations.
fn service(app: &App, name: &str) -> Result<String, Error> {
    if let Some(service) = Service::parse(name).filter(|it| it.key_variable().is_some()) {
        return Ok(service.name().to_owned());
    }
    let providers = providers::names(app.workspace.root());
    if providers.iter().any(|it| it == name) {
        return Ok(name.to_owned());
    }
    let services = Service::ALL.into_iter().filter(|it| it.key_variable().is_some()).map(Service::name);
    let mut known: Vec<&str> = services.collect();
    known.extend(providers.iter().map(String::as_str));
    let shown: String = name.chars().filter(|it| !it.is_control()).take(60).collect();
    let shown = if looks_like_a_key(&shown) { "***".to_owned() } else { shown };
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", known.join(", ")),
    };
    Err(Error::invalid("INVALID_INPUT", format!("`{shown}` is no service with keys")).hint(hint))
}

fn new_id() -> String {
    let digits = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
    format!("APIKEY_{}", &digits[..6])
}
