//! What a node tells the engine while it still runs, so that it is durable before the node is done.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

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
#[derive(Clone, Debug)]
pub enum Report {
    /// An item of a batch is done.
    Item(ItemDone),
}

/// The way from one node to the loop of its execution. Nobody listens in tests of a single node.
#[derive(Clone, Debug, Default)]
pub struct Reports(Option<(usize, mpsc::UnboundedSender<(usize, Report)>)>);

impl Reports {
    /// The way of the node at position `node`.
    pub fn new(node: usize, sender: mpsc::UnboundedSender<(usize, Report)>) -> Self {
        Self(Some((node, sender)))
    }

    /// Says `report`. It is recorded before the node's own completion.
    pub fn say(&self, report: Report) {
        if let Some((node, sender)) = &self.0 {
            // Without a listener the run is over, and nothing the node says matters any more.
            let _ = sender.send((*node, report));
        }
    }
}
