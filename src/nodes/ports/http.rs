//! The port through which nodes reach other machines.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::error::Error;
use crate::nodes::rights::Rights;

/// One request. Secrets in it are already resolved, so it is never printed as a whole.
#[derive(Clone)]
pub struct HttpRequest {
    /// In upper case.
    pub method: String,
    pub url: String,
    /// Added to the query string of `url`, percent-encoded.
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// From the start of the connection to the last byte.
    pub timeout: Duration,
    /// Decides which addresses may be connected to.
    pub rights: Arc<Rights>,
}

/// One answer, whatever its status.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpReply {
    pub status: u16,
    /// Names in lower case, in the order received.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub duration: Duration,
}

impl HttpReply {
    /// The first header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// Sends requests. Dropping a future breaks its request off.
pub trait Http: Send + Sync {
    /// Sends one request and reads the whole answer. A status is never an error here.
    ///
    /// # Errors
    ///
    /// `HTTP_FAILED` (no connection, time is up, broken off: retryable; malformed address, answer too large:
    /// not), `HOST_NOT_ALLOWED` for an address that the rights refuse. No error names a secret.
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>>;
}

/// Reaches nobody: for tests and mock runs.
pub struct NoNetwork;

impl Http for NoNetwork {
    fn send(&self, _request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>> {
        Box::pin(async {
            Err(Error::external("HTTP_FAILED", "there is no network here").hint("run it outside of a mock run"))
        })
    }
}
