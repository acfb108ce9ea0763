//! The fold of a log into the runs of its nodes: how long each stretch took, what it used, and which earlier runs
//! it needed. Pure: rows, connections and the present moment come in.

use std::collections::HashMap;

use serde_json::Value;

use crate::clock::Timestamp;
use crate::engine::Status;
use crate::engine::event::{Event, NodeOutline, TokenUsage};
use crate::engine::run::LogEntry;
use crate::engine::state::usage_of;
use crate::timeline::{Stretch, StretchKind, Timeline};

/// An execution as the runs of its nodes.
#[derive(Debug)]
pub(super) struct Runs {
    pub status: Status,
    pub nodes: Vec<NodeOutline>,
    /// In the order in which they started; a run comes behind everything it needed.
    pub all: Vec<Ran>,
    pub total_ms: i64,
}

/// One run of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ran {
    /// Position of the node.
    pub node: usize,
    pub iteration: u32,
    /// From its start to its end, or to the present moment.
    pub duration_ms: i64,
    /// When everything it needed was there.
    pub ready_at: Timestamp,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub phases: Phases,
    pub tokens: TokenUsage,
    /// The error object, if it failed for good.
    pub error: Option<Value>,
    pub has_effect: bool,
    /// A fork took it over: it ran, and was paid for, in another execution.
    pub is_copied: bool,
    /// Positions of the runs that had to be over first.
    pub needs: Vec<usize>,
}

/// Where the time of a run went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phases {
    /// Ready, but not started: the run had no free place. Pauses of the execution do not count.
    pub queue: i64,
    /// From the first of its inputs to the last thing it waited for.
    pub inputs: i64,
    /// What the node itself did.
    pub effect: i64,
    /// Until its start was on the disk, before an effect.
    pub store: i64,
    /// Until somebody answered.
    pub waiting: i64,
    /// Between two attempts, or between two processes.
    pub idle: i64,
}

/// Folds a log. `connections` are pairs of node ids; the present moment ends what still runs.
pub(super) fn fold(log: &[LogEntry], connections: &[(String, String)], started_at: Timestamp, now: Timestamp) -> Runs {
    let mut fold = Fold { connections, ..Fold::new(started_at) };
    log.iter().for_each(|it| fold.apply(it));
    fold.finish(now)
}

struct Fold<'a> {
    connections: &'a [(String, String)],
    timeline: Timeline,
    /// Beside `timeline.runs`, one for one.
    runs: Vec<Draft>,
    /// Newest run of each node.
    newest: HashMap<String, usize>,
    n_events: usize,
    is_copied: bool,
}

/// What the timeline does not know of a run.
#[derive(Default)]
struct Draft {
    ran: Ran,
    /// Those of `needs` that gave it a value.
    sources: Vec<usize>,
    /// Which event of the log began it, and which ended it.
    began: usize,
    ended: Option<usize>,
    store_ms: i64,
}

impl Fold<'_> {
    fn new(started_at: Timestamp) -> Self {
        Self {
            connections: &[],
            timeline: Timeline::new(started_at),
            runs: Vec::new(),
            newest: HashMap::new(),
            n_events: 0,
            is_copied: false,
        }
    }

    fn apply(&mut self, entry: &LogEntry) {
        self.n_events += 1;
        let node_id = entry.node_id.as_deref();
        self.timeline.apply(&entry.event, node_id, entry.at);
        match &entry.event {
            Event::ExecutionStarted(it) => self.is_copied = it.forked_from.is_some(),
            Event::ExecutionResumed(_) => self.is_copied = false,
            _ => {}
        }
        let Some(node_id) = node_id else { return };
        if self.timeline.runs.len() > self.runs.len() {
            let previous = self.newest.insert(node_id.to_owned(), self.runs.len());
            self.begin(&entry.event, node_id, previous);
        }
        let (Some(at), event) = (self.newest.get(node_id), self.n_events) else { return };
        let draft = &mut self.runs[*at];
        match &entry.event {
            Event::NodeStarted(it) => draft.ran.has_effect = it.effect,
            Event::NodeCompleted(it) => {
                draft.ended = Some(event);
                draft.store_ms = it.store_ms;
                draft.spend(usage_of(&it.meta));
            }
            Event::NodeError(it) => {
                draft.ended = Some(event);
                draft.ran.error = Some(it.error.clone());
                draft.spend(it.error.get("details").and_then(Value::as_object).and_then(usage_of));
            }
            Event::NodeRetry(it) => {
                draft.spend(it.error.get("details").and_then(Value::as_object).and_then(usage_of));
            }
            _ => {}
        }
    }

    /// A run begins. It needed what gave it a value, and what it waited for that gave it none: the branch of a
    /// condition that was not taken, say.
    fn begin(&mut self, event: &Event, node_id: &str, previous: Option<usize>) {
        let mut draft = Draft { began: self.n_events, ..Draft::default() };
        draft.ran.is_copied = self.is_copied;
        if let Event::NodeStarted(started) = event {
            draft.sources = started.inputs.values().filter_map(|it| self.source(it)).collect();
        }
        let since = previous.map_or(0, |it| self.runs[it].began);
        let waited_for = self.connections.iter().filter(|(_, to)| to == node_id).filter_map(|(from, _)| {
            let run = *self.newest.get(from)?;
            self.runs.get(run)?.ended.filter(|it| since < *it).map(|_| run)
        });
        // A node does not run twice at once, so a round needs the one before it.
        draft.ran.needs = draft.sources.iter().copied().chain(waited_for).chain(previous).collect();
        draft.ran.needs.sort_unstable();
        draft.ran.needs.dedup();
        self.runs.push(draft);
    }

    /// The run that `<node id>:<iteration>` stands for.
    fn source(&self, source: &str) -> Option<usize> {
        let (node_id, iteration) = source.rsplit_once(':')?;
        let iteration: u32 = iteration.parse().ok()?;
        let is_it = |it: &usize| {
            let run = &self.timeline.runs[*it];
            self.timeline.nodes[run.node].id == node_id && run.iteration == iteration
        };
        (0..self.runs.len()).rev().find(is_it)
    }

    fn finish(self, now: Timestamp) -> Runs {
        let timeline = &self.timeline;
        let now = timeline.ended_at.unwrap_or(now.max(timeline.last_at));
        let mut all: Vec<Ran> = Vec::with_capacity(self.runs.len());
        for (draft, run) in self.runs.into_iter().zip(&timeline.runs) {
            let ends = draft.ran.needs.iter().map(|it| all[*it].ended_at);
            let ready_at = ends.max().unwrap_or(timeline.started_at).min(run.started_at);
            let first_input = draft.sources.iter().map(|it| all[*it].ended_at).min().unwrap_or(ready_at);
            let queued = run.started_at.since_ms(ready_at) - idle_ms(&timeline.whole, ready_at, run.started_at);
            let working = run.ms_of(StretchKind::Working, now);
            let store = draft.store_ms.clamp(0, working);
            let phases = Phases {
                queue: queued.max(0),
                inputs: ready_at.since_ms(first_input),
                effect: working - store,
                store,
                waiting: run.ms_of(StretchKind::Waiting, now),
                idle: run.ms_of(StretchKind::Idle, now),
            };
            all.push(Ran {
                node: run.node,
                iteration: run.iteration,
                duration_ms: run.ms(now),
                ready_at,
                started_at: run.started_at,
                ended_at: run.ended_at.unwrap_or(now),
                phases,
                ..draft.ran
            });
        }
        Runs { status: timeline.status, total_ms: now.since_ms(timeline.started_at), nodes: self.timeline.nodes, all }
    }
}

impl Draft {
    fn spend(&mut self, usage: Option<TokenUsage>) {
        if let Some(usage) = usage {
            self.ran.tokens.add(usage);
        }
    }
}

/// Milliseconds between two moments in which the execution did not run.
fn idle_ms(whole: &[Stretch], from: Timestamp, until: Timestamp) -> i64 {
    let not_running = whole.iter().filter(|it| it.kind != StretchKind::Working);
    not_running.map(|it| it.until.unwrap_or(until).min(until).since_ms(it.from.max(from))).sum()
}
