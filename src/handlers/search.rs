//! Finds diagrams, guide pages and executions by words. Keeps ChatGPT's contract: one string in,
//! `{"results":[{id,title,url}]}` out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Caller};
use crate::error::Error;

/// What to look for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Words to look for in diagrams, guide pages and executions.
    pub query: String,
}

/// What was found, best first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub results: Vec<Hit>,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hit {
    /// A `dipeo://` URI for `fetch`.
    pub id: String,
    pub title: String,
    pub url: String,
}

/// Searches; an empty list when nothing fits.
///
/// # Errors
///
/// `INVALID_INPUT` for a blank query.
pub async fn search(_app: &App, _caller: &Caller, _request: Request) -> Result<Response, Error> {
    Err(Error::internal("not written"))
}
