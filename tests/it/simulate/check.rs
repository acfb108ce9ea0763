//! What must be true of a log, whatever happened while it was written.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use dipeo::compile::NodeIdx;
use dipeo::engine::event::{Closing, Event, NodeError, NodeStarted, Status, TokenUsage};
use dipeo::engine::run::LogEntry;
use dipeo::engine::schedule::{Action, Ending, Input, Limits, Schedule};
use dipeo::engine::state::ExecutionState;
use dipeo::nodes::{PauseReason, Published};
use serde_json::{Map, Value};

use super::journal::{Kept, Round};
use super::scenario::{Life, Story};
use super::sketch::Sketch;
use super::world::Summed;

/// Everything that is wrong with a story.
pub fn violations(sketch: &Sketch, story: &Story) -> Vec<String> {
    let kept = &story.kept;
    let mut wrong = story.violations.clone();
    wrong.extend(kept.misfits.clone());
    wrong.extend(order(&kept.log));
    wrong.extend(requests(&kept.log));
    wrong.extend(holds(sketch, story));
    wrong.extend(rounds(&kept.log));
    wrong.extend(fold(kept));
    wrong.extend(conversation(kept));
    wrong.extend(usage(kept, &story.ledger));
    wrong.extend(inputs(&kept.log, &story.ledger));
    // A process that stops holds what would start, and a reopening forgets how it ended: neither is in the log.
    if !story.lives.contains(&Life::Released) && kept.n_reopenings == 0 {
        wrong.extend(Legality::of(sketch).check(&kept.log));
    }
    wrong
}

/// Numbers without a gap, one end, and nothing behind it unless somebody opens the execution again.
fn order(log: &[LogEntry]) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(gap) = log.iter().zip(1..).find(|(it, n)| it.seq != *n) {
        wrong.push(format!("seq {} stands where {} belongs", gap.0.seq, gap.1));
    }
    let mut ends = log.iter().enumerate().filter(|(_, it)| closing(&it.event).is_some()).map(|(at, _)| at);
    let last = ends.next_back();
    if last != log.len().checked_sub(1) {
        wrong.push(format!("the last end is event {last:?} of {}", log.len()));
    }
    for end in ends {
        let opens = |it: &LogEntry| matches!(&it.event, Event::Control(control) if control.action == "resume");
        if !log.get(end + 1).is_some_and(opens) {
            wrong.push(format!("the execution goes on after its end, event {end}, and nobody opened it again"));
        }
    }
    wrong
}

/// What was asked for once happens once.
fn requests(log: &[LogEntry]) -> Vec<String> {
    let mut n_done: BTreeMap<&str, u32> = BTreeMap::new();
    for entry in log {
        let by = match &entry.event {
            Event::Control(it) => &it.by,
            Event::InteractiveResponse(it) => &it.by,
            _ => continue,
        };
        // A parent, a clock and a budget answer as well.
        if by.starts_with("somebody") {
            *n_done.entry(by).or_default() += 1;
        }
    }
    let twice = n_done.into_iter().filter(|(_, n)| *n > 1);
    twice.map(|(by, n)| format!("what `{by}` asked for was done {n} times")).collect()
}

/// While an operator holds the execution no round begins but what somebody lets go at that moment; and none begins
/// behind a breakpoint but what is let go, or what has its value already.
fn holds(sketch: &Sketch, story: &Story) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut state = ExecutionState::new();
    // The control whose consequences stand directly behind it, and whether the execution was held then.
    let mut control = None;
    for entry in &story.kept.log {
        let node = entry.node_id.as_deref().and_then(|it| state.node_idx(it));
        match (&entry.event, node) {
            (Event::Control(it), _) => control = Some((it.action.as_str(), state.is_held)),
            (Event::NodeStarted(it), Some(idx)) if state.nodes[idx].started < it.iteration => {
                let is_let_go = control.is_some_and(|(action, _)| action != "pause");
                if state.is_held && !is_let_go {
                    wrong.push(format!("{idx}:{} starts while the execution is held", it.iteration));
                }
                let was_held = state.nodes[idx].waiting.as_ref().is_some_and(|wait| wait.iteration == it.iteration);
                let passes = was_held || control == Some(("step", true)) || state.nodes[idx].given.is_some();
                if is_breakpoint(sketch, story, &state, idx) && !passes {
                    wrong.push(format!("{idx}:{} starts where a breakpoint is", it.iteration));
                }
            }
            (Event::NodeStarted(_) | Event::ExecutionResumed(_) | Event::InteractivePrompt(_), _) => {}
            _ => control = None,
        }
        state.apply(&entry.event, node, entry.at);
    }
    wrong
}

fn is_breakpoint(sketch: &Sketch, story: &Story, state: &ExecutionState, idx: usize) -> bool {
    match &state.breakpoints {
        Some(set) => set.contains(&state.nodes[idx].outline.id),
        None => story.breakpoints.iter().any(|it| **it == *sketch.plan.nodes[idx].label),
    }
}

fn closing(event: &Event) -> Option<&Closing> {
    match event {
        Event::ExecutionCompleted(it) | Event::ExecutionError(it) | Event::ExecutionAborted(it) => Some(it),
        _ => None,
    }
}

/// Each round ends once, and its attempts only grow.
fn rounds(log: &[LogEntry]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut over = BTreeSet::new();
    let mut attempts: BTreeMap<Round, u32> = BTreeMap::new();
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    let mut failed: Vec<Round> = Vec::new();
    for entry in log {
        let node = entry.node_id.clone().unwrap_or_default();
        match &entry.event {
            // Behind an end: what had failed may be done again.
            Event::ExecutionResumed(_) => {
                for round in failed.drain(..) {
                    over.remove(&round);
                }
            }
            Event::NodeError(it) if over.insert((node.clone(), it.iteration)) => {
                failed.extend((!it.handled).then(|| (node.clone(), it.iteration)));
            }
            Event::NodeStarted(it) => {
                let round = (node.clone(), it.iteration);
                let before = attempts.insert(round.clone(), it.attempt);
                if over.contains(&round) || before.is_some_and(|before| it.attempt < before) {
                    wrong.push(format!("{round:?} starts attempt {} after {before:?}", it.attempt));
                }
                let newest = last.entry(node).or_default();
                if it.iteration != *newest && it.iteration != *newest + 1 {
                    wrong.push(format!("{round:?} comes after round {newest}"));
                }
                *newest = it.iteration;
            }
            Event::NodeCompleted(it) if !over.insert((node.clone(), it.iteration)) => {
                wrong.push(format!("{node}:{} completes twice", it.iteration));
            }
            Event::NodeError(it) => {
                wrong.push(format!("{node}:{} fails after its end", it.iteration));
            }
            _ => {}
        }
    }
    wrong
}

/// What the running loop knew is what a reader of the log knows.
fn fold(kept: &Kept) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut state = ExecutionState::new();
    for entry in &kept.log {
        let node = entry.node_id.as_deref().and_then(|it| state.node_idx(it));
        state.apply(&entry.event, node, entry.at);
    }
    if kept.projection.as_ref() != Some(&state.projection()) {
        wrong.push(format!("the row says {:?}, the log {:?}", kept.projection, state.projection()));
    }
    let Some(closing) = kept.log.last().and_then(|it| closing(&it.event)) else { return wrong };
    if closing.outputs.as_ref() != Some(&state.outputs()) || closing.counts != state.counts() {
        wrong.push("the last event tells of other outputs or counts than the log".to_owned());
    }
    if closing.llm_usage != state.usage {
        wrong.push(format!("the last event counts {:?}, the log {:?}", closing.llm_usage, state.usage));
    }
    if kept.summary.as_ref().map(|it| it.status) != Some(state.status) {
        wrong.push("the row has another status than the log".to_owned());
    }
    wrong
}

/// Messages belong to completions, and none is there twice.
fn conversation(kept: &Kept) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    for (message, n) in kept.messages.iter().zip(1..) {
        if !ids.insert(message.id.as_str()) {
            wrong.push(format!("the message {} is there twice", message.id));
        }
        if message.seq != n {
            wrong.push(format!("message {n} has the number {}", message.seq));
        }
        if !kept.over.contains(&(message.node_id.clone(), message.iteration)) {
            wrong.push(format!("the message {} belongs to no completion", message.id));
        }
    }
    let counted = kept.log.last().and_then(|it| closing(&it.event)).map(|it| it.messages_count);
    if counted != Some(kept.messages.len() as u64) {
        wrong.push(format!("{} messages, counted {counted:?}", kept.messages.len()));
    }
    wrong
}

/// Tokens of what is committed count once, whatever was repeated.
fn usage(kept: &Kept, ledger: &Summed) -> Vec<String> {
    let mut expected = TokenUsage::default();
    let completed: BTreeSet<Round> = kept
        .log
        .iter()
        .filter_map(|it| match &it.event {
            Event::NodeCompleted(done) => Some((it.node_id.clone()?, done.iteration)),
            _ => None,
        })
        .collect();
    // A reply that died with its process is not that of the item, should that fail afterwards.
    let answered: BTreeSet<(Round, usize)> = kept
        .log
        .iter()
        .filter_map(|it| match &it.event {
            Event::NodeOutput(done) if done.item.error.is_none() => {
                Some(((it.node_id.clone()?, done.iteration), done.item.index))
            }
            _ => None,
        })
        .collect();
    for ((round, item), usage) in &ledger.usage {
        let is_kept = match item {
            Some(item) => answered.contains(&(round.clone(), *item)),
            None => true,
        };
        if completed.contains(round) && is_kept && !was_set_by_hand(kept, round) {
            expected.input += usage.input;
            expected.output += usage.output;
            expected.cached += usage.cached;
            expected.total += usage.input + usage.output;
        }
    }
    let counted = kept.reader.usage;
    let same = (expected.input, expected.output, expected.cached) == (counted.input, counted.output, counted.cached);
    if same { Vec::new() } else { vec![format!("{expected:?} was used, {counted:?} counted")] }
}

/// Whether somebody gave the value of a round, so that whatever its model had said is lost.
fn was_set_by_hand(kept: &Kept, round: &Round) -> bool {
    let mut is_set = false;
    for entry in kept.log.iter().filter(|it| it.node_id.as_deref() == Some(&round.0)) {
        match &entry.event {
            Event::Control(it) => is_set = it.action == "set_output",
            Event::NodeCompleted(it) if it.iteration == round.1 => return is_set,
            Event::NodeCompleted(_) => is_set = false,
            _ => {}
        }
    }
    false
}

/// Every attempt was given what the log says it was given.
fn inputs(log: &[LogEntry], ledger: &Summed) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut values: BTreeMap<String, Value> = BTreeMap::new();
    for entry in log {
        let node = entry.node_id.clone().unwrap_or_default();
        match &entry.event {
            Event::NodeCompleted(it) => {
                values.insert(format!("{node}:{}", it.iteration), Value::clone(&it.output.body));
            }
            Event::NodeError(it) => drop(values.insert(format!("{node}:{}", it.iteration), it.error.clone())),
            Event::NodeStarted(it) => wrong.extend(differing(&node, it, &values, ledger)),
            _ => {}
        }
    }
    wrong
}

fn differing(node: &str, it: &NodeStarted, values: &BTreeMap<String, Value>, ledger: &Summed) -> Option<String> {
    let expected: BTreeMap<String, Value> =
        it.inputs.iter().map(|(key, source)| (key.clone(), values.get(source).cloned().unwrap_or_default())).collect();
    let calls = ledger.calls.get(&(node.to_owned(), it.iteration))?;
    // A process that died before its start was durable may have been given something else.
    let same_attempt: Vec<_> =
        calls.iter().filter(|call| call.attempt == it.attempt).map(|call| &call.inputs).collect();
    let is_wrong = !same_attempt.is_empty() && !same_attempt.contains(&&expected);
    is_wrong
        .then(|| format!("{node}:{} attempt {} was given {same_attempt:?}, not {expected:?}", it.iteration, it.attempt))
}

/// The log read as a run of the schedule: every start is one that the schedule asked for, in its order, and
/// none is missing.
struct Legality<'a> {
    sketch: &'a Sketch,
    schedule: Schedule,
    expected: VecDeque<(NodeIdx, u32)>,
    ending: Option<Ending>,
    wrong: Vec<String>,
}

impl<'a> Legality<'a> {
    fn of(sketch: &'a Sketch) -> Self {
        let settings = &sketch.plan.settings;
        let usual = Limits::default();
        let limits = Limits {
            node_executions: settings.max_node_executions.unwrap_or(usual.node_executions),
            node_iterations: settings.max_node_iterations.unwrap_or(usual.node_iterations),
            parallel: settings.max_parallel.unwrap_or(usual.parallel),
        };
        let schedule = Schedule::new(Arc::clone(&sketch.plan.graph), limits);
        Self { sketch, schedule, expected: VecDeque::new(), ending: None, wrong: Vec::new() }
    }

    fn check(mut self, log: &[LogEntry]) -> Vec<String> {
        self.step(Input::Started);
        let mut begun: BTreeSet<(NodeIdx, u32)> = BTreeSet::new();
        let mut is_held = false;
        for entry in log {
            let node = entry.node_id.as_deref().and_then(|it| self.sketch.plan.find(it));
            match (&entry.event, node) {
                (Event::Control(it), node) => match (it.action.as_str(), node) {
                    ("pause", _) => {
                        is_held = true;
                        self.step(Input::Hold);
                    }
                    ("resume", None) => {
                        is_held = false;
                        self.step(Input::Release);
                    }
                    ("step", _) if is_held => self.step(Input::Once { only: None }),
                    ("set_output", Some(node)) if it.value.is_some() && self.schedule.ready().contains(&node) => {
                        self.step(Input::Once { only: Some(node) });
                    }
                    _ => {}
                },
                (Event::NodeStarted(it), Some(node)) if begun.insert((node, it.iteration)) => {
                    self.starts(node, it.iteration);
                }
                (Event::InteractivePrompt(it), Some(node))
                    if it.question.reason == PauseReason::Breakpoint && begun.insert((node, it.iteration)) =>
                {
                    self.starts(node, it.iteration);
                }
                (Event::NodeCompleted(it), Some(node)) => self.done(node, it.handles),
                (Event::NodeError(it), Some(node)) if it.handled => self.done(node, Published::Error),
                (Event::NodeError(_), Some(node)) => self.step(Input::NodeFailed { node }),
                (event, _) if closing(event).is_some() => self.ends(event),
                _ => {}
            }
        }
        self.wrong
    }

    fn step(&mut self, input: Input) {
        for action in self.schedule.step(input) {
            match action {
                Action::Start { node, iteration, .. } => self.expected.push_back((node, iteration)),
                Action::Replaced { .. } => {}
                Action::Finish(ending) => self.ending = Some(ending),
            }
        }
    }

    fn done(&mut self, node: NodeIdx, published: Published) {
        self.step(Input::NodeDone { node, published });
    }

    fn starts(&mut self, node: NodeIdx, iteration: u32) {
        let expected = self.expected.pop_front();
        if expected != Some((node, iteration)) {
            self.wrong.push(format!("{node}:{iteration} starts where the schedule wants {expected:?}"));
        }
    }

    fn ends(&mut self, event: &Event) {
        let is_by_somebody = closing(event).is_some_and(|it| it.by.is_some());
        let Some(ending) = self.ending.as_ref().filter(|_| !is_by_somebody) else {
            if matches!(event, Event::ExecutionCompleted(_)) && !is_by_somebody {
                self.wrong.push("it completed, and the schedule has more to do".to_owned());
            }
            return;
        };
        let is_completed = matches!(ending, Ending::Completed);
        let says_so = matches!(event, Event::ExecutionCompleted(_));
        if is_completed != says_so && !matches!(event, Event::ExecutionAborted(_)) {
            self.wrong.push(format!("the schedule ends with {ending:?}, the log with {}", event.phase()));
        }
        if let Ending::Stuck { nodes } = ending {
            self.wrong.push(format!("stuck: {nodes:?}"));
        }
    }
}

/// The status, the outputs and how often each node ran.
pub type Outcome = (Status, Map<String, Value>, Map<String, Value>);

/// What came of a run, as far as luck has no part in it; `None` when it has.
pub fn outcome(sketch: &Sketch, story: &Story) -> Option<Outcome> {
    let is_luck = |text: String| ["it fails once", "it fails twice"].iter().any(|it| text.contains(it));
    let has_luck = story.kept.log.iter().any(|it| match &it.event {
        Event::NodeError(failed) => is_luck(failed.error.to_string()) || was_interrupted(&story.kept.log, it, failed),
        Event::NodeOutput(it) => it.item.error.as_ref().is_some_and(|it| is_luck(it.to_string())),
        _ => false,
    });
    if !sketch.is_timeless || story.is_meddled || has_luck {
        return None;
    }
    let closing = story.kept.log.last().and_then(|it| closing(&it.event))?;
    let status = story.kept.reader.status;
    // What else had run when a failure ended it is a matter of time.
    let (outputs, counts) = match status {
        Status::Completed => (closing.outputs.clone().unwrap_or_default(), closing.counts.clone()),
        _ => Default::default(),
    };
    Some((status, outputs, counts))
}

/// Whether attempts of a round died before one failed for good: the error says how many there were.
fn was_interrupted(log: &[LogEntry], entry: &LogEntry, failed: &NodeError) -> bool {
    let is_of_round = |it: &&LogEntry| {
        it.node_id == entry.node_id
            && matches!(&it.event, Event::NodeRetry(retry) if retry.iteration == failed.iteration)
    };
    failed.error["attempts"] != log.iter().filter(is_of_round).count() + 1
}
