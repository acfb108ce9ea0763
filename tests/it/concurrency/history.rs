//! Looks for anomalies in what several clients saw of one execution. Pure: it knows operations, not how they were made.

/// One operation of one client, with its place in time: it began after everything that had ended before.
#[derive(Clone, Debug)]
pub struct Op {
    pub begun: u64,
    pub ended: u64,
    pub what: What,
}

impl Op {
    fn is_before(&self, other: &Op) -> bool {
        self.ended < other.begun
    }
}

/// What a client did and was told.
#[derive(Clone, Debug)]
pub enum What {
    /// Without `done` where the answer does not tell.
    Seen {
        status: String,
        done: Option<u64>,
    },
    Answered {
        value: String,
    },
    Aborted,
    Paused,
    Resumed,
    /// It was refused because of something earlier, or because there was nothing to do.
    Refused,
    /// What the log says in the end.
    Final {
        status: String,
        /// An operator holds it.
        is_held: bool,
        answers: Vec<String>,
    },
}

impl What {
    fn status(&self) -> Option<&str> {
        match self {
            What::Seen { status, .. } | What::Final { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The end that it tells of.
    fn end(&self) -> Option<&str> {
        match self {
            What::Aborted => Some("aborted"),
            other => other.status().filter(|it| has_ended(it)),
        }
    }
}

/// Whether nothing comes after this status unless somebody opens the execution again.
pub fn has_ended(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "aborted")
}

/// Returns every anomaly in the history of one execution, in words.
pub fn anomalies(history: &[Op]) -> Vec<String> {
    let mut found = Vec::new();
    for later in history {
        for earlier in history.iter().filter(|it| it.is_before(later)) {
            found.extend(contradiction(history, earlier, later));
        }
        if let What::Final { status, is_held, answers } = &later.what {
            found.extend(wrong_end(history, status, *is_held));
            found.extend(wrong_answers(history, answers));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What was known when an operation ended holds for every one that began later.
fn contradiction(history: &[Op], earlier: &Op, later: &Op) -> Option<String> {
    if let (What::Seen { done: Some(before), .. }, What::Seen { done: Some(now), .. }) = (&earlier.what, &later.what)
        && now < before
    {
        return Some(format!("{now} nodes are done where {before} were before"));
    }
    let status = later.what.status()?;
    let was_resumed =
        || history.iter().any(|it| matches!(it.what, What::Resumed) && may_lie_between(earlier, it, later));
    match (earlier.what.end(), &earlier.what) {
        (Some("completed"), _) if status != "completed" => Some(format!("it is {status} after it was completed")),
        (Some(end), _) if status != end && !was_resumed() => Some(format!("it is {status} after it was {end}")),
        (_, What::Paused) if status == "completed" && !was_resumed() => {
            Some("it is completed after it was paused, and nobody resumed it".to_owned())
        }
        _ => None,
    }
}

/// Whether `op` can have happened after `earlier` and before `later`.
fn may_lie_between(earlier: &Op, op: &Op, later: &Op) -> bool {
    !op.is_before(earlier) && !later.is_before(op)
}

fn wrong_end(history: &[Op], status: &str, is_held: bool) -> Vec<String> {
    let mut found = Vec::new();
    if !has_ended(status) && status != "paused" {
        found.push(format!("it is {status} although nobody does anything any more"));
    }
    let of = |wanted: fn(&What) -> bool| history.iter().filter(move |it| wanted(&it.what));
    let pauses = || of(|it| matches!(it, What::Paused));
    let resumes = || of(|it| matches!(it, What::Resumed));
    if is_held && pauses().all(|pause| resumes().any(|it| pause.is_before(it))) {
        found.push("it is held, and whoever paused it was followed by somebody who resumed it".to_owned());
    }
    let must_hold = pauses().any(|pause| resumes().all(|it| it.is_before(pause)));
    if must_hold && !is_held && !has_ended(status) {
        found.push("it is not held, and nobody resumed it since it was paused".to_owned());
    }
    found
}

fn wrong_answers(history: &[Op], answers: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let accepted: Vec<&String> = history
        .iter()
        .filter_map(|it| if let What::Answered { value, .. } = &it.what { Some(value) } else { None })
        .collect();
    if accepted.len() > 1 {
        found.push(format!("{} answers to one question were accepted", accepted.len()));
    }
    if answers.len() > 1 {
        found.push(format!("its log has {} answers to one question", answers.len()));
    }
    for value in accepted.iter().filter(|it| !answers.contains(it)) {
        found.push(format!("the answer {value} was accepted, its log has {answers:?}"));
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
        What::Seen { status: status.into(), done: Some(done) }
    }

    fn answered(value: &str) -> What {
        What::Answered { value: value.into() }
    }

    fn finally(status: &str, answers: &[&str]) -> What {
        What::Final {
            status: status.into(),
            is_held: status == "held",
            answers: answers.iter().map(|it| (*it).into()).collect(),
        }
    }

    fn held() -> What {
        What::Final { status: "paused".into(), is_held: true, answers: Vec::new() }
    }

    #[test]
    fn a_good_history_has_none() {
        let good = [
            op(3, 5, seen("running", 1)),
            op(6, 20, seen("running", 1)),
            // Under way at the same moment: neither was before the other.
            op(7, 9, seen("paused", 2)),
            op(8, 10, seen("running", 1)),
            op(11, 13, answered("a")),
            op(11, 14, What::Refused),
            op(15, 16, seen("completed", 5)),
            op(17, 18, seen("completed", 5)),
            op(30, 31, finally("completed", &["a"])),
        ];
        assert_eq!(anomalies(&good), Vec::<String>::new());
    }

    #[test]
    fn whoever_resumes_ends_a_pause_and_opens_again_what_was_aborted() {
        for good in [
            vec![op(1, 2, What::Paused), op(3, 4, What::Resumed), op(5, 6, finally("completed", &[]))],
            // At the same time: either may have been the last.
            vec![op(1, 4, What::Paused), op(2, 5, What::Resumed), op(6, 7, held())],
            vec![op(1, 4, What::Paused), op(2, 5, What::Resumed), op(6, 7, finally("paused", &[]))],
            vec![op(1, 2, What::Aborted), op(3, 6, What::Resumed), op(4, 5, seen("running", 2))],
            vec![op(1, 2, What::Paused), op(3, 4, What::Aborted), op(5, 6, finally("aborted", &[]))],
        ] {
            assert_eq!(anomalies(&good), Vec::<String>::new(), "{good:?}");
        }
    }

    #[test]
    fn every_kind_of_anomaly_is_found() {
        for (part, bad) in [
            ("is running after it was completed", vec![op(1, 2, seen("completed", 3)), op(3, 4, seen("running", 3))]),
            (
                "is aborted after it was completed",
                vec![op(1, 2, seen("completed", 3)), op(2, 5, What::Resumed), op(3, 4, finally("aborted", &[]))],
            ),
            ("2 nodes are done where 3 were", vec![op(1, 2, seen("running", 3)), op(3, 4, seen("running", 2))]),
            (
                "is completed after it was aborted",
                vec![op(1, 2, What::Aborted), op(3, 4, finally("completed", &[])), op(5, 6, What::Resumed)],
            ),
            ("is running after it was aborted", vec![op(1, 2, What::Aborted), op(3, 4, seen("running", 0))]),
            ("is completed after it was paused", vec![op(1, 2, What::Paused), op(3, 4, seen("completed", 0))]),
            ("it is held", vec![op(1, 2, What::Paused), op(3, 4, What::Resumed), op(5, 6, held())]),
            ("it is held", vec![op(5, 6, held())]),
            ("it is not held", vec![op(1, 2, What::Resumed), op(3, 4, What::Paused), op(5, 6, finally("paused", &[]))]),
            (
                "2 answers to one question were accepted",
                vec![op(1, 2, answered("a")), op(1, 2, answered("b")), op(3, 4, finally("completed", &["a", "b"]))],
            ),
            ("the answer a was accepted", vec![op(1, 2, answered("a")), op(3, 4, finally("completed", &["b"]))]),
            ("its log has 2 answers", vec![op(3, 4, finally("completed", &["a", "b"]))]),
            ("is running although", vec![op(3, 4, finally("running", &[]))]),
        ] {
            let found = anomalies(&bad);
            assert!(found.iter().any(|it| it.contains(part)), "{part}: {found:?}");
        }
    }
}
