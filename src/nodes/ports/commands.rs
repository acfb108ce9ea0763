//! The port through which nodes start programs of the host.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::error::Error;

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Through `sh -c`.
    Shell(String),
    /// Without a shell: program and arguments.
    Argv(Vec<String>),
}

/// One program to run to its end. Whoever asks has checked the rights.
#[derive(Clone, Debug)]
pub struct CommandJob {
    pub program: Program,
    /// Relative to the workspace's root; the root itself when absent.
    pub folder: Option<String>,
    /// On top of the environment that host code gets.
    pub environment: BTreeMap<String, String>,
    pub stdin: Option<Vec<u8>>,
    pub timeout: Duration,
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandResult {
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// `None` when a signal ended it.
    pub status: Option<i32>,
}

/// Runs programs. Dropping a future kills the process with its group.
pub trait Commands: Send + Sync {
    /// Runs `job` to its end; a status is never an error here.
    ///
    /// # Errors
    ///
    /// `HOOK_FAILED` when it cannot be started or says too much, `NODE_TIMEOUT`.
    fn run(&self, job: CommandJob) -> BoxFuture<'_, Result<CommandResult, Error>>;
}

/// Starts nothing: for tests and mock runs.
pub struct NoCommands;

impl Commands for NoCommands {
    fn run(&self, _job: CommandJob) -> BoxFuture<'_, Result<CommandResult, Error>> {
        Box::pin(async {
            Err(Error::external("HOOK_FAILED", "no programs are started here").hint("run it outside of a mock run"))
        })
    }
}
