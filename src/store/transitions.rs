//! The log: rows of `transitions`, written once and never changed.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Store;
use super::columns::{Moment, StatusWord, Whole, limit};
use super::failure::Failure;
use super::large_values::{keep, whole};
use crate::clock::Timestamp;
use crate::engine::{Status, Transition};
use crate::error::Error;
use crate::ids::ExecutionId;

/// One event of an execution as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionRow {
    pub seq: u64,
    pub node_id: Option<String>,
    pub phase: String,
    /// JSON text.
    pub payload: String,
    pub created_at: Timestamp,
}

/// A piece of a log that fits into memory, whatever the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// The status of the execution before the rows were read: the log of one that had ended was complete then.
    pub status: Status,
    pub rows: Vec<TransitionRow>,
    /// There are more rows behind these.
    pub is_cut: bool,
}

impl Store {
    /// Returns what follows `after_seq` in the log of an execution: at most `n_max` rows, and none behind those whose
    /// payloads have `bytes_max` bytes together. `None` when there is no such execution.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn log_page(
        &self,
        execution_id: &ExecutionId,
        after_seq: u64,
        n_max: usize,
        bytes_max: usize,
    ) -> Result<Option<LogPage>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT status FROM executions WHERE execution_id = ?1";
            let status = connection.prepare_cached(sql)?.query_row([execution_id.as_str()], |row| row.get(0));
            let Some(StatusWord(status)) = status.optional()? else { return Ok(None) };
            let sql = "SELECT seq, node_id, phase, payload, created_at FROM transitions
                        WHERE execution_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let params = (execution_id.as_str(), Whole(after_seq), limit(Some(n_max)));
            let mut page = LogPage { status, rows: Vec::new(), is_cut: false };
            let mut n_bytes = 0;
            for row in statement.query_and_then(params, |row| read_row(connection, row))? {
                let row = row?;
                n_bytes += row.payload.len();
                page.rows.push(row);
                page.is_cut = page.rows.len() == n_max || n_bytes >= bytes_max;
                if page.is_cut {
                    break;
                }
            }
            Ok(Some(page))
        })
    }

    /// Returns the log of an execution after `after_seq`, in order; empty when there is none.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn transitions(
        &self,
        execution_id: &ExecutionId,
        after_seq: u64,
        n_max: Option<usize>,
    ) -> Result<Vec<TransitionRow>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT seq, node_id, phase, payload, created_at FROM transitions
                        WHERE execution_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let params = (execution_id.as_str(), Whole(after_seq), limit(n_max));
            statement.query_and_then(params, |row| read_row(connection, row))?.collect()
        })
    }
}

/// Reads a row whose first columns are seq, node, phase, payload and time.
pub(super) fn read_row(connection: &Connection, row: &Row<'_>) -> Result<TransitionRow, Failure> {
    Ok(TransitionRow {
        seq: row.get::<_, Whole>(0)?.0,
        node_id: row.get(1)?,
        phase: row.get(2)?,
        payload: whole(connection, row.get(3)?)?,
        created_at: row.get::<_, Moment>(4)?.0,
    })
}

/// Writes one row; its seq must be free.
pub(super) fn insert_transition(
    connection: &Connection,
    execution_id: &ExecutionId,
    transition: &Transition,
) -> Result<(), Failure> {
    let sql = "INSERT INTO transitions (id, execution_id, node_id, phase, seq, payload, created_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let payload = keep(connection, execution_id.as_str(), &transition.payload)?;
    connection.prepare_cached(sql)?.execute(params![
        format!("{execution_id}:{}", transition.seq),
        execution_id.as_str(),
        transition.node_id,
        transition.phase,
        Whole(transition.seq),
        payload,
        Moment(transition.created_at),
    ])?;
    Ok(())
}

/// Checks that what the log has at this seq is what is written again.
///
/// # Errors
///
/// `INTERNAL` when it differs or is missing: the log is never rewritten.
pub(super) fn require_same(
    connection: &Connection,
    execution_id: &ExecutionId,
    transition: &Transition,
) -> Result<(), Failure> {
    let sql = "SELECT payload FROM transitions WHERE execution_id = ?1 AND seq = ?2 AND node_id IS ?3 AND phase = ?4";
    let params = params![execution_id.as_str(), Whole(transition.seq), transition.node_id, transition.phase];
    let found: Option<String> = connection.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional()?;
    if let Some(found) = found
        && whole(connection, found)? == transition.payload
    {
        return Ok(());
    }
    let message = format!("transition {} of `{execution_id}` is in the log with another content", transition.seq);
    Err(Error::internal(message).into())
}

#[cfg(test)]
mod tests {
    use super::super::NewExecution;
    use super::super::testing::{TestStore, batch, execution, id};
    use super::*;
    use crate::engine::Journal;

    #[tokio::test]
    async fn a_page_is_as_large_as_was_asked_and_says_whether_there_is_more() {
        let test = TestStore::new();
        assert_eq!(test.store.log_page(&id(1), 0, 9, 999).expect("reads"), None);
        let new = NewExecution { owner: Some("me".into()), ..execution(1) };
        test.store.create_execution(new).await.expect("created");
        test.store.append(batch(1, "me", 2..=5)).await.expect("queued").durable().await.expect("written");
        let n_bytes = "{\"v\":1,\"n\":1}".len();
        for (after, n_max, bytes_max, seqs, is_cut) in [
            (0, 9, 999, vec![1, 2, 3, 4, 5], false),
            (0, 5, 999, vec![1, 2, 3, 4, 5], true),
            (2, 2, 999, vec![3, 4], true),
            (0, 9, n_bytes + 1, vec![1, 2], true),
            (0, 9, 1, vec![1], true),
            (5, 9, 999, vec![], false),
        ] {
            let page = test.store.log_page(&id(1), after, n_max, bytes_max).expect("reads").expect("it is there");
            let found: Vec<u64> = page.rows.iter().map(|it| it.seq).collect();
            assert_eq!(
                (found, page.is_cut, page.status),
                (seqs, is_cut, Status::Running),
                "{after} {n_max} {bytes_max}"
            );
        }
    }
}
