//! Answers a waiting node, aborts an execution, decides about an interrupted effect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::caller::Scope;
use super::execution_object::ExecutionObject;
use super::launch::fold;
use super::present::{self, View};
use super::run_diagram::Waiting;
use super::{App, Caller, wait};
use crate::engine::Status;
use crate::engine::state::{ExecutionState, GivenAnswer};
use crate::error::{Error, ErrorKind};
use crate::ids::ExecutionId;
use crate::limits;
use crate::nearest::nearest;
use crate::store::{NewControl, Store};

/// How long the owner of an execution may take to carry a request out; aborts commit within a second.
const OUTCOME_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What to do with which execution.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// From `dipeo_run`.
    pub execution_id: String,
    /// `answer`, `abort` (`cancel`, `stop`), `resume` (`continue`), `step` or `set_output`.
    pub action: String,
    /// The waiting node, by id or label; needed when several wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// The answer, or the value for `set_output`. To several prompts: a map from node to reply.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    /// Seconds to wait for what comes next (20).
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
/// `PERSON_REQUIRED`,
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
    if status == Status::Aborted && action == "abort" {
        return present::execution(app, &id, &View::of(caller));
    }
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
    let leaf = if action == "abort" { None } else { asking_child(app, &id, request.node.as_deref())? };
    send(app, &id, leaf, new).await?;
    wait::until_settled(app, &id, Some(limit), waiting).await?;
    present::execution(app, &id, &View::of(caller))
}

/// Answers exactly one question and returns the execution it was seen in as it is after waiting.
///
/// # Errors
///
/// As [`control_execution`].
pub(super) async fn answer_leaf(
    app: &App,
    caller: &Caller,
    id: &ExecutionId,
    leaf: Leaf,
    value: Value,
    wait_seconds: Option<u32>,
    waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    let limit = wait::seconds(wait_seconds, limits::WAIT_SECONDS_DEFAULT)?;
    let own = app.visible(caller, id)?.status;
    let status = app.store()?.status(&leaf.execution_id)?.unwrap_or(own);
    if status.has_ended() {
        let node = Some(leaf.round());
        let request = Request { execution_id: id.to_string(), node, ..Request::default() };
        return after_the_end(app, &leaf.execution_id, "answer", status, &request);
    }
    let new = NewControl {
        execution_id: id.clone(),
        action: "answer".to_owned(),
        node: Some(leaf.round()),
        value: Some(value.to_string()),
        actor: Some(caller.by()),
    };
    let leaf = Some(leaf).filter(|it| it.execution_id != *id);
    send(app, id, leaf, new).await?;
    wait::until_settled(app, id, Some(limit), waiting).await?;
    present::execution(app, id, &View::of(caller))
}

/// Hands a request to the execution it is for: `leaf` where a child asks, else `id` itself.
async fn send(app: &App, id: &ExecutionId, leaf: Option<Leaf>, new: NewControl) -> Result<(), Error> {
    let Some(leaf) = leaf else { return carry_out(app, id, new).await };
    let node = Some(leaf.round());
    carry_out(app, &leaf.execution_id, NewControl { execution_id: leaf.execution_id.clone(), node, ..new }).await?;
    // Somebody has to be there to see that the child goes on.
    app.supervisor()?.adopt(id).await
}

/// One question where it is really asked.
pub(super) struct Leaf {
    pub execution_id: ExecutionId,
    pub node_id: String,
    pub iteration: u32,
}

impl Leaf {
    /// The form in which a request names one round of a node.
    fn round(&self) -> String {
        format!("{}:{}", self.node_id, self.iteration)
    }
}

/// Where that is asked what `id` waits for at `node`: in a child, a child of a child … `None` when `id` itself asks.
fn asking_child(app: &App, id: &ExecutionId, node: Option<&str>) -> Result<Option<Leaf>, Error> {
    let store = app.store()?;
    if store.children(id)?.is_empty() {
        return Ok(None);
    }
    let mut state = ExecutionState::new();
    fold(&mut state, store.transitions(id, 0, None)?)?;
    let open = state.open_questions();
    let named = node.and_then(|it| state.find_round(it));
    let meant = match (named, open.as_slice()) {
        (Some((idx, _)), open) => open.iter().find(|(it, _)| *it == idx),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    match meant.and_then(|(_, it)| it.question.child.as_ref()) {
        Some(child) => first_question(store, &ExecutionId::parse(&child.execution_id)?),
        None => Ok(None),
    }
}

/// The question that a child, or a child of it, waits with longest: the one its parent shows.
pub(super) fn first_question(store: &Store, child: &ExecutionId) -> Result<Option<Leaf>, Error> {
    let mut asking = child.clone();
    for _ in 0..=limits::CHILD_DEPTH_MAX {
        let mut state = ExecutionState::new();
        fold(&mut state, store.transitions(&asking, 0, None)?)?;
        let open = state.open_questions();
        let Some((idx, waiting)) = open.first() else { return Ok(None) };
        match &waiting.question.child {
            Some(deeper) => asking = ExecutionId::parse(&deeper.execution_id)?,
            None => {
                let node_id = state.nodes[*idx].outline.id.clone();
                return Ok(Some(Leaf { execution_id: asking, node_id, iteration: waiting.iteration }));
            }
        }
    }
    Ok(None)
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
        "PERSON_REQUIRED" => (ErrorKind::Refused, "PERSON_REQUIRED"),
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

/// What a request to an ended execution means: an answer came too late, anything else makes no sense.
fn after_the_end(
    app: &App,
    id: &ExecutionId,
    action: &str,
    status: Status,
    request: &Request,
) -> Result<ExecutionObject, Error> {
    if let ("answer", Some(first)) = (action, first_answer(app, id, request.node.as_deref())?) {
        return Err(Error::conflict("ALREADY_ANSWERED", "the question has been answered")
            .hint("the first valid answer wins")
            .details(json!({"answer": first.value, "by": first.by})));
    }
    Err(Error::conflict("EXECUTION_ENDED", format!("`{id}` is {}; there is nothing to {action}", status.name()))
        .hint("start the diagram again"))
}

/// The last answer an ended execution took, of `node` if one is named.
fn first_answer(app: &App, id: &ExecutionId, node: Option<&str>) -> Result<Option<GivenAnswer>, Error> {
    let mut state = ExecutionState::new();
    fold(&mut state, app.store()?.transitions(id, 0, None)?)?;
    let Some(node) = node else {
        let all = state.nodes.into_iter().flat_map(|it| it.answers);
        return Ok(all.max_by_key(|it| it.at));
    };
    let found = state.find_round(node).and_then(|(idx, round)| state.nodes[idx].answer_of(round));
    Ok(found.cloned())
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
