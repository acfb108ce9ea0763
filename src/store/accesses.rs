//! Counts how often executions were looked at (`access_count`, `last_accessed`). A read never causes a
//! write: what is noted here rides on the next commit, and is lost with the process when there is none.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, params};

use super::columns::Moment;
use crate::clock::Timestamp;
use crate::ids::ExecutionId;

/// How long after one look another one at the same execution does not count, in milliseconds.
const APART_MS: i64 = 60_000;
/// Most executions remembered at a time; looks at more are not counted.
const NOTED_MAX: usize = 1_000;

/// What was looked at and is not written yet.
#[derive(Default)]
pub(super) struct Accesses(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    last: HashMap<ExecutionId, Timestamp>,
    due: Vec<(ExecutionId, Timestamp)>,
}

impl Accesses {
    /// Notes a look at an execution.
    pub fn note(&self, execution_id: &ExecutionId, now: Timestamp) {
        let mut noted = self.lock();
        if noted.last.get(execution_id).is_some_and(|it| now.since_ms(*it) < APART_MS) {
            return;
        }
        if noted.last.len() >= NOTED_MAX {
            noted.last.retain(|_, it| now.since_ms(*it) < APART_MS);
        }
        if noted.last.len() < NOTED_MAX {
            noted.last.insert(execution_id.clone(), now);
            noted.due.push((execution_id.clone(), now));
        }
    }

    /// Writes what is due inside the open transaction. Nobody is told when that fails: the count is a
    /// courtesy, and the transaction must not fail for it.
    pub fn write(&self, connection: &Connection) {
        let due = std::mem::take(&mut self.lock().due);
        for (execution_id, at) in due {
            let sql = "UPDATE executions SET access_count = access_count + 1, last_accessed = ?2
                        WHERE execution_id = ?1";
            let written = connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.execute(params![execution_id.as_str(), Moment(at)]));
            if let Err(error) = written {
                tracing::debug!(%error, execution.id = %execution_id, "a look was not counted");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOON, TestStore, execution, id};

    #[tokio::test]
    async fn a_look_counts_once_a_minute_and_only_with_the_next_commit() {
        let test = TestStore::new();
        test.store.create_execution(execution(1)).await.expect("created");
        let look = || {
            let row = test.store.execution(&id(1)).expect("reads").expect("there");
            (row.access_count, row.last_accessed)
        };
        let n_commits = test.store.commits();
        assert_eq!(look(), (0, Some(NOON)));
        assert_eq!(look(), (0, Some(NOON)));
        assert_eq!(test.store.commits(), n_commits, "a read wrote");
        test.store.create_execution(execution(2)).await.expect("created");
        assert_eq!(look(), (1, Some(NOON)));
        test.clock.advance_ms(60_000);
        assert_eq!(look(), (1, Some(NOON)));
        test.store.create_execution(execution(3)).await.expect("created");
        assert_eq!(look(), (2, Some(NOON.plus_ms(60_000))));
    }
}
