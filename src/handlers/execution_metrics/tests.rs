//! Tables: what happened, as words, and what the metrics say of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::findings::{bottlenecks, findings};
use super::paths::{critical_path, parallel_groups};
use super::runs::{Runs, fold};
use super::{FindingKind, response};
use crate::clock::Timestamp;
use crate::engine::Recording;
use crate::engine::event::{
    Closing, Event, ExecutionPaused, ExecutionResumed, ExecutionStarted, InteractivePrompt, InteractiveResponse,
    NodeCompleted, NodeError, NodeOutline, NodeRetry, NodeStarted, StoredOutput,
};
use crate::engine::run::LogEntry;
use crate::ids::ExecutionId;
use crate::nodes::{PauseReason, Published, Question};
use crate::secret::Scrubber;

/// The log of what happened to nodes `a`, `b` …: `10 start b:1 a:1` (what gave it its input stands behind it),
/// `12 done b:1 3` (of which 3 ms for the disk), `fail`, `retry b:1 50`, `ask`, `answer`, `pause`, `resume`, `end`.
/// A label in capitals has an effect; `e` is an endpoint; what stands in `last` has no connection.
fn log(nodes: &str, last: &str, happened: &[&str]) -> Vec<LogEntry> {
    let outline = |it: char| NodeOutline {
        id: it.to_string(),
        label: it.to_string(),
        kind: if it == 'e' { "endpoint" } else { "code_job" }.into(),
        is_last: last.contains(it),
    };
    let started = ExecutionStarted { nodes: nodes.chars().map(outline).collect(), ..ExecutionStarted::default() };
    let mut log = vec![LogEntry { seq: 1, node_id: None, event: Event::ExecutionStarted(started), at: Timestamp(0) }];
    for line in happened {
        let words: Vec<&str> = line.split(' ').collect();
        let at = Timestamp(words[0].parse().expect("a moment"));
        let (node, iteration) = words.get(2).and_then(|it| it.split_once(':')).unwrap_or(("", "1"));
        let event = event(words[1], node, iteration.parse().expect("a number"), words.get(3..).unwrap_or_default());
        let node_id = (!node.is_empty()).then(|| node.to_owned());
        log.push(LogEntry { seq: log.len() as u64 + 1, node_id, event, at });
    }
    log
}

fn event(what: &str, node: &str, iteration: u32, rest: &[&str]) -> Event {
    let number = rest.first().and_then(|it| it.parse().ok()).unwrap_or(0);
    let question = || Question::new(PauseReason::Input, "?");
    let warnings = Vec::new();
    match what {
        "start" => Event::NodeStarted(NodeStarted {
            kind: "code_job".into(),
            iteration,
            attempt: 1,
            inputs: rest.iter().map(|it| ((*it).to_owned(), (*it).to_owned())).collect::<BTreeMap<_, _>>(),
            effect: node.chars().all(char::is_uppercase),
        }),
        "done" => Event::NodeCompleted(NodeCompleted {
            iteration,
            attempt: 1,
            output: StoredOutput { body: Value::Null.into(), forms: None },
            handles: Published::Normal,
            duration_ms: 0,
            store_ms: number,
            meta: used(rest.get(1)),
            variables: Map::new(),
            exposed: Map::new(),
            warnings,
        }),
        "fail" => Event::NodeError(NodeError {
            iteration,
            error: json!({"code": "BAD", "message": "no"}),
            handled: true,
            warnings,
        }),
        "retry" => {
            let delay_ms = u64::try_from(number).expect("positive");
            Event::NodeRetry(NodeRetry { iteration, attempt: 2, error: json!({}), delay_ms })
        }
        "ask" => Event::InteractivePrompt(InteractivePrompt { iteration, question: question() }),
        "answer" => {
            Event::InteractiveResponse(InteractiveResponse { iteration, value: Value::Null, by: "terminal".into() })
        }
        "pause" => Event::ExecutionPaused(ExecutionPaused { reason: PauseReason::Operator, waiting_for: Vec::new() }),
        "resume" => Event::ExecutionResumed(ExecutionResumed { by: "terminal".into() }),
        "end" => Event::ExecutionCompleted(Closing::default()),
        other => panic!("{other}"),
    }
}

fn used(tokens: Option<&&str>) -> Map<String, Value> {
    let Some(total) = tokens.and_then(|it| it.parse::<u64>().ok()) else { return Map::new() };
    let usage = json!({"input": total - 1, "output": 1, "total": total});
    Map::from_iter([("llm_usage".to_owned(), usage)])
}

/// `a>b b>c` as pairs.
fn connections(text: &str) -> Vec<(String, String)> {
    text.split_whitespace().filter_map(|it| it.split_once('>')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

fn folded(nodes: &str, wires: &str, last: &str, happened: &[&str]) -> Runs {
    fold(&log(nodes, last, happened), &connections(wires), Timestamp(0), Timestamp(1_000))
}

/// `b:1` for each position.
fn named(runs: &Runs, chosen: &[usize]) -> String {
    let name = |it: &usize| format!("{}:{}", runs.nodes[runs.all[*it].node].label, runs.all[*it].iteration);
    chosen.iter().map(name).collect::<Vec<_>>().join(" ")
}

/// `b:1 12 = queue 2 inputs 0 effect 7 store 3`, in the order of the starts; what is zero is left out.
fn told(runs: &Runs) -> Vec<String> {
    let told = |(idx, run): (usize, &super::runs::Ran)| {
        let it = run.phases;
        let parts = [
            ("queue", it.queue),
            ("inputs", it.inputs),
            ("effect", it.effect),
            ("store", it.store),
            ("waiting", it.waiting),
            ("idle", it.idle),
        ];
        let parts: String = parts.iter().filter(|(_, ms)| *ms != 0).map(|(name, ms)| format!(" {name} {ms}")).collect();
        format!("{} {} ={parts}", named(runs, &[idx]), run.duration_ms)
    };
    runs.all.iter().enumerate().map(told).collect()
}

#[test]
fn every_millisecond_of_a_run_is_in_one_phase() {
    for (what, nodes, wires, happened, expected) in [
        (
            "a chain without waits",
            "ab",
            "a>b",
            &["0 start a:1", "5 done a:1", "5 start b:1 a:1", "9 done b:1", "9 end"][..],
            &["a:1 5 = effect 5", "b:1 4 = effect 4"][..],
        ),
        (
            "a join waits for its last input and then for a place",
            "abc",
            "a>c b>c",
            &[
                "0 start a:1",
                "0 start b:1",
                "4 done a:1",
                "10 done b:1",
                "13 start c:1 a:1 b:1",
                "14 done c:1",
                "14 end",
            ],
            &["a:1 4 = effect 4", "b:1 10 = effect 10", "c:1 1 = queue 3 inputs 6 effect 1"],
        ),
        (
            "an effect waits for the disk",
            "A",
            "",
            &["2 start A:1", "12 done A:1 3", "12 end"],
            &["A:1 10 = queue 2 effect 7 store 3"],
        ),
        (
            "a person answers, an attempt is repeated",
            "ab",
            "a>b",
            &[
                "0 start a:1",
                "1 ask a:1",
                "61 answer a:1",
                "62 done a:1",
                "62 start b:1 a:1",
                "65 retry b:1 50",
                "118 done b:1",
                "118 end",
            ],
            &["a:1 62 = effect 2 waiting 60", "b:1 56 = effect 6 idle 50"],
        ),
        (
            "a pause of the whole execution is nobody's queue",
            "ab",
            "a>b",
            &["0 start a:1", "5 done a:1", "6 pause", "90 resume", "92 start b:1 a:1", "95 done b:1", "95 end"],
            &["a:1 5 = effect 5", "b:1 3 = queue 3 effect 3"],
        ),
        (
            "what still runs is measured to the present moment",
            "a",
            "",
            &["400 start a:1"],
            &["a:1 600 = queue 400 effect 600"],
        ),
    ] {
        assert_eq!(told(&folded(nodes, wires, "", happened)), expected, "{what}");
    }
}

#[test]
fn a_run_needs_what_fed_it_and_what_it_waited_for() {
    // Round two of `b` hangs on the condition that sent it back, not on the start; `d` waited for both branches.
    let runs = folded(
        "abcd",
        "a>b b>c c>b c>d a>d",
        "",
        &[
            "0 start a:1",
            "1 done a:1",
            "1 start b:1 a:1",
            "5 done b:1",
            "5 start c:1 b:1",
            "6 done c:1",
            "6 start b:2 c:1",
            "20 done b:2",
            "20 start c:2 b:2",
            "21 done c:2",
            "21 start d:1 a:1",
            "22 done d:1",
            "22 end",
        ],
    );
    let needs: Vec<String> = (0..runs.all.len())
        .map(|it| format!("{} <- {}", named(&runs, &[it]), named(&runs, &runs.all[it].needs)))
        .collect();
    assert_eq!(needs, ["a:1 <- ", "b:1 <- a:1", "c:1 <- b:1", "b:2 <- b:1 c:1", "c:2 <- c:1 b:2", "d:1 <- a:1 c:2"],);
    assert_eq!(named(&runs, &critical_path(&runs.all)), "a:1 b:1 c:1 b:2 c:2 d:1");
}

#[test]
fn the_critical_path_follows_dependencies_and_not_the_clock() {
    // `c` starts last and alone, because there was one place; the long way is a, b, e.
    let runs = folded(
        "abce",
        "a>b a>c b>e",
        "c",
        &[
            "0 start a:1",
            "1 done a:1",
            "1 start b:1 a:1",
            "51 done b:1",
            "51 start c:1 a:1",
            "71 done c:1",
            "71 start e:1 b:1",
            "72 done e:1",
            "72 end",
        ],
    );
    assert_eq!(named(&runs, &critical_path(&runs.all)), "a:1 b:1 e:1");
    assert_eq!(parallel_groups(&runs.all), [[1, 2]]);
    let found = findings(&runs, &[]);
    let kinds: Vec<_> = found.iter().map(|it| (it.kind, it.nodes.join(" "), it.saves_ms)).collect();
    assert_eq!(
        kinds,
        [
            (FindingKind::OneAfterAnother, "c b".to_owned(), Some(50)),
            (FindingKind::OneAfterAnother, "e c".to_owned(), Some(20)),
            (FindingKind::UnusedOutput, "c".to_owned(), None),
        ]
    );
    assert_eq!(
        found[0].message,
        "`c` was ready 50 ms before it started, while `b` ran, of which it needs nothing: raise `max_parallel`"
    );
}

#[test]
fn a_bottleneck_is_above_a_tenth_of_the_run_or_above_a_second() {
    for (what, happened, expected) in [
        ("tenths", &["0 start a:1", "10 done a:1", "10 start b:1 a:1", "99 done b:1", "100 end"][..], "b:1"),
        ("the longest first", &["0 start a:1", "20 done a:1", "20 start b:1 a:1", "99 done b:1", "100 end"], "b:1 a:1"),
        ("seconds", &["0 start a:1", "1001 done a:1", "1001 start b:1 a:1", "2001 done b:1", "99000 end"], "a:1"),
    ] {
        let runs = folded("ab", "a>b", "", happened);
        assert_eq!(named(&runs, &bottlenecks(&runs)), expected, "{what}");
    }
}

#[test]
fn the_same_question_to_a_model_is_found_and_a_repeated_attempt_is_not() {
    let runs = folded("abe", "a>b b>e", "e", &["0 start a:1", "1 done a:1", "1 start b:1 a:1", "2 done b:1", "2 end"]);
    let call = |node: &str, iteration, attempt, kind: &'static str, request: &str, reply: Option<&str>| Recording {
        node_id: node.into(),
        iteration,
        attempt,
        place: String::new(),
        kind: kind.into(),
        request: request.to_owned(),
        reply: reply.map(str::to_owned),
    };
    let ok = Some("{\"ok\":{}}");
    for (what, calls, expected) in [
        ("once each", vec![call("a", 1, 1, "model", "x", ok), call("b", 1, 1, "model", "y", ok)], ""),
        ("two nodes", vec![call("a", 1, 1, "model", "x", ok), call("b", 1, 1, "model", "x", ok)], "a b"),
        ("two rounds", vec![call("a", 1, 1, "model", "x", ok), call("a", 2, 1, "model", "x", ok)], "a"),
        ("two attempts", vec![call("a", 1, 1, "model", "x", ok), call("a", 1, 2, "model", "x", ok)], ""),
        ("one was broken off", vec![call("a", 1, 1, "model", "x", None), call("b", 1, 1, "model", "x", ok)], ""),
        ("no model", vec![call("a", 1, 1, "http", "x", ok), call("b", 1, 1, "http", "x", ok)], ""),
    ] {
        let nodes: Vec<String> = findings(&runs, &calls).into_iter().map(|it| it.nodes.join(" ")).collect();
        assert_eq!(nodes.join("; "), expected, "{what}");
    }
}

#[test]
fn the_answer_has_the_names_of_the_guide() {
    let runs = folded(
        "aB",
        "a>B",
        "B",
        &[
            "0 start a:1",
            "1 done a:1",
            "1 start B:1 a:1",
            "9 done B:1 2 30",
            "9 start B:2 a:1",
            "11 fail B:2",
            "11 end",
        ],
    );
    let id = ExecutionId::parse("exec_00000000000000000000000000000001").expect("an id");
    let shown = serde_json::to_value(response(&id, &runs, findings(&runs, &[]), &Scrubber::default())).expect("JSON");
    let step = |node: &str, iteration: u32, ms: i64| json!({"node_id": node, "label": node, "node_type": "code_job", "iteration": iteration, "duration_ms": ms});
    let with = |mut step: Value, more: Value| {
        step.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        step
    };
    assert_eq!(
        shown,
        json!({
            "execution_id": id.as_str(), "status": "completed", "total_duration_ms": 11, "node_count": 3,
            "total_token_usage": {"input": 29, "output": 1, "total": 30},
            "bottlenecks": [step("B", 1, 8), step("B", 2, 2)],
            "critical_path": [step("a", 1, 1), step("B", 1, 8), step("B", 2, 2)],
            "critical_path_length": 3, "critical_path_ms": 11,
            "parallelizable_groups": [], "optimizations": [],
            "node_breakdown": [
                with(step("a", 1, 1), json!({"module_timings": {"queue": 0, "inputs": 0, "effect": 1, "store": 0}})),
                with(step("B", 1, 8), json!({"token_usage": {"input": 29, "output": 1, "total": 30},
                    "module_timings": {"queue": 0, "inputs": 0, "effect": 6, "store": 2}})),
                with(step("B", 2, 2), json!({"error": {"code": "BAD", "message": "no"},
                    "module_timings": {"queue": 0, "inputs": 8, "effect": 2, "store": 0}})),
            ],
        })
    );
}
