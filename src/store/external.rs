//! Executions that a foreign runner carries out. Nobody here owns one: it is never claimed, and whoever reports
//! writes behind what was there. And the registrations that say which execution a terminal wants to be watched.

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::Store;
use super::columns::{Moment, NOT_ENDED, limit};
use super::create::ExecutionKind;
use super::executions::{ExecutionHead, HEAD, read_head};
use super::failure::Failure;
use super::journal::{Before, before, write_behind};
use crate::clock::Timestamp;
use crate::engine::Batch;
use crate::error::Error;
use crate::ids::ExecutionId;

impl Store {
    /// Appends what a foreign runner reported. Says false, and writes nothing, when the log has grown since the batch
    /// was made.
    ///
    /// # Errors
    ///
    /// `EXECUTION_NOT_FOUND`, `EXECUTION_ENDED`; `INTERNAL` for an execution that is run here; failures of the
    /// database.
    pub async fn append_external(&self, batch: Batch) -> Result<bool, Error> {
        self.writer.write(move |connection| append(connection, &batch)).await
    }

    /// Notes that an execution is to be watched; says so anew when that was given back.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn register_session(&self, id: &ExecutionId, principal: Option<&str>) -> Result<(), Error> {
        let (id, principal, now) = (id.clone(), principal.map(str::to_owned), self.clock.now());
        self.writer
            .write(move |connection| {
                let sql = "INSERT INTO cli_sessions (execution_id, principal, registered_at) VALUES (?1, ?2, ?3)
                           ON CONFLICT (execution_id) DO UPDATE SET registered_at = ?3, ended_at = NULL";
                connection.prepare_cached(sql)?.execute(params![id.as_str(), principal, Moment(now)])?;
                Ok(())
            })
            .await
    }

    /// Notes that an execution need not be watched any more; says whether it was registered.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn end_session(&self, id: &ExecutionId) -> Result<bool, Error> {
        let (id, now) = (id.clone(), self.clock.now());
        self.writer
            .write(move |connection| {
                let sql = "UPDATE cli_sessions SET ended_at = ?2 WHERE execution_id = ?1 AND ended_at IS NULL";
                Ok(connection.prepare_cached(sql)?.execute(params![id.as_str(), Moment(now)])? > 0)
            })
            .await
    }

    /// Returns the newest execution that has not ended and was registered, or started from a terminal and not given
    /// back; of a principal and of nobody, or of all without `principal`.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn active_session(&self, principal: Option<&str>) -> Result<Option<ExecutionHead>, Error> {
        self.readers.read(|connection| {
            let sql = format!(
                "SELECT {HEAD} FROM executions
                  WHERE {NOT_ENDED} AND kind <> 'child' AND (:principal IS NULL OR principal IS NULL OR principal = :principal)
                    AND CASE (SELECT ended_at IS NULL FROM cli_sessions AS s WHERE s.execution_id = executions.execution_id)
                             WHEN 1 THEN 1 WHEN 0 THEN 0 ELSE origin = 'local' END
                  ORDER BY started_at DESC, rowid DESC LIMIT 1"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            Ok(statement.query_row(named_params! { ":principal": principal }, read_head).optional()?)
        })
    }

    /// Returns open executions of foreign runners that nobody has reported of since `before`.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn silent_external(&self, before: Timestamp, n_max: usize) -> Result<Vec<ExecutionId>, Error> {
        self.readers.read(|connection| {
            let sql = format!(
                "SELECT execution_id FROM executions
                  WHERE {NOT_ENDED} AND kind = 'external' AND last_activity_at < ?1 ORDER BY rowid LIMIT ?2"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows =
                statement.query_map(params![Moment(before), limit(Some(n_max))], |row| row.get::<_, String>(0))?;
            rows.map(|it| Ok(ExecutionId::parse(&it?)?)).collect()
        })
    }
}

fn append(connection: &Connection, batch: &Batch) -> Result<bool, Failure> {
    let found = before(connection, &batch.execution_id)?;
    let sql = "SELECT kind FROM executions WHERE execution_id = ?1";
    let kind: String = connection.prepare_cached(sql)?.query_row([batch.execution_id.as_str()], |row| row.get(0))?;
    if kind != ExecutionKind::External.name() || found.owner.is_some() {
        return Err(Error::internal(format!("`{}` is run here, not by a foreign runner", batch.execution_id)).into());
    }
    let Before { status, last_seq, .. } = found;
    if status.has_ended() {
        let message = format!("`{}` is {}", batch.execution_id, status.name());
        return Err(Error::conflict("EXECUTION_ENDED", message).hint("register another execution").into());
    }
    if batch.transitions.first().is_none_or(|it| it.seq != last_seq + 1) {
        return Ok(false);
    }
    write_behind(connection, batch, &found)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore, batch, execution, id, owner};
    use super::super::{ListFilter, NewExecution};
    use super::*;
    use crate::engine::{Journal, Status};
    use crate::nodes::rights::Origin;

    async fn external(test: &TestStore, n: u32) {
        let new = NewExecution { kind: ExecutionKind::External, origin: Origin::Submitted, ..execution(n) };
        test.store.create_execution(new).await.expect("created");
    }

    #[tokio::test]
    async fn nobody_claims_it_and_reports_are_written_one_behind_the_other() {
        let test = TestStore::new();
        external(&test, 1).await;
        test.store.register_owner(owner("me")).await.expect("registered");
        assert_eq!(test.store.head(&id(1)).expect("reads").expect("there").status, Status::Running);
        assert_eq!(test.store.unowned_open().expect("reads"), 0);
        assert_eq!(test.store.claim("me", None, 9).await.expect("claims"), []);
        assert_eq!(test.store.claim("me", Some(&id(1)), 1).await.expect("claims"), []);
        let refused = test.store.append(batch(1, "me", 2..=2)).await.expect("queued").durable().await;
        assert_eq!(refused.expect_err("not its owner").code(), "LEASE_LOST");

        assert!(test.store.append_external(batch(1, "", 2..=3)).await.expect("written"));
        assert!(!test.store.append_external(batch(1, "", 3..=4)).await.expect("somebody was faster"));
        assert!(!test.store.append_external(batch(1, "", 9..=9)).await.expect("a gap"));
        let mut last = batch(1, "", 4..=4);
        last.summary.status = Status::Aborted;
        assert!(test.store.append_external(last).await.expect("written"));
        let late = test.store.append_external(batch(1, "", 5..=5)).await.expect_err("it has ended");
        assert_eq!(late.code(), "EXECUTION_ENDED");
        assert_eq!(test.store.transitions(&id(1), 0, None).expect("reads").len(), 4);
    }

    #[tokio::test]
    async fn what_is_run_here_takes_no_reports() {
        let test = TestStore::new();
        test.store.create_execution(execution(1)).await.expect("created");
        let owned = NewExecution { owner: Some("me".into()), ..execution(2) };
        test.store.create_execution(owned).await.expect("created");
        for (n, code) in [(1, "INTERNAL"), (2, "INTERNAL"), (3, "EXECUTION_NOT_FOUND")] {
            let refused = test.store.append_external(batch(n, "", 2..=2)).await.expect_err("refused");
            assert_eq!(refused.code(), code, "{n}");
        }
    }

    #[tokio::test]
    async fn the_newest_open_one_from_a_terminal_or_registered_is_watched() {
        let test = TestStore::new();
        let start = async |n: u32, origin, principal: Option<&str>| {
            let new = NewExecution {
                origin,
                principal: principal.map(str::to_owned),
                started_at: NOON.plus_ms(i64::from(n)),
                ..execution(n)
            };
            test.store.create_execution(new).await.expect("created");
        };
        let active = |who| test.store.active_session(who).expect("reads").map(|it| it.execution_id);
        assert_eq!(active(None), None);
        start(1, Origin::Local, None).await;
        start(2, Origin::Submitted, Some("ada")).await;
        assert_eq!(active(None), Some(id(1).to_string()), "nobody asked to watch the second");
        test.store.register_session(&id(2), Some("ada")).await.expect("registered");
        assert_eq!(active(None), Some(id(2).to_string()));
        assert_eq!(active(Some("bob")), Some(id(1).to_string()), "the second is ada's");
        assert!(test.store.end_session(&id(2)).await.expect("given back"));
        assert!(!test.store.end_session(&id(2)).await.expect("it was"));
        assert_eq!(active(Some("ada")), Some(id(1).to_string()));
        test.store.register_session(&id(1), None).await.expect("registered");
        test.store.end_session(&id(1)).await.expect("given back");
        assert_eq!(active(None), None, "given back for good");
        assert_eq!(test.store.list_executions(&ListFilter::default()).expect("reads").1, 2);
    }

    #[tokio::test]
    async fn those_that_fell_silent_are_found() {
        let test = TestStore::new();
        external(&test, 1).await;
        external(&test, 2).await;
        test.store.create_execution(execution(3)).await.expect("created");
        let mut report = batch(2, "", 2..=2);
        report.summary.last_activity_at = NOON.plus_ms(1_000);
        assert!(test.store.append_external(report).await.expect("written"));
        let silent = |at: i64, n| test.store.silent_external(NOON.plus_ms(at), n).expect("reads");
        assert_eq!(silent(0, 9), []);
        assert_eq!(silent(1, 9), [id(1)]);
        assert_eq!(silent(2_000, 9), [id(1), id(2)]);
        assert_eq!(silent(2_000, 1), [id(1)]);
    }
}
