//! An execution as a task: what the tasks extension shows of it and can do to it. Its id is the execution's, and
//! all of it is read from the store, so a task outlives every process.

use super::caller::Scope;
use super::control_execution::{self, control_execution};
use super::execution_object::ExecutionObject;
use super::present::{self, View};
use super::run_diagram::Waiting;
use super::{App, Caller};
use crate::engine::Status;
use crate::error::Error;
use crate::ids::ExecutionId;

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// As `see_result` shows it.
    pub execution: ExecutionObject,
    pub state: State,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339: when something last happened.
    pub updated_at: String,
    /// What it is doing or waiting for, in words.
    pub message: Option<String>,
}

/// How a task stands (mcp.md 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, or waits for something that no form of the client can give.
    Working,
    /// It waits for an answer of a person.
    Asks,
    /// It has a result; that a run failed is a result too.
    Ended,
    Cancelled,
}

/// Returns an execution as a task.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, what the database says.
pub fn task(app: &App, caller: &Caller, task_id: &str) -> Result<Task, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let id = ExecutionId::parse(task_id)?;
    let head = app.visible(caller, &id)?;
    let execution = present::execution(app, &id, &View::of(caller))?;
    let created_at = head.started_at.to_rfc3339();
    let updated_at = head.last_activity_at.unwrap_or(head.started_at).to_rfc3339();
    Ok(Task { state: state(&execution), message: message(&execution), created_at, updated_at, execution })
}

/// Aborts the execution. That it has ended already is fine: there is nothing to cancel then.
///
/// # Errors
///
/// As `control_execution`.
pub async fn cancel_task(app: &App, caller: &Caller, task_id: &str) -> Result<(), Error> {
    let request = control_execution::Request {
        execution_id: task_id.to_owned(),
        action: "abort".to_owned(),
        wait_seconds: Some(0),
        ..control_execution::Request::default()
    };
    match control_execution(app, caller, request, Waiting::default()).await {
        Err(error) if error.code() != "EXECUTION_ENDED" => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn state(execution: &ExecutionObject) -> State {
    match execution.status {
        Status::Completed | Status::Failed => State::Ended,
        Status::Aborted => State::Cancelled,
        Status::Paused if matches!(execution.pause_reason.as_deref(), Some("input" | "approval")) => State::Asks,
        Status::Paused | Status::Pending | Status::Running | Status::Skipped | Status::MaxiterReached => State::Working,
    }
}

fn message(execution: &ExecutionObject) -> Option<String> {
    if execution.status == Status::Paused {
        let reason = execution.pause_reason.as_deref().unwrap_or("waiting");
        return Some(format!("paused: {reason}"));
    }
    let progress = execution.progress.as_ref().filter(|_| !execution.status.has_ended())?;
    Some(match progress.total {
        Some(total) => format!("{} of {total} nodes done", progress.done),
        None => format!("{} nodes done", progress.done),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn execution(status: &str, pause_reason: Option<&str>) -> ExecutionObject {
        serde_json::from_value(json!({
            "execution_id": "exec_1", "session_id": "exec_1", "status": status, "executed_nodes_count": 1,
            "messages_count": 0, "started_at": "2026-01-02T03:04:05.678Z", "pause_reason": pause_reason,
            "progress": {"done": 1, "total": 3},
        }))
        .expect("an execution object")
    }

    #[test]
    fn each_state_of_an_execution_is_one_of_a_task() {
        for (status, reason, expected, message) in [
            ("pending", None, State::Working, Some("1 of 3 nodes done")),
            ("running", None, State::Working, Some("1 of 3 nodes done")),
            ("paused", Some("input"), State::Asks, Some("paused: input")),
            ("paused", Some("approval"), State::Asks, Some("paused: approval")),
            ("paused", Some("model"), State::Working, Some("paused: model")),
            ("paused", Some("breakpoint"), State::Working, Some("paused: breakpoint")),
            ("paused", Some("operator"), State::Working, Some("paused: operator")),
            ("paused", Some("budget"), State::Working, Some("paused: budget")),
            ("completed", None, State::Ended, None),
            ("failed", None, State::Ended, None),
            ("aborted", None, State::Cancelled, None),
        ] {
            let execution = execution(status, reason);
            assert_eq!(state(&execution), expected, "{status} {reason:?}");
            assert_eq!(super::message(&execution).as_deref(), message, "{status} {reason:?}");
        }
    }
}
