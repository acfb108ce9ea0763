//! Sessions of Claude Code through the handlers and the command line: listed, counted, converted, run again.

use std::path::{Path, PathBuf};

use dipeo::engine::Status;
use dipeo::handlers::claude_sessions::convert_session::{self, Converted, Which, convert_session};
use dipeo::handlers::run_diagram::{Extras, Request, Waiting, run_diagram};
use dipeo::handlers::see_result::{self, Detail, see_result};
use dipeo::handlers::trust_diagram::{self, trust_diagram};
use dipeo::handlers::{App, Caller};
use serde_json::{Value, json};

use crate::harness::{self, Workspace};

const PROJECT: &str = "-home-ann-app";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/sessions").join(name)
}

/// A workspace whose person has the sessions of the fixtures.
fn workspace() -> Workspace {
    let workspace = harness::workspace();
    let folder = workspace.home().join(".claude/projects").join(PROJECT);
    std::fs::create_dir_all(&folder).expect("made");
    for name in ["typo.jsonl", "silent.jsonl"] {
        std::fs::copy(fixture(name), folder.join(name)).expect("copied");
    }
    workspace.write("files/notes.md", "# Notes\nTeh first line.\nThe last line.\n");
    workspace
}

fn project(workspace: &Workspace) -> Option<String> {
    Some(workspace.home().join(".claude/projects").join(PROJECT).display().to_string())
}

async fn convert(app: &App, workspace: &Workspace, format: &str, output_dir: Option<&str>) -> Converted {
    let request = convert_session::Request {
        project: project(workspace),
        which: Which::Session("typo".into()),
        output_dir: output_dir.map(str::to_owned),
        format: Some(format.to_owned()),
        offline: true,
    };
    let response = convert_session(app, &terminal(workspace), request).await.expect("it is converted");
    response.sessions.into_iter().next().expect("one session")
}

fn terminal(workspace: &Workspace) -> Caller {
    Caller::Terminal { working_dir: workspace.root().to_path_buf() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_converted_session_runs_again_once_it_is_trusted() {
    let workspace = workspace();
    let app = workspace.app();
    let caller = terminal(&workspace);
    let converted = convert(&app, &workspace, "light", None).await;
    assert_eq!(converted.path, "projects/claude_code/sessions/2026-03-04_05-00-07/diagram.light.yaml");
    assert_eq!(converted.turns, 2);
    let skipped: Vec<String> =
        converted.skipped.iter().map(|it| format!("{}: {}", it["tool"], it["reason"]).replace('"', "")).collect();
    let of_mcp = "mcp__calendar__today: node type `mcp_tool` is not supported by this version";
    assert_eq!(
        skipped.iter().filter(|it| *it != of_mcp).collect::<Vec<_>>(),
        [
            "Edit: its result was an error",
            "Read: `/etc/hostname` is outside the project",
            "Read: the same was read before, and nothing had changed it",
            "WebSearch: no node does what this tool does",
        ]
    );
    assert_eq!(converted.warnings, ["line 16 is not JSON", "1 parts of type `image` were left out"]);

    let run = || Request { diagram: Some(converted.path.clone()), ..Request::default() };
    let extras = || Extras { unbounded_wait: true, ..Extras::default() };
    let error = run_diagram(&app, &caller, run(), extras(), Waiting::default()).await.expect_err("it is not trusted");
    assert_eq!(error.code(), "INVALID_DIAGRAM", "{}", error.chain());
    let details = error.details_value().map(ToString::to_string).unwrap_or_default();
    assert!(details.contains("E701"), "{details}");

    let grant = trust_diagram::Request::Grant { diagram: converted.path.clone() };
    trust_diagram(&app, &caller, grant).await.expect("it is trusted");
    let object = run_diagram(&app, &caller, run(), extras(), Waiting::default()).await.expect("it runs");
    let request =
        see_result::Request { execution_id: object.execution_id, detail: Some(Detail::Full), ..Default::default() };
    let object = see_result(&app, &caller, request, Waiting::default()).await.expect("readable");
    assert_eq!(object.status, Status::Completed, "{:?}", object.error);
    let read = |path: &str| std::fs::read_to_string(workspace.root().join(path)).expect("it is there");
    assert_eq!(read("files/notes.md"), "# {{Notes}}\nThe first line.\nThe final line.\n");
    assert_eq!(read("files/greeting.txt"), "Hello {{name}}\n");
    assert_eq!(serde_json::from_str::<Value>(&read("files/todos/typo.json")).expect("JSON")[0]["content"], "greet");
    let outputs: Vec<(String, Value)> =
        object.nodes.iter().flatten().map(|it| (it.label.clone(), it.output.clone().unwrap_or_default())).collect();
    let output = |label: &str| outputs.iter().find(|it| it.0.starts_with(label)).map(|it| it.1.clone());
    assert_eq!(output("Claude responds 1"), Some(json!("I will look at the file first.\n\nBoth are done.")));
    assert_eq!(output("Claude responds 2"), Some(json!("You are welcome.")));
    assert_eq!(output("Task"), Some(json!("The greeting is fine.")));
    assert_eq!(output("Glob"), Some(json!("files/notes.md")));
    assert_eq!(output("Grep"), Some(json!("")));
    let conversation = serde_json::to_string(&object.conversation).expect("JSON");
    assert!(conversation.contains("and greet {{name}}."), "a template took something out: {conversation}");
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_written_whole_and_again_in_the_same_place() {
    let workspace = workspace();
    let app = workspace.app();
    for format in ["light", "readable", "native"] {
        for _ in 0..2 {
            let converted = convert(&app, &workspace, format, Some("out")).await;
            let text = std::fs::read_to_string(workspace.root().join(&converted.path)).expect("it is there");
            assert!(text.contains("Claude responds 1"), "{format}");
        }
    }
    let mut names: Vec<String> = std::fs::read_dir(workspace.root().join("out"))
        .expect("a folder")
        .flatten()
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let expected = [
        "conversion_metadata.json",
        "diagram.light.yaml",
        "diagram.native.json",
        "diagram.readable.yaml",
        "session.jsonl",
    ];
    assert_eq!(names, expected);
    let copy = std::fs::read(workspace.root().join("out/session.jsonl")).expect("there");
    assert_eq!(copy, std::fs::read(fixture("typo.jsonl")).expect("there"));
    app.shut_down_runs().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_converted_says_why() {
    let workspace = workspace();
    let app = workspace.app();
    for (which, format, code) in [
        (Which::Session("silent".into()), "light", "INVALID_INPUT"),
        (Which::Session("../typo".into()), "light", "INVALID_INPUT"),
        (Which::Session("tyop".into()), "light", "SESSION_NOT_FOUND"),
        (Which::Session("typo".into()), "heavy", "INVALID_FORMAT"),
    ] {
        let request = convert_session::Request {
            project: project(&workspace),
            which: which.clone(),
            output_dir: None,
            format: Some(format.into()),
            offline: false,
        };
        let error = convert_session(&app, &terminal(&workspace), request.clone()).await.expect_err("it cannot");
        assert_eq!(error.code(), code, "{which:?}: {error}");
        assert!(error.hint_text().is_some());
        let error = convert_session(&app, &Caller::owner_client(), request).await.expect_err("a client may not");
        assert_eq!(error.code(), "PERMISSION_REQUIRED");
    }
    assert!(!workspace.root().join("projects").exists(), "nothing is left over");
}

/// Runs a command and returns its exit code and what it printed.
fn run(mut command: std::process::Command, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command.args(arguments).stdin(std::process::Stdio::null()).output().expect("runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_command_line_lists_and_counts() {
    let workspace = workspace();
    let (code, text) = run(workspace.command(), &["dipeocc", "list", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let listed: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(listed["total"], json!(2));
    let typo =
        listed["sessions"].as_array().expect("a list").iter().find(|it| it["id"] == "typo").expect("it is there");
    assert_eq!(typo["first_text"], "Correct the typo in files/notes.md, and greet {{name}}.");

    let (code, text) = run(workspace.command(), &["dipeocc", "--project", "/home/ann/app", "stats", "typo", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let stats: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(stats["turns"], json!(2));
    assert_eq!(stats["tools"]["Edit"], json!({"calls": 2, "errors": 1}));
    assert_eq!(stats["tools"]["Bash"], json!({"calls": 2, "errors": 1}));
    assert_eq!(stats["tokens"], json!({"input": 46, "output": 92, "cache_read": 15, "cache_creation": 3}));
    assert_eq!(
        stats["files"],
        json!(["/etc/hostname", "/home/ann/app/files/greeting.txt", "/home/ann/app/files/notes.md"])
    );
    assert_eq!(stats["lines_by_type"]["file-history-snapshot"], json!(1));

    let (code, text) = run(workspace.command(), &["dipeocc", "convert", "typo", "--format", "native", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let converted: Value = serde_json::from_str(&text).expect("JSON");
    let path = converted["sessions"][0]["path"].as_str().expect("a path").to_owned();
    let (code, text) = run(workspace.command(), &["compile", &path, "--check-only", "--json"]);
    let codes: Vec<&str> = text.split("\"code\": \"").skip(1).filter_map(|it| it.split('"').next()).collect();
    // Only its rights are missing: nobody has trusted it.
    assert!(
        code == Some(2) && codes.iter().all(|it| ["E701", "E702", "E703"].contains(it) || it.starts_with('W')),
        "{text}"
    );
    for (arguments, code) in
        [(&["dipeocc", "convert", "silent"][..], 2), (&["dipeocc", "stats", "none"], 3), (&["dipeocc"], 2)]
    {
        assert_eq!(run(workspace.command(), arguments).0, Some(code), "{arguments:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_link_called_dipeocc_is_the_subcommand() {
    let workspace = workspace();
    let link = workspace.home().join("dipeocc");
    std::os::unix::fs::symlink(harness::DIPEO, &link).expect("linked");
    let mut command = std::process::Command::new(&link);
    command.current_dir(workspace.root()).env_clear().env("HOME", workspace.home()).env("DIPEO_HOME", workspace.home());
    let (code, text) = run(command, &["list", "--limit", "1"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("2 sessions\n"), "{text}");
}
