//! Opens an execution again that failed or was aborted, at the nodes that did not complete. Committed nodes do not
//! run again; whoever saw the end before has seen it.

use std::sync::Arc;

use super::launch;
use super::supervisor::Supervisor;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::store::NewControl;

/// Opens `id` again and runs it here. Returns false when it has not failed and was not aborted (any more).
///
/// # Errors
///
/// `INTERRUPTED` when its stored diagram does not compile any more: it stays as it is then. What the database says.
pub(super) async fn reopen(
    supervisor: &Arc<Supervisor>,
    id: &ExecutionId,
    by: String,
    reason: Option<String>,
) -> Result<bool, Error> {
    launch::from_store(supervisor.store(), supervisor, id)?;
    supervisor.register().await?;
    let request =
        NewControl { execution_id: id.clone(), action: "resume".to_owned(), node: None, value: None, actor: Some(by) };
    let is_open = supervisor.store().open_again(request, reason, supervisor.owner()).await?;
    if is_open {
        supervisor.take_over(id).await;
    }
    Ok(is_open)
}
