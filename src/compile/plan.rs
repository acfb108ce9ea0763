//! A compiled diagram: everything the engine needs, read once.

use std::sync::Arc;

use super::graph::Graph;
use crate::diagram::{ContentType, Handle, InputDeclaration, NodeKind, Person, Settings};
use crate::nodes::{Node, Policy};

/// A diagram ready to run. Node and edge positions are those of the diagram and of its resolved
/// connections, and the same in [`Graph`].
pub struct Plan {
    pub nodes: Vec<PlanNode>,
    pub edges: Vec<PlanEdge>,
    pub graph: Arc<Graph>,
    pub persons: Arc<[Arc<Person>]>,
    pub settings: Settings,
    pub inputs: Vec<InputDeclaration>,
}

/// One node of a plan.
pub struct PlanNode {
    pub id: Arc<str>,
    pub label: Arc<str>,
    pub kind: NodeKind,
    pub policy: Policy,
    pub node: Box<dyn Node>,
}

/// One connection of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanEdge {
    pub from: usize,
    pub output: Handle,
    pub to: usize,
    pub input: Handle,
    /// The input name it delivers: its label, else its handle.
    pub key: String,
    pub content_type: Option<ContentType>,
}

impl Plan {
    /// Returns the position of the node with this id or, else, this label.
    pub fn find(&self, reference: &str) -> Option<usize> {
        self.nodes
            .iter()
            .position(|it| &*it.id == reference)
            .or_else(|| self.nodes.iter().position(|it| &*it.label == reference))
    }
}
