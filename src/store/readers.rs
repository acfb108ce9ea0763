//! A small pool of read-only connections. Readers see the last commit and never block the writer.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::connection::open_reader;
use super::failure::Failure;
use crate::error::Error;

/// Connections kept open between reads; more readers at one moment open one each and close it again.
const READERS_KEPT: usize = 4;

/// Lends connections for reading.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    is_closed: bool,
}

impl Readers {
    /// Opens nothing yet: the first read does.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), idle: Mutex::default() }
    }

    /// Runs `work` on a connection of its own.
    ///
    /// # Errors
    ///
    /// What `work` refuses; `DATABASE_FAILED`, `DATABASE_BUSY`.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Error> {
        self.read_on_one(work).map_err(|failure| failure.into_error(&self.path))
    }

    fn read_on_one<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let kept = self.lock().connections.pop();
        let connection = match kept {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let result = work(&connection);
        // After a failure of SQLite the next reader starts afresh.
        let is_sound = !matches!(result, Err(Failure::Sqlite(_)));
        let mut idle = self.lock();
        if is_sound && !idle.is_closed && idle.connections.len() < READERS_KEPT {
            idle.connections.push(connection);
        }
        result
    }

    /// Closes what is idle and keeps nothing from now on, so that the writer can be the last one out.
    pub fn close(&self) {
        let mut idle = self.lock();
        idle.is_closed = true;
        idle.connections.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
