//! Which node of the diagram that a fork goes on with is which one of the execution it takes over.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use crate::compile::Plan;
use crate::engine::event::NodeOutline;
use crate::engine::fork::Kept;
use crate::engine::state::ExecutionState;
use crate::error::Error;

/// What a node is called now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub id: Arc<str>,
    pub label: Arc<str>,
}

/// The new names of the nodes that are taken over, by their old ids.
pub(super) type Names = HashMap<String, Named>;

/// Finds the node of a plan that stands for another one: by label, else by id.
pub(super) fn find(plan: &Plan, label: &str, id: &str) -> Option<usize> {
    let nodes = || plan.nodes.iter();
    nodes().position(|it| &*it.label == label).or_else(|| nodes().position(|it| &*it.id == id))
}

/// Finds the nodes of everything that is taken over.
///
/// # Errors
///
/// `FORK_MISMATCH` that names every node that is missing or has another type.
pub(super) fn matched(past: &ExecutionState, plan: &Plan, kept: &Kept) -> Result<Names, Error> {
    let (mut names, mut problems) = (Names::new(), Vec::new());
    for round in kept.done.iter().chain(&kept.open) {
        let Some(idx) = past.node_idx(&round.node_id).filter(|_| !names.contains_key(&round.node_id)) else { continue };
        let old = &past.nodes[idx].outline;
        match found(plan, old) {
            Ok(named) => {
                names.insert(round.node_id.clone(), named);
            }
            Err(problem) if !problems.contains(&problem) => problems.push(problem),
            Err(_) => {}
        }
    }
    // What only begins again is left out where the new diagram has no place for it.
    for round in &kept.begun {
        let outline = past.node_idx(&round.node_id).map(|it| &past.nodes[it].outline);
        if let Some(named) = outline.and_then(|old| found(plan, old).ok()) {
            names.insert(round.node_id.clone(), named);
        }
    }
    if problems.is_empty() {
        return Ok(names);
    }
    let message = format!("the new diagram does not go with what has run: {}", problems.join("; "));
    Err(Error::invalid("FORK_MISMATCH", message)
        .hint("leave the nodes that ran as they are, or fork from an earlier node")
        .details(json!({ "problems": problems })))
}

fn found(plan: &Plan, old: &NodeOutline) -> Result<Named, String> {
    let Some(node) = find(plan, &old.label, &old.id).map(|it| &plan.nodes[it]) else {
        return Err(format!("`{}` has run and is missing", old.label));
    };
    if node.kind.name() != old.kind {
        return Err(format!("`{}` ran as {} and is {} now", old.label, old.kind, node.kind.name()));
    }
    Ok(Named { id: Arc::clone(&node.id), label: Arc::clone(&node.label) })
}
