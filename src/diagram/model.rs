//! The one model behind the three formats (diagrams.md 1.0). Order is part of it: nodes and
//! connections keep file order.

use serde_json::{Map, Value};

use super::budget::{Budget, Price};
use super::kinds::{ContentType, Format, Handle, NodeKind, Service};
use super::tree::{Span, Spanned, Tree};

/// A diagram as written: names resolved, fields not yet read.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagram {
    pub format: Format,
    pub nodes: Vec<DiagramNode>,
    /// Only connections whose two ends could be resolved; the others are diagnostics.
    pub connections: Vec<Connection>,
    /// How many connections the text has, resolved or not.
    pub connection_count: usize,
    pub persons: Vec<Person>,
    pub settings: Settings,
    pub inputs: Vec<InputDeclaration>,
    /// `tool: true` or `{name, description}`.
    pub tool: Option<Tree>,
    /// `name description version author tags created modified` and what else stood under `metadata`.
    pub metadata: Map<String, Value>,
}

/// A node as written.
#[derive(Clone, Debug, PartialEq)]
pub struct DiagramNode {
    pub id: String,
    pub label: String,
    /// `None`: unknown type (E202); a stand-in that accepts every handle.
    pub kind: Option<NodeKind>,
    pub position: Option<(f64, f64)>,
    /// The fields of its type and the common ones, renamed and un-dotted, in file order.
    pub fields: Vec<Field>,
    /// The label, or where the node begins.
    pub span: Span,
}

impl DiagramNode {
    /// Returns the value of field `key`.
    pub fn field(&self, key: &str) -> Option<&Tree> {
        self.fields.iter().find(|it| it.key == key).map(|it| &it.value)
    }
}

/// One field of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The name after renames (diagrams.md 1.6).
    pub key: String,
    /// Where the key stands in the text, under whatever name it has there.
    pub key_span: Span,
    pub value: Tree,
}

/// A connection whose ends are known. Ends are indices into [`Diagram::nodes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Position among the connections as written, counted from 0.
    pub index: usize,
    pub id: String,
    pub from: usize,
    pub output: Handle,
    pub to: usize,
    pub input: Handle,
    pub label: Option<Spanned<String>>,
    pub content_type: Option<ContentType>,
    /// Kept for conversion, mostly without effect.
    pub data: Option<Value>,
    pub execution_priority: Option<Value>,
    pub span: Span,
}

/// An LLM agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub id: String,
    pub label: String,
    /// `None`: unknown service (E506).
    pub service: Option<Service>,
    pub model: Option<String>,
    pub api_key_id: Option<String>,
    /// Another endpoint that speaks the service's wire format.
    pub base_url: Option<String>,
    pub system_prompt: Option<String>,
    pub prompt_file: Option<Spanned<String>>,
    pub temperature: Option<f64>,
    pub max_tokens: Option<u64>,
    pub tools: Option<Tree>,
    /// What this person's calls may spend in one run.
    pub budget: Option<Budget>,
    /// What a scripted person pretends to cost.
    pub price: Option<Price>,
    /// What a scripted person answers.
    pub script: Script,
    pub span: Span,
}

impl Person {
    /// The same person as if all of it stood at `span`: one that stands in no text of its own.
    #[must_use]
    pub fn placed_at(mut self, span: Span) -> Self {
        self.span = span;
        self.prompt_file = self.prompt_file.map(|it| Spanned { span, ..it });
        self.tools = self.tools.map(|it| it.placed_at(span));
        self
    }
}

/// The answers of `service: scripted` (diagrams.md 3.14).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// `None`: the person echoes its prompt.
    pub replies: Option<Vec<Value>>,
    /// Answers to memory-selection calls: 1-based positions among the candidates.
    pub selections: Option<Vec<Value>>,
    pub when_exhausted: WhenExhausted,
}

/// What a scripted person does when its replies are used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenExhausted {
    #[default]
    Fail,
    RepeatLast,
    Cycle,
}

/// The `settings` of a diagram; absent values are `None` and take the defaults of `limits`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub strict_templates: bool,
    /// Seconds of running time.
    pub timeout: Option<f64>,
    pub max_node_executions: Option<u32>,
    pub max_node_iterations: Option<u32>,
    pub max_parallel: Option<u32>,
    /// What all model calls of a run may spend.
    pub budget: Option<Budget>,
    /// Where `budget` stands.
    pub budget_span: Option<Span>,
}

/// One declared input of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct InputDeclaration {
    pub name: String,
    /// `string number integer boolean object array` or absent: anything.
    pub value_type: Option<String>,
    pub description: Option<String>,
    pub default: Option<Value>,
    pub required: bool,
    pub choices: Option<Vec<Value>>,
    pub secret: bool,
    pub span: Span,
}
