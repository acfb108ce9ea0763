//! What a socket shows of the inside of an execution (platform.md 6.3).

use std::sync::Arc;

use serde_json::{Value, json};

use super::frames::What;
use crate::error::Error;
use crate::handlers::control_execution::{self, control_execution};
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::run_diagram::Waiting;
use crate::handlers::see_result::{self, Detail, see_result};
use crate::handlers::{App, Caller};

/// Looks into an execution; without `what` everything, and what `node` sees or the only one that waits or is next.
///
/// # Errors
///
/// As `control_execution` with `inspect`, and as `see_result`.
pub(super) async fn inspect(
    app: &Arc<App>,
    caller: &Caller,
    execution_id: String,
    node: Option<String>,
    what: Option<What>,
) -> Result<Value, Error> {
    let waiting = Waiting::default();
    if what == Some(What::Messages) {
        let detail = Some(Detail::Conversation);
        let request = see_result::Request { execution_id, detail, node, ..Default::default() };
        let object = see_result(app, caller, request, waiting).await?;
        return Ok(json!({
            "execution_id": object.execution_id,
            "messages": object.conversation.unwrap_or_default(),
            "omitted": object.omitted,
        }));
    }
    let action = "inspect".to_owned();
    let request = control_execution::Request { execution_id, action, node, ..Default::default() };
    Ok(shown(control_execution(app, caller, request, waiting).await?, what))
}

fn shown(object: ExecutionObject, what: Option<What>) -> Value {
    let inside = object.inspection.unwrap_or_default();
    let mut data = match what {
        None => json!(inside),
        Some(What::Variables) => json!({"variables": inside.variables}),
        Some(What::Inputs) => match inside.node {
            Some(node) => json!({
                "node_id": node.node_id, "label": node.label, "iteration": node.iteration,
                "inputs": node.inputs, "sources": node.sources,
            }),
            None => json!({"inputs": {}}),
        },
        Some(What::Pending | What::Messages) => json!({
            "ready": inside.ready, "under_way": inside.under_way, "waiting_for": object.waiting_for,
        }),
    };
    data["execution_id"] = object.execution_id.into();
    data["status"] = object.status.name().into();
    data
}
