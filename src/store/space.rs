//! The file itself: how large it is and of what, giving free pages back to the disk, emptying the write-ahead
//! log. It must not know what the rows mean.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::Store;
use super::columns::Moment;
use super::connection::{open_beside, without_waiting};
use super::failure::{Failure, is_busy};
use crate::clock::Timestamp;
use crate::error::Error;

/// Rows that `ANALYZE` looks at per index: enough to tell a good index from a bad one, without reading all.
const ANALYZED_ROWS: u32 = 1_000;

/// How much room the database takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Of the file, in bytes.
    pub file_bytes: u64,
    /// Of the write-ahead log, in bytes.
    pub log_bytes: u64,
    pub page_bytes: u64,
    /// Pages that hold nothing.
    pub free_pages: u64,
    /// Whether free pages can be given back.
    pub is_incremental: bool,
}

/// One table with its indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    pub table: String,
    pub rows: u64,
    /// Pages of the table and its indexes, in bytes.
    pub bytes: u64,
}

/// How far the write-ahead log is moved into the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checkpoint {
    /// As far as nobody is in the way.
    Passive,
    /// Whole, and then cut to nothing.
    Truncate,
}

impl Store {
    /// Returns how much room the database takes.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn space(&self) -> Result<Space, Error> {
        let file_bytes = size_of(&self.path);
        let log_bytes = size_of(&companion(&self.path, "-wal"));
        self.readers.read(|connection| {
            let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            Ok(Space {
                file_bytes,
                log_bytes,
                page_bytes: number("page_size")?.unsigned_abs(),
                free_pages: number("freelist_count")?.unsigned_abs(),
                is_incremental: number("auto_vacuum")? == INCREMENTAL,
            })
        })
    }

    /// Returns every table with its size, the largest first. Reads the whole file.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn table_sizes(&self) -> Result<Vec<TableSize>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat AS d JOIN sqlite_schema AS s ON s.name = d.name
                        WHERE d.aggregate = TRUE GROUP BY s.tbl_name ORDER BY 2 DESC, 1";
            let mut statement = connection.prepare(sql)?;
            let sizes = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
            let mut tables = Vec::new();
            for size in sizes {
                let (table, n_bytes) = size?;
                let sql = format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""));
                let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
                tables.push(TableSize { table, rows: rows.unsigned_abs(), bytes: n_bytes.unsigned_abs() });
            }
            Ok(tables)
        })
    }

    /// Returns when the oldest execution started.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn oldest_execution(&self) -> Result<Option<Timestamp>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT min(started_at) FROM executions";
            let oldest: Option<Moment> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(oldest.map(|it| it.0))
        })
    }

    /// Gives up to `n_pages` free pages back to the disk, in one transaction, and returns how many are left. Does
    /// nothing in a file that was made without that ability.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn give_back(&self, n_pages: u32) -> Result<u64, Error> {
        self.writer
            .write(move |connection| {
                let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({n_pages})"))?;
                let mut steps = statement.query([])?;
                // Each step gives one page back.
                while steps.next()?.is_some() {}
                drop(steps);
                let left: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
                Ok(left.unsigned_abs())
            })
            .await
    }

    /// Moves the write-ahead log into the file as far as nobody is in the way, beside the writer: it can go on
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn move_log(&self) -> Result<(), Error> {
        self.beside(|connection| checkpoint(connection, Checkpoint::Passive).map(drop)).await
    }

    /// Moves the whole log into the file and cuts it to nothing. Waits for nobody: returns whether it could.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn cut_log(&self) -> Result<bool, Error> {
        self.beside(|connection| checkpoint(connection, Checkpoint::Truncate)).await
    }

    /// Rewrites a file that was made without the ability to give pages back, once; returns whether it was one.
    /// Row numbers may change, so nobody else may follow the log meanwhile.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn convert(&self) -> Result<bool, Error> {
        self.beside(|connection| {
            let found: i64 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
            if found == INCREMENTAL {
                return Ok(false);
            }
            connection.pragma_update(None, "auto_vacuum", "incremental")?;
            connection.execute_batch("VACUUM")?;
            Ok(true)
        })
        .await
    }

    /// Counts what the query planner asks for.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub async fn analyze(&self) -> Result<(), Error> {
        self.writer
            .write(move |connection| {
                connection.execute_batch(&format!("PRAGMA analysis_limit = {ANALYZED_ROWS}; ANALYZE"))?;
                Ok(())
            })
            .await
    }

    /// Runs `work` on a connection of its own, off the threads that answer.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || {
            open_beside(&path).and_then(|mut it| work(&mut it)).map_err(|failure| failure.into_error(&path))
        });
        done.await.map_err(|error| Error::internal("work beside the writer was given up").source(error))?
    }
}

/// The value of `PRAGMA auto_vacuum` of a file that can give pages back.
const INCREMENTAL: i64 = 2;

/// Returns whether the log was moved whole.
fn checkpoint(connection: &mut Connection, how: Checkpoint) -> Result<bool, Failure> {
    let sql = match how {
        Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let done = without_waiting(connection, |connection| {
        connection.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
    });
    match done {
        Ok((was_busy, n_pages, n_moved)) => Ok(was_busy == 0 && n_pages == n_moved),
        Err(error) if is_busy(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A file that SQLite keeps beside the database.
pub(super) fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |it| it.len())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TestStore, batch, execution, id};
    use super::super::{Durability, NewExecution, Settings, Store};
    use crate::engine::{Journal, Status};

    /// Executions 1 … `n` of 100 KB each, all ended.
    async fn filled(test: &TestStore, n: u32) {
        for n in 1..=n {
            let new = NewExecution { owner: Some("me".into()), ..execution(n) };
            test.store.create_execution(new).await.expect("created");
            let mut batch = batch(n, "me", 2..=2);
            batch.summary.status = Status::Completed;
            batch.transitions[0].payload = format!("{{\"v\":1,\"list\":[{}{n}]}}", "\"text\",".repeat(14_000));
            test.store.append(batch).await.expect("queued").durable().await.expect("written");
        }
    }

    #[tokio::test]
    async fn pages_of_what_was_deleted_are_given_back_and_the_log_is_cut() {
        let test = TestStore::new();
        filled(&test, 40).await;
        assert!(test.store.cut_log().await.expect("cut"));
        let full = test.store.space().expect("reads");
        assert!(full.is_incremental && full.file_bytes > 40 * 100_000 && full.log_bytes == 0, "{full:?}");
        let ids = (1..=39).map(|n| id(n).to_string()).collect();
        assert_eq!(test.store.delete_executions(ids).await.expect("deleted").executions, 39);
        for part in test.store.unused().expect("reads").in_parts(5) {
            test.store.delete_unused(part).await.expect("deleted");
        }
        let before = test.store.space().expect("reads").free_pages;
        assert!(before > 900, "{before}");
        let after = test.store.give_back(100).await.expect("given");
        assert_eq!(before - after, 100);
        assert_eq!(test.store.give_back(10_000).await.expect("given"), 0);
        test.store.move_log().await.expect("moved");
        assert!(test.store.cut_log().await.expect("cut"));
        let left = test.store.space().expect("reads");
        assert!(left.file_bytes < full.file_bytes / 10 && left.log_bytes == 0, "{left:?} of {full:?}");
        assert_eq!(test.store.transitions(&id(40), 0, None).expect("reads").len(), 2);
    }

    #[tokio::test]
    async fn a_reader_keeps_the_log_and_nobody_waits_for_it() {
        let test = TestStore::new();
        filled(&test, 1).await;
        let reader = super::super::connection::open_reader(test.store.path()).expect("opens");
        reader.execute_batch("BEGIN; SELECT count(*) FROM executions").expect("reads");
        filled_once_more(&test).await;
        assert!(!test.store.cut_log().await.expect("says so"));
        reader.execute_batch("COMMIT").expect("ends");
        assert!(test.store.cut_log().await.expect("cut"));
    }

    async fn filled_once_more(test: &TestStore) {
        test.store.create_execution(execution(77)).await.expect("created");
    }

    #[tokio::test]
    async fn a_file_made_elsewhere_is_converted_once() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("state.db");
        let made = rusqlite::Connection::open(&path).expect("opens");
        // As another program makes it, before anything of ours is in it.
        made.execute_batch("CREATE TABLE t (a); DROP TABLE t").expect("made");
        drop(made);
        let settings = Settings { path, durability: Durability::Full };
        let clock = std::sync::Arc::new(crate::clock::TestClock::new(super::super::testing::NOON));
        let store = Store::open(&settings, clock).expect("opens");
        store.create_execution(execution(1)).await.expect("created");
        assert!(!store.space().expect("reads").is_incremental);
        assert!(store.convert().await.expect("converted"));
        assert!(store.space().expect("reads").is_incremental);
        assert!(!store.convert().await.expect("nothing to do"));
        store.create_execution(execution(2)).await.expect("still writes");
        assert_eq!(store.transitions(&id(1), 0, None).expect("reads").len(), 1);
    }

    #[tokio::test]
    async fn sizes_count_tables_with_their_indexes() {
        let test = TestStore::new();
        filled(&test, 3).await;
        test.store.analyze().await.expect("counted");
        let sizes = test.store.table_sizes().expect("reads");
        assert_eq!((sizes[0].table.as_str(), sizes[0].rows), ("large_values", 3));
        assert!(sizes[0].bytes > 300_000, "{sizes:?}");
        let rows = |table: &str| sizes.iter().find(|it| it.table == table).map(|it| it.rows);
        assert_eq!((rows("executions"), rows("transitions"), rows("owners")), (Some(3), Some(6), Some(0)));
        assert_eq!(test.store.oldest_execution().expect("reads"), Some(super::super::testing::NOON));
    }
}
