//! Lets the database count what its query planner asks for.

use super::{existing, require_terminal};
use crate::error::Error;
use crate::handlers::{App, Caller};

/// Counts. Rarely needed: every query here has an index made for it.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; failures of the database.
pub async fn analyze(app: &App, caller: &Caller) -> Result<(), Error> {
    require_terminal(caller)?;
    match existing(app)? {
        Some(store) => store.analyze().await,
        None => Ok(()),
    }
}
