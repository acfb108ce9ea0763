//! Gives free pages of the database back to the disk and empties its log.

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::prune::shrink;
use super::{existing, require_alone, require_terminal};
use crate::error::Error;
use crate::handlers::{App, Caller};

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The file was made without the ability to shrink, and has it now.
    pub converted: bool,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Size of the write-ahead log afterwards.
    pub log_bytes: u64,
}

/// Shrinks the file while everything goes on; one that cannot shrink is rewritten once, with nobody on it.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `DATABASE_IN_USE` when the file must be rewritten; failures of the database.
pub async fn vacuum(app: &App, caller: &Caller) -> Result<Response, Error> {
    require_terminal(caller)?;
    let Some(store) = existing(app)? else { return Ok(Response::default()) };
    let before = store.space()?;
    let mut converted = false;
    if !before.is_incremental {
        require_alone(store).await?;
        converted = store.convert().await?;
    }
    shrink(store, &CancellationToken::new()).await?;
    let after = store.space()?;
    Ok(Response {
        converted,
        bytes_before: before.file_bytes,
        bytes_after: after.file_bytes,
        log_bytes: after.log_bytes,
    })
}
