//! Copies the database while it is in use, and clears older copies away.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rotation::Rotation;
use super::{existing, read_stamp, require_terminal, stamp};
use crate::error::Error;
use crate::handlers::{App, Caller};

/// How the name of a backup begins and ends; the moment stands between.
const NAME: (&str, &str) = ("dipeo-", ".db");

/// Where to, and which earlier backups stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// A new file, or a folder for files named by the time; absent means `.dipeo/backups` of the workspace.
    pub path: Option<PathBuf>,
    /// `7d,4w,12m`: of the backups in the folder stay the newest of each of the last days, weeks, months.
    pub keep: Option<String>,
}

/// The backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub path: String,
    pub bytes: u64,
    /// Earlier backups that were deleted.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub removed: Vec<String>,
}

/// Makes a backup: a checked copy that only this user may read. Secrets and their key are not in it.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `INVALID_INPUT`, `ALREADY_EXISTS`, `FILE_NOT_FOUND` when there is no
/// database; `FILE_FAILED`, `DATABASE_FAILED`.
pub async fn backup(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    require_terminal(caller)?;
    let rotation = request.keep.as_deref().map(Rotation::parse).transpose()?;
    let place = Place::of(app, caller, request.path.as_deref());
    if let (Some(_), Place::File(file)) = (&rotation, &place) {
        return Err(Error::invalid("INVALID_INPUT", format!("`{}` is one file", file.display()))
            .hint("`--keep` needs a folder: leave PATH out, or end it with /"));
    }
    let store = existing(app)?.ok_or_else(|| {
        Error::not_found("FILE_NOT_FOUND", format!("there is no database `{}`", app.config.database.display()))
            .hint("run a diagram first, or name the database with `--db`")
    })?;
    let file = match &place {
        Place::File(file) => file.clone(),
        Place::Folder(folder) => {
            make_folder(folder)?;
            folder.join(format!("{}{}{}", NAME.0, stamp(app.clock.now()), NAME.1))
        }
    };
    let bytes = store.back_up(&file).await?;
    let removed = match (rotation, place) {
        (Some(rotation), Place::Folder(folder)) => clear_away(&rotation, &folder)?,
        _ => Vec::new(),
    };
    Ok(Response { path: file.display().to_string(), bytes, removed })
}

enum Place {
    File(PathBuf),
    Folder(PathBuf),
}

impl Place {
    fn of(app: &App, caller: &Caller, path: Option<&Path>) -> Self {
        let Some(path) = path else { return Self::Folder(app.config.workspace.join(".dipeo/backups")) };
        let is_folder = path.as_os_str().to_string_lossy().ends_with('/');
        let path = match caller {
            Caller::Terminal { working_dir } => working_dir.join(path),
            Caller::Client(_) => path.to_path_buf(),
        };
        if is_folder || path.is_dir() { Self::Folder(path) } else { Self::File(path) }
    }
}

/// For this user alone when it is new.
fn make_folder(folder: &Path) -> Result<(), Error> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|e| {
        Error::external("FILE_FAILED", format!("cannot make the folder `{}`", folder.display()))
            .hint("check that it can be written to, or name another")
            .source(e)
    })
}

/// Deletes the backups of this folder that the rotation lets go; other files stay.
fn clear_away(rotation: &Rotation, folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |e: std::io::Error| {
        Error::external("FILE_FAILED", format!("cannot clear older backups away in `{}`", folder.display()))
            .hint("the new backup is complete; check the rights of that folder")
            .source(e)
    };
    let mut backups = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        let middle = name.strip_prefix(NAME.0).and_then(|it| it.strip_suffix(NAME.1));
        if let Some(at) = middle.and_then(read_stamp) {
            backups.push((at, path));
        }
    }
    let kept = rotation.keeps(&backups.iter().map(|it| it.0).collect::<Vec<_>>());
    backups.sort();
    let mut removed = Vec::new();
    for (_, path) in backups.into_iter().filter(|it| !kept.contains(&it.0)) {
        std::fs::remove_file(&path).map_err(failed)?;
        removed.push(path.display().to_string());
    }
    Ok(removed)
}
