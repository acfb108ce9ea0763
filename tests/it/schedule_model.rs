//! The firing rule of diagrams.md 3.3 a second time: slow, plain, and written from its text alone, so
//! that the schedule has something to be compared with. It searches paths whenever the text says
//! "reaches" and keeps nothing but what happened. It must not use anything the schedule uses.

use std::collections::BTreeSet;

use dipeo::compile::{EdgeIdx, GraphEdge, GraphNode, NodeIdx, Rank};
use dipeo::diagram::Handle;
use dipeo::engine::schedule::{Action, Ending, Input, Limits};
use dipeo::nodes::Published;

/// A run of a graph by the letter of the rule.
#[derive(Clone, Debug)]
pub struct Model {
    nodes: Vec<GraphNode>,
    edges: Vec<GraphEdge>,
    limits: Limits,
    loops: Vec<ModelLoop>,
    tokens: BTreeSet<EdgeIdx>,
    started: Vec<u32>,
    running: BTreeSet<NodeIdx>,
    held: bool,
    ended: bool,
}

#[derive(Clone, Debug)]
struct ModelLoop {
    members: BTreeSet<NodeIdx>,
    back_edges: BTreeSet<EdgeIdx>,
}

impl Model {
    pub fn new(nodes: Vec<GraphNode>, edges: Vec<GraphEdge>, limits: Limits) -> Self {
        let started = vec![0; nodes.len()];
        let mut model = Self {
            nodes,
            edges,
            limits,
            loops: Vec::new(),
            tokens: BTreeSet::new(),
            started,
            running: BTreeSet::new(),
            held: false,
            ended: false,
        };
        let everything = (0..model.nodes.len()).collect();
        model.find_loops(&everything, &mut BTreeSet::new());
        model
    }

    pub fn step(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.ended {
            return actions;
        }
        match input {
            Input::Started => {}
            Input::NodeDone { node, published } => self.complete(node, published, &mut actions),
            Input::NodeFailed { node } => return self.finish(Ending::Failed { node }),
            Input::Cancelled => return self.finish(Ending::Cancelled),
            Input::Hold => {
                self.held = true;
                return actions;
            }
            Input::Release => self.held = false,
            Input::Once { only: None } => {
                let was_held = std::mem::take(&mut self.held);
                self.start_all(&mut actions);
                self.held = was_held;
                return actions;
            }
            Input::Once { only: Some(node) } => {
                if self.may_fire(node) {
                    self.start_within_limits(node, &mut actions);
                }
                return actions;
            }
        }
        self.start_all(&mut actions);
        actions
    }

    pub fn running(&self) -> Vec<NodeIdx> {
        self.running.iter().copied().collect()
    }

    pub fn started(&self, node: NodeIdx) -> u32 {
        self.started[node]
    }

    pub fn has_usable_token(&self) -> bool {
        self.tokens.iter().any(|&edge| self.is_usable(edge))
    }

    /// Whether connections lead along `cycle` and back to its beginning.
    pub fn is_way_round(&self, cycle: &[NodeIdx]) -> bool {
        let leads = |from: NodeIdx, to: NodeIdx| self.edges.iter().any(|it| it.from == from && it.to == to);
        (0..cycle.len()).all(|it| leads(cycle[it], cycle[(it + 1) % cycle.len()]))
    }

    fn finish(&mut self, ending: Ending) -> Vec<Action> {
        self.ended = true;
        vec![Action::Finish(ending)]
    }

    // 3.1: start < condition < person_job < others, then file order, asked again after every start.
    fn start_all(&mut self, actions: &mut Vec<Action>) {
        loop {
            if self.running.len() >= self.limits.parallel as usize {
                return;
            }
            let ready = (0..self.nodes.len()).filter(|&it| self.may_fire(it));
            let Some(node) = ready.min_by_key(|&it| (self.nodes[it].rank, it)) else { break };
            if self.held {
                return;
            }
            self.start_within_limits(node, actions);
            if self.ended {
                return;
            }
        }
        if self.running.is_empty() {
            let ending = self.ending();
            actions.extend(self.finish(ending));
        }
    }

    // 3.17: the start that would exceed a limit fails the run.
    fn start_within_limits(&mut self, node: NodeIdx, actions: &mut Vec<Action>) {
        let most = self.limits.node_iterations.max(self.nodes[node].max_iteration.unwrap_or(0));
        if self.started[node] == most {
            return actions.extend(self.finish(Ending::IterationLimit { node, cycle: Vec::new(), rounds: 0 }));
        }
        if self.started.iter().sum::<u32>() == self.limits.node_executions {
            return actions.extend(self.finish(Ending::NodeLimit { node, cycle: Vec::new(), rounds: 0 }));
        }
        actions.push(self.start(node));
    }

    // Rule 3, first half.
    fn start(&mut self, node: NodeIdx) -> Action {
        let edges: Vec<EdgeIdx> = self.relevant(node).into_iter().filter(|it| self.tokens.contains(it)).collect();
        self.tokens.retain(|it| !edges.contains(it));
        self.started[node] += 1;
        self.running.insert(node);
        Action::Start { node, iteration: self.started[node], edges }
    }

    // Rule 3, second half, and 3.2: an edge holds the newest token.
    fn complete(&mut self, node: NodeIdx, published: Published, actions: &mut Vec<Action>) {
        self.running.remove(&node);
        for (index, edge) in self.edges.iter().enumerate().filter(|(_, it)| it.from == node) {
            let carries = match published {
                Published::Normal => edge.output != Handle::Error,
                Published::True => edge.output == Handle::CondTrue,
                Published::False => edge.output == Handle::CondFalse,
                Published::Error => edge.output == Handle::Error,
            };
            if carries && !self.tokens.insert(index) {
                actions.push(Action::Replaced { edge: index });
            }
        }
    }

    // Rule 5. What the waiting tokens say is the schedule's own affair.
    fn ending(&self) -> Ending {
        if self.has_usable_token() {
            return Ending::Stuck { nodes: Vec::new() };
        }
        let mut endpoints = (0..self.nodes.len()).filter(|&it| self.nodes[it].is_endpoint).peekable();
        if endpoints.peek().is_some() && endpoints.all(|it| self.started[it] == 0) {
            return Ending::NoEndpoint { waiting: Vec::new() };
        }
        Ending::Completed
    }

    fn is_exhausted(&self, node: NodeIdx) -> bool {
        self.nodes[node].max_iteration.is_some_and(|max| self.started[node] >= max)
    }

    fn is_usable(&self, edge: EdgeIdx) -> bool {
        let node = self.edges[edge].to;
        self.tokens.contains(&edge) && self.relevant(node).contains(&edge) && !self.is_exhausted(node)
    }

    // 2.1: hook starts fire only if no other start exists.
    fn is_startable(&self, node: NodeIdx) -> bool {
        let is_hook = self.nodes[node].is_hook_start;
        let other_start = self.nodes.iter().any(|it| it.rank == Rank::Start && !it.is_hook_start);
        let has_incoming = self.edges.iter().any(|it| it.to == node);
        !has_incoming && self.started[node] == 0 && !(is_hook && other_start)
    }

    // Rule 1.
    fn relevant(&self, node: NodeIdx) -> Vec<EdgeIdx> {
        let incoming: Vec<EdgeIdx> = (0..self.edges.len()).filter(|&it| self.edges[it].to == node).collect();
        let is_first = |edge: &EdgeIdx| self.edges[*edge].input == Handle::First;
        if !incoming.iter().any(is_first) {
            return incoming;
        }
        let is_first_run = self.started[node] == 0;
        incoming.into_iter().filter(|it| is_first(it) == is_first_run).collect()
    }

    // Rules 2, 4 and 6.
    fn may_fire(&self, node: NodeIdx) -> bool {
        if self.running.contains(&node) {
            return false;
        }
        if self.is_startable(node) {
            return true;
        }
        let relevant = self.relevant(node);
        if !relevant.iter().any(|&it| self.is_usable(it)) {
            return false;
        }
        let is_back = |edge: EdgeIdx| self.loops.iter().any(|it| it.back_edges.contains(&edge));
        let waits_for = |edge: EdgeIdx| {
            !self.tokens.contains(&edge) && self.counts(edge, &relevant) && self.can_still_get_one(edge)
        };
        if relevant.iter().any(|&it| !is_back(it) && waits_for(it)) {
            return false;
        }
        let woken_forward = relevant.iter().any(|&it| !is_back(it) && self.tokens.contains(&it));
        woken_forward || !relevant.iter().any(|&it| is_back(it) && waits_for(it))
    }

    // Rule 6: the edge of a skippable condition counts only where there is no other source.
    fn counts(&self, edge: EdgeIdx, relevant: &[EdgeIdx]) -> bool {
        let from = self.edges[edge].from;
        !self.nodes[from].skippable || relevant.iter().all(|&it| self.edges[it].from == from)
    }

    fn can_still_get_one(&self, edge: EdgeIdx) -> bool {
        let GraphEdge { from: source, to: node, .. } = self.edges[edge];
        self.movers(node).into_iter().any(|mover| self.has_path(mover, source, node))
    }

    fn movers(&self, node: NodeIdx) -> Vec<NodeIdx> {
        let running = self.running.iter().copied().filter(|&it| it != node);
        let startable = (0..self.nodes.len()).filter(|&it| self.is_startable(it));
        let tokens = self.tokens.iter().copied();
        let tokens = tokens.filter(|&it| self.is_usable(it) && !self.is_later_round(it, node));
        let with_tokens = tokens.map(|it| self.edges[it].to).filter(|&it| it != node);
        running.chain(startable).chain(with_tokens).collect()
    }

    /// Whether `edge` is a back edge of a loop that `node` is in.
    fn is_later_round(&self, edge: EdgeIdx, node: NodeIdx) -> bool {
        self.loops.iter().any(|it| it.back_edges.contains(&edge) && it.members.contains(&node))
    }

    /// Whether a path leads from `mover` to `source` on which something can still come for `node`.
    fn has_path(&self, mover: NodeIdx, source: NodeIdx, node: NodeIdx) -> bool {
        let mut reached = BTreeSet::from([mover]);
        loop {
            if reached.contains(&source) {
                return true;
            }
            let crosses = |(index, edge): (EdgeIdx, &GraphEdge)| {
                let is_taken = edge.input != Handle::First || self.started[edge.to] == 0;
                let enters = edge.to != node && !self.is_exhausted(edge.to) && is_taken;
                (enters && !self.is_later_round(index, node) && reached.contains(&edge.from)).then_some(edge.to)
            };
            let next: BTreeSet<NodeIdx> = self.edges.iter().enumerate().filter_map(crosses).collect();
            if next.is_subset(&reached) {
                return false;
            }
            reached.extend(next);
        }
    }

    /// "Loops" of 3.3: components with a cycle; take out the edges into the header; repeat inside.
    fn find_loops(&mut self, among: &BTreeSet<NodeIdx>, removed: &mut BTreeSet<EdgeIdx>) {
        let mut placed = BTreeSet::<NodeIdx>::new();
        for &node in among {
            let ahead = self.reach(node, among, removed);
            if placed.contains(&node) || !ahead.contains(&node) {
                continue;
            }
            let comes_back = |it: &NodeIdx| self.reach(*it, among, removed).contains(&node);
            let members: BTreeSet<NodeIdx> = ahead.iter().copied().filter(comes_back).collect();
            placed.extend(&members);
            let header = self.header(&members);
            let is_back = |it: &EdgeIdx| self.edges[*it].to == header && members.contains(&self.edges[*it].from);
            let back_edges: BTreeSet<EdgeIdx> = (0..self.edges.len()).filter(is_back).collect();
            removed.extend(&back_edges);
            self.loops.push(ModelLoop { members: members.clone(), back_edges });
            self.find_loops(&members, removed);
        }
    }

    /// The nodes that a path of at least one edge leads to.
    fn reach(&self, node: NodeIdx, among: &BTreeSet<NodeIdx>, removed: &BTreeSet<EdgeIdx>) -> BTreeSet<NodeIdx> {
        let mut reached = BTreeSet::new();
        loop {
            let before = reached.len();
            for (index, edge) in self.edges.iter().enumerate() {
                let is_inside = among.contains(&edge.from) && among.contains(&edge.to) && !removed.contains(&index);
                if is_inside && (edge.from == node || reached.contains(&edge.from)) {
                    reached.insert(edge.to);
                }
            }
            if reached.len() == before {
                return reached;
            }
        }
    }

    fn header(&self, members: &BTreeSet<NodeIdx>) -> NodeIdx {
        let is_entered = |node: NodeIdx| self.edges.iter().any(|it| it.to == node && !members.contains(&it.from));
        let entered: Vec<NodeIdx> = members.iter().copied().filter(|&it| is_entered(it)).collect();
        let choices = if entered.is_empty() { members.iter().copied().collect() } else { entered };
        let key = |&node: &NodeIdx| (self.distance(node), self.nodes[node].rank == Rank::Condition, node);
        choices.into_iter().min_by_key(key).expect("a loop has members")
    }

    /// Connections between the nearest start and `node`.
    fn distance(&self, node: NodeIdx) -> usize {
        let mut near: BTreeSet<NodeIdx> =
            (0..self.nodes.len()).filter(|&it| self.nodes[it].rank == Rank::Start).collect();
        for distance in 0..=self.nodes.len() {
            if near.contains(&node) {
                return distance;
            }
            let next: Vec<NodeIdx> = self.edges.iter().filter(|it| near.contains(&it.from)).map(|it| it.to).collect();
            near.extend(next);
        }
        usize::MAX
    }
}
