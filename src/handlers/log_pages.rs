//! The conversation and the log of an execution as documents: as many entries as one answer may have, and the
//! URI of the next page. Cleaned like everything that a model reads.

use serde_json::{Value, json};

use super::present::{self, NOTICE};
use super::{App, Caller};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::shown::{self, Hidden};

/// Characters of a page that its frame may take: notice, counts, link to the next.
const FRAME_CHARS: usize = 1_000;
/// Most rows of a log that are read for one page.
const ROWS_MAX: usize = 5_000;

/// The stored conversation behind its first `after` messages: `{data_notice, messages, total, omitted?}`.
///
/// # Errors
///
/// `EXECUTION_NOT_FOUND`, what the database says.
pub(super) fn messages(app: &App, caller: &Caller, id: &ExecutionId, after: u64) -> Result<String, Error> {
    app.visible(caller, id)?;
    let all = present::conversation(app.store()?, id, None)?;
    let total = all.len() as u64;
    let rest: Vec<Value> =
        all.into_iter().skip(usize::try_from(after).unwrap_or(usize::MAX)).map(|it| json!(it)).collect();
    let page = Page::of(app, rest);
    let next = (page.n_left > 0)
        .then(|| format!("dipeo://executions/{id}/messages?after={}", after + page.shown.len() as u64));
    Ok(page.document("messages", total, next))
}

/// The log after event `after`: `{data_notice, transitions, total, omitted?}`.
///
/// # Errors
///
/// As [`messages`].
pub(super) fn transitions(app: &App, caller: &Caller, id: &ExecutionId, after: u64) -> Result<String, Error> {
    let total = app.visible(caller, id)?.last_seq;
    let rows = app.store()?.transitions(id, after, Some(ROWS_MAX))?;
    let shown: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            let payload: Value = serde_json::from_str(&row.payload).unwrap_or_default();
            json!({"seq": row.seq, "node_id": row.node_id, "phase": row.phase, "payload": payload, "created_at": row.created_at.to_rfc3339()})
        })
        .collect();
    let mut page = Page::of(app, shown);
    let last_seq = page.shown.last().and_then(|it| it["seq"].as_u64()).unwrap_or(total);
    page.n_left = usize::try_from(total.saturating_sub(last_seq)).unwrap_or(usize::MAX);
    let next = (page.n_left > 0).then(|| format!("dipeo://executions/{id}/transitions?after={last_seq}"));
    Ok(page.document("transitions", total, next))
}

/// The first entries that fit.
struct Page {
    shown: Vec<Value>,
    n_left: usize,
    hidden: Hidden,
}

impl Page {
    fn of(app: &App, mut entries: Vec<Value>) -> Self {
        let (mut used, mut n_kept, mut hidden) = (FRAME_CHARS, 0, Hidden::default());
        for entry in &mut entries {
            app.scrubber().scrub_value(entry);
            shown::clean_value(entry, &mut hidden);
            used += entry.to_string().chars().count() + 1;
            // One that is too long alone is shown nevertheless, or nobody would get past it.
            if used > limits::RESULT_CHARS_MAX && n_kept > 0 {
                break;
            }
            n_kept += 1;
        }
        let n_left = entries.len() - n_kept;
        entries.truncate(n_kept);
        Self { shown: entries, n_left, hidden }
    }

    fn document(self, what: &str, total: u64, next: Option<String>) -> String {
        let mut document = json!({"data_notice": NOTICE.trim_end(), what: self.shown, "total": total});
        if let Some(uri) = next {
            document["omitted"] = json!([{"what": what, "count": self.n_left, "uri": uri}]);
        }
        if self.hidden.total() > 0 {
            document["warnings"] = json!([present::warning(self.hidden)]);
        }
        document.to_string()
    }
}
