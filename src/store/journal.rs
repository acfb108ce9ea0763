//! Implements the engine's [`Journal`]: one batch is one piece of work, all of it or nothing.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::Store;
use super::columns::{Moment, StatusWord, Whole, no_execution};
use super::failure::Failure;
use super::messages::insert_message;
use super::transitions::{insert_transition, require_same};
use crate::engine::{Batch, Journal, Projection, Status, Summary, Ticket};
use crate::error::Error;

impl Journal for Store {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Ticket, Error>> {
        Box::pin(async move {
            let result = self.writer.enqueue(move |connection| write_batch(connection, &batch)).await?;
            Ok(Ticket(result))
        })
    }
}

/// What the row says before the batch.
struct Before {
    rowid: i64,
    owner: Option<String>,
    last_seq: u64,
    status: Status,
    pause_reason: Option<String>,
}

fn write_batch(connection: &Connection, batch: &Batch) -> Result<(), Failure> {
    let sql = "SELECT rowid, owner, last_seq, status, pause_reason FROM executions WHERE execution_id = ?1";
    let found = connection.prepare_cached(sql)?.query_row([batch.execution_id.as_str()], read_before).optional()?;
    let Some(before) = found else {
        return Err(no_execution(&batch.execution_id).into());
    };
    if before.owner.as_deref() != Some(&batch.owner) {
        return Err(lease_lost(batch).into());
    }
    let end = write_transitions(connection, batch, before.last_seq)?;
    for message in &batch.messages {
        insert_message(connection, &batch.execution_id, message, None, batch.summary.last_activity_at)?;
    }
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
    update_summary(connection, &before, &batch.summary)?;
    if let Some(projection) = &batch.projection {
        update_projection(connection, before.rowid, projection)?;
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

fn update_projection(connection: &Connection, rowid: i64, projection: &Projection) -> Result<(), Failure> {
    let sql = "UPDATE executions SET node_states = :node_states, node_outputs = :node_outputs,
                   llm_usage = :llm_usage, error = :error, variables = :variables, exec_counts = :exec_counts,
                   executed_nodes = :executed_nodes
                WHERE rowid = :rowid";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":rowid": rowid,
        ":node_states": projection.node_states,
        ":node_outputs": projection.node_outputs,
        ":llm_usage": projection.llm_usage,
        ":error": projection.error,
        ":variables": projection.variables,
        ":exec_counts": projection.exec_counts,
        ":executed_nodes": projection.executed_nodes,
    })?;
    Ok(())
}
