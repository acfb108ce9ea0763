//! Prompt files of the workspace: what `prompt_file` of a node or person may name (surface.md 5.1).

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::caller::Scope;
use super::super::{App, Caller};
use super::place;
use crate::error::Error;
use crate::limits;
use crate::nearest::nearest;

/// Where they are.
const FOLDER: &str = "files/prompts";
/// What may be one.
const EXTENSIONS: [&str; 5] = ["txt", "md", "csv", "json", "yaml"];
/// Deepest folder that is listed.
const DEPTH_MAX: usize = 6;
/// Most files that are listed.
const FILES_MAX: usize = 1_000;

/// One prompt file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PromptFile {
    /// Below files/prompts: what `prompt_file` takes.
    pub name: String,
    /// Below the workspace.
    pub path: String,
    /// Without the dot.
    pub extension: String,
    /// Bytes.
    pub size: u64,
}

/// A prompt file with what is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Content {
    pub success: bool,
    pub filename: String,
    /// The value of a JSON file, the text of any other.
    pub content: Value,
    /// The text as it is.
    pub raw_content: String,
    pub extension: String,
    /// Bytes.
    pub size: u64,
}

/// Lists the prompt files, by name.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`.
pub async fn list_prompt_files(app: &App, caller: &Caller) -> Result<Vec<PromptFile>, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let folder = app.workspace.root().join(FOLDER);
    let mut found = Vec::new();
    walk(&folder, String::new(), DEPTH_MAX, &mut found);
    found.sort();
    Ok(found)
}

/// Reads one prompt file.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_NAME`, `FILE_NOT_FOUND` (also for a file of another kind, or elsewhere), `TOO_LARGE`,
/// `FILE_FAILED`.
pub async fn read_prompt_file(app: &App, caller: &Caller, filename: &str) -> Result<Content, Error> {
    caller.require(&[Scope::DiagramRead])?;
    let name = filename.strip_prefix("files/prompts/").unwrap_or(filename);
    let relative = place::relative(name)?;
    let folder = app.workspace.root().join(FOLDER);
    let file = place::existing(&folder, &relative);
    let (Some(file), Some(extension)) = (file, extension_of(name)) else {
        let mut all = Vec::new();
        walk(&folder, String::new(), DEPTH_MAX, &mut all);
        let near = nearest(name, all.iter().map(|it| it.name.as_str())).map(|it| format!("did you mean `{it}`?"));
        return Err(Error::not_found("FILE_NOT_FOUND", format!("there is no prompt file `{name}`")).hint(
            near.unwrap_or_else(|| format!("prompt files are in {FOLDER} and end in .{}", EXTENSIONS.join(" ."))),
        ));
    };
    let raw_content = read(&file, name)?;
    let content = match extension {
        "json" => serde_json::from_str(&raw_content).unwrap_or_else(|_| raw_content.as_str().into()),
        _ => raw_content.as_str().into(),
    };
    Ok(Content {
        success: true,
        filename: name.to_owned(),
        content,
        extension: extension.to_owned(),
        size: raw_content.len() as u64,
        raw_content,
    })
}

fn read(file: &Path, name: &str) -> Result<String, Error> {
    let failed = |error: std::io::Error| {
        Error::external("FILE_FAILED", format!("cannot read `{name}`: {}", error.kind()))
            .hint("prompt files are UTF-8 texts that this program may read")
            .source(error)
    };
    let size = std::fs::metadata(file).map_err(failed)?.len();
    if size > limits::DIAGRAM_BYTES_MAX as u64 {
        let most = limits::DIAGRAM_BYTES_MAX;
        return Err(Error::limit("TOO_LARGE", format!("`{name}` has {size} bytes; a prompt file may have {most}"))
            .hint("split it"));
    }
    std::fs::read_to_string(file).map_err(failed)
}

/// Collects the files below `folder`; links are not followed.
fn walk(folder: &Path, below: String, depth: usize, found: &mut Vec<PromptFile>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let Ok(file_name) = entry.file_name().into_string() else { continue };
        if found.len() == FILES_MAX || file_name.starts_with('.') {
            continue;
        }
        let name = format!("{below}{file_name}");
        if kind.is_dir() && depth > 0 {
            walk(&entry.path(), format!("{name}/"), depth - 1, found);
        } else if kind.is_file()
            && let (Some(extension), Ok(described)) = (extension_of(&name), entry.metadata())
        {
            let path = format!("{FOLDER}/{name}");
            found.push(PromptFile { name, path, extension: extension.to_owned(), size: described.len() });
        }
    }
}

fn extension_of(name: &str) -> Option<&'static str> {
    let written = Path::new(name).extension()?.to_str()?.to_ascii_lowercase();
    EXTENSIONS.into_iter().find(|it| *it == written)
}
