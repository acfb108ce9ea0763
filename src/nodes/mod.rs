//! Node types: one file each and one visible list, [`ALL`]. A type reads its fields once into a
//! struct when a diagram is compiled, and runs from that struct. What a node may ask for while it
//! runs is a [`NodeContext`]; it reaches models, code and files only through the [`ports`].

pub mod addresses;
pub mod batch;
pub mod budget;
pub mod content;
pub mod context;
pub mod diff_patch;
pub mod fields;
pub mod file_format;
pub mod lookup;
pub mod memory;
pub mod model_tools;
pub mod output;
pub mod paths;
pub mod policy;
pub mod ports;
pub mod report;
pub mod rights;
pub mod secrets;
pub mod spec;
pub mod spent;
pub mod template;
pub mod template_job;

mod api_job;
mod code_job;
mod condition;
mod db;
mod endpoint;
mod hook;
mod http_call;
pub mod integrated_api;
mod json_schema_validator;
mod light_schema;
mod person_job;
mod start;
mod sub_diagram;
mod typescript_ast;
mod user_response;

#[cfg(test)]
mod harness;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::diagram::NodeKind;
use crate::diagram::write::KnownField;
use crate::error::Error;

pub use context::NodeContext;
pub use fields::{ChildFile, Fields, ReadContext, Surroundings, prompt_file_hint};
pub use light_schema::light_schema;
pub use lookup::{Inputs, Names};
pub use output::{BudgetQuestion, ChildQuestion, Forms, NewMessage, Outcome, Output, PauseReason, Published, Question};
pub use policy::{Backoff, OnError, Policy, Retry};
pub use rights::{FileScope, Origin, Rights};
pub use spec::{COMMON, FieldSpec, Preset, Shape};

/// Everything the engine runs, in the order of the reference.
pub const ALL: &[&NodeType] = &[
    &start::TYPE,
    &endpoint::TYPE,
    &person_job::TYPE,
    &code_job::TYPE,
    &condition::TYPE,
    &api_job::TYPE,
    &db::TYPE,
    &user_response::TYPE,
    &hook::TYPE,
    &template_job::TYPE,
    &json_schema_validator::TYPE,
    &typescript_ast::TYPE,
    &integrated_api::TYPE,
    &sub_diagram::TYPE,
    &diff_patch::TYPE,
];

/// Returns the implementation of `kind`, `None` for a type this version does not run (E210).
pub fn find(kind: NodeKind) -> Option<&'static NodeType> {
    ALL.iter().copied().find(|it| it.kind == kind)
}

/// Returns the fields of `kind` and of every node in the order they are written, for the writers of
/// diagrams.
pub fn known_fields(kind: NodeKind) -> Vec<KnownField> {
    let own = find(kind).map_or(&[][..], |it| it.fields);
    own.iter().chain(COMMON).map(|it| KnownField { key: it.key, preset: it.preset.value() }).collect()
}

/// A node type.
pub struct NodeType {
    pub kind: NodeKind,
    /// One sentence for lists and the page of the type.
    pub summary: &'static str,
    /// The fields of this type, in the order they are written; those of every node are not among them.
    pub fields: &'static [FieldSpec],
    /// Reads the fields of one node. Never fails: `Fields` records every problem with its place,
    /// and the caller reports fields nobody asked for.
    pub read: fn(&mut Fields<'_>) -> Box<dyn Node>,
}

/// Whether running a node can be seen from outside the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Running it again after a crash is unobservable, so it does not wait for the disk.
    None,
    /// What it depends on and its own start are durable before it runs (DESIGN.md, Durability).
    Outside,
}

/// What the scheduler and the compiler must know of one node besides its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// person_job: after so many executions it never fires again.
    pub max_iteration: Option<u32>,
    /// condition: nobody waits for its edges if another source is there.
    pub skippable: bool,
    /// person_job: only a first prompt is given, so it serves every run (W209).
    pub only_first_prompt: bool,
}

/// One node of a plan, ready to run any number of times.
pub trait Node: Send + Sync {
    /// Whether running it has an outside effect.
    fn effect(&self) -> Effect {
        Effect::None
    }

    /// Whether it looks at files although it has no effect: what it saw is recorded like an effect's replies.
    fn reads(&self) -> bool {
        false
    }

    /// What the scheduler must know.
    fn traits(&self) -> Traits {
        Traits::default()
    }

    /// Whether it works through a list: then time limits and repetitions are those of each item.
    fn is_batch(&self) -> bool {
        false
    }

    /// Time limit of one attempt in seconds when the node gives none.
    fn timeout_default(&self) -> Option<f64> {
        None
    }

    /// Whether it calls models, itself or through children it waits for: then it may have a `budget`.
    fn calls_models(&self) -> bool {
        false
    }

    /// How failures are repeated when the node gives no `retry`.
    fn retry_default(&self) -> Retry {
        Retry::NONE
    }

    /// What a mock run publishes instead of running this node, which has the label `label`; `None` for what
    /// runs in a mock run as well: nodes without outside effect, files (they are written to memory), questions.
    fn mocked(&self, _label: &str) -> Option<Value> {
        None
    }

    /// Runs one attempt. Dropping the future cancels it: whatever it started must end then.
    ///
    /// # Errors
    ///
    /// A failure with one of the codes of diagrams.md 3.8; it is never a value.
    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>>;

    /// Whether its value is a person's to give: no model may answer it, or set its value.
    fn is_for_people(&self) -> bool {
        false
    }

    /// Checks an answer to a question this node asked and returns it as the value to store.
    ///
    /// # Errors
    ///
    /// `INVALID_ANSWER` when it does not fit; the question stays open.
    fn check_answer(&self, _question: &Question, _answer: Value) -> Result<Value, Error> {
        Err(Error::internal("this node asks no questions"))
    }

    /// Goes on with a checked answer.
    ///
    /// # Errors
    ///
    /// As [`Node::run`].
    fn resume<'a>(
        &'a self,
        _cx: &'a NodeContext,
        _question: &'a Question,
        _answer: Value,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async { Err(Error::internal("this node asks no questions")) })
    }

    /// Says what happens when nobody answered until the question's deadline.
    ///
    /// # Errors
    ///
    /// `ANSWER_TIMEOUT` unless the node has a default.
    fn expire(&self, _question: &Question) -> Result<Outcome, Error> {
        Err(Error::external("ANSWER_TIMEOUT", "nobody answered in time")
            .hint("give the node a `default` or a longer `timeout`"))
    }
}
