//! `diff_patch` on real files: beside `patch`(1), and against diffs that are only meant to hurt.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use dipeo::engine::Status;
use dipeo::handlers::execution_object::ExecutionObject;
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::{App, Caller};
use serde_json::{Value, json};

use crate::harness;

/// Runs one node over the workspace and returns the execution.
async fn run(app: &App, caller: &Caller, fields: Value) -> ExecutionObject {
    let mut node = json!({"label": "patch", "type": "diff_patch", "target_path": "files/x.txt", "backup": false});
    node.as_object_mut().expect("a map").extend(fields.as_object().cloned().expect("a map"));
    let diagram = json!({
        "nodes": [{"id": "s", "type": "start", "data": {"label": "s"}}, {"id": "p", "type": "diff_patch", "data": node}],
        "arrows": [{"source": "s_default_output", "target": "p_default_input"}],
        "persons": {},
    });
    let request = Request { content: Some(diagram.to_string()), ..Request::default() };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    let object = run_diagram(app, caller, request, extras, Waiting::default()).await.expect("runs");
    let request =
        see_result::Request { execution_id: object.execution_id, detail: Some(Detail::Full), ..Default::default() };
    see_result(app, caller, request, Waiting::default()).await.expect("readable")
}

/// What `patch` makes of a file, or `None` when it rejects something.
fn patch(folder: &Path, before: &str, diff: &str, reverse: bool) -> Option<String> {
    let file = folder.join("by_patch.txt");
    std::fs::write(&file, before).expect("written");
    let mut command = Command::new("patch");
    command.current_dir(folder).args(["--batch", "--quiet", "--fuzz=0", "--reject-file=-", "--no-backup-if-mismatch"]);
    if reverse {
        command.arg("--reverse");
    } else {
        command.arg("--forward");
    }
    let mut child = command
        .arg("by_patch.txt")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is installed");
    child.stdin.take().expect("piped").write_all(diff.as_bytes()).expect("it reads");
    let is_whole = child.wait().expect("it ends").success();
    is_whole.then(|| std::fs::read_to_string(&file).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_become_what_patch_makes_of_them() {
    if !harness::has("patch") {
        return;
    }
    let workspace = harness::workspace();
    let app = workspace.app();
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    let numbers: String = (1..=40).map(|it| format!("line {it}\n")).collect();
    let two = "--- a/x\n+++ b/x\n@@ -3,3 +3,4 @@\n line 3\n-line 4\n+line four\n+and more\n line 5\n\
               @@ -30,3 +31,2 @@\n line 30\n-line 31\n line 32\n";
    let shifted = two.replace("-3,3 +3,4", "-5,3 +5,4").replace("-30,3 +31,2", "-32,3 +33,2");
    let no_context = "@@ -2,0 +3,2 @@\n+in\n+between\n@@ -7 +9,0 @@\n-line 7\n";
    let first = "@@ -1 +1 @@\n-line 1\n\\ No newline at end of file\n+LINE 1\n\\ No newline at end of file\n";
    let cases: Vec<(&str, String, String, bool)> = vec![
        ("two hunks", numbers.clone(), two.to_owned(), false),
        ("hunks off their place", numbers.clone(), shifted.clone(), false),
        ("hunks too far off", numbers.clone(), two.replace("-3,3 +3,4", "-9,3 +9,4"), false),
        ("a line that differs", numbers.replace("line 31", "other"), two.to_owned(), false),
        ("no lines around", numbers.clone(), no_context.to_owned(), false),
        ("a last line without end", "line 1".to_owned(), first.to_owned(), false),
        ("an empty file", String::new(), "@@ -0,0 +1,2 @@\n+a\n+b\n".to_owned(), false),
        ("everything removed but the file", "a\n".to_owned(), "@@ -1 +0,0 @@\n-a\n".to_owned(), false),
        ("words around", numbers.clone(), format!("Hello,\n\ndiff -u x y\n{two}\n-- \nyours\n"), false),
        ("undone", numbers.replace("line 4\n", "line four\nand more\n").replace("line 31\n", ""), two.to_owned(), true),
    ];
    for (name, before, diff, reverse) in cases {
        workspace.write("files/x.txt", &before);
        // `patch` looks as far as it likes; the farthest of these is two lines off.
        let expected =
            if name == "hunks too far off" { None } else { patch(workspace.root(), &before, &diff, reverse) };
        let mode = if reverse { "reverse" } else { "normal" };
        let object = run(&app, &caller, json!({"diff": diff, "apply_mode": mode})).await;
        let after = std::fs::read_to_string(workspace.root().join("files/x.txt")).expect("it is there");
        match &expected {
            Some(expected) => assert_eq!((object.status, &after), (Status::Completed, expected), "{name}"),
            None => assert_eq!((object.status, &after), (Status::Failed, &before), "{name}"),
        }
    }
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_diffs_change_nothing() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let caller = Caller::Terminal { working_dir: workspace.root().to_path_buf() };
    workspace.write("files/x.txt", "a\n");
    let many: String = (1..20_000).map(|it| format!("@@ -{it} +{it} @@\n-{it}\n+x\n")).collect();
    for (name, fields, code) in [
        ("a huge count", json!({"diff": "@@ -1,999999999 +1,999999999 @@\n a\n"}), "PARSE_FAILED"),
        ("a number beyond all", json!({"diff": "@@ -99999999999999999999999 +1 @@\n-a\n"}), "PARSE_FAILED"),
        (
            "a place beyond all",
            json!({"diff": "@@ -4294967295 +1 @@\n-a\n+b\n", "fuzz_factor": 1000}),
            "PATCH_REJECTED",
        ),
        ("20,000 hunks", json!({"diff": many, "fuzz_factor": 1000}), "PATCH_REJECTED"),
        ("another target", json!({"diff": "@@ -1 +1 @@\n-a\n+b\n", "target_path": "{t}"}), "FILE_NOT_FOUND"),
    ] {
        let object = run(&app, &caller, fields).await;
        let error = object.error.as_ref().map(|it| serde_json::to_value(it).expect("JSON"));
        assert_eq!(error.as_ref().map(|it| &it["code"]), Some(&json!(code)), "{name}: {error:?}");
        assert_eq!(std::fs::read_to_string(workspace.root().join("files/x.txt")).expect("there"), "a\n", "{name}");
    }
    // A path that only shows where it leads when it is rendered.
    let fields =
        json!({"diff": "@@ -0,0 +1 @@\n+b\n", "target_path": "{{inputs.default.t}}/x", "create_missing": true});
    let mut node = fields;
    node["label"] = "patch".into();
    let diagram = json!({
        "nodes": [
            {"id": "s", "type": "start", "data": {"label": "s", "custom_data": {"t": "../outside"}}},
            {"id": "p", "type": "diff_patch", "data": node},
        ],
        "arrows": [{"source": "s_default_output", "target": "p_default_input"}],
        "persons": {},
    });
    let request = Request { content: Some(diagram.to_string()), ..Request::default() };
    let extras = Extras { unbounded_wait: true, ..Extras::default() };
    let object = run_diagram(&app, &caller, request, extras, Waiting::default()).await.expect("runs");
    let error = serde_json::to_value(object.error).expect("JSON");
    assert_eq!(error["code"], json!("PATH_NOT_ALLOWED"), "{error}");
    app.shut_down_runs().await;
}
