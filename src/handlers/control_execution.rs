//! Steers an execution (surface.md 2.10): answers a waiting node, pauses, resumes, steps, ends it, opens one again
//! that failed. Each request is written down and carried out by the owner of the execution, whichever process that is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::caller::Scope;
use super::execution_object::ExecutionObject;
use super::held_children::{hold_children, is_held, release_children};
use super::inspect_execution::inspect_execution;
use super::launch::fold;
use super::present::{self, View, is_decided_by_operator};
use super::reopen::{Reopening, reopen};
use super::run_diagram::Waiting;
use super::{App, Caller, external, wait};
use crate::engine::Status;
use crate::engine::state::{ExecutionState, GivenAnswer, NodeState, WaitingNode, name_of};
use crate::error::{Error, ErrorKind};
use crate::ids::ExecutionId;
use crate::limits;
use crate::nearest::nearest;
use crate::nodes::{BudgetQuestion, PauseReason};
use crate::store::{NewControl, Store};

/// How long the owner of an execution may take to carry a request out; aborts commit within a second.
const OUTCOME_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What to do with which execution.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// From `dipeo_run`.
    pub execution_id: String,
    /// One of those above, or `set_breakpoints`.
    pub action: String,
    /// By id or label; needed when several wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// Answer (to several: node to reply), output, breakpoints, budget; `fork`: {set, output, inputs, diagram}; `diff`: an id.
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
/// `PERSON_REQUIRED`, `NOT_PAUSED`, `EXECUTION_ENDED`, `INTERRUPTED`, `INVALID_INPUT` for an unknown action.
pub async fn control_execution(
    app: &App,
    caller: &Caller,
    request: Request,
    waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    let action = action_of(&request.action);
    if matches!(action, Ok("inspect")) {
        return inspect_execution(app, caller, &request.execution_id, request.node.as_deref());
    }
    caller.require(&[Scope::ExecutionControl])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    let action = action?;
    let limit = wait::seconds(request.wait_seconds, limits::WAIT_SECONDS_DEFAULT)?;
    let head = app.visible(caller, &id)?;
    if external::is_external(&head) {
        external::control(app, caller, &id, action, request.reason.clone()).await?;
        return present::execution(app, &id, &View::of(caller));
    }
    let status = head.status;
    if status.has_ended() {
        after_the_end(app, caller, &id, action, &request).await?;
    } else {
        let new = NewControl {
            execution_id: id.clone(),
            action: action.to_owned(),
            node: exact_node(app, &id, action, request.node.as_deref())?,
            value: value_of(action, &request)?.map(|it| it.to_string()),
            actor: Some(caller.by()),
        };
        let leaf = match action {
            "answer" | "resume" | "step" | "set_output" => asking_child(app, &id, action, request.node.as_deref())?,
            _ => None,
        };
        let is_own = leaf.is_none();
        if action == "resume" && is_own && request.node.is_none() && is_held(app.store()?, &id)? {
            release_children(app, &id).await?;
        }
        let sent = match action {
            "resume" if raise_above(app, &id, leaf.as_ref(), &new).await? => Ok(()),
            _ => send(app, &id, leaf, new).await,
        };
        match sent {
            // It ended before its owner heard of the request.
            Err(error) if is_own && error.code() == "EXECUTION_ENDED" => {
                after_the_end(app, caller, &id, action, &request).await?;
            }
            outcome => outcome?,
        }
        if action == "pause" {
            hold_children(app, &id).await?;
        }
    }
    wait::until_settled(app, &id, Some(limit), waiting).await?;
    present::execution(app, &id, &View::of(caller))
}

/// What goes with an action, in the form in which it is stored.
fn value_of(action: &str, request: &Request) -> Result<Option<Value>, Error> {
    let missing = || {
        Error::invalid("INVALID_INPUT", format!("`{action}` needs a `value`")).hint(match action {
            "set_breakpoints" => "add a list of nodes as `value`; an empty one removes all breakpoints",
            _ => "add the answer as `value`",
        })
    };
    Ok(match action {
        "answer" | "set_output" => Some(request.value.clone().ok_or_else(missing)?),
        "set_breakpoints" => Some(breakpoints(request).ok_or_else(missing)?),
        "resume" => request.value.clone(),
        _ => request.reason.clone().map(Value::String),
    })
}

/// A list of nodes; at the terminal one node, or several with commas between them.
fn breakpoints(request: &Request) -> Option<Value> {
    match (&request.value, &request.node) {
        (Some(Value::Array(nodes)), _) if nodes.iter().all(Value::is_string) => request.value.clone(),
        (Some(Value::String(text)), _) => {
            Some(text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(Value::from).collect())
        }
        (None, Some(node)) => Some(Value::from(vec![node.clone()])),
        _ => None,
    }
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
        let request = Request { execution_id: id.to_string(), node: leaf.name(), ..Request::default() };
        after_the_end(app, caller, &leaf.execution_id, "answer", &request).await?;
    }
    let new = NewControl {
        execution_id: id.clone(),
        action: "answer".to_owned(),
        node: leaf.name(),
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
    let node = leaf.name();
    carry_out(app, &leaf.execution_id, NewControl { execution_id: leaf.execution_id.clone(), node, ..new }).await?;
    // Somebody has to be there to see that the child goes on.
    app.supervisor()?.adopt(id).await
}

/// Hands a higher budget to the execution whose budget it is, when that is another than the one that waits for
/// it and than `id`, or when a child of `id` waits for it: the budget of a parent holds for its children.
async fn raise_above(app: &App, id: &ExecutionId, leaf: Option<&Leaf>, new: &NewControl) -> Result<bool, Error> {
    let store = app.store()?;
    let Some(asked) = budget_asked(store, id, new.node.as_deref())? else { return Ok(false) };
    let owner = ExecutionId::parse(&asked.execution_id)?;
    let asks = leaf.map_or(id, |it| &it.execution_id);
    if owner == *asks {
        return Ok(false);
    }
    // At the owner it is a child's question, under the name of the node that runs the child.
    let node = new.node.clone().filter(|_| owner == *id);
    let waiting = store.head(asks)?.map(|it| it.last_seq);
    carry_out(app, &owner, NewControl { execution_id: owner.clone(), node, ..new.clone() }).await?;
    // Somebody has to be there to see that those below go on.
    app.supervisor()?.adopt(asks).await?;
    app.supervisor()?.adopt(id).await?;
    let mut changes = store.changes();
    let deadline = tokio::time::Instant::now() + OUTCOME_WAIT;
    loop {
        changes.mark_unchanged();
        if store.head(asks)?.map(|it| it.last_seq) != waiting {
            return Ok(true);
        }
        // The budget is raised all the same when those below take their time.
        if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
            return Ok(true);
        }
    }
}

/// The budget that `id` waits for at `node`, or at its only waiting node.
fn budget_asked(store: &Store, id: &ExecutionId, node: Option<&str>) -> Result<Option<BudgetQuestion>, Error> {
    let mut state = ExecutionState::new();
    fold(&mut state, store.transitions(id, 0, None)?)?;
    let named = node.map(|it| state.find_named(it).map(|it| it.node));
    let open = state.open_questions();
    let meant = open.iter().filter(|(idx, _)| named.is_none_or(|it| it == Some(*idx)));
    Ok(meant.filter_map(|(_, it)| it.question.budget.clone()).next())
}

/// One question where it is really asked.
pub(super) struct Leaf {
    pub execution_id: ExecutionId,
    /// What asks; `None` when an operator's pause is what waits.
    pub asking: Option<Asking>,
}

/// One question of a node.
pub(super) struct Asking {
    pub node_id: String,
    /// In which of its runs.
    pub iteration: u32,
    /// Which question of that run.
    pub number: u32,
}

impl Asking {
    /// The question that `node` waits with.
    pub fn of(node: &NodeState, waiting: &WaitingNode) -> Self {
        Self { node_id: node.outline.id.clone(), iteration: waiting.iteration, number: waiting.number }
    }
}

impl Leaf {
    /// The form in which a request names exactly this question.
    fn name(&self) -> Option<String> {
        self.asking.as_ref().map(|it| name_of(&it.node_id, it.iteration, it.number))
    }
}

/// What a request is for, by its exact name where it waits: whoever carries the request out may find something else
/// waiting there by then, and must not take it for that.
fn exact_node(app: &App, id: &ExecutionId, action: &str, node: Option<&str>) -> Result<Option<String>, Error> {
    let asked = node.map(str::to_owned);
    if !matches!(action, "answer" | "resume" | "set_output") {
        return Ok(asked);
    }
    let mut state = ExecutionState::new();
    fold(&mut state, app.store()?.transitions(id, 0, None)?)?;
    let mut open = state.open_questions();
    if action != "answer" {
        open.retain(|(_, it)| is_decided_by_operator(it.question.reason.name()) || it.question.budget.is_some());
    }
    // It is for everything that is held, whatever that is by then.
    let is_held = state.is_held || open.iter().any(|(_, it)| it.question.reason == PauseReason::Breakpoint);
    let meant = match (node.map(|it| state.find_named(it)), open.as_slice()) {
        (None, [only]) if action != "resume" || !is_held => Some(only),
        (Some(Some(named)), open) => open.iter().find(|(idx, it)| *idx == named.node && named.means_waiting(it)),
        _ => None,
    };
    Ok(meant.map(|(idx, it)| it.name(&state.nodes[*idx].outline.id)).or(asked))
}

/// Where that is asked what `id` waits for at `node`: in a child, a child of a child … `None` when `id` itself asks.
fn asking_child(app: &App, id: &ExecutionId, action: &str, node: Option<&str>) -> Result<Option<Leaf>, Error> {
    let store = app.store()?;
    if store.children(id)?.is_empty() {
        return Ok(None);
    }
    let mut state = ExecutionState::new();
    fold(&mut state, store.transitions(id, 0, None)?)?;
    if state.is_held && node.is_none() && matches!(action, "resume" | "step") {
        return Ok(None);
    }
    let open = state.open_questions();
    let named = node.and_then(|it| state.find_named(it));
    let meant = match (named, open.as_slice()) {
        (Some(named), open) => open.iter().find(|(it, waiting)| *it == named.node && named.means_waiting(waiting)),
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
        if state.is_held {
            return Ok(Some(Leaf { execution_id: asking, asking: None }));
        }
        let open = state.open_questions();
        let Some((idx, waiting)) = open.first() else { return Ok(None) };
        match &waiting.question.child {
            Some(deeper) => asking = ExecutionId::parse(&deeper.execution_id)?,
            None => {
                let asks = Asking::of(&state.nodes[*idx], waiting);
                return Ok(Some(Leaf { execution_id: asking, asking: Some(asks) }));
            }
        }
    }
    Ok(None)
}

/// Writes the request down, makes sure somebody alive owns the execution, and waits for the outcome.
pub(super) async fn carry_out(app: &App, id: &ExecutionId, new: NewControl) -> Result<(), Error> {
    let store = app.store()?;
    let mut changes = store.turns();
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

/// Reads what the owner stored.
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

/// What a request to an ended execution means (surface.md 2.10): to end it as it ended is fine, what failed or was
/// aborted is opened again, an answer came too late, and anything else makes no sense.
async fn after_the_end(
    app: &App,
    caller: &Caller,
    id: &ExecutionId,
    action: &str,
    request: &Request,
) -> Result<(), Error> {
    let status = app.store()?.status(id)?.unwrap_or(Status::Aborted);
    if matches!((action, status), ("abort", Status::Aborted) | ("complete", Status::Completed)) {
        return Ok(());
    }
    if action == "answer"
        && let Some(first) = first_answer(app, id, request.node.as_deref())?
    {
        return Err(Error::conflict("ALREADY_ANSWERED", "the question has been answered")
            .hint("the first valid answer wins")
            .details(json!({"answer": first.value, "by": first.by})));
    }
    let reopening = Reopening { by: caller.by(), reason: request.reason.clone(), budget: request.value.as_ref() };
    if action == "resume"
        && matches!(status, Status::Failed | Status::Aborted)
        && reopen(app.supervisor()?, id, reopening).await?
    {
        // It may have failed again by now.
        return Ok(());
    }
    // Another request may have opened it just before.
    let status = app.store()?.status(id)?.unwrap_or(status);
    if action == "resume" && !status.has_ended() {
        return Ok(());
    }
    let hint = match status {
        Status::Failed | Status::Aborted => "`resume` opens it again at the nodes that did not complete",
        _ => "start the diagram again",
    };
    let word = action.replace('_', " ");
    Err(Error::conflict("EXECUTION_ENDED", format!("`{id}` is {}; there is nothing to {word}", status.name()))
        .hint(hint))
}

/// The last answer an ended execution took, of `node` if one is named.
fn first_answer(app: &App, id: &ExecutionId, node: Option<&str>) -> Result<Option<GivenAnswer>, Error> {
    let mut state = ExecutionState::new();
    fold(&mut state, app.store()?.transitions(id, 0, None)?)?;
    let Some(node) = node else {
        let all = state.nodes.into_iter().flat_map(|it| it.answers);
        return Ok(all.max_by_key(|it| it.at));
    };
    let found = state.find_named(node).and_then(|it| state.nodes[it.node].answer_to(Some(&it)));
    Ok(found.cloned())
}

/// Every action, and what else it is called.
const ACTIONS: [(&str, &[&str]); 9] = [
    ("answer", &[]),
    ("abort", &["cancel", "stop"]),
    ("pause", &[]),
    ("resume", &["continue"]),
    ("complete", &[]),
    ("step", &[]),
    ("set_breakpoints", &[]),
    ("set_output", &[]),
    ("inspect", &[]),
];

/// Requests of their own that stand beside the actions: they make or compare executions.
const BESIDE: [&str; 3] = ["fork", "replay", "diff"];

/// Reads an action and its other names.
fn action_of(text: &str) -> Result<&'static str, Error> {
    if let Some((action, _)) = ACTIONS.iter().find(|(name, others)| *name == text || others.contains(&text)) {
        return Ok(action);
    }
    if BESIDE.contains(&text) {
        // They are other requests, and so are their answers: adapters hand them to the handlers of that name.
        return Err(Error::invalid("INVALID_INPUT", format!("`{text}` does not act on one execution"))
            .hint(format!("use `dipeo {text}`")));
    }
    let words = ACTIONS.iter().flat_map(|(name, others)| std::iter::once(name).chain(others.iter()));
    let words = words.chain(&BESIDE);
    let near = nearest(text, words.copied()).map(|it| format!("did you mean `{it}`? ")).unwrap_or_default();
    let all: Vec<String> = ACTIONS
        .iter()
        .map(|(name, others)| match others {
            [] => (*name).to_owned(),
            others => format!("{name} ({})", others.join(", ")),
        })
        .collect();
    let shown: String = text.chars().take(60).collect();
    Err(Error::invalid("INVALID_INPUT", format!("there is no action `{shown}`")).hint(format!(
        "{near}the actions are {}; beside them {}",
        all.join(", "),
        BESIDE.join(", ")
    )))
}
