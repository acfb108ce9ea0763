//! The questions that wait in an execution or in those it started, each named exactly, so that an answer that
//! comes late can never be taken for the answer to another question.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::caller::Scope;
use super::control_execution::{self, Asking, Leaf};
use super::execution_object::{ExecutionObject, Waiting};
use super::launch::fold;
use super::present;
use super::run_diagram;
use super::{App, Caller};
use crate::diagram::Service;
use crate::engine::Status;
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::store::Store;

/// Purpose of the key that sealed names of questions are signed with; see [`seal_key`].
const SEAL_PURPOSE: &str = "mcp request state";

/// Names one question: of which execution, asked by which node of it or of a child, in which round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The execution that was looked at.
    pub execution_id: String,
    /// The execution whose node asks: the same, or a child of it.
    pub asking_id: String,
    pub node_id: String,
    /// How often the node had been started, this time included.
    pub iteration: u32,
    /// Which question of that round, from 1: a batch asks one for each item.
    pub number: u32,
}

/// A question that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenQuestion {
    pub asked: Asked,
    /// What is asked, as results show it.
    pub waiting: Waiting,
}

/// What waits in an execution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// The longest waiting first.
    pub questions: Vec<OpenQuestion>,
    /// Whether the run asked that whoever called answers for all models.
    pub is_answered_by_caller: bool,
}

/// Returns the questions that wait in an execution, those of its children included.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, what the database says.
pub fn open_questions(app: &App, caller: &Caller, execution_id: &str) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let id = ExecutionId::parse(execution_id)?;
    if app.visible(caller, &id)?.status != Status::Paused {
        return Ok(Response::default());
    }
    let store = app.store()?;
    let state = state_of(store, &id)?;
    let mut questions = Vec::new();
    for (idx, waiting) in state.open_questions() {
        let leaf = match &waiting.question.child {
            None => Some(Leaf { execution_id: id.clone(), asking: Some(Asking::of(&state.nodes[idx], waiting)) }),
            Some(child) => control_execution::first_question(store, &ExecutionId::parse(&child.execution_id)?)?,
        };
        // A child that an operator paused asks nothing.
        let Some(Leaf { execution_id: asking_id, asking: Some(Asking { node_id, iteration, number }) }) = leaf else {
            continue;
        };
        let (execution_id, asking_id) = (id.to_string(), asking_id.to_string());
        let asked = Asked { execution_id, asking_id, node_id, iteration, number };
        questions.push(OpenQuestion { asked, waiting: present::waiting(&state.nodes[idx]) });
    }
    let is_answered_by_caller = state.models.as_deref() == Some(Service::Caller.name());
    Ok(Response { questions, is_answered_by_caller })
}

/// Returns once a question no longer waits: answered by somebody, expired, or its execution has ended. Never
/// returns when that cannot be found out any more.
pub async fn gone(app: &App, asked: &Asked) {
    let Ok(store) = app.store() else { return std::future::pending().await };
    let mut changes = store.turns();
    loop {
        changes.mark_unchanged();
        match still_waits(store, asked) {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => return std::future::pending().await,
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn still_waits(store: &Store, asked: &Asked) -> Result<bool, Error> {
    let state = state_of(store, &ExecutionId::parse(&asked.asking_id)?)?;
    let Some(idx) = state.node_idx(&asked.node_id) else { return Ok(false) };
    let waiting = state.nodes[idx].waiting.as_ref();
    Ok(waiting.is_some_and(|it| it.answer.is_none() && (it.iteration, it.number) == (asked.iteration, asked.number)))
}

/// Gives `value` as the answer to exactly this question and waits at most `wait_seconds` for what comes next.
///
/// # Errors
///
/// As `control_execution` with the action `answer`.
pub async fn answer(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    value: Value,
    wait_seconds: Option<u32>,
    waiting: run_diagram::Waiting,
) -> Result<ExecutionObject, Error> {
    caller.require(&[Scope::ExecutionControl])?;
    let leaf = Leaf {
        execution_id: ExecutionId::parse(&asked.asking_id)?,
        asking: Some(Asking { node_id: asked.node_id.clone(), iteration: asked.iteration, number: asked.number }),
    };
    let id = ExecutionId::parse(&asked.execution_id)?;
    control_execution::answer_leaf(app, caller, &id, leaf, value, wait_seconds, waiting).await
}

/// The key that any process of this user can check a sealed name of a question with.
///
/// # Errors
///
/// `FILE_FAILED` when the user's key cannot be read, made, or is open to others.
pub fn seal_key(app: &App) -> Result<[u8; 32], Error> {
    app.ports.secrets.key_for(SEAL_PURPOSE)
}

fn state_of(store: &Store, id: &ExecutionId) -> Result<ExecutionState, Error> {
    let mut state = ExecutionState::new();
    fold(&mut state, store.transitions(id, 0, None)?)?;
    Ok(state)
}
