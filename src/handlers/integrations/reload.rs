//! Reads manifests anew. Nothing is kept of them between two uses, so what this shows is what the next call
//! takes; a manifest that cannot be used is an error here instead of there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{App, Caller};
use super::describe::{Described, provider, providers};
use crate::error::Error;

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub success: bool,
    /// As asked for.
    pub name: String,
    /// How many operations there are now.
    pub operations: usize,
    /// With `*`: the manifests that cannot be used, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub problems: Vec<String>,
}

/// Reads the manifest of `name`, or every one for `*`.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `RESOURCE_NOT_FOUND`, `INVALID_INPUT` when the one that is named cannot be used.
pub async fn reload_provider(app: &App, caller: &Caller, name: &str) -> Result<Response, Error> {
    let read = if name == "*" { providers(app, caller).await? } else { vec![provider(app, caller, name).await?] };
    let problem = |it: &Described| Some(format!("{}: {}", it.name, it.error.as_ref()?));
    let problems: Vec<String> = read.iter().filter_map(problem).collect();
    if let (Some(first), false) = (problems.first(), name == "*") {
        return Err(Error::invalid("INVALID_INPUT", format!("the manifest cannot be used: {first}"))
            .hint("`dipeo integrations validate` shows every problem"));
    }
    Ok(Response {
        success: problems.is_empty(),
        name: name.to_owned(),
        operations: read.iter().map(|it| it.operations.len()).sum(),
        problems,
    })
}
