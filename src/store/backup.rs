//! Copies of the whole database while it is in use, and putting one in its place. A copy gets its name when it is
//! whole, checked and on the disk; what it replaces is kept.

use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::Store;
use super::columns::Moment;
use super::connection::{new_private_file, open_beside, open_reader, sync_folder, without_waiting};
use super::failure::{Failure, file_failed};
use super::integrity::damage;
use super::migrate;
use super::space::companion;
use crate::clock::Timestamp;
use crate::error::Error;

/// Pages copied in one go.
const PAGES_PER_STEP: i32 = 1_000;

impl Store {
    /// Writes the database as it is at one moment to `to`, which must not exist, and returns its size in bytes.
    /// Writers go on meanwhile.
    ///
    /// # Errors
    ///
    /// `ALREADY_EXISTS`; `DATABASE_FAILED` when it cannot be written or is damaged.
    pub async fn back_up(&self, to: &Path) -> Result<u64, Error> {
        let (from, to) = (self.path.clone(), to.to_path_buf());
        let copied = tokio::task::spawn_blocking(move || copy(&from, &to));
        copied.await.map_err(|error| Error::internal("the copy was given up").source(error))?
    }
}

/// Writes the database file `from`, in use or not, to `to`, which must not exist, and returns its size in bytes.
/// The copy is one file that only its owner may read, and was checked.
///
/// # Errors
///
/// As [`Store::back_up`]; `FILE_NOT_FOUND`.
pub fn copy(from: &Path, to: &Path) -> Result<u64, Error> {
    if !from.is_file() {
        return Err(Error::not_found("FILE_NOT_FOUND", format!("there is no file `{}`", from.display()))
            .hint("name a file that `dipeo maintenance backup` wrote"));
    }
    if to.exists() {
        return Err(Error::conflict("ALREADY_EXISTS", format!("there is a file `{}` already", to.display()))
            .hint("name another file, or move that one away"));
    }
    let unfinished = companion(to, &format!(".{}", uuid::Uuid::new_v4().simple()));
    let written = copy_to_unfinished(from, &unfinished)
        .and_then(|()| finish(&unfinished, to).map_err(|error| file_failed("write the copy", to, error)));
    if written.is_err() {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            drop(std::fs::remove_file(companion(&unfinished, suffix)));
        }
    }
    written
}

fn copy_to_unfinished(from: &Path, unfinished: &Path) -> Result<(), Error> {
    new_private_file(unfinished).map_err(|error| file_failed("write the copy", unfinished, error))?;
    copy_pages(from, unfinished).map_err(|failure| failure.into_error(from))?;
    let problems = check_copy(unfinished).map_err(|failure| failure.into_error(unfinished))?;
    match problems.first() {
        None => Ok(()),
        Some(problem) => {
            Err(Error::external("DATABASE_FAILED", format!("`{}` cannot be copied whole: {problem}", from.display()))
                .hint("see `dipeo maintenance check`, and restore an earlier backup"))
        }
    }
}

fn copy_pages(from: &Path, to: &Path) -> Result<(), Failure> {
    let source = open_reader(from)?;
    let mut target = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Nobody sees the copy before it is whole, so it needs neither journal nor syncs on the way.
    target.execute_batch("PRAGMA journal_mode = off; PRAGMA synchronous = off")?;
    // The moment that is copied: without it every commit of another process would begin the copy anew.
    let view = source.unchecked_transaction()?;
    view.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let backup = Backup::new(&view, &mut target)?;
    loop {
        match backup.step(PAGES_PER_STEP)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Nobody else knows of the copy, and the source is held.
            _ => return Err(Error::internal("a copy that nobody else knows of was locked").into()),
        }
    }
}

/// Makes the copy one file and looks it through.
fn check_copy(path: &Path) -> Result<Vec<String>, Failure> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Until it is opened by a store, which keeps a log again.
    connection.query_row("PRAGMA journal_mode = delete", [], |_| Ok(()))?;
    damage(&connection)
}

/// Gives the copy its name once it is safely on the disk.
fn finish(unfinished: &Path, to: &Path) -> std::io::Result<u64> {
    let file = std::fs::File::open(unfinished)?;
    file.sync_all()?;
    let n_bytes = file.metadata()?.len();
    std::fs::rename(unfinished, to)?;
    sync_folder(folder_of(to))?;
    Ok(n_bytes)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Puts the copy `backup` in the place of the database `target`, which nobody may use, and returns where the old
/// file is kept: beside it, with `stamp` in its name.
///
/// # Errors
///
/// `DATABASE_IN_USE`; `DATABASE_NEWER` when a later dipeo wrote the copy; `FILE_NOT_FOUND`; `DATABASE_FAILED` when
/// the copy is damaged or belongs to another program.
pub fn restore(target: &Path, backup: &Path, stamp: &str, now: Timestamp) -> Result<Option<PathBuf>, Error> {
    let fresh = companion(target, &format!(".restoring-{stamp}"));
    copy(backup, &fresh)?;
    let put = require_known(&fresh).and_then(|()| put_in_place(target, &fresh, stamp, now));
    if put.is_err() {
        drop(std::fs::remove_file(&fresh));
    }
    put
}

/// Refuses what is no database of ours, or of a later version.
fn require_known(path: &Path) -> Result<(), Error> {
    open_reader(path).and_then(|it| migrate::require_known(&it, path)).map_err(|failure| failure.into_error(path))
}

fn put_in_place(target: &Path, fresh: &Path, stamp: &str, now: Timestamp) -> Result<Option<PathBuf>, Error> {
    let failed = |error| file_failed("restore", target, error);
    let kept = if target.exists() {
        require_unused(target, now)?;
        let kept = companion(target, &format!(".before-restore-{stamp}"));
        std::fs::rename(target, &kept).map_err(failed)?;
        // What a crash left of its log belongs to it, not to the new one.
        for suffix in ["-wal", "-shm"] {
            if companion(target, suffix).exists() {
                std::fs::rename(companion(target, suffix), companion(&kept, suffix)).map_err(failed)?;
            }
        }
        Some(kept)
    } else {
        None
    };
    std::fs::rename(fresh, target).and_then(|()| sync_folder(folder_of(target))).map_err(failed)?;
    Ok(kept)
}

/// Refuses while a process lives on this database. One that is damaged beyond asking may be replaced.
fn require_unused(path: &Path, now: Timestamp) -> Result<(), Error> {
    let in_use = |who: String| {
        Error::conflict("DATABASE_IN_USE", format!("`{}` is in use by {who}", path.display()))
            .hint("stop every dipeo on this workspace (serve, mcp, run) and try again")
    };
    let Ok(mut connection) = open_beside(path) else { return Ok(()) };
    let owner = connection
        .query_row(
            "SELECT kind || ' (process ' || pid || ')' FROM owners WHERE lease_expires_at > ?1",
            [Moment(now)],
            |row| row.get::<_, String>(0),
        )
        .optional();
    if let Ok(Some(owner)) = owner {
        return Err(in_use(format!("dipeo {owner}")));
    }
    let emptied = without_waiting(&mut connection, |connection| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
    });
    drop(connection);
    // SQLite takes its companions away with the last connection.
    if emptied.is_ok() && companion(path, "-shm").exists() {
        return Err(in_use("another process".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore, batch, execution, id, owner};
    use super::super::{Durability, NewExecution, Settings};
    use super::*;
    use crate::engine::Journal;

    async fn with_executions(n: u32) -> TestStore {
        let test = TestStore::new();
        for n in 1..=n {
            let new = NewExecution { owner: Some("me".into()), ..execution(n) };
            test.store.create_execution(new).await.expect("created");
        }
        test
    }

    fn files_of(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .expect("lists")
            .map(|it| it.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_copy_under_load_is_whole_private_and_one_file() {
        let test = with_executions(20).await;
        let store = std::sync::Arc::clone(&test.store);
        let writing = tokio::spawn(async move {
            for seq in 2..=300 {
                let ticket = store.append(batch(1, "me", seq..=seq)).await.expect("queued");
                ticket.durable().await.expect("never held up");
            }
        });
        let folder = tempfile::tempdir().expect("temp folder");
        for n in 0..5 {
            let to = folder.path().join(format!("{n}.db"));
            let n_bytes = test.store.back_up(&to).await.expect("copied");
            assert_eq!(std::fs::metadata(&to).expect("there").len(), n_bytes);
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                assert_eq!(std::fs::metadata(&to).expect("there").permissions().mode() & 0o777, 0o600);
            }
        }
        writing.await.expect("writes all");
        assert_eq!(files_of(folder.path()), ["0.db", "1.db", "2.db", "3.db", "4.db"]);
        let settings = Settings { path: folder.path().join("4.db"), durability: Durability::Full };
        let copy = Store::open(&settings, test.clock.clone()).expect("opens");
        assert_eq!(copy.problems().await.expect("looks"), Vec::<String>::new());
        assert!(copy.head(&id(20)).expect("reads").is_some());
        let again = test.store.back_up(&folder.path().join("4.db")).await;
        assert_eq!(again.expect_err("taken").code(), "ALREADY_EXISTS");
    }

    #[tokio::test]
    async fn a_copy_comes_back_and_the_old_file_is_kept() {
        let test = with_executions(3).await;
        let folder = tempfile::tempdir().expect("temp folder");
        let backup = folder.path().join("backup.db");
        test.store.back_up(&backup).await.expect("copied");
        test.store.create_execution(execution(4)).await.expect("created");
        let path = test.store.path().to_path_buf();
        let try_now = |now| restore(&path, &backup, "now", now);
        assert_eq!(try_now(NOON).expect_err("open here").code(), "DATABASE_IN_USE");
        test.store.register_owner(owner("serve")).await.expect("registered");
        test.store.close().await;
        assert_eq!(try_now(NOON).expect_err("a lease").code(), "DATABASE_IN_USE");
        let kept = try_now(NOON.plus_ms(60_000)).expect("restored").expect("there was one");
        assert_eq!(files_of(test.folder.path()), ["state.db", "state.db.before-restore-now"]);
        let (restored, old) = (test.another(), Settings { path: kept, durability: Durability::Full });
        assert!(restored.head(&id(3)).expect("reads").is_some() && restored.head(&id(4)).expect("reads").is_none());
        let old = Store::open(&old, test.clock.clone()).expect("opens");
        assert!(old.head(&id(4)).expect("reads").is_some());
    }

    #[tokio::test]
    async fn what_cannot_be_a_database_of_ours_is_not_restored() {
        let test = with_executions(1).await;
        let path = test.store.path().to_path_buf();
        test.store.close().await;
        let folder = tempfile::tempdir().expect("temp folder");
        let backup = folder.path().join("backup.db");
        let other = |sql: &str| {
            drop(std::fs::remove_file(&backup));
            Connection::open(&backup).expect("opens").execute_batch(sql).expect(sql);
        };
        let try_it = || restore(&path, &backup, "now", NOON).expect_err("refused").code();
        assert_eq!(try_it(), "FILE_NOT_FOUND");
        other("PRAGMA user_version = 99");
        assert_eq!(try_it(), "DATABASE_NEWER");
        other("CREATE TABLE songs (a)");
        assert_eq!(try_it(), "DATABASE_FAILED");
        other("");
        assert_eq!(try_it(), "DATABASE_FAILED");
        std::fs::write(&backup, "these are notes, not pages of a database. ".repeat(50)).expect("written");
        assert_eq!(try_it(), "DATABASE_FAILED");
        assert_eq!(files_of(test.folder.path()), ["state.db"]);
        assert!(test.another().head(&id(1)).expect("reads").is_some());
    }
}
