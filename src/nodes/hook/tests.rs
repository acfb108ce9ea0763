use std::sync::Arc;

use super::super::harness::{
    Harness, MemorySecrets, ScriptedCommands, ScriptedHttp, World, codes, diagnostics, diagram,
};
use super::super::ports::CodeResult;
use super::super::ports::commands::{CommandResult, Program};
use super::super::ports::http::HttpReply;
use super::super::rights::{Origin, Rights};
use super::super::{PauseReason, Retry};
use super::*;

/// A node whose program ends with this.
fn shell(fields: Value, inputs: Value, result: CommandResult) -> (Harness, Arc<ScriptedCommands>) {
    let world = World { secrets: &["KEY"], ..World::default() };
    let mut harness = Harness::in_diagram(&diagram(NodeKind::Hook, fields), world).inputs(inputs);
    let commands = Arc::new(ScriptedCommands::default());
    *commands.result.lock().expect("free") = result;
    let ports = Arc::get_mut(&mut harness.cx.ports).expect("not shared yet");
    ports.commands = Arc::clone(&commands) as _;
    ports.secrets = MemorySecrets::of(&[("KEY", "canary")]);
    (harness, commands)
}

fn said(stdout: &str) -> CommandResult {
    CommandResult { stdout: stdout.into(), stderr: String::new(), status: Some(0) }
}

#[tokio::test]
async fn a_command_gets_values_and_inputs_as_variables_and_never_as_script() {
    let fields = json!({
        "command": "echo {{x}} \"{{x}}\"", "cwd": "files/{d}", "env": {"TOKEN": "${secret:KEY}", "N": "{{n}}"},
    });
    let hostile = "a'; \"$(rm -rf /)\" `id` ${secret:KEY}\n#";
    let inputs = json!({"x": hostile, "n": 5, "d": "sub", "two words": [1]});
    let (harness, commands) = shell(fields, inputs, said(" {\"a\": 1}\n"));
    assert_eq!(harness.body().await.expect("it runs"), json!({"a": 1}));
    let job = commands.jobs.lock().expect("free").remove(0);
    let script = "echo \"${DIPEO_VALUE_4}\" \"${DIPEO_VALUE_5}\"";
    assert_eq!(job.program, Program::Shell(script.to_owned()));
    assert_eq!((job.folder.as_deref(), job.timeout.as_secs()), (Some("files/sub"), 60));
    for (name, value) in [
        ("DIPEO_VALUE_4", hostile.to_owned()),
        ("DIPEO_VALUE_5", hostile.to_owned()),
        ("DIPEO_INPUT_X", Value::from(hostile).to_string()),
        ("DIPEO_INPUT_TWO_WORDS", "[1]".to_owned()),
        ("TOKEN", "canary".to_owned()),
        ("N", "5".to_owned()),
        ("DIPEO_ATTEMPT", "1".to_owned()),
        ("DIPEO_IDEMPOTENCY_KEY", format!("{}:{}:1", harness.cx.execution_id, harness.cx.node_id)),
    ] {
        assert_eq!(job.environment.get(name), Some(&value), "{name}");
    }
}

#[tokio::test]
async fn arguments_are_passed_without_a_shell() {
    let fields = json!({"command": "tool", "args": ["--x={{x}}", "{{x}}", 3]});
    let (harness, commands) = shell(fields, json!({"x": "a b; c"}), said("plain text \n"));
    assert_eq!(harness.body().await.expect("it runs"), json!("plain text"));
    let argv = ["tool", "--x=a b; c", "a b; c", "3"].map(str::to_owned).to_vec();
    assert_eq!(commands.jobs.lock().expect("free")[0].program, Program::Argv(argv));
}

#[tokio::test]
async fn a_program_that_fails_fails_the_node_with_its_status() {
    let result = CommandResult { stdout: b"{}".to_vec(), stderr: "first\nno such file\n\n".into(), status: Some(3) };
    let (harness, _) = shell(json!({"command": "cat {{x}}"}), json!({"x": "secret path"}), result);
    let error = harness.body().await.expect_err("it failed");
    assert_eq!((error.code(), error.message()), ("HOOK_FAILED", "`cat {{x}}` ended with status 3: no such file"));
    assert_eq!(error.details_value().expect("details")["stderr"], json!("first\nno such file\n\n"));
    let killed = CommandResult { status: None, ..said("") };
    let (harness, _) = shell(json!({"command": "x"}), json!({}), killed);
    assert_eq!(harness.body().await.expect_err("killed").message(), "`x` was ended by a signal");
    let (harness, commands) = shell(json!({"command": "x {{y}}"}), json!({"y": "a\0b"}), said(""));
    assert_eq!(harness.body().await.expect_err("zero byte").code(), "HOOK_FAILED");
    assert!(commands.jobs.lock().expect("free").is_empty());
}

#[tokio::test]
async fn an_http_hook_sends_its_body_or_the_inputs() {
    let answer = || HttpReply {
        status: 200,
        headers: vec![("content-type".into(), "application/json".into())],
        body: b"{\"ok\": 1}".to_vec(),
        duration: Default::default(),
    };
    for (more, method, body) in [
        (json!({}), "POST", Some(json!({"inputs": {"a": 1}, "node_id": "it", "hook_type": "hook_node"}))),
        (json!({"body": {"x": "{{a}}"}, "method": "PUT"}), "PUT", Some(json!({"x": 1}))),
        (json!({"method": "GET"}), "GET", None),
    ] {
        let mut fields = json!({"hook_type": "http", "url": "https://a.test/{{a}}"});
        fields.as_object_mut().expect("a map").extend(more.as_object().cloned().expect("a map"));
        let mut harness = Harness::new(NodeKind::Hook, fields).inputs(json!({"a": 1}));
        let http = ScriptedHttp::of(vec![answer()]);
        Arc::get_mut(&mut harness.cx.ports).expect("not shared yet").http = Arc::clone(&http) as _;
        let output = harness.output().await.expect("an answer");
        assert_eq!((&*output.body, &output.meta["http"]["status"]), (&json!({"ok": 1}), &json!(200)));
        let sent = http.sent();
        let sent_body = sent.body.map(|it| serde_json::from_slice::<Value>(&it).expect("JSON"));
        assert_eq!((sent.method.as_str(), sent.url.as_str(), sent_body), (method, "https://a.test/1", body));
    }
}

#[tokio::test]
async fn a_python_hook_runs_its_file_on_the_host() {
    let fields = json!({"hook_type": "python", "script": "files/h.py", "args": {"n": "{{m}}", "extra": "x"}});
    let harness =
        Harness::new(NodeKind::Hook, fields.clone()).inputs(json!({"m": 2, "n": 1})).file("files/h.py", "code");
    let done = CodeResult { value: json!(7), printed: String::new() };
    let raised = Error::external("CODE_FAILED", "ValueError: no").hint("line 3");
    harness.code.answers.lock().expect("free").extend([Ok(done), Err(raised)]);
    assert_eq!(harness.body().await.expect("it runs"), json!(7));
    let error = harness.body().await.expect_err("it raises");
    assert_eq!((error.code(), error.message()), ("HOOK_FAILED", "`files/h.py` failed: ValueError: no"));
    let job = harness.code.jobs.lock().expect("free").remove(0);
    assert_eq!((&*job.source, job.function_name.as_str()), ("code", "hook"));
    assert_eq!(Value::Object(job.inputs), json!({"m": 2, "n": 2, "extra": "x"}));
    assert_eq!(Value::Object(job.names), json!({"m": 2, "n": 2, "extra": "x"}));
}

#[tokio::test]
async fn a_file_hook_writes_its_inputs() {
    for (format, expected) in [
        ("json", "{\n  \"inputs\": {\n    \"a\": 1\n  },\n  \"node_id\": \"it\"\n}"),
        ("yaml", "inputs:\n  a: 1\nnode_id: it\n"),
        ("text", "{\n  \"inputs\": {\n    \"a\": 1\n  },\n  \"node_id\": \"it\"\n}"),
    ] {
        let fields = json!({"hook_type": "file", "file_path": "files/{a}.txt", "format": format});
        let harness = Harness::new(NodeKind::Hook, fields).inputs(json!({"a": 1}));
        let value = harness.body().await.expect("written");
        assert_eq!(value, json!({"operation": "write", "path": "files/1.txt", "bytes": expected.len()}), "{format}");
        assert_eq!(harness.files.only_text(), expected, "{format}");
    }
}

#[tokio::test]
async fn a_subscription_waits_for_a_payload_that_fits() {
    let subscription = json!({
        "provider": "github", "event_name": "push", "timeout": 2, "filters": {"ref": "{{branch}}", "n": [1, 2]},
    });
    let fields = json!({"hook_type": "http", "subscribe_to": subscription});
    let harness = Harness::new(NodeKind::Hook, fields).inputs(json!({"branch": "main"}));
    let Ok(Outcome::Wait(question)) = harness.node.run(&harness.cx).await else { panic!("it waits") };
    assert_eq!((question.reason, question.prompt.as_str()), (PauseReason::Input, "waits for `push` from `github`"));
    assert_eq!(question.deadline.map(|it| it.0), Some(1_767_323_047_678));
    for (payload, fits) in [
        (json!({"ref": "main", "n": 1}), true),
        (json!({"ref": "main", "n": "2", "more": {}}), true),
        (json!({"ref": "dev", "n": 1}), false),
        (json!({"ref": "main"}), false),
        (json!("main"), false),
        (json!(null), false),
    ] {
        match harness.node.check_answer(&question, payload.clone()) {
            Ok(checked) => {
                assert!(fits, "{payload}");
                let Ok(Outcome::Done(output)) = harness.node.resume(&harness.cx, &question, checked).await else {
                    panic!("it goes on")
                };
                assert_eq!((&*output.body, &output.meta["provider"]), (&payload, &json!("github")));
            }
            Err(error) => assert_eq!((fits, error.code()), (false, "INVALID_ANSWER"), "{payload}"),
        }
    }
    assert_eq!(harness.node.expire(&question).expect_err("too late").code(), "ANSWER_TIMEOUT");
}

#[test]
fn a_mock_run_starts_nothing_but_still_writes_and_waits() {
    let mocked = |fields: Value| Harness::new(NodeKind::Hook, fields).node.mocked("it");
    let canned = Some(json!({"mock": true}));
    assert_eq!(mocked(json!({"command": "x"})), canned);
    assert_eq!(mocked(json!({"hook_type": "http", "url": "https://a.test/"})), canned);
    assert_eq!(mocked(json!({"hook_type": "file", "file_path": "files/a"})), None);
    let node = Harness::new(NodeKind::Hook, json!({"command": "x"})).node;
    assert_eq!((node.effect(), node.retry_default()), (Effect::Outside, Retry::NONE));
}

#[test]
fn diagnostics_name_each_mistake_once() {
    for (fields, expected) in [
        (json!({}), vec!["E401"]),
        (json!({"command": " "}), vec!["E401"]),
        (json!({"command": 5}), vec!["E402"]),
        (json!({"command": "{{#if}}"}), vec!["E602"]),
        (json!({"command": "x ${secret:A}"}), vec!["E403"]),
        (json!({"command": "x", "args": "y"}), vec!["E402"]),
        (json!({"command": "x", "args": ["${secret:A}"]}), vec!["E403"]),
        (json!({"command": "x", "env": {"A": "${secret:NONE}"}}), vec!["E508"]),
        (json!({"command": "x", "cwd": "../y"}), vec!["E702"]),
        (json!({"command": "x", "url": "https://a.test/", "script": ""}), vec!["W402"]),
        (json!({"command": "x", "retry_count": "many"}), vec!["W401"]),
        (json!({"hook_type": "shel", "command": "x"}), vec!["E403"]),
        (json!({"hook_type": "http"}), vec!["E401"]),
        (json!({"hook_type": "http", "url": "a.test"}), vec!["E403"]),
        (json!({"hook_type": "http", "url": "https://a.test/", "command": ""}), vec![]),
        (json!({"hook_type": "http", "subscribe_to": {"provider": "a"}}), vec!["E401"]),
        (
            json!({"hook_type": "http", "subscribe_to": {"provider": "a", "event_name": "b", "timeout": -1}}),
            vec!["E404"],
        ),
        (
            json!({"hook_type": "http", "subscribe_to": {"provider": "a", "event_name": "b", "filters": 1}}),
            vec!["E402"],
        ),
        (json!({"hook_type": "http", "subscribe_to": {"provider": "a", "event_name": "b", "x": 1}}), vec!["W402"]),
        (json!({"hook_type": "http", "subscribe_to": {"provider": "a", "event_name": "b"}, "url": "c"}), vec!["W402"]),
        (json!({"hook_type": "python"}), vec!["E401"]),
        (json!({"hook_type": "python", "script": "files/none.py"}), vec!["W502"]),
        (json!({"hook_type": "python", "script": "../x.py"}), vec!["E702"]),
        (json!({"hook_type": "file"}), vec!["E401"]),
        (json!({"hook_type": "file", "file_path": "files/a", "format": "xml"}), vec!["E403"]),
    ] {
        assert_eq!(codes(NodeKind::Hook, fields.clone()), expected, "{fields}");
    }
}

#[tokio::test]
async fn programs_need_the_rights_of_the_host() {
    let submitted = || Rights::of(Origin::Submitted, true, false);
    for (fields, expected) in [
        (json!({"command": "x"}), vec!["E701"]),
        (json!({"hook_type": "python", "script": "files/x.py"}), vec!["W502", "E701"]),
        (json!({"hook_type": "file", "file_path": "files/x"}), vec![]),
        (json!({"hook_type": "http", "url": "http://localhost/"}), vec!["E703"]),
    ] {
        let world = World { rights: submitted(), ..World::default() };
        let found = diagnostics(&diagram(NodeKind::Hook, fields.clone()), &world);
        assert_eq!(found.iter().map(|it| it.code).collect::<Vec<_>>(), expected, "{fields}");
    }
    let (mut harness, commands) = shell(json!({"command": "x"}), json!({}), said(""));
    harness.cx.rights = Arc::new(submitted());
    assert_eq!(harness.body().await.expect_err("it may not").code(), "TRUST_REQUIRED");
    assert!(commands.jobs.lock().expect("free").is_empty());
}
