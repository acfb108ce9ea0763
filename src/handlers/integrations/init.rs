//! Writes a manifest to begin with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::{App, Caller};
use crate::error::Error;
use crate::integrations::shipped;

/// Where to write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Folder of the manifests; `integrations` of the workspace when absent.
    pub path: Option<String>,
    /// Replace a file that is there.
    pub force: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub path: String,
}

/// Writes `example/provider.yaml`.
///
/// # Errors
///
/// `ALREADY_EXISTS` without `force`, `FILE_FAILED`, `PERMISSION_REQUIRED` for a client.
pub async fn init(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let folder = folder(app, caller, request.path.as_deref())?;
    let text = shipped::find("example").ok_or_else(|| Error::internal("the example is not shipped"))?.text;
    let path = folder.join("example/provider.yaml");
    write_new(&path, text, request.force)?;
    Ok(Response { path: path.display().to_string() })
}

/// The folder of manifests that a person at the terminal means.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client.
pub(super) fn folder(app: &App, caller: &Caller, path: Option<&str>) -> Result<PathBuf, Error> {
    let working_dir = working_dir(caller)?;
    Ok(path.map_or_else(|| app.config.workspace.join("integrations"), |it| working_dir.join(it)))
}

/// Manifests decide where keys are sent, so only a person writes and tries them.
pub(super) fn working_dir(caller: &Caller) -> Result<&PathBuf, Error> {
    match caller {
        Caller::Terminal { working_dir } => Ok(working_dir),
        _ => Err(Error::refused("PERMISSION_REQUIRED", "only a person at the terminal may work on integrations")
            .hint("ask the person to run `dipeo integrations`")),
    }
}

/// Writes a file that is not there yet, making its folders.
pub(super) fn write_new(path: &std::path::Path, text: &str, force: bool) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        Error::external("FILE_FAILED", format!("cannot write `{}`: {error}", path.display()))
            .hint("check the path and its rights")
    };
    if path.exists() && !force {
        return Err(Error::conflict("ALREADY_EXISTS", format!("`{}` is already there", path.display()))
            .hint("`--force` replaces it"));
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // Written aside and renamed: a reader never sees half of it.
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, path)).map_err(failed)
}
