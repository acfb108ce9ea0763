//! The bare graph the scheduler works on, with its loops found once (diagrams.md 3.3).

use crate::diagram::Handle;

/// Position of a node in the diagram.
pub type NodeIdx = usize;
/// Position of a connection among the resolved ones.
pub type EdgeIdx = usize;

/// In which order nodes start that may start at the same moment (diagrams.md 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Start,
    Condition,
    PersonJob,
    Other,
}

/// What the scheduler knows of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphNode {
    pub rank: Rank,
    pub is_endpoint: bool,
    /// person_job: after so many executions it is exhausted.
    pub max_iteration: Option<u32>,
    /// condition with `skippable: true`.
    pub skippable: bool,
    /// A `start` with `trigger_mode: hook`.
    pub is_hook_start: bool,
}

/// What the scheduler knows of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphEdge {
    pub from: NodeIdx,
    pub output: Handle,
    pub to: NodeIdx,
    pub input: Handle,
}

/// Nodes, edges and the loops among them.
#[derive(Clone, Debug)]
pub struct Graph {
    pub nodes: Vec<GraphNode>,
    pub edges: Vec<GraphEdge>,
}

impl Graph {
    /// Analyses a graph.
    pub fn new(nodes: Vec<GraphNode>, edges: Vec<GraphEdge>) -> Self {
        Self { nodes, edges }
    }
}
