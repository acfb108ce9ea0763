//! Puts a backup in the place of the database, with nobody on it, and keeps what was there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::look_through;
use super::stats::by_status;
use super::{require_terminal, stamp};
use crate::error::Error;
use crate::handlers::{App, Caller};
use crate::store;

/// Which backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub backup: PathBuf,
}

/// The database as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub path: String,
    /// Where the database that was there is kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kept: Option<String>,
    /// By status.
    pub executions: BTreeMap<String, u64>,
    /// What checking it found; none means that all is well.
    pub problems: Vec<String>,
}

/// Restores the backup and checks it. Executions that were open in it go on where they were then.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `DATABASE_IN_USE`, `DATABASE_NEWER`, `FILE_NOT_FOUND`; failures of the
/// database.
pub async fn restore(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    require_terminal(caller)?;
    if app.opened_store().is_some() {
        return Err(Error::internal("this process has the database open and cannot replace it"));
    }
    let backup = match caller {
        Caller::Terminal { working_dir } => working_dir.join(request.backup),
        Caller::Client(_) => request.backup,
    };
    let (target, now) = (app.config.database.clone(), app.clock.now());
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder).map_err(|e| {
            Error::external("FILE_FAILED", format!("cannot make the folder `{}`", folder.display()))
                .hint("check the rights of the workspace")
                .source(e)
        })?;
    }
    let put = tokio::task::spawn_blocking(move || store::restore(&target, &backup, &stamp(now), now)).await;
    let kept = put.map_err(|e| Error::internal("restoring was given up").source(e))??;
    let store = app.store()?;
    Ok(Response {
        path: app.config.database.display().to_string(),
        kept: kept.map(|it| it.display().to_string()),
        executions: by_status(store)?,
        problems: look_through(store).await?.problems,
    })
}
