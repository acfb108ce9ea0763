//! What a run begins with: a plan, options, and the log so far. A fresh execution is one whose log holds
//! nothing but `execution_started`; taking over after a crash is the same path with a longer log.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;

use super::record::Recorder;
use super::restore::Point;
use super::{Hearing, Recorded, Replay, Run, restore};
use crate::clock::Timestamp;
use crate::compile::Plan;
use crate::diagram::{Person, Service};
use crate::engine::event::Event;
use crate::engine::journal::Journal;
use crate::engine::schedule::{Limits, Schedule};
use crate::engine::state::ExecutionState;
use crate::ids::ExecutionId;
use crate::limits;
use crate::nodes::Rights;
use crate::nodes::budget::{Above, Account, Ledger};
use crate::nodes::context::{CallCounter, History, Mode};
use crate::nodes::memory::Message;
use crate::nodes::ports::Ports;
use crate::nodes::ports::models::TokenSink;

/// Everything a run begins with.
pub struct Launch {
    pub execution_id: ExecutionId,
    /// The process that owns the execution; every write names it.
    pub owner: Arc<str>,
    pub plan: Arc<Plan>,
    pub rights: Arc<Rights>,
    pub options: RunOptions,
    /// The log so far, oldest first; at least `execution_started`.
    pub log: Vec<LogEntry>,
    pub messages: Vec<Message>,
    /// What a replay repeats.
    pub recorded: Option<Recorded>,
    /// Who pays as well, for a child whose parent has a budget.
    pub above: Option<Above>,
    /// Who hears what models say while they say it.
    pub on_token: Option<OnToken>,
    /// Somebody asked to pause or end it, so nothing starts before that command has come.
    pub awaits_order: bool,
}

/// Makes a sink for one call of a person's model on behalf of a node.
pub type OnToken = Arc<dyn Fn(&NodeOfCall, &Person) -> TokenSink + Send + Sync>;

/// The node that a call is made for.
#[derive(Clone, Debug)]
pub struct NodeOfCall {
    pub id: Arc<str>,
    pub label: Arc<str>,
}

/// One row of the log, read.
#[derive(Clone, Debug)]
pub struct LogEntry {
    pub seq: u64,
    pub node_id: Option<String>,
    pub event: Event,
    pub at: Timestamp,
}

/// What the caller asked of the run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Limit of the running time; pauses do not count.
    pub timeout: Option<Duration>,
    /// Answers for every person instead of its own service.
    pub models: Option<Service>,
    /// Template warnings are failures.
    pub strict: bool,
    pub mode: Mode,
    /// Nodes, by id or label, before which a run in debug mode pauses.
    pub breakpoints: Vec<String>,
    /// How often each node may run at most; the diagram's own limit holds as well.
    pub node_iterations: Option<u32>,
    /// How many executions stand above this one; 0 = it is no child.
    pub depth: u32,
    /// Whether what nodes hear from outside is kept for replays.
    pub is_recorded: bool,
}

/// How a run came to its end in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The execution has ended, durably.
    Ended,
    /// The process stops; another one goes on from the log.
    Released,
}

/// Of the diagram's limit and the caller's the smaller; without either the usual one.
fn node_iterations(own: Option<u32>, asked: Option<u32>) -> u32 {
    match (own, asked) {
        (Some(own), Some(asked)) => own.min(asked),
        (one, other) => one.or(other).unwrap_or(limits::NODE_ITERATIONS_DEFAULT),
    }
}

impl Run {
    /// Builds the state from the log; [`Run::begin`] starts what may start.
    pub(super) fn replayed(launch: Launch, journal: Arc<dyn Journal>, ports: Arc<Ports>) -> (Self, Point) {
        let plan = launch.plan;
        let settings = &plan.settings;
        let schedule_limits = Limits {
            node_executions: settings.max_node_executions.unwrap_or(limits::NODE_EXECUTIONS_DEFAULT),
            node_iterations: node_iterations(settings.max_node_iterations, launch.options.node_iterations),
            parallel: settings.max_parallel.unwrap_or(limits::PARALLEL_DEFAULT),
        };
        let n_nodes = plan.nodes.len();
        let last_seq = launch.log.last().map_or(0, |it| it.seq);
        let ports = match (&launch.recorded, launch.options.mode) {
            (Some(_), _) => super::replay::ports(&ports),
            (None, Mode::Mock) => super::mock::ports(&ports),
            (None, Mode::Full | Mode::Debug) => ports,
        };
        let execution_id = launch.execution_id.clone();
        let mut run = Self {
            schedule: Schedule::new(Arc::clone(&plan.graph), schedule_limits),
            state: ExecutionState::new(),
            record: Recorder::new(journal, launch.execution_id, launch.owner, last_seq),
            tokens: vec![None; plan.edges.len()],
            live: BTreeMap::new(),
            in_flight: FuturesUnordered::new(),
            finished: VecDeque::new(),
            ending: None,
            variables: Arc::default(),
            exposed: Arc::default(),
            messages: Arc::new(launch.messages),
            history: Arc::new(History { started: vec![0; n_nodes], completed: vec![0; n_nodes] }),
            calls: Arc::new(CallCounter::starting_at(HashMap::new())),
            replaced: BTreeMap::new(),
            watched: FuturesUnordered::new(),
            pausing: FuturesUnordered::new(),
            reports: Hearing::new(),
            account: Arc::new(Account::new(execution_id, Ledger::default())),
            above: launch.above,
            on_token: launch.on_token,
            after_end: Vec::new(),
            passes_breakpoints: false,
            must_flush: false,
            replay: launch.recorded.map(|it| Replay::new(Arc::new(it))),
            options: launch.options,
            rights: launch.rights,
            ports,
            plan,
        };
        let point = restore::replay(&mut run, launch.log);
        (run, point)
    }
}
