//! Brings the schema of a database file up to date: `PRAGMA user_version` says how many of [`MIGRATIONS`]
//! it has seen. It must not know what the rows mean.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::adopt::{self, is_original};
use super::connection::new_private_file;
use super::failure::{Failure, file_failed};
use crate::error::Error;

/// Every schema step ever released, in order. A released one is never edited.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_executions.sql"),
    include_str!("../../migrations/0002_children_and_blobs.sql"),
    include_str!("../../migrations/0003_api_tokens.sql"),
    include_str!("../../migrations/0004_recordings.sql"),
    include_str!("../../migrations/0005_retention.sql"),
    include_str!("../../migrations/0006_persons_and_sessions.sql"),
];

/// Runs the migrations that `connection` has not seen, in one transaction. A file that holds
/// something is copied first, to `<path>.bak-<its version>`.
///
/// # Errors
///
/// `DATABASE_NEWER` when a later dipeo wrote the file; `DATABASE_FAILED` when it belongs to another program
/// or cannot be written; `DATABASE_BUSY`.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let found = look(connection, path).map_err(|failure| failure.into_error(path))?;
    let Some(Found { version, is_empty }) = found else {
        return Ok(());
    };
    if !is_empty {
        keep_copy(connection, path, version)?;
    }
    apply(connection).map_err(|failure| failure.into_error(path))
}

/// Refuses a file that this program cannot open, and one without anything in it.
///
/// # Errors
///
/// `DATABASE_NEWER`, `DATABASE_FAILED`.
pub(super) fn require_known(connection: &Connection, path: &Path) -> Result<(), Failure> {
    match look(connection, path)? {
        Some(found) if found.is_empty => {
            Err(Error::external("DATABASE_FAILED", format!("`{}` holds no executions", path.display()))
                .hint("name a file that `dipeo maintenance backup` wrote")
                .into())
        }
        _ => Ok(()),
    }
}

/// A file that needs migrations.
struct Found {
    version: usize,
    is_empty: bool,
}

/// Returns where to start from, or nothing when there is nothing to do.
fn look(connection: &Connection, path: &Path) -> Result<Option<Found>, Failure> {
    // One view: another process may be making the tables just now.
    let view = connection.unchecked_transaction()?;
    let version = version(&view)?;
    if version == MIGRATIONS.len() {
        return Ok(None);
    }
    if version > MIGRATIONS.len() {
        let message = format!(
            "`{}` was written by a newer dipeo: its schema is {version}, this one knows {}",
            path.display(),
            MIGRATIONS.len()
        );
        return Err(Error::conflict("DATABASE_NEWER", message)
            .hint("use the newer dipeo, or name another file with `DATABASE_URL`")
            .into());
    }
    if version == 0 {
        adopt::require_empty_or_original(&view, path)?;
    }
    Ok(Some(Found { version, is_empty: version == 0 && !is_original(&view)? }))
}

fn version(connection: &Connection) -> Result<usize, Failure> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // A negative number is nothing we ever wrote; as a huge one it is refused like a newer file.
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// Writes what the file holds now beside it, once per version: an earlier copy came before a migration that
/// did not finish, so it is as good.
fn keep_copy(connection: &Connection, path: &Path, version: usize) -> Result<(), Error> {
    let copy = beside(path, &format!(".bak-{version}"));
    if copy.exists() {
        return Ok(());
    }
    let unfinished = beside(path, &format!(".bak-{version}.{}", uuid::Uuid::new_v4().simple()));
    let failed = |error| file_failed("copy the database to", &copy, error);
    let Some(target) = unfinished.to_str() else {
        return Err(failed(std::io::Error::other("SQLite needs a path in UTF-8")));
    };
    let _ = std::fs::remove_file(&unfinished);
    // SQLite fills an empty file, and so the copy is never readable by others.
    new_private_file(&unfinished).map_err(failed)?;
    connection
        .execute("VACUUM INTO ?1", [target])
        .map_err(|error| Failure::from(error).into_error(&copy))
        .and_then(|_| finish_copy(&unfinished, &copy).map_err(failed))
        .inspect_err(|_| drop(std::fs::remove_file(&unfinished)))
}

/// Gives the copy its name once it is safely on the disk.
fn finish_copy(unfinished: &Path, copy: &Path) -> std::io::Result<()> {
    std::fs::File::open(unfinished)?.sync_all()?;
    std::fs::rename(unfinished, copy)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Applies every step that is missing in one transaction, so that nobody sees a schema between two versions.
fn apply(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let version = version(&transaction)?;
    if version >= MIGRATIONS.len() {
        return Ok(());
    }
    for (n, step) in MIGRATIONS.iter().enumerate().skip(version) {
        if n == 0 && is_original(&transaction)? {
            let tables = adopt::set_aside(&transaction)?;
            transaction.execute_batch(step)?;
            adopt::take_over(&transaction, &tables)?;
        } else {
            transaction.execute_batch(step)?;
        }
    }
    finish(transaction, MIGRATIONS.len())
}

fn finish(transaction: Transaction<'_>, version: usize) -> Result<(), Failure> {
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", version)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::adopt::{GUIDE_COLUMNS, column_names};
    use super::super::connection::open_writer;
    use super::*;

    fn open(path: &Path) -> Result<Connection, Error> {
        open_writer(path, Durability::Full, |connection| migrate(connection, path))
    }

    #[test]
    fn opening_again_changes_nothing_and_copies_nothing() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("state.db");
        drop(open(&path).expect("made"));
        let connection = open(&path).expect("opens again");
        assert_eq!(version(&connection).expect("reads"), MIGRATIONS.len());
        assert!(!folder.path().join("state.db.bak-1").exists() && !folder.path().join("state.db.bak-0").exists());
    }

    #[test]
    fn files_that_are_not_ours_to_change_are_refused_with_a_hint() {
        for (sql, code, part) in [
            ("PRAGMA user_version = 99", "DATABASE_NEWER", "its schema is 99"),
            ("PRAGMA user_version = -1", "DATABASE_NEWER", "newer dipeo"),
            ("CREATE TABLE songs (a)", "DATABASE_FAILED", "no `executions`"),
            ("CREATE TABLE executions (execution_id, status)", "DATABASE_FAILED", "lacks `diagram_id`, `started_at`"),
        ] {
            let folder = tempfile::tempdir().expect("temp folder");
            let path = folder.path().join("state.db");
            Connection::open(&path).expect("opens").execute_batch(sql).expect(sql);
            let error = open(&path).expect_err(sql);
            assert_eq!(error.code(), code, "{sql}");
            assert!(error.message().contains(part), "{}", error.message());
            assert!(error.hint_text().is_some());
        }
    }

    #[test]
    fn several_processes_may_make_the_same_new_file() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("state.db");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| open(&path).expect("opens"));
            }
        });
    }

    #[test]
    fn the_schema_is_the_promised_one() {
        let folder = tempfile::tempdir().expect("temp folder");
        let connection = open(&folder.path().join("state.db")).expect("made");
        let columns = |table: &str| column_names(&connection, table).expect("reads").join(" ");
        for (table, guide) in GUIDE_COLUMNS {
            assert!(columns(table).starts_with(&guide.join(" ")), "{table}: {}", columns(table));
        }
        let mut shown = String::new();
        for table in [
            "executions",
            "transitions",
            "messages",
            "sources",
            "diagrams",
            "revisions",
            "owners",
            "controls",
            "large_values",
            "content_uses",
        ] {
            shown.push_str(&describe(&connection, table));
        }
        insta::assert_snapshot!(shown);
    }

    fn describe(connection: &Connection, table: &str) -> String {
        let lines = |sql: &str| -> String {
            let mut statement = connection.prepare(sql).expect(sql);
            let lines = statement.query_map([table], |row| row.get::<_, String>(0)).expect(sql);
            lines.map(|it| format!("  {}\n", it.expect("text"))).collect()
        };
        let columns = lines(
            "SELECT name || ' ' || type || iif(pk, ' PK', '') || iif(\"notnull\", ' NN', '')
                    || coalesce(' ' || dflt_value, '') FROM pragma_table_info(?1) ORDER BY cid",
        );
        let indexes = lines(
            "SELECT 'index ' || l.name || iif(l.\"unique\", ' unique', '') || iif(l.partial, ' partial', '') || ' ('
                    || (SELECT group_concat(coalesce(x.name, 'expression') || iif(x.\"desc\", ' DESC', ''), ', ')
                          FROM pragma_index_xinfo(l.name) x WHERE x.key) || ')'
               FROM pragma_index_list(?1) l ORDER BY l.name",
        );
        format!("{table}\n{columns}{indexes}")
    }
}
