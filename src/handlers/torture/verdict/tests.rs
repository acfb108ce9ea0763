//! Histories that were made up: a good one, and for each promise one that breaks it.

use serde_json::{Map, Value, json};

use super::*;
use crate::engine::event::{
    Closing, ControlApplied, Event, ExecutionResumed, ExecutionStarted, InteractiveResponse, NodeCompleted, NodeError,
    NodeOutline, NodeOutput, NodeRetry, NodeStarted, StoredOutput,
};
use crate::nodes::Published;
use crate::nodes::report::ItemDone;

fn started(iteration: u32, attempt: u32) -> Event {
    let inputs = BTreeMap::new();
    Event::NodeStarted(NodeStarted { kind: "hook".into(), iteration, attempt, inputs, effect: true })
}

fn completed(iteration: u32, attempt: u32) -> Event {
    Event::NodeCompleted(NodeCompleted {
        iteration,
        attempt,
        output: StoredOutput { body: Value::Null.into(), forms: None },
        handles: Published::Normal,
        duration_ms: 0,
        store_ms: 0,
        meta: Map::new(),
        variables: Map::new(),
        exposed: Map::new(),
        warnings: Vec::new(),
    })
}

fn failed(iteration: u32) -> Event {
    Event::NodeError(NodeError { iteration, error: Value::Null, handled: true, warnings: Vec::new() })
}

fn retry(iteration: u32, attempt: u32) -> Event {
    Event::NodeRetry(NodeRetry { iteration, attempt, error: Value::Null, delay_ms: 0 })
}

fn answered(value: Value) -> Event {
    Event::InteractiveResponse(InteractiveResponse { iteration: 1, value, by: "torture".into() })
}

fn decided(action: &str) -> Event {
    Event::Control(ControlApplied::new(action, "torture"))
}

fn item(index: usize) -> Event {
    let item = ItemDone { index, attempts: 1, ..ItemDone::default() };
    Event::NodeOutput(NodeOutput { iteration: 1, item })
}

fn recovery() -> Event {
    Event::ExecutionResumed(ExecutionResumed { by: "recovery".into() })
}

fn end() -> Event {
    Event::ExecutionCompleted(Closing::default())
}

/// An execution `x` with the nodes `n` and `once`; each event is one second after the one before.
fn log(events: Vec<(&str, Event)>) -> Log {
    let outline = |id: &str| NodeOutline { id: id.into(), label: id.into(), kind: "hook".into(), is_last: false };
    let first = ExecutionStarted { nodes: vec![outline("n"), outline("once")], ..ExecutionStarted::default() };
    let all = [("", Event::ExecutionStarted(first))].into_iter().chain(events);
    let entry = |(seq, (node, event)): (u64, (&str, Event))| LogEntry {
        seq,
        node_id: (!node.is_empty()).then(|| node.to_owned()),
        event,
        at: Timestamp(i64::try_from(seq).expect("small") * 1_000),
    };
    let entries: Vec<LogEntry> = (1..).zip(all).map(entry).collect();
    Log {
        execution_id: "x".into(),
        status: Status::Completed,
        last_seq: entries.len() as u64,
        place: None,
        entries,
        projection_fits: true,
    }
}

fn history(log: Log, ledger: &[&str]) -> History {
    let line = |it: &&str| Line::parse(&format!("x:{it}")).expect("a line");
    History {
        promised: vec!["x".into()],
        ledger: ledger.iter().map(line).collect(),
        logs: vec![log],
        ..History::default()
    }
}

fn asked(action: &'static str, value: Value, outcome: Outcome) -> Asked {
    let key = Key { execution_id: "x".into(), node_id: "n".into(), iteration: 1 };
    Asked { key, action, value, outcome }
}

fn kinds(history: &History) -> Vec<Broken> {
    judge(history).violations.into_iter().map(|it| it.kind).collect()
}

/// A node that was killed under way, a failure that was repeated, a loop, a decision: nothing is broken.
fn sound() -> History {
    let log = log(vec![
        ("n", started(1, 1)),
        ("", recovery()),
        ("n", started(1, 2)),
        ("n", completed(1, 2)),
        ("n", started(2, 1)),
        ("n", retry(2, 2)),
        ("n", completed(2, 2)),
        ("n", started(3, 1)),
        ("n", failed(3)),
        ("once", started(1, 1)),
        ("", recovery()),
        ("once", decided("set_output")),
        ("once", completed(1, 1)),
        ("", end()),
    ]);
    let mut sound = history(log, &["n:1 1", "n:1 2", "n:2 1", "n:2 2", "n:3 1"]);
    sound.kills = vec![Timestamp(2_500), Timestamp(11_500)];
    sound
}

#[test]
fn what_a_kill_interrupted_may_happen_again() {
    let verdict = judge(&sound());
    assert_eq!(verdict.violations, []);
    let counts = (verdict.nodes_committed, verdict.effects, verdict.effects_repeated, verdict.takeovers);
    assert_eq!(counts, (3, 3, 2, 2));
}

#[test]
fn a_lost_execution_is_found() {
    let mut bad = sound();
    bad.promised.push("y".into());
    assert_eq!(kinds(&bad), [Broken::ExecutionLost]);
}

#[test]
fn what_has_not_ended_or_ended_otherwise_is_found() {
    for (status, expected) in [
        (Status::Running, Broken::Stuck),
        (Status::Paused, Broken::Stuck),
        (Status::Pending, Broken::Stuck),
        (Status::Failed, Broken::EndedWrong),
        (Status::Aborted, Broken::EndedWrong),
    ] {
        let mut bad = sound();
        bad.logs[0].status = status;
        assert_eq!(kinds(&bad), [expected], "{status:?}");
    }
}

#[test]
fn a_committed_node_that_runs_again_is_found() {
    let again =
        log(vec![("n", started(1, 1)), ("n", completed(1, 1)), ("", recovery()), ("n", started(1, 2)), ("", end())]);
    let mut bad = history(again, &["n:1 1", "n:1 2"]);
    bad.kills = vec![Timestamp(3_500)];
    assert_eq!(kinds(&bad), [Broken::CommittedRepeated]);
    let twice = log(vec![("n", started(1, 1)), ("n", completed(1, 1)), ("n", completed(1, 1)), ("", end())]);
    assert_eq!(kinds(&history(twice, &["n:1 1"])), [Broken::CommittedRepeated]);
    let items = log(vec![("n", started(1, 1)), ("n", item(0)), ("n", item(1)), ("n", item(0)), ("", end())]);
    assert_eq!(kinds(&history(items, &[])), [Broken::CommittedRepeated]);
}

#[test]
fn two_children_at_one_place_are_found() {
    let child =
        |id: &str| Log { execution_id: id.into(), place: Some(("x".into(), "n:1:0".into())), ..log(vec![("", end())]) };
    let mut bad = sound();
    bad.logs.extend([child("y"), child("z")]);
    assert_eq!(kinds(&bad), [Broken::CommittedRepeated]);
    bad.logs.truncate(2);
    assert_eq!(kinds(&bad), []);
}

#[test]
fn an_effect_that_only_the_log_knows_is_found() {
    let mut bad = sound();
    bad.ledger.retain(|it| it != &Line::parse("x:n:2 2").expect("a line"));
    assert_eq!(kinds(&bad), [Broken::EffectLost]);
}

#[test]
fn an_effect_that_the_log_did_not_know_of_is_found() {
    for line in ["x:n:1 3", "x:n:4 1", "y:n:1 1"] {
        let mut bad = sound();
        bad.ledger.push(Line::parse(line).expect("a line"));
        assert_eq!(kinds(&bad), [Broken::EffectUnlogged], "{line}");
    }
    // A start that was acknowledged and never written comes again under the same number.
    let mut bad = sound();
    bad.ledger.push(Line::parse("x:n:1 1").expect("a line"));
    assert_eq!(kinds(&bad), [Broken::EffectUnlogged]);
}

#[test]
fn a_repetition_without_a_kill_is_found() {
    for kills in [vec![], vec![Timestamp(1_500), Timestamp(11_500)], vec![Timestamp(4_500), Timestamp(11_500)]] {
        let mut bad = sound();
        bad.kills = kills;
        assert_eq!(kinds(&bad), [Broken::RepeatedWithoutCause], "{:?}", bad.kills);
    }
}

#[test]
fn what_must_happen_at_most_once_may_be_repeated_only_by_decision() {
    let events = |decision: Vec<(&'static str, Event)>| {
        let before = vec![("once", started(1, 1)), ("", recovery())];
        let after = vec![("once", started(1, 2)), ("once", completed(1, 2)), ("", end())];
        log(before.into_iter().chain(decision).chain(after).collect())
    };
    let mut bad = history(events(Vec::new()), &["once:1 1", "once:1 2"]);
    bad.kills = vec![Timestamp(2_500)];
    assert_eq!(kinds(&bad), [Broken::RepeatedWithoutCause]);
    let good = history(events(vec![("once", decided("resume"))]), &["once:1 1", "once:1 2"]);
    assert_eq!(kinds(&good), []);
}

#[test]
fn a_repetition_that_a_failure_announced_may_start_once() {
    let begun = |starts: usize| {
        let repeated = std::iter::repeat_n(("n", started(1, 2)), starts);
        let events = [("n", started(1, 1)), ("n", retry(1, 2))].into_iter().chain(repeated);
        history(log(events.chain([("n", completed(1, 2)), ("", end())]).collect()), &["n:1 1", "n:1 2"])
    };
    for starts in [0, 1] {
        assert_eq!(kinds(&begun(starts)), [], "{starts}");
    }
    assert!(kinds(&begun(2)).contains(&Broken::LogBroken));
}

#[test]
fn a_broken_log_is_found() {
    let gap = |mut it: History| {
        it.logs[0].entries.remove(3);
        it
    };
    let wrong_row = |mut it: History| {
        it.logs[0].last_seq += 1;
        it
    };
    let wrong_columns = |mut it: History| {
        it.logs[0].projection_fits = false;
        it
    };
    for (name, bad) in [("gap", gap(sound())), ("row", wrong_row(sound())), ("columns", wrong_columns(sound()))] {
        assert!(kinds(&bad).contains(&Broken::LogBroken), "{name}");
    }
    for events in [
        vec![("n", started(1, 2)), ("n", completed(1, 2)), ("", end())],
        vec![("n", started(1, 1)), ("n", started(2, 1)), ("n", completed(2, 1)), ("", end())],
        vec![("n", started(1, 1)), ("n", completed(1, 2)), ("", end())],
    ] {
        let ledger = ["n:1 1", "n:1 2", "n:2 1"];
        let bad = history(log(events.clone()), &ledger);
        assert!(kinds(&bad).contains(&Broken::LogBroken), "{events:?}");
    }
}

#[test]
fn what_happens_after_the_end_is_found() {
    let late = log(vec![("", end()), ("n", started(1, 1)), ("n", completed(1, 1))]);
    assert_eq!(kinds(&history(late, &["n:1 1"])), [Broken::AfterTheEnd, Broken::AfterTheEnd]);
}

#[test]
fn an_acknowledged_answer_is_the_one_in_the_log_and_the_only_one() {
    let with = |answers: &[Value], requests: Vec<Asked>| {
        let mut events = vec![("n", started(1, 1))];
        events.extend(answers.iter().map(|it| ("n", answered(it.clone()))));
        events.extend([("n", completed(1, 1)), ("", end())]);
        History { requests, ..history(log(events), &["n:1 1"]) }
    };
    let yes = || asked("answer", json!("yes"), Outcome::Accepted);
    let no = |outcome| asked("answer", json!("no"), outcome);
    for (name, good) in [
        ("one of two", with(&[json!("yes")], vec![yes(), no(Outcome::Refused)])),
        ("one is still open", with(&[json!("yes")], vec![yes(), no(Outcome::Open)])),
        ("a child went on twice", with(&[Value::Null, Value::Null], vec![])),
    ] {
        assert_eq!(kinds(&good), [], "{name}");
    }
    for (name, bad) in [
        ("another one is in the log", with(&[json!("no")], vec![yes()])),
        ("none is in the log", with(&[], vec![yes()])),
        ("two in the log", with(&[json!("yes"), json!("no")], vec![yes()])),
    ] {
        assert_eq!(kinds(&bad), [Broken::AnswerBroken], "{name}");
    }
    let both = with(&[json!("yes")], vec![yes(), no(Outcome::Accepted)]);
    assert_eq!(kinds(&both), [Broken::AnswerBroken, Broken::AnswerBroken]);
}

#[test]
fn a_line_of_the_ledger_is_read_or_refused() {
    let key = Key { execution_id: "x".into(), node_id: "n".into(), iteration: 3 };
    assert_eq!(Line::parse("x:n:3 2"), Some(Line { key, attempt: 2 }));
    for bad in ["", "x:n:3", "x:n 2", "x:n:three 2", "x:n:3 two", "x:n:3 2 1"] {
        assert_eq!(Line::parse(bad), None, "{bad}");
    }
}
