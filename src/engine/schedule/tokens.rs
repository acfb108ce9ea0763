//! Rule 3 of diagrams.md 3.3: a start takes tokens, a completion puts them, and after each the sets
//! that the rule reads are brought up to date. Nothing here costs more than the node's own connections.

use super::Schedule;
use crate::compile::{EdgeIdx, NodeIdx};
use crate::nodes::Published;

impl Schedule {
    /// Makes `node` run: takes every relevant token and counts the execution.
    pub(super) fn take_tokens(&mut self, node: NodeIdx) -> Vec<EdgeIdx> {
        let edges: Vec<EdgeIdx> = self.relevant(node).filter(|&it| self.tokens[it]).collect();
        for &edge in &edges {
            self.tokens[edge] = false;
        }
        self.started[node] += 1;
        self.n_started += 1;
        self.startable.remove(node);
        if self.running.insert(node) {
            self.n_running += 1;
        }
        let leaves_first = self.graph.takes_first(node) && self.started[node] == 1;
        if leaves_first || self.is_exhausted(node) {
            self.narrowed.insert(node);
            self.n_narrowings += 1;
        }
        self.note_state(node);
        edges
    }

    /// Makes `node` stop running.
    pub(super) fn stop(&mut self, node: NodeIdx) {
        if self.running.contains(node) {
            self.running.remove(node);
            self.n_running -= 1;
        }
        self.note_state(node);
    }

    /// Makes `node` stop running and puts its value on the edges it publishes on. Returns the edges
    /// where that replaced a token.
    pub(super) fn put_tokens(&mut self, node: NodeIdx, published: Published) -> Vec<EdgeIdx> {
        self.stop(node);
        let graph = self.graph.clone();
        let mut replaced = Vec::new();
        for &edge in graph.outgoing(node).iter().filter(|&&it| published.is_on(graph.edges[it].output)) {
            if std::mem::replace(&mut self.tokens[edge], true) {
                replaced.push(edge);
            }
            self.note_token(edge);
        }
        replaced
    }

    /// Enters `node` afresh in the sets that say who may fire and who can bring something.
    pub(super) fn note_state(&mut self, node: NodeIdx) {
        let key = (self.graph.nodes[node].rank, node);
        let is_running = self.running.contains(node);
        let is_active = is_running || self.startable.contains(node);
        self.blockers[node] = None;
        self.movers.set(node, is_active);
        self.next_round_movers.remove(node);
        self.candidates.remove(&key);
        if is_active && !is_running {
            self.candidates.insert(key);
        }
        let graph = self.graph.clone();
        for &edge in graph.incoming(node).iter() {
            if self.tokens[edge] {
                self.note_token(edge);
            }
        }
    }

    /// Enters the target of a token in those sets.
    fn note_token(&mut self, edge: EdgeIdx) {
        let node = self.graph.edges[edge].to;
        if self.is_exhausted(node) || !self.is_relevant(edge) {
            return;
        }
        self.blockers[node] = None;
        if !self.running.contains(node) {
            self.candidates.insert((self.graph.nodes[node].rank, node));
        }
        if !self.graph.is_back_edge(edge) {
            self.movers.insert(node);
        }
        self.next_round_movers.set(node, !self.movers.contains(node));
    }
}
