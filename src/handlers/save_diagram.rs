//! Makes a diagram of the workspace, or replaces one. What it was stays a revision.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::caller::Scope;
use super::compile_diagram::{self, check_push_name, compile_diagram};
use super::diagram_history::{self, NewText};
use super::run_diagram::{format_of, may_run};
use super::{App, Caller, read_diagram};
use crate::compile::{Report, invalid};
use crate::config::sha256;
use crate::diagram::Format;
use crate::error::Error;

pub use super::diagram_history::Expected;

/// Longest message of a revision, in characters (platform.md 4).
pub const MESSAGE_CHARS_MAX: usize = 500;

/// What to save. Exactly one of `content` and `diagram`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Letters, digits, `.`, `_`, `-`, with `/` between folders.
    pub name: String,
    /// A whole diagram as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<String>,
    /// A diagram in the native form.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram: Option<Value>,
    /// light, readable or native (detected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format: Option<String>,
    /// What is said of the revision (at most 500 characters).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// What only adapters decide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras {
    pub expected: Expected,
    /// A text that does not compile is saved all the same; it cannot be run.
    pub keep_invalid: bool,
}

/// The diagram as it is now, and what compiling it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    #[serde(flatten)]
    pub saved: read_diagram::Response,
    /// Whether there was none of this name before.
    pub created: bool,
    pub report: Report,
}

/// Saves a diagram that compiles as the newest revision and writes its file. It counts as submitted until a person
/// trusts it.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_ALLOWED`, `INVALID_NAME`, `INVALID_INPUT`, `INVALID_FORMAT`,
/// `INVALID_DIAGRAM` (all diagnostics in `details`), `ALREADY_EXISTS`, `REVISION_CONFLICT`, `DIAGRAM_NOT_FOUND`.
pub async fn save_diagram(app: &App, caller: &Caller, request: Request, extras: Extras) -> Result<Response, Error> {
    caller.require(&[Scope::DiagramRead, Scope::DiagramWrite])?;
    may_run(app, caller, None)?;
    let name = request.name.strip_prefix("dipeo://diagrams/").unwrap_or(&request.name);
    check_push_name(name)?;
    check_message(request.message.as_deref())?;
    let format = format_of(request.format.as_deref())?;
    let content = content(&request)?;
    let asked = compile_diagram::Request {
        content: content.clone(),
        format_type: format.map(|it| it.name().to_owned()),
        ..Default::default()
    };
    let report = compile_diagram(app, caller, asked, compile_diagram::Extras::default()).await?.report;
    if !report.valid && !extras.keep_invalid {
        return Err(invalid(&report));
    }
    let found = report.format.as_deref().and_then(Format::parse);
    let new = NewText {
        name,
        sha256: sha256(&content),
        text: &content,
        format: found.or(format).unwrap_or(Format::Light),
        message: request.message.clone(),
    };
    let (kept, created) = diagram_history::save(app, caller, new, extras.expected).await?;
    Ok(Response { saved: read_diagram::shown(app, &kept)?, created, report })
}

/// Refuses a message that is too long.
///
/// # Errors
///
/// `INVALID_INPUT`.
pub(super) fn check_message(message: Option<&str>) -> Result<(), Error> {
    let n_chars = message.unwrap_or_default().chars().count();
    if n_chars <= MESSAGE_CHARS_MAX {
        return Ok(());
    }
    Err(Error::invalid("INVALID_INPUT", format!("`message` has {n_chars} characters"))
        .hint(format!("write at most {MESSAGE_CHARS_MAX}")))
}

fn content(request: &Request) -> Result<String, Error> {
    match (&request.content, &request.diagram) {
        (Some(content), None) => Ok(content.clone()),
        (None, Some(diagram)) => serde_json::to_string_pretty(diagram)
            .map(|it| it + "\n")
            .map_err(|e| Error::internal("a value cannot be written as JSON").source(e)),
        (None, None) => Err(Error::invalid("INVALID_INPUT", "neither `content` nor `diagram` is given")
            .hint("send a whole diagram as text, or in the native form")),
        (Some(_), Some(_)) => {
            Err(Error::invalid("INVALID_INPUT", "both `content` and `diagram` are given").hint("give one of them"))
        }
    }
}
