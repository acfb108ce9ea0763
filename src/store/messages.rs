//! The message store (surface.md 6.4): what people and diagrams said in an execution, oldest first.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Store;
use super::columns::{Moment, Whole, limit, no_execution};
use super::failure::Failure;
use super::large_values::{keep, whole};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::memory::Message;

/// A message as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageRow {
    pub execution_id: String,
    pub message: Message,
    /// Tokens as the service counted them.
    pub token_count: Option<u64>,
    pub created_at: Timestamp,
}

/// A message to save outside a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedMessage {
    pub execution_id: ExecutionId,
    /// Its seq may be 0: then it comes last.
    pub message: Message,
    pub token_count: Option<u64>,
}

/// The JSON of the column `content`; the rest of a message has columns of its own.
#[derive(Serialize, Deserialize)]
struct Content<'a> {
    #[serde(default)]
    role: String,
    /// Text; other programs may have stored a list of parts.
    #[serde(default)]
    content: Value,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    iteration: u32,
    #[serde(default = "ordinary")]
    kind: std::borrow::Cow<'a, str>,
}

fn ordinary() -> std::borrow::Cow<'static, str> {
    "message".into()
}

/// Everything a query of this file selects, in the order [`read_row`] reads it.
const COLUMNS: &str = "id, execution_id, node_id, person_id, content, token_count, created_at, seq";

impl Store {
    /// Saves one message and returns its id; saving it again is the same row.
    ///
    /// # Errors
    ///
    /// `EXECUTION_NOT_FOUND`; failures of the database.
    pub async fn save_message(&self, saved: SavedMessage) -> Result<String, Error> {
        let now = self.clock.now();
        self.writer.write(move |connection| save(connection, &saved, now)).await
    }

    /// Returns the messages of an execution after `after_seq`, by seq.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn get_execution_messages(
        &self,
        execution_id: &ExecutionId,
        after_seq: Option<u64>,
        n_max: Option<usize>,
    ) -> Result<Vec<MessageRow>, Error> {
        let after = after_seq.map_or(-1, |it| i64::try_from(it).unwrap_or(i64::MAX));
        self.select("execution_id = ?1 AND seq > ?2", (execution_id.as_str(), after, limit(n_max)))
    }

    /// Returns the messages of one node, all iterations, by seq.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn get_node_messages(&self, execution_id: &ExecutionId, node_id: &str) -> Result<Vec<MessageRow>, Error> {
        self.select("execution_id = ?1 AND node_id = ?2", (execution_id.as_str(), node_id, limit(None)))
    }

    /// Returns what one person saw or said, by seq.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn get_person_messages(&self, execution_id: &ExecutionId, person_id: &str) -> Result<Vec<MessageRow>, Error> {
        let filter = "execution_id = ?1 AND (person_id = ?2 OR content ->> '$.from' = ?2 OR content ->> '$.to' = ?2)";
        self.select(filter, (execution_id.as_str(), person_id, limit(None)))
    }

    /// Returns the message with this id.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn get_message(&self, message_id: &str) -> Result<Option<MessageRow>, Error> {
        let rows = self.select("id = ?1 AND ?2", (message_id, true, limit(None)))?;
        Ok(rows.into_iter().next())
    }

    /// Selects by a filter with the parameters 1 and 2; 3 is the limit.
    fn select(&self, filter: &str, params: impl Params) -> Result<Vec<MessageRow>, Error> {
        self.readers.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM messages WHERE {filter} ORDER BY seq, rowid LIMIT ?3");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_and_then(params, |row| read_row(connection, row))?;
            rows.collect()
        })
    }
}

fn read_row(connection: &Connection, row: &Row<'_>) -> Result<MessageRow, Failure> {
    let id: String = row.get(0)?;
    let content = whole(connection, row.get(4)?)?;
    let body: Content<'_> = serde_json::from_str(&content).map_err(|error| {
        Error::external("DATABASE_FAILED", format!("the message `{id}` holds no readable JSON"))
            .hint("another program may have written it; the other messages are not affected")
            .source(error)
    })?;
    Ok(MessageRow {
        execution_id: row.get(1)?,
        message: Message {
            id,
            seq: row.get::<_, Option<Whole>>(7)?.map_or(0, |it| it.0),
            from: body.from,
            to: body.to,
            person_id: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
            role: body.role,
            content: match body.content {
                Value::String(text) => text,
                other => other.to_string(),
            },
            node_id: row.get(2)?,
            iteration: body.iteration,
            kind: body.kind.into_owned(),
        },
        token_count: row.get::<_, Option<Whole>>(5)?.map(|it| it.0),
        created_at: row.get::<_, Moment>(6)?.0,
    })
}

fn save(connection: &Connection, saved: &SavedMessage, now: Timestamp) -> Result<String, Failure> {
    let sql = "SELECT 1 FROM executions WHERE execution_id = ?1";
    if !connection.prepare_cached(sql)?.exists([saved.execution_id.as_str()])? {
        return Err(no_execution(&saved.execution_id).into());
    }
    let mut message = saved.message.clone();
    if message.seq == 0 {
        let sql = "SELECT max(seq) FROM messages WHERE execution_id = ?1";
        let last: Option<Option<Whole>> =
            connection.prepare_cached(sql)?.query_row([saved.execution_id.as_str()], |row| row.get(0)).optional()?;
        message.seq = last.flatten().map_or(1, |it| it.0 + 1);
    }
    insert_message(connection, &saved.execution_id, &message, saved.token_count, now)?;
    Ok(message.id)
}

/// Writes a message unless it is there already: its id says which one it is.
pub(super) fn insert_message(
    connection: &Connection,
    execution_id: &ExecutionId,
    message: &Message,
    token_count: Option<u64>,
    created_at: Timestamp,
) -> Result<(), Failure> {
    let content = Content {
        role: message.role.clone(),
        content: Value::String(message.content.clone()),
        from: message.from.clone(),
        to: message.to.clone(),
        iteration: message.iteration,
        kind: message.kind.as_str().into(),
    };
    let content = serde_json::to_string(&content)
        .map_err(|error| Error::internal(format!("the message `{}` is no JSON", message.id)).source(error))?;
    let content = keep(connection, execution_id.as_str(), &content)?;
    let sql = "INSERT INTO messages (id, execution_id, node_id, person_id, content, token_count, created_at, seq)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![
        message.id,
        execution_id.as_str(),
        message.node_id,
        message.person_id,
        content,
        token_count.map(Whole),
        Moment(created_at),
        Whole(message.seq),
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore, execution, id};
    use super::*;

    /// A message in execution 1: `node` asks or hears from `person`.
    fn message(name: &str, node: &str, person: &str, from: &str, to: &str) -> SavedMessage {
        let message = Message {
            id: name.to_owned(),
            seq: 0,
            from: from.to_owned(),
            to: to.to_owned(),
            person_id: person.to_owned(),
            role: if from == person { "assistant" } else { "user" }.to_owned(),
            content: format!("{name} \"quoted\"\nand more"),
            node_id: node.to_owned(),
            iteration: 2,
            kind: "message".to_owned(),
        };
        SavedMessage { execution_id: id(1), message, token_count: Some(5) }
    }

    async fn conversation() -> TestStore {
        let test = TestStore::new();
        test.store.create_execution(execution(1)).await.expect("created");
        for saved in [
            message("a", "n1", "ada", "system", "ada"),
            message("b", "n1", "ada", "ada", "system"),
            message("c", "n2", "bob", "ada", "bob"),
            message("d", "n2", "bob", "bob", "system"),
        ] {
            assert_eq!(test.store.save_message(saved.clone()).await.expect("saved"), saved.message.id);
        }
        test
    }

    fn names(rows: &[MessageRow]) -> String {
        rows.iter().map(|it| it.message.id.as_str()).collect()
    }

    #[tokio::test]
    async fn messages_are_found_by_execution_node_person_and_id() {
        let test = conversation().await;
        let execution = |after, n_max| names(&test.store.get_execution_messages(&id(1), after, n_max).expect("reads"));
        assert_eq!(execution(None, None), "abcd");
        assert_eq!(execution(Some(1), Some(2)), "bc");
        assert_eq!(names(&test.store.get_execution_messages(&id(2), None, None).expect("reads")), "");
        assert_eq!(names(&test.store.get_node_messages(&id(1), "n2").expect("reads")), "cd");
        assert_eq!(names(&test.store.get_person_messages(&id(1), "ada").expect("reads")), "abc");
        assert_eq!(names(&test.store.get_person_messages(&id(1), "bob").expect("reads")), "cd");
        assert_eq!(test.store.get_message("z").expect("reads"), None);
        let found = test.store.get_message("c").expect("reads").expect("there");
        let SavedMessage { message, token_count, .. } = message("c", "n2", "bob", "ada", "bob");
        let want = MessageRow {
            execution_id: id(1).to_string(),
            message: Message { seq: 3, ..message },
            token_count,
            created_at: NOON,
        };
        assert_eq!(found, want);
    }

    #[tokio::test]
    async fn saving_twice_is_one_row_and_the_first_stays() {
        let test = conversation().await;
        let mut again = message("a", "n1", "ada", "system", "ada");
        again.message.content = "other".to_owned();
        test.store.save_message(again).await.expect("saved");
        let rows = test.store.get_execution_messages(&id(1), None, None).expect("reads");
        assert_eq!((rows.len(), rows[0].message.content.starts_with("a \"quoted\"")), (4, true));
    }

    #[tokio::test]
    async fn a_message_of_no_execution_is_refused() {
        let test = conversation().await;
        let lost = SavedMessage { execution_id: id(2), ..message("e", "n1", "ada", "system", "ada") };
        assert_eq!(test.store.save_message(lost).await.expect_err("refused").code(), "EXECUTION_NOT_FOUND");
    }
}
