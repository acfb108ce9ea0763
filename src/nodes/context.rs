//! What a node may ask for while it runs. The engine fills it for each attempt.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::budget::{Purse, pay};
use super::lookup::Names;
use super::memory::Message;
use super::output::ChatMessage;
use super::policy::Retry;
use super::ports::models::Speech;
use super::ports::{ModelReply, ModelRequest, Ports, Purpose};
use super::report::{ItemDone, Reports};
use super::rights::Rights;
use crate::clock::Timestamp;
use crate::diagram::{Person, Service};
use crate::error::Error;
use crate::ids::ExecutionId;

/// The surroundings of one attempt of one node.
#[derive(Clone)]
pub struct NodeContext {
    pub execution_id: ExecutionId,
    pub node_id: Arc<str>,
    pub label: Arc<str>,
    /// The n-th execution of this node, from 1.
    pub iteration: u32,
    /// The n-th attempt of this execution of the node, from 1.
    pub attempt: u32,
    /// When this execution of the node started; a replay has the moment of what it repeats.
    pub started_at: Timestamp,
    pub names: Names,
    pub strict_templates: bool,
    /// Time limit of this attempt, for what is stopped from inside.
    pub timeout: Option<std::time::Duration>,
    /// How failures are repeated; the engine does it, except for the items of a batch.
    pub retry: Retry,
    /// Whether the diagram itself gave `retry`.
    pub retry_given: bool,
    pub rights: Arc<Rights>,
    pub ports: Arc<Ports>,
    pub persons: Arc<[Arc<Person>]>,
    /// `models` of the run: answers for every person instead of its own service.
    pub models_override: Option<Service>,
    /// The conversation so far, oldest first.
    pub messages: Arc<Vec<Message>>,
    pub history: Arc<History>,
    pub calls: Arc<CallCounter>,
    pub notes: Notes,
    /// Who hears what models say while they say it.
    pub tokens: Option<Speech>,
    pub reports: Reports,
    /// What model calls are paid from; `None`: nobody limits them.
    pub purse: Option<Purse>,
    /// Items of this batch that were done before the process died.
    pub items_done: Arc<Vec<ItemDone>>,
    /// Whether this execution is the child of another.
    pub is_child: bool,
    /// Whether this is the first attempt since the execution was opened again after its end.
    pub goes_on: bool,
    /// How the run treats the outside; a child is treated the same.
    pub mode: Mode,
}

/// How a run treats the outside (platform.md 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Full,
    /// No outside effect at all: nodes with one answer from `mock_response` or a canned value, files are
    /// written to memory.
    Mock,
    /// Pauses before breakpoints.
    Debug,
}

impl Mode {
    /// The word of the option.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Mock => "mock",
            Self::Debug => "debug",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Mock, Self::Debug].into_iter().find(|it| it.name() == text)
    }
}

/// What has happened to each node so far, by its position in the diagram.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// How often each node has started.
    pub started: Vec<u32>,
    /// How often each node has completed.
    pub completed: Vec<u32>,
}

/// Counts model calls per person and phase; a script goes by it.
#[derive(Debug, Default)]
pub struct CallCounter(Mutex<HashMap<String, u32>>);

impl CallCounter {
    /// Continues from counts that were read from the log.
    pub fn starting_at(counts: HashMap<String, u32>) -> Self {
        Self(Mutex::new(counts))
    }

    /// Returns how many calls `key` (a person id, or `<person id>#selection`) had, and counts one more.
    pub fn next(&self, key: &str) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = counts.entry(key.to_owned()).or_insert(0);
        *count += 1;
        *count - 1
    }
}

/// What a node says besides its value: log lines and warnings.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<Note>>>);

/// One thing said.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A line for the run's log (print, stderr).
    Log { level: &'static str, message: String },
    /// A run warning W6xx: `name` is what it is about, `near` what it may have meant.
    Warning { code: &'static str, name: String, message: String, near: Option<String> },
}

impl Notes {
    /// Adds a line to the run's log.
    pub fn log(&self, level: &'static str, message: impl Into<String>) {
        self.push(Note::Log { level, message: message.into() });
    }

    /// Adds a warning to the run's result.
    pub fn warn(&self, code: &'static str, name: impl Into<String>, message: impl Into<String>, near: Option<String>) {
        self.push(Note::Warning { code, name: name.into(), message: message.into(), near });
    }

    /// Takes everything said so far.
    pub fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn push(&self, note: Note) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(note);
    }
}

impl NodeContext {
    /// The service that answers for `person` in this run.
    pub fn service_of(&self, person: &Person) -> Option<Service> {
        self.models_override.or(person.service)
    }

    /// A call of `person`'s model for this node.
    pub fn model_request(
        &self,
        (person, service): (&Arc<Person>, Service),
        messages: Vec<ChatMessage>,
        purpose: Purpose,
    ) -> ModelRequest {
        let sink = self.tokens.as_ref().filter(|_| purpose == Purpose::Reply).map(|it| it.of(person));
        ModelRequest {
            node_label: self.label.to_string(),
            purpose,
            rights: Arc::clone(&self.rights),
            sink,
            ..ModelRequest::new(Arc::clone(person), service, messages)
        }
    }

    /// Calls the model, within the budgets there are, and passes on to the run's log what is to be said of the
    /// call. Counts it as well: a script goes by how many there were.
    ///
    /// # Errors
    ///
    /// As `Models::call`; `BUDGET_EXCEEDED`.
    pub async fn call_model(&self, mut request: ModelRequest) -> Result<ModelReply, Error> {
        let paid = match &self.purse {
            Some(purse) => Some(pay::reserve(self, purse, &mut request).await?),
            None => None,
        };
        request.nth = self.calls.next(&match request.purpose {
            Purpose::Reply => request.person.id.clone(),
            Purpose::Selection { .. } => format!("{}#selection", request.person.id),
        });
        let service = request.service;
        let outcome = self.ports.models.call(request).await;
        if let Some(paid) = paid {
            pay::settle(self, paid, service, &outcome);
        }
        let reply = outcome?;
        for warning in &reply.warnings {
            self.notes.log("warning", warning.clone());
        }
        Ok(reply)
    }

    /// The input named `key`, if any.
    pub fn input(&self, key: &str) -> Option<&Value> {
        self.names.inputs.get(key).map(AsRef::as_ref)
    }
}
