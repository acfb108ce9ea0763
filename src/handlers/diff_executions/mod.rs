//! Compares two executions: where they part, what each node did there and here, and what their diagrams say; or two
//! diagrams alone.
//!
//! | file | what it holds |
//! |---|---|
//! | `sides` | finds what is compared |
//! | `story` | what an execution did, step by step, from its log |
//! | `compare` | two stories; pure |
//! | `definition` | two diagrams; pure |
//! | `excerpt` | the part of two long texts where they differ |

mod compare;
mod definition;
mod excerpt;
mod sides;
mod story;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::sides::Side;
use super::execution_object::{RunWarning, ShownUsage};
use super::present::{self, Audience, NOTICE, View};
use super::{App, Caller};
use crate::engine::Status;
use crate::engine::event::ForkedFrom;
use crate::error::Error;
use crate::shown::{self, Hidden};

/// What to compare: executions by id, diagrams by name, as a file at the terminal, or as `NAME@N`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub a: String,
    pub b: String,
}

/// How two executions, or two diagrams, differ. Texts are cut where they are long, around the first difference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// To a model, before anything that a workflow wrote.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data_notice: Option<String>,
    /// Whether both did the same by the same diagram; time, tokens and cost do not count.
    pub equal: bool,
    pub a: Compared,
    pub b: Compared,
    /// The first step, in the order of the log, that came out differently or is on one side only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_divergence: Option<Divergence>,
    /// What each node did; those that differ keep their place when there are too many.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub nodes: Vec<NodeDifference>,
    /// Nodes that are not listed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub nodes_left_out: usize,
    pub definition: Definition,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<RunWarning>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// One side of the comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// The id of the execution, or the name of the diagram.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<i64>,
    /// What it spent itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub llm_usage: Option<ShownUsage>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forked_from: Option<ForkedFrom>,
}

/// A step that came out differently.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Divergence {
    /// Node label.
    pub node: String,
    /// Which run of the node.
    pub iteration: u32,
    /// `prompt`, `output`, `error`, `branch`, or `missing` on one side.
    pub differs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub a: Option<StepTexts>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub b: Option<StepTexts>,
}

/// What of a step differs from the other side's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepTexts {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<String>,
}

/// What a node did on both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeDifference {
    /// Label.
    pub node: String,
    /// `status`, `runs`, and of the first step that differs `prompt`, `output`, `error`, `branch`, `missing`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub differs: Vec<String>,
    /// The first run that differs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iteration: Option<u32>,
    /// Absent: the diagram of this side has no such node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub a: Option<NodeSide>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub b: Option<NodeSide>,
}

/// What a node did on one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSide {
    pub status: String,
    pub runs: u32,
    /// Of all its runs together.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost_usd: Option<f64>,
    #[serde(flatten)]
    pub texts: StepTexts,
}

/// How two diagrams differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Definition {
    /// Whether both say the same; comments and layout do not count.
    pub equal: bool,
    pub nodes: Changes,
    pub connections: Changes,
    pub persons: Changes,
    /// Other sections that differ: `settings`, `inputs`, `tool`, `metadata`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sections: Vec<String>,
    /// The texts as a unified diff; empty when they are the same.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub unified: String,
    /// Lines of it that are left out.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub lines_left_out: usize,
}

/// What was added, removed and changed from A to B.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Changes {
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub added: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub removed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changed: Vec<Changed>,
    /// Entries that are not listed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub left_out: usize,
}

/// Something that is on both sides and differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    pub name: String,
    pub fields: Vec<FieldChange>,
}

/// A field with its two values, as text; absent where there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldChange {
    pub field: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub a: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub b: Option<String>,
}

/// Compares what two names stand for.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `DIAGRAM_NOT_FOUND`.
pub async fn diff_executions(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let a = Side::find(app, caller, &request.a)?;
    let b = Side::find(app, caller, &request.b)?;
    let definition = definition::compare((a.name(), a.text()), (b.name(), b.text()));
    let mut response = match (&a, &b) {
        (Side::Execution(a), Side::Execution(b)) => {
            let (a, b) = story::both(app.store()?, a, b)?;
            let compared = compare::stories(&a, &b);
            Response { equal: compared.is_equal && definition.equal, definition, ..compared.response }
        }
        _ => Response { equal: definition.equal, a: a.compared(), b: b.compared(), definition, ..Response::default() },
    };
    if View::of(caller).audience == Audience::Model {
        response.data_notice = Some(NOTICE.trim_end().to_owned());
    }
    shown(app, caller, response)
}

/// Takes out what nobody may see: secrets, and for a model characters that are not shown.
fn shown(app: &App, caller: &Caller, response: Response) -> Result<Response, Error> {
    let broken = |e| Error::internal("the comparison cannot be shown").source(e);
    let mut value = json!(response);
    for part in ["a", "b", "first_divergence", "nodes", "definition"] {
        value.get_mut(part).into_iter().for_each(|it| scrub_texts(app, it));
    }
    let mut hidden = Hidden::default();
    if View::of(caller).audience == Audience::Model {
        shown::clean_value(&mut value, &mut hidden);
    }
    let mut response: Response = serde_json::from_value(value).map_err(broken)?;
    if hidden.total() > 0 {
        response.warnings.push(present::warning(hidden));
    }
    Ok(response)
}

/// Texts only: names of fields, counts and times are ours.
fn scrub_texts(app: &App, value: &mut Value) {
    match value {
        Value::String(text) => app.scrubber().scrub(text),
        Value::Array(items) => items.iter_mut().for_each(|it| scrub_texts(app, it)),
        Value::Object(map) => map.values_mut().for_each(|it| scrub_texts(app, it)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
