//! `dipeo ask`: a draft with errors is repaired from its diagnostics, saved as a text of a client, and run.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use dipeo::error::Error;
use dipeo::handlers::ask_diagram::{NAME, Request, Response, ask_diagram};
use dipeo::handlers::list_executions::{self, list_executions};
use dipeo::handlers::{App, Caller};
use serde_json::{Value, json};

use crate::harness::{self, Workspace};

const BROKEN: &str = "Here it is:\n```yaml\nversion: light\nnodes:\n- {label: start, type: strat}\n```";
const WHOLE: &str = "```yaml\nversion: light\nname: greeting\nnodes:\n- {label: start, type: start}\n\
    - {label: greet, type: code_job, code: \"result = 'hello'\"}\n- {label: end, type: endpoint}\n\
    connections:\n- {from: start, to: greet}\n- {from: greet, to: end}\n```";

/// Answers as a chat-completions server: the texts in turn; keeps what it was sent.
struct Author {
    replies: Mutex<VecDeque<&'static str>>,
}

impl wiremock::Respond for Author {
    fn respond(&self, _: &wiremock::Request) -> wiremock::ResponseTemplate {
        let text = self.replies.lock().expect("test lock").pop_front().unwrap_or("nothing left");
        wiremock::ResponseTemplate::new(200)
            .set_body_json(json!({"model": "m", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]}))
    }
}

async fn author(replies: &[&'static str]) -> wiremock::MockServer {
    let server = wiremock::MockServer::start().await;
    let author = Author { replies: Mutex::new(replies.iter().copied().collect()) };
    wiremock::Mock::given(wiremock::matchers::any()).respond_with(author).mount(&server).await;
    server
}

fn dipeo(workspace: &Workspace, server: &wiremock::MockServer, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = workspace
        .command()
        .args(arguments)
        .env("OPENAI_BASE_URL", format!("{}/v1", server.uri()))
        .env("OPENAI_API_KEY", "sk-test")
        .output()
        .expect("runs");
    let text = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What the author was told in each round.
async fn prompts(server: &wiremock::MockServer) -> Vec<String> {
    let sent = server.received_requests().await.expect("recorded");
    let bodies = sent.iter().map(|it| String::from_utf8_lossy(&it.body).into_owned());
    bodies.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_draft_is_repaired_from_its_diagnostics_and_run() {
    let (workspace, server) = (harness::workspace(), author(&[BROKEN, WHOLE]).await);
    let arguments = ["ask", "Greet the world", "--service", "openai", "--model", "m", "--and-run"];
    let (code, stdout, stderr) = dipeo(&workspace, &server, &arguments);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(stdout.starts_with("projects/generated/greet-the-world.light.yaml\n  start (start)\n"), "{stdout}");
    assert!(stdout.contains("completed") && stdout.contains("hello"), "{stdout}");
    let saved = std::fs::read_to_string(workspace.root().join("projects/generated/greet-the-world.light.yaml"));
    assert_eq!(saved.expect("saved"), WHOLE.trim_start_matches("```yaml\n").trim_end_matches("```"));
    let prompts = prompts(&server).await;
    assert_eq!(prompts.len(), 2);
    assert!(!prompts[0].contains("E202"), "nothing is refused yet");
    for part in ["E202", "strat", "did you mean `start`", "Greet the world", "service: openai, model: m"] {
        assert!(prompts[1].contains(part), "the author is told `{part}`: {}", prompts[1]);
    }
    let (_, rounds, _) = dipeo(&workspace, &server, &["results", "--diagram", NAME, "--json"]);
    let rounds: Value = serde_json::from_str(&rounds).expect("JSON");
    assert_eq!(rounds["executions"].as_array().map(Vec::len), Some(2), "each round is an execution: {rounds}");
    // The same again takes another name.
    let server = author(&[WHOLE]).await;
    let (code, stdout, _) = dipeo(&workspace, &server, &["ask", "--to", "Greet the world", "--json"]);
    let answer: Value = serde_json::from_str(&stdout).expect("one JSON document");
    assert_eq!((code, &answer["path"]), (Some(0), &json!("projects/generated/greet-the-world-2.light.yaml")));
    assert_eq!((&answer["rounds"], &answer["nodes"][1]), (&json!(1), &json!({"label": "greet", "type": "code_job"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_three_broken_drafts_nothing_is_saved() {
    let (workspace, server) = (harness::workspace(), author(&[BROKEN, "no diagram at all", BROKEN, WHOLE]).await);
    let (code, stdout, _) = dipeo(&workspace, &server, &["ask", "x", "--service", "openai", "--model", "m", "--json"]);
    assert_eq!(code, Some(2), "{stdout}");
    let answer: Value = serde_json::from_str(&stdout).expect("one JSON document");
    assert_eq!(answer["error"]["code"], "INVALID_DIAGRAM");
    assert_eq!(answer["error"]["details"]["executions"].as_array().map(Vec::len), Some(3));
    assert!(!workspace.root().join("projects").exists(), "nothing is saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_wrote_has_the_rights_of_a_client_wherever_it_lies() {
    const HOST: &str = "```yaml\nversion: light\nnodes:\n- {label: s, type: start}\n\
        - {label: b, type: code_job, language: bash, code: 'touch escaped'}\n- {label: e, type: endpoint}\n\
        connections:\n- {from: s, to: b}\n- {from: b, to: e}\n```";
    let (workspace, server) = (harness::workspace(), author(&[HOST, WHOLE]).await);
    let (code, stdout, stderr) = dipeo(
        &workspace,
        &server,
        &["ask", "x", "--service", "openai", "--model", "m", "--out", "mine/own.light.yaml", "--and-run"],
    );
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(prompts(&server).await[1].contains("E701"), "host code is a mistake of the draft");
    assert!(!workspace.root().join("escaped").exists());
    let (code, _, stderr) = dipeo(&workspace, &server, &["export", "mine/own.light.yaml", "x.py"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("TRUST_REQUIRED"), "{stderr}");
    for (out, code) in [("mine/own.light.yaml", 4), ("../x.light.yaml", 2), ("/tmp/x.light.yaml", 2), ("x.py", 2)] {
        let seen = dipeo(&workspace, &server, &["ask", "x", "--service", "openai", "--model", "m", "--out", out]);
        assert_eq!(seen.0, Some(code), "{out}: {}", seen.2);
    }
}

#[test]
fn without_a_model_the_variable_and_the_way_without_a_key_are_named() {
    let workspace = harness::workspace();
    for arguments in [&["ask", "x", "--json"][..], &["ask", "x", "--service", "openai", "--model", "m", "--json"]] {
        let output = workspace.command().args(arguments).output().expect("runs");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        assert_eq!((output.status.code(), &answer["error"]["code"]), (Some(6), &json!("NO_MODEL")), "{answer}");
        assert!(answer.to_string().contains("OPENAI_API_KEY"), "{answer}");
    }
    let output = workspace.command().args(["ask", "x"]).output().expect("runs");
    assert!(String::from_utf8_lossy(&output.stderr).contains("dipeo mcp"), "the way without a key is named");
    let output = workspace.command().args(["ask", "x", "--service", "opnai"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
}

async fn by_caller(app: &Arc<App>, answers: &[Option<&str>]) -> Result<Response, Error> {
    let caller = Caller::Terminal { working_dir: app.config.workspace.clone() };
    let request = Request { text: "greet".into(), service: Some("caller".into()), ..Request::default() };
    let mut answers: VecDeque<Option<String>> = answers.iter().map(|it| it.map(str::to_owned)).collect();
    let mut answer = |waiting: &dipeo::handlers::execution_object::Waiting| {
        assert_eq!(waiting.person.as_deref(), Some("Author"));
        Ok(answers.pop_front().flatten().map(Value::String))
    };
    ask_diagram(app, &caller, request, &mut answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_called_may_be_the_author() {
    let workspace = harness::workspace();
    let app = workspace.app();
    let written = by_caller(&app, &[Some(BROKEN), Some(WHOLE)]).await.expect("it is written");
    assert_eq!((written.rounds, written.path.as_str()), (2, "projects/generated/greet.light.yaml"));
    let error = by_caller(&app, &[None]).await.expect_err("nobody answers");
    assert_eq!(error.code(), "NO_MODEL");
    let listed =
        list_executions(&app, &Caller::owner_client(), list_executions::Request::default()).await.expect("listed");
    let statuses: Vec<Value> = listed.executions.iter().map(|it| json!(it.status)).collect();
    assert_eq!(statuses, [json!("aborted"), json!("completed"), json!("completed")], "no question is left open");
    app.shut_down_runs().await;
}
