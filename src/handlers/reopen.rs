//! Opens an execution again that failed or was aborted, at the nodes that did not complete. Committed nodes do not
//! run again; whoever saw the end before has seen it. One that ran out of its budget takes a higher one with it.

use std::sync::Arc;

use serde_json::Value;

use super::caller;
use super::launch::{self, fold};
use super::supervisor::Supervisor;
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::BudgetQuestion;
use crate::nodes::budget::Raise;
use crate::store::{NewControl, Store};

/// Who opens an execution again, why, and with which higher budget.
pub(super) struct Reopening<'a> {
    pub by: String,
    pub reason: Option<String>,
    /// In the words of a budget.
    pub budget: Option<&'a Value>,
}

/// Opens `id` again and runs it here. Returns false when it has not failed and was not aborted (any more).
///
/// # Errors
///
/// `INTERRUPTED` when its stored diagram does not compile any more: it stays as it is then. `INVALID_INPUT` for what is no
/// higher budget, or for a budget that it did not run out of; `PERSON_REQUIRED`. What the database says.
pub(super) async fn reopen(
    supervisor: &Arc<Supervisor>,
    id: &ExecutionId,
    reopening: Reopening<'_>,
) -> Result<bool, Error> {
    launch::from_store(supervisor.store(), supervisor, id)?;
    let Reopening { by, reason, budget } = reopening;
    let raised = budget.map(|it| higher_budget(supervisor.store(), id, it, &by)).transpose()?;
    supervisor.register().await?;
    let request = NewControl {
        execution_id: id.clone(),
        action: "resume".to_owned(),
        node: None,
        value: budget.map(Value::to_string),
        actor: Some(by),
    };
    let is_open = supervisor.store().open_again(request, reason, raised, supervisor.owner()).await?;
    if is_open {
        supervisor.take_over(id).await;
    }
    Ok(is_open)
}

/// Reads the higher limits of the budget that the execution ran out of.
fn higher_budget(store: &Store, id: &ExecutionId, value: &Value, by: &str) -> Result<Raise, Error> {
    let mut state = ExecutionState::new();
    fold(&mut state, store.transitions(id, 0, None)?)?;
    let failure = state.closing.as_ref().and_then(|it| it.error.as_ref());
    let asked = failure.and_then(budget_of).ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{id}` did not run out of a budget, so `value` means nothing"))
            .hint("`resume` it without `value`")
    })?;
    if asked.execution_id != id.as_str() {
        let what = format!("the budget is that of the execution `{}`", asked.execution_id);
        return Err(Error::invalid("INVALID_INPUT", what).hint("`resume` that one with the new budget, then this one"));
    }
    let mut books = state.budgets.clone();
    for (promise, spent) in books.open() {
        books.settle(promise, spent);
    }
    let entry = books.entry(&asked.scope).ok_or_else(|| Error::internal("a budget vanished"))?;
    if entry.limit.human_only && caller::is_model(by) {
        let message = format!("only a person may raise the budget of {}", asked.scope.words());
        return Err(Error::refused("PERSON_REQUIRED", message)
            .hint("ask the user to raise it with `dipeo control` at the terminal"));
    }
    let raised = Raise::read(entry, value)?;
    books.raise(&raised.scope, &raised.limit);
    // It has all its time again.
    match asked.refusal(&books, 0) {
        Some(exceeded) => Err(exceeded.still()),
        None => Ok(raised),
    }
}

/// What a failure says about a budget: its own details, or those of what caused it.
fn budget_of(error: &Value) -> Option<BudgetQuestion> {
    let own = error.get("details").and_then(|it| it.get("budget")).filter(|_| error["code"] == "BUDGET_EXCEEDED");
    own.and_then(|it| serde_json::from_value(it.clone()).ok()).or_else(|| budget_of(error.get("cause")?))
}
