//! Writes the row of a new execution with its source text and first transitions, once per idempotency key.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, named_params};

use super::Store;
use super::columns::{Moment, Whole};
use super::failure::Failure;
use super::large_values::keep;
use super::messages::{MessageRow, insert_message};
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
    /// What was said in the part of its log that it took over from another execution.
    pub messages: Vec<MessageRow>,
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
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Run, Self::Conversation, Self::Child, Self::External];

    /// Reads what [`ExecutionKind::name`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == text)
    }

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
    /// Where in the parent it belongs: `<node id>:<iteration>`, with `:<index>` for an item of a batch.
    pub place: Option<String>,
}

/// How an execution relates to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentRelation {
    /// The parent waits for it.
    Child,
    /// The parent started it and went on.
    Launched,
    Fork,
    Replay,
}

impl ParentRelation {
    /// The word stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Child => "child",
            Self::Launched => "launched",
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
    for it in &new.messages {
        insert_message(connection, &new.execution_id, &it.message, it.token_count, it.created_at)?;
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
    // A foreign runner is at it already.
    let is_running = new.owner.is_some() || new.kind == ExecutionKind::External;
    let status = if is_running { Status::Running } else { Status::Pending };
    let sql = "
        INSERT INTO executions (
            execution_id, status, diagram_id, started_at, node_states, node_outputs, llm_usage, variables,
            created_at, last_accessed, kind, origin, mode, source_sha256, revision, parent_execution_id,
            parent_relation, principal, owner, idempotency_key, last_seq, last_activity_at, rights, options,
            request_hash, parent_place)
        VALUES (
            :execution_id, :status, :diagram_id, :now, '{}', '{}', '{}', :variables,
            :now, :now, :kind, :origin, :mode, :source_sha256, :revision, :parent_execution_id,
            :parent_relation, :principal, :owner, :idempotency_key, :last_seq, :now, :rights, :options,
            :request_hash, :parent_place)
        ON CONFLICT (execution_id) DO NOTHING";
    let n_rows = connection.prepare_cached(sql)?.execute(named_params! {
        ":execution_id": new.execution_id.as_str(),
        ":status": status.name(),
        ":diagram_id": new.diagram_id,
        ":now": Moment(new.started_at),
        ":variables": keep(connection, new.execution_id.as_str(), &new.variables)?,
        ":kind": new.kind.name(),
        ":origin": new.origin.name(),
        ":mode": new.mode,
        ":source_sha256": new.source.sha256,
        ":revision": new.revision.map(Whole),
        ":parent_execution_id": new.parent.as_ref().map(|it| it.execution_id.as_str()),
        ":parent_relation": new.parent.as_ref().map(|it| it.relation.name()),
        ":parent_place": new.parent.as_ref().and_then(|it| it.place.as_deref()),
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

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore, execution, id, transition};
    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

    /// Execution `n` asked for by `principal` under `key`, `hours` after noon.
    fn keyed(n: u32, principal: Option<&str>, key: &str, hash: &str, after_ms: i64) -> NewExecution {
        NewExecution {
            principal: principal.map(str::to_owned),
            idempotency: Some(Idempotency { key: key.to_owned(), request_hash: hash.to_owned() }),
            started_at: NOON.plus_ms(after_ms),
            ..execution(n)
        }
    }

    #[tokio::test]
    async fn everything_an_execution_is_made_of_reads_back() {
        let test = TestStore::new();
        let new = NewExecution {
            revision: Some(3),
            kind: ExecutionKind::Child,
            parent: Some(Parent { execution_id: id(9), relation: ParentRelation::Child, place: None }),
            mode: Some("debug".to_owned()),
            rights: r#"{"origin":"local"}"#.to_owned(),
            options: r#"{"models":"caller"}"#.to_owned(),
            variables: r#"{"n":1}"#.to_owned(),
            owner: Some("own_a".into()),
            transitions: vec![transition(1), transition(2)],
            ..keyed(1, Some("ada"), "k", "h", 0)
        };
        assert_eq!(test.store.create_execution(new.clone()).await.expect("created"), Created::New);
        let row = test.store.execution(&id(1)).expect("reads").expect("is there");
        assert_eq!(row.head.execution_id, id(1).as_str());
        assert_eq!((row.head.status, row.head.last_seq, row.head.revision), (Status::Running, 2, Some(3)));
        assert_eq!((row.head.kind.as_str(), row.head.mode.as_deref()), ("child", Some("debug")));
        assert_eq!(row.head.parent_execution_id.as_deref(), Some(id(9).as_str()));
        assert_eq!(row.head.parent_relation.as_deref(), Some("child"));
        assert_eq!((row.head.owner.as_deref(), row.head.principal.as_deref()), (Some("own_a"), Some("ada")));
        assert_eq!((row.head.started_at, row.head.last_activity_at), (NOON, Some(NOON)));
        assert_eq!((row.head.diagram_id.as_deref(), row.origin.as_deref()), (Some("review"), Some("local")));
        assert_eq!((row.rights, row.options), (Some(new.rights), Some(new.options)));
        assert_eq!((row.projection.variables, row.projection.node_states), (new.variables, "{}".to_owned()));
        assert_eq!(row.projection.executed_nodes, "[]");
        assert_eq!((row.idempotency_key.as_deref(), row.request_hash.as_deref()), (Some("k"), Some("h")));
        assert_eq!(row.source_sha256.as_deref(), Some(new.source.sha256.as_str()));
        assert_eq!(test.store.source(&new.source.sha256).expect("reads"), Some(new.source));
        let log = test.store.transitions(&id(1), 0, None).expect("reads");
        assert_eq!(log.iter().map(|it| it.seq).collect::<Vec<_>>(), [1, 2]);
    }

    #[tokio::test]
    async fn a_key_means_one_request_of_one_principal_for_a_day() {
        let test = TestStore::new();
        let same = Ok(Created::Same(id(1)));
        let new = Ok(Created::New);
        for (what, request, want) in [
            ("the first", keyed(1, None, "k", "h", 0), &new),
            ("the same again", keyed(2, None, "k", "h", 1_000), &same),
            ("another request", keyed(3, None, "k", "other", 1_000), &Err("IDEMPOTENCY_CONFLICT")),
            ("another key", keyed(4, None, "k2", "h", 1_000), &new),
            ("another principal", keyed(5, Some("ada"), "k", "h", 1_000), &new),
            ("the last moment", keyed(6, None, "k", "h", DAY_MS - 1), &same),
            ("a day later", keyed(7, None, "k", "h", DAY_MS), &new),
            ("the same as a day later", keyed(8, None, "k", "h", DAY_MS + 1), &Ok(Created::Same(id(7)))),
        ] {
            let created = test.store.create_execution(request).await.map_err(|it| it.code());
            assert_eq!(&created, want, "{what}");
        }
    }

    #[tokio::test]
    async fn an_id_is_taken_once_and_a_refused_execution_leaves_nothing() {
        let test = TestStore::new();
        test.store.create_execution(execution(1)).await.expect("created");
        let source = Source { sha256: "cd".repeat(32), format: "light".to_owned(), content: "other".to_owned() };
        let again = NewExecution { source: source.clone(), ..execution(1) };
        assert_eq!(test.store.create_execution(again).await.expect_err("taken").code(), "ALREADY_EXISTS");
        assert_eq!(test.store.source(&source.sha256).expect("reads"), None);
        let gap = NewExecution { transitions: vec![transition(1), transition(3)], ..execution(2) };
        assert_eq!(test.store.create_execution(gap).await.expect_err("gap").code(), "INTERNAL");
        assert_eq!(test.store.execution(&id(2)).expect("reads"), None);
    }

    #[tokio::test]
    async fn the_same_key_from_two_processes_at_once_makes_one_execution() {
        let test = TestStore::new();
        let other = test.another();
        let (a, b) = tokio::join!(
            test.store.create_execution(keyed(1, None, "k", "h", 0)),
            other.create_execution(keyed(2, None, "k", "h", 0)),
        );
        let (a, b) = (a.expect("answered"), b.expect("answered"));
        assert!(matches!((&a, &b), (Created::New, Created::Same(_)) | (Created::Same(_), Created::New)), "{a:?} {b:?}");
        assert_eq!(test.store.list_executions(&Default::default()).expect("reads").1, 1);
    }
}
