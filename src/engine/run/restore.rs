//! Rebuilds a run from its log, then goes on: what is committed never runs again; what had started and not
//! completed runs again as another attempt, or waits for a decision when it is `at_most_once`. The same happens
//! when an execution that failed or was aborted is opened again: the log goes on after its end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::attempt::Work;
use super::{Live, LogEntry, Run, Stage};
use crate::clock::Timestamp;
use crate::compile::NodeIdx;
use crate::engine::event::{
    Event, ExecutionResumed, InteractivePrompt, NodeCompleted, NodeError, NodeStarted, Status, StoredOutput,
};
use crate::engine::fork::BY_FORK;
use crate::engine::schedule::Input;
use crate::error::Error;
use crate::nodes::context::CallCounter;
use crate::nodes::{Effect, Inputs, PauseReason, Published, Question};

/// Where a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// At the beginning: nothing has run.
    Fresh,
    /// Somewhere under way.
    UnderWay,
    /// Where an execution that had ended was opened again, or behind what a fork took over: the log says that it
    /// goes on.
    OpenedAgain,
}

/// Replays `log` into a fresh run and says where that leads; nothing starts.
pub(super) fn replay(run: &mut Run, log: Vec<LogEntry>) -> Point {
    let mut point = if log.len() <= 1 { Point::Fresh } else { Point::UnderWay };
    let mut calls = HashMap::new();
    for entry in log {
        let node = entry.node_id.as_deref().and_then(|it| run.plan.nodes.iter().position(|node| &*node.id == it));
        let had_ended = run.state.status.has_ended();
        run.state.apply(&entry.event, node, entry.at);
        if let (Some(replay), Some(node_id)) = (&mut run.replay, &entry.node_id) {
            replay.passed(&entry.event, node_id);
        }
        match (node, &entry.event) {
            (Some(node), event) => replay_of_node(run, node, event, entry.at, &mut calls),
            (None, Event::ExecutionStarted(started)) => run.variables = Arc::new(started.inputs.clone()),
            (None, Event::ExecutionResumed(_)) if had_ended => open_again(run),
            (None, _) => {}
        }
        if point != Point::Fresh {
            let is_fork = matches!(&entry.event, Event::ExecutionResumed(it) if it.by == BY_FORK);
            let is_opening = is_fork || had_ended && !run.state.status.has_ended();
            point = if is_opening { Point::OpenedAgain } else { Point::UnderWay };
        }
    }
    run.calls = Arc::new(CallCounter::starting_at(calls));
    run.open_account();
    point
}

/// Each node that was left undone has all its attempts again.
fn open_again(run: &mut Run) {
    for live in run.live.values_mut().filter(|it| it.stage != Stage::Held) {
        live.earlier = live.attempt;
        live.failures = 0;
        live.due = None;
    }
}

fn replay_of_node(run: &mut Run, node: NodeIdx, event: &Event, at: Timestamp, calls: &mut HashMap<String, u32>) {
    match event {
        Event::NodeStarted(it) => replay_start(run, node, it),
        Event::NodeRetry(it) => {
            if let Some(live) = run.live.get_mut(&node) {
                live.attempt = it.attempt;
                live.due = Some(at.plus_ms(i64::try_from(it.delay_ms).unwrap_or(i64::MAX)));
                live.failures += 1;
            }
        }
        Event::NodeOutput(it) => {
            count_calls(it.item.attempts, &it.item.meta, calls);
            if let Some(live) = run.live.get_mut(&node) {
                live.items.push(it.item.clone());
            }
        }
        Event::NodeCompleted(it) => {
            let unpaid = run.live.get(&node).map_or(0, |it| it.unpaid);
            count_calls(it.attempt.saturating_sub(unpaid), &it.meta, calls);
            replay_completion(run, node, it);
        }
        Event::InteractivePrompt(it) if is_before_start(run, node, it) => {
            let held = NodeStarted {
                kind: String::new(),
                iteration: it.iteration,
                attempt: 1,
                inputs: BTreeMap::new(),
                effect: false,
            };
            replay_start(run, node, &held);
            if let Some(live) = run.live.get_mut(&node) {
                live.stage = Stage::Held;
            }
        }
        Event::NodeError(it) if it.handled => {
            run.live.remove(&node);
            let stored = StoredOutput { body: Arc::new(it.error.clone()), forms: None };
            run.publish(node, it.iteration, &stored, Published::Error);
            run.schedule.restore_done(node, Published::Error);
        }
        Event::NodeError(it) => replay_failure(run, node, it),
        _ => {}
    }
}

/// A failure that ended the execution: should it be opened again, the node runs again, with the same inputs.
fn replay_failure(run: &mut Run, node: NodeIdx, failure: &NodeError) {
    if let Some(live) = run.live.get_mut(&node) {
        live.stage = Stage::Failed;
        live.unpaid += u32::from(failure.error["code"] == "BUDGET_EXCEEDED");
        live.items.retain(|it| it.error.is_none());
    }
}

/// Whether a question holds a node that has not begun: by a breakpoint, or because the time of the run is up.
fn is_before_start(run: &Run, node: NodeIdx, prompt: &InteractivePrompt) -> bool {
    match prompt.question.reason {
        PauseReason::Breakpoint => true,
        PauseReason::Budget => !run.live.contains_key(&node),
        PauseReason::Input | PauseReason::Approval | PauseReason::Model | PauseReason::Operator => false,
    }
}

fn replay_start(run: &mut Run, node: NodeIdx, started: &NodeStarted) {
    if let Some(live) = run.live.get_mut(&node).filter(|it| it.iteration == started.iteration) {
        live.attempt = started.attempt;
        live.stage = Stage::Lost;
        live.due = None;
        return;
    }
    let edges = run.schedule.restore_start(node);
    // A conversion that failed was recorded as the node's failure; here the inputs no longer matter.
    let (inputs, sources) = run.take_inputs(&edges);
    let inputs = inputs.unwrap_or_else(|_| Inputs::default());
    Arc::make_mut(&mut run.history).started[node] = started.iteration;
    let live = Live::new(started.iteration, run.schedule.n_started(), Stage::Lost, inputs, sources);
    run.live.insert(node, Live { attempt: started.attempt, ..live });
}

fn replay_completion(run: &mut Run, node: NodeIdx, completed: &NodeCompleted) {
    run.live.remove(&node);
    Arc::make_mut(&mut run.variables).extend(completed.variables.clone());
    Arc::make_mut(&mut run.exposed).extend(completed.exposed.clone());
    Arc::make_mut(&mut run.history).completed[node] += 1;
    run.publish(node, completed.iteration, &completed.output, completed.handles);
    run.schedule.restore_done(node, completed.handles);
}

/// A script goes by how many calls its person had: one for each attempt that came to an end.
fn count_calls(attempts: u32, meta: &serde_json::Map<String, Value>, calls: &mut HashMap<String, u32>) {
    let Some(person) = meta.get("person_id").and_then(Value::as_str) else { return };
    let attempts =
        meta.get("model_calls").and_then(Value::as_u64).and_then(|it| u32::try_from(it).ok()).unwrap_or(attempts);
    *calls.entry(person.to_owned()).or_insert(0) += attempts;
    let has_selected = meta.get("memory").and_then(|it| it.get("selected_ids")).is_some();
    if has_selected {
        *calls.entry(format!("{person}#selection")).or_insert(0) += 1;
    }
}

impl Run {
    /// Takes up the nodes that were under way, then whatever may start now. While an operator's pause is asked for
    /// nothing does.
    pub(super) fn begin(&mut self, point: Point) -> Result<(), Error> {
        if self.state.is_held {
            self.step(Input::Hold)?;
        }
        if point == Point::Fresh {
            return self.step(Input::Started);
        }
        let open = self.state.open_questions().into_iter();
        let open: Vec<(NodeIdx, Question)> = open.map(|(node, it)| (node, it.question.clone())).collect();
        for (node, question) in &open {
            self.watch_child_of(*node, question);
        }
        let lost = self.lost_nodes();
        let only_waits = self.state.is_held || lost.is_empty() && !self.live.is_empty();
        if self.state.status == Status::Paused && only_waits {
            self.note_lost_calls();
            return Ok(());
        }
        if point == Point::UnderWay {
            self.note_event(Event::ExecutionResumed(ExecutionResumed { by: "recovery".into() }), None);
        }
        // The time that passed before this was no running time.
        self.note_lost_calls();
        if self.state.is_held {
            return Ok(());
        }
        for node in lost {
            self.revive(node);
        }
        let actions = self.schedule.resume();
        self.carry_out(actions)
    }

    /// Whether `node` is under way and nothing works on it: its process died, or the execution had ended.
    pub(super) fn is_lost(&self, node: NodeIdx) -> bool {
        self.live.get(&node).is_some_and(|it| it.stage != Stage::Active) && !self.state.is_asking(node)
    }

    /// In the order in which they had begun, so that what they publish comes in the order in which it would have.
    pub(super) fn lost_nodes(&self) -> Vec<NodeIdx> {
        let mut lost: Vec<NodeIdx> = self.live.keys().copied().filter(|it| self.is_lost(*it)).collect();
        lost.sort_by_key(|it| self.live[it].began);
        lost
    }

    /// Takes up a lost node where it was.
    pub(super) fn revive(&mut self, node: NodeIdx) {
        if let Some(waiting) = self.state.nodes[node].waiting.clone()
            && let Some(answer) = waiting.answer
        {
            return self.attempt(node, Work::Resume(Box::new(waiting.question), answer), None);
        }
        match self.live[&node].stage {
            Stage::Active => {}
            Stage::Held if self.holds(node) => self.hold(node),
            Stage::Held => self.let_go(node),
            Stage::Failed => self.repeat(node),
            Stage::Lost => match self.rest_of_pause(node) {
                // It had not begun, so nothing of it is lost.
                Some(rest) => self.attempt_after(node, rest),
                None => self.repeat_or_ask(node),
            },
        }
    }

    /// How long a repetition still has to wait; `None` when it may have begun.
    fn rest_of_pause(&self, node: NodeIdx) -> Option<Duration> {
        let due = self.live[&node].due.filter(|_| self.replay.is_none())?;
        let ms = due.since_ms(self.ports.clock.now());
        u64::try_from(ms).ok().filter(|it| *it > 0).map(Duration::from_millis)
    }

    /// Whether what `node` does outside may have happened is for an operator to judge, when its attempt is lost.
    pub(super) fn must_not_repeat(&self, node: NodeIdx) -> bool {
        let plan_node = &self.plan.nodes[node];
        let has_effect = plan_node.node.effect() == Effect::Outside && self.state.nodes[node].given.is_none();
        plan_node.policy.at_most_once && has_effect && self.replay.is_none()
    }

    fn repeat_or_ask(&mut self, node: NodeIdx) {
        if !self.must_not_repeat(node) {
            return self.repeat(node);
        }
        let plan_node = &self.plan.nodes[node];
        let prompt = format!(
            "`{}` had started when its process died or it was stopped; it may or may not have had its effect. \
             `resume` runs it again, `set_output` gives its value, `abort` ends the run",
            plan_node.label
        );
        let question = Question::new(PauseReason::Operator, prompt);
        let iteration = self.live[&node].iteration;
        self.note_event(Event::InteractivePrompt(InteractivePrompt { iteration, question }), Some(node));
    }
}
