//! Executions that a foreign runner carries out and reports node by node, and the registrations that make one the
//! session a terminal shows. Such an execution is shown, listed and followed like any other; nobody here owns it, so
//! it is never taken over, opened again, forked or replayed, and only `abort` and `complete` act on it.

pub mod active;
pub mod register;
pub mod unregister;
pub mod update_node;

mod control;
mod report;

pub(super) use self::control::control;

use crate::error::Error;
use crate::ids::ExecutionId;
use crate::store::{ExecutionHead, ExecutionKind};

/// Whether a foreign runner carries it out.
pub(super) fn is_external(head: &ExecutionHead) -> bool {
    head.kind == ExecutionKind::External.name()
}

/// The id of the session of an execution: the same as long as it lives.
fn session_id(id: &ExecutionId) -> String {
    id.as_str().replacen("exec_", "cli_", 1)
}

/// Refuses what needs the engine of an execution that has none.
///
/// # Errors
///
/// `NOT_RUN_HERE`.
pub(super) fn require_run_here(head: &ExecutionHead, id: &ExecutionId, verb: &str) -> Result<(), Error> {
    if is_external(head) { Err(not_run_here(id, verb)) } else { Ok(()) }
}

fn not_run_here(id: &ExecutionId, verb: &str) -> Error {
    Error::conflict("NOT_RUN_HERE", format!("a foreign runner carries `{id}` out: it cannot {verb} here"))
        .hint("`abort` and `complete` end it; for everything else ask that runner")
}
