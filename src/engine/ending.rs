//! What the end of a run means in words: errors of the schedule, warnings about tokens, exhausted persons.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::event::Warning;
use super::schedule::{Ending, Schedule, Unused};
use crate::compile::{EdgeIdx, NodeIdx, Plan};
use crate::diagram::Handle;
use crate::error::Error;

/// The error object of an ending that is not `Completed` and not a node's own failure.
pub(super) fn to_error(ending: &Ending, plan: &Plan, schedule: &Schedule) -> Value {
    let (error, node) = match ending {
        Ending::Completed | Ending::Failed { .. } => (Error::internal("a run ended without a reason"), None),
        Ending::Cancelled => (Error::conflict("EXECUTION_ABORTED", "the run was cancelled"), None),
        Ending::NoEndpoint { .. } => (no_endpoint(plan, schedule), None),
        Ending::Stuck { nodes } => (stuck(plan, nodes), None),
        Ending::NodeLimit { node, cycle, rounds } => {
            let message = format!(
                "the next start of `{}` would be one node execution more than `max_node_executions` allows; {}",
                plan.nodes[*node].label,
                loop_text(plan, cycle, *rounds)
            );
            (limit("NODE_LIMIT", message, "max_node_executions"), Some(*node))
        }
        Ending::IterationLimit { node, cycle, rounds } => {
            let message = format!(
                "`{}` has run as often as `max_node_iterations` allows; {}",
                plan.nodes[*node].label,
                loop_text(plan, cycle, *rounds)
            );
            (limit("ITERATION_LIMIT", message, "max_node_iterations"), Some(*node))
        }
    };
    let mut object = match error.to_json() {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    if let Some(node) = node {
        object.insert("node".into(), plan.nodes[node].label.to_string().into());
        object.insert("node_id".into(), plan.nodes[node].id.to_string().into());
    }
    Value::Object(object)
}

fn limit(code: &'static str, message: String, setting: &str) -> Error {
    Error::limit(code, message).hint(format!("end the loop with a condition, or raise `settings.{setting}`"))
}

fn loop_text(plan: &Plan, cycle: &[NodeIdx], rounds: u32) -> String {
    if cycle.is_empty() {
        return "it is in no loop".to_owned();
    }
    let labels: Vec<&str> = cycle.iter().map(|it| &*plan.nodes[*it].label).collect();
    format!("the loop {} went round {rounds} times", labels.join(" -> "))
}

fn no_endpoint(plan: &Plan, schedule: &Schedule) -> Error {
    let waiting = waiting_texts(plan, schedule);
    let labels: Vec<&str> = waiting.iter().map(|(node, _)| &*plan.nodes[*node].label).collect();
    let reasons: Vec<&str> = waiting.iter().map(|(_, text)| text.as_str()).collect();
    let message = if reasons.is_empty() {
        "the run ended without reaching an endpoint".to_owned()
    } else {
        format!("the run ended without reaching an endpoint; {}", reasons.join("; "))
    };
    Error::external("NO_ENDPOINT", message)
        .hint("give every branch a way to an endpoint, or raise `max_iteration`")
        .details(json!({"nodes": labels}))
}

fn stuck(plan: &Plan, nodes: &[NodeIdx]) -> Error {
    let labels: Vec<&str> = nodes.iter().map(|it| &*plan.nodes[*it].label).collect();
    Error::new(
        crate::error::ErrorKind::Internal,
        "STUCK",
        format!("the scheduler stopped although {} could still run", labels.join(", ")),
    )
    .hint("this is a bug of dipeo: please report it with the diagram")
    .details(json!({"nodes": labels}))
}

/// Nodes at which a token waits, each once, with a sentence why.
fn waiting_texts(plan: &Plan, schedule: &Schedule) -> Vec<(NodeIdx, String)> {
    let mut by_node: BTreeMap<NodeIdx, Vec<EdgeIdx>> = BTreeMap::new();
    for token in schedule.waiting_tokens() {
        by_node.entry(token.node).or_default().push(token.edge);
    }
    by_node
        .into_iter()
        .map(|(node, edges)| {
            let from: Vec<String> = edges.iter().map(|it| source_text(plan, *it)).collect();
            let why = match plan.nodes[node].node.traits().max_iteration {
                Some(max) if schedule.started(node) >= max => format!("max_iteration {max} reached, "),
                _ => String::new(),
            };
            (node, format!("{}: {why}a token from {} waits", plan.nodes[node].label, from.join(" and ")))
        })
        .collect()
}

fn source_text(plan: &Plan, edge: EdgeIdx) -> String {
    let edge = &plan.edges[edge];
    let label = &plan.nodes[edge.from].label;
    if edge.output == Handle::Default { label.to_string() } else { format!("{label}[{}]", edge.output.name()) }
}

/// W602 and W603: tokens that were replaced before use, and tokens nobody will ever use.
pub(super) fn token_warnings(plan: &Plan, schedule: &Schedule, replaced: &BTreeMap<EdgeIdx, u32>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (edge, times) in replaced {
        let (from, to) = (source_text(plan, *edge), &plan.nodes[plan.edges[*edge].to].label);
        warnings.push(Warning {
            code: "W602".into(),
            node: to.to_string(),
            name: format!("{from} -> {to}"),
            message: format!("a value from {from} was replaced {times} times before `{to}` could use it"),
        });
    }
    for token in schedule.waiting_tokens() {
        if !matches!(token.why, Unused::BeforeFirst | Unused::AfterFirst) {
            continue;
        }
        let (from, to) = (source_text(plan, token.edge), &plan.nodes[token.node].label);
        warnings.push(Warning {
            code: "W603".into(),
            node: to.to_string(),
            name: format!("{from} -> {to}"),
            message: format!("a value from {from} was never used by `{to}`"),
        });
    }
    warnings
}

/// Ids of persons' nodes that can run no more and at which a token waits (`maxiter_reached`).
pub(super) fn exhausted(plan: &Plan, schedule: &Schedule) -> Vec<String> {
    schedule.maxiter_reached().into_iter().map(|it| plan.nodes[it].id.to_string()).collect()
}
