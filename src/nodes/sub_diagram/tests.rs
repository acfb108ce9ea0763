use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::diagram::NodeKind;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::harness::{Harness, codes};
use crate::nodes::memory::Message;
use crate::nodes::ports::Ports;
use crate::nodes::ports::children::{ChildEnd, ChildRequest, ChildState, Children};
use crate::nodes::report::ItemDone;
use crate::nodes::{ChildQuestion, Outcome, PauseReason, Question};

/// Children whose result is their `item`, or their variables; the variable `fails` makes them fail, `asks` wait.
#[derive(Default)]
struct FakeChildren {
    started: Mutex<Vec<ChildRequest>>,
    abandoned: Mutex<Vec<String>>,
}

fn id(n: usize) -> ExecutionId {
    ExecutionId::parse(&format!("exec_{n:032x}")).expect("an id")
}

impl Children for FakeChildren {
    fn start(&self, request: ChildRequest) -> BoxFuture<'_, Result<ExecutionId, Error>> {
        let mut started = self.started.lock().expect("free");
        started.push(request);
        let child = id(started.len() - 1);
        Box::pin(async move { Ok(child) })
    }

    fn settled<'a>(&'a self, child: &'a ExecutionId) -> BoxFuture<'a, Result<ChildState, Error>> {
        let started = self.started.lock().expect("free");
        let n = (0..started.len()).find(|it| id(*it) == *child).expect("a child that was started");
        let variables = started[n].variables.clone();
        Box::pin(async move {
            if variables.contains_key("hangs") {
                std::future::pending::<()>().await;
            }
            if variables.contains_key("asks") {
                let child = Some(ChildQuestion { execution_id: child.to_string(), seq: 4 });
                let question = Question { child, ..Question::new(PauseReason::Input, "Name?") };
                return Ok(ChildState::Waits(Box::new(question)));
            }
            let error = variables.get("fails").map(|_| json!({"code": "CODE_FAILED", "message": "boom"}));
            let result = variables.get("item").cloned().unwrap_or(Value::Object(variables));
            Ok(ChildState::Ended(Box::new(ChildEnd { result, error, ..ChildEnd::default() })))
        })
    }

    fn moved(&self, _asked: ChildQuestion) -> BoxFuture<'static, Option<String>> {
        Box::pin(std::future::pending())
    }

    fn abandon(&self, child: ExecutionId, _reason: &'static str) {
        self.abandoned.lock().expect("free").push(child.to_string());
    }

    fn messages<'a>(&'a self, child: &'a ExecutionId) -> BoxFuture<'a, Result<Vec<Message>, Error>> {
        let message = Message {
            id: format!("{child}:node_1:1:0"),
            seq: 1,
            from: "system".into(),
            to: "p".into(),
            person_id: "p".into(),
            role: "user".into(),
            content: "said".into(),
            node_id: "node_1".into(),
            iteration: 1,
            kind: "message".into(),
        };
        Box::pin(async move { Ok(vec![message]) })
    }
}

fn harness(fields: Value, inputs: Value) -> (Harness, Arc<FakeChildren>) {
    let mut harness = Harness::new(NodeKind::SubDiagram, fields).inputs(inputs);
    let children = Arc::new(FakeChildren::default());
    let ports = Ports { children: Arc::clone(&children) as _, ..Ports::clone(&harness.cx.ports) };
    harness.cx.ports = Arc::new(ports);
    (harness, children)
}

fn named(more: Value) -> Value {
    let mut fields = json!({"diagram_data": "version: light"});
    fields.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    fields
}

#[tokio::test]
async fn a_child_is_given_the_fields_of_the_input_or_what_the_mapping_names() {
    let inputs = json!({"default": {"items": [1, 2], "n": 3}, "x": "label"});
    for (fields, expected) in [
        (json!({}), json!({"items": [1, 2], "n": 3, "x": "label"})),
        (
            json!({"input_mapping": {"q": "default.items[1]", "y": "{{x}}", "k": 7}}),
            json!({"q": 2, "y": "label", "k": 7}),
        ),
        (json!({"pass_input_data": true}), json!({"v": 9, "items": [1, 2], "n": 3, "x": "label"})),
    ] {
        let (harness, children) = harness(named(fields.clone()), inputs.clone());
        let harness = harness.variables(json!({"v": 9, "n": 0}));
        harness.body().await.expect("it runs");
        let started = children.started.lock().expect("free").remove(0);
        let mut variables = Value::Object(started.variables);
        if fields.get("pass_input_data").is_some() {
            assert_eq!(variables["n"], 3, "inputs win over variables");
        }
        variables.sort_all_objects();
        let mut expected = expected;
        expected.sort_all_objects();
        assert_eq!(variables, expected, "{fields}");
    }
}

#[tokio::test]
async fn the_result_is_the_childs_and_a_mapping_picks_from_it() {
    for (mapping, expected) in [
        (json!(null), json!({"a": {"b": 1}})),
        (json!({"it": "a.b", "all": "result", "none": "a.c"}), json!({"it": 1, "all": {"a": {"b": 1}}, "none": null})),
    ] {
        let (harness, _) = harness(named(json!({"output_mapping": mapping})), json!({"default": {"a": {"b": 1}}}));
        let output = harness.output().await.expect("it runs");
        assert_eq!(*output.body, expected);
        assert_eq!(output.adopted.len(), 1, "the run remembers what the child said");
    }
}

#[tokio::test]
async fn a_failing_child_fails_the_node_with_its_error_as_cause() {
    let (harness, _) = harness(named(json!({})), json!({"fails": true}));
    let error = harness.output().await.expect_err("it fails");
    assert_eq!(error.code(), "SUB_DIAGRAM_FAILED");
    assert_eq!(error.to_json()["cause"]["code"], "CODE_FAILED");
}

#[tokio::test]
async fn a_child_that_asks_makes_the_node_wait_with_its_question() {
    let (harness, children) = harness(named(json!({})), json!({"asks": true}));
    let Outcome::Wait(question) = harness.node.run(&harness.cx).await.expect("it waits") else { panic!("it waits") };
    assert_eq!((question.prompt.as_str(), question.child.expect("named").execution_id), ("Name?", id(0).to_string()));
    assert!(children.abandoned.lock().expect("free").is_empty(), "a child that waits goes on waiting");
}

#[tokio::test]
async fn a_child_is_abandoned_when_its_node_is_given_up() {
    let (harness, children) = harness(named(json!({})), json!({"hangs": true}));
    let mut running = harness.node.run(&harness.cx);
    assert!(futures_util::poll!(&mut running).is_pending());
    drop(running);
    assert_eq!(*children.abandoned.lock().expect("free"), [id(0).to_string()]);
}

#[tokio::test]
async fn a_child_that_is_not_waited_for_gives_its_id_at_once() {
    let (harness, children) = harness(named(json!({"wait_for_completion": false})), json!({"hangs": true}));
    assert_eq!(harness.body().await.expect("it runs"), json!({"execution_id": id(0).as_str()}));
    assert!(!children.started.lock().expect("free")[0].is_awaited);
}

#[tokio::test]
async fn in_a_child_it_may_hand_its_input_on() {
    let (mut harness, children) = harness(named(json!({"ignore_if_sub": true})), json!({"default": 5}));
    harness.cx.is_child = true;
    assert_eq!(harness.body().await.expect("it runs"), json!(5));
    assert!(children.started.lock().expect("free").is_empty());
}

#[tokio::test]
async fn a_batch_runs_one_child_for_each_item_and_names_it() {
    let inputs = json!({"default": {"items": ["a", {"item": "b", "fails": 1}, "c"], "factor": 2}});
    let (mut harness, children) = harness(named(json!({"batch": true, "on_item_error": "continue"})), inputs);
    harness.cx.items_done =
        Arc::new(vec![ItemDone { index: 0, output: Some(json!("done before")), ..ItemDone::default() }]);
    let output = harness.output().await.expect("it runs");
    assert_eq!(output.meta["children"], json!([id(1).as_str()]));
    let body = &output.body;
    assert_eq!((&body["total_items"], &body["successful"], &body["failed"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(body["results"][0]["output"], "done before");
    assert_eq!(body["results"][1], json!({"index": 2, "output": "c"}));
    assert_eq!(
        (&body["errors"][0]["index"], &body["errors"][0]["error"]["code"]),
        (&json!(1), &json!("SUB_DIAGRAM_FAILED"))
    );
    let started = children.started.lock().expect("free");
    assert_eq!(started.iter().map(|it| it.place.as_str()).collect::<Vec<_>>(), ["node_0:1:1", "node_0:1:2"]);
    assert_eq!(started[1].variables["factor"], 2);
    assert_eq!((&started[1].variables["_batch_index"], &started[1].variables["_batch_total"]), (&json!(2), &json!(3)));
}

#[tokio::test]
async fn a_failing_item_fails_the_batch_unless_failures_are_collected() {
    let items = json!([1, {"item": 2, "fails": true}, 3]);
    let (harness, children) = harness(named(json!({"batch": true, "batch_parallel": false})), json!({"items": items}));
    let error = harness.output().await.expect_err("item 1 fails");
    assert_eq!(error.code(), "BATCH_ITEM_FAILED");
    assert!(error.message().contains("item 1 of 3"), "{}", error.message());
    assert_eq!(children.started.lock().expect("free").len(), 2, "nothing starts after a failure");
}

#[tokio::test]
async fn what_is_no_list_is_refused() {
    for inputs in [json!({"items": 5}), json!({"default": {"other": []}}), json!({}), json!({"default": "text"})] {
        let (harness, _) = harness(named(json!({"batch": true})), inputs.clone());
        assert_eq!(harness.output().await.expect_err("no list").code(), "BATCH_INPUT", "{inputs}");
    }
    let (harness, _) = harness(named(json!({"batch": true})), json!({"default": "[]"}));
    assert_eq!(harness.body().await.expect("an empty list")["total_items"], 0);
}

#[test]
fn diagnostics_name_each_mistake_once() {
    for (fields, expected) in [
        (json!({}), vec!["E401"]),
        (json!({"diagram_name": "nowhere"}), vec!["E505"]),
        (json!({"diagram_name": "../../etc/passwd"}), vec!["E505"]),
        (json!({"diagram_name": "{{which}}"}), vec![]),
        (json!({"diagram_name": "{{#if"}), vec!["E602"]),
        (json!({"diagram_data": 5}), vec!["E402"]),
        (json!({"diagram_data": {"nodes": []}, "diagram_format": "heavy"}), vec!["E403"]),
        (json!({"diagram_data": "x", "input_mapping": {"q": "a b c"}}), vec!["E602"]),
        (json!({"diagram_data": "x", "batch": true, "max_concurrent": 0}), vec!["E404"]),
    ] {
        assert_eq!(codes(NodeKind::SubDiagram, fields.clone()), expected, "{fields}");
    }
}
