//! Writes the row of a new execution with its source text and first transitions, once per idempotency key.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::Store;
use super::columns::{Moment, Whole};
use super::failure::Failure;
use super::sources::{Source, keep_source};
use super::transitions::insert_transition;
use crate::clock::Timestamp;
use crate::engine::{Status, Transition};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::rights::Origin;

/// How long an idempotency key is remembered, in milliseconds (mcp.md, `dipeo_run`).
const KEY_MS: i64 = 24 * 60 * 60 * 1_000;

/// An execution to be.
#[derive(Clone, Debug)]
pub struct NewExecution {
    pub execution_id: ExecutionId,
    /// Diagram name, path as typed, or `inline`.
    pub diagram_id: String,
    pub source: Source,
    pub revision: Option<u64>,
    pub origin: Origin,
    pub kind: ExecutionKind,
    pub parent: Option<Parent>,
    pub mode: Option<String>,
    /// What the diagram may do, as JSON.
    pub rights: String,
    /// How it was asked to run (models, timeout, strictness), as JSON.
    pub options: String,
    /// The run's input, as JSON; later the execution's variables.
    pub variables: String,
    /// On whose behalf; absent for the person at this machine.
    pub principal: Option<String>,
    pub idempotency: Option<Idempotency>,
    pub started_at: Timestamp,
    /// The process that runs it from the start; without one it is `pending` until somebody claims it.
    pub owner: Option<Arc<str>>,
    /// The beginning of its log, from seq 1.
    pub transitions: Vec<Transition>,
}

/// What tells a repeated request from a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// Hash of everything that makes the request what it is.
    pub request_hash: String,
}

/// What an execution is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecutionKind {
    #[default]
    Run,
    Conversation,
    Child,
    External,
}

impl ExecutionKind {
    /// The word stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Conversation => "conversation",
            Self::Child => "child",
            Self::External => "external",
        }
    }
}

/// Where an execution comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    pub execution_id: ExecutionId,
    pub relation: ParentRelation,
}

/// How an execution relates to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentRelation {
    Child,
    Fork,
    Replay,
}

impl ParentRelation {
    /// The word stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Child => "child",
            Self::Fork => "fork",
            Self::Replay => "replay",
        }
    }
}

/// What became of a request to create an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    New,
    /// The same request came before, under the same idempotency key: this is its execution.
    Same(ExecutionId),
}

impl Store {
    /// Writes the execution durably: its row, the text it runs, the beginning of its log.
    ///
    /// # Errors
    ///
    /// `IDEMPOTENCY_CONFLICT` when the key was used within 24 h for another request; `ALREADY_EXISTS` when the
    /// id is taken; `INTERNAL` when the log does not begin at 1; failures of the database.
    pub async fn create_execution(&self, new: NewExecution) -> Result<Created, Error> {
        require_gapless(&new)?;
        self.writer.write(move |connection| create(connection, &new)).await
    }
}

fn require_gapless(new: &NewExecution) -> Result<(), Error> {
    match new.transitions.iter().zip(1..).find(|(it, want)| it.seq != *want) {
        Some((found, want)) => {
            let message =
                format!("the log of `{}` begins with seq {} where {want} belongs", new.execution_id, found.seq);
            Err(Error::internal(message))
        }
        None => Ok(()),
    }
}

fn create(connection: &Connection, new: &NewExecution) -> Result<Created, Failure> {
    if let Some(earlier) = earlier_request(connection, new)? {
        return Ok(Created::Same(earlier));
    }
    keep_source(connection, &new.source)?;
    insert_row(connection, new)?;
    for transition in &new.transitions {
        insert_transition(connection, &new.execution_id, transition)?;
    }
    Ok(Created::New)
}

/// Finds the execution that the same key made before; a key older than a day is forgotten.
fn earlier_request(connection: &Connection, new: &NewExecution) -> Result<Option<ExecutionId>, Failure> {
    let Some(Idempotency { key, request_hash }) = &new.idempotency else { return Ok(None) };
    let sql = "SELECT execution_id, request_hash, started_at FROM executions
                WHERE coalesce(principal, '') = coalesce(?1, '') AND idempotency_key = ?2";
    let earlier = connection
        .prepare_cached(sql)?
        .query_row((&new.principal, key), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, Moment>(2)?.0))
        })
        .optional()?;
    let Some((execution_id, earlier_hash, started_at)) = earlier else { return Ok(None) };
    if new.started_at.since_ms(started_at) >= KEY_MS {
        let sql = "UPDATE executions SET idempotency_key = NULL WHERE execution_id = ?1";
        connection.prepare_cached(sql)?.execute([execution_id])?;
        return Ok(None);
    }
    if earlier_hash.as_ref() == Some(request_hash) {
        return Ok(Some(ExecutionId::parse(&execution_id)?));
    }
    let message = format!("the idempotency key `{key}` was used for another request, `{execution_id}`");
    Err(Error::conflict("IDEMPOTENCY_CONFLICT", message)
        .hint("use a new key for a new request; the same key only repeats the same one")
        .into())
}

fn insert_row(connection: &Connection, new: &NewExecution) -> Result<(), Failure> {
    let status = if new.owner.is_some() { Status::Running } else { Status::Pending };
    let sql = "
        INSERT INTO executions (
            execution_id, status, diagram_id, started_at, node_states, node_outputs, llm_usage, variables,
            created_at, last_accessed, kind, origin, mode, source_sha256, revision, parent_execution_id,
            parent_relation, principal, owner, idempotency_key, last_seq, last_activity_at, rights, options,
            request_hash)
        VALUES (
            :execution_id, :status, :diagram_id, :now, '{}', '{}', '{}', :variables,
            :now, :now, :kind, :origin, :mode, :source_sha256, :revision, :parent_execution_id,
            :parent_relation, :principal, :owner, :idempotency_key, :last_seq, :now, :rights, :options,
            :request_hash)
        ON CONFLICT (execution_id) DO NOTHING";
    let n_rows = connection.prepare_cached(sql)?.execute(named_params! {
        ":execution_id": new.execution_id.as_str(),
        ":status": status.name(),
        ":diagram_id": new.diagram_id,
        ":now": Moment(new.started_at),
        ":variables": new.variables,
        ":kind": new.kind.name(),
        ":origin": new.origin.name(),
        ":mode": new.mode,
        ":source_sha256": new.source.sha256,
        ":revision": new.revision.map(Whole),
        ":parent_execution_id": new.parent.as_ref().map(|it| it.execution_id.as_str()),
        ":parent_relation": new.parent.as_ref().map(|it| it.relation.name()),
        ":principal": new.principal,
        ":owner": new.owner,
        ":idempotency_key": new.idempotency.as_ref().map(|it| &it.key),
        ":last_seq": Whole(new.transitions.last().map_or(0, |it| it.seq)),
        ":rights": new.rights,
        ":options": new.options,
        ":request_hash": new.idempotency.as_ref().map(|it| &it.request_hash),
    })?;
    if n_rows == 0 {
        let message = format!("there is an execution `{}` already", new.execution_id);
        return Err(Error::conflict("ALREADY_EXISTS", message).hint("leave the id out to get a fresh one").into());
    }
    Ok(())
}
