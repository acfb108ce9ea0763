//! Requests to a running execution (surface.md 2.10): written by any process, carried out by the owner.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Store;
use super::columns::{Moment, NOT_ENDED, no_execution};
use super::failure::Failure;
use crate::clock::Timestamp;
use crate::engine::Batch;
use crate::error::Error;
use crate::ids::ExecutionId;

/// A request to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewControl {
    pub execution_id: ExecutionId,
    pub action: String,
    pub node: Option<String>,
    /// JSON text.
    pub value: Option<String>,
    /// Who asks.
    pub actor: Option<String>,
}

/// A request as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRow {
    pub id: i64,
    pub execution_id: String,
    pub action: String,
    pub node: Option<String>,
    /// JSON text.
    pub value: Option<String>,
    pub actor: Option<String>,
    pub created_at: Timestamp,
    /// When the owner carried it out; absent while it waits.
    pub applied_at: Option<Timestamp>,
    /// What came of it, as JSON text.
    pub outcome: Option<String>,
}

/// Everything a query of this file selects, in the order [`read_row`] reads it.
const COLUMNS: &str = "id, execution_id, action, node, value, actor, created_at, applied_at, outcome";

impl Store {
    /// Writes a request to an open execution and returns its number.
    ///
    /// # Errors
    ///
    /// `EXECUTION_NOT_FOUND`, `EXECUTION_ENDED`; failures of the database.
    pub async fn add_control(&self, new: NewControl) -> Result<i64, Error> {
        let now = self.clock.now();
        self.writer.write(move |connection| add(connection, &new, now)).await
    }

    /// Records what came of a request that `owner` heard of. The first outcome stays: of what was carried out it is
    /// there already. Whoever does not own the execution any more has nothing to say.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn finish_control(&self, id: i64, owner: &str, outcome: Result<(), Error>) -> Result<(), Error> {
        let (owner, outcome, now) = (owner.to_owned(), outcome_text(outcome), self.clock.now());
        self.writer
            .write(move |connection| {
                let sql = "SELECT 1 FROM controls AS c JOIN executions AS e ON e.execution_id = c.execution_id
                            WHERE c.id = ?1 AND e.owner = ?2";
                if connection.prepare_cached(sql)?.exists((id, owner.as_str()))? {
                    finish(connection, id, &outcome, now)?;
                }
                Ok(())
            })
            .await
    }

    /// Returns the requests to an execution that wait, oldest first.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn pending_controls(&self, execution_id: &ExecutionId) -> Result<Vec<ControlRow>, Error> {
        self.readers.read(|connection| {
            let sql =
                format!("SELECT {COLUMNS} FROM controls WHERE execution_id = ?1 AND applied_at IS NULL ORDER BY id");
            let mut statement = connection.prepare_cached(&sql)?;
            Ok(statement.query_map([execution_id.as_str()], read_row)?.collect::<Result<_, _>>()?)
        })
    }

    /// Whether anybody ever asked for this of the execution.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn was_asked(&self, execution_id: &ExecutionId, action: &str) -> Result<bool, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT 1 FROM controls WHERE execution_id = ?1 AND action = ?2";
            Ok(connection.prepare_cached(sql)?.exists((execution_id.as_str(), action))?)
        })
    }

    /// Returns one request.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn control(&self, id: i64) -> Result<Option<ControlRow>, Error> {
        self.readers.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM controls WHERE id = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([id], read_row).optional()?)
        })
    }

    /// Returns the open executions of `owner` that somebody asked something of.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn executions_with_pending_controls(&self, owner: &str) -> Result<Vec<ExecutionId>, Error> {
        self.readers.read(|connection| {
            let sql = format!(
                "SELECT execution_id FROM executions WHERE owner = ?1 AND {NOT_ENDED} AND EXISTS
                    (SELECT 1 FROM controls WHERE controls.execution_id = executions.execution_id
                        AND applied_at IS NULL) ORDER BY rowid"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let ids = statement.query_and_then([owner], |row| -> Result<ExecutionId, Failure> {
                Ok(ExecutionId::parse(&row.get::<_, String>(0)?)?)
            })?;
            ids.collect()
        })
    }
}

/// What goes with a batch: the requests that it carries out are done, and once the execution has ended all others
/// came too late. Should it be opened again, nobody finds them.
pub(super) fn finish_with(connection: &Connection, batch: &Batch) -> Result<(), Failure> {
    let now = batch.summary.last_activity_at;
    for id in &batch.carried_out {
        finish(connection, *id, &outcome_text(Ok(())), now)?;
    }
    if batch.summary.status.has_ended() {
        let sql = "UPDATE controls SET applied_at = ?2, outcome = ?3 WHERE execution_id = ?1 AND applied_at IS NULL";
        let too_late = outcome_text(Err(ended(&batch.execution_id)));
        connection.prepare_cached(sql)?.execute(params![batch.execution_id.as_str(), Moment(now), too_late])?;
    }
    Ok(())
}

fn finish(connection: &Connection, id: i64, outcome: &str, now: Timestamp) -> Result<(), Failure> {
    let sql = "UPDATE controls SET applied_at = ?2, outcome = ?3 WHERE id = ?1 AND applied_at IS NULL";
    connection.prepare_cached(sql)?.execute(params![id, Moment(now), outcome])?;
    Ok(())
}

/// An outcome as it is stored: `{"ok":true}`, or the error with its kind.
fn outcome_text(outcome: Result<(), Error>) -> String {
    let Err(e) = outcome else { return r#"{"ok":true}"#.to_owned() };
    let mut object = e.to_json();
    object["kind"] = format!("{:?}", e.kind()).into();
    serde_json::json!({ "error": object }).to_string()
}

fn add(connection: &Connection, new: &NewControl, now: Timestamp) -> Result<i64, Failure> {
    let sql = "INSERT INTO controls (execution_id, action, node, value, actor, created_at)
               SELECT execution_id, ?2, ?3, ?4, ?5, ?6 FROM executions WHERE execution_id = ?1 AND ";
    let n_rows = connection.prepare_cached(&format!("{sql}{NOT_ENDED}"))?.execute(params![
        new.execution_id.as_str(),
        new.action,
        new.node,
        new.value,
        new.actor,
        Moment(now),
    ])?;
    if n_rows == 0 {
        let sql = "SELECT 1 FROM executions WHERE execution_id = ?1";
        let is_there = connection.prepare_cached(sql)?.exists([new.execution_id.as_str()])?;
        let refusal = if is_there { ended(&new.execution_id) } else { no_execution(&new.execution_id) };
        return Err(refusal.into());
    }
    Ok(connection.last_insert_rowid())
}

/// The refusal of what is asked of an execution that has ended.
fn ended(execution_id: &ExecutionId) -> Error {
    Error::conflict("EXECUTION_ENDED", format!("`{execution_id}` has ended"))
        .hint("look at its result with `see_result`")
}

fn read_row(row: &Row<'_>) -> Result<ControlRow, rusqlite::Error> {
    Ok(ControlRow {
        id: row.get(0)?,
        execution_id: row.get(1)?,
        action: row.get(2)?,
        node: row.get(3)?,
        value: row.get(4)?,
        actor: row.get(5)?,
        created_at: row.get::<_, Moment>(6)?.0,
        applied_at: row.get::<_, Option<Moment>>(7)?.map(|it| it.0),
        outcome: row.get(8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::NewExecution;
    use super::super::testing::{NOON, TestStore, batch, execution, id};
    use super::*;
    use crate::engine::Journal;

    fn control(n: u32, action: &str) -> NewControl {
        NewControl {
            execution_id: id(n),
            action: action.to_owned(),
            node: Some("ask".to_owned()),
            value: Some("\"yes\"".to_owned()),
            actor: Some("client".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_request_waits_until_it_is_finished_and_its_first_outcome_stays() {
        let test = TestStore::new();
        for n in 1..=2 {
            let new = NewExecution { owner: Some("me".into()), ..execution(n) };
            test.store.create_execution(new).await.expect("created");
        }
        let first = test.store.add_control(control(1, "answer")).await.expect("added");
        let second = test.store.add_control(control(1, "abort")).await.expect("added");
        let actions = || {
            let rows = test.store.pending_controls(&id(1)).expect("reads");
            rows.into_iter().map(|it| it.action).collect::<Vec<_>>()
        };
        assert_eq!(actions(), ["answer", "abort"]);
        assert_eq!(test.store.executions_with_pending_controls("me").expect("reads"), [id(1)]);
        assert_eq!(test.store.executions_with_pending_controls("other").expect("reads"), []);

        test.clock.advance_ms(10);
        test.store.finish_control(first, "other", Err(Error::internal("not mine"))).await.expect("says nothing");
        test.store.finish_control(first, "me", Ok(())).await.expect("finished");
        test.store.finish_control(first, "me", Err(Error::internal("too late"))).await.expect("says nothing");
        assert_eq!(actions(), ["abort"]);
        let want = ControlRow {
            id: first,
            execution_id: id(1).to_string(),
            action: "answer".to_owned(),
            node: Some("ask".to_owned()),
            value: Some("\"yes\"".to_owned()),
            actor: Some("client".to_owned()),
            created_at: NOON,
            applied_at: Some(NOON.plus_ms(10)),
            outcome: Some("{\"ok\":true}".to_owned()),
        };
        assert_eq!(test.store.control(first).expect("reads"), Some(want));
        assert_eq!(test.store.control(99).expect("reads"), None);
        test.store.finish_control(second, "me", Ok(())).await.expect("finished");
        assert_eq!(test.store.executions_with_pending_controls("me").expect("reads"), []);
    }

    #[tokio::test]
    async fn a_request_to_no_execution_is_refused() {
        let test = TestStore::new();
        let refused = test.store.add_control(control(1, "abort")).await.expect_err("refused");
        assert_eq!(refused.code(), "EXECUTION_NOT_FOUND");
    }

    #[tokio::test]
    async fn what_a_batch_carries_out_is_done_with_it_and_the_end_refuses_the_rest() {
        let test = TestStore::new();
        let new = NewExecution { owner: Some("me".into()), ..execution(1) };
        test.store.create_execution(new).await.expect("created");
        let mut ids = Vec::new();
        for action in ["pause", "resume", "answer"] {
            ids.push(test.store.add_control(control(1, action)).await.expect("added"));
        }
        let outcomes = || {
            let row = |id: &i64| test.store.control(*id).expect("reads").expect("stored").outcome.unwrap_or_default();
            ids.iter().map(row).collect::<Vec<_>>()
        };
        let stranger = Batch { carried_out: vec![ids[0]], ..batch(1, "other", 2..=2) };
        let refused = test.store.append(stranger).await.expect("queued").durable().await.expect_err("refused");
        assert_eq!((refused.code(), outcomes()), ("LEASE_LOST", vec![String::new(); 3]));

        let carried = Batch { carried_out: vec![ids[0]], ..batch(1, "me", 2..=2) };
        test.store.append(carried).await.expect("queued").durable().await.expect("written");
        assert_eq!(outcomes(), [r#"{"ok":true}"#, "", ""]);

        let mut last = Batch { carried_out: vec![ids[1]], ..batch(1, "me", 3..=3) };
        last.summary.status = crate::engine::Status::Aborted;
        test.store.append(last).await.expect("queued").durable().await.expect("written");
        assert_eq!(outcomes()[..2], [r#"{"ok":true}"#; 2]);
        assert!(outcomes()[2].contains("EXECUTION_ENDED"), "{:?}", outcomes());
        assert_eq!(test.store.pending_controls(&id(1)).expect("reads"), []);
    }

    #[tokio::test]
    async fn nothing_is_asked_of_an_execution_that_has_ended() {
        let test = TestStore::new();
        let new = NewExecution { owner: Some("me".into()), ..execution(1) };
        test.store.create_execution(new).await.expect("created");
        let mut last = batch(1, "me", 2..=2);
        last.summary.status = crate::engine::Status::Completed;
        test.store.append(last).await.expect("queued").durable().await.expect("written");
        let refused = test.store.add_control(control(1, "abort")).await.expect_err("refused");
        assert_eq!(refused.code(), "EXECUTION_ENDED");
        assert_eq!(test.store.pending_controls(&id(1)).expect("reads"), []);
    }
}
