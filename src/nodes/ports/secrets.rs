//! The port through which references to secrets are resolved, last of all.

use crate::error::Error;
use crate::secret::Secret;

/// Where secrets are kept.
pub trait Secrets: Send + Sync {
    /// Returns the secret of this name, `None` when there is none.
    ///
    /// # Errors
    ///
    /// `FILE_FAILED` when the store cannot be read or others may read it.
    fn find(&self, name: &str) -> Result<Option<Secret>, Error>;
}

/// Has none: for tests and places without a user.
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn find(&self, _name: &str) -> Result<Option<Secret>, Error> {
        Ok(None)
    }
}
