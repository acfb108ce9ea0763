//! `service: claude-code`: the program `claude`, for which a script stands in.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use dipeo::diagram::{Person, Service};
use dipeo::llm::{ClaudeSettings, Llm, Settings};
use dipeo::nodes::output::ChatMessage;
use dipeo::nodes::ports::models::{Cost, ModelTool, TokenSink};
use dipeo::nodes::ports::{ModelRequest, Models, Usage};
use dipeo::nodes::{Origin, Rights};
use serde_json::{Value, json};

use super::{person, request};

fn stand_in(folder: &Path) -> Arc<Llm> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/llm/claude.sh");
    Llm::new(Settings { claude: ClaudeSettings { program, folder: folder.to_owned() }, ..Settings::default() })
}

fn asked(prompt: &str) -> ModelRequest {
    let mut asked = request(person(Service::ClaudeCode));
    asked.messages.last_mut().expect("a prompt").content = prompt.to_owned();
    asked
}

#[tokio::test]
async fn the_program_is_given_the_conversation_and_its_result_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let heard = Arc::new(Mutex::new(String::new()));
    let writer = Arc::clone(&heard);
    let mut asked = asked("Now answer");
    asked.messages.insert(1, ChatMessage::new("user", "What is tea?"));
    asked.messages.insert(2, ChatMessage::new("assistant", "A drink."));
    asked.person = Arc::new(Person { model: Some("opus".to_owned()), ..person(Service::ClaudeCode) });
    asked.sink = Some(TokenSink::new(move |text| writer.lock().expect("not poisoned").push_str(text)));
    let reply = stand_in(folder.path()).call(asked).await.expect("it answers");
    assert_eq!((reply.text.as_str(), reply.model.as_deref()), ("Two words", Some("claude-x")));
    assert_eq!(reply.usage, Usage { input: 12, output: 3, cached: 4 });
    assert_eq!(reply.cost, Cost::Usd(0.25));
    assert_eq!(*heard.lock().expect("not poisoned"), "Two words");
    let call = reply.tool_calls.first().expect("a tool was used").to_json();
    assert_eq!(call["tool"], json!("Read"));
    assert_eq!((&call["arguments"], &call["output"]), (&json!({"file_path": "a.txt"}), &json!("hello")));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("the script wrote it");
    let arguments = read("arguments.txt");
    assert!(
        arguments.starts_with("-p --input-format stream-json --output-format stream-json --verbose"),
        "{arguments}"
    );
    assert!(arguments.contains("--model opus --append-system-prompt Be brief."), "{arguments}");
    let input: Value = serde_json::from_str(&read("input.json")).expect("a message");
    let text = input.pointer("/message/content/0/text").and_then(Value::as_str).expect("a text");
    assert!(text.contains("user: What is tea?\n\nyou: A drink.\n\n---\n\nNow answer"), "{text}");
    assert_eq!(read("environment.txt").trim(), "|", "keys of others and marks of nesting are withheld");
}

#[tokio::test]
async fn a_custom_person_replaces_the_system_prompt() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut asked = asked("hello");
    asked.service = Service::ClaudeCodeCustom;
    asked.tools = vec![ModelTool::WebSearch];
    stand_in(folder.path()).call(asked).await.expect("it answers");
    let arguments = std::fs::read_to_string(folder.path().join("arguments.txt")).expect("the script wrote it");
    assert!(arguments.contains("--system-prompt Be brief. --allowedTools WebSearch"), "{arguments}");
    assert!(!arguments.contains("--append"), "{arguments}");
}

#[tokio::test]
async fn failures_of_the_program_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let llm = stand_in(folder.path());
    for (prompt, message, hint, is_retryable) in [
        ("fail", "the program `claude` reports a failure", "log in", false),
        ("crash", "the program `claude` ended before it had answered", "claude -p hello", true),
    ] {
        let error = llm.call(asked(prompt)).await.expect_err(message);
        assert_eq!((error.code(), error.message(), error.is_retryable()), ("LLM_FAILED", message, is_retryable));
        assert!(error.hint_text().is_some_and(|it| it.contains(hint)), "{error:?}");
    }
    let crash = llm.call(asked("crash")).await.expect_err("it crashes");
    assert_eq!(crash.details_value(), Some(&json!({"stderr": "cannot find the config"})));
}

#[tokio::test]
async fn without_the_program_or_the_right_to_start_it_there_is_no_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let claude = ClaudeSettings { program: PathBuf::from("no-such-program-claude"), folder: folder.path().to_owned() };
    let error = Llm::new(Settings { claude, ..Settings::default() }).call(asked("hi")).await.expect_err("not there");
    assert_eq!(error.code(), "NO_MODEL");
    assert!(error.hint_text().is_some_and(|it| it.contains("models: caller")), "{error:?}");
    let mut untrusted = asked("hi");
    untrusted.rights = Arc::new(Rights::of(Origin::Submitted, false, false));
    let error = stand_in(folder.path()).call(untrusted).await.expect_err("a client's diagram starts no programs");
    assert_eq!(error.code(), "TRUST_REQUIRED");
    assert!(!folder.path().join("input.json").exists());
}

#[tokio::test]
async fn whoever_stops_waiting_stops_the_program_and_what_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let (sender, mut child) = tokio::sync::mpsc::unbounded_channel();
    let mut asked = asked("forever");
    asked.sink = Some(TokenSink::new(move |text| drop(sender.send(text.to_owned()))));
    let llm = stand_in(folder.path());
    let child = tokio::select! {
        _ = llm.call(asked) => panic!("it answers nothing"),
        child = child.recv() => child.expect("the script says what it started"),
    };
    let status = Path::new("/proc").join(child).join("stat");
    // A killed process stays as a zombie until somebody waits for it.
    while std::fs::read_to_string(&status).is_ok_and(|it| !it.contains(") Z ")) {
        tokio::task::yield_now().await;
    }
}
