//! The database: whether it is sound, how large it is, who works on it, and what nobody works on.

use super::Part;
use crate::handlers::App;
use crate::handlers::supervisor::is_alive;
use crate::store::{Contents, Health, Store};

/// A write-ahead log of this size is no longer cut back by itself, in bytes (surface.md 6.3).
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Stuck executions that are named.
const NAMED_MAX: usize = 5;

/// Reads the file without changing it.
pub(super) async fn check(app: &App) -> Part {
    let mut part = Part::default();
    part.fact("file", app.config.database.display());
    match Store::examine(&app.config.database, app.clock.now()) {
        Ok(None) => part.fact("state", "not made yet; the first run makes it"),
        Ok(Some(health)) => tell(&mut part, &health),
        Err(error) => part.failure(&error),
    }
    part
}

fn tell(part: &mut Part, health: &Health) {
    part.fact("size", format!("{} KiB, {} KiB of it free", health.size_bytes / 1_024, health.free_bytes / 1_024));
    part.fact("write-ahead log", format!("{} KiB", health.wal_bytes / 1_024));
    part.fact("schema", format!("{} of {}", health.schema, health.schema_known));
    if health.problems.is_empty() {
        part.fact("integrity", "ok");
    }
    for problem in health.problems.iter().take(NAMED_MAX) {
        part.finding(
            problem.as_str(),
            "stop every dipeo, keep a copy of the file and of the one that ends in -wal, and go back to a backup",
        );
    }
    if health.wal_bytes > WAL_BYTES_MAX {
        let message = format!("the write-ahead log has grown to {} MiB", health.wal_bytes / 1_024 / 1_024);
        part.finding(message, "a program keeps the database open for reading; end it, then start any dipeo command");
    }
    if health.schema > health.schema_known {
        part.finding(
            "a newer dipeo wrote this database",
            "use the newer dipeo, or name another file with `DATABASE_URL`",
        );
    } else if health.schema < health.schema_known {
        part.fact("upgrade", "the next command that uses the database upgrades it and keeps a copy");
    }
    if let Some(contents) = &health.contents {
        tell_contents(part, contents);
    }
}

fn tell_contents(part: &mut Part, contents: &Contents) {
    part.fact("executions", format!("{}, {} of them open", contents.n_executions, contents.n_open));
    for owner in &contents.owners {
        let state = if is_alive(owner) { "lives" } else { "died; what it ran is free" };
        part.fact("owner", format!("{} (process {} on {}) {state}", owner.kind, owner.pid, owner.host));
    }
    if contents.stuck.is_empty() {
        return;
    }
    let named: Vec<&str> = contents.stuck.iter().take(NAMED_MAX).map(|it| it.0.as_str()).collect();
    let message = format!("{} executions are to run and nobody runs them: {}", contents.stuck.len(), named.join(", "));
    part.finding(
        message,
        "start `dipeo serve` or `dipeo mcp`, which take them over; `dipeo results ID` does it for one",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Health {
        let contents = Contents { n_executions: 3, n_open: 1, owners: Vec::new(), stuck: Vec::new() };
        Health {
            schema: 3,
            schema_known: 3,
            problems: Vec::new(),
            size_bytes: 4_096,
            free_bytes: 0,
            wal_bytes: 0,
            contents: Some(contents),
        }
    }

    #[test]
    fn every_finding_says_what_is_wrong_and_what_to_do() {
        let with = |change: fn(&mut Health)| {
            let mut health = sound();
            change(&mut health);
            let mut part = Part::default();
            tell(&mut part, &health);
            part.findings
        };
        assert_eq!(with(|_| {}), []);
        assert_eq!(with(|it| it.schema = 2), []);
        for (change, part) in [
            ((|it| it.problems.push("row 3 missing".into())) as fn(&mut Health), "row 3 missing"),
            (|it| it.wal_bytes = 65 * 1024 * 1024, "65 MiB"),
            (|it| it.schema = 4, "newer dipeo"),
            (
                |it| it.contents.as_mut().expect("ours").stuck.push(("exec_a".into(), "running".into())),
                "1 executions are to run and nobody runs them: exec_a",
            ),
        ] {
            let findings = with(change);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].message.contains(part) && !findings[0].hint.is_empty(), "{findings:?}");
        }
    }
}
