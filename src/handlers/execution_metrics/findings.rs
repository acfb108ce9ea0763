//! What could be better: nodes that took long, that waited for a place while others ran, that asked the same twice,
//! whose value nobody uses. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::runs::{Ran, Runs};
use super::{Finding, FindingKind};
use crate::engine::Recording;
use crate::nodes::ports::tape::Kind;

/// A run that took longer is a bottleneck, whatever its share.
const LONG_MS: i64 = 1_000;
/// A run with a larger share of the whole is one: a tenth.
const SHARE: i64 = 10;
/// How long a node must have waited for a place before that is worth a word.
const QUEUED_MS_MIN: i64 = 20;

/// Returns the runs above a tenth of the whole or above a second, the longest first.
pub(super) fn bottlenecks(runs: &Runs) -> Vec<usize> {
    let is_long = |it: &Ran| it.duration_ms > LONG_MS || it.duration_ms.saturating_mul(SHARE) > runs.total_ms;
    let mut found: Vec<usize> = (0..runs.all.len()).filter(|it| is_long(&runs.all[*it])).collect();
    found.sort_by_key(|it| std::cmp::Reverse(runs.all[*it].duration_ms));
    found
}

/// Returns everything that is found in an execution.
pub(super) fn findings(runs: &Runs, recordings: &[Recording]) -> Vec<Finding> {
    let mut found = queued(runs);
    found.extend(repeated_calls(runs, recordings));
    found.extend(unused_outputs(runs));
    found
}

/// Nodes that were ready and had to wait while others ran of which they needed nothing.
fn queued(runs: &Runs) -> Vec<Finding> {
    let mut by_node: BTreeMap<usize, (i64, BTreeSet<usize>)> = BTreeMap::new();
    for run in runs.all.iter().filter(|it| it.phases.queue >= QUEUED_MS_MIN) {
        let ran_meanwhile = runs.all.iter().filter(|it| {
            it.node != run.node && it.started_at < run.started_at && run.ready_at < it.ended_at && it.duration_ms > 0
        });
        let others: BTreeSet<usize> = ran_meanwhile.map(|it| it.node).collect();
        if !others.is_empty() {
            let entry = by_node.entry(run.node).or_default();
            entry.0 += run.phases.queue;
            entry.1.extend(others);
        }
    }
    let finding = |(node, (ms, others)): (usize, (i64, BTreeSet<usize>))| Finding {
        kind: FindingKind::OneAfterAnother,
        message: format!(
            "{} was ready {ms} ms before it started, while {} ran, of which it needs nothing: raise `max_parallel`",
            labelled(runs, [node]),
            labelled(runs, others.iter().copied())
        ),
        nodes: std::iter::once(node).chain(others).map(|it| runs.nodes[it].id.clone()).collect(),
        saves_ms: Some(ms),
    };
    by_node.into_iter().map(finding).collect()
}

/// Model calls that asked exactly the same and were answered each time.
fn repeated_calls(runs: &Runs, recordings: &[Recording]) -> Vec<Finding> {
    // By request: the rounds that made it. A repeated attempt of the same round is no second call.
    let mut rounds: BTreeMap<&str, BTreeSet<(&str, u32, &str)>> = BTreeMap::new();
    let answered = |it: &&Recording| {
        it.kind == Kind::Model.name() && it.reply.as_ref().is_some_and(|it| it.starts_with("{\"ok\""))
    };
    for call in recordings.iter().filter(answered) {
        let item = call.place.split('.').next().unwrap_or_default();
        rounds.entry(&call.request).or_default().insert((&call.node_id, call.iteration, item));
    }
    let finding = |rounds: BTreeSet<(&str, u32, &str)>| {
        let ids: BTreeSet<&str> = rounds.iter().map(|(node_id, ..)| *node_id).collect();
        let nodes = (0..runs.nodes.len()).filter(|it| ids.contains(runs.nodes[*it].id.as_str()));
        Finding {
            kind: FindingKind::RepeatedCall,
            message: format!(
                "{} asked the same model the same {} times: ask once and pass the reply on",
                labelled(runs, nodes.clone()),
                rounds.len()
            ),
            nodes: nodes.map(|it| runs.nodes[it].id.clone()).collect(),
            saves_ms: None,
        }
    };
    rounds.into_values().filter(|it| it.len() > 1).map(finding).collect()
}

/// Values that go nowhere, of nodes that are there for their value.
fn unused_outputs(runs: &Runs) -> Vec<Finding> {
    if !runs.nodes.iter().any(|it| it.kind == "endpoint") {
        // Without endpoints what comes last is the result.
        return Vec::new();
    }
    let is_unused = |node: &usize| {
        let outline = &runs.nodes[*node];
        let mut own = runs.all.iter().filter(|it| it.node == *node && it.error.is_none());
        let is_for_its_value = |it: &Ran| !it.has_effect || outline.kind == "person_job";
        outline.is_last && outline.kind != "endpoint" && own.any(is_for_its_value)
    };
    let finding = |node: usize| Finding {
        kind: FindingKind::UnusedOutput,
        message: format!("nothing uses the value of {}: connect it or remove it", labelled(runs, [node])),
        nodes: vec![runs.nodes[node].id.clone()],
        saves_ms: None,
    };
    (0..runs.nodes.len()).filter(is_unused).map(finding).collect()
}

/// `` `a`, `b` and `c` ``
fn labelled(runs: &Runs, nodes: impl IntoIterator<Item = usize>) -> String {
    let mut labels: Vec<String> = nodes.into_iter().map(|it| format!("`{}`", runs.nodes[it].label)).collect();
    match labels.pop() {
        Some(last) if !labels.is_empty() => format!("{} and {last}", labels.join(", ")),
        last => last.unwrap_or_default(),
    }
}
