//! Checks manifests: every problem with its line.

use serde::{Deserialize, Serialize};

use super::super::{App, Caller};
use super::find::{self, Found};
use super::init::working_dir;
use crate::compile::report::DiagnosticReport;
use crate::diagram::Severity;
use crate::error::Error;
use crate::integrations::read;
use crate::nearest::nearest;

/// What to check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// A manifest file or a folder of them; the workspace's and the shipped ones when absent.
    pub path: Option<String>,
    /// Only this provider.
    pub provider: Option<String>,
}

/// One line per manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub valid: bool,
    pub manifests: Vec<Checked>,
    pub total: usize,
}

/// One manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub provider: Option<String>,
    pub valid: bool,
    pub operations: usize,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub diagnostics: Vec<DiagnosticReport>,
}

/// Checks manifests.
///
/// # Errors
///
/// `FILE_NOT_FOUND` when there is nothing to check, `PERMISSION_REQUIRED` for a client. Invalid manifests are
/// no error: the response says so.
pub async fn validate(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let working_dir = working_dir(caller)?;
    let found = match &request.path {
        None => find::all(&app.config.workspace),
        Some(path) => {
            let path = working_dir.join(path);
            let files = if path.is_file() { vec![path] } else { find::files(&path) };
            let text = |it: std::path::PathBuf| {
                let text = find::read_text(&it)?;
                Some(Found { shown: it.display().to_string(), path: Some(it), text })
            };
            files.into_iter().filter_map(text).collect()
        }
    };
    let mut manifests: Vec<Checked> = found.iter().map(check).collect();
    if let Some(provider) = &request.provider {
        let names: Vec<String> = manifests.iter().filter_map(|it| it.provider.clone()).collect();
        manifests.retain(|it| it.provider.as_ref() == Some(provider));
        if manifests.is_empty() {
            return Err(unknown_provider(provider, &names));
        }
    }
    if manifests.is_empty() {
        let path = request.path.unwrap_or_default();
        return Err(Error::not_found("FILE_NOT_FOUND", format!("`{path}` holds no manifest"))
            .hint("manifests are called provider.yaml, provider.yml or provider.json"));
    }
    Ok(Response { valid: manifests.iter().all(|it| it.valid), total: manifests.len(), manifests })
}

/// Nobody has this provider.
pub(super) fn unknown_provider(name: &str, names: &[String]) -> Error {
    let hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`dipeo integrations list` shows all".to_owned(),
    };
    Error::not_found("RESOURCE_NOT_FOUND", format!("no provider is named `{name}`")).hint(hint)
}

fn check(found: &Found) -> Checked {
    let read = read(&found.text);
    let is_valid = read.diagnostics.iter().all(|it| it.severity() != Severity::Error);
    Checked {
        path: found.shown.clone(),
        provider: read.manifest.as_ref().map(|it| it.name.clone()).or_else(|| find::name_of(&found.text)),
        valid: is_valid,
        operations: read.manifest.as_ref().map_or(0, |it| it.operations.len()),
        diagnostics: read.diagnostics.iter().map(|it| DiagnosticReport::new(it, &found.text)).collect(),
    }
}
