//! What one process shows and steers of an execution that another one runs.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::workspace;
use crate::harness::{Workspace, json as printed};

const GATE: &str = "version: light\nnodes:\n- {label: start, type: start}\n- {label: gate, type: user_response, prompt: 'Go on?'}\n\
    - {label: end, type: endpoint}\nconnections:\n- {from: start, to: gate}\n- {from: gate, to: end}\n";

fn waiting(workspace: &Workspace) -> String {
    workspace.write("gate.light.yaml", GATE);
    let object = printed(workspace, &["run", "gate.light.yaml"]);
    assert_eq!((&object["status"], &object["pause_reason"]), (&json!("paused"), &json!("input")), "{object:#}");
    object["execution_id"].as_str().expect("an id").to_owned()
}

fn started(workspace: &Workspace, arguments: &[&str]) -> Child {
    let mut command = workspace.command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("starts")
}

#[test]
fn a_run_of_another_process_is_watched_to_its_end() {
    let workspace = workspace();
    let id = waiting(&workspace);
    let mut watch = started(&workspace, &["watch", &id]);
    let mut lines = BufReader::new(watch.stderr.take().expect("piped")).lines().map(|it| it.expect("text"));
    let until_it_waits: Vec<String> = lines.by_ref().take_while(|it| !it.starts_with("next: ")).collect();
    assert_eq!(until_it_waits.last().map(String::as_str), Some("waiting: gate (input): Go on?"), "{until_it_waits:?}");
    assert!(until_it_waits.iter().any(|it| it.starts_with("[1/3] start done")), "{until_it_waits:?}");
    printed(&workspace, &["answer", &id, "yes"]);
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|it| it.ends_with("gate was answered")), "{rest:?}");
    let output = watch.wait_with_output().expect("ends");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(shown.starts_with(&format!("{id} completed in ")) && shown.contains("result:\nyes\n"), "{shown}");
}

#[test]
fn what_is_followed_as_json_is_one_document_that_grows_line_by_line() {
    let workspace = workspace();
    let id = waiting(&workspace);
    let mut follow = started(&workspace, &["results", &id, "--follow", "--json"]);
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines().map(|it| it.expect("text"));
    let mut document = String::new();
    while !document.contains("execution_paused") {
        document.push_str(&lines.next().expect("the pause comes"));
        document.push('\n');
    }
    printed(&workspace, &["answer", &id, "no"]);
    document.extend(lines.map(|it| it + "\n"));
    assert_eq!(follow.wait().expect("ends").code(), Some(0));
    let whole: Value = serde_json::from_str(&document).unwrap_or_else(|e| panic!("{e}: {document}"));
    let seqs: Vec<u64> =
        whole["events"].as_array().expect("events").iter().filter_map(|it| it["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(
        (&whole["execution"]["status"], &whole["execution"]["outputs"]["end"]),
        (&json!("completed"), &json!("no"))
    );
    for line in document.lines().skip(1).filter(|it| !it.starts_with(']')) {
        let event: Value = serde_json::from_str(line.trim_start_matches(',')).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(event["event"].is_string(), "{line}");
    }
}

#[test]
fn the_log_of_an_execution_is_shown_from_an_event_on_and_of_one_node() {
    let workspace = workspace();
    let id = waiting(&workspace);
    let shown = |more: &[&str]| printed(&workspace, &[&["results", id.as_str()], more].concat());
    let phases = |found: &Value| -> Vec<String> {
        let all = found["transitions"].as_array().expect("a list").iter();
        all.filter_map(|it| it["phase"].as_str().map(str::to_owned)).collect()
    };
    let all = shown(&["--logs"]);
    let total = all["total"].as_u64().expect("a number");
    assert_eq!(phases(&all).len() as u64, total);
    assert_eq!(phases(&all).first().map(String::as_str), Some("execution_started"));
    assert_eq!(phases(&all).last().map(String::as_str), Some("execution_paused"));
    let rest = shown(&["--logs", "--since", "2"]);
    assert_eq!((&rest["total"], &rest["transitions"][0]["seq"]), (&json!(total - 2), &json!(3)));
    let own = shown(&["--logs", "--node", "gate"]);
    assert_eq!(phases(&own), ["node_started", "interactive_prompt"]);
    for what in ["--logs", "--messages", "--follow"] {
        let found = shown(&[what, "--node", "gat"]);
        assert_eq!(found["error"]["code"], "NODE_NOT_FOUND", "{what}: {found:#}");
    }
}

#[test]
fn the_short_forms_do_what_control_does() {
    let workspace = workspace();
    for (line, status, code) in [
        ("answer ID yes --node gate", "completed", 0),
        ("cancel ID --reason enough", "aborted", 0),
        ("control ID stop", "aborted", 0),
        ("pause ID", "paused", 0),
    ] {
        let id = waiting(&workspace);
        let arguments: Vec<&str> = line.split(' ').map(|it| if it == "ID" { id.as_str() } else { it }).collect();
        let output = workspace.command().args(&arguments).arg("--json").output().expect("runs");
        let object: Value = serde_json::from_slice(&output.stdout).expect("one document");
        assert_eq!((&object["status"], output.status.code()), (&json!(status), Some(code)), "{line}: {object:#}");
        let again = workspace.command().args(&arguments).arg("--json").output().expect("runs");
        let expected = if line.starts_with("answer") { Some(4) } else { Some(0) };
        assert_eq!(again.status.code(), expected, "{line} again: {}", String::from_utf8_lossy(&again.stdout));
    }
}

#[test]
fn what_was_aborted_is_resumed_and_answered() {
    let workspace = workspace();
    let id = waiting(&workspace);
    printed(&workspace, &["cancel", &id]);
    let again = printed(&workspace, &["resume", &id]);
    assert_eq!(again["status"], "paused", "{again:#}");
    let object = printed(&workspace, &["answer", &id, "late"]);
    assert_eq!((&object["status"], &object["outputs"]["end"]), (&json!("completed"), &json!("late")), "{object:#}");
}

/// What a running server answers at an address, as a status.
fn status_at(url: &str) -> u16 {
    let (host, path) = url.strip_prefix("http://").and_then(|it| it.split_once('/')).expect("an address");
    let mut stream = TcpStream::connect(host).expect("it listens");
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").expect("asked");
    let mut first = String::new();
    BufReader::new(stream).read_line(&mut first).expect("answered");
    first.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("{url}: {first}"))
}

#[test]
fn the_monitor_leads_to_a_page_that_is_there_also_in_production() {
    for (environment, path) in [("development", "/docs"), ("production", "/")] {
        let workspace = workspace();
        let mut command = workspace.command();
        let mut serving = command
            .args(["monitor", "--port", "0", "--no-open"])
            .env("ENVIRONMENT", environment)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        BufReader::new(serving.stdout.take().expect("piped")).read_line(&mut line).expect("the address");
        let url = line.trim();
        let path_of = url.strip_prefix("http://").and_then(|it| it.split_once('/')).map(|it| format!("/{}", it.1));
        assert_eq!(path_of.as_deref(), Some(path), "{environment}: {url}");
        assert_eq!(status_at(url), 200, "{environment}: {url}");
        serving.kill().expect("told");
        serving.wait().expect("ends");
    }
}

#[test]
fn the_monitor_serves_where_nobody_does_and_leads_to_who_does() {
    let workspace = workspace();
    let mut serving = started(&workspace, &["monitor", "--port", "0"]);
    let mut lines = BufReader::new(serving.stdout.take().expect("piped")).lines().map(|it| it.expect("text"));
    let url = lines.next().expect("the address");
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/docs"), "{url}");
    let server = url.trim_end_matches("/docs");
    // A script in the place of a browser writes down what it is to open.
    workspace.write("browser", "#!/bin/sh\necho \"$1\" > opened.tmp && mv opened.tmp opened\n");
    let browser = workspace.root().join("browser");
    let rights = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&browser, rights).expect("set");
    let ask = |arguments: &[&str]| {
        let output =
            workspace.command().arg("monitor").args(arguments).env("BROWSER", &browser).output().expect("runs");
        let shown = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(output.status.success(), "{shown}");
        shown
    };
    // The address is known to others a moment after it is printed.
    known(&workspace, server);
    assert_eq!(ask(&["--no-open"]), url);
    assert_eq!(ask(&["--execution", "exec_1", "--no-open"]), format!("{server}/api/v1/executions/exec_1"));
    let asked = format!("{server}/api/v1/executions?diagram=review");
    assert_eq!(ask(&["review"]), asked);
    let opened = workspace.root().join("opened");
    while !opened.is_file() {
        std::thread::yield_now();
    }
    assert_eq!(std::fs::read_to_string(opened).expect("readable").trim(), asked);
    rustix::process::kill_process(rustix::process::Pid::from_child(&serving), rustix::process::Signal::INT)
        .expect("told");
    assert!(serving.wait().expect("ends").success());
}

/// Waits until the server at `url` is known to others on the database.
fn known(workspace: &Workspace, url: &str) {
    let app = workspace.app();
    let store = app.store().expect("opens");
    while !store.live_owners().expect("reads").iter().any(|it| it.url.as_deref() == Some(url)) {
        std::thread::yield_now();
    }
}

#[test]
fn progress_for_programs_is_a_line_of_json_per_event() {
    let workspace = workspace();
    let output = workspace.command().args(["run", "review", "--watch", "--json"]).output().expect("runs");
    serde_json::from_slice::<Value>(&output.stdout).expect("one document");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let events: Vec<Value> =
        stderr.lines().map(|it| serde_json::from_str(it).unwrap_or_else(|e| panic!("{e}: {it}"))).collect();
    let done: Vec<_> =
        events.iter().filter(|it| it["event"] == "node_completed").map(|it| it["label"].clone()).collect();
    assert_eq!(done, [json!("start"), json!("make"), json!("end")]);
}
