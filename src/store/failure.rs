//! What can go wrong on the database, and how it is told. Inside `store` a piece of work fails with
//! [`Failure`]; at the border that becomes an [`Error`] that names the file and says what to do.

use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};

/// Why a piece of work on the database did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite said so. Shared, because one failed commit fails every piece of work in it.
    Sqlite(Arc<rusqlite::Error>),
    /// The work itself refused: a conflict, something missing.
    Refused(Error),
}

impl Failure {
    /// Translates for callers outside `store`; `path` is the database file.
    pub fn into_error(self, path: &Path) -> Error {
        match self {
            Self::Sqlite(error) => translate(error, path),
            Self::Refused(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Whether `error` says that another connection holds the lock.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed)
    )
}

/// Whether `error` says that a row with this key is there already.
pub(super) fn is_taken(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// An error of the file system at `path`, which is the database, its folder or its copy.
pub(super) fn file_failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::external("DATABASE_FAILED", format!("cannot {what} `{}`", path.display()))
        .hint("check that the folder exists, is writable by you and has free space")
        .source(error)
}

fn translate(error: Arc<rusqlite::Error>, path: &Path) -> Error {
    let file = path.display();
    let failed = |message: String, hint: &str| Error::external("DATABASE_FAILED", message).hint(hint);
    let translated = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => Error::new(
            ErrorKind::Conflict,
            "DATABASE_BUSY",
            format!("the database `{file}` is held by another process"),
        )
        .hint("try again; if it stays so, look for a program that keeps a transaction open on this file")
        .retryable(true),
        Some(ErrorCode::DiskFull) => {
            failed(format!("no space left for the database `{file}`"), "free space on that disk and try again")
        }
        Some(ErrorCode::SystemIoFailure) => failed(
            format!("the disk failed under the database `{file}`"),
            "check the disk and the system log; the last committed state is kept",
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => failed(
            format!("`{file}` is damaged or no SQLite database"),
            "restore it from a backup, or move it away (with its `-wal` and `-shm` files) to start afresh",
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => failed(
            format!("the database `{file}` cannot be opened for writing"),
            "check the rights of the file and its folder, or choose another with `DATABASE_URL`",
        ),
        _ => failed(
            format!("the database `{file}` refused a statement"),
            "see the log for what SQLite said, and report it if the file is sound",
        ),
    };
    translated.source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn every_failure_of_sqlite_names_the_file_and_what_to_do() {
        for (code, want, kind) in [
            (ffi::SQLITE_BUSY, "DATABASE_BUSY", ErrorKind::Conflict),
            (ffi::SQLITE_BUSY_SNAPSHOT, "DATABASE_BUSY", ErrorKind::Conflict),
            (ffi::SQLITE_FULL, "DATABASE_FAILED", ErrorKind::External),
            (ffi::SQLITE_IOERR_WRITE, "DATABASE_FAILED", ErrorKind::External),
            (ffi::SQLITE_CORRUPT, "DATABASE_FAILED", ErrorKind::External),
            (ffi::SQLITE_NOTADB, "DATABASE_FAILED", ErrorKind::External),
            (ffi::SQLITE_CANTOPEN, "DATABASE_FAILED", ErrorKind::External),
            (ffi::SQLITE_READONLY, "DATABASE_FAILED", ErrorKind::External),
            (ffi::SQLITE_MISUSE, "DATABASE_FAILED", ErrorKind::External),
        ] {
            let failure = Failure::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
            let error = failure.into_error(Path::new("/w/state.db"));
            assert_eq!((error.code(), error.kind()), (want, kind), "{code}");
            assert!(error.message().contains("`/w/state.db`"), "{}", error.message());
            assert!(error.hint_text().is_some() && std::error::Error::source(&error).is_some());
        }
    }

    #[test]
    fn a_refusal_passes_unchanged() {
        let error = Failure::from(Error::conflict("LEASE_LOST", "gone")).into_error(Path::new("x"));
        assert_eq!(error.code(), "LEASE_LOST");
    }
}
