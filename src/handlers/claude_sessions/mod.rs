//! Sessions of Claude Code: listed, counted, made diagrams (surface.md 8).
//!
//! | file | what it does |
//! |---|---|
//! | `list_sessions`, `convert_session`, `session_stats`, `watch_sessions` | one use case each |
//! | `folder` | where sessions lie |
//! | `session` | the text of one, read; pure |
//! | `translate`, `chain`, `tools`, `edits` | a session to a diagram; pure |
//! | `changed` | which sessions have grown and are quiet again; pure |

mod chain;
mod changed;
pub mod convert_session;
mod edits;
mod folder;
pub mod list_sessions;
mod session;
pub mod session_stats;
mod tools;
mod translate;
pub mod watch_sessions;

use crate::error::Error;
use crate::handlers::Caller;

/// Sessions are files of a person's home: no client may see them.
fn only_at_the_terminal(caller: &Caller) -> Result<&Caller, Error> {
    match caller {
        Caller::Terminal { .. } => Ok(caller),
        Caller::Client(_) => Err(Error::refused("PERMISSION_REQUIRED", "sessions are only read at the terminal")
            .hint("ask the person to run `dipeo dipeocc`")),
    }
}
