//! From where a fork goes on: the round of a node that somebody named, else the one that failed.

use super::Past;
use crate::engine::Status;
use crate::engine::fork::{Round, failed_round};
use crate::error::Error;
use crate::nearest::nearest;

/// Finds the round that `reference` names: a node by label or id, its first run, or `NODE:N`.
///
/// # Errors
///
/// `NODE_NOT_FOUND`; `INVALID_INPUT` when none is named and none failed, and for a run numbered 0.
pub(super) fn find(past: &Past, reference: Option<&str>) -> Result<Round, Error> {
    let Some(reference) = reference else { return of_failure(past) };
    let round = |idx: usize, iteration| Round { node_id: past.state.nodes[idx].outline.id.clone(), iteration };
    if let Some(idx) = past.state.find(reference) {
        return Ok(round(idx, 1));
    }
    let numbered = reference.rsplit_once(':').and_then(|(node, n)| Some((past.state.find(node)?, n)));
    if let Some((idx, n)) = numbered {
        return match n.parse() {
            Ok(iteration @ 1..) => Ok(round(idx, iteration)),
            _ => Err(Error::invalid("INVALID_INPUT", format!("`{n}` is no number of a run"))
                .hint("runs of a node are counted from 1")),
        };
    }
    let labels = past.state.nodes.iter().map(|it| it.outline.label.as_str());
    let hint = match nearest(reference, labels) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it ran: {}", past.labels_that_ran()),
    };
    Err(Error::not_found("NODE_NOT_FOUND", format!("the diagram has no node `{reference}`")).hint(hint))
}

fn of_failure(past: &Past) -> Result<Round, Error> {
    let status = past.row.head.status;
    let failed = matches!(status, Status::Failed | Status::Aborted).then(|| failed_round(&past.log)).flatten();
    failed.ok_or_else(|| {
        let message = format!("`{}` is {} and no node of it failed", past.id, status.name());
        let hint = format!("name the node to go on from; it ran: {}", past.labels_that_ran());
        Error::invalid("INVALID_INPUT", message).hint(hint)
    })
}

/// The error for a round that the execution never came to.
pub(super) fn never_ran(past: &Past, round: &Round) -> Error {
    let label = past.state.node_idx(&round.node_id).map(|it| past.state.nodes[it].outline.label.as_str());
    let label = label.unwrap_or(&round.node_id);
    let message = match round.iteration {
        1 => format!("`{label}` did not run in `{}`", past.id),
        n => format!("`{label}` did not run {n} times in `{}`", past.id),
    };
    Error::invalid("INVALID_INPUT", message).hint(format!("it ran: {}", past.labels_that_ran()))
}
