//! How a database file is: SQLite's own check of it, its sizes, who works on it, and what nobody works on.

use std::path::Path;

use rusqlite::Connection;

use super::Store;
use super::columns::{Moment, NOT_ENDED, Whole};
use super::connection::open_reader;
use super::failure::Failure;
use super::integrity::{damage, lost_references};
use super::migrate::MIGRATIONS;
use super::owners::{OwnerRow, UNOWNED, read_row};
use crate::clock::Timestamp;
use crate::error::Error;

/// A database file as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How many schema steps the file has seen.
    pub schema: i64,
    /// How many this program knows.
    pub schema_known: i64,
    /// What SQLite's own check found; empty when all is well.
    pub problems: Vec<String>,
    pub size_bytes: u64,
    pub free_bytes: u64,
    /// Size of the write-ahead log beside the file.
    pub wal_bytes: u64,
    /// Absent where the schema is another one.
    pub contents: Option<Contents>,
}

/// What is in a database of this program's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub n_executions: u64,
    pub n_open: u64,
    /// Owners whose lease holds.
    pub owners: Vec<OwnerRow>,
    /// Executions that are to run and that nobody alive owns, oldest first, with their status.
    pub stuck: Vec<(String, String)>,
}

impl Store {
    /// Takes the writer's turn and writes nothing: it waits as a commit would, and fails where one would.
    ///
    /// # Errors
    ///
    /// `DATABASE_FAILED`, `DATABASE_BUSY`.
    pub async fn take_turn(&self) -> Result<(), Error> {
        self.writer.write(|_| Ok(())).await
    }

    /// Says whether the schema of the file is still the one of this program: a later one may have come by.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn has_own_schema(&self) -> Result<bool, Error> {
        self.readers.read(|connection| {
            let schema = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
            Ok(usize::try_from(schema) == Ok(MIGRATIONS.len()))
        })
    }

    /// Looks at a database file without changing it; `None` where there is none.
    ///
    /// # Errors
    ///
    /// `DATABASE_FAILED` when it is none or cannot be read, `DATABASE_BUSY`.
    pub fn examine(path: &Path, now: Timestamp) -> Result<Option<Health>, Error> {
        if !path.is_file() {
            return Ok(None);
        }
        examine(path, now).map(Some).map_err(|failure| failure.into_error(path))
    }
}

fn examine(path: &Path, now: Timestamp) -> Result<Health, Failure> {
    let connection = open_reader(path)?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let page_bytes = pragma("page_size")?;
    let bytes = |n_pages: i64| u64::try_from(n_pages * page_bytes).unwrap_or(0);
    let schema = pragma("user_version")?;
    let schema_known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let contents = if schema == schema_known { Some(contents(&connection, now)?) } else { None };
    Ok(Health {
        schema,
        schema_known,
        problems: problems(&connection)?,
        size_bytes: bytes(pragma("page_count")?),
        free_bytes: bytes(pragma("freelist_count")?),
        wal_bytes: std::fs::metadata(beside(path, "-wal")).map_or(0, |it| it.len()),
        contents,
    })
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn problems(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut problems = damage(connection)?;
    problems.extend(lost_references(connection)?);
    Ok(problems)
}

fn contents(connection: &Connection, now: Timestamp) -> Result<Contents, Failure> {
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Whole>(0));
    let sql = "SELECT owner, pid, host, kind, url, started_at, lease_expires_at FROM owners
                WHERE lease_expires_at > ?1 ORDER BY started_at, rowid";
    let mut statement = connection.prepare(sql)?;
    let owners = statement.query_map([Moment(now)], read_row)?.collect::<Result<_, _>>()?;
    // One that was written down a moment ago is not stuck, it is about to be taken.
    let sql = format!(
        "SELECT execution_id, status FROM executions WHERE {NOT_ENDED} AND status <> 'paused' AND {UNOWNED}
            AND coalesce(last_activity_at, started_at) < ?2 ORDER BY rowid"
    );
    let lease_ms = i64::try_from(crate::limits::LEASE.as_millis()).unwrap_or(i64::MAX);
    let mut statement = connection.prepare(&sql)?;
    let stuck = statement
        .query_map([Moment(now), Moment(now.plus_ms(-lease_ms))], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    Ok(Contents {
        n_executions: count("SELECT count(*) FROM executions")?.0,
        n_open: count(&format!("SELECT count(*) FROM executions WHERE {NOT_ENDED}"))?.0,
        owners,
        stuck,
    })
}

#[cfg(test)]
mod tests {
    use super::super::NewExecution;
    use super::super::testing::{NOON, TestStore, execution, owner};
    use super::*;
    use crate::limits;

    #[tokio::test]
    async fn what_nobody_alive_owns_for_longer_than_a_lease_is_stuck() {
        let test = TestStore::new();
        let path = test.store.path().to_path_buf();
        let look = |at: Timestamp| Store::examine(&path, at).expect("reads").expect("there").contents.expect("ours");
        test.store.register_owner(owner("me")).await.expect("registered");
        for (n, whose) in [(1, Some("me")), (2, None), (3, Some("gone"))] {
            let new = NewExecution { owner: whose.map(Into::into), ..execution(n) };
            test.store.create_execution(new).await.expect("created");
        }
        let stuck = |at| look(at).stuck.len();
        assert_eq!((look(NOON).n_executions, look(NOON).n_open, look(NOON).owners.len()), (3, 3, 1));
        let lease_ms = i64::try_from(limits::LEASE.as_millis()).expect("small");
        assert_eq!(stuck(NOON), 0);
        assert_eq!(stuck(NOON.plus_ms(lease_ms - 1)), 0);
        // By then the lease of `me` is over as well.
        assert_eq!(stuck(NOON.plus_ms(lease_ms + 1)), 3);
    }

    #[test]
    fn a_damaged_file_a_newer_one_and_none_are_told_apart() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("state.db");
        assert_eq!(Store::examine(&path, NOON).expect("nothing there"), None);
        Connection::open(&path).expect("opens").execute_batch("PRAGMA user_version = 99").expect("set");
        let newer = Store::examine(&path, NOON).expect("readable").expect("there");
        assert_eq!((newer.schema, newer.contents), (99, None));
        std::fs::write(&path, vec![7; 8_192]).expect("written");
        assert_eq!(Store::examine(&path, NOON).expect_err("no database").code(), "DATABASE_FAILED");
    }
}
