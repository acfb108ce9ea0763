//! Opens an execution again that failed or was aborted: its log goes on after its end, its row is one of an open
//! execution, and it has an owner. All of it is one transaction, so of several that ask exactly one opens it.

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::Store;
use super::columns::{Moment, StatusWord, Whole, no_execution};
use super::controls::NewControl;
use super::failure::Failure;
use super::transitions::insert_transition;
use crate::clock::Timestamp;
use crate::engine::event::{ControlApplied, Event, ExecutionResumed};
use crate::engine::{Status, Transition};
use crate::error::Error;
use crate::nodes::budget::Raise;

impl Store {
    /// Carries out `request`, which asks to resume an execution that failed or was aborted, for `owner`; with `raised`
    /// it has a higher budget from then on. Returns false when it is not, or no longer, such an execution; nothing is changed then.
    ///
    /// # Errors
    ///
    /// `EXECUTION_NOT_FOUND`; failures of the database.
    pub async fn open_again(
        &self,
        request: NewControl,
        reason: Option<String>,
        raised: Option<Raise>,
        owner: &str,
    ) -> Result<bool, Error> {
        let (owner, now) = (owner.to_owned(), self.clock.now());
        let by = request.actor.clone().unwrap_or_default();
        let applied = ControlApplied { reason, raised, ..ControlApplied::new("resume", &by) };
        self.writer.write(move |connection| open_again(connection, &request, &applied, &owner, now)).await
    }
}

fn open_again(
    connection: &Connection,
    request: &NewControl,
    applied: &ControlApplied,
    owner: &str,
    now: Timestamp,
) -> Result<bool, Failure> {
    let id = &request.execution_id;
    let sql = "SELECT status, last_seq FROM executions WHERE execution_id = ?1";
    let found = connection
        .prepare_cached(sql)?
        .query_row([id.as_str()], |row| Ok((row.get::<_, StatusWord>(0)?.0, row.get::<_, Whole>(1)?.0)));
    let Some((status, last_seq)) = found.optional()? else { return Err(no_execution(id).into()) };
    if !matches!(status, Status::Failed | Status::Aborted) {
        return Ok(false);
    }
    let resumed = ExecutionResumed { by: applied.by.clone() };
    let mut seq = last_seq;
    for event in [Event::Control(applied.clone()), Event::ExecutionResumed(resumed)] {
        seq += 1;
        let (phase, payload) = (event.phase(), event.payload());
        insert_transition(connection, id, &Transition { seq, node_id: None, phase, payload, created_at: now })?;
    }
    let sql = "UPDATE executions SET status = :status, pause_reason = NULL, error_code = NULL, error = NULL,
                   ended_at = NULL, deadline_at = NULL, owner = :owner, last_seq = :last_seq,
                   last_activity_at = :now
                WHERE execution_id = :id";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": id.as_str(),
        ":status": Status::Running.name(),
        ":owner": owner,
        ":last_seq": Whole(seq),
        ":now": Moment(now),
    })?;
    let sql = "INSERT INTO controls (execution_id, action, node, value, actor, created_at, applied_at, outcome)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, '{\"ok\":true}')";
    let (node, value) = (&request.node, &request.value);
    connection.prepare_cached(sql)?.execute(params![
        id.as_str(),
        request.action,
        node,
        value,
        request.actor,
        Moment(now)
    ])?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::NewExecution;
    use super::super::testing::{NOON, TestStore, batch, execution, id, owner};
    use super::*;
    use crate::engine::Journal;

    fn resume(n: u32) -> NewControl {
        let actor = Some("terminal".to_owned());
        NewControl { execution_id: id(n), action: "resume".into(), node: None, value: None, actor }
    }

    /// Execution `n`, which has ended with `status`.
    async fn ended(test: &TestStore, n: u32, status: Status) {
        let new = NewExecution { owner: Some("old".into()), ..execution(n) };
        test.store.create_execution(new).await.expect("created");
        let mut last = batch(n, "old", 2..=2);
        last.summary.status = status;
        last.summary.error_code = Some("CODE_FAILED".to_owned());
        last.summary.ended_at = Some(NOON);
        test.store.append(last).await.expect("queued").durable().await.expect("written");
    }

    #[tokio::test]
    async fn only_what_failed_or_was_aborted_is_opened_again_and_only_once() {
        let test = TestStore::new();
        test.store.register_owner(owner("me")).await.expect("registered");
        for (n, status, opens) in [(1, Status::Failed, true), (2, Status::Aborted, true), (3, Status::Completed, false)]
        {
            ended(&test, n, status).await;
            for expected in [opens, false] {
                let opened = test.store.open_again(resume(n), None, None, "me").await.expect("answered");
                assert_eq!(opened, expected, "{status:?}");
            }
            let head = test.store.head(&id(n)).expect("reads").expect("there");
            let phases: Vec<String> =
                test.store.transitions(&id(n), 2, None).expect("reads").into_iter().map(|it| it.phase).collect();
            if opens {
                assert_eq!((head.status, head.owner.as_deref()), (Status::Running, Some("me")));
                assert_eq!((head.error_code, head.ended_at, head.last_seq), (None, None, 4));
                assert_eq!(phases, ["control", "execution_resumed"]);
            } else {
                assert_eq!((head.status, head.last_seq, phases.len()), (status, 2, 0));
            }
        }
        let missing = test.store.open_again(resume(9), None, None, "me").await.expect_err("there is none");
        assert_eq!(missing.code(), "EXECUTION_NOT_FOUND");
        // The next owner writes behind it.
        test.store.append(batch(1, "me", 5..=5)).await.expect("queued").durable().await.expect("written");
    }
}
