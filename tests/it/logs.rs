//! The log files of the program: who writes which, that nothing secret stands in them, that looking leaves no trace.

use std::path::Path;
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Workspace, workspace};
use crate::mcp_client::{HELLO, HttpServer, StdioClient};

/// Fails with a text that holds what must not be shown.
const LEAKS: &str = "\
version: light
nodes:
- {label: start, type: start}
- {label: leak, type: code_job, code: \"raise ValueError('password=hunter2 ask ada@example.org canary-in-the-key')\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: leak}
- {from: leak, to: end}
";

fn run(workspace: &Workspace, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    workspace.command().args(arguments).envs(variables.iter().copied()).output().expect("runs")
}

fn read(workspace: &Workspace, name: &str) -> String {
    std::fs::read_to_string(workspace.root().join(".dipeo/logs").join(name)).unwrap_or_default()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).expect("there").next().is_none()
}

#[test]
fn looking_leaves_no_trace_in_an_empty_folder() {
    let workspace = workspace();
    for arguments in
        [&["--help"][..], &["--version"], &["list"], &["results"], &["results", "exec_1"], &["compile", "x"]]
    {
        run(&workspace, arguments, &[("DIPEO_LOG_LEVEL", "trace")]);
        assert!(is_empty(workspace.root()), "{arguments:?}");
    }
}

#[test]
fn a_command_appends_what_it_ran_and_says_nothing_of_it_on_the_terminal() {
    let workspace = workspace();
    workspace.write("hello.light.yaml", HELLO);
    for _ in 0..2 {
        let output = run(&workspace, &["run", "hello", "--simple"], &[]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "completed\nHello, world!\n");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
    let log = read(&workspace, "cli.log");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    for line in lines {
        let parts: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((parts[1], parts[2]), ("INFO", "engine"), "{line}");
        assert!(parts[0].ends_with('Z') && parts[3].starts_with("exec_"), "{line}");
        assert!(line.contains(" the execution ended: completed duration_ms="), "{line}");
    }
    assert_eq!(read(&workspace, "cli.error.log"), "");
}

#[test]
fn no_log_shows_a_secret_or_a_person() {
    let workspace = workspace();
    workspace.write("leaks.light.yaml", LEAKS);
    let variables = [("DIPEO_LOG_LEVEL", "trace"), ("OPENAI_API_KEY", "canary-in-the-key"), ("LOG_FORMAT", "json")];
    let output = run(&workspace, &["run", "leaks", "--debug"], &variables);
    assert_eq!(output.status.code(), Some(1));
    let (log, stderr) = (read(&workspace, "cli.log"), String::from_utf8_lossy(&output.stderr).into_owned());
    let failed = |text: &str| {
        text.lines().find(|it| it.contains("the node failed")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    for (name, text) in [("file", &log), ("stderr", &stderr)] {
        let line: Value = serde_json::from_str(&failed(text)).expect("a line is JSON");
        assert_eq!(
            (&line["level"], &line["component"], &line["node"]),
            (&json!("debug"), &json!("engine"), &json!("leak"))
        );
        let message = line["message"].as_str().expect("text");
        assert!(message.contains("password=[REDACTED] ask [EMAIL] ***"), "{name}: {message}");
        for secret in ["hunter2", "ada@", "canary"] {
            assert!(
                !text.lines().any(|it| it.starts_with('{') && it.contains(secret)),
                "{name} shows {secret}: {text}"
            );
        }
    }
}

#[tokio::test]
async fn servers_write_their_own_files_and_speak_on_stderr_alone() {
    let workspace = workspace();
    workspace.write("hello.light.yaml", HELLO);
    let server = HttpServer::start(&workspace);
    server.call("dipeo_run", json!({"diagram": "hello", "wait_seconds": 20})).await;
    server.stop();
    let log = read(&workspace, "server.log");
    assert!(log.contains(" INFO  main the server listens address=127.0.0.1:"), "{log}");
    assert!(log.contains(" the execution ended: completed"), "{log}");

    // What stands on its standard output is JSON, or the client would not have understood it.
    let mut client = StdioClient::start(&workspace);
    client.call("dipeo_run", json!({"diagram": "hello", "wait_seconds": 20}));
    client.finish();
    assert_eq!(read(&workspace, "mcp.log").matches("the execution ended: completed").count(), 1);
}

#[tokio::test]
async fn every_answer_names_its_request_and_so_does_the_log() {
    let workspace = workspace();
    let variables = [("DIPEO_TOKEN", "a-token-that-is-long-enough-to-be-one"), ("DIPEO_LOG_LEVEL", "debug")];
    let server = HttpServer::start_with(&workspace, &[], &variables);
    // Answered, asked for a token, unknown, and addressed to somebody else.
    for (path, host, status) in
        [("/health/live", None, 200), ("/mcp", None, 401), ("/nothing", None, 401), ("/", Some("evil.example"), 403)]
    {
        for (given, is_kept) in [("harmless-1.2", true), ("not harmless", false)] {
            let mut request = server.http(Method::GET, path).header("x-request-id", given);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let answer = request.send().await.expect("answered");
            assert_eq!(answer.status(), status, "{path}");
            let id = answer.headers().get("x-request-id").map(|it| it.to_str().expect("text").to_owned());
            // Messages of MCP have ids of their own; there a name is kept, but none is made.
            assert_eq!(id.is_some(), is_kept || path != "/mcp", "{path}: {id:?}");
            let Some(id) = id else { continue };
            assert_eq!(id == given, is_kept, "{path}: {id}");
            assert!(is_kept || id.len() == 32, "{path}: {id}");
            let log = read(&workspace, "server.log");
            let line = log.lines().find(|it| it.contains(&id) && it.contains(&format!(" path={path} ")));
            assert!(line.is_some_and(|it| it.contains(&format!("status={status}"))), "{path}: {log}");
        }
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing() {
    let workspace = workspace();
    workspace.write("hello.light.yaml", HELLO);
    let output = run(&workspace, &["run", "hello", "--simple"], &[("DIPEO_LOGS_DIR", "/dev/null/logs")]);
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_level_that_is_none_is_refused_with_the_closest() {
    let output = run(&workspace(), &["list"], &[("LOG_LEVEL", "wran")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("did you mean `warn`?"), "{stderr}");
}
