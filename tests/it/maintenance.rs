//! The database stays small and whole while it is used: pruning, copying, restoring, checking, shrinking.

use std::path::Path;
use std::sync::Arc;

use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::maintenance::analyze::analyze;
use dipeo::handlers::maintenance::backup::{self, backup};
use dipeo::handlers::maintenance::check::{self, check};
use dipeo::handlers::maintenance::hold::{self, hold};
use dipeo::handlers::maintenance::prune::{self, prune};
use dipeo::handlers::maintenance::restore::{self, restore};
use dipeo::handlers::maintenance::stats::stats;
use dipeo::handlers::maintenance::vacuum::vacuum;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::{App, Caller};
use serde_json::Value;

use crate::harness::{self, Workspace, json};

const SMALL: &str = "version: light\nnodes:\n- {label: start, type: start, custom_data: {n: 1}}\n- {label: end, type: endpoint}\n\
                     connections:\n- {from: start, to: end}\n";
const ASKS: &str = "version: light\nnodes:\n- {label: start, type: start}\n- {label: ask, type: user_response, prompt: \"Go on?\"}\n\
                    - {label: end, type: endpoint}\nconnections:\n- {from: start, to: ask}\n- {from: ask, to: end}\n";

async fn run(app: &App, diagram: &str) -> ExecutionObject {
    let caller = Caller::Terminal { working_dir: app.config.workspace.clone() };
    let request = Request { content: Some(diagram.to_owned()), ..Request::default() };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    run_diagram(app, &caller, request, extras, Waiting::default()).await.expect("runs")
}

fn maintenance(workspace: &Workspace, arguments: &[&str]) -> Value {
    json(workspace, &[&["maintenance"], arguments].concat())
}

fn database(workspace: &Workspace) -> std::path::PathBuf {
    workspace.root().join(".dipeo/data/dipeo_state.db")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_copying_and_shrinking_beside_runs_harms_none_and_loses_nothing_open() {
    let workspace = Arc::new(harness::workspace());
    let app = workspace.app();
    let mut paused = Vec::new();
    for _ in 0..3 {
        paused.push(run(&app, ASKS).await.execution_id);
    }
    for _ in 0..60 {
        run(&app, SMALL).await;
    }
    let beside = Arc::clone(&workspace);
    let work = tokio::task::spawn_blocking(move || {
        let mut n_pruned = 0;
        for n in 0..3 {
            let pruned = maintenance(&beside, &["prune", "--keep", "20"]);
            n_pruned += pruned["executions"].as_u64().unwrap_or_else(|| panic!("{pruned}"));
            let copied = maintenance(&beside, &["backup", &format!("copy-{n}.db")]);
            assert!(copied["bytes"].as_u64() > Some(0), "{copied}");
            let shrunk = maintenance(&beside, &["vacuum"]);
            assert_eq!(shrunk["converted"], false, "{shrunk}");
        }
        n_pruned
    });
    let mut n_runs = 0;
    while !work.is_finished() || n_runs < 20 {
        let all = [run(&app, SMALL), run(&app, SMALL), run(&app, SMALL)];
        for ran in futures_util::future::join_all(all).await {
            assert_eq!(ran.status.name(), "completed", "{:?}", ran.error);
        }
        n_runs += 1;
    }
    let n_pruned = work.await.expect("no step failed");
    assert!(n_pruned >= 40, "{n_pruned}");
    for id in &paused {
        let answered = workspace.command().args(["control", id, "answer", "yes"]).output().expect("runs");
        assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
        assert_eq!(json(&workspace, &["results", id, "--wait", "60"])["status"], "completed");
    }
    app.shut_down_runs().await;
    app.close().await;
    for arguments in [&["check"][..], &["check", "--backup", "copy-2.db"]] {
        let checked = maintenance(&workspace, arguments);
        assert_eq!(checked["problems"], serde_json::json!([]), "{arguments:?}");
        assert!(checked["compared"].as_u64() > Some(0), "{arguments:?}: {checked}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_megabytes_that_go_through_ten_nodes_are_stored_once() {
    const N_BYTES: usize = 5 * 1024 * 1024;
    let workspace = harness::workspace();
    let text: String = (0..N_BYTES / 8).map(|n| format!("{n:07}\n")).collect();
    workspace.write("files/large.txt", &text);
    let mut diagram = "version: light\nnodes:\n- {label: start, type: start}\n\
                       - {label: n0, type: db, operation: read, file: files/large.txt}\n"
        .to_owned();
    for n in 1..=8 {
        diagram += &format!("- {{label: n{n}, type: condition, expression: \"True\"}}\n");
    }
    diagram += "- {label: end, type: endpoint}\nconnections:\n- {from: start, to: n0}\n- {from: n0, to: n1}\n";
    for n in 1..8 {
        diagram += &format!("- {{from: \"n{n}[condtrue]\", to: n{}}}\n", n + 1);
    }
    diagram += "- {from: \"n8[condtrue]\", to: end}\n";
    let app = workspace.app();
    let ran = run(&app, &diagram).await;
    assert_eq!(ran.status.name(), "completed", "{:?}", ran.error);
    let id = dipeo::ids::ExecutionId::parse(&ran.execution_id).expect("an id");
    let store = Arc::clone(app.store().expect("opened"));
    let log = store.transitions(&id, 0, None).expect("reads");
    let escaped = serde_json::to_string(&text).expect("JSON");
    let n_large = log.iter().filter(|it| it.payload.contains(&escaped)).count();
    assert!(n_large >= 10, "{n_large} events show the value");
    let row = store.projection(&id).expect("reads").expect("there");
    assert!(row.node_outputs.matches(&escaped).count() >= 10, "the columns show it too");
    app.shut_down_runs().await;
    app.close().await;
    let n_bytes = std::fs::metadata(database(&workspace)).expect("there").len();
    assert!(n_bytes < N_BYTES as u64 * 13 / 10, "{n_bytes} bytes for one value of {N_BYTES}");
    let checked = maintenance(&workspace, &["check"]);
    assert_eq!(checked["problems"], serde_json::json!([]));
    // The newest always stays; pruned with the next one there, the value goes and the file shrinks.
    run(&workspace.app(), SMALL).await;
    let pruned = maintenance(&workspace, &["prune", "--keep", "1"]);
    assert_eq!((&pruned["executions"], pruned["unused"].as_u64() >= Some(1)), (&1.into(), true), "{pruned}");
    assert!(pruned["bytes_after"].as_u64() < Some(N_BYTES as u64 / 10), "{pruned}");
}

#[test]
fn a_backup_comes_back_by_the_command_line() {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", SMALL);
    let first = json(&workspace, &["run", "d.light.yaml"])["execution_id"].clone();
    let copied = maintenance(&workspace, &["backup", "--keep", "7d"]);
    let path = copied["path"].as_str().expect("a path");
    assert!(path.contains("/.dipeo/backups/dipeo-") && Path::new(path).is_file(), "{path}");
    let second = json(&workspace, &["run", "d.light.yaml"])["execution_id"].clone();
    // Another one of the same day: the earlier one goes.
    let again = maintenance(&workspace, &["backup", "--keep", "7d"]);
    assert_eq!(again["removed"], serde_json::json!([path]));
    let later = again["path"].as_str().expect("a path");
    let third = json(&workspace, &["run", "d.light.yaml"])["execution_id"].clone();
    let restored = maintenance(&workspace, &["restore", later]);
    assert_eq!((&restored["executions"]["completed"], &restored["problems"]), (&2.into(), &serde_json::json!([])));
    assert!(Path::new(restored["kept"].as_str().expect("kept")).is_file());
    let listed = json(&workspace, &["results"]).to_string();
    for (id, is_there) in [(first, true), (second, true), (third, false)] {
        assert_eq!(listed.contains(id.as_str().expect("an id")), is_there);
    }
}

#[test]
fn a_check_finds_columns_that_say_something_else_than_the_log() {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", SMALL);
    let id = json(&workspace, &["run", "d.light.yaml"])["execution_id"].as_str().expect("an id").to_owned();
    assert_eq!(maintenance(&workspace, &["check"])["problems"], serde_json::json!([]));
    let other = rusqlite::Connection::open(database(&workspace)).expect("opens");
    other.execute("UPDATE executions SET node_outputs = '{\"end\":2}', exec_counts = '{}'", []).expect("changed");
    drop(other);
    let output = workspace.command().args(["maintenance", "check"]).output().expect("runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(shown.contains(&format!("`{id}`: its log says something else than node_outputs, exec_counts")), "{shown}");
}

#[test]
fn what_is_asked_wrongly_is_refused_with_a_hint() {
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", SMALL);
    json(&workspace, &["run", "d.light.yaml"]);
    workspace.write("taken.db", "");
    for (arguments, code) in [
        (&["prune", "--status", "running"][..], "INVALID_INPUT"),
        (&["prune", "--status", "done"], "INVALID_INPUT"),
        (&["prune", "--days", "-1"], "UNKNOWN_OPTION"),
        (&["backup", "taken.db"], "ALREADY_EXISTS"),
        (&["backup", "new.db", "--keep", "7d"], "INVALID_INPUT"),
        (&["backup", "--keep", "7"], "INVALID_INPUT"),
        (&["restore", "nowhere.db"], "FILE_NOT_FOUND"),
        (&["restore", "d.light.yaml"], "DATABASE_FAILED"),
        (&["check", "--backup", "nowhere.db"], "FILE_NOT_FOUND"),
        (&["hold", "exec_1"], "INVALID_EXECUTION_ID"),
        (&["hold", "exec_00000000000000000000000000000000"], "EXECUTION_NOT_FOUND"),
    ] {
        let answer = maintenance(&workspace, arguments);
        assert_eq!(answer["error"]["code"], code, "{arguments:?}: {answer}");
        assert!(answer["error"]["hint"].is_string(), "{arguments:?}: {answer}");
    }
    assert_eq!(maintenance(&workspace, &["stats"])["executions"], serde_json::json!({"completed": 1}));
}

#[tokio::test]
async fn no_client_looks_after_the_database() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let client = Caller::owner_client();
    let (id, file) = ("exec_00000000000000000000000000000000".to_owned(), Path::new("x.db").to_path_buf());
    let refusals = [
        prune(&app, &client, prune::Request::default()).await.err(),
        backup(&app, &client, backup::Request::default()).await.err(),
        restore(&app, &client, restore::Request { backup: file }).await.err(),
        check(&app, &client, check::Request::default()).await.err(),
        vacuum(&app, &client).await.err(),
        analyze(&app, &client).await.err(),
        stats(&app, &client).await.err(),
        hold(&app, &client, hold::Request { execution_id: id, hold: true }).await.err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.expect("refused").code(), "PERMISSION_REQUIRED");
    }
    assert!(!database(&workspace).exists(), "nothing was opened");
}
