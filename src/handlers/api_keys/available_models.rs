//! Which models a service offers, asked from the service itself and remembered for an hour.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::caller::Scope;
use super::super::{App, Caller};
use super::find;
use crate::clock::Timestamp;
use crate::diagram::Service;
use crate::error::Error;
use crate::nearest::nearest;

/// How long an answer holds, in milliseconds.
const KEPT_MS: i64 = 60 * 60 * 1_000;
/// Most answers that are remembered.
const KEPT_MAX: usize = 256;

/// Whom to ask, with what.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub service: String,
    /// The key of the service when absent or empty.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api_key_id: Option<String>,
}

/// What services said lately.
#[derive(Default)]
pub struct KnownModels(Mutex<HashMap<Asked, (Timestamp, Vec<String>)>>);

/// Who was asked, with which key, and when that key was set: another key is another question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    service: &'static str,
    api_key_id: Option<String>,
    set_at: Option<String>,
}

impl KnownModels {
    fn fresh(&self, asked: &Asked, now: Timestamp) -> Option<Vec<String>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, models) = known.get(asked)?;
        (0..KEPT_MS).contains(&now.since_ms(*at)).then(|| models.clone())
    }

    fn keep(&self, asked: Asked, now: Timestamp, models: Vec<String>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| (0..KEPT_MS).contains(&now.since_ms(*at)));
        if known.len() < KEPT_MAX {
            known.insert(asked, (now, models));
        }
    }
}

/// Names the models of a service, sorted. A service that does not answer is an error, never an empty list.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_INPUT` for a service that is none or has no list, `SECRET_NOT_FOUND`,
/// `NO_MODEL` without a key, `LLM_FAILED`.
pub async fn available_models(app: &App, caller: &Caller, request: Request) -> Result<Vec<String>, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let service = service(&request.service)?;
    let id = request.api_key_id.filter(|it| !it.trim().is_empty());
    let set_at = match &id {
        // A secret of another service is not sent to this one.
        Some(id) if Service::parse(&find(app, id)?.service) != Some(service) => {
            return Err(Error::not_found(
                "SECRET_NOT_FOUND",
                format!("`api_key_id` names no key of `{}`", service.name()),
            )
            .hint("`getApiKeys` lists the keys of each service"));
        }
        Some(id) => app.ports.secrets.list()?.into_iter().find(|it| it.name == *id).map(|it| it.updated_at),
        None => None,
    };
    let asked = Asked { service: service.name(), api_key_id: id.clone(), set_at };
    let now = app.clock.now();
    if let Some(known) = app.known_models.fresh(&asked, now) {
        return Ok(known);
    }
    let models = ask(app, service.name(), id.as_deref()).await?;
    app.known_models.keep(asked, now, models.clone());
    Ok(models)
}

/// Asks a service now.
///
/// # Errors
///
/// As [`available_models`].
pub(super) async fn ask(app: &App, name: &str, api_key_id: Option<&str>) -> Result<Vec<String>, Error> {
    let asked = app.ports.models.available(service(name)?, api_key_id).await;
    let mut models = asked.map_err(|error| error.scrubbed(app.scrubber()))?;
    models.sort();
    models.dedup();
    Ok(models)
}

fn service(name: &str) -> Result<Service, Error> {
    Service::parse(name).ok_or_else(|| {
        let shown: String = name.chars().filter(|it| !it.is_control()).take(60).collect();
        let names = Service::ALL.map(Service::name);
        let hint = match nearest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {}", names.join(", ")),
        };
        Error::invalid("INVALID_INPUT", format!("no model answers for `{shown}`")).hint(hint)
    })
}
