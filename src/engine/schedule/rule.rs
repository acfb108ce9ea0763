//! Rules 1, 2, 4 and 6 of diagrams.md 3.3: relevant edges, and what a node still waits for.
//!
//! Whether something can still come costs a look at two bit sets. Only where a person_job has been
//! exhausted, or has left its `first` edges behind, on the way is a search needed.

use super::{Blocker, Schedule};
use crate::compile::{EdgeIdx, GraphEdge, NodeIdx};
use crate::diagram::Handle;

impl Schedule {
    /// The node to start next: the first in order that may fire.
    ///
    /// Who was held up by something that is still under way is held up still, so a candidate is
    /// looked at closely only when that has changed.
    pub(super) fn first_ready(&mut self) -> Option<NodeIdx> {
        let candidates = std::mem::take(&mut self.candidates);
        let ready = candidates.iter().map(|&(_, node)| node).find(|&node| self.may_fire(node));
        self.candidates = candidates;
        ready
    }

    /// Whether nothing can still come that this candidate waits for.
    pub(super) fn may_fire(&mut self, node: NodeIdx) -> bool {
        if self.blockers[node].is_some_and(|it| self.still_blocks(it, node)) {
            return false;
        }
        self.blockers[node] = self.blocker(node);
        self.blockers[node].is_none()
    }

    /// Returns the connections without a token on which something can still come for `node`, so that it
    /// waits for them. Empty for a node that runs or has nothing to fire for.
    pub fn awaited_edges(&self, node: NodeIdx) -> Vec<EdgeIdx> {
        let is_candidate = self.candidates.contains(&(self.graph.nodes[node].rank, node));
        if is_candidate { self.awaited(node).map(|(edge, _)| edge).collect() } else { Vec::new() }
    }

    /// Whether `node` is a person_job that has used up its `max_iteration`.
    pub fn is_exhausted(&self, node: NodeIdx) -> bool {
        self.graph.nodes[node].max_iteration.is_some_and(|max| max <= self.started[node])
    }

    /// Whether `edge` feeds the next run of its target: at a node with `first` edges these feed the first
    /// run and the others the later ones.
    pub(super) fn is_relevant(&self, edge: EdgeIdx) -> bool {
        let target = self.graph.edges[edge].to;
        let is_first_edge = self.graph.edges[edge].input == Handle::First;
        !self.graph.takes_first(target) || is_first_edge == (self.started[target] == 0)
    }

    pub(super) fn relevant(&self, node: NodeIdx) -> impl Iterator<Item = EdgeIdx> + '_ {
        self.graph.incoming(node).iter().copied().filter(|&it| self.is_relevant(it))
    }

    fn blocker(&self, node: NodeIdx) -> Option<Blocker> {
        let blocks = |(edge, mover)| Blocker { edge, mover, n_narrowings: self.n_narrowings };
        self.awaited(node).next().map(blocks)
    }

    /// Whether what held up `node` does so still. Paths only ever close, so one that was open is unless
    /// something was narrowed since; a mover at the edge's own source needs no path.
    fn still_blocks(&self, blocker: Blocker, node: NodeIdx) -> bool {
        let Blocker { edge, mover, n_narrowings } = blocker;
        let is_path_open = mover == self.graph.edges[edge].from || n_narrowings == self.n_narrowings;
        is_path_open && self.moves_for(mover, node)
    }

    /// The edges a candidate waits for, each with a mover that can still bring something there. Woken by
    /// a forward edge it waits for no back edge: what comes there belongs to the next round.
    fn awaited(&self, node: NodeIdx) -> impl Iterator<Item = (EdgeIdx, NodeIdx)> + '_ {
        let is_forward = |edge: EdgeIdx| !self.graph.is_back_edge(edge);
        let woken_forward = self.relevant(node).any(|it| self.tokens[it] && is_forward(it));
        self.relevant(node)
            .filter(|&it| !self.tokens[it])
            .filter(move |&it| !woken_forward || is_forward(it))
            .filter(|&it| !self.may_be_skipped(it))
            .filter_map(|it| self.mover_towards(it).map(|mover| (it, mover)))
    }

    /// Whether `edge` comes from a skippable condition and its target has another source.
    fn may_be_skipped(&self, edge: EdgeIdx) -> bool {
        let from = self.graph.edges[edge].from;
        let has_other_source = || self.relevant(self.graph.edges[edge].to).any(|it| self.graph.edges[it].from != from);
        self.graph.nodes[from].skippable && has_other_source()
    }

    /// A mover that reaches the source of `edge` before its target fires.
    fn mover_towards(&self, edge: EdgeIdx) -> Option<NodeIdx> {
        let GraphEdge { from: source, to: target, .. } = self.graph.edges[edge];
        if source != target && self.moves_for(source, target) {
            return Some(source);
        }
        let bringers = self.graph.bringers(edge);
        let found = self
            .movers
            .first_common(bringers)
            .or_else(|| self.next_round_movers.iter().find(|&it| bringers.contains(it) && self.moves_for(it, target)));
        if found.is_none() || !self.narrowed.meets(bringers) {
            return found;
        }
        self.graph.search_back(edge, |it| self.is_passable(it), |it| self.moves_for(it, target))
    }

    /// Whether a path may enter the target of `edge` along it.
    fn is_passable(&self, edge: EdgeIdx) -> bool {
        let target = self.graph.edges[edge].to;
        let is_left_behind = self.graph.edges[edge].input == Handle::First && 0 < self.started[target];
        !is_left_behind && !self.is_exhausted(target)
    }

    /// Whether what is at `node` counts for `target`.
    fn moves_for(&self, node: NodeIdx, target: NodeIdx) -> bool {
        let brings_in_this_round = || self.graph.headed_loop(node).is_none_or(|it| !it.contains(target));
        self.movers.contains(node) || self.next_round_movers.contains(node) && brings_in_this_round()
    }
}
