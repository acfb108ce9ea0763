//! Says how large the database is, and of what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{existing, require_terminal};
use crate::clock::Timestamp;
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::{App, Caller};
use crate::store::{ListFilter, Store};

/// The database in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub path: String,
    pub file_bytes: u64,
    /// Of the write-ahead log.
    pub log_bytes: u64,
    /// Room in the file that holds nothing; `vacuum` gives it back.
    pub free_bytes: u64,
    /// Whether the file can shrink.
    pub can_shrink: bool,
    /// By status, those that others started among them.
    pub executions: BTreeMap<String, u64>,
    /// When the oldest execution started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest: Option<String>,
    /// The largest first.
    pub tables: Vec<Table>,
}

/// A table with its indexes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub table: String,
    pub rows: u64,
    pub bytes: u64,
}

/// Counts. Reads the whole file.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; failures of the database.
pub async fn stats(app: &App, caller: &Caller) -> Result<Response, Error> {
    require_terminal(caller)?;
    let path = app.config.database.display().to_string();
    let Some(store) = existing(app)? else { return Ok(Response { path, ..Response::default() }) };
    let space = store.space()?;
    let tables = store.table_sizes()?.into_iter();
    Ok(Response {
        path,
        file_bytes: space.file_bytes,
        log_bytes: space.log_bytes,
        free_bytes: space.free_pages * space.page_bytes,
        can_shrink: space.is_incremental,
        executions: by_status(store)?,
        oldest: store.oldest_execution()?.map(Timestamp::to_rfc3339),
        tables: tables.map(|it| Table { table: it.table, rows: it.rows, bytes: it.bytes }).collect(),
    })
}

/// How many executions there are of each status that any has.
pub(super) fn by_status(store: &Store) -> Result<BTreeMap<String, u64>, Error> {
    let mut counts = BTreeMap::new();
    for word in ["pending", "running", "paused", "completed", "failed", "aborted"] {
        let filter =
            ListFilter { status: Status::parse(word), with_children: true, limit: Some(0), ..ListFilter::default() };
        let (_, count) = store.list_executions(&filter)?;
        if count > 0 {
            counts.insert(word.to_owned(), count);
        }
    }
    Ok(counts)
}
