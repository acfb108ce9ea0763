//! Shows every setting of this process with its value and what set it. Secrets are named and not shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Caller};
use crate::error::Error;

/// There is nothing to choose.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {}

/// The settings, those that decide where things are first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub settings: Vec<Setting>,
    pub total: usize,
    /// What was set and does not count, and variables nobody knows.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// With a point in it: a key of `dipeo.toml`.
    pub name: String,
    pub value: String,
    /// A flag, a variable, `dipeo.toml`, `config.toml`, or `default`.
    pub source: String,
}

/// Returns the settings of this process.
///
/// # Errors
///
/// `PERSON_REQUIRED` for a client: where things are is for the person whose machine it is.
pub async fn show_config(app: &App, caller: &Caller, _: Request) -> Result<Response, Error> {
    if !matches!(caller, Caller::Terminal { .. }) {
        return Err(Error::refused("PERSON_REQUIRED", "settings are shown at the terminal only")
            .hint("ask the person who runs this server for `dipeo config show`"));
    }
    let settings: Vec<Setting> = app
        .config
        .explained
        .iter()
        .map(|it| Setting { name: it.name.clone(), value: it.value.clone(), source: it.source.clone() })
        .collect();
    Ok(Response { total: settings.len(), settings, warnings: app.config.warnings.clone() })
}
