//! Judges a torture: compares what the log says with what the outside saw. Pure: it is given a history and
//! finds every promise that was broken, so it can be tried on histories that were made up.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::walk::{Cause, Walked, walk};
use crate::clock::Timestamp;
use crate::engine::Status;
use crate::engine::run::LogEntry;

/// How far the clocks of two processes may read apart for one moment, in milliseconds.
const CLOCK_SLACK_MS: i64 = 5;

/// Everything that is known after a torture.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// When an engine was killed or told to stop.
    pub kills: Vec<Timestamp>,
    /// Executions whose creation was acknowledged.
    pub promised: Vec<String>,
    /// What the effects wrote outside of the database, in order.
    pub ledger: Vec<Line>,
    /// The database.
    pub logs: Vec<Log>,
    /// What was asked of executions.
    pub requests: Vec<Asked>,
}

/// One execution of one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub execution_id: String,
    pub node_id: String,
    pub iteration: u32,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.execution_id, self.node_id, self.iteration)
    }
}

/// An effect that happened: one line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub key: Key,
    pub attempt: u32,
}

impl Line {
    /// Reads `<execution>:<node>:<iteration> <attempt>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, attempt) = text.split_once(' ')?;
        let mut parts = key.splitn(3, ':');
        let (execution_id, node_id) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let iteration = parts.next()?.parse().ok()?;
        Some(Self { key: Key { execution_id, node_id, iteration }, attempt: attempt.parse().ok()? })
    }
}

/// An execution as the database has it.
#[derive(Clone, Debug)]
pub struct Log {
    pub execution_id: String,
    pub status: Status,
    /// Where the row says that the log ends.
    pub last_seq: u64,
    /// Where in its parent it belongs: parent and `<node>:<iteration>[:<item>]`.
    pub place: Option<(String, String)>,
    pub entries: Vec<LogEntry>,
    /// Whether the columns of the row say what the log adds up to.
    pub projection_fits: bool,
}

/// A request to a waiting node, and what came of it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub key: Key,
    pub action: &'static str,
    pub value: Value,
    pub outcome: Outcome,
}

/// What the one who asked was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    Refused,
    /// Nothing: it still waits.
    Open,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Violation {
    pub kind: Broken,
    /// The execution, or one of its nodes as `<execution>:<node>:<iteration>`.
    pub what: String,
    pub message: String,
}

/// Which promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// Its creation was acknowledged, and it is not there.
    ExecutionLost,
    /// It has not ended although everything had time to.
    Stuck,
    /// It ended otherwise than it must.
    EndedWrong,
    /// A node, or an item of a batch, ran again after it had been committed.
    CommittedRepeated,
    /// The log says that an effect happened, and the outside has not seen it.
    EffectLost,
    /// The outside saw an effect that the log did not know of beforehand.
    EffectUnlogged,
    /// An effect was repeated that no kill had interrupted, or that must not be repeated.
    RepeatedWithoutCause,
    /// The numbers of a log have gaps, or its row and its columns say something else.
    LogBroken,
    /// Something happened after the end.
    AfterTheEnd,
    /// An acknowledged answer is not the one in the log, or a question took two.
    AnswerBroken,
    /// The database failed its own check, or a process failed in a way it must not.
    DatabaseBroken,
}

/// What was counted, and what was broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub nodes_committed: u64,
    /// Executions of nodes with an effect.
    pub effects: u64,
    /// Of these, how many happened more than once.
    pub effects_repeated: u64,
    /// How often another process went on with an execution.
    pub takeovers: u64,
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// How often this promise was broken.
    pub fn count(&self, kind: Broken) -> u64 {
        self.violations.iter().filter(|it| it.kind == kind).count() as u64
    }
}

/// Compares everything that is known.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let walked: BTreeMap<&str, Walked> =
        history.logs.iter().map(|log| (log.execution_id.as_str(), walk(log))).collect();
    for found in walked.values() {
        verdict.nodes_committed += found.completed.len() as u64;
        verdict.takeovers += found.takeovers;
        verdict.violations.extend(found.violations.iter().cloned());
    }
    verdict.violations.extend(lost_executions(history));
    verdict.violations.extend(history.logs.iter().filter_map(wrong_end));
    verdict.violations.extend(places_taken_twice(&history.logs));
    for found in walked.values() {
        verdict.violations.extend(causeless(found, &history.kills));
    }
    judge_ledger(history, &walked, &mut verdict);
    verdict.violations.extend(wrong_answers(history, &walked));
    verdict.violations.sort();
    verdict
}

fn violation(kind: Broken, what: impl ToString, message: impl Into<String>) -> Violation {
    Violation { kind, what: what.to_string(), message: message.into() }
}

fn lost_executions(history: &History) -> Vec<Violation> {
    let there: BTreeSet<&str> = history.logs.iter().map(|it| it.execution_id.as_str()).collect();
    let lost = history.promised.iter().filter(|it| !there.contains(it.as_str()));
    lost.map(|id| violation(Broken::ExecutionLost, id, "its creation was acknowledged, and it is not stored")).collect()
}

fn wrong_end(log: &Log) -> Option<Violation> {
    let message = format!("it is {} at seq {}", log.status.name(), log.last_seq);
    match log.status {
        Status::Completed => None,
        Status::Failed | Status::Aborted => Some(violation(Broken::EndedWrong, &log.execution_id, message)),
        _ => Some(violation(Broken::Stuck, &log.execution_id, message)),
    }
}

/// A node that starts again goes on with the child it had; a second one at its place does everything twice.
fn places_taken_twice(logs: &[Log]) -> Vec<Violation> {
    let mut taken: BTreeMap<&(String, String), &str> = BTreeMap::new();
    let mut found = Vec::new();
    for log in logs {
        let Some(place) = &log.place else { continue };
        if let Some(first) = taken.insert(place, &log.execution_id) {
            let message = format!("`{}` of `{}` has the child `{first}` as well", place.1, place.0);
            found.push(violation(Broken::CommittedRepeated, &log.execution_id, message));
        }
    }
    found
}

/// A further attempt needs a cause: a failure that is in the log, somebody's decision, or a kill in between.
fn causeless(found: &Walked, kills: &[Timestamp]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (key, attempts) in &found.attempts {
        for pair in attempts.windows(2) {
            let (earlier, later) = (&pair[0], &pair[1]);
            let between =
                |kill: &Timestamp| earlier.at.0 - CLOCK_SLACK_MS <= kill.0 && kill.0 <= later.at.0 + CLOCK_SLACK_MS;
            if later.cause == Cause::Started && !kills.iter().any(between) {
                let message = format!("attempt {} began although nothing was killed since the one before", later.n);
                violations.push(violation(Broken::RepeatedWithoutCause, key, message));
            }
        }
    }
    violations
}

fn judge_ledger(history: &History, walked: &BTreeMap<&str, Walked>, verdict: &mut Verdict) {
    let mut happened: BTreeMap<&Key, BTreeSet<u32>> = BTreeMap::new();
    for line in &history.ledger {
        let is_new = happened.entry(&line.key).or_default().insert(line.attempt);
        if !is_new {
            let message = format!("attempt {} happened twice: its start had been forgotten", line.attempt);
            verdict.violations.push(violation(Broken::EffectUnlogged, &line.key, message));
        }
        let found = walked.get(line.key.execution_id.as_str());
        let attempts = found.and_then(|it| it.attempts.get(&line.key));
        if !attempts.is_some_and(|it| it.iter().any(|it| it.n == line.attempt)) {
            let message = format!("attempt {} happened, but its start is not in the log", line.attempt);
            verdict.violations.push(violation(Broken::EffectUnlogged, &line.key, message));
        }
    }
    verdict.effects = happened.len() as u64;
    verdict.effects_repeated = happened.values().filter(|it| it.len() > 1).count() as u64;
    for found in walked.values() {
        for (key, attempt) in found.completed.iter().filter(|(key, _)| found.effects.contains(key)) {
            if !happened.get(key).is_some_and(|it| it.contains(attempt)) && !found.decided.contains(key) {
                let message = format!("attempt {attempt} completed, and the ledger has no line of it");
                verdict.violations.push(violation(Broken::EffectLost, key, message));
            }
        }
        for key in found.at_most_once.iter().filter(|it| !found.resumed.contains(it)) {
            if happened.get(key).is_some_and(|it| it.len() > 1) {
                let message = "it must happen at most once, and it happened again";
                verdict.violations.push(violation(Broken::RepeatedWithoutCause, key, message));
            }
        }
    }
}

/// What was acknowledged is in the log, and a question has one answer.
fn wrong_answers(history: &History, walked: &BTreeMap<&str, Walked>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut accepted: BTreeMap<&Key, u32> = BTreeMap::new();
    for asked in &history.requests {
        let answers = walked.get(asked.key.execution_id.as_str()).and_then(|it| it.answers.get(&asked.key));
        if asked.action == "answer" && asked.outcome == Outcome::Accepted {
            *accepted.entry(&asked.key).or_default() += 1;
        }
        if asked.action == "answer"
            && asked.outcome == Outcome::Accepted
            && !answers.is_some_and(|it| it.contains(&asked.value))
        {
            let message = format!("the answer {} was acknowledged, the log has {answers:?}", asked.value);
            violations.push(violation(Broken::AnswerBroken, &asked.key, message));
        }
    }
    for (key, count) in accepted.into_iter().filter(|(_, count)| *count > 1) {
        violations.push(violation(Broken::AnswerBroken, key, format!("{count} answers were acknowledged")));
    }
    for found in walked.values() {
        for (key, answers) in found.answers.iter().filter(|(_, answers)| answers.len() > 1) {
            // A node that waits with its child is woken each time the child goes on.
            if answers.iter().any(|it| !it.is_null()) {
                let message = format!("the log has {} answers to one question", answers.len());
                violations.push(violation(Broken::AnswerBroken, key, message));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests;
