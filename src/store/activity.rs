//! Which executions have moved since a point of the log: one small read, however many are followed.

use rusqlite::Row;

use super::Store;
use super::columns::{StatusWord, Whole, limit};
use super::failure::Failure;
use super::transitions::{TransitionRow, read_row as read_transition};
use crate::engine::Status;
use crate::error::Error;
use crate::ids::ExecutionId;

/// An execution that got events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub execution_id: ExecutionId,
    /// As of now.
    pub status: Status,
    pub principal: Option<String>,
}

impl Store {
    /// Returns the present end of the log of all executions, for [`Store::moved_since`].
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn log_end(&self) -> Result<u64, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT coalesce(max(rowid), 0) FROM transitions";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, Whole>(0))?.0)
        })
    }

    /// Returns the executions with events after `mark`, and the new mark. Its cost grows with the events since
    /// then only.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn moved_since(&self, mark: u64) -> Result<(Vec<Moved>, u64), Error> {
        self.readers.read(|connection| {
            // Rows are written by one transaction at a time and retention leaves the last one, so their numbers
            // are in the order of the commits.
            let sql = "SELECT t.execution_id, e.status, e.principal, t.last FROM
                        (SELECT execution_id, max(rowid) AS last FROM transitions WHERE rowid > ?1
                          GROUP BY execution_id) AS t
                        JOIN executions AS e ON e.execution_id = t.execution_id ORDER BY t.last";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([Whole(mark)], read_row)?.collect::<Result<Vec<_>, _>>()?;
            let end = rows.last().map_or(mark, |it| it.1);
            Ok((rows.into_iter().filter_map(|it| it.0).collect(), end))
        })
    }
}

/// A beginning, a pause, a resumption or an end of some execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub execution_id: String,
    pub principal: Option<String>,
    pub row: TransitionRow,
}

/// A piece of the log of all executions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    pub turns: Vec<Turn>,
    /// Up to where the log was looked through: the mark of the next look.
    pub end: u64,
}

impl Store {
    /// Looks through at most `n_max` rows after `mark` for turns of executions that are nobody's children; stops
    /// behind the turn with which the payloads have `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn turns_since(&self, mark: u64, n_max: usize, bytes_max: usize) -> Result<Turns, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT coalesce(max(rowid), ?1) FROM
                        (SELECT rowid FROM transitions WHERE rowid > ?1 ORDER BY rowid LIMIT ?2)";
            let params = (Whole(mark), limit(Some(n_max)));
            let end = connection.prepare_cached(sql)?.query_row(params, |row| row.get::<_, Whole>(0))?.0;
            let sql = "SELECT t.seq, t.node_id, t.phase, t.payload, t.created_at, t.rowid, t.execution_id, e.principal
                         FROM transitions AS t JOIN executions AS e ON e.execution_id = t.execution_id
                        WHERE t.rowid > ?1 AND t.rowid <= ?2 AND e.kind <> 'child'
                          AND t.phase IN ('execution_started', 'execution_paused', 'execution_resumed',
                                          'execution_completed', 'execution_error', 'execution_aborted')
                        ORDER BY t.rowid";
            let mut statement = connection.prepare_cached(sql)?;
            let mut found = Turns { turns: Vec::new(), end };
            let mut n_bytes = 0;
            let rows = statement.query_and_then([Whole(mark), Whole(end)], |row| {
                let turn =
                    Turn { row: read_transition(connection, row)?, execution_id: row.get(6)?, principal: row.get(7)? };
                Ok::<_, Failure>((row.get::<_, Whole>(5)?.0, turn))
            })?;
            for turn in rows {
                let (place, turn) = turn?;
                n_bytes += turn.row.payload.len();
                found.turns.push(turn);
                if n_bytes >= bytes_max {
                    found.end = place;
                    break;
                }
            }
            Ok(found)
        })
    }
}

/// Rows of the original program may have ids of another form: nobody can follow those.
fn read_row(row: &Row<'_>) -> Result<(Option<Moved>, u64), rusqlite::Error> {
    let last = row.get::<_, Whole>(3)?.0;
    let Ok(execution_id) = ExecutionId::parse(&row.get::<_, String>(0)?) else { return Ok((None, last)) };
    let moved = Moved { execution_id, status: row.get::<_, StatusWord>(1)?.0, principal: row.get(2)? };
    Ok((Some(moved), last))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestStore, batch, execution, id};
    use super::super::{ExecutionKind, NewExecution};
    use crate::engine::Journal;

    #[tokio::test]
    async fn only_what_moved_after_the_mark_is_told_and_each_once() {
        let test = TestStore::new();
        assert_eq!(test.store.log_end().expect("reads"), 0);
        for n in 1..=3 {
            let new = NewExecution { owner: Some("me".into()), principal: Some("ada".into()), ..execution(n) };
            test.store.create_execution(new).await.expect("created");
        }
        let mark = test.store.log_end().expect("reads");
        assert_eq!(test.store.moved_since(mark).expect("reads"), (Vec::new(), mark));
        for seq in 2..=4 {
            test.store.append(batch(2, "me", seq..=seq)).await.expect("queued").durable().await.expect("written");
        }
        let (moved, end) = test.store.moved_since(mark).expect("reads");
        let ids: Vec<_> = moved.iter().map(|it| (it.execution_id.clone(), it.principal.as_deref())).collect();
        assert_eq!(ids, [(id(2), Some("ada"))]);
        assert_eq!(end, mark + 3);
        let (all, _) = test.store.moved_since(0).expect("reads");
        assert_eq!(all.len(), 3);
    }

    /// A turn of execution `n`.
    async fn turn(test: &TestStore, n: u32, seq: u64, phase: &'static str, payload: &str) {
        let mut batch = batch(n, "me", seq..=seq);
        batch.transitions[0].phase = phase;
        batch.transitions[0].payload = payload.to_owned();
        test.store.append(batch).await.expect("queued").durable().await.expect("written");
    }

    #[tokio::test]
    async fn turns_are_told_in_pieces_and_what_happens_inside_is_passed_over() {
        let test = TestStore::new();
        for (n, kind) in [(1, ExecutionKind::Run), (2, ExecutionKind::Child)] {
            let new = NewExecution { owner: Some("me".into()), kind, ..execution(n) };
            test.store.create_execution(new).await.expect("created");
        }
        let mark = test.store.log_end().expect("reads");
        turn(&test, 1, 2, "execution_paused", "{\"v\":1}").await;
        turn(&test, 1, 3, "node_started", "{\"v\":1}").await;
        turn(&test, 2, 2, "execution_paused", "{\"v\":1}").await;
        turn(&test, 1, 4, "execution_resumed", &format!("{{\"v\":1,\"by\":\"{}\"}}", "x".repeat(100))).await;
        turn(&test, 1, 5, "execution_completed", "{\"v\":1}").await;
        for (n_max, bytes_max, pieces) in [
            (100, 1_000, vec![vec![2, 4, 5], vec![]]),
            (100, 50, vec![vec![2, 4], vec![5], vec![]]),
            (1, 1_000, vec![vec![2], vec![], vec![], vec![4], vec![5], vec![]]),
        ] {
            let mut mark = mark;
            for piece in pieces {
                let found = test.store.turns_since(mark, n_max, bytes_max).expect("reads");
                let seqs: Vec<u64> = found.turns.iter().map(|it| it.row.seq).collect();
                assert_eq!(seqs, piece, "{n_max} {bytes_max}");
                mark = found.end;
            }
            assert_eq!(mark, test.store.log_end().expect("reads"));
        }
    }
}
