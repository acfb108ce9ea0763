//! Lists keys and shows one, by everything but the key.

use super::super::caller::Scope;
use super::super::{App, Caller};
use super::{ApiKey, find};
use crate::error::Error;

/// Lists keys, of one service if one is named, by id.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`; what the store of secrets says.
pub async fn list_api_keys(app: &App, caller: &Caller, service: Option<&str>) -> Result<Vec<ApiKey>, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let all = app.ports.secrets.list()?.into_iter().filter_map(ApiKey::of);
    Ok(all.filter(|it| service.is_none_or(|service| it.service == service)).collect())
}

/// Shows one key.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `SECRET_NOT_FOUND`; what the store of secrets says.
pub async fn get_api_key(app: &App, caller: &Caller, id: &str) -> Result<ApiKey, Error> {
    caller.require(&[Scope::DiagramRead])?;
    find(app, id)
}
