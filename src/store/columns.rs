//! How our types stand in columns. Times are RFC 3339 text in UTC with milliseconds, so they sort as text.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::clock::Timestamp;
use crate::engine::Status;
use crate::error::Error;
use crate::ids::ExecutionId;

/// The statuses of an execution that has ended, as SQL has them; equal to [`Status::has_ended`]. The index
/// on owners is written with the same words, or SQLite would not use it.
pub(super) const NOT_ENDED: &str = "status NOT IN ('completed', 'failed', 'aborted')";

/// A time in a column.
pub(super) struct Moment(pub Timestamp);

impl FromSql for Moment {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        // The original wrote times without a zone, and so does `CURRENT_TIMESTAMP`; both mean UTC.
        let at = Timestamp::parse(text).or_else(|| Timestamp::parse(&format!("{}Z", text.replace(' ', "T"))));
        at.map(Self).ok_or_else(|| unreadable(format!("`{text}` is no time")))
    }
}

impl ToSql for Moment {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_rfc3339().into())
    }
}

/// A status in a column.
pub(super) struct StatusWord(pub Status);

impl FromSql for StatusWord {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        Status::parse(text).map(Self).ok_or_else(|| unreadable(format!("`{text}` is no status")))
    }
}

/// A count or sequence number in a column: SQLite's integers are signed.
pub(super) struct Whole(pub u64);

impl FromSql for Whole {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let n = i64::column_result(value)?;
        u64::try_from(n).map(Self).map_err(|_| FromSqlError::OutOfRange(n))
    }
}

impl ToSql for Whole {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        // 2^63 events would take longer than there is time.
        Ok(i64::try_from(self.0).unwrap_or(i64::MAX).into())
    }
}

/// A `LIMIT` or `OFFSET`; no limit is the largest one.
pub(super) fn limit(n: Option<usize>) -> i64 {
    n.and_then(|it| i64::try_from(it).ok()).unwrap_or(i64::MAX)
}

/// The refusal of what concerns an execution that is not there.
pub(super) fn no_execution(execution_id: &ExecutionId) -> Error {
    Error::not_found("EXECUTION_NOT_FOUND", format!("there is no execution `{execution_id}`"))
        .hint("list executions with `dipeo results`")
}

fn unreadable(message: String) -> FromSqlError {
    FromSqlError::Other(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_original_and_of_sqlite_are_read_as_utc() {
        for (text, want) in [
            ("2026-01-02T03:04:05.678Z", Some("2026-01-02T03:04:05.678Z")),
            ("2026-01-02 03:04:05", Some("2026-01-02T03:04:05.000Z")),
            ("2026-01-02T03:04:05.678901", Some("2026-01-02T03:04:05.678Z")),
            ("2026-01-02T05:04:05.678901+02:00", Some("2026-01-02T03:04:05.678Z")),
            ("yesterday", None),
        ] {
            let read = Moment::column_result(ValueRef::Text(text.as_bytes())).ok();
            assert_eq!(read.map(|it| it.0.to_rfc3339()).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn sql_and_code_agree_on_which_statuses_have_ended() {
        for status in ["pending", "running", "paused", "completed", "failed", "aborted", "skipped", "maxiter_reached"] {
            let has_ended = Status::parse(status).expect("a status").has_ended();
            assert_eq!(NOT_ENDED.contains(&format!("'{status}'")), has_ended, "{status}");
        }
    }
}
