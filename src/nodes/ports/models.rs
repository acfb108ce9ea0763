//! The port through which nodes call models.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::diagram::{Person, Service};
use crate::error::Error;
use crate::nodes::output::ChatMessage;
use crate::nodes::rights::Rights;

/// One call of a model.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The node that asks, by its label.
    pub node_label: String,
    pub person: Arc<Person>,
    /// Who answers: the person's service unless the run says otherwise.
    pub service: Service,
    /// System prompt, memory, prompt: everything in order.
    pub messages: Vec<ChatMessage>,
    /// Bytes of the images that `messages` refer to.
    pub images: ImageBytes,
    /// JSON Schema the reply must fit.
    pub schema: Option<Value>,
    pub temperature: Option<f64>,
    pub max_tokens: Option<u64>,
    /// What the model may use while it answers; compiling has checked that its service has them.
    pub tools: Vec<ModelTool>,
    /// How many calls of this phase this person had in the execution before this one; what a script goes by.
    pub nth: u32,
    pub purpose: Purpose,
    /// What the diagram may reach: an untrusted one cannot send our key to an address of its own.
    pub rights: Arc<Rights>,
    /// Who hears the reply while it comes.
    pub sink: Option<TokenSink>,
}

impl ModelRequest {
    /// A call that asks for a text and nothing more, on behalf of nobody: the first of its person, with the
    /// rights of a text that a client sent. `NodeContext::model_request` fills these in for a node.
    pub fn new(person: Arc<Person>, service: Service, messages: Vec<ChatMessage>) -> Self {
        Self {
            node_label: String::new(),
            person,
            service,
            messages,
            images: ImageBytes::default(),
            schema: None,
            temperature: None,
            max_tokens: None,
            tools: Vec::new(),
            nth: 0,
            purpose: Purpose::Reply,
            rights: Arc::new(Rights::of(crate::nodes::Origin::Submitted, false, false)),
            sink: None,
        }
    }
}

/// What a call is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    Reply,
    /// Choosing memory: how many candidates there are (diagrams.md 3.12).
    Selection {
        n_candidates: usize,
    },
}

/// A tool that a service brings along itself (diagrams.md 3.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelTool {
    WebSearch,
    Image,
}

impl ModelTool {
    /// The name as written in diagrams.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSearch => "websearch",
            Self::Image => "image",
        }
    }
}

/// Takes the text of a reply while it comes. What it is given is best effort: it is never stored, and a call
/// that is repeated begins again.
#[derive(Clone)]
pub struct TokenSink(Arc<dyn Fn(&str) + Send + Sync>);

impl TokenSink {
    /// Makes a sink of a function, which must return at once.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Passes a piece of text on.
    pub fn send(&self, text: &str) {
        if !text.is_empty() {
            (self.0)(text);
        }
    }
}

impl fmt::Debug for TokenSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSink")
    }
}

/// Gives each call of a person's model a sink of its own.
#[derive(Clone)]
pub struct Speech(Arc<dyn Fn(&Person) -> TokenSink + Send + Sync>);

impl Speech {
    /// Makes it of a function.
    pub fn new(begin: impl Fn(&Person) -> TokenSink + Send + Sync + 'static) -> Self {
        Self(Arc::new(begin))
    }

    /// A sink for one call.
    pub fn of(&self, person: &Person) -> TokenSink {
        (self.0)(person)
    }
}

/// Bytes of images by their blob (the SHA-256 of a reference).
#[derive(Clone, Default)]
pub struct ImageBytes(HashMap<String, Arc<[u8]>>);

impl ImageBytes {
    /// Adds the bytes of `blob`.
    pub fn insert(&mut self, blob: String, bytes: Arc<[u8]>) {
        self.0.insert(blob, bytes);
    }

    /// Returns the bytes of `blob`.
    pub fn get(&self, blob: &str) -> Option<&Arc<[u8]>> {
        self.0.get(blob)
    }
}

impl fmt::Debug for ImageBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageBytes({})", self.0.len())
    }
}

/// What a model said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelReply {
    pub text: String,
    pub model: Option<String>,
    pub usage: Usage,
    pub cost: Cost,
    pub finish_reason: Option<String>,
    /// Tools that were used on the way, in order.
    pub tool_calls: Vec<ToolCall>,
    pub images: Vec<ReplyImage>,
    /// What the run's log should say of the call.
    pub warnings: Vec<String>,
}

/// One use of a tool within a call.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// The service's own id of it.
    pub call_id: String,
    /// `websearch`, `image`, or the name of a tool of the program that answers.
    pub tool: String,
    pub arguments: Value,
    /// What it gave back, as far as the service tells; null when it does not.
    pub output: Value,
    pub is_error: bool,
}

impl ToolCall {
    /// The call as it stands in the node's meta: `{call_id, tool, arguments, is_error, output?}`.
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "call_id": self.call_id, "tool": self.tool, "arguments": self.arguments, "is_error": self.is_error,
        });
        if !self.output.is_null() {
            json["output"] = self.output.clone();
        }
        json
    }
}

/// An image that a model made.
#[derive(Clone, PartialEq, Eq)]
pub struct ReplyImage {
    pub media_type: String,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for ReplyImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyImage({}, {} bytes)", self.media_type, self.bytes.len())
    }
}

/// Tokens of one call; scripted persons count words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    /// The part of `input` that the service had kept from earlier calls.
    pub cached: u64,
}

/// What a call cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Cost {
    /// Nobody sends a bill: scripts, callers, models of this machine.
    #[default]
    NotBilled,
    /// In US dollars.
    Usd(f64),
    /// It costs something, and no price is known for the model.
    Unpriced,
}

/// Calls models. Dropping a future cancels the call.
pub trait Models: Send + Sync {
    /// Sends one request and returns the reply. Never called for `Service::Caller`: that is a question.
    ///
    /// # Errors
    ///
    /// `LLM_FAILED` (retryable for rate limits, timeouts, 5xx and lost connections), `NO_MODEL`.
    fn call(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelReply, Error>>;

    /// Asks `service` for the names of its models: with the secret `api_key_id`, else with the key of the service.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for a service without a list, `SECRET_NOT_FOUND`, `NO_MODEL` without a key, `LLM_FAILED`.
    fn available<'a>(
        &'a self,
        service: Service,
        _api_key_id: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        let name = service.name();
        Box::pin(async move {
            Err(Error::external("NO_MODEL", format!("`{name}` cannot be asked here")).hint("use the `dipeo` program"))
        })
    }

    /// What a call of this size would cost, at the most; before it is made.
    fn price(&self, _request: &ModelRequest, _usage: Usage) -> Cost {
        Cost::NotBilled
    }
}

/// Returns `value` as a model writes JSON when asked for it: on one line, with a blank after each comma
/// and colon. Replies that are given as values (in a script, by a caller) get this text.
pub fn one_line_json(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(one_line_json).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, it)| format!("{}: {}", Value::from(key.as_str()), one_line_json(it)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
