//! Finds the executions that an execution started.

use rusqlite::OptionalExtension;

use super::Store;
use super::columns::StatusWord;
use crate::engine::Status;
use crate::error::Error;
use crate::ids::ExecutionId;

/// A child execution, briefly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildRow {
    pub execution_id: String,
    pub status: Status,
    /// `<node id>:<iteration>`, with `:<index>` for an item of a batch.
    pub place: String,
    /// Whether the parent waits for it.
    pub is_awaited: bool,
}

impl Store {
    /// Returns the newest child of `parent` at `place`.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn child_at(&self, parent: &ExecutionId, place: &str) -> Result<Option<ChildRow>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT execution_id, status, parent_place, parent_relation FROM executions
                        WHERE parent_execution_id = ?1 AND parent_place = ?2 ORDER BY rowid DESC LIMIT 1";
            Ok(connection.prepare_cached(sql)?.query_row((parent.as_str(), place), read_child).optional()?)
        })
    }

    /// Returns where in its parent an execution belongs.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn place_of(&self, child: &ExecutionId) -> Result<Option<String>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT parent_place FROM executions WHERE execution_id = ?1";
            let place = connection.prepare_cached(sql)?.query_row([child.as_str()], |row| row.get(0)).optional()?;
            Ok(place.flatten())
        })
    }

    /// Returns the children of `parent`, oldest first.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn children(&self, parent: &ExecutionId) -> Result<Vec<ChildRow>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT execution_id, status, parent_place, parent_relation FROM executions
                        WHERE parent_execution_id = ?1 AND parent_place IS NOT NULL ORDER BY rowid";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_map([parent.as_str()], read_child)?.collect::<Result<_, _>>()?)
        })
    }
}

fn read_child(row: &rusqlite::Row<'_>) -> Result<ChildRow, rusqlite::Error> {
    Ok(ChildRow {
        execution_id: row.get(0)?,
        status: row.get::<_, StatusWord>(1)?.0,
        place: row.get(2)?,
        is_awaited: row.get::<_, Option<String>>(3)?.as_deref() == Some("child"),
    })
}
