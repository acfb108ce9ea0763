//! What a person remembers: the messages of an execution, exact filters over them, and how they are
//! shown to a model (diagrams.md 3.12). It must not know providers: choosing memory by a model goes
//! through the port.

pub mod conversation;
mod read;
pub mod recall;
pub mod selection;
pub mod window;

use serde::{Deserialize, Serialize};

use crate::ids::ExecutionId;

/// The party that prompts come from: the diagram itself.
pub const SYSTEM: &str = "system";
/// The party that is a human at the other end.
pub const USER: &str = "user";

/// One stored message of an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `<execution>:<node>:<iteration>:<k>`.
    pub id: String,
    /// Order within the execution, from 1.
    pub seq: u64,
    /// A person id, `system` (the diagram) or `user`.
    pub from: String,
    /// As `from`.
    pub to: String,
    /// The person whose call it belongs to.
    pub person_id: String,
    /// `user` for a prompt, `assistant` for a reply.
    pub role: String,
    pub content: String,
    pub node_id: String,
    pub iteration: u32,
    /// `message` or `decision`.
    pub kind: String,
}

/// Returns the id of the `k`-th message (from 0) of one completion.
///
/// It follows from the place alone: a conversation can name its newest messages before they are
/// stored, and storing twice is one row.
pub fn message_id(execution_id: &ExecutionId, (node_id, iteration): (&str, u32), k: usize) -> String {
    format!("{}:{node_id}:{iteration}:{k}", execution_id.as_str())
}
