//! What nodes heard from outside, written with the events that came of it. Long texts are kept once, by their
//! content; deleting the recordings of an execution lets go of those that nobody else refers to.

use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};

use super::Store;
use super::columns::Whole;
use super::failure::Failure;
use super::large_values::{self, whole};
use crate::engine::{Batch, Recording};
use crate::error::Error;
use crate::ids::ExecutionId;

/// Longest text that stands in its row, in bytes: a page of the database holds a few such rows.
const INLINE_BYTES_MAX: usize = 1_024;

impl Store {
    /// Returns the recordings of an execution in the order in which they were written.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn recordings(&self, execution_id: &ExecutionId) -> Result<Vec<Recording>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT r.node_id, r.iteration, r.attempt, r.place, r.kind, coalesce(r.request, q.content),
                              coalesce(r.reply, p.content)
                         FROM recordings r
                         LEFT JOIN recorded_texts q ON r.request IS NULL AND q.sha256 = r.request_sha256
                         LEFT JOIN recorded_texts p ON r.reply IS NULL AND p.sha256 = r.reply_sha256
                        WHERE r.execution_id = ?1 ORDER BY r.seq, r.n";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_and_then([execution_id.as_str()], |row| {
                let it = read_recording(row)?;
                let reply = it.reply.map(|text| whole(connection, text)).transpose()?;
                Ok(Recording { request: whole(connection, it.request)?, reply, ..it })
            })?;
            rows.collect()
        })
    }
}

fn read_recording(row: &Row<'_>) -> Result<Recording, rusqlite::Error> {
    Ok(Recording {
        node_id: row.get::<_, String>(0)?.into(),
        iteration: row.get(1)?,
        attempt: row.get(2)?,
        place: row.get(3)?,
        kind: row.get::<_, String>(4)?.into(),
        request: row.get(5)?,
        reply: row.get(6)?,
    })
}

/// Writes the recordings of a batch; those of one that is handed in again are there already.
pub(super) fn insert_recordings(connection: &Connection, batch: &Batch) -> Result<(), Failure> {
    let id = batch.execution_id.as_str();
    for (n, recording) in batch.recordings.iter().enumerate() {
        // What was heard is often what the node gives on: a large value in both is kept once.
        let request = large_values::keep(connection, id, &recording.request)?;
        let reply = recording.reply.as_deref().map(|it| large_values::keep(connection, id, it)).transpose()?;
        let (request_sha256, request) = keep(connection, &request)?;
        let (reply_sha256, reply) = match reply.as_deref() {
            // A reply in its row needs no name.
            Some(text) if text.len() <= INLINE_BYTES_MAX => (None, Some(text)),
            Some(text) => keep(connection, text).map(|(sha256, text)| (Some(sha256), text))?,
            None => (None, None),
        };
        let sql = "INSERT INTO recordings (execution_id, seq, n, node_id, iteration, attempt, place, kind, request,
                                           request_sha256, reply, reply_sha256)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING";
        connection.prepare_cached(sql)?.execute(params![
            id,
            Whole(batch.summary.last_seq),
            Whole(n as u64),
            recording.node_id,
            recording.iteration,
            recording.attempt,
            recording.place,
            recording.kind,
            request,
            request_sha256,
            reply,
            reply_sha256,
        ])?;
    }
    Ok(())
}

/// Returns the digest of a text, and the text if it is short enough for its row; a longer one is kept beside.
fn keep<'t>(connection: &Connection, text: &'t str) -> Result<(String, Option<&'t str>), Failure> {
    let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
    if text.len() <= INLINE_BYTES_MAX {
        return Ok((sha256, Some(text)));
    }
    let sql = "INSERT INTO recorded_texts (sha256, content) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute((&sha256, text))?;
    Ok((sha256, None))
}

#[cfg(test)]
mod tests {
    use super::super::NewExecution;
    use super::super::testing::{TestStore, batch, execution, id};
    use super::*;
    use crate::engine::Journal;

    fn recording(node: &str, request: &str, reply: Option<&str>) -> Recording {
        Recording {
            node_id: node.into(),
            iteration: 2,
            attempt: 3,
            place: "0.1".to_owned(),
            kind: "http".into(),
            request: request.to_owned(),
            reply: reply.map(str::to_owned),
        }
    }

    async fn append(test: &TestStore, n: u32, seq: u64, recordings: Vec<Recording>) {
        let batch = Batch { recordings, ..batch(n, "me", seq..=seq) };
        test.store.append(batch).await.expect("queued").durable().await.expect("written");
    }

    fn count(test: &TestStore, table: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM {table}");
        let count = test.store.readers.read(|it| Ok(it.query_row(&sql, [], |row| row.get::<_, Whole>(0))?.0));
        count.expect("counts")
    }

    #[tokio::test]
    async fn recordings_come_back_in_order_and_a_batch_that_comes_twice_writes_them_once() {
        let test = TestStore::new();
        let new = NewExecution { owner: Some("me".into()), ..execution(1) };
        test.store.create_execution(new).await.expect("created");
        let long = "x".repeat(INLINE_BYTES_MAX + 1);
        let first = vec![recording("b", "{}", Some("{\"ok\":1}")), recording("a", &long, None)];
        let second = vec![recording("a", "{}", Some(&long))];
        append(&test, 1, 2, first.clone()).await;
        append(&test, 1, 3, second.clone()).await;
        append(&test, 1, 2, first.clone()).await;
        assert_eq!(test.store.recordings(&id(1)).expect("reads"), [first, second].concat());
        assert_eq!(test.store.recordings(&id(2)).expect("reads"), []);
    }

    #[tokio::test]
    async fn long_texts_are_kept_once_and_go_with_the_last_that_refers_to_them() {
        let test = TestStore::new();
        for n in 1..=2 {
            let new = NewExecution { owner: Some("me".into()), ..execution(n) };
            test.store.create_execution(new).await.expect("created");
        }
        let (shared, own) = ("s".repeat(5_000), "o".repeat(5_000));
        append(&test, 1, 2, vec![recording("a", &shared, Some(&shared)), recording("b", &own, None)]).await;
        append(&test, 2, 2, vec![recording("a", "{}", Some(&shared))]).await;
        assert_eq!((count(&test, "recordings"), count(&test, "recorded_texts")), (3, 2));
        for (n, left) in [(1, 1), (2, 0)] {
            let sql = "DELETE FROM recordings WHERE execution_id = ?1";
            let forget = move |it: &Connection| {
                it.execute(sql, [id(n).as_str()])?;
                Ok(())
            };
            test.store.writer.write(forget).await.expect("deleted");
            assert_eq!(count(&test, "recorded_texts"), left, "after {n}");
        }
    }
}
