//! What an execution left behind, as a replay looks it up: calls and replies, questions and answers, and the
//! order in which things came out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::engine::event::{Closing, Event};
use crate::engine::journal::Recording;
use crate::engine::run::LogEntry;
use crate::ids::{ExecutionId, without_execution_ids};
use crate::nodes::{PauseReason, Published, Question};

/// One execution of a node: its id and which one.
pub(super) type Round = (String, u32);

/// Something that happened to a round and that others may depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A value, a failure or a question came out of an attempt.
    Out(Round),
    /// Its question was answered.
    Answer(Round),
}

impl Turn {
    pub(super) fn round(&self) -> &Round {
        match self {
            Self::Out(round) | Self::Answer(round) => round,
        }
    }
}

/// How the execution ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Ended {
    /// Its nodes led to the end.
    #[default]
    BySchedule,
    Aborted {
        by: String,
        reason: Option<String>,
    },
    /// Somebody ended it with what was there.
    Completed {
        by: String,
        reason: Option<String>,
    },
    TimedOut,
}

/// A question with its answer, if it got one.
struct Asked {
    question: String,
    answer: Option<Value>,
}

/// What a replay is answered from.
#[derive(Default)]
pub struct Recorded {
    /// The execution that is repeated.
    pub(super) execution_id: Option<ExecutionId>,
    pub(super) calls: HashMap<Round, Vec<Recording>>,
    pub(super) order: Vec<Turn>,
    pub(super) started: HashMap<Round, Timestamp>,
    /// Values that somebody gave instead of running the node.
    pub(super) given: HashMap<Round, (Arc<Value>, Published)>,
    pub(super) ended: Ended,
    /// Rounds of which something came out that the run went on with.
    finished: HashSet<Round>,
    /// Rounds whose failure ended the run.
    failed: HashSet<Round>,
    /// The last attempt that each round began.
    attempts: HashMap<Round, u32>,
    /// Items of batches that were done.
    items: HashSet<(Round, usize)>,
    /// The numbers of the attempts that followed a failed one. A crash makes another attempt as well, and none
    /// of these.
    retries: HashMap<Round, Vec<u32>>,
    questions: HashMap<Round, Vec<Asked>>,
}

impl Recorded {
    /// Reads the log and the recordings of an execution that has ended.
    pub fn new(execution_id: ExecutionId, log: Vec<LogEntry>, recordings: Vec<Recording>) -> Self {
        let mut recorded = Self { execution_id: Some(execution_id), ..Self::default() };
        for call in recordings {
            recorded.calls.entry((call.node_id.to_string(), call.iteration)).or_default().push(call);
        }
        let mut given_to = HashSet::new();
        let mut has_ended = false;
        for entry in log {
            match entry.node_id {
                Some(node) => recorded.take(node, entry.event, entry.at, &mut given_to),
                None => match ended(&entry.event) {
                    Some(ended) => (recorded.ended, has_ended) = (ended, true),
                    None if has_ended && matches!(entry.event, Event::ExecutionResumed(_)) => {
                        recorded.open_again();
                        has_ended = false;
                    }
                    None => {}
                },
            }
        }
        recorded
    }

    /// It was opened again after it had ended: what had not completed then has run anew, and only that counts.
    fn open_again(&mut self) {
        self.ended = Ended::BySchedule;
        self.failed.clear();
        let undone: Vec<Round> = self.attempts.keys().filter(|it| !self.finished.contains(*it)).cloned().collect();
        for round in undone {
            let last = self.attempts[&round];
            let items = &self.items;
            let is_done = |it: &Recording| {
                let index = it.place.split('.').next().and_then(|it| it.parse().ok());
                index.is_some_and(|it| items.contains(&(round.clone(), it)))
            };
            self.calls.entry(round.clone()).or_default().retain(|it| it.attempt > last || is_done(it));
            self.order.retain(|it| *it.round() != round);
            self.retries.remove(&round);
            self.questions.remove(&round);
        }
    }

    fn take(&mut self, node: String, event: Event, at: Timestamp, given_to: &mut HashSet<String>) {
        match event {
            Event::NodeStarted(it) => {
                let round = (node, it.iteration);
                self.attempts.insert(round.clone(), it.attempt);
                self.started.insert(round, at);
            }
            Event::NodeOutput(it) if it.item.error.is_none() => {
                self.items.insert(((node, it.iteration), it.item.index));
            }
            Event::NodeRetry(it) => {
                let round = (node, it.iteration);
                self.attempts.insert(round.clone(), it.attempt);
                self.retries.entry(round.clone()).or_default().push(it.attempt);
                self.order.push(Turn::Out(round));
            }
            Event::NodeCompleted(it) => {
                let is_given = given_to.remove(&node);
                let round = (node, it.iteration);
                if is_given {
                    self.given.insert(round.clone(), (it.output.body, it.handles));
                }
                self.finish(round);
            }
            Event::NodeError(it) if it.handled => self.finish((node, it.iteration)),
            // It ends the run, unless that is opened again.
            Event::NodeError(it) => {
                self.failed.insert((node.clone(), it.iteration));
                self.order.push(Turn::Out((node, it.iteration)));
            }
            Event::InteractivePrompt(it) if is_asked_again(&it.question) => {
                let round = (node, it.iteration);
                let asked = Asked { question: without_execution_ids(&question(&it.question)), answer: None };
                self.questions.entry(round.clone()).or_default().push(asked);
                self.order.push(Turn::Out(round));
            }
            Event::InteractiveResponse(it) => {
                let round = (node, it.iteration);
                let last = self.questions.get_mut(&round).and_then(|it| it.last_mut());
                if let Some(asked) = last.filter(|it| it.answer.is_none()) {
                    asked.answer = Some(it.value);
                    self.order.push(Turn::Answer(round));
                }
            }
            Event::Control(it) if it.action == "set_output" => drop(given_to.insert(node)),
            _ => {}
        }
    }

    fn finish(&mut self, round: Round) {
        self.finished.insert(round.clone());
        self.order.push(Turn::Out(round));
    }

    /// Which of the attempts that came to an end `attempt` of `round` is, from 0: a crash makes an attempt more,
    /// and no other result.
    pub(super) fn nth_attempt(&self, round: &Round, attempt: u32) -> usize {
        self.retries.get(round).map_or(0, |it| it.iter().filter(|next| **next <= attempt).count())
    }

    /// Whether `round` was under way when the execution ended.
    pub(super) fn was_cut_short(&self, round: &Round) -> bool {
        self.started.contains_key(round) && !self.finished.contains(round) && !self.failed.contains(round)
    }

    /// The answer to the `nth` question (from 1) of `round`, if that was this one.
    pub(super) fn answer(&self, round: &Round, nth: usize, question: &str) -> Option<Value> {
        let asked = self.questions.get(round)?.get(nth.checked_sub(1)?)?;
        asked.answer.clone().filter(|_| asked.question == question)
    }

    /// The questions of `round`.
    pub(super) fn questions(&self, round: &Round) -> impl Iterator<Item = &str> {
        self.questions.get(round).into_iter().flatten().map(|it| it.question.as_str())
    }
}

/// Breakpoints, decisions after a crash and the questions of children are no questions of the node itself.
fn is_asked_again(question: &Question) -> bool {
    question.child.is_none() && !matches!(question.reason, PauseReason::Breakpoint | PauseReason::Operator)
}

fn ended(event: &Event) -> Option<Ended> {
    let timed_out = |it: &Closing| it.error.as_ref().is_some_and(|it| it["code"] == "EXECUTION_TIMEOUT");
    match event {
        Event::ExecutionAborted(it) => {
            Some(Ended::Aborted { by: it.by.clone().unwrap_or_default(), reason: it.reason.clone() })
        }
        Event::ExecutionCompleted(Closing { by: Some(by), reason, .. }) => {
            Some(Ended::Completed { by: by.clone(), reason: reason.clone() })
        }
        Event::ExecutionError(it) if timed_out(it) => Some(Ended::TimedOut),
        Event::ExecutionError(_) | Event::ExecutionCompleted(_) => Some(Ended::BySchedule),
        _ => None,
    }
}

/// A question as it is compared: without its deadline.
pub(super) fn question(question: &Question) -> String {
    json!({
        "reason": question.reason.name(), "prompt": question.prompt, "messages": question.messages,
        "person": question.person, "schema": question.schema, "options": question.options, "state": question.state,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{ControlApplied, ExecutionResumed, NodeCompleted, NodeError, NodeRetry, NodeStarted};

    fn started(iteration: u32, attempt: u32) -> Event {
        let (kind, inputs) = ("api_job".to_owned(), Default::default());
        Event::NodeStarted(NodeStarted { kind, iteration, attempt, inputs, effect: true })
    }

    fn retry(attempt: u32) -> Event {
        Event::NodeRetry(NodeRetry { iteration: 1, attempt, error: Value::Null, delay_ms: 0 })
    }

    fn failed(handled: bool) -> Event {
        Event::NodeError(NodeError { iteration: 1, error: Value::Null, handled, warnings: Vec::new() })
    }

    fn completed(attempt: u32, body: Value) -> Event {
        let output = crate::engine::event::StoredOutput { body: Arc::new(body), forms: None };
        let (meta, variables, exposed) = Default::default();
        Event::NodeCompleted(NodeCompleted {
            iteration: 1,
            attempt,
            output,
            handles: Published::Normal,
            duration_ms: 0,
            store_ms: 0,
            meta,
            variables,
            exposed,
            warnings: Vec::new(),
        })
    }

    fn call(node: &str, attempt: u32, place: &str) -> Recording {
        Recording {
            node_id: node.into(),
            iteration: 1,
            attempt,
            place: place.to_owned(),
            kind: "http".into(),
            request: "{}".to_owned(),
            reply: None,
        }
    }

    fn recorded(log: Vec<(Option<&str>, Event)>, calls: Vec<Recording>) -> Recorded {
        let id = ExecutionId::parse(&format!("exec_{}", "0".repeat(32))).expect("an id");
        let entry = |(n, (node, event)): (usize, (Option<&str>, Event))| LogEntry {
            seq: n as u64,
            node_id: node.map(str::to_owned),
            event,
            at: Timestamp(0),
        };
        Recorded::new(id, log.into_iter().enumerate().map(entry).collect(), calls)
    }

    fn round(node: &str) -> Round {
        (node.to_owned(), 1)
    }

    #[test]
    fn an_attempt_is_known_by_its_number_among_those_that_ended_whatever_crashes_there_were() {
        let a = Some("a");
        let log = vec![
            (a, started(1, 1)),
            (a, started(1, 2)),
            (a, retry(3)),
            (a, started(1, 4)),
            (a, retry(5)),
            (a, completed(5, Value::Null)),
        ];
        let recorded = recorded(log, Vec::new());
        for (attempt, nth) in [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2)] {
            assert_eq!(recorded.nth_attempt(&round("a"), attempt), nth, "{attempt}");
        }
        assert_eq!(recorded.order, vec![Turn::Out(round("a")); 3]);
    }

    #[test]
    fn what_was_under_way_at_the_end_is_cut_short_and_what_failed_is_not() {
        let log = vec![
            (Some("a"), started(1, 1)),
            (Some("b"), started(1, 1)),
            (Some("c"), started(1, 1)),
            (Some("c"), failed(true)),
            (Some("b"), failed(false)),
            (None, Event::ExecutionError(Closing::default())),
        ];
        let recorded = recorded(log, Vec::new());
        let cut = |node: &str| recorded.was_cut_short(&round(node));
        assert_eq!((cut("a"), cut("b"), cut("c"), cut("d")), (true, false, false, false));
    }

    #[test]
    fn of_an_execution_that_was_opened_again_the_last_try_counts() {
        let (a, b) = (Some("a"), Some("b"));
        let log = vec![
            (a, started(1, 1)),
            (a, completed(1, Value::Null)),
            (b, started(1, 1)),
            (b, retry(2)),
            (b, failed(false)),
            (None, Event::ExecutionError(Closing::default())),
            (None, Event::ExecutionResumed(ExecutionResumed { by: "ann".to_owned() })),
            (b, started(1, 3)),
            (b, completed(3, Value::Null)),
            (None, Event::ExecutionCompleted(Closing::default())),
        ];
        let calls = vec![call("a", 1, ""), call("b", 1, ""), call("b", 2, ""), call("b", 3, "")];
        let recorded = recorded(log, calls);
        let attempts = |node: &str| recorded.calls[&round(node)].iter().map(|it| it.attempt).collect::<Vec<_>>();
        assert_eq!((attempts("a"), attempts("b")), (vec![1], vec![3]));
        assert_eq!(recorded.nth_attempt(&round("b"), 3), 0);
        assert_eq!(recorded.order, [Turn::Out(round("a")), Turn::Out(round("b"))]);
        assert_eq!(recorded.ended, Ended::BySchedule);
    }

    #[test]
    fn a_value_that_somebody_gave_is_given_again() {
        let set: ControlApplied = serde_json::from_value(json!({"action": "set_output", "by": "ann"})).expect("read");
        let log = vec![(Some("a"), Event::Control(set)), (Some("a"), completed(1, json!(7)))];
        assert_eq!(recorded(log, Vec::new()).given[&round("a")], (Arc::new(json!(7)), Published::Normal));
    }
}
