//! Executions of the original program: their log says nothing to this one, so their row does.

use serde_json::{Value, json};

use crate::error::Error;
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::see_result::Detail;
use crate::ids::ExecutionId;
use crate::store::Store;

/// Shows what the row of an execution without a readable log says became of it.
///
/// # Errors
///
/// What the database says.
pub(super) fn describe(
    object: &mut ExecutionObject,
    store: &Store,
    id: &ExecutionId,
    detail: Detail,
) -> Result<(), Error> {
    let Some(row) = store.execution(id)? else { return Ok(()) };
    object.error = row.projection.error.map(|text| match serde_json::from_str(&text) {
        Ok(error @ Value::Object(_)) => error,
        _ => json!({"code": row.head.error_code, "message": text}),
    });
    if detail != Detail::Summary {
        object.node_outputs = serde_json::from_str(&row.projection.node_outputs).ok();
    }
    Ok(())
}
