//! Where the server of this database listens, if one lives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::supervisor::{host_name, release_dead};
use super::{App, Caller};
use crate::error::Error;

/// A server that others can be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// `http://127.0.0.1:8000`; absent when none lives.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
}

/// Returns the address of the newest server of this database on this machine. One that was killed is not named.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, what the database says.
pub async fn live_server(app: &App, caller: &Caller) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let Some(store) = app.existing_store()? else { return Ok(Response { url: None }) };
    release_dead(store).await?;
    let host = host_name();
    let here = store.live_owners()?.into_iter().filter(|it| it.host == host);
    Ok(Response { url: here.filter_map(|it| it.url).next_back() })
}
