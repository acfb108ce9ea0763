//! What a person remembers: exact filters over the conversation of the execution
//! (diagrams.md 3.12).

use serde::{Deserialize, Serialize};

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
