//! Takes over a database of the original program: its tables have the guide's columns, its rows say
//! things that are no longer true.

use std::path::Path;

use rusqlite::Connection;

use super::failure::Failure;
use crate::error::Error;

/// What the original's tables must at least have, or the file belongs to another program.
pub(super) const GUIDE_COLUMNS: &[(&str, &[&str])] = &[
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

/// Makes the rows say what is true of them here: nobody runs them any more, and where their log ends.
const TRUTH: &str = "
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

/// A table of the guide, and its columns.
pub(super) type GuideTable = (&'static str, &'static [&'static str]);

/// Whether the file holds executions; asked of files that no migration has seen.
pub(super) fn is_original(connection: &Connection) -> Result<bool, Failure> {
    Ok(!column_names(connection, "executions")?.is_empty())
}

/// Refuses a file that no migration has seen unless it is empty or the original's.
///
/// # Errors
///
/// `DATABASE_FAILED` when it belongs to another program.
pub(super) fn require_empty_or_original(connection: &Connection, path: &Path) -> Result<(), Failure> {
    if !is_original(connection)? {
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

/// Renames the original's tables, so that ours can be made, and returns which there were.
pub(super) fn set_aside(connection: &Connection) -> Result<Vec<GuideTable>, Failure> {
    let mut found = Vec::new();
    for table in GUIDE_COLUMNS {
        let (name, _) = table;
        if column_names(connection, name)?.is_empty() {
            continue;
        }
        // An index keeps its name when its table gets another one, and ours have the same names.
        for index in index_names(connection, name)? {
            connection.execute_batch(&format!("DROP INDEX \"{}\"", index.replace('"', "\"\"")))?;
        }
        connection.execute_batch(&format!("ALTER TABLE {name} RENAME TO original_{name}"))?;
        found.push(*table);
    }
    Ok(found)
}

/// Copies the rows into our tables, drops the original's and corrects what the rows say.
pub(super) fn take_over(connection: &Connection, tables: &[GuideTable]) -> Result<(), Failure> {
    for (table, columns) in tables {
        let columns = columns.join(", ");
        let sql = format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM original_{table} ORDER BY rowid");
        connection.execute_batch(&sql)?;
    }
    // What refers to another table goes first.
    for (table, _) in tables.iter().rev() {
        connection.execute_batch(&format!("DROP TABLE original_{table}"))?;
    }
    Ok(connection.execute_batch(TRUTH)?)
}

/// Returns the columns of a table in their order; none when there is no such table.
pub(super) fn column_names(connection: &Connection, table: &str) -> Result<Vec<String>, Failure> {
    texts(connection, "SELECT name FROM pragma_table_info(?1) ORDER BY cid", table)
}

/// Those somebody made; the ones that belong to a constraint go with their table.
fn index_names(connection: &Connection, table: &str) -> Result<Vec<String>, Failure> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL";
    texts(connection, sql, table)
}

fn texts(connection: &Connection, sql: &str, table: &str) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare(sql)?;
    let texts = statement.query_map([table], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::super::Durability;
    use super::super::connection::open_writer;
    use super::super::migrate::migrate;
    use super::*;

    fn open(path: &Path) -> Result<Connection, Error> {
        open_writer(path, Durability::Full, |connection| migrate(connection, path))
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
                   created_at TEXT NOT NULL DEFAULT (datetime('now')),
                   FOREIGN KEY (execution_id) REFERENCES executions(execution_id));
                 CREATE UNIQUE INDEX ux_exec_seq ON transitions(execution_id, seq);",
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
        let sql = "INSERT INTO transitions(id, execution_id, phase, seq, payload)
                   VALUES ('r:1', 'r', 'node_started', 1, '{}'), ('r:2', 'r', 'node_completed', 2, '{}')";
        connection.execute(sql, []).expect("inserted");
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

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let copy = std::fs::metadata(folder.path().join("dipeo_state.db.bak-0")).expect("kept");
            assert_eq!(copy.permissions().mode() & 0o777, 0o600);
        }
        let copy = Connection::open(folder.path().join("dipeo_state.db.bak-0")).expect("opens");
        let left: i64 = copy
            .query_row("SELECT count(*) FROM executions WHERE status = 'running'", [], |row| row.get(0))
            .expect("reads");
        assert_eq!((left, column_names(&copy, "executions").expect("reads").len()), (1, 16));
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).expect("lists").map(|it| it.expect("entry").file_name()).collect();
        assert_eq!(names.iter().filter(|it| it.to_string_lossy().contains(".bak-")).count(), 1, "{names:?}");
    }
}
