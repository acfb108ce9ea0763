//! The port through which references to secrets are resolved, last of all.

use std::sync::OnceLock;

use crate::error::Error;
use crate::secret::{Scrubber, Secret};

/// Where secrets are kept.
pub trait Secrets: Send + Sync {
    /// Returns the secret of this name, `None` when there is none. What it returns is known to
    /// [`Secrets::scrubber`] from then on.
    ///
    /// # Errors
    ///
    /// `FILE_FAILED` when the store cannot be read or others may read it.
    fn find(&self, name: &str) -> Result<Option<Secret>, Error>;

    /// Blots out every secret this process has resolved.
    fn scrubber(&self) -> &Scrubber {
        static NOTHING: OnceLock<Scrubber> = OnceLock::new();
        NOTHING.get_or_init(Scrubber::default)
    }

    /// Returns a key that only this user's programs know, the same in each of them, for one purpose. Keys of
    /// different purposes tell nothing about each other.
    ///
    /// # Errors
    ///
    /// `FILE_FAILED` when it cannot be read or made, or others may read it.
    fn key_for(&self, _purpose: &str) -> Result<[u8; 32], Error> {
        Err(Error::external("FILE_FAILED", "no key is kept here").hint("use the `dipeo` program"))
    }

    /// Returns what is known of every secret but its value, sorted by name.
    ///
    /// # Errors
    ///
    /// As [`Secrets::find`].
    fn list(&self) -> Result<Vec<SecretInfo>, Error> {
        Ok(Vec::new())
    }

    /// Keeps all of `secrets`, durably and at once, over older ones of the same names.
    ///
    /// # Errors
    ///
    /// As [`Secrets::find`].
    fn put(&self, _secrets: Vec<NewSecret>) -> Result<(), Error> {
        Err(Error::external("FILE_FAILED", "no secrets are kept here").hint("use the `dipeo` program"))
    }

    /// Forgets a secret and says whether there was one.
    ///
    /// # Errors
    ///
    /// As [`Secrets::find`].
    fn remove(&self, _name: &str) -> Result<bool, Error> {
        Ok(false)
    }
}

/// A secret to keep.
#[derive(Clone, Debug)]
pub struct NewSecret {
    pub name: String,
    pub value: Secret,
    /// The service it is a key of.
    pub service: Option<String>,
    /// What its owner calls it.
    pub label: Option<String>,
    /// RFC 3339.
    pub at: String,
}

/// What may be shown of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    pub name: String,
    pub service: Option<String>,
    pub label: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// Has none: for tests and places without a user.
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn find(&self, _name: &str) -> Result<Option<Secret>, Error> {
        Ok(None)
    }
}
