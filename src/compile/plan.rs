//! A compiled diagram: everything the engine needs, read once.

use std::sync::Arc;

use super::graph::{Graph, GraphEdge, GraphNode, Rank};
use super::read::ReadNode;
use crate::diagram::{Connection, ContentType, Diagram, DiagramNode, Handle, InputDeclaration, NodeKind};
use crate::diagram::{Person, Settings};
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

/// Puts a plan together from a diagram without errors; `nodes` are its nodes in order.
pub(super) fn build(diagram: &Diagram, nodes: Vec<ReadNode>, graph: Graph, persons: Vec<Person>) -> Plan {
    let nodes = nodes.into_iter().zip(&diagram.nodes).map(|(read, written)| plan_node(read, written)).collect();
    Plan {
        nodes,
        edges: diagram.connections.iter().map(plan_edge).collect(),
        graph: Arc::new(graph),
        persons: persons.into_iter().map(Arc::new).collect(),
        settings: diagram.settings.clone(),
        inputs: diagram.inputs.clone(),
    }
}

fn plan_node(read: ReadNode, written: &DiagramNode) -> PlanNode {
    PlanNode {
        id: written.id.as_str().into(),
        label: written.label.as_str().into(),
        kind: read.kind,
        policy: read.policy,
        node: read.node,
    }
}

fn plan_edge(connection: &Connection) -> PlanEdge {
    PlanEdge {
        from: connection.from,
        output: connection.output,
        to: connection.to,
        input: connection.input,
        key: input_key(connection).to_owned(),
        content_type: connection.content_type,
    }
}

/// The input name that `connection` delivers: its label, else its handle (diagrams.md 3.4).
pub(super) fn input_key(connection: &Connection) -> &str {
    connection.label.as_ref().map_or(connection.input.name(), |it| &it.value)
}

/// Makes the bare graph that the scheduler and the checks of the whole work on.
pub(super) fn graph(diagram: &Diagram, nodes: &[ReadNode]) -> Graph {
    let graph_nodes = nodes.iter().zip(&diagram.nodes).map(|(read, written)| graph_node(read, written)).collect();
    let edges =
        diagram.connections.iter().map(|it| GraphEdge { from: it.from, output: it.output, to: it.to, input: it.input });
    Graph::new(graph_nodes, edges.collect())
}

fn graph_node(read: &ReadNode, written: &DiagramNode) -> GraphNode {
    let traits = read.node.traits();
    let trigger = written.field("trigger_mode").and_then(|it| it.as_text()).unwrap_or_default();
    GraphNode {
        rank: rank(read.kind),
        is_endpoint: read.kind == NodeKind::Endpoint,
        max_iteration: traits.max_iteration,
        skippable: traits.skippable,
        is_hook_start: read.kind == NodeKind::Start && trigger.trim().eq_ignore_ascii_case("hook"),
    }
}

fn rank(kind: NodeKind) -> Rank {
    match kind {
        NodeKind::Start => Rank::Start,
        NodeKind::Condition => Rank::Condition,
        NodeKind::PersonJob => Rank::PersonJob,
        NodeKind::CodeJob
        | NodeKind::ApiJob
        | NodeKind::Endpoint
        | NodeKind::Db
        | NodeKind::UserResponse
        | NodeKind::Hook
        | NodeKind::TemplateJob
        | NodeKind::JsonSchemaValidator
        | NodeKind::TypescriptAst
        | NodeKind::SubDiagram
        | NodeKind::IntegratedApi
        | NodeKind::IrBuilder
        | NodeKind::DiffPatch
        | NodeKind::McpTool
        | NodeKind::Command => Rank::Other,
    }
}
