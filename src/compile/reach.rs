//! Which nodes a run can ever come to, from everything that starts by itself.

use super::graph::{EdgeIdx, Graph, NodeIdx, NodeSet};
use crate::diagram::{Handle, NodeKind};

/// Whether `node` starts without anything arriving: nothing leads to it.
pub(super) fn starts_by_itself(graph: &Graph, node: NodeIdx) -> bool {
    graph.incoming(node).is_empty()
}

/// Returns every node that can run when only the connections `is_open` accepts carry anything. A node
/// with connections to `first` only ever begins through one of them (diagrams.md 3.3 rule 1).
pub(super) fn reachable(graph: &Graph, is_open: impl Fn(EdgeIdx) -> bool) -> NodeSet {
    let mut found = NodeSet::new(graph.nodes.len());
    let mut todo: Vec<NodeIdx> = (0..graph.nodes.len()).filter(|&it| starts_by_itself(graph, it)).collect();
    for &node in &todo {
        found.insert(node);
    }
    while let Some(node) = todo.pop() {
        for &edge in graph.outgoing(node) {
            let to = graph.edges[edge].to;
            let begins = !graph.takes_first(to) || graph.edges[edge].input == Handle::First;
            if begins && is_open(edge) && found.insert(to) {
                todo.push(to);
            }
        }
    }
    found
}

/// Which of a node's outputs exclude each other: two handles of different groups never carry a value
/// from the same run of the node.
pub(super) fn output_group(kind: Option<NodeKind>, output: Handle) -> u8 {
    match (kind, output) {
        (_, Handle::Error) => 0,
        (Some(NodeKind::Condition), Handle::CondTrue) => 1,
        (Some(NodeKind::Condition), Handle::CondFalse) => 2,
        _ => 3,
    }
}
