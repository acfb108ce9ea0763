//! The fold of a log into node executions with their stretches of time.

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::diagram::draw::State;
use crate::engine::Status;
use crate::engine::event::{Event, NodeOutline};

/// An execution as stretches of time.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// The diagram's name, when it has one.
    pub diagram: Option<String>,
    pub status: Status,
    pub nodes: Vec<NodeOutline>,
    /// Node executions in the order of their start.
    pub runs: Vec<NodeRun>,
    /// What the whole execution did.
    pub whole: Vec<Stretch>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// When the newest event was recorded.
    pub last_at: Timestamp,
    positions: HashMap<String, usize>,
    /// Position in `runs` of the run of a node that has not ended, by the node's position.
    open: HashMap<usize, usize>,
}

/// One execution of a node: one iteration, with all its attempts.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRun {
    /// Position of the node.
    pub node: usize,
    pub iteration: u32,
    pub attempts: u32,
    /// Items of a batch that are done.
    pub n_items: u32,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// How it ended, or what it does.
    pub state: State,
    /// Gapless, in order; the last one is open while the run is.
    pub stretches: Vec<Stretch>,
}

/// A part of a run that did one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub kind: StretchKind,
    pub from: Timestamp,
    /// `None`: still going on.
    pub until: Option<Timestamp>,
}

/// What is done during a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StretchKind {
    Working,
    /// Somebody has to answer.
    Waiting,
    /// Between two attempts, or between two processes.
    Idle,
}

impl Stretch {
    /// Milliseconds up to `now`.
    pub fn ms(&self, now: Timestamp) -> i64 {
        self.until.unwrap_or(now).since_ms(self.from)
    }
}

impl NodeRun {
    /// Milliseconds from its start to its end, or to `now`.
    pub fn ms(&self, now: Timestamp) -> i64 {
        self.ended_at.unwrap_or(now).since_ms(self.started_at)
    }

    /// Milliseconds of one kind up to `now`.
    pub fn ms_of(&self, kind: StretchKind, now: Timestamp) -> i64 {
        self.stretches.iter().filter(|it| it.kind == kind).map(|it| it.ms(now)).fold(0, i64::saturating_add)
    }
}

impl Timeline {
    /// An execution of which only the time it was asked for is known.
    pub fn new(started_at: Timestamp) -> Self {
        Self {
            diagram: None,
            status: Status::Pending,
            nodes: Vec::new(),
            runs: Vec::new(),
            whole: Vec::new(),
            started_at,
            ended_at: None,
            last_at: Timestamp::default(),
            positions: HashMap::new(),
            open: HashMap::new(),
        }
    }

    /// Labels of the nodes that never started, in file order.
    pub fn never_ran(&self) -> Vec<&str> {
        let mut has_run = vec![false; self.nodes.len()];
        self.runs.iter().for_each(|it| has_run[it.node] = true);
        self.nodes.iter().zip(has_run).filter(|(_, has_run)| !has_run).map(|(it, _)| it.label.as_str()).collect()
    }

    /// Takes one event of the log, in order. `node_id` names the event's node.
    pub fn apply(&mut self, event: &Event, node_id: Option<&str>, at: Timestamp) {
        // Two processes may have written the log, and clocks differ: time never goes back here.
        let at = at.max(self.last_at);
        match event {
            Event::ExecutionStarted(it) => {
                self.status = Status::Running;
                self.started_at = at;
                self.diagram.clone_from(&it.diagram);
                self.nodes.clone_from(&it.nodes);
                self.positions = it.nodes.iter().enumerate().map(|(idx, it)| (it.id.clone(), idx)).collect();
                turn(&mut self.whole, StretchKind::Working, at);
            }
            Event::ExecutionPaused(_) => {
                self.status = Status::Paused;
                turn(&mut self.whole, StretchKind::Waiting, at);
            }
            Event::ExecutionResumed(it) => {
                self.status = Status::Running;
                if let Some(ended_at) = self.ended_at.take() {
                    // Opened again: in between nothing was done.
                    self.whole.push(Stretch { kind: StretchKind::Idle, from: ended_at, until: None });
                }
                if it.by == "recovery" {
                    self.was_down(at);
                }
                turn(&mut self.whole, StretchKind::Working, at);
            }
            Event::ExecutionCompleted(_) => self.end(Status::Completed, at),
            Event::ExecutionError(_) => self.end(Status::Failed, at),
            Event::ExecutionAborted(_) => self.end(Status::Aborted, at),
            Event::NodeSkipped(_)
            | Event::Control(_)
            | Event::BudgetReserved(_)
            | Event::BudgetSettled(_)
            | Event::ToolCallStarted(_)
            | Event::ToolCallFinished(_)
            | Event::ExecutionLog(_) => {}
            Event::NodeStarted(_)
            | Event::NodeCompleted(_)
            | Event::NodeOutput(_)
            | Event::NodeError(_)
            | Event::NodeRetry(_)
            | Event::InteractivePrompt(_)
            | Event::InteractiveResponse(_) => {
                if let Some(node) = node_id.and_then(|it| self.positions.get(it).copied()) {
                    self.apply_to_node(event, node, at);
                }
            }
        }
        self.last_at = at;
    }

    fn apply_to_node(&mut self, event: &Event, node: usize, at: Timestamp) {
        let iteration = match event {
            Event::NodeStarted(it) => it.iteration,
            Event::NodeCompleted(it) => it.iteration,
            Event::NodeOutput(it) => it.iteration,
            Event::NodeError(it) => it.iteration,
            Event::NodeRetry(it) => it.iteration,
            Event::InteractivePrompt(it) => it.iteration,
            Event::InteractiveResponse(it) => it.iteration,
            _ => return,
        };
        let run = self.run_of(node, iteration, at);
        match event {
            Event::NodeStarted(it) => {
                run.attempts = it.attempt;
                run.state = State::Running;
                turn(&mut run.stretches, StretchKind::Working, at);
            }
            Event::NodeOutput(_) => run.n_items += 1,
            Event::NodeRetry(it) => {
                run.attempts = it.attempt;
                let again_at = at.plus_ms(i64::try_from(it.delay_ms).unwrap_or(i64::MAX));
                turn(&mut run.stretches, StretchKind::Idle, at);
                turn(&mut run.stretches, StretchKind::Working, again_at);
            }
            Event::InteractivePrompt(_) => {
                run.state = State::Waiting;
                turn(&mut run.stretches, StretchKind::Waiting, at);
            }
            Event::InteractiveResponse(_) => {
                run.state = State::Running;
                turn(&mut run.stretches, StretchKind::Working, at);
            }
            Event::NodeCompleted(_) => self.finish(node, State::Completed, at),
            Event::NodeError(_) => self.finish(node, State::Failed, at),
            _ => {}
        }
    }

    /// The run of a node that has not ended; a new one when there is none.
    fn run_of(&mut self, node: usize, iteration: u32, at: Timestamp) -> &mut NodeRun {
        let idx = *self.open.entry(node).or_insert_with(|| {
            self.runs.push(NodeRun {
                node,
                iteration,
                attempts: 1,
                n_items: 0,
                started_at: at,
                ended_at: None,
                state: State::Running,
                stretches: vec![Stretch { kind: StretchKind::Working, from: at, until: None }],
            });
            self.runs.len() - 1
        });
        &mut self.runs[idx]
    }

    fn finish(&mut self, node: usize, state: State, at: Timestamp) {
        let Some(idx) = self.open.remove(&node) else { return };
        let run = &mut self.runs[idx];
        run.state = state;
        run.ended_at = Some(at);
        close(&mut run.stretches, at);
    }

    /// No process was there between the newest event and `at`.
    fn was_down(&mut self, at: Timestamp) {
        let since = self.last_at;
        for idx in self.open.values() {
            idle_between(&mut self.runs[*idx].stretches, since, at);
        }
        idle_between(&mut self.whole, since, at);
    }

    fn end(&mut self, status: Status, at: Timestamp) {
        self.status = status;
        self.ended_at = Some(at);
        let open: Vec<usize> = self.open.keys().copied().collect();
        open.into_iter().for_each(|node| self.finish(node, State::Aborted, at));
        close(&mut self.whole, at);
    }
}

/// What pictures call a status.
pub fn state_of(status: Status) -> State {
    match status {
        Status::Pending => State::Pending,
        Status::Running => State::Running,
        Status::Paused => State::Waiting,
        Status::Completed => State::Completed,
        Status::Failed => State::Failed,
        Status::Aborted => State::Aborted,
        Status::Skipped => State::Skipped,
        Status::MaxiterReached => State::MaxiterReached,
    }
}

/// Ends the open stretch at `at` and begins one of `kind`, unless that is what goes on.
fn turn(stretches: &mut Vec<Stretch>, kind: StretchKind, at: Timestamp) {
    if stretches.last().is_some_and(|it| it.until.is_none() && it.kind == kind) {
        return;
    }
    close(stretches, at);
    stretches.push(Stretch { kind, from: at, until: None });
}

fn close(stretches: &mut [Stretch], at: Timestamp) {
    if let Some(last) = stretches.last_mut().filter(|it| it.until.is_none()) {
        last.until = Some(at.max(last.from));
    }
}

/// Work stopped at `since` and goes on at `until`; who waits for an answer waited all the time.
fn idle_between(stretches: &mut Vec<Stretch>, since: Timestamp, until: Timestamp) {
    if stretches.last().is_some_and(|it| it.until.is_none() && it.kind == StretchKind::Working) {
        turn(stretches, StretchKind::Idle, since);
        turn(stretches, StretchKind::Working, until);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::event::{Closing, ExecutionResumed, ExecutionStarted, NodeError, NodeStarted};

    #[test]
    fn an_execution_that_was_opened_again_did_nothing_in_between() {
        let outline = NodeOutline { id: "n".into(), label: "n".into(), kind: "code_job".into(), is_last: true };
        let start = |attempt| {
            Event::NodeStarted(NodeStarted {
                kind: "code_job".into(),
                iteration: 1,
                attempt,
                inputs: Default::default(),
                effect: true,
            })
        };
        let failed = NodeError { iteration: 1, error: json!({}), handled: false, warnings: Vec::new() };
        let mut timeline = Timeline::new(Timestamp(0));
        for (at, node, event) in [
            (0, None, Event::ExecutionStarted(ExecutionStarted { nodes: vec![outline], ..Default::default() })),
            (10, Some("n"), start(1)),
            (20, Some("n"), Event::NodeError(failed)),
            (20, None, Event::ExecutionError(Closing::default())),
            (500, None, Event::ExecutionResumed(ExecutionResumed { by: "terminal".into() })),
            (500, Some("n"), start(2)),
        ] {
            timeline.apply(&event, node, Timestamp(at));
        }
        let stretch =
            |kind, from, until: Option<i64>| Stretch { kind, from: Timestamp(from), until: until.map(Timestamp) };
        assert_eq!((timeline.status, timeline.ended_at), (Status::Running, None));
        assert_eq!(
            timeline.whole,
            [
                stretch(StretchKind::Working, 0, Some(20)),
                stretch(StretchKind::Idle, 20, Some(500)),
                stretch(StretchKind::Working, 500, None),
            ]
        );
        let runs: Vec<_> = timeline.runs.iter().map(|it| (it.attempts, it.state, it.ended_at)).collect();
        assert_eq!(runs, [(1, State::Failed, Some(Timestamp(20))), (2, State::Running, None)]);
    }
}
