//! What an operator may do with a run besides answering: pause it and let it go on, step, set breakpoints, give a
//! node its value, complete it. Each is an event of the log, so it holds for whoever takes the run over.

use serde_json::Value;

use super::attempt::{Finished, Work};
use super::command::Asker;
use super::{End, Run, Stage};
use crate::compile::NodeIdx;
use crate::diagram::NodeKind;
use crate::engine::event::{ControlApplied, Event, Status};
use crate::engine::schedule::Input;
use crate::engine::state::Named;
use crate::error::Error;
use crate::nodes::{Outcome, Output, PauseReason, Published, Question};

impl Run {
    /// Lets nothing new start; what runs goes on. The execution is paused once nothing does.
    pub(super) fn pause(&mut self, by: &str) -> Result<(), Error> {
        if self.state.is_held {
            return Ok(());
        }
        self.note_control(ControlApplied::new("pause", by), None);
        self.step(Input::Hold)
    }

    /// Ends the run as it is: what runs is cancelled, what has not begun is skipped.
    pub(super) fn complete_run(&mut self, reason: Option<String>, by: &str) -> Result<(), Error> {
        let applied = ControlApplied { reason: reason.clone(), ..ControlApplied::new("complete", by) };
        self.note_control(applied, None);
        self.ending = Some(End::Completed { by: by.to_owned(), reason });
        Ok(())
    }

    /// Lets a paused run go on, or one node that waits for an operator. What runs already goes on anyway.
    pub(super) fn resume(&mut self, node: Option<&str>, by: Asker<'_>) -> Result<(), Error> {
        if node.is_none() && (self.state.is_held || !self.held_nodes().is_empty()) {
            return self.let_all_go(by.name);
        }
        if self.goes_on(node) {
            return Ok(());
        }
        if node.is_none() {
            return Err(self.undecided());
        }
        self.decide(node, None, by)
    }

    /// The refusal of a `resume` that names nothing where only a decision is left: whoever asked may not have known of
    /// it, and the effect it is about would be repeated unasked.
    fn undecided(&self) -> Error {
        match self.waiting_node(None, is_decided_by_operator) {
            Ok(node) => {
                let label = &self.plan.nodes[node].label;
                Error::invalid(
                    "INVALID_INPUT",
                    format!("`{label}` waits for a decision, and the request names no node"),
                )
                .hint("look at `waiting_for` in its result, then name the node")
            }
            Err(error) => error,
        }
    }

    /// Whether the run, or the node that is meant, needs nobody to go on.
    fn goes_on(&self, node: Option<&str>) -> bool {
        let is_waiting = |it: Named| {
            let asks = self.state.nodes[it.node].waiting.as_ref().filter(|waiting| waiting.answer.is_none());
            asks.map_or(self.is_lost(it.node), |waiting| !it.is_of_earlier_round(waiting))
        };
        self.state.status == Status::Running
            && match node {
                None => !self.state.open_questions().iter().any(|(_, it)| is_decided_by_operator(&it.question)),
                Some(reference) => self.state.find_named(reference).is_some_and(|it| !is_waiting(it)),
            }
    }

    fn let_all_go(&mut self, by: &str) -> Result<(), Error> {
        let held = self.held_nodes();
        self.note_control(ControlApplied::new("resume", by), None);
        self.wake(by);
        for node in held {
            self.let_go(node);
        }
        for node in self.lost_nodes() {
            self.revive(node);
        }
        self.try_again(by);
        self.step(Input::Release)
    }

    /// Runs what may run now, once: what breakpoints hold, and of a run that an operator paused what would start.
    pub(super) fn step_once(&mut self, by: &str) -> Result<(), Error> {
        let held = self.held_nodes();
        let is_paused_by_operator = self.state.is_held && self.state.status == Status::Paused;
        if held.is_empty() && !is_paused_by_operator {
            return Err(Error::conflict("NOT_PAUSED", "neither a breakpoint nor an operator holds the execution")
                .hint("`pause` it first, or start it with `--mode debug --break NODE`"));
        }
        self.note_control(ControlApplied::new("step", by), None);
        self.wake(by);
        for node in held {
            self.let_go(node);
        }
        if !self.state.is_held {
            return Ok(());
        }
        self.passes_breakpoints = true;
        for node in self.lost_nodes() {
            self.revive(node);
        }
        let stepped = self.step(Input::Once { only: None });
        self.passes_breakpoints = false;
        stepped
    }

    /// Replaces the nodes before which the run pauses.
    pub(super) fn set_breakpoints(&mut self, references: &[String], by: &str) -> Result<(), Error> {
        let found: Vec<Option<NodeIdx>> = references.iter().map(|it| self.state.find(it)).collect();
        let unknown: Vec<String> = (references.iter().zip(&found))
            .filter(|(_, found)| found.is_none())
            .map(|(reference, _)| format!("`{reference}`"))
            .collect();
        if !unknown.is_empty() {
            let labels: Vec<&str> = self.plan.nodes.iter().map(|it| &*it.label).collect();
            let message = format!("the diagram has no node {}", unknown.join(", "));
            return Err(
                Error::not_found("NODE_NOT_FOUND", message).hint(format!("its nodes are: {}", labels.join(", ")))
            );
        }
        let nodes: Vec<String> = found.into_iter().flatten().map(|it| self.plan.nodes[it].id.to_string()).collect();
        if self.state.breakpoints.as_ref() != Some(&nodes) {
            self.note_control(ControlApplied { nodes, ..ControlApplied::new("set_breakpoints", by) }, None);
        }
        Ok(())
    }

    /// Gives a node the value of its next run instead of running it: one that waits for an operator at once, one
    /// of a paused run when it would start.
    pub(super) fn set_output(&mut self, node: Option<&str>, value: Value, by: Asker<'_>) -> Result<(), Error> {
        let meant = node.and_then(|it| self.state.find(it)).filter(|_| self.state.is_held);
        let Some(meant) = meant.filter(|it| !self.live.contains_key(it) || self.is_lost(*it)) else {
            return self.decide(node, Some(value), by);
        };
        self.check_asker(meant, by)?;
        self.check_value(meant, &value)?;
        if self.is_lost(meant) {
            self.note_control(ControlApplied::new("set_output", by.name), Some(meant));
            self.wake(by.name);
            return self.complete_with(meant, value);
        }
        let applied = ControlApplied { value: Some(value), ..ControlApplied::new("set_output", by.name) };
        self.note_control(applied, Some(meant));
        if self.schedule.ready().contains(&meant) {
            self.wake(by.name);
            return self.step(Input::Once { only: Some(meant) });
        }
        Ok(())
    }

    /// Completes a live node with a value that an operator gave.
    pub(super) fn complete_with(&mut self, node: NodeIdx, value: Value) -> Result<(), Error> {
        if matches!(self.live[&node].stage, Stage::Held | Stage::Failed) {
            self.note_start(node);
        }
        let output = self.given(node, value);
        self.complete(node, output)
    }

    /// The value that an operator gave `node` before this round began, whichever process comes to run it.
    pub(super) fn given_before(&self, node: NodeIdx, work: &Work) -> Option<Finished> {
        let value = self.state.nodes[node].given.clone().filter(|_| matches!(work, Work::Run))?;
        Some(Finished { node, result: Ok(Outcome::Done(self.given(node, value))) })
    }

    /// What a live node gives back when its value is `value`: a condition passes its input on.
    pub(super) fn given(&self, node: NodeIdx, value: Value) -> Output {
        match (self.plan.nodes[node].kind, &value) {
            (NodeKind::Condition, Value::Bool(decision)) => Output {
                body: self.live[&node].inputs.passed_on(),
                published: if *decision { Published::True } else { Published::False },
                ..Output::default()
            },
            _ => Output::value(value),
        }
    }

    /// Refuses a value that leads nowhere.
    pub(super) fn check_value(&self, node: NodeIdx, value: &Value) -> Result<(), Error> {
        let plan_node = &self.plan.nodes[node];
        if plan_node.kind != NodeKind::Condition || value.is_boolean() {
            return Ok(());
        }
        let message = format!("`{}` is a condition: its value says which way to go", plan_node.label);
        Err(Error::invalid("INVALID_ANSWER", message).hint("give true or false"))
    }

    pub(super) fn note_control(&mut self, applied: ControlApplied, node: Option<NodeIdx>) {
        self.note_event(Event::Control(applied), node);
    }
}

/// Whether a question is no question to a person or model, but one that `resume` or `set_output` decides.
pub(super) fn is_decided_by_operator(question: &Question) -> bool {
    matches!(question.reason, PauseReason::Operator | PauseReason::Breakpoint | PauseReason::Budget)
}
