//! What became of one node.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Named;
use crate::clock::Timestamp;
use crate::engine::event::{InteractivePrompt, InteractiveResponse, NodeOutline, Status, TokenUsage};
use crate::nodes::Question;

/// What became of one node.
#[derive(Clone, Debug)]
pub struct NodeState {
    pub outline: NodeOutline,
    pub status: Status,
    /// How often it started.
    pub started: u32,
    pub completed: u32,
    pub attempt: u32,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub duration_ms: Option<i64>,
    pub output: Option<Arc<Value>>,
    pub error: Option<Value>,
    pub usage: Option<TokenUsage>,
    pub skipped_reason: Option<String>,
    pub waiting: Option<WaitingNode>,
    /// The answers it was given, the oldest first.
    pub answers: Vec<GivenAnswer>,
    /// The value that an operator gave it instead of its next run.
    pub given: Option<Value>,
    /// The round in which it asked last, and how often it has asked in that round.
    asked: (u32, u32),
}

/// An answer to a question of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenAnswer {
    pub iteration: u32,
    /// Which question of the round it answered, from 1.
    pub number: u32,
    pub value: Value,
    /// Who gave it, from where.
    pub by: String,
    pub at: Timestamp,
}

/// A question that is open, or answered and not yet taken up.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitingNode {
    pub question: Question,
    pub iteration: u32,
    /// Which question of the round it is, from 1: a batch asks one for each item.
    pub number: u32,
    pub since: Timestamp,
    pub answer: Option<Value>,
}

impl NodeState {
    /// The last answer it was given, or the last that fits what is named.
    pub fn answer_to(&self, named: Option<&Named>) -> Option<&GivenAnswer> {
        self.answers.iter().rev().find(|it| named.is_none_or(|wanted| wanted.means(it.iteration, it.number)))
    }

    pub(super) fn new(outline: NodeOutline) -> Self {
        Self {
            outline,
            status: Status::Pending,
            started: 0,
            completed: 0,
            attempt: 0,
            started_at: None,
            ended_at: None,
            duration_ms: None,
            output: None,
            error: None,
            usage: None,
            skipped_reason: None,
            waiting: None,
            answers: Vec::new(),
            given: None,
            asked: (0, 0),
        }
    }

    pub(super) fn finish(&mut self, status: Status, at: Timestamp) {
        self.status = status;
        self.ended_at = Some(at);
        self.waiting = None;
        self.given = None;
    }

    pub(super) fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("status".into(), self.status.name().into());
        map.insert("label".into(), self.outline.label.clone().into());
        map.insert("type".into(), self.outline.kind.clone().into());
        map.insert("iteration".into(), self.started.into());
        let optional = [
            ("started_at", self.started_at.map(|it| Value::from(it.to_rfc3339()))),
            ("ended_at", self.ended_at.map(|it| Value::from(it.to_rfc3339()))),
            ("error", self.error.clone()),
            ("llm_usage", self.usage.map(|it| json!(it))),
            ("skipped_reason", self.skipped_reason.clone().map(Value::from)),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                map.insert(key.into(), value);
            }
        }
        Value::Object(map)
    }

    /// It asks and waits.
    pub(super) fn ask(&mut self, prompt: &InteractivePrompt, at: Timestamp) {
        let iteration = prompt.iteration;
        let number = if self.asked.0 == iteration { self.asked.1 + 1 } else { 1 };
        self.asked = (iteration, number);
        self.status = Status::Paused;
        let question = prompt.question.clone();
        self.waiting = Some(WaitingNode { question, iteration, number, since: at, answer: None });
    }

    /// What it asked was answered.
    pub(super) fn answer(&mut self, response: &InteractiveResponse, at: Timestamp) {
        self.status = Status::Running;
        if let Some(waiting) = &mut self.waiting {
            waiting.answer = Some(response.value.clone());
        }
        let (value, by) = (response.value.clone(), response.by.clone());
        self.answers.push(GivenAnswer { iteration: response.iteration, number: self.asked.1, value, by, at });
    }
}
