//! Timelines: pictures of fixed executions as golden files, and of random ones as properties.

use std::path::Path;

use dipeo::clock::Timestamp;
use dipeo::config::Environment;
use dipeo::engine::event::{
    Closing, Event, ExecutionPaused, ExecutionResumed, ExecutionStarted, InteractivePrompt, InteractiveResponse,
    NodeCompleted, NodeError, NodeOutline, NodeRetry, NodeStarted, StoredOutput,
};
use dipeo::nodes::{PauseReason, Published, Question};
use dipeo::timeline::{Timeline, svg};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const ID: &str = "exec_00000000000000000000000000000001";
/// 2026-01-02T03:04:05.678Z
const START: i64 = 1_767_323_045_678;

/// What happens, without what a picture does not look at.
#[derive(Clone, Copy, Debug)]
enum What {
    Start(u32),
    Done(u32),
    Fail(u32),
    /// The attempt that comes next, and the delay before it.
    Retry(u32, u64),
    Ask(u32),
    Answer(u32),
    Paused,
    Resumed(&'static str),
    Completed,
    Failed,
    Aborted,
}

fn event(what: What) -> Event {
    let question = || Question {
        reason: PauseReason::Input,
        prompt: "?".into(),
        messages: Vec::new(),
        person: None,
        schema: None,
        options: None,
        human_only: false,
        child: None,
        budget: None,
        deadline: None,
        state: Value::Null,
    };
    match what {
        What::Start(iteration) => Event::NodeStarted(NodeStarted {
            kind: "code_job".into(),
            iteration,
            attempt: 1,
            inputs: Default::default(),
            effect: false,
        }),
        What::Done(iteration) => Event::NodeCompleted(NodeCompleted {
            iteration,
            attempt: 1,
            output: StoredOutput { body: Value::Null.into(), forms: None },
            handles: Published::Normal,
            duration_ms: 1,
            store_ms: 0,
            meta: Map::new(),
            variables: Map::new(),
            exposed: Map::new(),
            warnings: Vec::new(),
        }),
        What::Fail(iteration) => {
            Event::NodeError(NodeError { iteration, error: json!({}), handled: true, warnings: Vec::new() })
        }
        What::Retry(attempt, delay_ms) => {
            Event::NodeRetry(NodeRetry { iteration: 1, attempt, error: json!({}), delay_ms })
        }
        What::Ask(iteration) => Event::InteractivePrompt(InteractivePrompt { iteration, question: question() }),
        What::Answer(iteration) => {
            Event::InteractiveResponse(InteractiveResponse { iteration, value: json!("yes"), by: "client".into() })
        }
        What::Paused => Event::ExecutionPaused(ExecutionPaused { reason: PauseReason::Input, waiting_for: Vec::new() }),
        What::Resumed(by) => Event::ExecutionResumed(ExecutionResumed { by: by.into() }),
        What::Completed => Event::ExecutionCompleted(Closing::default()),
        What::Failed => Event::ExecutionError(Closing::default()),
        What::Aborted => Event::ExecutionAborted(Closing::default()),
    }
}

/// An execution of nodes with these labels (their ids are their positions), then what happened when and where.
fn timeline(diagram: &str, labels: &[&str], happened: &[(i64, usize, What)]) -> Timeline {
    let outline = |(idx, label): (usize, &&str)| NodeOutline {
        id: idx.to_string(),
        label: (*label).to_owned(),
        kind: "code_job".into(),
        is_last: false,
    };
    let nodes = labels.iter().enumerate().map(outline).collect();
    let started = ExecutionStarted { diagram: Some(diagram.to_owned()), nodes, ..ExecutionStarted::default() };
    let mut timeline = Timeline::new(Timestamp(START));
    timeline.apply(&Event::ExecutionStarted(started), None, Timestamp(START));
    for (ms, node, what) in happened {
        timeline.apply(&event(*what), Some(&node.to_string()), Timestamp(START + ms));
    }
    timeline
}

fn drawn(timeline: &Timeline, now_ms: i64) -> String {
    svg(timeline, ID, Timestamp(START + now_ms))
}

/// Checks what a parser of XML would: one root, tags that match, quoted attributes, known entities, legal
/// characters.
fn well_formed(xml: &str) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml.trim_end();
    let mut n_roots = 0;
    while !rest.is_empty() {
        let at = rest.find('<').unwrap_or(rest.len());
        let text = &rest[..at];
        if text.contains('>') || (open.is_empty() && !text.trim().is_empty()) {
            return Err(format!("stray text `{text}`"));
        }
        for entity in text.split('&').skip(1) {
            if !["amp;", "lt;", "gt;"].iter().any(|it| entity.starts_with(it)) {
                return Err(format!("unknown entity in `{text}`"));
            }
        }
        if at == rest.len() {
            break;
        }
        let end = rest[at..].find('>').ok_or("a tag has no end")? + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("`{name}` closes what is not open"));
            }
            continue;
        }
        let (tag, is_empty) = tag.strip_suffix('/').map_or((tag, false), |it| (it, true));
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        if attributes.matches('"').count() % 2 != 0 || attributes.contains(['<', '&', '\'']) {
            return Err(format!("attributes `{attributes}`"));
        }
        n_roots += usize::from(open.is_empty());
        if !is_empty {
            open.push(name);
        }
    }
    let is_illegal = |it: char| (it.is_control() && it != '\n') || matches!(it, '\u{fffe}' | '\u{ffff}');
    if let Some(illegal) = xml.chars().find(|it| is_illegal(*it)) {
        return Err(format!("the character {illegal:?}"));
    }
    if open.is_empty() && n_roots == 1 { Ok(()) } else { Err(format!("{n_roots} roots, open: {open:?}")) }
}

/// Nothing in it acts, loads or leads anywhere.
fn is_inert(xml: &str) -> bool {
    let only_own = xml.matches("url(").count() == xml.matches("url(#dipeo-timeline-").count();
    let no_address = xml.matches("http").count() == 1;
    only_own
        && no_address
        && !["<script", "<a ", "<image", "<use", "<foreignObject", "href", "@import"].iter().any(|it| xml.contains(it))
}

fn assert_same_as_file(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/timeline/{name}.svg"));
    if Environment::of_process().get("UPDATE") == Some("1") {
        std::fs::create_dir_all(file.parent().expect("a file has a folder")).expect("folder can be made");
        std::fs::write(&file, text).expect("file can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == text, "`{name}` differs; run with UPDATE=1 and look at the picture");
}

fn a_loop(n_rounds: u32, round_ms: i64) -> Timeline {
    let mut happened = vec![(0, 0, What::Start(1)), (1, 0, What::Done(1))];
    for round in 1..=n_rounds {
        let at = 1 + i64::from(round - 1) * round_ms;
        happened.push((at, 1, What::Start(round)));
        happened.push((at + round_ms * 2 / 3, 1, What::Done(round)));
        happened.push((at + round_ms * 2 / 3, 2, What::Start(round)));
        happened.push((at + round_ms, 2, What::Done(round)));
    }
    happened.push((1 + i64::from(n_rounds) * round_ms, 0, What::Completed));
    timeline("review", &["start", "write", "good enough?", "publish"], &happened)
}

fn an_answered_question() -> Timeline {
    timeline(
        "ask",
        &["start", "fetch", "ask", "end"],
        &[
            (0, 0, What::Start(1)),
            (2, 0, What::Done(1)),
            (2, 1, What::Start(1)),
            (800, 1, What::Retry(2, 1_000)),
            (2_500, 1, What::Done(1)),
            (2_500, 2, What::Start(1)),
            (2_510, 2, What::Ask(1)),
            (2_511, 2, What::Paused),
            (9_000, 2, What::Answer(1)),
            (9_000, 2, What::Resumed("client")),
            (9_400, 2, What::Done(1)),
            (9_400, 3, What::Start(1)),
            (9_401, 3, What::Done(1)),
            (9_402, 0, What::Completed),
        ],
    )
}

fn a_run_that_goes_on() -> Timeline {
    timeline(
        "nightly <import> & \"more\"",
        &["start", "read", "a step with a label that is much too long to stand in front of its row", "end"],
        &[
            (0, 0, What::Start(1)),
            (1, 0, What::Done(1)),
            (1, 1, What::Start(1)),
            (60_000, 1, What::Fail(1)),
            (60_000, 2, What::Start(1)),
            (200_000, 2, What::Resumed("recovery")),
        ],
    )
}

fn an_aborted_run() -> Timeline {
    timeline(
        "stop",
        &["start", "broken", "slow"],
        &[
            (0, 0, What::Start(1)),
            (3, 0, What::Done(1)),
            (3, 1, What::Start(1)),
            (3, 2, What::Start(1)),
            (250, 1, What::Fail(1)),
            (700, 0, What::Aborted),
        ],
    )
}

#[test]
fn fixed_executions_look_as_committed() {
    for (name, timeline, now_ms) in [
        ("loop", a_loop(4, 500), 1_000_000),
        ("question", an_answered_question(), 1_000_000),
        ("running", a_run_that_goes_on(), 260_000),
        ("aborted", an_aborted_run(), 1_000_000),
        ("nothing yet", Timeline::new(Timestamp(START)), 5_000),
    ] {
        let text = drawn(&timeline, now_ms);
        assert_eq!(well_formed(&text), Ok(()), "{name}");
        assert!(is_inert(&text), "{name}");
        assert_same_as_file(&name.replace(' ', "_"), &text);
    }
}

#[test]
fn time_spent_waiting_and_between_attempts_is_told_from_work() {
    let text = drawn(&an_answered_question(), 1_000_000);
    for expected in [
        "<title>completed 6.9 s, 6.4 s of it waiting</title>",
        "<title>completed 2.4 s, 2 attempts</title>",
        "class=\"waiting\"",
        "class=\"idle\"",
        "‖ waiting",
        "between attempts or processes",
    ] {
        assert!(text.contains(expected), "{expected}");
    }
}

#[test]
fn a_long_loop_is_drawn_whole_and_small() {
    let text = drawn(&a_loop(500, 20), 1_000_000);
    assert_eq!(well_formed(&text), Ok(()));
    assert!(text.len() < 30_000, "{}", text.len());
    for expected in [">write ×500</text>", "1001 node executions", "too short to tell apart are drawn together as"] {
        assert!(text.contains(expected), "{expected}");
    }
}

#[test]
fn nodes_without_a_row_are_counted() {
    let labels: Vec<String> = (0..300).map(|it| format!("node {it}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let mut happened: Vec<_> =
        (0..299).flat_map(|it| [(it as i64, it, What::Start(1)), (it as i64 + 1, it, What::Done(1))]).collect();
    happened.push((300, 0, What::Failed));
    let text = drawn(&timeline("wide", &labels, &happened), 0);
    assert!(text.contains("Not drawn: 219 more nodes with 219 node executions."));
    assert!(text.contains("Never ran: node 299."));
    assert!(text.contains("And 287 more nodes.</desc>"));
}

#[test]
fn no_label_leaves_its_place() {
    let long = "&<\u{202e}".repeat(10_000);
    for hostile in ["</svg><script>alert(1)</script>", "\u{202e}\u{2066}x\u{0}\u{ffff}", "\" onload='alert(1)", &long] {
        let labels = vec![hostile; 100];
        let happened: Vec<_> = (0..100).map(|it| (it as i64, it, What::Start(1))).collect();
        let text = drawn(&timeline(hostile, &labels, &happened), 100_000);
        assert_eq!(well_formed(&text), Ok(()), "{hostile:.40}");
        assert!(is_inert(&text) && !text.contains(['\u{202e}', '\u{2066}']), "{hostile:.40}");
        assert!(text.chars().count() <= 100_000, "{}", text.len());
    }
}

#[test]
fn the_largest_picture_is_bounded() {
    let label = "&".repeat(100);
    let labels = vec![label.as_str(); 200];
    let mut happened = Vec::new();
    for round in 0..50_u32 {
        for node in 0..200 {
            let at = i64::from(round) * 10_000 + node as i64;
            happened.extend([(at, node, What::Start(round + 1)), (at + 10, node, What::Ask(round + 1))]);
            happened.extend([(at + 4_000, node, What::Answer(round + 1)), (at + 6_000, node, What::Done(round + 1))]);
        }
    }
    happened.sort_by_key(|it| it.0);
    let text = drawn(&timeline(&label, &labels, &happened), 600_000);
    assert_eq!(well_formed(&text), Ok(()));
    assert!(text.chars().count() <= 100_000, "{}", text.chars().count());
}

fn any_what() -> impl Strategy<Value = What> {
    let iteration = 1_u32..5;
    prop_oneof![
        iteration.clone().prop_map(What::Start),
        iteration.clone().prop_map(What::Done),
        iteration.clone().prop_map(What::Fail),
        (1_u32..9, any::<u64>()).prop_map(|(attempt, delay)| What::Retry(attempt, delay)),
        iteration.clone().prop_map(What::Ask),
        iteration.prop_map(What::Answer),
        Just(What::Paused),
        Just(What::Resumed("recovery")),
        Just(What::Resumed("client")),
        Just(What::Failed),
    ]
}

proptest! {
    #[test]
    fn any_log_gives_a_well_formed_picture(
        labels in prop::collection::vec(any::<String>(), 0..6),
        happened in prop::collection::vec((-1_000_i64..1_000_000, 0_usize..7, any_what()), 0..60),
        now_ms in any::<i64>().prop_map(|it| it / 2),
    ) {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let text = drawn(&timeline("any", &labels, &happened), now_ms);
        prop_assert_eq!(well_formed(&text), Ok(()));
        prop_assert!(text.chars().count() <= 100_000);
        prop_assert!(!text.contains("NaN") && !text.contains("width=\"-"), "{}", text);
    }
}
