//! Keeps what is too large to stand in several rows once, by its content. A value that goes through ten nodes
//! stands in ten events, in the closing event and in the columns of its execution; each refers to the same row
//! here. Only `store` knows: what is written through [`keep`] reads as it was through [`whole`].

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension};

use super::failure::Failure;
use super::spill::{self, LargeValue, spill};
use crate::error::Error;
use crate::limits;

/// How a reference to a blob begins in JSON text; its 64 digits follow.
const BLOB: &str = "\"blob\":\"";

/// Returns what to write instead of `text`, which belongs to this execution, after writing what was cut out of it.
pub(super) fn keep<'a>(connection: &Connection, execution_id: &str, text: &'a str) -> Result<Cow<'a, str>, Failure> {
    for sha256 in blobs_in(text) {
        note_use(connection, execution_id, sha256)?;
    }
    let Some(spilled) = spill(text, limits::LARGE_VALUE_BYTES_MIN) else { return Ok(Cow::Borrowed(text)) };
    for value in &spilled.values {
        insert(connection, value)?;
        note_use(connection, execution_id, &value.sha256)?;
    }
    Ok(Cow::Owned(spilled.text))
}

/// Returns `text` as it was handed to [`keep`]. Call it while the statement that read `text` is still open: then
/// both come from one state of the database, whatever is pruned meanwhile.
///
/// # Errors
///
/// `DATABASE_FAILED` when a value is missing; failures of the database.
pub(super) fn whole(connection: &Connection, text: String) -> Result<String, Failure> {
    if !spill::is_spilled(&text) {
        return Ok(text);
    }
    spill::whole(text, &mut |sha256| {
        let sql = "SELECT content FROM large_values WHERE sha256 = ?1";
        let found: Option<String> = connection.prepare_cached(sql)?.query_row([sha256], |row| row.get(0)).optional()?;
        found.ok_or_else(|| {
            Error::external("DATABASE_FAILED", format!("the large value `{sha256}` is missing from the database"))
                .hint("run `dipeo maintenance check`, and restore a backup if it finds more")
                .into()
        })
    })
}

fn insert(connection: &Connection, value: &LargeValue) -> Result<(), Failure> {
    // Asking first spares SQLite a copy of what is there already.
    let sql = "SELECT 1 FROM large_values WHERE sha256 = ?1";
    if !connection.prepare_cached(sql)?.exists([&value.sha256])? {
        let sql = "INSERT INTO large_values (sha256, content) VALUES (?1, ?2)";
        connection.prepare_cached(sql)?.execute((&value.sha256, &value.content))?;
    }
    Ok(())
}

fn note_use(connection: &Connection, execution_id: &str, sha256: &str) -> Result<(), Failure> {
    let sql = "INSERT INTO content_uses (execution_id, sha256) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute((execution_id, sha256))?;
    Ok(())
}

/// The hashes of the blobs that `text` refers to. One that only looks like a reference does no harm.
fn blobs_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices(BLOB).filter_map(|(at, _)| {
        let sha256 = text.get(at + BLOB.len()..at + BLOB.len() + 64)?;
        sha256.bytes().all(|it| it.is_ascii_hexdigit()).then_some(sha256)
    })
}

#[cfg(test)]
mod tests {
    use super::super::NewExecution;
    use super::super::testing::{NOON, TestStore, batch, execution, id, transition};
    use crate::engine::{Batch, Journal, Projection, Status};
    use crate::nodes::memory::Message;
    use crate::nodes::ports::blobs::Blobs;

    const MEGABYTES_5: usize = 5 * 1024 * 1024;

    fn message(content: &str) -> Message {
        Message {
            id: "m1".to_owned(),
            seq: 1,
            from: "system".to_owned(),
            to: "ada".to_owned(),
            person_id: "ada".to_owned(),
            role: "user".to_owned(),
            content: content.to_owned(),
            node_id: "n".to_owned(),
            iteration: 1,
            kind: "message".to_owned(),
        }
    }

    /// An execution of ten nodes that all publish `value`, to its end.
    fn whole_run(n: u32, value: &str) -> Batch {
        let mut batch = batch(n, "me", 2..=12);
        for (at, transition) in batch.transitions.iter_mut().enumerate() {
            transition.payload = format!("{{\"v\":1,\"n\":{at},\"output\":{{\"body\":\"{value}\"}}}}");
        }
        batch.messages = vec![message(value)];
        batch.summary.status = Status::Completed;
        batch.summary.ended_at = Some(NOON);
        batch.projection = Some(Box::new(Projection {
            node_states: "{}".to_owned(),
            node_outputs: format!("{{\"a\":\"{value}\",\"b\":\"{value}\"}}"),
            llm_usage: "{}".to_owned(),
            error: Some(format!("{{\"message\":\"{value}\"}}")),
            variables: format!("{{\"x\":\"{value}\"}}"),
            exec_counts: "{}".to_owned(),
            executed_nodes: "[]".to_owned(),
        }));
        batch
    }

    async fn run(test: &TestStore, n: u32, batch: Batch) {
        let new = NewExecution { owner: Some("me".into()), ..execution(n) };
        test.store.create_execution(new).await.expect("created");
        test.store.append(batch).await.expect("queued").durable().await.expect("written");
    }

    #[tokio::test]
    async fn a_value_that_goes_through_ten_nodes_is_stored_once_and_read_everywhere() {
        let test = TestStore::new();
        let batch = whole_run(1, &"x".repeat(MEGABYTES_5));
        run(&test, 1, batch.clone()).await;
        // Another execution with the same value adds next to nothing.
        run(&test, 2, whole_run(2, &"x".repeat(MEGABYTES_5))).await;
        let log = test.store.transitions(&id(1), 1, None).expect("reads");
        let payloads: Vec<_> = log.into_iter().map(|it| it.payload).collect();
        let sent: Vec<_> = batch.transitions.iter().map(|it| it.payload.clone()).collect();
        assert!(payloads == sent, "the log reads as it was written");
        let row = test.store.execution(&id(1)).expect("reads").expect("there");
        assert!(Some(Box::new(row.projection)) == batch.projection, "the columns read as they were written");
        let messages = test.store.get_person_messages(&id(1), "ada").expect("reads");
        assert!(messages.len() == 1 && messages[0].message == batch.messages[0]);
        test.store.close().await;
        let n_bytes = std::fs::metadata(test.store.path()).expect("there").len();
        assert!(n_bytes < MEGABYTES_5 as u64 * 11 / 10, "{n_bytes} bytes for one value of {MEGABYTES_5}");
    }

    #[tokio::test]
    async fn rows_of_earlier_versions_stay_readable_and_comparable() {
        let test = TestStore::new();
        run(&test, 1, batch(1, "me", 2..=2)).await;
        let large = format!("{{\"v\":1,\"body\":\"{}\"}}", "y".repeat(100_000));
        let old = large.clone();
        let sql = "UPDATE transitions SET payload = ?1 WHERE seq = 2";
        test.store.writer.write(move |it| Ok(it.execute(sql, [&old]).map(drop)?)).await.expect("written");
        assert!(test.store.transitions(&id(1), 1, None).expect("reads")[0].payload == large);
        // Handed in again, as after a commit that nobody heard of.
        let mut again = batch(1, "me", 2..=2);
        again.transitions[0].payload = large;
        test.store.append(again).await.expect("queued").durable().await.expect("it is the same");
        let mut other = batch(1, "me", 2..=2);
        other.transitions[0].payload = format!("{{\"v\":1,\"body\":\"{}\"}}", "z".repeat(100_000));
        let refused = test.store.append(other).await.expect("queued").durable().await;
        assert_eq!(refused.expect_err("another content").code(), "INTERNAL");
    }

    #[tokio::test]
    async fn the_blobs_of_an_execution_are_noted() {
        let test = TestStore::new();
        let blob = test.store.put(vec![1, 2, 3], "image/png".into()).await.expect("kept");
        let mut batch = batch(1, "me", 2..=2);
        batch.transitions[0].payload = format!("{{\"v\":1,\"output\":{{\"body\":{}}}}}", blob.to_json());
        run(&test, 1, batch).await;
        let uses = test.store.readers.read(|connection| {
            let mut statement = connection.prepare("SELECT execution_id, sha256 FROM content_uses")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<Vec<(String, String)>, _>>()?)
        });
        assert_eq!(uses.expect("reads"), [(id(1).to_string(), blob.blob)]);
        assert_eq!(test.store.transitions(&id(1), 0, Some(1)).expect("reads")[0].payload, transition(1).payload);
    }
}
