//! Implements the engine's [`Journal`]: one batch is one piece of work, all of it or nothing.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Store;
use super::columns::{Moment, StatusWord, Whole, no_execution};
use super::controls::finish_with;
use super::failure::Failure;
use super::large_values::keep;
use super::messages::insert_message;
use super::recordings::insert_recordings;
use super::transitions::{insert_transition, require_same};
use crate::engine::{Batch, Journal, Projection, Status, Summary, Ticket};
use crate::error::Error;
use crate::ids::ExecutionId;

impl Journal for Store {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Ticket, Error>> {
        Box::pin(async move {
            let is_turn = is_turn(&batch);
            let result = self.writer.enqueue_as(is_turn, move |connection| write_batch(connection, &batch)).await?;
            Ok(Ticket(result))
        })
    }
}

/// Phases that take a running execution further and change nothing that others wait for.
const ON_THE_WAY: [&str; 9] = [
    "node_started",
    "node_completed",
    "node_output",
    "node_retry",
    "tool_call_started",
    "tool_call_finished",
    "execution_log",
    "budget_reserved",
    "budget_settled",
];

/// Whether a batch does more than take a running execution further.
fn is_turn(batch: &Batch) -> bool {
    batch.projection.is_some() || batch.transitions.iter().any(|it| !ON_THE_WAY.contains(&it.phase))
}

/// What the row says before the batch.
pub(super) struct Before {
    rowid: i64,
    pub owner: Option<String>,
    pub last_seq: u64,
    pub status: Status,
    pause_reason: Option<String>,
}

fn write_batch(connection: &Connection, batch: &Batch) -> Result<(), Failure> {
    let before = before(connection, &batch.execution_id)?;
    if before.owner.as_deref() != Some(&batch.owner) {
        return Err(lease_lost(batch).into());
    }
    write_behind(connection, batch, &before)
}

/// Reads what the row says.
pub(super) fn before(connection: &Connection, execution_id: &ExecutionId) -> Result<Before, Failure> {
    let sql = "SELECT rowid, owner, last_seq, status, pause_reason FROM executions WHERE execution_id = ?1";
    let found = connection.prepare_cached(sql)?.query_row([execution_id.as_str()], read_before).optional()?;
    found.ok_or_else(|| no_execution(execution_id).into())
}

/// Writes a batch of whoever may.
pub(super) fn write_behind(connection: &Connection, batch: &Batch, before: &Before) -> Result<(), Failure> {
    let end = write_transitions(connection, batch, before.last_seq)?;
    for message in &batch.messages {
        insert_message(connection, &batch.execution_id, message, None, batch.summary.last_activity_at)?;
    }
    insert_recordings(connection, batch)?;
    finish_with(connection, batch)?;
    // A batch handed in again after later ones must not turn the row back.
    if batch.summary.last_seq < before.last_seq {
        return Ok(());
    }
    if batch.summary.last_seq != end {
        let message = format!(
            "the log of `{}` ends at {end}, but its summary says {}",
            batch.execution_id, batch.summary.last_seq
        );
        return Err(Error::internal(message).into());
    }
    update_summary(connection, before, &batch.summary)?;
    if let Some(projection) = &batch.projection {
        update_projection(connection, batch.execution_id.as_str(), before.rowid, projection)?;
    }
    Ok(())
}

fn read_before(row: &Row<'_>) -> Result<Before, rusqlite::Error> {
    Ok(Before {
        rowid: row.get(0)?,
        owner: row.get(1)?,
        last_seq: row.get::<_, Whole>(2)?.0,
        status: row.get::<_, StatusWord>(3)?.0,
        pause_reason: row.get(4)?,
    })
}

fn lease_lost(batch: &Batch) -> Error {
    let message = format!("`{}` is no longer run by this process", batch.execution_id);
    Error::conflict("LEASE_LOST", message).hint("another process has taken it over and goes on from the log")
}

/// Appends what is new, checks what is there already and returns the seq the log then ends with.
fn write_transitions(connection: &Connection, batch: &Batch, last_seq: u64) -> Result<u64, Failure> {
    let mut end = last_seq;
    for transition in &batch.transitions {
        if transition.seq <= last_seq {
            require_same(connection, &batch.execution_id, transition)?;
        } else if transition.seq == end + 1 {
            insert_transition(connection, &batch.execution_id, transition)?;
            end = transition.seq;
        } else {
            let message =
                format!("the log of `{}` ends at {end}, so {} cannot follow", batch.execution_id, transition.seq);
            return Err(Error::internal(message).into());
        }
    }
    Ok(end)
}

/// Most batches change nothing but the position; writing the other columns too would make SQLite renew
/// every index on them.
fn update_summary(connection: &Connection, before: &Before, summary: &Summary) -> Result<(), Failure> {
    let pause_reason = summary.pause_reason.map(|it| it.name());
    let only_moved = summary.status == before.status
        && pause_reason == before.pause_reason.as_deref()
        && summary.ended_at.is_none()
        && summary.error_code.is_none();
    if only_moved {
        let sql = "UPDATE executions SET last_seq = ?2, last_activity_at = ?3 WHERE rowid = ?1";
        connection.prepare_cached(sql)?.execute((
            before.rowid,
            Whole(summary.last_seq),
            Moment(summary.last_activity_at),
        ))?;
        return Ok(());
    }
    let sql = "UPDATE executions SET status = :status, pause_reason = :pause_reason, error_code = :error_code,
                   ended_at = :ended_at, deadline_at = :deadline_at, last_seq = :last_seq, last_activity_at = :last_activity_at,
                   owner = iif(:has_ended, NULL, owner)
                WHERE rowid = :rowid";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":rowid": before.rowid,
        ":status": summary.status.name(),
        ":pause_reason": pause_reason,
        ":error_code": summary.error_code,
        ":ended_at": summary.ended_at.map(Moment),
        ":deadline_at": summary.deadline_at.map(Moment),
        ":last_seq": Whole(summary.last_seq),
        ":last_activity_at": Moment(summary.last_activity_at),
        ":has_ended": summary.status.has_ended(),
    })?;
    Ok(())
}

fn update_projection(
    connection: &Connection,
    execution_id: &str,
    rowid: i64,
    projection: &Projection,
) -> Result<(), Failure> {
    let sql = "UPDATE executions SET node_states = :node_states, node_outputs = :node_outputs,
                   llm_usage = :llm_usage, error = :error, variables = :variables, exec_counts = :exec_counts,
                   executed_nodes = :executed_nodes
                WHERE rowid = :rowid";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":rowid": rowid,
        ":node_states": keep(connection, execution_id, &projection.node_states)?,
        ":node_outputs": keep(connection, execution_id, &projection.node_outputs)?,
        ":llm_usage": projection.llm_usage,
        ":error": projection.error.as_deref().map(|it| keep(connection, execution_id, it)).transpose()?,
        ":variables": keep(connection, execution_id, &projection.variables)?,
        ":exec_counts": projection.exec_counts,
        ":executed_nodes": projection.executed_nodes,
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::NewExecution;
    use super::super::testing::{NOON, TestStore, batch, execution, id, transition};
    use super::*;
    use crate::nodes::PauseReason;
    use crate::nodes::memory::Message;

    async fn owned(owner: &str) -> TestStore {
        let test = TestStore::new();
        let new = NewExecution { owner: Some(owner.into()), ..execution(1) };
        test.store.create_execution(new).await.expect("created");
        test
    }

    async fn append(store: &Store, batch: Batch) -> Result<(), &'static str> {
        let ticket = store.append(batch).await.expect("queued");
        ticket.durable().await.map_err(|it| it.code())
    }

    fn message(n: u64) -> Message {
        Message {
            id: format!("m{n}"),
            seq: n,
            from: "system".to_owned(),
            to: "ada".to_owned(),
            person_id: "ada".to_owned(),
            role: "user".to_owned(),
            content: format!("text {n}"),
            node_id: "n".to_owned(),
            iteration: 1,
            kind: "message".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_log_only_grows_at_its_end_and_only_for_its_owner() {
        let test = owned("own_a").await;
        let mut forged = batch(1, "own_a", 2..=3);
        forged.transitions[1].payload = "{\"v\":1,\"forged\":true}".to_owned();
        let mut dishonest = batch(1, "own_a", 5..=6);
        dishonest.summary.last_seq = 9;
        for (what, batch, want, end) in [
            ("the next ones", batch(1, "own_a", 2..=3), Ok(()), 3),
            ("the same again", batch(1, "own_a", 2..=3), Ok(()), 3),
            ("known ones and a new one", batch(1, "own_a", 3..=4), Ok(()), 4),
            ("an old batch again", batch(1, "own_a", 1..=2), Ok(()), 4),
            ("another content", forged, Err("INTERNAL"), 4),
            ("a gap", batch(1, "own_a", 6..=6), Err("INTERNAL"), 4),
            ("a summary that is ahead", dishonest, Err("INTERNAL"), 4),
            ("somebody else", batch(1, "own_b", 5..=5), Err("LEASE_LOST"), 4),
            ("an unknown execution", batch(2, "own_a", 1..=1), Err("EXECUTION_NOT_FOUND"), 4),
            ("no transitions at all", Batch { transitions: vec![], ..batch(1, "own_a", 4..=4) }, Ok(()), 4),
        ] {
            assert_eq!(append(&test.store, batch).await, want, "{what}");
            let log = test.store.transitions(&id(1), 0, None).expect("reads");
            assert_eq!(log.iter().map(|it| it.seq).collect::<Vec<_>>(), (1..=end).collect::<Vec<_>>(), "{what}");
            assert_eq!(test.store.execution(&id(1)).expect("reads").expect("there").head.last_seq, end, "{what}");
        }
    }

    #[tokio::test]
    async fn the_small_columns_follow_each_batch_and_the_growing_ones_when_given() {
        let test = owned("own_a").await;
        let mut paused = batch(1, "own_a", 2..=2);
        paused.summary.status = Status::Paused;
        paused.summary.pause_reason = Some(PauseReason::Model);
        paused.messages = vec![message(1), message(2)];
        append(&test.store, paused.clone()).await.expect("written");
        let head = test.store.execution(&id(1)).expect("reads").expect("there").head;
        assert_eq!((head.status, head.pause_reason.as_deref()), (Status::Paused, Some("model")));
        assert_eq!(head.owner.as_deref(), Some("own_a"));

        let mut ended = batch(1, "own_a", 3..=3);
        let at = NOON.plus_ms(5);
        ended.messages = vec![message(2), message(3)];
        ended.summary = Summary {
            status: Status::Failed,
            error_code: Some("NO_ENDPOINT".to_owned()),
            ended_at: Some(at),
            last_activity_at: at,
            ..ended.summary
        };
        let projection = Projection {
            node_states: r#"{"n":{}}"#.to_owned(),
            node_outputs: r#"{"n":1}"#.to_owned(),
            llm_usage: "{}".to_owned(),
            error: Some("{}".to_owned()),
            variables: r#"{"x":1}"#.to_owned(),
            exec_counts: r#"{"n":1}"#.to_owned(),
            executed_nodes: r#"["n"]"#.to_owned(),
        };
        ended.projection = Some(Box::new(projection.clone()));
        append(&test.store, ended.clone()).await.expect("written");
        let row = test.store.execution(&id(1)).expect("reads").expect("there");
        assert_eq!((row.head.status, row.head.pause_reason), (Status::Failed, None));
        assert_eq!((row.head.error_code.as_deref(), row.head.ended_at), (Some("NO_ENDPOINT"), Some(at)));
        assert_eq!((row.head.owner, row.head.last_activity_at), (None, Some(at)));
        assert_eq!(row.projection, projection);
        let messages = test.store.get_execution_messages(&id(1), None, None).expect("reads");
        assert_eq!(messages.iter().map(|it| it.message.clone()).collect::<Vec<_>>(), [1, 2, 3].map(message));
        assert_eq!(append(&test.store, ended).await, Err("LEASE_LOST"), "nobody owns what has ended");
    }

    #[tokio::test]
    async fn a_batch_that_is_refused_does_not_harm_those_beside_it() {
        let test = owned("own_a").await;
        for n in 2..=60 {
            let new = NewExecution { owner: Some("own_a".into()), ..execution(n) };
            test.store.create_execution(new).await.expect("created");
        }
        let mut tickets = Vec::new();
        for n in 1..=60 {
            let mut batch = batch(n, if n % 3 == 0 { "own_b" } else { "own_a" }, 2..=3);
            if n % 5 == 0 {
                // Fails after its first row was written.
                batch.transitions[1].seq = 9;
            }
            tickets.push((n, test.store.append(batch).await.expect("queued")));
        }
        for (n, ticket) in tickets {
            let want = match (n % 3, n % 5) {
                (0, _) => Err("LEASE_LOST"),
                (_, 0) => Err("INTERNAL"),
                _ => Ok(()),
            };
            assert_eq!(ticket.durable().await.map_err(|it| it.code()), want, "{n}");
            let n_rows = test.store.transitions(&id(n), 0, None).expect("reads").len();
            assert_eq!(n_rows, if want.is_ok() { 3 } else { 1 }, "{n}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn batches_of_many_runs_share_commits() {
        let test = TestStore::new();
        for n in 0..16 {
            let new = NewExecution { owner: Some("own_a".into()), ..execution(n) };
            test.store.create_execution(new).await.expect("created");
        }
        let before = test.store.commits();
        let runs = (0..16).map(|n| {
            let store = Arc::clone(&test.store);
            async move {
                for seq in 2..=101 {
                    append(&store, batch(n, "own_a", seq..=seq)).await.expect("written");
                }
            }
        });
        futures_util::future::join_all(runs).await;
        let n_commits = test.store.commits() - before;
        assert!((100..=400).contains(&n_commits), "{n_commits} commits for 1600 batches");
        for n in 0..16 {
            assert_eq!(test.store.transitions(&id(n), 0, None).expect("reads").len(), 101);
        }
    }

    #[tokio::test]
    async fn batches_handed_over_without_waiting_stay_in_order() {
        let test = owned("own_a").await;
        let mut last = None;
        for seq in 2..=200 {
            last = Some(test.store.append(batch(1, "own_a", seq..=seq)).await.expect("queued"));
        }
        last.expect("one was sent").durable().await.expect("written");
        let log = test.store.transitions(&id(1), 198, Some(2)).expect("reads");
        assert_eq!(log.iter().map(|it| it.seq).collect::<Vec<_>>(), [199, 200]);
        assert_eq!(log[0].payload, transition(199).payload);
    }
}
