//! Opens the database file: who may read it, how SQLite treats it, how long it waits for a lock. It must
//! not know any table.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::Durability;
use super::failure::{Failure, file_failed, is_busy};
use crate::error::Error;

/// How long a statement waits for another process's lock, in milliseconds (surface.md 6.3).
const BUSY_MS_MAX: u64 = 5_000;
/// Longest single pause of that wait, in milliseconds; a commit takes about one.
const BUSY_PAUSE_MS_MAX: u64 = 10;
/// Size of the write-ahead log, in pages of 4 KiB, at which SQLite itself moves it into the file even
/// under load; below that the writer does it when idle.
const CHECKPOINT_PAGES: i64 = 4_096;
/// To what size the write-ahead log is cut back after it was emptied, in bytes (surface.md 6.3).
const JOURNAL_BYTES_KEPT: i64 = 64 * 1024 * 1024;
/// How much of the file readers map into memory, in bytes (surface.md 6.3).
const MAPPED_BYTES: i64 = 256 * 1024 * 1024;
/// How much of the file the writer keeps in memory, in KiB. A shared commit of many executions touches some hundred
/// pages; what does not fit is written twice and read again.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
/// Statements kept ready per connection; about as many as this module has.
const STATEMENTS_KEPT: usize = 64;

/// Opens `path` for the writer and makes what is missing: the folder, the file, its modes. `migrate` brings
/// the schema up to date, before the file is switched to a write-ahead log.
///
/// # Errors
///
/// What `migrate` says; `DATABASE_FAILED`, `DATABASE_BUSY`.
pub(super) fn open_writer(
    path: &Path,
    durability: Durability,
    migrate: impl FnOnce(&mut Connection) -> Result<(), Error>,
) -> Result<Connection, Error> {
    create_file(path)?;
    let mut connection = open_file(path).map_err(|failure| failure.into_error(path))?;
    migrate(&mut connection)?;
    keep_log(&connection, durability).map_err(|failure| failure.into_error(path))?;
    Ok(connection)
}

fn open_file(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare_any(&mut connection)?;
    // Rolling back one piece of work inside a group must not write a file.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let n_pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if n_pages == 0 {
        // Only counts before the first page is written.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
    }
    Ok(connection)
}

fn keep_log(connection: &Connection, durability: Durability) -> Result<(), Failure> {
    connection.pragma_update(None, "synchronous", "full")?;
    switch_to_wal(connection)?;
    connection.pragma_update(None, "synchronous", durability.pragma())?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_KEPT)?;
    Ok(())
}

/// Opens `path` for reading alone.
///
/// # Errors
///
/// What SQLite says; the file must exist.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare_any(&mut connection)?;
    connection.pragma_update(None, "mmap_size", MAPPED_BYTES)?;
    Ok(connection)
}

/// Opens `path` for maintenance beside the writer.
///
/// # Errors
///
/// What SQLite says; the file must exist.
pub(super) fn open_beside(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare_any(&mut connection)?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Rewriting the file writes all of it to a temporary one.
    connection.pragma_update(None, "temp_store", "file")?;
    Ok(connection)
}

/// Runs `work` without waiting for locks, then waits for them again.
pub(super) fn without_waiting<T>(connection: &mut Connection, work: impl FnOnce(&Connection) -> T) -> T {
    // Setting a handler only fails when memory is out, and then the wait is merely longer or shorter.
    let _ = connection.busy_handler(None::<fn(i32) -> bool>);
    let result = work(connection);
    let _ = connection.busy_handler(Some(patience()));
    result
}

fn prepare_any(connection: &mut Connection) -> Result<(), Failure> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.busy_handler(Some(patience()))?;
    // Plans must not depend on the values that are asked for: SQLite would prepare a statement again for each.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Makes a file that is not yet so keep a write-ahead log. SQLite does not call the handler for the lock
/// that this takes, so it waits by itself.
fn switch_to_wal(connection: &Connection) -> Result<(), Failure> {
    let mut patience = patience();
    let mut n_waits = 0;
    loop {
        match try_switch_to_wal(connection) {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let message = format!("SQLite keeps this file in `{mode}` mode instead of `wal`");
                return Err(Error::external("DATABASE_FAILED", message)
                    .hint("put the database on a local disk: network file systems cannot be shared safely")
                    .into());
            }
            Err(error) if is_busy(&error) && patience(n_waits) => n_waits += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes nothing when the file is as it should be: opening must not cost a commit.
fn try_switch_to_wal(connection: &Connection) -> Result<String, rusqlite::Error> {
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode == "wal" {
        return Ok(mode);
    }
    connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
}

/// Waits for a lock in growing pauses, each of random length so that two processes do not meet again
/// and again; gives up after [`BUSY_MS_MAX`].
fn patience() -> impl FnMut(i32) -> bool + Send + 'static {
    let mut waited_us = 0;
    move |n_waits| {
        if n_waits == 0 {
            waited_us = 0;
        }
        if waited_us >= BUSY_MS_MAX * 1_000 {
            return false;
        }
        let pause_us = pause_us(n_waits.unsigned_abs());
        waited_us += pause_us;
        pause(Duration::from_micros(pause_us));
        true
    }
}

/// Between half and all of 1, 2, 4 … [`BUSY_PAUSE_MS_MAX`] milliseconds.
fn pause_us(n_waits: u32) -> u64 {
    let full_us = (1_000_u64 << n_waits.min(10)).min(BUSY_PAUSE_MS_MAX * 1_000);
    let random = RandomState::new().hash_one(n_waits);
    full_us / 2 + random % (full_us / 2 + 1)
}

#[expect(clippy::disallowed_methods, reason = "another process's lock sends no event one could wait for")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Makes the file before SQLite does, so that it is never readable by others; SQLite gives its two
/// companions the same mode.
fn create_file(path: &Path) -> Result<(), Error> {
    let failed = |error| file_failed("create the database", path, error);
    match std::fs::metadata(path) {
        Ok(found) => return restrict(path, &found).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    create_folder(&folder).map_err(|error| file_failed("create the folder", &folder, error))?;
    // Never opens a file that another connection of this process has open: closing it again would drop that
    // one's locks.
    match new_private_file(path) {
        Ok(_) => sync_folder(&folder).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Makes an empty file that only its owner may read.
///
/// # Errors
///
/// `AlreadyExists` and whatever else the system says.
pub(super) fn new_private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true);
    owner_only(&mut options);
    options.open(path)
}

/// Makes `folder` and what is missing above it, for this user alone. `.dipeo` also gets a `.gitignore`
/// for everything in it (surface.md 3.1).
fn create_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|it| !it.as_os_str().is_empty());
    if let Some(above) = above {
        create_folder(above)?;
    }
    match make_private_folder(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        made => made?,
    }
    if folder.file_name().is_some_and(|it| it == ".dipeo") {
        std::fs::write(folder.join(".gitignore"), "*\n")?;
    }
    above.map_or(Ok(()), sync_folder)
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir(folder)
}

#[cfg(unix)]
fn owner_only(options: &mut std::fs::OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn owner_only(_: &mut std::fs::OpenOptions) {}

/// Takes the rights of others away from a file that was made by somebody less careful.
#[cfg(unix)]
fn restrict(path: &Path, found: &std::fs::Metadata) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if found.is_file() && found.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn restrict(_: &Path, _: &std::fs::Metadata) -> std::io::Result<()> {
    Ok(())
}

/// A new name is only durable once its folder is.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("exists").permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_read_the_file_its_companions_and_its_folder() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join(".dipeo/data/state.db");
        let connection = open_writer(&path, Durability::Full, |_| Ok(())).expect("opens");
        connection.execute_batch("CREATE TABLE t (a)").expect("writes");
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            assert_eq!(mode(&path.with_file_name(name)), 0o600, "{name}");
        }
        assert_eq!(mode(&folder.path().join(".dipeo/data")), 0o700);
        assert_eq!(mode(&folder.path().join(".dipeo")), 0o700);
        let ignored = std::fs::read_to_string(folder.path().join(".dipeo/.gitignore")).expect("written");
        assert_eq!(ignored, "*\n");
    }

    #[test]
    fn a_file_that_others_could_read_is_closed_to_them() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("state.db");
        std::fs::write(&path, "").expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        open_writer(&path, Durability::Full, |_| Ok(())).expect("opens");
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn the_settings_are_those_of_the_guide() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("state.db");
        let writer = open_writer(&path, Durability::Full, |_| Ok(())).expect("opens");
        let number = |name: &str| writer.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect(name);
        for (name, want) in [("synchronous", 2), ("foreign_keys", 1), ("auto_vacuum", 2), ("temp_store", 2)] {
            assert_eq!(number(name), want, "{name}");
        }
        assert_eq!(number("journal_size_limit"), JOURNAL_BYTES_KEPT);
        let relaxed = open_writer(&path, Durability::Normal, |_| Ok(())).expect("opens");
        assert_eq!(relaxed.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0)), Ok(1));
    }

    #[test]
    fn a_reader_cannot_write() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("state.db");
        open_writer(&path, Durability::Full, |_| Ok(()))
            .expect("opens")
            .execute_batch("CREATE TABLE t (a)")
            .expect("writes");
        let reader = open_reader(&path).expect("opens");
        assert!(reader.execute_batch("INSERT INTO t VALUES (1)").is_err());
    }

    #[test]
    fn a_pause_is_random_but_bounded() {
        for n_waits in 0..100 {
            let pause = pause_us(n_waits);
            assert!((500..=BUSY_PAUSE_MS_MAX * 1_000).contains(&pause), "{n_waits}: {pause}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("temp folder");
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "these are notes, not pages of a database. ".repeat(50)).expect("writes");
        let error = open_writer(&path, Durability::Full, |_| Ok(())).expect_err("refused");
        assert_eq!(error.code(), "DATABASE_FAILED");
        assert!(error.message().contains("notes.txt"), "{}", error.message());
    }
}
