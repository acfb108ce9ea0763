//! What a node gives back: a value with its forms, messages and variables, or a question that waits.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::budget::estimate::Estimate;
use super::budget::{Amount, Dimension, Exceeded, Ledger, Scope, Usd};
use super::memory::Message;
use super::ports::blobs::BlobRef;
use crate::clock::Timestamp;
use crate::diagram::Handle;

/// How a run of a node ended well.
#[expect(
    clippy::large_enum_variant,
    reason = "a value is the usual case; boxing it would cost an allocation for each node"
)]
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It has a value.
    Done(Output),
    /// It waits for somebody, durably. `Node::resume` goes on with the answer.
    Wait(Box<Question>),
}

/// The value of a node and what goes with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    pub body: Arc<Value>,
    /// person_job: the forms of the reply that connections may ask for.
    pub forms: Option<Arc<Forms>>,
    pub published: Published,
    /// Facts about the run: tokens, finish reason, memory, path …
    pub meta: Map<String, Value>,
    /// Conversation to store with the completion.
    pub messages: Vec<NewMessage>,
    /// `custom_data` of a start: execution variables from now on.
    pub variables: Map<String, Value>,
    /// Variables of `expose_index_as`.
    pub exposed: Map<String, Value>,
    /// Messages of child executions that this run remembers from now on; they are stored with the children.
    pub adopted: Vec<Message>,
}

impl Output {
    /// A plain value.
    pub fn value(body: Value) -> Self {
        Self { body: Arc::new(body), ..Self::default() }
    }
}

/// On which handles a node puts its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Published {
    /// On every handle but `error`.
    #[default]
    Normal,
    /// condition: on `condtrue`.
    True,
    /// condition: on `condfalse`.
    False,
    /// A continued failure: on `error` alone.
    Error,
}

impl Published {
    /// Whether the connections that leave from `handle` carry the value.
    pub fn is_on(self, handle: Handle) -> bool {
        match self {
            Self::Normal => handle != Handle::Error,
            Self::True => handle == Handle::CondTrue,
            Self::False => handle == Handle::CondFalse,
            Self::Error => handle == Handle::Error,
        }
    }
}

/// The forms of a person's reply (diagrams.md 3.5): each connection takes the one it asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forms {
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub object: Option<Value>,
    /// `{messages, last_message, person_id, model}`.
    pub conversation: Value,
}

/// A message to store with a completion (diagrams.md 3.12).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewMessage {
    /// A person id, `system` (the diagram) or `user`.
    pub from: String,
    /// As `from`.
    pub to: String,
    /// The person whose call this belongs to.
    pub person_id: String,
    /// `user` for a prompt, `assistant` for a reply.
    pub role: String,
    pub content: String,
    /// `message` or `decision`.
    pub kind: String,
    /// Tokens of this message as the service counted them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
}

/// Why an execution or node is paused (diagrams.md 3.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    Input,
    Approval,
    Model,
    Breakpoint,
    Operator,
    Budget,
}

impl PauseReason {
    /// The word of `pause_reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Approval => "approval",
            Self::Model => "model",
            Self::Breakpoint => "breakpoint",
            Self::Operator => "operator",
            Self::Budget => "budget",
        }
    }
}

/// A question somebody has to answer before its node goes on. It is stored whole, so any process
/// can take the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub reason: PauseReason,
    pub prompt: String,
    /// `model`: everything the model is to be sent, system prompt and prompt included.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub messages: Vec<ChatMessage>,
    /// `model`: the person asked, by label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<String>,
    /// JSON Schema the answer must fit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub options: Option<Vec<Value>>,
    /// Only a person may answer, no model.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub human_only: bool,
    /// The child execution that asks: it is answered there, and the node goes on by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub child: Option<ChildQuestion>,
    /// `budget`: what does not fit into which.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget: Option<BudgetQuestion>,
    /// When the question expires.
    #[serde(skip_serializing_if = "Option::is_none", default, with = "rfc3339")]
    pub deadline: Option<Timestamp>,
    /// What the node needs to go on; nobody else reads it.
    #[serde(skip_serializing_if = "Value::is_null", default)]
    pub state: Value,
}

/// The child execution behind a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildQuestion {
    pub execution_id: String,
    /// How far its log was when it asked: when it is further, the question is out of date.
    pub seq: u64,
}

/// The call behind a question about a budget: when it fits, its node goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetQuestion {
    /// The execution whose budget it is: the asking one, or one above it.
    pub execution_id: String,
    pub scope: Scope,
    /// What of it is used up.
    pub limit: Dimension,
    /// The node of that execution whose call it is.
    pub node: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<String>,
    /// The most the call can spend; no calls: a node that has not begun.
    pub wanted: Amount,
    /// What nobody can say of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unbounded: Vec<Dimension>,
}

impl BudgetQuestion {
    /// Says why it does not fit into these books; `None`: it does, or may when others have settled.
    pub fn refusal(&self, ledger: &Ledger, run_ms: u64) -> Option<Exceeded> {
        if self.wanted.calls == 0 {
            return ledger.out_of_time(run_ms);
        }
        let bound = |dimension, amount| (!self.unbounded.contains(&dimension)).then_some(amount);
        let (tokens, usd) = (self.wanted.tokens, self.wanted.usd);
        let estimate =
            Estimate { tokens: bound(Dimension::Tokens, tokens), usd: bound(Dimension::Usd, usd.0).map(Usd) };
        ledger.refusal(&self.node, self.person.as_deref(), &estimate, run_ms)
    }
}

impl Question {
    /// A question with nothing but its reason and text.
    pub fn new(reason: PauseReason, prompt: impl Into<String>) -> Self {
        Self {
            reason,
            prompt: prompt.into(),
            messages: Vec::new(),
            person: None,
            schema: None,
            options: None,
            human_only: false,
            child: None,
            budget: None,
            deadline: None,
            state: Value::Null,
        }
    }
}

/// One message as a model is sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub content: String,
    /// Images that go along with it; they come before the text.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub images: Vec<BlobRef>,
}

impl ChatMessage {
    /// Makes a message without images.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), images: Vec::new() }
    }
}

mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::clock::Timestamp;

    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_str(&at.to_rfc3339()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.and_then(|it| Timestamp::parse(&it)))
    }
}
