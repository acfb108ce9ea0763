//! Rebuilds a run from its log, then goes on: what is committed never runs again; what had started and not
//! completed runs again as another attempt, or waits for a decision when it is `at_most_once`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::attempt::Work;
use super::{Live, LogEntry, Run};
use crate::compile::NodeIdx;
use crate::engine::event::{
    Event, ExecutionResumed, InteractivePrompt, NodeCompleted, NodeStarted, Status, StoredOutput,
};
use crate::engine::schedule::Input;
use crate::error::Error;
use crate::nodes::context::{CallCounter, Notes};
use crate::nodes::{Effect, Inputs, PauseReason, Published, Question};

/// Replays `log` into a fresh run and starts whatever may start.
pub(super) fn restore(run: &mut Run, log: Vec<LogEntry>) -> Result<(), Error> {
    let is_fresh = log.len() <= 1;
    let mut calls = HashMap::new();
    for entry in log {
        let node = entry.node_id.as_deref().and_then(|it| run.plan.nodes.iter().position(|node| &*node.id == it));
        run.state.apply(&entry.event, node, entry.at);
        if let Some(node) = node {
            replay(run, node, &entry.event, &mut calls);
        } else if let Event::ExecutionStarted(started) = &entry.event {
            run.variables = Arc::new(started.inputs.clone());
        }
    }
    run.calls = Arc::new(CallCounter::starting_at(calls));
    if is_fresh {
        return run.step(Input::Started);
    }
    go_on(run)
}

fn replay(run: &mut Run, node: NodeIdx, event: &Event, calls: &mut HashMap<String, u32>) {
    match event {
        Event::NodeStarted(it) => replay_start(run, node, it),
        Event::NodeRetry(it) => {
            if let Some(live) = run.live.get_mut(&node) {
                live.attempt = it.attempt;
            }
        }
        Event::NodeOutput(it) => {
            count_calls(it.item.attempts, &it.item.meta, calls);
            if let Some(live) = run.live.get_mut(&node) {
                live.items.push(it.item.clone());
            }
        }
        Event::NodeCompleted(it) => {
            count_calls(it.attempt, &it.meta, calls);
            replay_completion(run, node, it);
        }
        Event::InteractivePrompt(it) if it.question.reason == PauseReason::Breakpoint => {
            let held = NodeStarted {
                kind: String::new(),
                iteration: it.iteration,
                attempt: 1,
                inputs: BTreeMap::new(),
                effect: false,
            };
            replay_start(run, node, &held);
        }
        Event::NodeError(it) => {
            run.live.remove(&node);
            if it.handled {
                let stored = StoredOutput { body: Arc::new(it.error.clone()), forms: None };
                run.publish(node, it.iteration, &stored, Published::Error);
                run.schedule.restore_done(node, Published::Error);
            }
        }
        _ => {}
    }
}

fn replay_start(run: &mut Run, node: NodeIdx, started: &NodeStarted) {
    if let Some(live) = run.live.get_mut(&node).filter(|it| it.iteration == started.iteration) {
        live.attempt = started.attempt;
        return;
    }
    let edges = run.schedule.restore_start(node);
    // A conversion that failed was recorded as the node's failure; here the inputs no longer matter.
    let (inputs, sources) = run.take_inputs(&edges);
    let inputs = inputs.unwrap_or_else(|_| Inputs::default());
    Arc::make_mut(&mut run.history).started[node] = started.iteration;
    let live = Live {
        iteration: started.iteration,
        attempt: started.attempt,
        inputs,
        sources,
        notes: Notes::default(),
        items: Vec::new(),
    };
    run.live.insert(node, live);
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

/// Takes up the nodes that were under way, then whatever may start now.
fn go_on(run: &mut Run) -> Result<(), Error> {
    let under_way: Vec<NodeIdx> = run.live.keys().copied().collect();
    for (node, question) in open_questions(run) {
        run.watch_child_of(node, &question);
    }
    let only_waits = run.state.status == Status::Paused
        && under_way.iter().all(|it| run.state.nodes[*it].waiting.as_ref().is_some_and(|it| it.answer.is_none()));
    if only_waits && !under_way.is_empty() {
        return Ok(());
    }
    run.note_event(Event::ExecutionResumed(ExecutionResumed { by: "recovery".into() }), None);
    for node in under_way {
        take_up(run, node);
    }
    let actions = run.schedule.resume();
    run.carry_out(actions)
}

fn open_questions(run: &Run) -> Vec<(NodeIdx, Question)> {
    run.state.open_questions().into_iter().map(|(node, it)| (node, it.question.clone())).collect()
}

fn take_up(run: &mut Run, node: NodeIdx) {
    match run.state.nodes[node].waiting.clone() {
        Some(waiting) => {
            if let Some(answer) = waiting.answer {
                run.attempt(node, Work::Resume(Box::new(waiting.question), answer), None);
            }
        }
        None => {
            let plan_node = &run.plan.nodes[node];
            if plan_node.policy.at_most_once && plan_node.node.effect() == Effect::Outside {
                let prompt = format!(
                    "`{}` had started when its process died; it may or may not have had its effect. \
                     `resume` runs it again, `set_output` gives its value, `abort` ends the run",
                    plan_node.label
                );
                let question = Question::new(PauseReason::Operator, prompt);
                let iteration = run.live[&node].iteration;
                run.note_event(Event::InteractivePrompt(InteractivePrompt { iteration, question }), Some(node));
            } else {
                if let Some(live) = run.live.get_mut(&node) {
                    live.attempt += 1;
                }
                run.note_start(node);
                run.attempt(node, Work::Run, None);
            }
        }
    }
}
