//! Whether this process can do its work: the database takes writes, the workspace can be written, the disk has
//! room. Nothing is changed by looking.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access, statvfs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{App, Caller};
use crate::error::Error;
use crate::limits;

/// How long the database may take to answer.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub status: Health,
    /// RFC 3339.
    pub timestamp: String,
    pub checks: Checks,
    pub version: String,
    /// One sentence for each check that failed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub problems: Vec<String>,
}

/// All of it in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Healthy,
    Degraded,
}

/// Each check, and whether it went well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checks {
    /// It can be read and takes writes.
    pub database: bool,
    /// The workspace is there and can be written.
    pub file_system: bool,
    /// There is room for what runs write.
    pub disk_space: bool,
}

/// Looks at the database and the disk. Anybody may ask; who is not the owner of the server is told no path.
///
/// # Errors
///
/// None today; a check that fails is a result.
pub async fn health_check(app: &App, caller: &Caller) -> Result<Response, Error> {
    let database = database(app).await;
    let (root, state) = (app.workspace.root(), app.config.database.parent());
    let file_system = writable(root);
    let disk_space = state.into_iter().chain([root]).try_for_each(has_room);
    let checks =
        Checks { database: database.is_ok(), file_system: file_system.is_ok(), disk_space: disk_space.is_ok() };
    let mut problems: Vec<String> = [database, file_system, disk_space].into_iter().filter_map(Result::err).collect();
    if !caller.is_owner() {
        problems.clear();
    }
    let is_well = checks.database && checks.file_system && checks.disk_space;
    Ok(Response {
        status: if is_well { Health::Healthy } else { Health::Degraded },
        timestamp: app.clock.now().to_rfc3339(),
        checks,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        problems,
    })
}

async fn database(app: &App) -> Result<(), String> {
    let answers = async { app.store()?.answers().await };
    match tokio::time::timeout(DATABASE_PATIENCE, answers).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.message().to_owned()),
        Err(_) => Err(format!("the database does not answer within {} s", DATABASE_PATIENCE.as_secs())),
    }
}

fn writable(root: &Path) -> Result<(), String> {
    access(root, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("the workspace `{}` cannot be used: {}", root.display(), error.kind()))
}

/// Whether the disk of `folder` has room; a folder that is not made yet is on the disk of the one it will be in.
fn has_room(folder: &Path) -> Result<(), String> {
    let Some(existing) = folder.ancestors().find(|it| it.is_dir()) else { return Ok(()) };
    let room = statvfs(existing).map_err(|error| format!("the disk of `{}`: {}", existing.display(), error.kind()))?;
    let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
    if free_bytes >= limits::DISK_FREE_BYTES_MIN {
        return Ok(());
    }
    Err(format!("the disk of `{}` has only {} MiB left", existing.display(), free_bytes / 1024 / 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_made_yet_lies_on_a_disk_all_the_same() {
        let folder = tempfile::tempdir().expect("temporary folder");
        assert_eq!(has_room(&folder.path().join("not/yet")), has_room(folder.path()));
        assert!(writable(folder.path()).is_ok());
        let missing = writable(&folder.path().join("missing")).expect_err("it is not there");
        assert!(missing.contains("missing"), "{missing}");
    }
}
