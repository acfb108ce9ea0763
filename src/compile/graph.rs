//! The bare graph the scheduler works on, with its loops found once (diagrams.md 3.3).
//!
//! It knows nodes and connections by position, and of a node only what decides when it may fire. It
//! must not know labels, values or where a diagram came from.

mod loops;
mod node_set;
#[cfg(test)]
mod tests;
mod wiring;

use std::collections::VecDeque;
use std::sync::OnceLock;

use crate::diagram::Handle;

pub use loops::{Loop, LoopIdx};
pub use node_set::NodeSet;
use wiring::Wiring;

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
    wiring: Wiring,
    components: Vec<Vec<NodeIdx>>,
    loops: Vec<Loop>,
    /// Of each node, the loop it is the header of.
    headed: Vec<Option<LoopIdx>>,
    /// Of each node, the innermost loop it is in.
    innermost: Vec<Option<LoopIdx>>,
    /// Of each edge, the loop it is a back edge of.
    back: Vec<Option<LoopIdx>>,
    takes_first: Vec<bool>,
    /// The two below cost a search each and most diagrams need few of them, so they are made when first
    /// asked for and kept with the plan.
    behind: Vec<OnceLock<NodeSet>>,
    bringers: Vec<OnceLock<NodeSet>>,
}

impl Graph {
    /// Analyses a graph. Every edge must name nodes that exist.
    pub fn new(nodes: Vec<GraphNode>, edges: Vec<GraphEdge>) -> Self {
        let wiring = Wiring::new(nodes.len(), &edges);
        let all: Vec<NodeIdx> = (0..nodes.len()).collect();
        let components = wiring.components(&all, |_| true);
        let loops = loops::find(&nodes, &wiring, &components);
        let mut graph = Self {
            headed: vec![None; nodes.len()],
            innermost: vec![None; nodes.len()],
            back: vec![None; edges.len()],
            takes_first: vec![false; nodes.len()],
            behind: vec![OnceLock::new(); nodes.len()],
            bringers: vec![OnceLock::new(); edges.len()],
            nodes,
            edges,
            wiring,
            components,
            loops,
        };
        graph.index_loops();
        for edge in &graph.edges {
            graph.takes_first[edge.to] |= edge.input == Handle::First;
        }
        graph
    }

    /// Notes at each node and edge what the list of loops says about it.
    fn index_loops(&mut self) {
        for (index, found) in self.loops.iter().enumerate() {
            self.headed[found.header] = Some(index);
            for &edge in &found.back_edges {
                self.back[edge] = Some(index);
            }
            // Outer loops come first, so the last one to write is the innermost.
            for &node in &found.members {
                self.innermost[node] = Some(index);
            }
        }
    }

    /// The connections into `node`, in connection order.
    pub fn incoming(&self, node: NodeIdx) -> &[EdgeIdx] {
        self.wiring.incoming(node)
    }

    /// The connections out of `node`, in connection order.
    pub fn outgoing(&self, node: NodeIdx) -> &[EdgeIdx] {
        self.wiring.outgoing(node)
    }

    /// Whether a connection ends at the `first` handle of `node`.
    pub fn takes_first(&self, node: NodeIdx) -> bool {
        self.takes_first[node]
    }

    /// Every loop; an outer one comes before the loops inside it.
    pub fn loops(&self) -> &[Loop] {
        &self.loops
    }

    /// The smallest loop that `node` is in.
    pub fn innermost_loop(&self, node: NodeIdx) -> Option<&Loop> {
        self.innermost[node].map(|it| &self.loops[it])
    }

    /// The loop whose rounds begin at `node`.
    pub fn headed_loop(&self, node: NodeIdx) -> Option<&Loop> {
        self.headed[node].map(|it| &self.loops[it])
    }

    /// Whether `edge` begins a new round of some loop; all others are forward.
    pub fn is_back_edge(&self, edge: EdgeIdx) -> bool {
        self.back[edge].is_some()
    }

    /// Whether what comes along `edge` belongs to a later round of a loop that `node` is in.
    pub fn begins_round_of(&self, edge: EdgeIdx, node: NodeIdx) -> bool {
        self.back[edge].is_some_and(|it| self.loops[it].contains(node))
    }

    /// Every strongly connected component, single nodes included: a component comes before those it
    /// leads to, its nodes are in file order.
    pub fn strongly_connected(&self) -> &[Vec<NodeIdx>] {
        &self.components
    }

    /// Whether `to` is `from` or lies behind it.
    pub fn reaches(&self, from: NodeIdx, to: NodeIdx) -> bool {
        self.behind[from].get_or_init(|| self.wiring.behind(from)).contains(to)
    }

    /// Returns every node from which something may come along `edge` within the present round of the
    /// loops its target is in, as far as the graph alone can say.
    pub(crate) fn bringers(&self, edge: EdgeIdx) -> &NodeSet {
        self.bringers[edge].get_or_init(|| {
            let mut found = NodeSet::new(self.nodes.len());
            self.search_back(
                edge,
                |_| true,
                |node| {
                    found.insert(node);
                    false
                },
            );
            found
        })
    }

    /// Walks back from the source of `edge` and returns the first node that is wanted. The walk takes the
    /// edges that `may_cross` accepts; it never enters the target of `edge` and never crosses a back edge
    /// of a loop the target is in.
    pub(crate) fn search_back(
        &self,
        edge: EdgeIdx,
        may_cross: impl Fn(EdgeIdx) -> bool,
        mut is_wanted: impl FnMut(NodeIdx) -> bool,
    ) -> Option<NodeIdx> {
        let GraphEdge { from: source, to: target, .. } = self.edges[edge];
        let mut seen = NodeSet::new(self.nodes.len());
        seen.insert(target);
        let mut todo = Vec::new();
        if seen.insert(source) {
            todo.push(source);
        }
        while let Some(node) = todo.pop() {
            if is_wanted(node) {
                return Some(node);
            }
            let passable = |&edge: &EdgeIdx| may_cross(edge) && !self.begins_round_of(edge, target);
            let before = self.incoming(node).iter().copied().filter(passable).map(|edge| self.edges[edge].from);
            todo.extend(before.filter(|&it| seen.insert(it)));
        }
        None
    }

    /// Returns the shortest way round through `node` within the innermost loop it is in, beginning at
    /// the loop's header; empty when it is in none. Messages name a loop this way.
    pub fn cycle_through(&self, node: NodeIdx) -> Vec<NodeIdx> {
        let Some(around) = self.innermost_loop(node) else { return Vec::new() };
        let mut came_from = vec![None; self.nodes.len()];
        let mut queue = VecDeque::from([node]);
        while let Some(at) = queue.pop_front() {
            let next = self.outgoing(at).iter().map(|&edge| self.edges[edge].to);
            for to in next.filter(|&to| around.contains(to)) {
                if came_from[to].is_none() {
                    came_from[to] = Some(at);
                    queue.push_back(to);
                }
            }
            if came_from[node].is_some() {
                break;
            }
        }
        let mut cycle: Vec<NodeIdx> =
            std::iter::successors(came_from[node], |&it| came_from[it].filter(|_| it != node)).collect();
        cycle.reverse();
        let header = cycle.iter().position(|&it| it == around.header).unwrap_or_default();
        cycle.rotate_left(header);
        cycle
    }
}
