//! Which connection touches which node, and the strongly connected components of any part of it.
//! It knows nodes and connections by position only; what loops mean is next door in `loops`.

use super::node_set::NodeSet;
use super::{EdgeIdx, GraphEdge, NodeIdx};

/// The adjacency lists of a graph, each in connection order.
#[derive(Clone, Debug)]
pub(super) struct Wiring {
    ends: Vec<(NodeIdx, NodeIdx)>,
    incoming: Vec<Vec<EdgeIdx>>,
    outgoing: Vec<Vec<EdgeIdx>>,
}

impl Wiring {
    pub(super) fn new(n_nodes: usize, edges: &[GraphEdge]) -> Self {
        let mut incoming = vec![Vec::new(); n_nodes];
        let mut outgoing = vec![Vec::new(); n_nodes];
        for (index, edge) in edges.iter().enumerate() {
            incoming[edge.to].push(index);
            outgoing[edge.from].push(index);
        }
        Self { ends: edges.iter().map(|it| (it.from, it.to)).collect(), incoming, outgoing }
    }

    pub(super) fn n_nodes(&self) -> usize {
        self.incoming.len()
    }

    pub(super) fn n_edges(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn incoming(&self, node: NodeIdx) -> &[EdgeIdx] {
        &self.incoming[node]
    }

    pub(super) fn outgoing(&self, node: NodeIdx) -> &[EdgeIdx] {
        &self.outgoing[node]
    }

    pub(super) fn from(&self, edge: EdgeIdx) -> NodeIdx {
        self.ends[edge].0
    }

    pub(super) fn to(&self, edge: EdgeIdx) -> NodeIdx {
        self.ends[edge].1
    }

    /// Returns how many connections lie between each node and the nearest of `sources`; `None` where
    /// no path leads.
    pub(super) fn distances(&self, sources: impl Iterator<Item = NodeIdx>) -> Vec<Option<usize>> {
        let mut distances = vec![None; self.n_nodes()];
        let mut queue: Vec<NodeIdx> = sources.collect();
        for &node in &queue {
            distances[node] = Some(0);
        }
        let mut next = 0;
        while let Some(&node) = queue.get(next) {
            next += 1;
            for &edge in self.outgoing(node) {
                let to = self.to(edge);
                if distances[to].is_none() {
                    distances[to] = distances[node].map(|it| it + 1);
                    queue.push(to);
                }
            }
        }
        distances
    }

    /// Returns `node` and every node behind it.
    pub(super) fn behind(&self, node: NodeIdx) -> NodeSet {
        let mut found = NodeSet::new(self.n_nodes());
        found.insert(node);
        let mut todo = vec![node];
        while let Some(node) = todo.pop() {
            todo.extend(self.outgoing(node).iter().map(|&edge| self.to(edge)).filter(|&to| found.insert(to)));
        }
        found
    }

    /// Returns the strongly connected components of `members` under the edges that `keeps` accepts
    /// (both ends must be members): a component comes before those it leads to, its nodes are in file
    /// order.
    ///
    /// Two depth-first walks, with stacks of their own: a long chain must not end the thread's.
    pub(super) fn components(&self, members: &[NodeIdx], keeps: impl Fn(EdgeIdx) -> bool) -> Vec<Vec<NodeIdx>> {
        let mut unplaced = NodeSet::new(self.n_nodes());
        for &node in members {
            unplaced.insert(node);
        }
        let mut components = Vec::new();
        for &root in self.finishing_order(members, &keeps).iter().rev() {
            if !unplaced.contains(root) {
                continue;
            }
            unplaced.remove(root);
            let mut component = vec![root];
            let mut next = 0;
            while let Some(&node) = component.get(next) {
                next += 1;
                for &edge in self.incoming(node).iter().filter(|&&it| keeps(it)) {
                    let from = self.from(edge);
                    if unplaced.contains(from) {
                        unplaced.remove(from);
                        component.push(from);
                    }
                }
            }
            component.sort_unstable();
            components.push(component);
        }
        components
    }

    /// The members in the order in which a depth-first walk along the edges leaves them.
    fn finishing_order(&self, members: &[NodeIdx], keeps: impl Fn(EdgeIdx) -> bool) -> Vec<NodeIdx> {
        let mut seen = NodeSet::new(self.n_nodes());
        let mut order = Vec::with_capacity(members.len());
        for &root in members {
            if !seen.insert(root) {
                continue;
            }
            let mut path = vec![(root, 0)];
            while let Some((node, next)) = path.last_mut() {
                let Some(&edge) = self.outgoing(*node).get(*next) else {
                    order.push(*node);
                    path.pop();
                    continue;
                };
                *next += 1;
                if keeps(edge) && seen.insert(self.to(edge)) {
                    path.push((self.to(edge), 0));
                }
            }
        }
        order
    }
}
