//! What may be different in a fork, what it may not be, and that `diff` names it.

use dipeo::handlers::Caller;
use dipeo::handlers::compile_diagram::{self, compile_diagram};
use dipeo::handlers::diff_executions::{self, diff_executions};
use dipeo::handlers::fetch::{self, fetch};
use dipeo::handlers::fork_execution::{Extras, Request, fork_execution};
use dipeo::handlers::run_diagram::Waiting;
use serde_json::{Map, Value, json};

use super::CHAIN;
use super::stand_in::{Bench, from};

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_prompt_is_changed_and_diff_names_its_node_first() {
    let bench = Bench::new();
    let ran = bench.run(CHAIN).await;
    let native = "native";
    for (way, request) in [
        ("set", Request { set: map(json!({"three.default_prompt": "Trois {{default}}"})), ..Request::default() }),
        (
            "prompt",
            Request { prompts: [("three".to_owned(), "Trois {{default}}".to_owned())].into(), ..Request::default() },
        ),
        ("diagram", Request { diagram: Some(CHAIN.replace("'Three ", "'Trois ")), ..Request::default() }),
        (native, Request { diagram: Some(as_native(&CHAIN.replace("'Three ", "'Trois "))), ..Request::default() }),
    ] {
        let place = from(&ran.execution_id, "three");
        let request = Request { execution_id: place.execution_id, node: place.node, ..request };
        let forked = bench.fork(request).await.unwrap_or_else(|e| panic!("{way}: {e:?}"));
        assert_eq!(bench.calls(), "three", "{way}");
        let output = forked.final_output.expect("an end").to_string();
        assert!(output.contains("three heard 3: Trois two heard 1: Two one"), "{way}: {output}");

        let request = diff_executions::Request { a: ran.execution_id.clone(), b: forked.execution_id };
        let diff = diff_executions(&bench.app, &bench.caller, request).await.expect("compared");
        let first = diff.first_divergence.expect("they differ");
        assert_eq!(
            (first.node.as_str(), first.iteration, first.differs.join(" ")),
            ("three", 1, "prompt output".into())
        );
        let differing: Vec<&str> =
            diff.nodes.iter().filter(|it| !it.differs.is_empty()).map(|it| it.node.as_str()).collect();
        assert_eq!((differing, diff.equal), (vec!["three", "end"], false), "{way}");
        if way != native {
            let changed: Vec<&str> = diff.definition.nodes.changed.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(changed, ["three"], "{way}");
        }
        assert!(diff.definition.unified.contains("Trois"), "{way}");
    }
    bench.close().await;
}

fn as_native(text: &str) -> String {
    let request = dipeo::handlers::convert_diagram::Request {
        content: text.to_owned(),
        to_format: Some("native".into()),
        ..Default::default()
    };
    dipeo::handlers::convert_diagram::convert_diagram(&request).expect("converted").content.expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_without_changes_is_equal_to_what_it_took_over() {
    let bench = Bench::new();
    let ran = bench.run(CHAIN).await;
    let forked = bench.fork(from(&ran.execution_id, "two")).await.expect("forked");
    let request = diff_executions::Request { a: ran.execution_id, b: forked.execution_id };
    let diff = diff_executions(&bench.app, &bench.caller, request).await.expect("compared");
    assert!(diff.equal && diff.first_divergence.is_none(), "{diff:?}");
    let tokens = |it: &dipeo::handlers::diff_executions::NodeDifference| {
        (it.a.as_ref().and_then(|it| it.tokens), it.b.as_ref().and_then(|it| it.tokens))
    };
    assert_eq!(tokens(&diff.nodes[1]), (Some(2), Some(2)), "what a node cost is known where it was copied to");
    let request = diff_executions::Request { a: diff.a.name, b: "nothing".to_owned() };
    let missing = diff_executions(&bench.app, &bench.caller, request).await.expect_err("no such diagram");
    assert_eq!(missing.code(), "DIAGRAM_NOT_FOUND");
    let uri = format!("dipeo://executions/{}/diff/{}", diff.b.name, diff.b.name);
    let read = fetch(&bench.app, &Caller::owner_client(), fetch::Request { id: uri }).await.expect("a resource");
    let read: Value = serde_json::from_str(&read.text).expect("JSON");
    assert!(read["data_notice"].is_string() && read["equal"] == true, "{read}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_of_a_diagram_are_compared_by_number() {
    let bench = Bench::new();
    for content in [CHAIN.to_owned(), CHAIN.replace("'Three ", "'Trois ")] {
        let request = compile_diagram::Request { content, push_as: Some("review".into()), ..Default::default() };
        compile_diagram(&bench.app, &bench.caller, request, Default::default()).await.expect("pushed");
    }
    let diff = async |a: &str, b: &str| {
        let request = diff_executions::Request { a: a.to_owned(), b: b.to_owned() };
        diff_executions(&bench.app, &bench.caller, request).await
    };
    let two = diff("review@1", "review@2").await.expect("both are kept");
    assert_eq!((two.definition.nodes.changed[0].name.as_str(), two.equal), ("three", false));
    assert!(two.first_divergence.is_none() && two.nodes.is_empty());
    assert!(diff("review", "review@2").await.expect("the file is the newest").equal);
    let missing = diff("review@1", "review@9").await.expect_err("there is none");
    assert_eq!((missing.code(), missing.hint_text()), ("DIAGRAM_NOT_FOUND", Some("its revisions are 1 to 2")));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_execution_goes_on_from_the_node_that_failed() {
    let bench = Bench::new();
    let failed = bench.run(&CHAIN.replace("'Two ", "'FAIL ")).await;
    assert_eq!(failed.status.name(), "failed");
    let request = Request {
        execution_id: failed.execution_id,
        set: map(json!({"two.default_prompt": "Two {{default}}"})),
        ..Request::default()
    };
    let forked = bench.fork(request).await.expect("forked");
    assert_eq!((forked.status.name(), bench.calls().as_str()), ("completed", "two three"));
    assert_eq!(forked.forked_from.map(|it| it.node).as_deref(), Some("two"));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_values_and_inputs_can_be_others() {
    let bench = Bench::new();
    let with_input = CHAIN.replace("nodes:\n", "inputs:\n  tone: {type: string, default: dry}\nnodes:\n");
    let with_input = with_input.replace("'Three ", "'{{tone}} ");
    let ran = bench.run(&with_input).await;
    let place = || from(&ran.execution_id, "two");
    let output = |it: &dipeo::handlers::execution_object::ExecutionObject| {
        it.final_output.clone().unwrap_or_default().to_string()
    };

    let forked = bench.fork(Request { output: Some(json!("a value")), ..place() }).await.expect("forked");
    assert!(output(&forked).contains("three heard 3: dry a value"), "{forked:?}");
    assert_eq!(bench.calls(), "three");
    let forked = bench.fork(Request { inputs: map(json!({"tone": "warm"})), ..place() }).await.expect("forked");
    assert!(output(&forked).contains("three heard 3: warm two"), "{forked:?}");
    let models = [("Bob".to_owned(), "another".to_owned())].into();
    let forked = bench.fork(Request { models, ..place() }).await.expect("forked");
    assert_eq!(forked.status.name(), "completed");
    let set = map(json!({"Ann.system_prompt": "Be Ann.", "three.default_prompt": "3"}));
    let forked = bench.fork(Request { set, ..place() }).await.expect("forked");
    assert!(output(&forked).contains("three heard 4: 3"), "{forked:?}");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_may_move_and_new_ones_join_but_none_that_ran_may_go() {
    let bench = Bench::new();
    let ran = bench.run(CHAIN).await;
    let place = || from(&ran.execution_id, "three");
    let moved = CHAIN.replace(
        "- {label: start,",
        "- {label: note, type: template_job, template_content: 'noted'}\n- {label: start,",
    );
    let moved = moved.replace("- {from: two, to: three}", "- {from: two, to: three}\n- {from: two, to: note}");
    let forked = bench.fork(Request { diagram: Some(moved), ..place() }).await.expect("ids are others now");
    assert_eq!((&forked.outputs, bench.calls().as_str()), (&ran.outputs, "three"));
    assert_eq!(forked.executed_nodes_count, Some(6), "{forked:?}");
    bench.check_log(&forked.execution_id).await;

    for (what, old, new, message) in [
        (
            "missing",
            "- {label: one, type: person_job, person: Ann, default_prompt: 'One {{topic}}', max_iteration: 1}",
            "- {id: x, label: eins, type: person_job, person: Ann, default_prompt: 'One', max_iteration: 1}",
            "`one` has run and is missing",
        ),
        (
            "another type",
            "- {label: one, type: person_job, person: Ann, default_prompt: 'One {{topic}}', max_iteration: 1}",
            "- {label: one, type: template_job, template_content: 'One'}",
            "`one` ran as person_job and is template_job now",
        ),
    ] {
        assert!(CHAIN.contains(old));
        let changed = CHAIN.replace(old, new);
        let changed = if what == "missing" {
            changed.replace("to: one}", "to: eins}").replace("from: one,", "from: eins,")
        } else {
            changed
        };
        let error = bench.fork(Request { diagram: Some(changed), ..place() }).await.expect_err("refused");
        assert_eq!(error.code(), "FORK_MISMATCH", "{what}: {error:?}");
        assert!(error.message().contains(message), "{what}: {}", error.message());
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_forked_says_why() {
    let bench = Bench::new();
    let ran = bench.run(CHAIN).await;
    let place = |node: &str| from(&ran.execution_id, node);
    let set = |at: &str| Request { set: map(json!({at: 1})), ..place("two") };
    for (request, code, message) in [
        (place("twoo"), "NODE_NOT_FOUND", "the diagram has no node `twoo`"),
        (place("two:2"), "INVALID_INPUT", "`two` did not run 2 times"),
        (place("two:0"), "INVALID_INPUT", "`0` is no number of a run"),
        (Request { node: None, ..place("two") }, "INVALID_INPUT", "is completed and no node of it failed"),
        (set("nobody.x"), "INVALID_INPUT", "no node is named `nobody`"),
        (set("two.person"), "INVALID_DIAGRAM", ""),
        (
            Request { prompts: [("start".to_owned(), "x".to_owned())].into(), ..place("two") },
            "INVALID_INPUT",
            "`start` has no prompt",
        ),
        (from("exec_00000000000000000000000000000000", "two"), "EXECUTION_NOT_FOUND", ""),
    ] {
        let error = bench.fork(request.clone()).await.expect_err("refused");
        assert_eq!(error.code(), code, "{request:?}: {}", error.message());
        assert!(error.message().contains(message), "{request:?}: {}", error.message());
    }
    assert_eq!(bench.calls(), "");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gains_no_rights_by_a_fork() {
    const SHELL: &str = "\
version: light
nodes:
- {label: start, type: start}
- {label: words, type: code_job, code: \"result = 'echo hi'\"}
- {label: shell, type: code_job, language: bash, code: 'echo hi'}
- {label: end, type: endpoint}
connections:
- {from: start, to: words}
- {from: words, to: shell}
- {from: shell, to: end}
";
    if !crate::harness::has("bash") {
        return;
    }
    let bench = Bench::new();
    let ran = bench.run(SHELL).await;
    assert_eq!(ran.status.name(), "completed", "{ran:?}");
    let changed = Request { set: map(json!({"shell.code": "echo ho"})), ..from(&ran.execution_id, "shell") };
    let forked = bench.fork(changed.clone()).await.expect("a person at the terminal may");
    assert_eq!(forked.final_output, Some(json!("ho")));
    let client = Caller::owner_client();
    for request in [changed, from(&ran.execution_id, "shell")] {
        let forked = fork_execution(&bench.app, &client, request, Extras::default(), Waiting::default()).await;
        let error = forked.expect_err("a client may not");
        assert!(error.to_json().to_string().contains("E701"), "{error:?}");
    }
    let stranger =
        dipeo::handlers::caller::Identity { principal: "ada".into(), scopes: dipeo::handlers::caller::Scopes::ALL };
    let stranger = Caller::client(stranger, dipeo::handlers::caller::Door::Mcp);
    let request = from(&ran.execution_id, "shell");
    let unseen = fork_execution(&bench.app, &stranger, request, Extras::default(), Waiting::default()).await;
    assert_eq!(unseen.expect_err("not theirs").code(), "EXECUTION_NOT_FOUND");
    bench.close().await;
}
