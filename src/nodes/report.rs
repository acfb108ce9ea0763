//! What a node tells the engine while it still runs, so that it is durable before the node is done.

use std::fmt;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::budget::Amount;
use super::output::NewMessage;

/// One item of a batch that is done (diagrams.md 3.15): after a crash it does not run again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemDone {
    /// Position in the list, from 0.
    pub index: usize,
    /// Attempts it took.
    pub attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output: Option<Value>,
    /// The error object of an item that failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Value>,
    /// The child execution that did it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution_id: Option<String>,
    /// Conversation to store when the batch completes, in the order of the items.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub messages: Vec<NewMessage>,
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub meta: Map<String, Value>,
}

/// Something a running node says.
#[expect(clippy::large_enum_variant, reason = "each is sent once and taken apart at once; none is kept")]
#[derive(Debug)]
pub enum Report {
    /// An item of a batch is done.
    Item(ItemDone),
    /// A part of a budget was taken for a call.
    Reserved(Promise),
    /// What that call really spent.
    Settled { id: u64, spent: Amount },
}

/// A part of a budget, taken for a call that is not made before this is durable.
pub struct Promise {
    pub id: u64,
    /// Whose call it is; `None` when a child execution makes it.
    pub person: Option<String>,
    pub amount: Amount,
    /// Gets what to wait for.
    pub durable: oneshot::Sender<BoxFuture<'static, ()>>,
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Promise({}, {:?})", self.id, self.amount)
    }
}

/// The way from one node to the loop of its execution. Nobody listens in tests of a single node.
#[derive(Clone, Debug, Default)]
pub struct Reports(Option<(usize, mpsc::UnboundedSender<(usize, Report)>)>);

impl Reports {
    /// The way of the node at position `node`.
    pub fn new(node: usize, sender: mpsc::UnboundedSender<(usize, Report)>) -> Self {
        Self(Some((node, sender)))
    }

    /// Whether somebody was to listen.
    pub fn has_listener(&self) -> bool {
        self.0.is_some()
    }

    /// Says `report`. It is recorded before the node's own completion.
    pub fn say(&self, report: Report) {
        if let Some((node, sender)) = &self.0 {
            // Without a listener the run is over, and nothing the node says matters any more.
            let _ = sender.send((*node, report));
        }
    }
}
