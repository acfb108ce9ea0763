//! Brings the schema of a database file up to date: `PRAGMA user_version` says how many of [`MIGRATIONS`]
//! it has seen. Also takes over files of the original program. It must not know what the rows mean to
//! anybody else.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::failure::{Failure, file_failed};
use crate::error::Error;

/// Every schema step ever released, in order. A released one is never edited.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/0001_executions.sql")];

/// Makes rows of the original program say what is true of them here: nobody runs them any more, and where
/// their log ends.
const ADOPTION: &str = "
    UPDATE executions SET status = lower(status) WHERE status <> lower(status);
    UPDATE executions SET status = 'completed' WHERE status = 'maxiter_reached';
    UPDATE executions
       SET status = 'failed', error_code = 'INTERRUPTED',
           error = coalesce(error, json_object('code', 'INTERRUPTED', 'message',
               'the program that ran this execution ended before it did', 'hint', 'run the diagram again'))
     WHERE status NOT IN ('completed', 'failed', 'aborted');
    UPDATE executions SET last_seq = coalesce(
        (SELECT max(seq) FROM transitions WHERE transitions.execution_id = executions.execution_id), 0);
    UPDATE messages SET seq = (SELECT count(*) FROM messages earlier
        WHERE earlier.execution_id = messages.execution_id AND earlier.rowid <= messages.rowid);
";

/// What the original's tables must at least have, or the file belongs to another program.
const GUIDE_COLUMNS: &[(&str, &[&str])] = &[
    (
        "executions",
        &[
            "execution_id",
            "status",
            "diagram_id",
            "started_at",
            "ended_at",
            "node_states",
            "node_outputs",
            "llm_usage",
            "error",
            "variables",
            "exec_counts",
            "executed_nodes",
            "metrics",
            "created_at",
            "access_count",
            "last_accessed",
        ],
    ),
    ("transitions", &["id", "execution_id", "node_id", "phase", "seq", "payload", "created_at"]),
    ("messages", &["id", "execution_id", "node_id", "person_id", "content", "token_count", "created_at"]),
];

/// Runs the migrations that `connection` has not seen, each in a transaction of its own. A file that holds
/// something is copied first, to `<path>.bak-<its version>`.
///
/// # Errors
///
/// `DATABASE_NEWER` when a later dipeo wrote the file; `DATABASE_FAILED` when it belongs to another program
/// or cannot be written; `DATABASE_BUSY`.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let prepared = prepare(connection, path);
    let Some(version) = prepared.map_err(|failure| failure.into_error(path))? else {
        return Ok(());
    };
    if version > 0 || table_exists(connection, "executions").map_err(|failure| failure.into_error(path))? {
        keep_copy(connection, path, version)?;
    }
    for n in version..MIGRATIONS.len() {
        apply(connection, n).map_err(|failure| failure.into_error(path))?;
    }
    Ok(())
}

/// Returns the version to start from, or nothing when there is nothing to do.
fn prepare(connection: &Connection, path: &Path) -> Result<Option<usize>, Failure> {
    let version = version(connection)?;
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
        require_empty_or_original(connection, path)?;
    }
    Ok(Some(version))
}

fn version(connection: &Connection) -> Result<usize, Failure> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    // A negative number is nothing we ever wrote; as a huge one it is refused like a newer file.
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

fn require_empty_or_original(connection: &Connection, path: &Path) -> Result<(), Failure> {
    if !table_exists(connection, "executions")? {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        let n_tables: i64 = connection.query_row(sql, [], |row| row.get(0))?;
        return if n_tables == 0 { Ok(()) } else { Err(foreign(path, "it has tables, but no `executions`")) };
    }
    for (table, columns) in GUIDE_COLUMNS {
        let present = column_names(connection, table)?;
        let missing: Vec<_> = columns.iter().filter(|it| !present.iter().any(|have| have == *it)).copied().collect();
        // A table that is not there at all is made like any other.
        if !present.is_empty() && !missing.is_empty() {
            return Err(foreign(path, &format!("table `{table}` lacks `{}`", missing.join("`, `"))));
        }
    }
    Ok(())
}

fn foreign(path: &Path, why: &str) -> Failure {
    Error::external("DATABASE_FAILED", format!("`{}` is the database of another program: {why}", path.display()))
        .hint("name another file with `DATABASE_URL`")
        .into()
}

fn table_exists(connection: &Connection, table: &str) -> Result<bool, Failure> {
    Ok(!column_names(connection, table)?.is_empty())
}

fn column_names(connection: &Connection, table: &str) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names)
}

/// Writes what the file holds now beside it, once per version: an earlier copy came before a migration that
/// did not finish, so it is as good.
fn keep_copy(connection: &Connection, path: &Path, version: usize) -> Result<(), Error> {
    let copy = beside(path, &format!(".bak-{version}"));
    if copy.exists() {
        return Ok(());
    }
    let unfinished = beside(path, &format!(".bak-{version}.{}", std::process::id()));
    let failed = |error| file_failed("copy the database to", &copy, error);
    let Some(target) = unfinished.to_str() else {
        return Err(failed(std::io::Error::other("SQLite needs a path in UTF-8")));
    };
    let _ = std::fs::remove_file(&unfinished);
    connection
        .execute("VACUUM INTO ?1", [target])
        .map_err(|error| Failure::from(error).into_error(&copy))
        .and_then(|_| finish_copy(&unfinished, &copy).map_err(failed))
        .inspect_err(|_| drop(std::fs::remove_file(&unfinished)))
}

/// Gives the copy its rights and, when it is safely on the disk, its name.
fn finish_copy(unfinished: &Path, copy: &Path) -> std::io::Result<()> {
    let file = std::fs::File::open(unfinished)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.sync_all()?;
    std::fs::rename(unfinished, copy)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn apply(connection: &mut Connection, n: usize) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if version(&transaction)? > n {
        return Ok(());
    }
    let is_original = n == 0 && table_exists(&transaction, "executions")?;
    transaction.execute_batch(MIGRATIONS[n])?;
    if is_original {
        transaction.execute_batch(ADOPTION)?;
    }
    finish(transaction, n + 1)
}

fn finish(transaction: Transaction<'_>, version: usize) -> Result<(), Failure> {
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", version)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::connection::open_writer;
    use super::*;

    fn open(path: &Path) -> Result<Connection, Error> {
        let mut connection = open_writer(path, Durability::Full)?;
        migrate(&mut connection, path).map(|()| connection)
    }

    /// A file as the original left it: the guide's tables (`messages` was only made when needed).
    fn original(path: &Path) {
        let connection = Connection::open(path).expect("opens");
        connection
            .execute_batch(
                "CREATE TABLE executions (execution_id TEXT PRIMARY KEY, status TEXT NOT NULL, diagram_id TEXT,
                   started_at TEXT NOT NULL, ended_at TEXT, node_states TEXT NOT NULL, node_outputs TEXT NOT NULL,
                   llm_usage TEXT NOT NULL, error TEXT, variables TEXT NOT NULL, exec_counts TEXT NOT NULL DEFAULT '{}',
                   executed_nodes TEXT NOT NULL DEFAULT '[]', metrics TEXT,
                   created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, access_count INTEGER DEFAULT 0,
                   last_accessed TIMESTAMP DEFAULT CURRENT_TIMESTAMP);
                 CREATE INDEX idx_status ON executions(status);
                 CREATE TABLE transitions (id TEXT PRIMARY KEY, execution_id TEXT NOT NULL, node_id TEXT,
                   phase TEXT NOT NULL, seq INTEGER NOT NULL, payload TEXT NOT NULL,
                   created_at TEXT NOT NULL DEFAULT (datetime('now')));
                 INSERT INTO transitions(id, execution_id, phase, seq, payload)
                   VALUES ('r:1', 'r', 'node_started', 1, '{}'), ('r:2', 'r', 'node_completed', 2, '{}');",
            )
            .expect("made");
        for (id, status, error) in [
            ("c", "COMPLETED", None),
            ("r", "running", None),
            ("p", "pending", Some("told")),
            ("a", "aborted", None),
            ("m", "maxiter_reached", None),
        ] {
            let sql = "INSERT INTO executions(execution_id, status, started_at, node_states, node_outputs, llm_usage,
                         error, variables) VALUES (?1, ?2, '2025-01-02T03:04:05', '{}', '{}', '{}', ?3, '{}')";
            connection.execute(sql, (id, status, error)).expect("inserted");
        }
    }

    #[test]
    fn rows_the_original_left_running_are_failed_and_a_copy_is_kept() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("dipeo_state.db");
        original(&path);
        let connection = open(&path).expect("adopted");
        let sql = "SELECT execution_id || ' ' || status || ' ' || coalesce(error_code, '-') || ' ' || last_seq
                     FROM executions ORDER BY rowid";
        let mut statement = connection.prepare(sql).expect("our columns are there");
        let rows: Vec<String> =
            statement.query_map([], |row| row.get(0)).expect("runs").collect::<Result<_, _>>().expect("reads");
        assert_eq!(
            rows,
            ["c completed - 0", "r failed INTERRUPTED 2", "p failed INTERRUPTED 0", "a aborted - 0", "m completed - 0"]
        );
        let error: String = connection
            .query_row("SELECT error FROM executions WHERE execution_id = 'p'", [], |row| row.get(0))
            .expect("reads");
        assert_eq!(error, "told");

        let copy = Connection::open(folder.path().join("dipeo_state.db.bak-0")).expect("opens");
        let left: i64 = copy
            .query_row("SELECT count(*) FROM executions WHERE status = 'running'", [], |row| row.get(0))
            .expect("reads");
        assert_eq!((left, column_names(&copy, "executions").expect("reads").len()), (1, 16));
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).expect("lists").map(|it| it.expect("entry").file_name()).collect();
        assert_eq!(names.iter().filter(|it| it.to_string_lossy().contains(".bak-")).count(), 1, "{names:?}");
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
        for table in ["executions", "transitions", "messages", "sources", "diagrams", "revisions", "owners", "controls"]
        {
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
