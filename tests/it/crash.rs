//! `kill -9` in the middle, and the next process finishes without running a committed node again.

use std::time::Duration;

use dipeo::handlers::Caller;
use dipeo::handlers::compile_diagram::{Extras, Request, compile_diagram};
use serde_json::Value;

use crate::harness::{self, Workspace, json, kill_when, kill_when_in};

/// Three commands in a row; each leaves a line in a ledger outside the database. The second is where the
/// process is killed: it waits until the test lets it go.
const DIAGRAM: &str = r#"
version: light
nodes:
- {label: s, type: start}
- {label: one, type: code_job, language: bash, code: "echo one >> files/ledger; echo 1"}
- {label: two, type: code_job, language: bash, timeout: 60, code: "echo two >> files/ledger; while [ ! -e files/go ]; do sleep 0.05; done; echo 2"}
- {label: three, type: code_job, language: bash, code: "echo three >> files/ledger; echo 3"}
- {label: e, type: endpoint}
connections:
- {from: s, to: one}
- {from: one, to: two}
- {from: two, to: three}
- {from: three, to: e}
"#;

fn prepared(diagram: &str) -> Workspace {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", diagram);
    workspace.write("files/ledger", "");
    workspace
}

fn ledger(workspace: &Workspace) -> Vec<String> {
    let text = std::fs::read_to_string(workspace.root().join("files/ledger")).expect("readable");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn after_kill_9_the_next_process_finishes_and_committed_nodes_do_not_run_again() {
    if !harness::has("bash") {
        return;
    }
    let workspace = prepared(DIAGRAM);
    kill_when(&workspace, "two");
    workspace.write("files/go", "");
    let killed = json(&workspace, &["results", "--latest"]);
    let id = killed["execution_id"].as_str().expect("an id").to_owned();
    // The process that showed it found it without an owner and left one behind.
    let finished = json(&workspace, &["results", &id, "--wait", "60"]);
    assert_eq!(finished["status"], "completed", "{finished}");
    assert_eq!(finished["final_output"], "3");
    assert_eq!(finished["recovered"], 1);
    let lines = ledger(&workspace);
    assert_eq!(lines.iter().filter(|it| *it == "one").count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|it| *it == "three").count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|it| *it == "two").count(), 2, "the effect under way is repeated: {lines:?}");
}

#[test]
fn an_effect_that_must_not_be_repeated_waits_for_a_decision_after_a_crash() {
    if !harness::has("bash") {
        return;
    }
    for (action, value, expected_output, expected_lines) in
        [("resume", None, "3", 2), ("set_output", Some("it did happen"), "3", 1)]
    {
        let workspace = prepared(&DIAGRAM.replace("timeout: 60,", "timeout: 60, at_most_once: true,"));
        kill_when(&workspace, "two");
        workspace.write("files/go", "");
        let killed = json(&workspace, &["results", "--latest"]);
        let id = killed["execution_id"].as_str().expect("an id").to_owned();
        let paused = json(&workspace, &["results", &id, "--wait", "60"]);
        assert_eq!((&paused["status"], &paused["pause_reason"]), (&"paused".into(), &"operator".into()), "{paused}");
        assert_eq!(ledger(&workspace).iter().filter(|it| *it == "two").count(), 1);
        let mut arguments = vec!["control", &id, action];
        arguments.extend(value);
        arguments.extend(["--node", "two"]);
        json(&workspace, &arguments);
        let finished = json(&workspace, &["results", &id, "--wait", "60"]);
        assert_eq!(finished["status"], "completed", "{finished}");
        assert_eq!(finished["final_output"], expected_output);
        assert_eq!(ledger(&workspace).iter().filter(|it| *it == "two").count(), expected_lines, "{action}");
    }
}

/// The rows of the corpus that kill: what the diagram's log file holds, what the run says, and what the
/// operator does where it asks.
#[test]
fn the_killed_hooks_of_the_corpus_end_as_written_down() {
    let Some(corpus) = harness::corpus() else { return };
    for (name, control, result, n_runs) in [
        ("at_least_once", None, "done", 2),
        ("at_most_once", Some(vec!["resume"]), "done", 2),
        ("at_most_once", Some(vec!["set_output", "it did happen"]), "it did happen", 1),
    ] {
        let text = std::fs::read_to_string(corpus.join(format!("micro/{name}.light.yaml"))).expect("readable");
        let workspace = prepared(&text);
        kill_when_in(&workspace, "files/out/once.log", "run");
        let killed = json(&workspace, &["results", "--latest"]);
        let id = killed["execution_id"].as_str().expect("an id").to_owned();
        let log = || std::fs::read_to_string(workspace.root().join("files/out/once.log")).expect("readable");
        if let Some(control) = control {
            let paused = json(&workspace, &["results", &id, "--wait", "60"]);
            assert_eq!(
                (&paused["status"], &paused["pause_reason"]),
                (&"paused".into(), &"operator".into()),
                "{paused}"
            );
            assert_eq!((paused["waiting_for"][0]["label"].as_str(), log()), (Some("once"), "run\n".to_owned()));
            let mut arguments = vec!["control", &id];
            arguments.extend(control);
            arguments.extend(["--node", "once"]);
            json(&workspace, &arguments);
        }
        let finished = json(&workspace, &["results", &id, "--wait", "60", "--verbose"]);
        assert_eq!(
            (&finished["status"], &finished["final_output"]),
            (&"completed".into(), &result.into()),
            "{finished}"
        );
        assert_eq!(finished["exec_counts"], serde_json::json!({"node_0": 1, "node_1": 1, "node_2": 1}), "{name}");
        assert_eq!(log(), "run\n".repeat(n_runs), "{name}");
        let written = std::fs::read_to_string(workspace.root().join(format!("files/out/{name}.txt")));
        assert_eq!(written.expect("saved"), result, "{name}");
    }
}

#[test]
fn a_background_run_is_finished_by_an_owner_that_is_left_behind() {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", "version: light\nnodes:\n- {label: s, type: start}\n- {label: e, type: endpoint}\nconnections:\n- {from: s, to: e}\n");
    let output = workspace.command().args(["run", "d.light.yaml", "--background"]).output().expect("runs");
    let started: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!(started["status"], "started");
    let id = started["execution_id"].as_str().expect("an id");
    let finished = json(&workspace, &["results", id, "--wait", "60"]);
    assert_eq!(finished["status"], "completed", "{finished}");
}

/// Commits alone are no work: an owner renews its own lease with one.
#[tokio::test]
async fn an_owner_with_nothing_to_do_ends_whatever_is_committed_meanwhile() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let supervisor = app.supervisor().expect("a database");
    let commits = async {
        for n in 0_u64.. {
            let content = format!("version: light\nnodes:\n- {{label: s{n}, type: start}}\n");
            let request = Request { content, push_as: Some("pushed".into()), ..Request::default() };
            compile_diagram(&app, &Caller::owner_client(), request, Extras::default()).await.expect("saved");
        }
    };
    let ended = async {
        tokio::select! {
            () = supervisor.drained(Duration::from_millis(100)) => {}
            () = commits => {}
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends");
}
