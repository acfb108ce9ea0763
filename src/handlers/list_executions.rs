//! Lists executions, newest first.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::present::Audience;
use super::{App, Caller};
use crate::clock::Timestamp;
use crate::engine::Status;
use crate::error::Error;
use crate::store::{ExecutionHead, ExecutionKind, ListFilter, Place};

/// Which executions.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Status>,
    /// Name of the diagram.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram: Option<String>,
    /// `run`, `conversation`, `external`, or `child`: those that others started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trigger_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub experiment_id: Option<String>,
    /// Only those that started at this time (RFC 3339) or later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
    /// Only those that started before this time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<String>,
    /// At most so many (20, up to 1000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// How many of the newest to leave out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<usize>,
    /// From `next_cursor`: goes on where a list ended, whatever has come since.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cursor: Option<String>,
}

/// The executions found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub executions: Vec<ListedExecution>,
    /// How many there are in all that fit the filter.
    pub total: u64,
    /// Where the list goes on, when it does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_cursor: Option<String>,
}

/// One execution in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedExecution {
    pub execution_id: String,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pause_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_id: Option<String>,
    /// What it is, unless it is an ordinary run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    pub started_at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_code: Option<String>,
}

/// Lists executions that the caller may know of, newest first; those that others started are found through
/// these.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_INPUT` for a limit out of range, a kind or a time that is none,
/// `INVALID_CURSOR`.
pub async fn list_executions(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let limit = checked_limit(request.limit, 20)?;
    let filter = filter_of(caller, &request)?;
    let Some(store) = app.existing_store()? else {
        return Ok(Response { executions: Vec::new(), total: 0, next_cursor: None });
    };
    let is_read_by_model = Audience::of(caller) == Audience::Model;
    let page = store.list_page(&ListFilter { limit: Some(limit), ..filter })?;
    Ok(Response {
        executions: page.heads.into_iter().map(listed).collect(),
        total: page.total,
        // No tool that a model has takes it.
        next_cursor: page.next.filter(|_| !is_read_by_model).map(write_cursor),
    })
}

/// Reads the limit of a list.
///
/// # Errors
///
/// `INVALID_INPUT` out of range.
pub(super) fn checked_limit(limit: Option<usize>, default: usize) -> Result<usize, Error> {
    match limit.unwrap_or(default) {
        limit @ 1..=1_000 => Ok(limit),
        limit => {
            Err(Error::invalid("INVALID_INPUT", format!("`limit` is {limit}")).hint("write a number from 1 to 1000"))
        }
    }
}

fn filter_of(caller: &Caller, request: &Request) -> Result<ListFilter, Error> {
    let kind = request.kind.as_deref().map(known_kind).transpose()?;
    let moment = |name: &str, text: &Option<String>| text.as_deref().map(|it| read_moment(name, it)).transpose();
    Ok(ListFilter {
        status: request.status,
        diagram_id: request.diagram.clone(),
        principal: caller.only_of(),
        with_children: kind == Some(ExecutionKind::Child),
        kind: kind.map(|it| it.name().to_owned()),
        trigger_id: request.trigger_id.clone(),
        experiment_id: request.experiment_id.clone(),
        since: moment("since", &request.since)?,
        until: moment("until", &request.until)?,
        behind: request.cursor.as_deref().map(read_cursor).transpose()?,
        limit: None,
        offset: request.offset.unwrap_or(0),
    })
}

fn known_kind(text: &str) -> Result<ExecutionKind, Error> {
    ExecutionKind::parse(text).ok_or_else(|| {
        let shown: String = text.chars().filter(|it| !it.is_control()).take(40).collect();
        Error::invalid("INVALID_INPUT", format!("`{shown}` is no kind of execution"))
            .hint(format!("write {}", ExecutionKind::ALL.map(ExecutionKind::name).join(", ")))
    })
}

/// Reads a time that a list begins or ends at.
///
/// # Errors
///
/// `INVALID_INPUT`.
pub(super) fn read_moment(name: &str, text: &str) -> Result<Timestamp, Error> {
    Timestamp::parse(text).ok_or_else(|| {
        let shown: String = text.chars().filter(|it| !it.is_control()).take(40).collect();
        Error::invalid("INVALID_INPUT", format!("`{name}` is `{shown}`, which is no time"))
            .hint("write it as 2026-01-31T12:00:00Z")
    })
}

/// The place behind which a list goes on, as text that means nothing to whoever passes it back.
fn write_cursor(place: Place) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{}", place.started_at.0, place.rowid))
}

fn read_cursor(text: &str) -> Result<Place, Error> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|it| it.len() < 60)?;
        let (at, rowid) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
        Some(Place { started_at: Timestamp(at.parse().ok()?), rowid: rowid.parse().ok()? })
    };
    read().ok_or_else(|| {
        Error::invalid("INVALID_CURSOR", "the cursor is none that a list gave")
            .hint("pass on `next_cursor` as it came, or leave it out to begin at the newest")
    })
}

/// Returns the newest of the executions that [`list_executions`] would list; none are counted.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`.
pub async fn newest_execution(app: &App, caller: &Caller, request: Request) -> Result<Option<ListedExecution>, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let Some(store) = app.existing_store()? else { return Ok(None) };
    Ok(store.newest_execution(&filter_of(caller, &request)?)?.map(listed))
}

fn listed(row: ExecutionHead) -> ListedExecution {
    ListedExecution {
        execution_id: row.execution_id,
        status: row.status,
        pause_reason: row.pause_reason,
        diagram_id: row.diagram_id,
        kind: Some(row.kind).filter(|it| it != ExecutionKind::Run.name()),
        started_at: row.started_at.to_rfc3339(),
        ended_at: row.ended_at.map(|it| it.to_rfc3339()),
        duration_ms: row.ended_at.map(|it| it.since_ms(row.started_at)),
        error_code: row.error_code,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_others_are_refused() {
        let place = Place { started_at: Timestamp(1_767_323_045_000), rowid: 42 };
        assert_eq!(read_cursor(&write_cursor(place)).expect("ours"), place);
        for bad in ["", "x", "!!", &URL_SAFE_NO_PAD.encode("1"), &URL_SAFE_NO_PAD.encode("a:b"), &"A".repeat(10_000)] {
            assert_eq!(read_cursor(bad).expect_err(bad).code(), "INVALID_CURSOR", "{bad}");
        }
    }
}
