//! Looks for anomalies in what several clients saw. Pure: it knows operations, not how they were made.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// One operation of one client, with its place in time: it began after everything that had ended before.
#[derive(Clone, Debug)]
pub struct Op {
    pub begun: u64,
    pub ended: u64,
    pub what: What,
}

/// What a client did and was told.
#[derive(Clone, Debug)]
pub enum What {
    Started {
        id: String,
        key: Option<String>,
    },
    /// Without `done` where the answer does not tell.
    Seen {
        id: String,
        status: String,
        done: Option<u64>,
    },
    /// An id that somebody was given is not known.
    NotFound {
        id: String,
    },
    Answered {
        id: String,
        value: String,
    },
    /// The answer was refused because of an earlier one, or because there was nothing to answer.
    Refused {
        id: String,
    },
    Aborted {
        id: String,
    },
    /// An error that has no place here.
    Failed {
        code: String,
        message: String,
    },
    /// What the log says in the end.
    Final {
        id: String,
        status: String,
        answers: Vec<String>,
    },
}

fn has_ended(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "aborted")
}

/// Returns every anomaly, in words.
pub fn anomalies(history: &[Op]) -> Vec<String> {
    let mut found = Vec::new();
    let mut by_id: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    let mut by_key: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for op in history {
        match &op.what {
            What::Failed { code, message } => found.push(format!("an operation failed: {code} {message}")),
            What::NotFound { id } => found.push(format!("{id} was returned and is not found")),
            What::Started { id, key } => {
                if let Some(key) = key {
                    by_key.entry(key).or_default().insert(id);
                }
            }
            What::Seen { id, .. }
            | What::Answered { id, .. }
            | What::Refused { id }
            | What::Aborted { id }
            | What::Final { id, .. } => by_id.entry(id).or_default().push(op),
        }
    }
    for (key, ids) in by_key.iter().filter(|(_, ids)| ids.len() > 1) {
        found.push(format!("the key {key} gave {} executions: {ids:?}", ids.len()));
    }
    for (id, mut ops) in by_id {
        ops.sort_by_key(|it| it.begun);
        found.extend(backwards(id, &ops));
        found.extend(wrong_answers(id, &ops));
    }
    found
}

/// What was known when an operation ended holds for every one that began later.
fn backwards(id: &str, ops: &[&Op]) -> Vec<String> {
    let mut found = Vec::new();
    // Those that were under way, the one that ends first on top.
    let mut under_way: BinaryHeap<(std::cmp::Reverse<u64>, usize)> = BinaryHeap::new();
    let (mut done_before, mut end_before, mut aborted_before) = (0, None::<&str>, false);
    for (idx, op) in ops.iter().enumerate() {
        while let Some((ended, earlier)) = under_way.peek().copied().filter(|(ended, _)| ended.0 < op.begun) {
            under_way.pop();
            debug_assert!(ended.0 == ops[earlier].ended);
            match &ops[earlier].what {
                What::Seen { status, done, .. } => {
                    done_before = done_before.max(done.unwrap_or(0));
                    end_before = end_before.or(Some(status.as_str()).filter(|it| has_ended(it)));
                }
                What::Aborted { .. } => aborted_before = true,
                _ => {}
            }
        }
        let status = match &op.what {
            What::Seen { status, done, .. } => {
                if let Some(done) = done.filter(|it| *it < done_before) {
                    found.push(format!("{id}: {done} nodes are done where {done_before} were before"));
                }
                Some(status)
            }
            What::Final { status, .. } => Some(status),
            _ => None,
        };
        if let Some(status) = status {
            if end_before.is_some_and(|it| it != status) {
                found.push(format!("{id}: it is {status} after it was {}", end_before.unwrap_or_default()));
            }
            if aborted_before && status != "aborted" {
                found.push(format!("{id}: it is {status} after an abort was acknowledged"));
            }
        }
        under_way.push((std::cmp::Reverse(op.ended), idx));
    }
    found
}

fn wrong_answers(id: &str, ops: &[&Op]) -> Vec<String> {
    let mut found = Vec::new();
    let accepted: Vec<&String> = ops
        .iter()
        .filter_map(|it| if let What::Answered { value, .. } = &it.what { Some(value) } else { None })
        .collect();
    if accepted.len() > 1 {
        found.push(format!("{id}: {} answers to one question were accepted", accepted.len()));
    }
    for op in ops {
        let What::Final { answers, status, .. } = &op.what else { continue };
        if answers.len() > 1 {
            found.push(format!("{id}: its log has {} answers to one question", answers.len()));
        }
        for value in accepted.iter().filter(|it| !answers.contains(it)) {
            found.push(format!("{id}: the answer {value} was accepted, its log has {answers:?}"));
        }
        if !has_ended(status) && status != "paused" {
            found.push(format!("{id}: it is {status} although nobody does anything any more"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(begun: u64, ended: u64, what: What) -> Op {
        Op { begun, ended, what }
    }

    fn seen(status: &str, done: u64) -> What {
        What::Seen { id: "x".into(), status: status.into(), done: Some(done) }
    }

    fn answered(value: &str) -> What {
        What::Answered { id: "x".into(), value: value.into() }
    }

    fn finally(status: &str, answers: &[&str]) -> What {
        What::Final { id: "x".into(), status: status.into(), answers: answers.iter().map(|it| (*it).into()).collect() }
    }

    fn started(id: &str, key: &str) -> What {
        What::Started { id: id.into(), key: Some(key.into()) }
    }

    fn aborted() -> What {
        What::Aborted { id: "x".into() }
    }

    #[test]
    fn a_good_history_has_none() {
        let good = [
            op(1, 2, started("x", "k")),
            op(1, 4, started("x", "k")),
            op(3, 5, seen("running", 1)),
            op(6, 20, seen("running", 1)),
            // Under way at the same moment: neither was before the other.
            op(7, 9, seen("paused", 2)),
            op(8, 10, seen("running", 1)),
            op(11, 13, answered("a")),
            op(11, 14, What::Refused { id: "x".into() }),
            op(15, 16, seen("completed", 5)),
            op(17, 18, seen("completed", 5)),
            op(30, 31, finally("completed", &["a"])),
        ];
        assert_eq!(anomalies(&good), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_anomaly_is_found() {
        for (part, bad) in [
            ("is running after it was completed", vec![op(1, 2, seen("completed", 3)), op(3, 4, seen("running", 3))]),
            (
                "is aborted after it was completed",
                vec![op(1, 2, seen("completed", 3)), op(3, 4, finally("aborted", &[]))],
            ),
            ("2 nodes are done where 3 were", vec![op(1, 2, seen("running", 3)), op(3, 4, seen("running", 2))]),
            ("is completed after an abort", vec![op(1, 2, aborted()), op(3, 4, finally("completed", &[]))]),
            ("is running after an abort", vec![op(1, 2, aborted()), op(3, 4, seen("running", 0))]),
            ("2 answers to one question were accepted", vec![op(1, 2, answered("a")), op(1, 2, answered("b"))]),
            ("the answer a was accepted", vec![op(1, 2, answered("a")), op(3, 4, finally("completed", &["b"]))]),
            ("its log has 2 answers", vec![op(3, 4, finally("completed", &["a", "b"]))]),
            ("is running although", vec![op(3, 4, finally("running", &[]))]),
            ("not found", vec![op(1, 2, What::NotFound { id: "x".into() })]),
            ("gave 2 executions", vec![op(1, 2, started("x", "k")), op(1, 2, started("y", "k"))]),
            ("INTERNAL", vec![op(1, 2, What::Failed { code: "INTERNAL".into(), message: "x".into() })]),
        ] {
            let found = anomalies(&bad);
            assert_eq!(found.len(), 1, "{part}: {found:?}");
            assert!(found[0].contains(part), "{part}: {found:?}");
        }
    }
}
