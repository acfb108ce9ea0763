//! Goes through the log of one execution: which attempts there were and why, what completed, what was answered,
//! and whether the log is sound by itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::verdict::{Broken, Key, Log, Violation};
use crate::clock::Timestamp;
use crate::engine::event::{Event, NodeCompleted, NodeStarted};
use crate::engine::run::LogEntry;

/// The type of node that writes a line into the ledger with each attempt.
const EFFECT_TYPE: &str = "hook";
/// How the labels of nodes begin that must not be repeated.
pub(super) const ONCE: &str = "once";

/// Why an attempt began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The node was started, or started again by whoever took the execution over.
    Started,
    /// The one before had failed.
    Failure,
    /// The one before had failed, and the log says when the pause after that was over.
    FailureAndPause,
    /// Somebody said so.
    Decision,
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub n: u32,
    pub at: Timestamp,
    pub cause: Cause,
}

/// What a log says.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub attempts: BTreeMap<Key, Vec<Attempt>>,
    /// With the attempt that completed.
    pub completed: BTreeMap<Key, u32>,
    /// Those of nodes that write to the ledger.
    pub effects: BTreeSet<Key>,
    pub at_most_once: BTreeSet<Key>,
    /// Somebody gave their value.
    pub decided: BTreeSet<Key>,
    /// Somebody said that they run again.
    pub resumed: BTreeSet<Key>,
    pub answers: BTreeMap<Key, Vec<Value>>,
    pub takeovers: u64,
    pub violations: Vec<Violation>,
    items: BTreeSet<(Key, usize)>,
    /// The iteration each node is in or was last in.
    iterations: BTreeMap<String, u32>,
    failed: BTreeSet<Key>,
    has_ended: bool,
}

/// Reads a log from its beginning to its end.
pub(super) fn walk(log: &Log) -> Walked {
    let mut walked = Walked::default();
    for (n, entry) in log.entries.iter().enumerate() {
        if entry.seq != n as u64 + 1 {
            walked.broken(Broken::LogBroken, &log.execution_id, format!("seq {} stands at place {}", entry.seq, n + 1));
            break;
        }
    }
    let end = log.entries.last().map_or(0, |it| it.seq);
    if end != log.last_seq {
        walked.broken(Broken::LogBroken, &log.execution_id, format!("it ends at {end}, its row says {}", log.last_seq));
    }
    if log.status.has_ended() && !log.projection_fits {
        walked.broken(Broken::LogBroken, &log.execution_id, "its columns differ from what its log adds up to".into());
    }
    let labels = labels_of(&log.entries);
    for entry in &log.entries {
        walked.take(log, entry, &labels);
    }
    walked
}

fn labels_of(entries: &[LogEntry]) -> BTreeMap<String, String> {
    let Some(Event::ExecutionStarted(started)) = entries.first().map(|it| &it.event) else { return BTreeMap::new() };
    started.nodes.iter().map(|it| (it.id.clone(), it.label.clone())).collect()
}

impl Walked {
    fn broken(&mut self, kind: Broken, what: impl ToString, message: String) {
        self.violations.push(Violation { kind, what: what.to_string(), message });
    }

    fn take(&mut self, log: &Log, entry: &LogEntry, labels: &BTreeMap<String, String>) {
        if self.has_ended {
            let message = format!("`{}` at seq {} comes after the end", entry.event.phase(), entry.seq);
            self.broken(Broken::AfterTheEnd, &log.execution_id, message);
        }
        let node_id = entry.node_id.clone().unwrap_or_default();
        let in_iteration =
            |iteration| Key { execution_id: log.execution_id.clone(), node_id: node_id.clone(), iteration };
        match &entry.event {
            Event::NodeStarted(it) => {
                let key = in_iteration(it.iteration);
                if labels.get(&node_id).is_some_and(|it| it.starts_with(ONCE)) {
                    self.at_most_once.insert(key.clone());
                }
                self.started(key, it, entry.at);
            }
            Event::NodeRetry(it) => {
                let attempt = Attempt { n: it.attempt, at: entry.at, cause: Cause::Failure };
                self.attempts.entry(in_iteration(it.iteration)).or_default().push(attempt);
            }
            Event::NodeCompleted(it) => self.completed(in_iteration(it.iteration), it),
            Event::NodeError(it) => {
                self.failed.insert(in_iteration(it.iteration));
            }
            Event::NodeOutput(it) => {
                let key = in_iteration(it.iteration);
                if !self.items.insert((key.clone(), it.item.index)) {
                    self.broken(Broken::CommittedRepeated, key, format!("item {} was done again", it.item.index));
                }
            }
            Event::InteractiveResponse(it) => {
                self.answers.entry(in_iteration(it.iteration)).or_default().push(it.value.clone());
            }
            Event::Control(it) if entry.node_id.is_some() => {
                let key = in_iteration(self.iterations.get(&node_id).copied().unwrap_or(0));
                match it.action.as_str() {
                    "set_output" => drop(self.decided.insert(key)),
                    "resume" => drop(self.resumed.insert(key)),
                    _ => {}
                }
            }
            Event::ExecutionResumed(it) => self.takeovers += u64::from(it.by == "recovery"),
            Event::ExecutionCompleted(_) | Event::ExecutionError(_) | Event::ExecutionAborted(_) => {
                self.has_ended = true;
            }
            Event::ExecutionStarted(_)
            | Event::NodeSkipped(_)
            | Event::InteractivePrompt(_)
            | Event::ExecutionPaused(_)
            | Event::Control(_)
            | Event::BudgetReserved(_)
            | Event::BudgetSettled(_)
            | Event::ToolCallStarted(_)
            | Event::ToolCallFinished(_)
            | Event::ExecutionLog(_) => {}
        }
    }

    fn started(&mut self, key: Key, started: &NodeStarted, at: Timestamp) {
        let before = self.iterations.insert(key.node_id.clone(), key.iteration).unwrap_or(0);
        if self.completed.contains_key(&key) || key.iteration < before {
            self.broken(Broken::CommittedRepeated, &key, "it started again after it had been committed".into());
        } else if key.iteration > before && before > 0 {
            let last = Key { iteration: before, ..key.clone() };
            if !self.completed.contains_key(&last) && !self.failed.contains(&last) {
                self.broken(Broken::LogBroken, &key, format!("it started before iteration {before} was done"));
            }
        }
        if started.kind == EFFECT_TYPE {
            self.effects.insert(key.clone());
        }
        let cause = if self.resumed.contains(&key) { Cause::Decision } else { Cause::Started };
        let attempts = self.attempts.entry(key.clone()).or_default();
        let announced = attempts.last_mut().filter(|it| it.cause == Cause::Failure && it.n == started.attempt);
        if let Some(announced) = announced {
            announced.cause = Cause::FailureAndPause;
            return;
        }
        let expected = attempts.last().map_or(1, |it| it.n + 1);
        attempts.push(Attempt { n: started.attempt, at, cause });
        if started.attempt != expected {
            let message = format!("attempt {} began where {expected} was due", started.attempt);
            self.broken(Broken::LogBroken, &key, message);
        }
    }

    fn completed(&mut self, key: Key, completed: &NodeCompleted) {
        if !self.attempts.get(&key).is_some_and(|it| it.iter().any(|it| it.n == completed.attempt)) {
            let message = format!("attempt {} completed without a start", completed.attempt);
            self.broken(Broken::LogBroken, &key, message);
        }
        if self.completed.insert(key.clone(), completed.attempt).is_some() {
            self.broken(Broken::CommittedRepeated, key, "it was committed twice".into());
        }
    }
}
