//! What the engine asks of a store: append durably, in order, once.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::event::Status;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::PauseReason;
use crate::nodes::memory::Message;

/// Records what happened to executions.
pub trait Journal: Send + Sync {
    /// Hands a batch to the writer and returns as soon as it is queued (waiting only for space in the
    /// queue); batches of one execution are written in the order they were handed over. The ticket
    /// resolves when the batch is durable.
    ///
    /// # Errors
    ///
    /// `INTERNAL` when the writer is gone.
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Ticket, Error>>;
}

/// Resolves when a batch is durable, or says why it could not be written
/// (`LEASE_LOST`: another process owns the execution now).
pub struct Ticket(pub tokio::sync::oneshot::Receiver<Result<(), Error>>);

impl Ticket {
    /// Waits until the batch is durable.
    ///
    /// # Errors
    ///
    /// What the writer said; `INTERNAL` when it is gone.
    pub async fn durable(self) -> Result<(), Error> {
        self.0.await.unwrap_or_else(|_| Err(Error::internal("the database writer is gone")))
    }
}

/// One transaction of one execution: events, messages and the small columns go in together.
#[derive(Clone, Debug)]
pub struct Batch {
    pub execution_id: ExecutionId,
    /// The process that writes; the batch is refused (`LEASE_LOST`) when it does not own the execution.
    pub owner: Arc<str>,
    pub transitions: Vec<Transition>,
    pub messages: Vec<Message>,
    /// What nodes heard from outside; the events that came of it are in the same batch.
    pub recordings: Vec<Recording>,
    /// Stored requests that the events of this batch carry out: done with it, so nobody carries them out again.
    pub carried_out: Vec<i64>,
    pub summary: Summary,
    /// The growing JSON columns; only when the execution pauses or ends.
    pub projection: Option<Box<Projection>>,
}

/// One row of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// From 1, gapless, unique per execution.
    pub seq: u64,
    pub node_id: Option<Arc<str>>,
    /// A phase of surface.md 6.1.
    pub phase: &'static str,
    /// JSON text beginning with `{"v":1`.
    pub payload: String,
    pub created_at: Timestamp,
}

/// One call of a node to the outside and what came back; a replay answers from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub node_id: Arc<str>,
    pub iteration: u32,
    pub attempt: u32,
    /// Empty, or `<index>.<attempt>` of an item of a batch.
    pub place: String,
    /// `model`, `http`, `command`, `code`, `file` or `child`.
    pub kind: Cow<'static, str>,
    /// JSON text, without secrets and without ids of executions.
    pub request: String,
    /// JSON text `{"ok": …}` or `{"error": …}`; `None`: the call was broken off.
    pub reply: Option<String>,
}

/// The small columns of `executions`, written in every transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub status: Status,
    pub pause_reason: Option<PauseReason>,
    pub error_code: Option<String>,
    pub ended_at: Option<Timestamp>,
    /// When the earliest open question expires; somebody has to be there then.
    pub deadline_at: Option<Timestamp>,
    pub last_seq: u64,
    pub last_activity_at: Timestamp,
}

/// The growing columns of `executions`, each as JSON text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projection {
    pub node_states: String,
    pub node_outputs: String,
    pub llm_usage: String,
    pub error: Option<String>,
    pub variables: String,
    pub exec_counts: String,
    pub executed_nodes: String,
}
