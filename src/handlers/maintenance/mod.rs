//! Looking after the database: keeping it small, copying it, checking it. All of it works while executions run,
//! and for now only for a person at the terminal.

pub mod analyze;
pub mod backup;
pub mod check;
pub mod hold;
pub mod keep_small;
mod pace;
pub mod prune;
pub mod restore;
mod rotation;
pub mod stats;
pub mod vacuum;

use std::sync::Arc;

use super::supervisor::release_dead;
use super::{App, Caller};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::store::Store;

/// Refuses everybody but a person at the terminal.
fn require_terminal(caller: &Caller) -> Result<(), Error> {
    if matches!(caller, Caller::Terminal { .. }) {
        return Ok(());
    }
    Err(Error::refused("PERMISSION_REQUIRED", "only a person at the terminal may look after the database")
        .hint("ask the person to run `dipeo maintenance`"))
}

/// The database, when there is one; one that cannot be opened is not passed over in silence.
fn existing(app: &App) -> Result<Option<&Arc<Store>>, Error> {
    if app.config.database.is_file() { app.store().map(Some) } else { Ok(None) }
}

/// Whether another process lives on this database, and which.
fn other_owner(store: &Store) -> Result<Option<String>, Error> {
    let own = std::process::id();
    let others = store.live_owners()?.into_iter().filter(|it| it.pid != own);
    Ok(others.map(|it| format!("dipeo {} (process {})", it.kind, it.pid)).next())
}

/// Refuses while another process lives on this database.
async fn require_alone(store: &Store) -> Result<(), Error> {
    release_dead(store).await?;
    match other_owner(store)? {
        None => Ok(()),
        Some(who) => {
            Err(Error::conflict("DATABASE_IN_USE", format!("`{}` is in use by {who}", store.path().display()))
                .hint("stop every dipeo on this workspace (serve, mcp, run) and try again"))
        }
    }
}

/// A moment as part of a file's name: `20260102T030405678Z`.
fn stamp(at: Timestamp) -> String {
    at.to_rfc3339().chars().filter(|it| it.is_ascii_alphanumeric()).collect()
}

/// Reads what [`stamp`] wrote.
fn read_stamp(text: &str) -> Option<Timestamp> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() != 17 || text.len() != 19 {
        return None;
    }
    let part = |from: usize, to: usize| &digits[from..to];
    let rfc3339 = format!(
        "{}-{}-{}T{}:{}:{}.{}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14),
        part(14, 17)
    );
    Timestamp::parse(&rfc3339).filter(|it| stamp(*it) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_in_a_name_reads_back() {
        let at = Timestamp(1_767_323_045_678);
        assert_eq!(stamp(at), "20260102T030405678Z");
        for (text, want) in [
            ("20260102T030405678Z", Some(at)),
            ("20260102T030405678", None),
            ("20261302T030405678Z", None),
            ("x0260102T03040567812", None),
            ("", None),
        ] {
            assert_eq!(read_stamp(text), want, "{text}");
        }
    }
}
