//! The port through which a node runs other diagrams: each as an execution of its own.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::diagram::{Format, Service};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::budget::Purse;
use crate::nodes::context::Mode;
use crate::nodes::memory::Message;
use crate::nodes::output::{ChildQuestion, Question};
use crate::nodes::rights::Rights;

/// A diagram to run as a child.
#[derive(Clone)]
pub struct ChildRequest {
    pub parent: ExecutionId,
    /// `<node id>:<iteration>`, with `:<index>` for an item of a batch. A node that starts again after a
    /// crash finds the child of the same place.
    pub place: String,
    pub source: ChildSource,
    pub variables: Map<String, Value>,
    /// How many of the parent's messages the child begins with; `None` = its memory is its own.
    pub inherits: Option<usize>,
    /// The parent's; the child has these or fewer.
    pub rights: Arc<Rights>,
    pub models: Option<Service>,
    pub strict: bool,
    pub mode: Mode,
    /// Whether the parent waits for it: then it is aborted with the parent.
    pub is_awaited: bool,
    /// The parent was opened again: a child of this place that failed or was aborted is, too.
    pub goes_on: bool,
    /// In a replay: the execution that the child repeats.
    pub replay_of: Option<ExecutionId>,
    /// What its model calls are paid from besides its own budget.
    pub purse: Option<Purse>,
}

/// Where a child's diagram comes from.
#[derive(Clone, Debug)]
pub enum ChildSource {
    /// A name, looked for beside the parent's diagram first (diagrams.md 1.4).
    Named { name: String, format: Option<Format> },
    /// The text itself.
    Text { text: String, format: Option<Format> },
}

/// How a child stands when nothing moves in it any more.
#[derive(Clone, Debug)]
pub enum ChildState {
    /// It has ended.
    Ended(Box<ChildEnd>),
    /// It waits for somebody: what it asks, and which of its nodes.
    Waits(Box<Question>),
}

/// How a child ended.
#[derive(Clone, Debug, Default)]
pub struct ChildEnd {
    /// Its result (diagrams.md 5.6).
    pub result: Value,
    /// The error object, or that it was aborted; `None` = it completed.
    pub error: Option<Value>,
    /// `{input, output, cached, total}`; absent without model calls.
    pub llm_usage: Option<Value>,
    /// What its calls cost.
    pub cost: Option<Value>,
}

/// Runs diagrams for diagrams.
pub trait Children: Send + Sync {
    /// Starts the child, durably, or finds the one that was started for this place and has not failed.
    ///
    /// # Errors
    ///
    /// `DIAGRAM_NOT_FOUND`, `INVALID_DIAGRAM`, `INVALID_INPUT`, `SUB_DIAGRAM_FAILED` beyond the depth limit.
    fn start(&self, request: ChildRequest) -> BoxFuture<'_, Result<ExecutionId, Error>>;

    /// Waits until the child has ended or waits for somebody.
    ///
    /// # Errors
    ///
    /// What the store says.
    fn settled<'a>(&'a self, child: &'a ExecutionId) -> BoxFuture<'a, Result<ChildState, Error>>;

    /// Waits until a child that asked something no longer waits for the answer, and returns who answered it;
    /// `None` when nobody did.
    fn moved(&self, asked: ChildQuestion) -> BoxFuture<'static, Option<String>>;

    /// Gives a child that goes on what its model calls are paid from.
    fn pay(&self, _child: &ExecutionId, _purse: Purse) {}

    /// Aborts the child unless it has ended; returns at once. Nothing happens while this process stops: the
    /// child goes on with its parent elsewhere.
    fn abandon(&self, child: ExecutionId, reason: &'static str);

    /// Returns the messages that the child added to those it began with, its own children's among them.
    ///
    /// # Errors
    ///
    /// What the store says.
    fn messages<'a>(&'a self, child: &'a ExecutionId) -> BoxFuture<'a, Result<Vec<Message>, Error>>;
}

/// Runs nothing: for tests.
pub struct NoChildren;

impl Children for NoChildren {
    fn start(&self, _request: ChildRequest) -> BoxFuture<'_, Result<ExecutionId, Error>> {
        Box::pin(async { Err(Error::internal("no diagrams are run here")) })
    }

    fn settled<'a>(&'a self, _child: &'a ExecutionId) -> BoxFuture<'a, Result<ChildState, Error>> {
        Box::pin(async { Err(Error::internal("no diagrams are run here")) })
    }

    fn moved(&self, _asked: ChildQuestion) -> BoxFuture<'static, Option<String>> {
        Box::pin(std::future::pending())
    }

    fn abandon(&self, _child: ExecutionId, _reason: &'static str) {}

    fn messages<'a>(&'a self, _child: &'a ExecutionId) -> BoxFuture<'a, Result<Vec<Message>, Error>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
