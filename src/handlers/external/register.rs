//! Registers an execution as the session that a terminal wants to be watched. One that nobody knows is made: a
//! foreign runner carries it out and reports its nodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::caller::Scope;
use super::super::run_diagram::format_of;
use super::super::wait::not_found;
use super::super::{App, Caller};
use super::control::control;
use super::session_id;
use crate::config::sha256;
use crate::diagram::{Diagram, Format, parse};
use crate::engine::event::{Event, ExecutionStarted, NodeOutline};
use crate::engine::journal::Transition;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::nodes::Origin;
use crate::store::{ExecutionKind, NewExecution, Source};

/// How long a foreign runner may be silent before its execution is given up, in milliseconds.
const SILENCE_MS_MAX: i64 = 24 * 60 * 60 * 1_000;
/// Executions that are given up in one go.
const GIVEN_UP_MAX: usize = 100;
/// Longest name of a diagram, in characters.
const NAME_CHARS_MAX: usize = 200;

/// Which execution, and what it runs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `exec_` and 32 hex digits.
    pub execution_id: String,
    pub diagram_name: String,
    /// light, readable or native (detected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_format: Option<String>,
    /// The diagram, as text or as the value of its JSON; that of the workspace with this name when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_data: Option<Value>,
}

/// The session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub session_id: String,
    pub execution_id: String,
    /// Whether the execution was made, for a foreign runner to report.
    pub created: bool,
}

/// Registers the execution, once or again.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND` for another principal's, `EXECUTION_ENDED`;
/// for one that is to be made `INVALID_INPUT`, `INVALID_FORMAT`, `TOO_LARGE`, `DIAGRAM_NOT_FOUND`; what the database
/// says.
pub async fn register_cli_session(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRun])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    let store = app.store()?;
    let created = match store.head(&id)? {
        None => {
            give_up_silent(app, caller).await?;
            match store.create_execution(new_execution(app, caller, &id, &request)?).await {
                Ok(_) => true,
                // Somebody took the id just now.
                Err(error) if error.code() == "ALREADY_EXISTS" => {
                    app.visible(caller, &id)?;
                    false
                }
                Err(error) => return Err(error),
            }
        }
        Some(head) if !caller.may_see(head.principal.as_deref()) => return Err(not_found(&id)),
        Some(head) if head.status.has_ended() => {
            return Err(Error::conflict("EXECUTION_ENDED", format!("`{id}` is {}", head.status.name()))
                .hint("register an execution that is under way, or a new id"));
        }
        Some(_) => false,
    };
    store.register_session(&id, Some(caller.principal())).await?;
    Ok(Response { session_id: session_id(&id), execution_id: id.to_string(), created })
}

/// Nothing stays running for ever: what no runner has reported of for a day has none any more.
async fn give_up_silent(app: &App, caller: &Caller) -> Result<(), Error> {
    let before = app.clock.now().plus_ms(-SILENCE_MS_MAX);
    for id in app.store()?.silent_external(before, GIVEN_UP_MAX)? {
        let reason = Some("its runner has not reported for a day".to_owned());
        match control(app, caller, &id, "abort", reason).await {
            Err(error) if error.code() != "EXECUTION_ENDED" => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn new_execution(app: &App, caller: &Caller, id: &ExecutionId, request: &Request) -> Result<NewExecution, Error> {
    let name = request.diagram_name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(Error::invalid("INVALID_INPUT", "`diagram_name` is no name of a diagram")
            .hint(format!("write one line of 1 to {NAME_CHARS_MAX} characters")));
    }
    let asked = format_of(request.diagram_format.as_deref())?;
    let content = text(app, name, request.diagram_data.as_ref())?;
    let parsed = parse(&content, asked);
    let (Some(diagram), Some(format)) = (parsed.diagram.filter(|it| !it.nodes.is_empty()), parsed.format) else {
        let first = parsed.diagnostics.first().map(|it| format!(": line {} {}", it.span.line, it.message));
        let message = format!("`diagram_data` is no diagram{}", first.unwrap_or_default());
        return Err(Error::invalid("INVALID_INPUT", message).hint("send the diagram that is run, with its format"));
    };
    let now = app.clock.now();
    let event = first_event(&diagram, name);
    Ok(NewExecution {
        execution_id: id.clone(),
        diagram_id: name.to_owned(),
        source: Source { sha256: sha256(&content), format: format.name().to_owned(), content },
        revision: None,
        origin: Origin::Submitted,
        kind: ExecutionKind::External,
        parent: None,
        mode: None,
        // Nothing of it runs here, so it has no rights.
        rights: "{}".to_owned(),
        options: "{}".to_owned(),
        variables: "{}".to_owned(),
        principal: Some(caller.principal().to_owned()),
        idempotency: None,
        started_at: now,
        owner: None,
        transitions: vec![Transition {
            seq: 1,
            node_id: None,
            phase: event.phase(),
            payload: event.payload(),
            created_at: now,
        }],
        messages: Vec::new(),
    })
}

fn text(app: &App, name: &str, data: Option<&Value>) -> Result<String, Error> {
    let text = match data {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => return Ok(app.workspace.open_named(name, None)?.text),
        Some(value) => value.to_string(),
    };
    if text.len() > limits::DIAGRAM_BYTES_MAX {
        let message =
            format!("`diagram_data` has {} bytes; a diagram may have {}", text.len(), limits::DIAGRAM_BYTES_MAX);
        return Err(Error::limit("TOO_LARGE", message).hint("keep data in files that nodes read"));
    }
    Ok(text)
}

fn first_event(diagram: &Diagram, name: &str) -> Event {
    let outline = |(idx, node): (usize, &crate::diagram::DiagramNode)| NodeOutline {
        id: node.id.clone(),
        label: node.label.clone(),
        kind: node.kind.map_or("unknown", |it| it.name()).to_owned(),
        is_last: !diagram.connections.iter().any(|it| it.from == idx),
    };
    Event::ExecutionStarted(ExecutionStarted {
        diagram: Some(name.to_owned()),
        origin: Origin::Submitted.name().to_owned(),
        nodes: diagram.nodes.iter().enumerate().map(outline).collect(),
        ..ExecutionStarted::default()
    })
}

/// The format under which a text is shown.
pub(super) fn format_name(format: &str) -> &'static str {
    Format::parse(format).map_or("light", Format::name)
}
