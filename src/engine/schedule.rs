//! Decides which node may fire: the firing rule of diagrams.md 3.3 as a pure state machine.
//!
//! What happened goes in, what to do comes out. The schedule knows neither values nor labels, reads no
//! clock and draws no random number: the same inputs in the same order give the same actions, so an
//! execution is restored by replaying its log.
//!
//! | file | what it holds |
//! |---|---|
//! | `rule` | may this node fire, and what does it wait for |
//! | `tokens` | taking and putting tokens, and who can bring more |
//! | `ending` | how a run ends, and what was left over |

mod ending;
mod rule;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::compile::{EdgeIdx, Graph, NodeIdx, NodeSet, Rank};
use crate::limits::{NODE_EXECUTIONS_DEFAULT, NODE_ITERATIONS_DEFAULT, PARALLEL_DEFAULT};
use crate::nodes::Published;

/// The safety nets of a run (diagrams.md 3.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Executions of all nodes together.
    pub node_executions: u32,
    /// Executions of one node; a person_job may always use up its `max_iteration`.
    pub node_iterations: u32,
    /// Nodes that run at the same moment; 0 counts as 1, or nothing would ever run.
    pub parallel: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            node_executions: NODE_EXECUTIONS_DEFAULT,
            node_iterations: NODE_ITERATIONS_DEFAULT,
            parallel: PARALLEL_DEFAULT,
        }
    }
}

/// Something that happened to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The run begins.
    Started,
    /// A running node completed, or failed and its failure flows on (`Published::Error`).
    NodeDone { node: NodeIdx, published: Published },
    /// A node failed and its failure fails the run.
    NodeFailed { node: NodeIdx },
    /// Somebody aborted the run.
    Cancelled,
    /// Nothing may start until [`Input::Release`]; what runs goes on.
    Hold,
    /// The opposite of [`Input::Hold`].
    Release,
    /// While held: what may start now does, or `only` this node if it may; nothing after it.
    Once { only: Option<NodeIdx> },
}

/// Something to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a node. `iteration` counts from 1; `edges` gave their tokens, in connection order.
    Start { node: NodeIdx, iteration: u32, edges: Vec<EdgeIdx> },
    /// Warn (W602): the token just put on `edge` replaced one that nobody had used.
    Replaced { edge: EdgeIdx },
    /// The run is over. Comes once, last; nodes that still run are the caller's to cancel.
    Finish(Ending),
}

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do.
    Completed,
    /// Nothing is left to do, and of the endpoints there are none ran.
    NoEndpoint { waiting: Vec<WaitingToken> },
    /// Usable tokens are left and nothing will ever fire: a bug of the firing rule.
    Stuck { nodes: Vec<NodeIdx> },
    /// Starting `node` would exceed the executions of the run. `cycle` is the loop behind it, from its
    /// header on, and `rounds` how often it was entered; empty and 0 when no loop is behind it.
    NodeLimit { node: NodeIdx, cycle: Vec<NodeIdx>, rounds: u32 },
    /// Starting `node` would exceed its executions; the rest as for `NodeLimit`.
    IterationLimit { node: NodeIdx, cycle: Vec<NodeIdx>, rounds: u32 },
    /// A node failed.
    Failed { node: NodeIdx },
    /// Somebody aborted the run.
    Cancelled,
}

/// A token that lies on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingToken {
    pub edge: EdgeIdx,
    /// Where the connection ends.
    pub node: NodeIdx,
    pub why: Unused,
}

/// Why nobody has used a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unused {
    /// The person_job has used up its `max_iteration`.
    Exhausted { max_iteration: u32 },
    /// The person_job begins with a `first` token and none came (W603).
    BeforeFirst,
    /// A `first` token after the first run (W603).
    AfterFirst,
    /// Its node could still fire: the run goes on, or was ended before it did.
    NotYet,
}

/// Where a run stands: which nodes run, where tokens lie, how often each node started.
#[derive(Debug)]
pub struct Schedule {
    graph: Arc<Graph>,
    limits: Limits,
    /// Of each edge, whether a token nobody used lies on it.
    tokens: Vec<bool>,
    started: Vec<u32>,
    n_started: u32,
    running: NodeSet,
    n_running: u32,
    /// Nodes that fire without a token, once, and have not yet.
    startable: NodeSet,
    /// Nodes that are not running and have a usable token or are startable, in the order in which they start.
    candidates: BTreeSet<(Rank, NodeIdx)>,
    /// Nodes that can bring something to every other node.
    movers: NodeSet,
    /// Headers whose usable tokens all lie on their back edges: they bring nothing to nodes of their
    /// loop within this round.
    next_round_movers: NodeSet,
    /// Nodes that some or all paths may no longer enter: where one of them lies, the graph alone cannot
    /// say who reaches whom.
    narrowed: NodeSet,
    /// How often a node was narrowed.
    n_narrowings: u32,
    /// Of each candidate, what held it up when it was last looked at.
    blockers: Vec<Option<Blocker>>,
    is_held: bool,
    has_ended: bool,
}

/// A reason to wait: `mover` can bring something along `edge`, if no path was closed since.
#[derive(Clone, Copy, Debug)]
struct Blocker {
    edge: EdgeIdx,
    mover: NodeIdx,
    n_narrowings: u32,
}

impl Schedule {
    /// Makes the schedule of a run that no event started: hook starts fire only if there is no other start.
    pub fn new(graph: Arc<Graph>, limits: Limits) -> Self {
        let has_plain_start = graph.nodes.iter().any(|it| it.rank == Rank::Start && !it.is_hook_start);
        let fires = |&it: &NodeIdx| graph.nodes[it].is_hook_start && !has_plain_start;
        let hooks: Vec<NodeIdx> = (0..graph.nodes.len()).filter(fires).collect();
        Self::for_event(graph, limits, &hooks)
    }

    /// Makes the schedule of a run that an event started: of the hook starts those in `hooks` fire, and
    /// every other start.
    pub fn for_event(graph: Arc<Graph>, limits: Limits, hooks: &[NodeIdx]) -> Self {
        let n_nodes = graph.nodes.len();
        let mut schedule = Self {
            limits,
            tokens: vec![false; graph.edges.len()],
            started: vec![0; n_nodes],
            n_started: 0,
            running: NodeSet::new(n_nodes),
            n_running: 0,
            startable: NodeSet::new(n_nodes),
            candidates: BTreeSet::new(),
            movers: NodeSet::new(n_nodes),
            next_round_movers: NodeSet::new(n_nodes),
            narrowed: NodeSet::new(n_nodes),
            n_narrowings: 0,
            blockers: vec![None; n_nodes],
            is_held: false,
            has_ended: false,
            graph,
        };
        for node in 0..n_nodes {
            let fires = !schedule.graph.nodes[node].is_hook_start || hooks.contains(&node);
            schedule.startable.set(node, fires && schedule.graph.incoming(node).is_empty());
            schedule.note_state(node);
        }
        schedule
    }

    /// Takes one thing that happened and returns what to do about it. After the end nothing has an effect.
    pub fn step(&mut self, input: Input) -> Vec<Action> {
        if self.has_ended {
            return Vec::new();
        }
        match input {
            Input::Started => self.resume(),
            Input::NodeDone { node, published } => self.node_done(node, published),
            Input::NodeFailed { node } => self.node_failed(node),
            Input::Cancelled => self.finish(Ending::Cancelled),
            Input::Hold => self.hold(),
            Input::Release => self.release(),
            Input::Once { only } => self.once(only),
        }
    }

    /// Starts whatever may fire now; ends the run when nothing runs and nothing may fire.
    pub fn resume(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.has_ended {
            self.start_ready(&mut actions);
        }
        actions
    }

    /// Replays a start from the log: takes the tokens as the live start did and returns their edges.
    pub fn restore_start(&mut self, node: NodeIdx) -> Vec<EdgeIdx> {
        self.take_tokens(node)
    }

    /// Replays a completion from the log. What may fire then is in the log too, or is for [`Schedule::resume`].
    pub fn restore_done(&mut self, node: NodeIdx, published: Published) {
        self.put_tokens(node, published);
    }

    /// How often `node` has started.
    pub fn started(&self, node: NodeIdx) -> u32 {
        self.started[node]
    }

    /// How often all nodes together have started.
    pub fn n_started(&self) -> u32 {
        self.n_started
    }

    /// Whether `node` has started and neither completed nor failed.
    pub fn is_running(&self, node: NodeIdx) -> bool {
        self.running.contains(node)
    }

    /// The nodes that run, in file order; after the end those to cancel.
    pub fn running(&self) -> impl Iterator<Item = NodeIdx> + '_ {
        self.running.iter()
    }

    /// The nodes that may start now, in the order in which they would; whether the schedule is held or not.
    pub fn ready(&mut self) -> Vec<NodeIdx> {
        let candidates: Vec<NodeIdx> = self.candidates.iter().map(|&(_, node)| node).collect();
        candidates.into_iter().filter(|&it| self.may_fire(it)).collect()
    }

    /// Whether [`Action::Finish`] has been given.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn node_done(&mut self, node: NodeIdx, published: Published) -> Vec<Action> {
        if !self.running.contains(node) {
            return Vec::new();
        }
        let replaced = self.put_tokens(node, published);
        let mut actions = replaced.into_iter().map(|edge| Action::Replaced { edge }).collect();
        self.start_ready(&mut actions);
        actions
    }

    fn node_failed(&mut self, node: NodeIdx) -> Vec<Action> {
        self.stop(node);
        self.finish(Ending::Failed { node })
    }

    fn hold(&mut self) -> Vec<Action> {
        self.is_held = true;
        Vec::new()
    }

    fn release(&mut self) -> Vec<Action> {
        self.is_held = false;
        self.resume()
    }

    fn once(&mut self, only: Option<NodeIdx>) -> Vec<Action> {
        let Some(node) = only else {
            let was_held = std::mem::take(&mut self.is_held);
            let actions = self.resume();
            self.is_held = was_held;
            return actions;
        };
        let is_candidate = self.candidates.contains(&(self.graph.nodes[node].rank, node));
        if !is_candidate || !self.may_fire(node) {
            return Vec::new();
        }
        if let Some(ending) = self.exceeded_limit(node) {
            return self.finish(ending);
        }
        let edges = self.take_tokens(node);
        vec![Action::Start { node, iteration: self.started[node], edges }]
    }

    fn finish(&mut self, ending: Ending) -> Vec<Action> {
        self.has_ended = true;
        vec![Action::Finish(ending)]
    }

    /// Starts one node after the other, asking the rule again after each: a start can exhaust a
    /// person_job that another node waited for, and it turns a token into something that runs.
    fn start_ready(&mut self, actions: &mut Vec<Action>) {
        while self.n_running < self.limits.parallel.max(1) {
            let Some(node) = self.first_ready() else { break };
            if self.is_held {
                return;
            }
            if let Some(ending) = self.exceeded_limit(node) {
                return actions.extend(self.finish(ending));
            }
            let edges = self.take_tokens(node);
            actions.push(Action::Start { node, iteration: self.started[node], edges });
        }
        if self.n_running == 0 {
            let ending = self.ending();
            actions.extend(self.finish(ending));
        }
    }
}
