//! How a run ends (diagrams.md 3.3 rule 5 and 3.17) and what it leaves behind.

use std::cmp::Reverse;

use super::{Ending, Schedule, Unused, WaitingToken};
use crate::compile::{EdgeIdx, Loop, NodeIdx};
use crate::diagram::Handle;

impl Schedule {
    /// Returns every token that lies on a connection, in connection order, and why nobody used it.
    pub fn waiting_tokens(&self) -> Vec<WaitingToken> {
        let waiting =
            |edge: EdgeIdx| WaitingToken { edge, node: self.graph.edges[edge].to, why: self.why_unused(edge) };
        (0..self.tokens.len()).filter(|&it| self.tokens[it]).map(waiting).collect()
    }

    /// Returns the exhausted person_jobs at which tokens wait, in file order: their final status is
    /// `maxiter_reached`.
    pub fn maxiter_reached(&self) -> Vec<NodeIdx> {
        let has_token = |&node: &NodeIdx| self.relevant(node).any(|it| self.tokens[it]);
        (0..self.started.len()).filter(|&it| self.is_exhausted(it)).filter(has_token).collect()
    }

    /// The ending of a run in which nothing runs and nothing may fire.
    pub(super) fn ending(&self) -> Ending {
        if !self.candidates.is_empty() {
            return Ending::Stuck { nodes: self.candidates.iter().map(|&(_, node)| node).collect() };
        }
        let mut endpoints = (0..self.started.len()).filter(|&it| self.graph.nodes[it].is_endpoint).peekable();
        if endpoints.peek().is_some() && endpoints.all(|it| self.started[it] == 0) {
            return Ending::NoEndpoint { waiting: self.waiting_tokens() };
        }
        Ending::Completed
    }

    /// The ending if starting `node` exceeds a limit. Where both limits are reached the one of the node
    /// is named: it says more.
    pub(super) fn exceeded_limit(&self, node: NodeIdx) -> Option<Ending> {
        let iterations = self.graph.nodes[node].max_iteration.unwrap_or(0).max(self.limits.node_iterations);
        if iterations <= self.started[node] {
            let (cycle, rounds) = self.loop_behind(node);
            return Some(Ending::IterationLimit { node, cycle, rounds });
        }
        (self.limits.node_executions <= self.n_started).then(|| {
            let (cycle, rounds) = self.loop_behind(node);
            Ending::NodeLimit { node, cycle, rounds }
        })
    }

    /// The loop that made `node` start so often: the innermost one it is in, else the busiest one it
    /// lies behind; with the number of rounds begun.
    fn loop_behind(&self, node: NodeIdx) -> (Vec<NodeIdx>, u32) {
        let rounds = |it: &Loop| self.started[it.header];
        if let Some(around) = self.graph.innermost_loop(node).filter(|it| 0 < rounds(it)) {
            return (self.graph.cycle_through(node), rounds(around));
        }
        let before = self.graph.loops().iter().filter(|it| 0 < rounds(it) && self.graph.reaches(it.header, node));
        let busiest = before.min_by_key(|it| Reverse(rounds(it)));
        busiest.map(|it| (self.graph.cycle_through(it.header), rounds(it))).unwrap_or_default()
    }

    fn why_unused(&self, edge: EdgeIdx) -> Unused {
        let node = self.graph.edges[edge].to;
        if !self.is_relevant(edge) {
            let is_first_edge = self.graph.edges[edge].input == Handle::First;
            return if is_first_edge { Unused::AfterFirst } else { Unused::BeforeFirst };
        }
        match self.graph.nodes[node].max_iteration {
            Some(max_iteration) if self.is_exhausted(node) => Unused::Exhausted { max_iteration },
            _ => Unused::NotYet,
        }
    }
}
