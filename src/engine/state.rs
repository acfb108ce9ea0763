//! What is known of an execution: the fold of its log. The running loop folds each event as it happens,
//! readers fold the rows of the store; both see the same.
//!
//! | file | what it holds |
//! |---|---|
//! | `node` | what became of one node, what it asks and was answered |
//! | `reference` | how a request names a node, one of its rounds, one question of a round |

mod node;
mod reference;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

pub use self::node::{GivenAnswer, NodeState, WaitingNode};
pub use self::reference::{Named, name_of};
use super::event::{Closing, ControlApplied, Event, LastMessage, SpentBudget, Status, TokenUsage, Warning};
use super::journal::Projection;
use crate::clock::Timestamp;
use crate::nodes::PauseReason;
use crate::nodes::budget::{Entry, Ledger};
use crate::nodes::memory::Message;

/// An execution, folded from its log.
#[derive(Clone, Debug)]
pub struct ExecutionState {
    pub status: Status,
    pub nodes: Vec<NodeState>,
    pub inputs: Map<String, Value>,
    pub diagram: Option<String>,
    /// Who answers for all models, when the run asked for that.
    pub models: Option<String>,
    /// Inputs and `custom_data` so far.
    pub variables: Map<String, Value>,
    pub warnings: Vec<Warning>,
    pub handled_errors: Vec<Value>,
    /// What it spent itself: what was copied from another execution was paid there.
    pub usage: TokenUsage,
    /// By person id.
    pub usage_by_person: BTreeMap<String, TokenUsage>,
    /// What the budgets are, what was spent of them and what is promised.
    pub budgets: Ledger,
    /// Node executions completed.
    pub done: u64,
    pub total: Option<u64>,
    pub recovered: u64,
    /// Milliseconds spent running, pauses and downtime excluded; from 0 again when it is opened again.
    pub running_ms: i64,
    /// An operator asked for a pause and has not let it go on.
    pub is_held: bool,
    /// `step`: every node is held before it starts.
    pub is_stepping: bool,
    /// Ids of the nodes before which it pauses; `None` as long as nobody has set any.
    pub breakpoints: Option<Vec<String>>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub closing: Option<Closing>,
    /// Node ids in the order of their first start.
    pub executed: Vec<usize>,
    last_at: Timestamp,
    /// The events are those that a fork took over.
    is_copied: bool,
}

impl ExecutionState {
    /// An execution of which nothing is known yet.
    pub fn new() -> Self {
        Self {
            status: Status::Pending,
            nodes: Vec::new(),
            inputs: Map::new(),
            diagram: None,
            models: None,
            variables: Map::new(),
            warnings: Vec::new(),
            handled_errors: Vec::new(),
            usage: TokenUsage::default(),
            usage_by_person: BTreeMap::new(),
            budgets: Ledger::default(),
            done: 0,
            total: None,
            recovered: 0,
            running_ms: 0,
            is_held: false,
            is_stepping: false,
            breakpoints: None,
            started_at: Timestamp::default(),
            ended_at: None,
            closing: None,
            executed: Vec::new(),
            last_at: Timestamp::default(),
            is_copied: false,
        }
    }

    /// Returns the position of the node with this id.
    pub fn node_idx(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|it| it.outline.id == id)
    }

    /// Returns the position of the node with this id or, else, this label.
    pub fn find(&self, reference: &str) -> Option<usize> {
        self.node_idx(reference).or_else(|| self.nodes.iter().position(|it| it.outline.label == reference))
    }

    /// The open questions, the longest waiting first.
    pub fn open_questions(&self) -> Vec<(usize, &WaitingNode)> {
        let mut open: Vec<_> = self
            .nodes
            .iter()
            .enumerate()
            .filter_map(|(idx, node)| node.waiting.as_ref().filter(|it| it.answer.is_none()).map(|it| (idx, it)))
            .collect();
        // Nodes that started together ask together, whichever was the first to write its question down.
        open.sort_by_key(|(idx, it)| (self.nodes[*idx].started_at.unwrap_or(it.since), *idx));
        open
    }

    /// Why it is paused: an operator asked for it, else the reason of the question that waits longest.
    pub fn pause_reason(&self) -> Option<PauseReason> {
        if self.status != Status::Paused {
            return None;
        }
        self.reason_to_wait()
    }

    /// Why it would be paused if nothing ran.
    pub fn reason_to_wait(&self) -> Option<PauseReason> {
        if self.is_held {
            return Some(PauseReason::Operator);
        }
        self.open_questions().first().map(|(_, it)| it.question.reason)
    }

    /// Whether the node at `idx` waits for an answer.
    pub fn is_asking(&self, idx: usize) -> bool {
        self.nodes[idx].waiting.as_ref().is_some_and(|it| it.answer.is_none())
    }

    /// When the last event happened.
    pub fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// Milliseconds spent running up to `now`.
    pub fn running_ms_at(&self, now: Timestamp) -> i64 {
        self.running_ms + if self.status == Status::Running { now.since_ms(self.last_at) } else { 0 }
    }

    /// Takes one event of the log, in order. `node` is the position of the event's node.
    pub fn apply(&mut self, event: &Event, node: Option<usize>, at: Timestamp) {
        if self.status == Status::Running && !matches!(event, Event::ExecutionResumed(it) if it.by == "recovery") {
            self.running_ms += at.since_ms(self.last_at);
        }
        self.last_at = at;
        match event {
            Event::ExecutionStarted(it) => self.begin(it, at),
            Event::ExecutionPaused(_) => self.status = Status::Paused,
            Event::ExecutionResumed(it) => {
                if self.status.has_ended() {
                    self.open_again();
                }
                self.status = Status::Running;
                self.is_copied = false;
                self.recovered += u64::from(it.by == "recovery");
            }
            Event::Control(it) => self.control(it, node),
            Event::ExecutionCompleted(it) => self.end(Status::Completed, it, at),
            Event::ExecutionError(it) => self.end(Status::Failed, it, at),
            Event::ExecutionAborted(it) => self.end(Status::Aborted, it, at),
            Event::BudgetReserved(it) => {
                let node = node.and_then(|idx| self.nodes.get(idx)).map_or("", |it| &it.outline.id);
                self.budgets.restore(it.id, node, it.person.as_deref(), it.amount);
            }
            Event::BudgetSettled(it) => self.budgets.settle(it.id, it.spent),
            Event::ExecutionLog(_) | Event::NodeOutput(_) | Event::ToolCallStarted(_) | Event::ToolCallFinished(_) => {}
            Event::NodeStarted(_)
            | Event::NodeCompleted(_)
            | Event::NodeError(_)
            | Event::NodeRetry(_)
            | Event::NodeSkipped(_)
            | Event::InteractivePrompt(_)
            | Event::InteractiveResponse(_) => {
                if let Some(idx) = node.filter(|it| *it < self.nodes.len()) {
                    self.apply_to_node(event, idx, at);
                }
            }
        }
    }

    /// What the budgets are and what was spent of them by `now`.
    pub fn spent_budgets(&self, now: Timestamp) -> Vec<SpentBudget> {
        let run_ms = u64::try_from(self.running_ms_at(now)).unwrap_or(0);
        let shown = |it: &Entry| SpentBudget {
            scope: it.scope.clone(),
            limit: it.limit.figures(),
            spent: it.spent_figures(run_ms),
        };
        self.budgets.entries().iter().map(shown).collect()
    }

    fn begin(&mut self, started: &super::event::ExecutionStarted, at: Timestamp) {
        self.status = Status::Running;
        self.started_at = at;
        self.inputs = started.inputs.clone();
        self.variables = started.inputs.clone();
        self.diagram = started.diagram.clone();
        self.models.clone_from(&started.models);
        self.total = started.total;
        self.is_copied = started.forked_from.is_some();
        self.budgets = Ledger::of_entries(started.budgets.clone());
        self.nodes = started.nodes.iter().map(|it| NodeState::new(it.clone())).collect();
    }

    fn control(&mut self, applied: &ControlApplied, node: Option<usize>) {
        if let Some(raised) = &applied.raised {
            self.budgets.raise(&raised.scope, &raised.limit);
        }
        match (applied.action.as_str(), node.and_then(|it| self.nodes.get_mut(it))) {
            ("pause", _) => self.is_held = true,
            ("resume", None) => (self.is_held, self.is_stepping) = (false, false),
            // Of a run that is held nothing starts that could be held in turn.
            ("step", _) => self.is_stepping |= !self.is_held,
            ("set_breakpoints", _) => self.breakpoints = Some(applied.nodes.clone()),
            ("set_output", Some(node)) => node.given.clone_from(&applied.value),
            _ => {}
        }
    }

    fn apply_to_node(&mut self, event: &Event, idx: usize, at: Timestamp) {
        let node = &mut self.nodes[idx];
        match event {
            Event::NodeStarted(it) => {
                if node.started == 0 {
                    self.executed.push(idx);
                }
                node.started = it.iteration;
                node.attempt = it.attempt;
                node.status = Status::Running;
                node.started_at = Some(at);
                node.ended_at = None;
                node.error = None;
                node.waiting = None;
            }
            Event::NodeCompleted(it) => {
                node.finish(Status::Completed, at);
                node.completed += 1;
                node.duration_ms = Some(it.duration_ms);
                node.output = Some(Arc::clone(&it.output.body));
                self.spend(idx, Some(&it.meta));
                self.done += 1;
                self.variables.extend(it.variables.clone());
                self.warnings.extend(it.warnings.iter().cloned());
            }
            Event::NodeError(it) => {
                node.finish(Status::Failed, at);
                node.duration_ms = node.started_at.map(|started| at.since_ms(started));
                node.error = Some(it.error.clone());
                self.spend(idx, it.error.get("details").and_then(Value::as_object));
                self.done += 1;
                if it.handled {
                    self.handled_errors.push(it.error.clone());
                }
                self.warnings.extend(it.warnings.iter().cloned());
            }
            Event::NodeRetry(it) => {
                node.attempt = it.attempt;
                self.spend(idx, it.error.get("details").and_then(Value::as_object));
            }
            Event::NodeSkipped(it) => {
                node.status = Status::Skipped;
                node.skipped_reason = Some(it.reason.clone());
            }
            Event::InteractivePrompt(it) => node.ask(it, at),
            Event::InteractiveResponse(it) => node.answer(it, at),
            _ => {}
        }
    }

    /// Adds what an attempt used: a completion says it in its meta, a failure that was billed in its details.
    fn spend(&mut self, idx: usize, facts: Option<&Map<String, Value>>) {
        let Some((facts, usage)) = facts.and_then(|it| Some((it, usage_of(it)?))) else { return };
        self.nodes[idx].usage.get_or_insert_default().add(usage);
        if self.is_copied {
            return;
        }
        self.usage.add(usage);
        if let Some(person) = facts.get("person_id").and_then(Value::as_str) {
            self.usage_by_person.entry(person.to_owned()).or_default().add(usage);
        }
    }

    fn end(&mut self, status: Status, closing: &Closing, at: Timestamp) {
        self.status = status;
        self.ended_at = Some(at);
        (self.is_held, self.is_stepping) = (false, false);
        for node in &mut self.nodes {
            // Nobody waits any more; an answer that was taken holds, should the execution be opened again.
            node.waiting = node.waiting.take().filter(|it| it.answer.is_some());
            if matches!(node.status, Status::Running | Status::Paused) {
                let answered = node.waiting.take();
                node.finish(Status::Aborted, at);
                node.waiting = answered;
            } else if node.status == Status::Pending {
                node.status = Status::Skipped;
            }
            if closing.exhausted.contains(&node.outline.id) {
                node.status = Status::MaxiterReached;
            }
        }
        self.closing = Some(closing.clone());
    }

    /// Takes the end back: what it left undone may be done now, in as much time as a run has.
    fn open_again(&mut self) {
        self.ended_at = None;
        self.closing = None;
        self.running_ms = 0;
        for node in &mut self.nodes {
            node.status = match node.status {
                Status::Skipped => Status::Pending,
                Status::Aborted if node.started == 0 => Status::Pending,
                Status::Aborted => Status::Running,
                Status::MaxiterReached => Status::Completed,
                other => other,
            };
            node.skipped_reason = None;
        }
    }

    /// The outputs so far (diagrams.md 5.6): label to value of the endpoints that ran, in file order; in a
    /// diagram without endpoints, of the nodes without outgoing connections that completed.
    pub fn outputs(&self) -> Map<String, Value> {
        let has_endpoint = self.nodes.iter().any(|it| it.outline.kind == "endpoint");
        self.nodes
            .iter()
            .filter(|it| if has_endpoint { it.outline.kind == "endpoint" } else { it.outline.is_last })
            .filter(|it| it.status == Status::Completed || it.completed > 0)
            .filter_map(|it| it.output.as_ref().map(|value| (it.outline.label.clone(), Value::clone(value))))
            .collect()
    }

    /// Node id to number of executions, of the nodes that ran.
    pub fn counts(&self) -> Map<String, Value> {
        self.nodes.iter().filter(|it| it.started > 0).map(|it| (it.outline.id.clone(), it.started.into())).collect()
    }

    /// The growing columns of the row (surface.md 6.1).
    pub fn projection(&self) -> Projection {
        let by_id = |value: &dyn Fn(&NodeState) -> Option<Value>| {
            let map: Map<String, Value> =
                self.nodes.iter().filter_map(|it| value(it).map(|value| (it.outline.id.clone(), value))).collect();
            Value::Object(map).to_string()
        };
        let executed: Vec<&str> = self.executed.iter().map(|it| self.nodes[*it].outline.id.as_str()).collect();
        Projection {
            node_states: by_id(&|it| Some(it.to_json())),
            node_outputs: by_id(&|it| it.output.as_ref().map(|value| Value::clone(value))),
            llm_usage: json!(self.usage).to_string(),
            error: self.closing.as_ref().and_then(|it| it.error.as_ref()).map(Value::to_string),
            variables: Value::Object(self.variables.clone()).to_string(),
            exec_counts: Value::Object(self.counts()).to_string(),
            executed_nodes: json!(executed).to_string(),
        }
    }
}

impl Default for ExecutionState {
    fn default() -> Self {
        Self::new()
    }
}

/// The newest message, as results show it.
pub fn last_message(messages: &[Message], timestamps: &BTreeMap<u64, Timestamp>) -> Option<LastMessage> {
    messages.last().map(|it| LastMessage {
        role: it.role.clone(),
        content: it.content.clone(),
        node_id: it.node_id.clone(),
        timestamp: timestamps.get(&it.seq).copied().unwrap_or_default().to_rfc3339(),
    })
}

/// What the facts of an attempt say it used: those of a completion, or the details of a failure that was billed.
pub fn usage_of(facts: &Map<String, Value>) -> Option<TokenUsage> {
    let tokens: Option<TokenUsage> = facts.get("llm_usage").and_then(|it| serde_json::from_value(it.clone()).ok());
    let cost = facts.get("cost");
    if tokens.is_none() && cost.is_none() {
        return None;
    }
    let cost_usd = cost.and_then(|it| it.get("usd")?.as_f64());
    let unpriced_calls = cost.and_then(|it| it.get("unpriced_calls")?.as_u64()).unwrap_or(0);
    Some(TokenUsage { cost_usd, unpriced_calls, ..tokens.unwrap_or_default() })
}
