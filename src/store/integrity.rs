//! Looks for damage: of the file, of references between rows, of logs. What the rows say is compared by those
//! who know what they mean.

use rusqlite::Connection;

use super::Store;
use super::failure::Failure;
use crate::error::Error;

/// Most problems told of each kind; one is enough to act.
const PROBLEMS_MAX: usize = 20;

/// Logs of executions of this program (the original numbered its own way): each has every seq from 1, and the
/// row of the execution says where it ends.
const BROKEN_LOGS: &str = "
    SELECT 'the log of `' || e.execution_id || '` has ' || t.n || ' events from ' || t.first || ' to ' || t.last
           || ', its row says ' || e.last_seq
      FROM executions AS e JOIN
           (SELECT execution_id, count(*) AS n, min(seq) AS first, max(seq) AS last FROM transitions GROUP BY execution_id)
           AS t ON t.execution_id = e.execution_id
     WHERE e.source_sha256 IS NOT NULL AND (t.n <> t.last OR t.first <> 1 OR t.last <> e.last_seq) LIMIT ?1";
const MISSING_LOGS: &str = "
    SELECT 'the log of `' || execution_id || '` is missing' FROM executions
     WHERE last_seq > 0 AND NOT EXISTS (SELECT 1 FROM transitions AS t WHERE t.execution_id = executions.execution_id)
     LIMIT ?1";
const ORPHANS: &str = "
    SELECT 'there are events of `' || execution_id || '`, but no such execution' FROM
           (SELECT execution_id FROM transitions EXCEPT SELECT execution_id FROM executions) LIMIT ?1";

impl Store {
    /// Looks through the whole database beside the writer, as of one moment, and returns a sentence for each
    /// problem found.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn problems(&self) -> Result<Vec<String>, Error> {
        self.beside(|connection| {
            let view = connection.transaction()?;
            let mut problems = damage(&view)?;
            problems.extend(lost_references(&view)?);
            for sql in [BROKEN_LOGS, MISSING_LOGS, ORPHANS] {
                let mut statement = view.prepare(sql)?;
                let found = statement.query_map([PROBLEMS_MAX as i64], |row| row.get(0))?;
                problems.extend(found.collect::<Result<Vec<String>, _>>()?);
            }
            Ok(problems)
        })
        .await
    }
}

/// What SQLite finds wrong with the file.
pub(super) fn damage(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({PROBLEMS_MAX})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().filter(|it| it != "ok").map(|it| format!("the file is damaged: {it}")).collect())
}

/// References between rows that lead nowhere.
pub(super) fn lost_references(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let lost = statement.query_map([], |row| {
        let (table, refers_to): (String, String) = (row.get(0)?, row.get(2)?);
        Ok(format!("a row of `{table}` refers to a row of `{refers_to}` that is not there"))
    })?;
    Ok(lost.take(PROBLEMS_MAX).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::super::NewExecution;
    use super::super::testing::{TestStore, batch, execution};
    use crate::engine::Journal;

    #[tokio::test]
    async fn each_kind_of_damage_is_told_by_name() {
        for (what, sql, want) in [
            ("nothing", "SELECT 1", ""),
            ("a gap", "DELETE FROM transitions WHERE seq = 2", "has 2 events from 1 to 3"),
            ("no beginning", "DELETE FROM transitions WHERE seq = 1", "has 2 events from 2 to 3"),
            ("no end", "DELETE FROM transitions WHERE seq = 3", "its row says 3"),
            ("no log", "DELETE FROM transitions", "is missing"),
            ("no execution", "DELETE FROM executions", "but no such execution"),
            (
                "no text",
                "INSERT INTO diagrams VALUES ('d', 'd', NULL, 1, 'local', '', '');
                 INSERT INTO revisions (diagram_id, n, sha256, created_at) VALUES ('d', 1, 'lost', '')",
                "a row of `revisions` refers to a row of `sources`",
            ),
        ] {
            let test = TestStore::new();
            let new = NewExecution { owner: Some("me".into()), ..execution(1) };
            test.store.create_execution(new).await.expect("created");
            test.store.append(batch(1, "me", 2..=3)).await.expect("queued").durable().await.expect("written");
            let other = rusqlite::Connection::open(test.store.path()).expect("opens");
            other.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).expect(what);
            let problems = test.store.problems().await.expect("looks").join("; ");
            assert_eq!(problems.is_empty(), want.is_empty(), "{what}: {problems}");
            assert!(problems.contains(want), "{what}: {problems}");
        }
    }
}
