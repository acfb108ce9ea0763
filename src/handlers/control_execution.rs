//! Answers a waiting node, aborts an execution, decides about an interrupted effect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::caller::Scope;
use super::execution_object::ExecutionObject;
use super::launch::{entry, fold};
use super::present::{self, View};
use super::run_diagram::Waiting;
use super::{App, Caller, wait};
use crate::engine::Status;
use crate::engine::event::Event;
use crate::engine::state::ExecutionState;
use crate::error::{Error, ErrorKind};
use crate::ids::ExecutionId;
use crate::limits;
use crate::nearest::nearest;
use crate::store::NewControl;

/// How long the owner of an execution may take to carry a request out; aborts commit within a second.
const OUTCOME_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What to do with which execution.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The id that `dipeo_run` returned.
    pub execution_id: String,
    /// `answer`, `abort` (`cancel`, `stop`), `resume` (`continue`), `step` or `set_output`.
    pub action: String,
    /// The waiting node, by id or label; needed when several wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// The answer, or the node's value for `set_output`. With several model prompts waiting: a map from node to reply.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    /// Seconds to wait for what comes next, 0 to 25 (20).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait_seconds: Option<u32>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// Carries the action out durably and returns the execution as it is after waiting.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `EXECUTION_NOT_FOUND`, `NODE_NOT_FOUND`, `INVALID_ANSWER` (the question stays open), `ALREADY_ANSWERED`,
/// `NOT_PAUSED`, `EXECUTION_ENDED`, `INVALID_INPUT` for an unknown action.
pub async fn control_execution(
    app: &App,
    caller: &Caller,
    request: Request,
    waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    caller.require(&[Scope::ExecutionControl])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    let action = action_of(&request.action)?;
    let limit = wait::seconds(request.wait_seconds, limits::WAIT_SECONDS_DEFAULT)?;
    let status = app.visible(caller, &id)?.status;
    if status.has_ended() {
        return after_the_end(app, &id, action, status, &request);
    }
    let value = match action {
        "answer" | "set_output" => Some(request.value.clone().ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{action}` needs a `value`")).hint("add the answer as `value`")
        })?),
        _ => request.reason.clone().map(Value::String),
    };
    let new = NewControl {
        execution_id: id.clone(),
        action: action.to_owned(),
        node: request.node.clone(),
        value: value.map(|it| it.to_string()),
        actor: Some(caller.by()),
    };
    let child = if action == "abort" { None } else { asking_child(app, &id, request.node.as_deref())? };
    match child {
        Some(child) => {
            carry_out(app, &child, NewControl { execution_id: child.clone(), node: None, ..new }).await?;
            // Somebody has to be there to see that the child goes on.
            app.supervisor()?.adopt(&id).await?;
        }
        None => carry_out(app, &id, new).await?,
    }
    wait::until_settled(app, &id, Some(limit), waiting).await?;
    present::execution(app, &id, &View::default())
}

/// The execution that really asks what `id` waits for at `node`: a child, a child of a child …
fn asking_child(app: &App, id: &ExecutionId, node: Option<&str>) -> Result<Option<ExecutionId>, Error> {
    let store = app.store()?;
    let (mut asking, mut node) = (None, node.map(str::to_owned));
    for _ in 0..=limits::CHILD_DEPTH_MAX {
        let of = asking.as_ref().unwrap_or(id);
        if store.children(of)?.is_empty() {
            break;
        }
        let mut state = ExecutionState::new();
        fold(&mut state, store.transitions(of, 0, None)?)?;
        let open = state.open_questions();
        let named = node.take().and_then(|it| state.find(&it));
        let meant = match (named, open.as_slice()) {
            (Some(idx), open) => open.iter().find(|(it, _)| *it == idx),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        match meant.and_then(|(_, it)| it.question.child.as_ref()) {
            Some(child) => asking = Some(ExecutionId::parse(&child.execution_id)?),
            None => break,
        }
    }
    Ok(asking)
}

/// Writes the request down, makes sure somebody alive owns the execution, and waits for the outcome.
async fn carry_out(app: &App, id: &ExecutionId, new: NewControl) -> Result<(), Error> {
    let store = app.store()?;
    let mut changes = store.changes();
    let control = store.add_control(new).await?;
    app.supervisor()?.adopt(id).await?;
    app.supervisor()?.look_at_controls()?;
    let deadline = tokio::time::Instant::now() + OUTCOME_WAIT;
    loop {
        changes.mark_unchanged();
        if let Some(outcome) = store.control(control)?.and_then(|it| it.outcome) {
            return read_outcome(&outcome);
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Err(no_outcome(id)) },
            () = tokio::time::sleep_until(deadline) => return Err(no_outcome(id)),
        }
    }
}

fn no_outcome(id: &ExecutionId) -> Error {
    Error::external("DATABASE_BUSY", format!("the owner of `{id}` did not take the request up in time"))
        .hint("the request is stored and will be carried out; look again with `see_result`")
}

/// Reads what the owner stored: `{"ok":true}` or the error it answered with.
fn read_outcome(outcome: &str) -> Result<(), Error> {
    let value: Value = serde_json::from_str(outcome).unwrap_or_default();
    let Some(error) = value.get("error") else { return Ok(()) };
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, code) = match text("code").as_str() {
        "INVALID_ANSWER" => (ErrorKind::Invalid, "INVALID_ANSWER"),
        "INVALID_INPUT" => (ErrorKind::Invalid, "INVALID_INPUT"),
        "NODE_NOT_FOUND" => (ErrorKind::NotFound, "NODE_NOT_FOUND"),
        "ALREADY_ANSWERED" => (ErrorKind::Conflict, "ALREADY_ANSWERED"),
        "NOT_PAUSED" => (ErrorKind::Conflict, "NOT_PAUSED"),
        "EXECUTION_ENDED" => (ErrorKind::Conflict, "EXECUTION_ENDED"),
        _ => (ErrorKind::Internal, "INTERNAL"),
    };
    let mut result = Error::new(kind, code, text("message"));
    if error.get("hint").is_some() {
        result = result.hint(text("hint"));
    }
    if let Some(details) = error.get("details") {
        result = result.details(details.clone());
    }
    Err(result)
}

/// What a request to an ended execution means: aborting an aborted one is fine, an answer came too late.
fn after_the_end(
    app: &App,
    id: &ExecutionId,
    action: &str,
    status: Status,
    request: &Request,
) -> Result<ExecutionObject, Error> {
    if action == "abort" && status == Status::Aborted {
        return present::execution(app, id, &View::default());
    }
    if let ("answer", Some(first)) = (action, first_answer(app, id, request.node.as_deref())?) {
        return Err(Error::conflict("ALREADY_ANSWERED", "the question has been answered")
            .hint("the first valid answer wins")
            .details(serde_json::json!({ "answer": first })));
    }
    Err(Error::conflict("EXECUTION_ENDED", format!("`{id}` is {}; there is nothing to {action}", status.name()))
        .hint("start the diagram again"))
}

/// The last answer an ended execution took, of `node` if one is named.
fn first_answer(app: &App, id: &ExecutionId, node: Option<&str>) -> Result<Option<Value>, Error> {
    let mut state = ExecutionState::new();
    let mut answer = None;
    for row in app.store()?.transitions(id, 0, None)? {
        let Some(entry) = entry(row)? else { continue };
        let idx = entry.node_id.as_deref().and_then(|it| state.node_idx(it));
        state.apply(&entry.event, idx, entry.at);
        if let Event::InteractiveResponse(response) = &entry.event
            && (node.is_none() || node.and_then(|it| state.find(it)) == idx)
        {
            answer = Some(response.value.clone());
        }
    }
    Ok(answer)
}

/// Reads an action and its other names.
fn action_of(text: &str) -> Result<&'static str, Error> {
    match text {
        "answer" => Ok("answer"),
        "abort" | "cancel" | "stop" => Ok("abort"),
        "resume" | "continue" => Ok("resume"),
        "set_output" => Ok("set_output"),
        "step" => Ok("step"),
        other => {
            let actions = ["answer", "abort", "cancel", "stop", "resume", "continue", "step", "set_output"];
            let hint = match nearest(other, actions) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write answer, abort, resume, step or set_output".to_owned(),
            };
            let shown: String = other.chars().take(60).collect();
            Err(Error::invalid("INVALID_INPUT", format!("there is no action `{shown}`")).hint(hint))
        }
    }
}
