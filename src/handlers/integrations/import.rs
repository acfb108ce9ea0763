//! Makes a manifest of an OpenAPI document.

use serde::{Deserialize, Serialize};

use super::super::{App, Caller};
use super::init::{folder, working_dir, write_new};
use crate::error::Error;
use crate::integrations::openapi::{Options, import as import_document, parse};
use crate::integrations::{read, write};
use crate::limits;

/// What to import.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The document's file.
    pub spec: String,
    /// Of the provider; from the document's title when absent.
    pub name: Option<String>,
    /// Folder of the manifests; `integrations` of the workspace when absent.
    pub output: Option<String>,
    /// Instead of the document's first server.
    pub base_url: Option<String>,
    /// Only operations whose name fits this pattern.
    pub only: Option<String>,
    /// Replace a manifest that is there.
    pub force: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub path: String,
    pub provider: String,
    pub operations: usize,
    /// What the manifest does not have, one sentence each.
    pub left_out: Vec<String>,
}

/// Writes `NAME/provider.yaml`.
///
/// # Errors
///
/// `FILE_NOT_FOUND`, `INVALID_INPUT` for what is no OpenAPI 3 document or has no usable server, `TOO_LARGE`,
/// `ALREADY_EXISTS` without `force`, `PERMISSION_REQUIRED` for a client.
pub async fn import(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let document = parse(&read_spec(caller, &request.spec)?)?;
    let only = match &request.only {
        Some(text) => Some(glob::Pattern::new(text).map_err(|error| {
            Error::invalid("INVALID_INPUT", format!("`{text}` is no pattern: {}", error.msg))
                .hint("as in `--only 'list_*'`")
        })?),
        None => None,
    };
    let options = Options { name: request.name.clone(), base_url: request.base_url.clone(), only };
    let imported = import_document(&document, &options)?;
    let text = write::to_yaml(&imported.manifest)?;
    let checked = read(&text);
    if let Some(problem) = checked.diagnostics.iter().find(|it| it.code.starts_with('E')) {
        let message = format!("the document makes no valid manifest: {}", problem.message);
        return Err(Error::invalid("INVALID_INPUT", message)
            .hint("choose operations with `--only GLOB`, or correct the document"));
    }
    let path = folder(app, caller, request.output.as_deref())?.join(&imported.name).join("provider.yaml");
    write_new(&path, &text, request.force)?;
    Ok(Response {
        path: path.display().to_string(),
        provider: imported.name,
        operations: imported.n_operations,
        left_out: imported.left_out,
    })
}

fn read_spec(caller: &Caller, spec: &str) -> Result<String, Error> {
    let path = working_dir(caller)?.join(spec);
    let metadata = std::fs::metadata(&path).map_err(|error| {
        Error::not_found("FILE_NOT_FOUND", format!("`{spec}` cannot be read: {error}"))
            .hint("name a file of this machine")
    })?;
    if metadata.len() > limits::OPENAPI_BYTES_MAX as u64 {
        let message = format!("`{spec}` has {} bytes, and {} are the most", metadata.len(), limits::OPENAPI_BYTES_MAX);
        return Err(Error::limit("TOO_LARGE", message).hint("split the document"));
    }
    std::fs::read_to_string(&path).map_err(|error| {
        Error::external("FILE_FAILED", format!("`{spec}` cannot be read: {error}")).hint("it must be a UTF-8 text")
    })
}
