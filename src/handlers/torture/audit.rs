//! Reads what a torture left: the ledger and the whole database, as a history to be judged.

use std::path::Path;

use serde_json::Value;

use super::verdict::{Asked, Broken, Line, Log, Outcome, Violation};
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::handlers::launch::{entry, fold};
use crate::ids::ExecutionId;
use crate::store::{ListFilter, Store};

/// A request that was written down, by its number.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub id: i64,
    pub asked: Asked,
}

/// Reads the ledger; a line that is none is a violation.
///
/// # Errors
///
/// `FILE_FAILED`.
pub(super) fn read_ledger(path: &Path, violations: &mut Vec<Violation>) -> Result<Vec<Line>, Error> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Error::external("FILE_FAILED", format!("cannot read `{}`", path.display()))
            .hint("somebody else changed the scratch folder; try again")
            .source(e)
    })?;
    let mut lines = Vec::new();
    for text in text.lines() {
        match Line::parse(text) {
            Some(line) => lines.push(line),
            None => violations.push(Violation {
                kind: Broken::EffectUnlogged,
                what: "ledger".to_owned(),
                message: format!("`{text}` is no line of an effect"),
            }),
        }
    }
    Ok(lines)
}

/// Reads every execution with its log.
///
/// # Errors
///
/// What the database says.
pub(super) fn read_logs(store: &Store) -> Result<Vec<Log>, Error> {
    let (heads, _) = store.list_executions(&ListFilter { with_children: true, ..ListFilter::default() })?;
    heads.iter().map(|it| read_log(store, &ExecutionId::parse(&it.execution_id)?)).collect()
}

fn read_log(store: &Store, id: &ExecutionId) -> Result<Log, Error> {
    let row = store.execution(id)?.ok_or_else(|| Error::internal(format!("`{id}` vanished while it was read")))?;
    let rows = store.transitions(id, 0, None)?;
    let mut state = ExecutionState::new();
    fold(&mut state, rows.clone())?;
    let entries = rows.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let parent = row.head.parent_execution_id.clone();
    let place = match &parent {
        Some(parent) => store.place_of(id)?.map(|place| (parent.clone(), place)),
        None => None,
    };
    Ok(Log {
        execution_id: id.to_string(),
        status: row.head.status,
        last_seq: row.head.last_seq,
        place,
        entries: entries.into_iter().flatten().collect(),
        projection_fits: row.head.status == state.status && row.projection == state.projection(),
    })
}

/// Reads what came of the requests.
///
/// # Errors
///
/// What the database says.
pub(super) fn read_outcomes(store: &Store, sent: &[Sent]) -> Result<Vec<Asked>, Error> {
    let read = |it: &Sent| {
        let outcome = match store.control(it.id)?.and_then(|row| row.outcome) {
            None => Outcome::Open,
            Some(text) => match serde_json::from_str::<Value>(&text) {
                Ok(value) if value["ok"] == true => Outcome::Accepted,
                _ => Outcome::Refused,
            },
        };
        Ok(Asked { outcome, ..it.asked.clone() })
    };
    sent.iter().map(read).collect()
}
