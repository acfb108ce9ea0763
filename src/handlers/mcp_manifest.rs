//! Writes the manifest of this server for registries, or says that a written one has fallen behind.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::TextDiff;

use super::{App, Caller};
use crate::error::Error;

/// Lines of a difference that are shown.
const DIFFERENCE_LINES_MAX: usize = 40;

/// What to do with which file.
#[derive(Clone, Debug)]
pub struct Request {
    /// The manifest as the code makes it.
    pub manifest: Value,
    pub file: PathBuf,
    /// Compare, and write nothing.
    pub check: bool,
}

/// The file and its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub file: PathBuf,
    /// Whether the file had to be written.
    pub written: bool,
}

/// The manifest as it stands in a file.
pub fn text_of(manifest: &Value) -> String {
    format!("{manifest:#}\n")
}

/// Writes or compares.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `MANIFEST_OUTDATED` with the difference when the file to check says
/// something else; `FILE_NOT_FOUND`, `FILE_FAILED`.
pub async fn mcp_manifest(_: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    if !matches!(caller, Caller::Terminal { .. }) {
        return Err(Error::refused("PERMISSION_REQUIRED", "only a person at the terminal may write the manifest")
            .hint("ask the person to run `dipeo mcp manifest`"));
    }
    let Request { manifest, file, check } = request;
    let text = text_of(&manifest);
    let committed = match std::fs::read_to_string(&file) {
        Ok(it) => Some(it),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed("read", &file, e)),
    };
    match committed {
        Some(it) if it == text => Ok(Response { file, written: false }),
        Some(it) if check => Err(outdated(&file, &it, &text)),
        None if check => Err(Error::not_found("FILE_NOT_FOUND", format!("`{}` is not there", file.display()))
            .hint("write it with `dipeo mcp manifest`")),
        Some(_) | None => {
            std::fs::write(&file, text).map_err(|e| failed("write", &file, e))?;
            Ok(Response { file, written: true })
        }
    }
}

fn outdated(file: &std::path::Path, old: &str, new: &str) -> Error {
    let difference = TextDiff::from_lines(old, new).unified_diff().context_radius(1).to_string();
    let shown: Vec<&str> = difference.lines().take(DIFFERENCE_LINES_MAX).collect();
    Error::conflict("MANIFEST_OUTDATED", format!("`{}` is not what this program makes", file.display()))
        .hint("write it anew with `dipeo mcp manifest`")
        .details(serde_json::json!({ "difference": shown }))
}

fn failed(what: &str, file: &std::path::Path, e: std::io::Error) -> Error {
    Error::external("FILE_FAILED", format!("cannot {what} `{}`: {}", file.display(), e.kind()))
        .hint("check the path and its rights")
        .source(e)
}
