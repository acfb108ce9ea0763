//! A fork takes over what ran before a node and pays for none of it again: the calls of a counting model, the
//! conversation, the log and its projection.

mod edited;
mod random;
mod stand_in;

use dipeo::engine::Event;
use dipeo::engine::state::ExecutionState;
use dipeo::handlers::control_execution::{self, control_execution};
use dipeo::handlers::fetch::{self, fetch};
use dipeo::handlers::fork_execution::{Extras, Request, fork_execution};
use dipeo::handlers::replay_execution::{self, replay_execution};
use dipeo::handlers::run_diagram::Waiting;
use dipeo::ids::ExecutionId;
use serde_json::json;

use self::stand_in::{Bench, from};

/// Ann hears in `three` what she was asked in `one`.
pub const CHAIN: &str = "\
version: light
persons:
  Ann: {service: scripted}
  Bob: {service: scripted}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: one, type: person_job, person: Ann, default_prompt: 'One {{topic}}', max_iteration: 1}
- {label: two, type: person_job, person: Bob, default_prompt: 'Two {{default}}', max_iteration: 1}
- {label: three, type: person_job, person: Ann, default_prompt: 'Three {{default}}', max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: one}
- {from: one, to: two}
- {from: two, to: three}
- {from: three, to: end}
";

const LOOP: &str = "\
version: light
persons:
  Ann: {service: scripted}
nodes:
- {label: start, type: start}
- {label: ask, type: person_job, person: Ann, default_prompt: 'Round {{round}}', max_iteration: 9}
- {label: enough, type: condition, expression: 'round >= 2', expose_index_as: round}
- {label: sum, type: person_job, person: Ann, default_prompt: 'Sum up', max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: ask}
- {from: ask, to: enough}
- {from: 'enough[condfalse]', to: ask}
- {from: 'enough[condtrue]', to: sum}
- {from: sum, to: end}
";

const BRANCH: &str = "\
version: light
persons:
  Ann: {service: scripted}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: weigh, type: person_job, person: Ann, default_prompt: 'Weigh', max_iteration: 1}
- {label: which, type: condition, expression: 'topic == \"tea\"'}
- {label: left, type: person_job, person: Ann, default_prompt: 'Left', max_iteration: 1}
- {label: right, type: person_job, person: Ann, default_prompt: 'Right', max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: weigh}
- {from: weigh, to: which}
- {from: 'which[condtrue]', to: left}
- {from: 'which[condfalse]', to: right}
- {from: left, to: end}
- {from: right, to: end}
";

/// `slow` begins before `fast` and answers when `after` has been asked.
const PARALLEL: &str = "\
version: light
persons:
  Ann: {service: scripted}
  Bob: {service: scripted}
nodes:
- {label: start, type: start}
- {label: slow, type: person_job, person: Ann, default_prompt: 'Slow', max_iteration: 1}
- {label: fast, type: person_job, person: Bob, default_prompt: 'Fast', max_iteration: 1}
- {label: after, type: person_job, person: Bob, default_prompt: 'After {{default}}', max_iteration: 1}
- {label: join, type: person_job, person: Ann, default_prompt: 'Join {{a}} and {{b}}', max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: slow}
- {from: start, to: fast}
- {from: fast, to: after}
- {from: slow, to: join, label: a}
- {from: after, to: join, label: b}
- {from: join, to: end}
";

/// What the child says is remembered by its parent; a batch says one thing for each item.
const WITHIN: &str = "\
version: light
persons:
  Ann: {service: scripted}
nodes:
- {label: start, type: start, custom_data: {items: [x, y]}}
- {label: each, type: person_job, person: Ann, batch: true, default_prompt: 'Say {{item}}', max_iteration: 1}
- label: child
  type: sub_diagram
  diagram_data:
    version: light
    persons:
      Ann: {service: scripted}
    nodes:
    - {label: s, type: start}
    - {label: inner, type: person_job, person: Ann, default_prompt: 'Inner', max_iteration: 1}
    - {label: e, type: endpoint}
    connections:
    - {from: s, to: inner}
    - {from: inner, to: e}
- {label: last, type: person_job, person: Ann, default_prompt: 'Last', memorize_to: ALL_MESSAGES, max_iteration: 1}
- {label: more, type: person_job, person: Ann, default_prompt: 'More', memorize_to: ALL_MESSAGES, max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: each}
- {from: each, to: child}
- {from: child, to: last}
- {from: last, to: more}
- {from: more, to: end}
";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_before_the_cut_is_paid_again_and_the_end_is_the_same() {
    let bench = Bench::new();
    for (name, diagram, cuts) in [
        (
            "a chain",
            CHAIN,
            vec![("start", "one two three"), ("one", "one two three"), ("two", "two three"), ("end", "")],
        ),
        (
            "a loop",
            LOOP,
            vec![("ask", "ask ask ask sum"), ("ask:2", "ask ask sum"), ("enough:2", "ask sum"), ("enough:3", "sum")],
        ),
        ("a branch", BRANCH, vec![("weigh", "weigh left"), ("which", "left"), ("left", "left")]),
        ("parallel branches", PARALLEL, vec![("fast", "fast after join"), ("after", "after join"), ("join", "join")]),
        (
            "a batch and a child",
            WITHIN,
            vec![
                ("each", "each each inner last more"),
                ("child", "inner last more"),
                ("last", "last more"),
                ("more", "more"),
            ],
        ),
    ] {
        let ran = bench.run(diagram).await;
        assert_eq!(ran.status.name(), "completed", "{name}: {ran:?}");
        for (cut, expected) in cuts {
            let forked = bench.fork(from(&ran.execution_id, cut)).await.expect("it can be forked");
            assert_eq!(forked.outputs, ran.outputs, "{name} from {cut}");
            assert_eq!(bench.calls(), expected, "{name} from {cut}");
            assert_eq!(forked.messages_count, ran.messages_count, "{name} from {cut}");
            bench.check_log(&forked.execution_id).await;
        }
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_can_be_forked_and_remembers_what_its_parent_said_before() {
    let bench = Bench::new();
    let ran = bench.run(WITHIN).await;
    let child = bench.settled(&ran.children[0]).await;
    let heard = child.final_output.expect("an end");
    assert_eq!(heard, "inner heard 5: Inner", "two prompts and two replies of the batch, and its own prompt");
    let forked = bench.fork(from(&child.execution_id, "inner")).await.expect("forked");
    assert_eq!((forked.final_output, bench.calls().as_str()), (Some(heard), "inner"));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_items_of_a_batch_that_was_cut_off_are_not_paid_again() {
    const BATCH: &str = "\
version: light
persons:
  Ann: {service: scripted}
  Bob: {service: scripted}
nodes:
- {label: start, type: start, custom_data: {items: [x, HANG, z]}}
- {label: each, type: person_job, person: Ann, batch: true, batch_parallel: false, default_prompt: 'Say {{item}}', max_iteration: 1}
- {label: bad, type: person_job, person: Bob, default_prompt: 'AWAIT FAIL', max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: each}
- {from: start, to: bad}
- {from: each, to: end, label: a}
- {from: bad, to: end, label: b}
";
    let bench = Bench::new();
    let failed = bench.run(BATCH).await;
    assert_eq!(failed.status.name(), "failed", "{failed:?}");
    let set = [("bad.default_prompt".to_owned(), json!("Good"))].into_iter().collect();
    let forked = bench.fork(Request { node: None, set, ..from(&failed.execution_id, "") }).await.expect("forked");
    let said = forked.final_output.expect("an end").to_string();
    assert!(said.contains("Say x") && said.contains("Say HANG") && said.contains("Say z"), "{said}");
    let mut calls: Vec<String> = bench.calls().split(' ').map(str::to_owned).collect();
    calls.sort();
    assert_eq!(calls, ["bad", "each", "each"], "the first item is done");
    bench.check_log(&forked.execution_id).await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_says_where_it_comes_from_and_counts_only_what_it_spent() {
    let bench = Bench::new();
    let ran = bench.run(CHAIN).await;
    let forked = bench.fork(from(&ran.execution_id, "three")).await.expect("forked");
    let place = forked.forked_from.as_ref().map(|it| (it.execution_id.clone(), it.node.as_str(), it.iteration));
    assert_eq!(place, Some((ran.execution_id.clone(), "three", 1)));
    assert_eq!(forked.parent_execution_id.as_ref(), Some(&ran.execution_id));
    assert_eq!(forked.parent_relation.as_deref(), Some("fork"));
    assert_eq!((forked.recovered, forked.executed_nodes_count), (None, ran.executed_nodes_count));
    let tokens =
        |it: &dipeo::handlers::execution_object::ExecutionObject| it.llm_usage.as_ref().map(|it| it.total_tokens);
    assert_eq!((tokens(&ran), tokens(&forked)), (Some(6), Some(2)));
    bench.calls();
    let again = bench.fork(from(&forked.execution_id, "two")).await.expect("a fork can be forked");
    assert_eq!((again.outputs, bench.calls().as_str()), (ran.outputs, "two three"));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_dies_at_once_is_finished_by_the_next_process() {
    let bench = Bench::new();
    let ran = bench.run(CHAIN).await;
    bench.calls();
    let extras = Extras { background: true, ..Extras::default() };
    let request = from(&ran.execution_id, "three");
    let made = fork_execution(&bench.app, &bench.caller, request, extras, Waiting::default()).await.expect("made");
    assert_eq!(made.status.name(), "pending");
    bench
        .app
        .supervisor()
        .expect("open")
        .adopt(&ExecutionId::parse(&made.execution_id).expect("an id"))
        .await
        .expect("taken");
    let ended = bench.settled(&made.execution_id).await;
    assert_eq!((ended.outputs, bench.calls().as_str()), (ran.outputs, "three"));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_cut_is_not_asked_for_again() {
    const ASKS: &str = "\
version: light
persons:
  Ann: {service: scripted}
nodes:
- {label: start, type: start}
- {label: ask, type: user_response, prompt: 'Name?'}
- {label: work, type: person_job, person: Ann, default_prompt: 'Greet {{default}}', max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: ask}
- {from: ask, to: work}
- {from: work, to: end}
";
    let bench = Bench::new();
    let asked = bench.run(ASKS).await;
    assert_eq!(asked.status.name(), "paused");
    let waits = bench.fork(from(&asked.execution_id, "ask")).await.expect("what waits can be forked");
    assert_eq!((waits.status.name(), waits.waiting_for.len()), ("paused", 1));
    for id in [&waits.execution_id, &asked.execution_id] {
        let request = control_execution::Request {
            execution_id: id.clone(),
            action: "answer".into(),
            value: Some(json!("Zoe")),
            ..Default::default()
        };
        control_execution(&bench.app, &bench.caller, request, Waiting::default()).await.expect("each takes its own");
    }
    let ran = bench.settled(&asked.execution_id).await;
    let forked = bench.fork(from(&asked.execution_id, "work")).await.expect("forked");
    assert_eq!((forked.status.name(), forked.outputs), ("completed", ran.outputs.clone()));
    let value = Request { output: Some(json!("Abe")), ..from(&asked.execution_id, "ask") };
    let given = bench.fork(value).await.expect("a value instead of an answer");
    assert!(given.final_output.is_some_and(|it| it.to_string().contains("Greet Abe")));
    bench.close().await;
}

impl Bench {
    /// The log is gapless, its fold is the projection, and every reader of it has something to say.
    async fn check_log(&self, id: &str) {
        let store = self.app.store().expect("open");
        let execution_id = ExecutionId::parse(id).expect("an id");
        let rows = store.transitions(&execution_id, 0, None).expect("readable");
        let mut state = ExecutionState::new();
        for (row, seq) in rows.iter().zip(1..) {
            assert_eq!(row.seq, seq);
            let event = Event::parse(&row.phase, &row.payload).expect("readable").expect("a known phase");
            let node = row.node_id.as_deref().and_then(|it| state.node_idx(it));
            assert!(row.node_id.is_none() || node.is_some(), "{row:?}");
            state.apply(&event, node, row.created_at);
        }
        let row = store.execution(&execution_id).expect("readable").expect("there");
        assert_eq!((row.projection, row.head.last_seq), (state.projection(), rows.len() as u64));
        let messages = store.get_execution_messages(&execution_id, None, None).expect("readable");
        assert!(messages.iter().all(|it| it.message.id.starts_with(id)));
        assert!(messages.is_sorted_by(|a, b| a.message.seq < b.message.seq));
        for part in ["", "/messages", "/transitions", "/timeline.svg", "/graph.mmd"] {
            let request = fetch::Request { id: format!("dipeo://executions/{id}{part}") };
            fetch(&self.app, &self.caller, request).await.expect("readable");
        }
    }
}

/// What a fork took over was heard by another execution: a replay answers it from there, and the rest from the fork.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_a_fork_hears_what_was_heard_before_it_parted() {
    let bench = Bench::new();
    // A script would answer a replay as well; what these say comes from outside.
    let chain = CHAIN.replace("service: scripted", "service: openai, model: gpt-x");
    let ran = bench.run(&chain).await;
    let edited = chain.replace("Three {{default}}", "Third {{default}}");
    let first = Request { diagram: Some(edited), ..from(&ran.execution_id, "three") };
    let forked = bench.fork(first).await.expect("it forks");
    assert_eq!((forked.status.name(), bench.calls().as_str()), ("completed", "three"));
    // A fork of the fork takes over what came from both.
    let again = bench.fork(from(&forked.execution_id, "end")).await.expect("it forks");
    assert_eq!((again.status.name(), bench.calls().as_str()), ("completed", ""));
    for of in [&forked, &again] {
        let request = replay_execution::Request { execution_id: of.execution_id.clone(), wait_seconds: None };
        let extras = replay_execution::Extras { unbounded_wait: true, ..Default::default() };
        let replayed = replay_execution(&bench.app, &bench.caller, request, extras, Waiting::default()).await;
        let replayed = replayed.expect("everything is recorded");
        assert_eq!((replayed.status.name(), bench.calls().as_str()), ("completed", ""), "{replayed:#?}");
        assert_eq!(json!(replayed.outputs), json!(of.outputs));
        assert!(replayed.repeats.is_some_and(|it| it.is_equal && it.execution_id == of.execution_id));
    }
    assert_ne!(json!(forked.outputs), json!(ran.outputs), "the edited prompt was heard");
    bench.close().await;
}
