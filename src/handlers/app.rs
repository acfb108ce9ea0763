//! What all handlers share, and who calls them.

use std::path::PathBuf;

/// Who makes a request. It decides what may be opened and which rights a diagram gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A person at the terminal, in this folder: may open any path; files run as `local`.
    Terminal { working_dir: PathBuf },
    /// A client over MCP or HTTP: only names inside the workspace; inline text is `submitted`.
    Client,
}

impl Caller {
    /// The word stored as `by`/`via` of what they do.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Terminal { .. } => "terminal",
            Self::Client => "client",
        }
    }
}

/// Everything handlers need; built once by `main`.
pub struct App {}
