//! Finds the loops of a graph and their headers (diagrams.md 3.3): a component with a cycle is a loop,
//! without the connections into its header it falls apart, and what still has a cycle is a loop inside.

use super::node_set::NodeSet;
use super::wiring::Wiring;
use super::{EdgeIdx, GraphNode, NodeIdx, Rank};

/// Position of a loop in [`Graph::loops`](super::Graph::loops).
pub type LoopIdx = usize;

/// A part of a graph that goes round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loop {
    /// Where a round begins.
    pub header: NodeIdx,
    /// Every node that is in the loop, the header and the nodes of inner loops included, in file order.
    pub members: Vec<NodeIdx>,
    /// The connections from members into the header: each begins a new round.
    pub back_edges: Vec<EdgeIdx>,
    member_set: NodeSet,
}

impl Loop {
    /// Whether `node` is in the loop.
    pub fn contains(&self, node: NodeIdx) -> bool {
        self.member_set.contains(node)
    }
}

/// Finds every loop; an outer one comes before the loops inside it.
pub(super) fn find(nodes: &[GraphNode], wiring: &Wiring, components: &[Vec<NodeIdx>]) -> Vec<Loop> {
    let starts = (0..nodes.len()).filter(|&it| nodes[it].rank == Rank::Start);
    let search = Search { nodes, wiring, distances: wiring.distances(starts) };
    let mut is_back = vec![false; wiring.n_edges()];
    let mut loops = Vec::new();
    let mut todo: Vec<Vec<NodeIdx>> = components.to_vec();
    let mut next = 0;
    while let Some(component) = todo.get(next).cloned() {
        next += 1;
        let Some(found) = search.loop_of(&component, &is_back) else { continue };
        for &edge in &found.back_edges {
            is_back[edge] = true;
        }
        let inside =
            |edge: EdgeIdx| !is_back[edge] && found.contains(wiring.from(edge)) && found.contains(wiring.to(edge));
        todo.extend(wiring.components(&component, inside));
        loops.push(found);
    }
    loops
}

struct Search<'a> {
    nodes: &'a [GraphNode],
    wiring: &'a Wiring,
    /// Connections from the nearest start.
    distances: Vec<Option<usize>>,
}

impl Search<'_> {
    /// Makes a loop of `component` if it has a cycle.
    fn loop_of(&self, component: &[NodeIdx], is_back: &[bool]) -> Option<Loop> {
        if !self.has_cycle(component, is_back) {
            return None;
        }
        let mut member_set = NodeSet::new(self.nodes.len());
        for &node in component {
            member_set.insert(node);
        }
        let header = self.header(component, &member_set)?;
        let comes_from_inside = |edge: &EdgeIdx| member_set.contains(self.wiring.from(*edge));
        let back_edges = self.wiring.incoming(header).iter().copied().filter(comes_from_inside).collect();
        Some(Loop { header, members: component.to_vec(), back_edges, member_set })
    }

    /// Several nodes that reach each other have a cycle; one alone needs a connection to itself.
    fn has_cycle(&self, component: &[NodeIdx], is_back: &[bool]) -> bool {
        let [node] = component else { return true };
        self.wiring.outgoing(*node).iter().any(|&edge| self.wiring.to(edge) == *node && !is_back[edge])
    }

    /// The node where the loop is entered: of several the one with the fewest connections from a start,
    /// then one that is no condition, then the first in the file.
    fn header(&self, component: &[NodeIdx], members: &NodeSet) -> Option<NodeIdx> {
        let is_entry = |node: &&NodeIdx| {
            self.wiring.incoming(**node).iter().any(|&edge| !members.contains(self.wiring.from(edge)))
        };
        let preference = |node: &&NodeIdx| {
            let distance = self.distances[**node].unwrap_or(usize::MAX);
            (distance, self.nodes[**node].rank == Rank::Condition, **node)
        };
        let entry = component.iter().filter(is_entry).min_by_key(preference);
        entry.or_else(|| component.iter().min_by_key(preference)).copied()
    }
}
