//! One request through every surface: the command line, MCP on stdio, MCP over HTTP, REST, GraphQL. The answer is the
//! same JSON, because all of them call the same handler; of an execution a model is shown less, and nothing else.
//! Programs that ask over REST or GraphQL are shown what the command line shows.

mod over_graphql;

use over_graphql::Answer;
use serde_json::{Value, json};

use crate::harness::{Workspace, workspace};
use crate::mcp_client::{ASKS_CALLER, HELLO, HttpServer, LibraryClient};

/// Stands in a request for the execution that has ended before the first one is made.
const ENDED: &str = "EXECUTION";
const NOBODYS: &str = "exec_00000000000000000000000000000000";

/// What differs from one run to the next, whoever asked for it.
const OF_ONE_RUN: [&str; 7] = ["execution_id", "session_id", "started_at", "ended_at", "duration_ms", "since", "next"];

const BROKEN: &str = "\
version: light
nodes:
- {label: start, type: start}
- {label: spin, type: code_jbo, code: \"result = (\"}
- {label: end, type: endpoint, save: true}
connections:
- {from: start, to: spinn}
";

const FAILS: &str = "\
version: light
nodes:
- {label: start, type: start, custom_data: {n: 0}}
- {label: divide, type: code_job, code: \"result = 1 / n\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: divide}
- {from: divide, to: end}
";

const TAKES_INPUT: &str = "\
version: light
inputs:
  n: {type: integer, required: true}
nodes:
- {label: start, type: start}
- {label: rows, type: code_job, code: \"result = {'rows': ['x' * 100] * n}\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: rows}
- {from: rows, to: end}
";

#[derive(Clone, Copy, PartialEq)]
enum Answers {
    /// To the last byte.
    Equal,
    /// Each surface makes a run of its own.
    EqualButForTheRun,
}

#[tokio::test]
async fn every_surface_gives_the_same_answer() {
    use Answers::{Equal, EqualButForTheRun};
    let surfaces = Surfaces::start().await;
    // What is typed, which tool with which arguments says the same, how alike the answers are, and one value of
    // them, so that three equal failures do not pass for three equal results.
    for (typed, tool, arguments, answers, (pointer, value)) in [
        (
            "run greeting",
            "dipeo_run",
            json!({"diagram": "greeting"}),
            EqualButForTheRun,
            ("/final_output", "Hello, world!"),
        ),
        (
            "run asks",
            "dipeo_run",
            json!({"diagram": "asks"}),
            EqualButForTheRun,
            ("/waiting_for/0/prompt", "Best tea?"),
        ),
        ("run fails", "dipeo_run", json!({"diagram": "fails"}), EqualButForTheRun, ("/error/code", "CODE_FAILED")),
        (
            "run takes --input n=2",
            "dipeo_run",
            json!({"diagram": "takes", "input_data": {"n": 2}}),
            EqualButForTheRun,
            ("/status", "completed"),
        ),
        (
            "run takes --input n=150",
            "dipeo_run",
            json!({"diagram": "takes", "input_data": {"n": 150}}),
            EqualButForTheRun,
            ("/status", "completed"),
        ),
        (
            "run takes --input m=2",
            "dipeo_run",
            json!({"diagram": "takes", "input_data": {"m": 2}}),
            Equal,
            ("/error/code", "INVALID_INPUT"),
        ),
        (
            "run greeting --timeout 0",
            "dipeo_run",
            json!({"diagram": "greeting", "timeout": 0.0}),
            Equal,
            ("/error/code", "INVALID_INPUT"),
        ),
        ("run broken", "dipeo_run", json!({"diagram": "broken"}), Equal, ("/error/code", "INVALID_DIAGRAM")),
        ("run greting", "dipeo_run", json!({"diagram": "greting"}), Equal, ("/error/code", "DIAGRAM_NOT_FOUND")),
        ("run ../greeting", "dipeo_run", json!({"diagram": "../greeting"}), Equal, ("/error/code", "INVALID_NAME")),
        ("results EXECUTION", "see_result", json!({"execution_id": ENDED}), Equal, ("/status", "completed")),
        (
            "results EXECUTION --verbose",
            "see_result",
            json!({"execution_id": ENDED, "detail": "full"}),
            Equal,
            ("/nodes/1/output", "Hello, world!"),
        ),
        (
            "results EXECUTION --node compose",
            "see_result",
            json!({"execution_id": ENDED, "node": "compose"}),
            Equal,
            ("/status", "completed"),
        ),
        (
            "results EXECUTION --node compse",
            "see_result",
            json!({"execution_id": ENDED, "node": "compse"}),
            Equal,
            ("/error/code", "NODE_NOT_FOUND"),
        ),
        (
            "results EXECUTION --max-chars 7",
            "see_result",
            json!({"execution_id": ENDED, "max_chars": 7}),
            Equal,
            ("/error/code", "INVALID_INPUT"),
        ),
        (
            "results exec_00000000000000000000000000000000",
            "see_result",
            json!({"execution_id": NOBODYS}),
            Equal,
            ("/error/code", "EXECUTION_NOT_FOUND"),
        ),
        (
            "results exec_12",
            "see_result",
            json!({"execution_id": "exec_12"}),
            Equal,
            ("/error/code", "INVALID_EXECUTION_ID"),
        ),
        (
            "control EXECUTION abort",
            "control_execution",
            json!({"execution_id": ENDED, "action": "abort"}),
            Equal,
            ("/error/code", "EXECUTION_ENDED"),
        ),
        (
            "control EXECUTION complete",
            "control_execution",
            json!({"execution_id": ENDED, "action": "complete"}),
            Equal,
            ("/status", "completed"),
        ),
        (
            "control EXECUTION pause",
            "control_execution",
            json!({"execution_id": ENDED, "action": "pause"}),
            Equal,
            ("/error/code", "EXECUTION_ENDED"),
        ),
        (
            "control EXECUTION resume",
            "control_execution",
            json!({"execution_id": ENDED, "action": "resume"}),
            Equal,
            ("/error/code", "EXECUTION_ENDED"),
        ),
        (
            "control EXECUTION set_breakpoints compose,end",
            "control_execution",
            json!({"execution_id": ENDED, "action": "set_breakpoints", "value": ["compose", "end"]}),
            Equal,
            ("/error/code", "EXECUTION_ENDED"),
        ),
        (
            "control EXECUTION set_output --node compose",
            "control_execution",
            json!({"execution_id": ENDED, "action": "set_output", "node": "compose"}),
            Equal,
            ("/error/code", "EXECUTION_ENDED"),
        ),
        (
            "control EXECUTION inspect --node compose",
            "control_execution",
            json!({"execution_id": ENDED, "action": "inspect", "node": "compose"}),
            Equal,
            ("/inspection/node/label", "compose"),
        ),
        (
            "control EXECUTION answer Hi --node compose",
            "control_execution",
            json!({"execution_id": ENDED, "action": "answer", "node": "compose", "value": "Hi"}),
            Equal,
            ("/error/code", "EXECUTION_ENDED"),
        ),
        (
            "control exec_00000000000000000000000000000000 abort",
            "control_execution",
            json!({"execution_id": NOBODYS, "action": "abort"}),
            Equal,
            ("/error/code", "EXECUTION_NOT_FOUND"),
        ),
        (
            "control EXECUTION abrot",
            "control_execution",
            json!({"execution_id": ENDED, "action": "abrot"}),
            Equal,
            ("/error/code", "INVALID_INPUT"),
        ),
        (
            "control exec_12 abort",
            "control_execution",
            json!({"execution_id": "exec_12", "action": "abort"}),
            Equal,
            ("/error/code", "INVALID_EXECUTION_ID"),
        ),
        (
            "replay EXECUTION",
            "control_execution",
            json!({"execution_id": ENDED, "action": "replay"}),
            EqualButForTheRun,
            ("/final_output", "Hello, world!"),
        ),
        (
            "replay exec_00000000000000000000000000000000",
            "control_execution",
            json!({"execution_id": NOBODYS, "action": "replay"}),
            Equal,
            ("/error/code", "EXECUTION_NOT_FOUND"),
        ),
        (
            "fork EXECUTION --from compose",
            "control_execution",
            json!({"execution_id": ENDED, "action": "fork", "node": "compose"}),
            EqualButForTheRun,
            ("/final_output", "Hello, world!"),
        ),
        (
            "fork EXECUTION --from compose --output compose=Hi",
            "control_execution",
            json!({"execution_id": ENDED, "action": "fork", "node": "compose", "value": {"output": "Hi"}}),
            EqualButForTheRun,
            ("/forked_from/node", "compose"),
        ),
        (
            "fork EXECUTION --from compse",
            "control_execution",
            json!({"execution_id": ENDED, "action": "fork", "node": "compse"}),
            Equal,
            ("/error/code", "NODE_NOT_FOUND"),
        ),
        (
            "diff EXECUTION EXECUTION",
            "control_execution",
            json!({"execution_id": ENDED, "action": "diff", "value": ENDED}),
            Equal,
            ("/a/status", "completed"),
        ),
        (
            "diff EXECUTION exec_00000000000000000000000000000000",
            "control_execution",
            json!({"execution_id": ENDED, "action": "diff", "value": NOBODYS}),
            Equal,
            ("/error/code", "EXECUTION_NOT_FOUND"),
        ),
        ("compile broken", "compile_diagram", json!({"content": BROKEN}), Equal, ("/format", "light")),
        ("compile greeting", "compile_diagram", json!({"content": HELLO}), Equal, ("/format", "light")),
        (
            "compile greeting --push-as ../x",
            "compile_diagram",
            json!({"content": HELLO, "push_as": "../x"}),
            Equal,
            ("/error/code", "INVALID_NAME"),
        ),
    ] {
        surfaces.compare(typed, tool, arguments, answers, pointer, value).await;
    }
}

struct Surfaces {
    workspace: Workspace,
    stdio: LibraryClient,
    http: LibraryClient,
    ended: String,
    server: HttpServer,
}

impl Surfaces {
    async fn start() -> Self {
        let workspace = workspace();
        for (name, text) in
            [("greeting", HELLO), ("asks", ASKS_CALLER), ("broken", BROKEN), ("fails", FAILS), ("takes", TAKES_INPUT)]
        {
            workspace.write(&format!("projects/{name}.light.yaml"), text);
        }
        let server = HttpServer::start(&workspace);
        let (stdio, http) = (LibraryClient::stdio(&workspace).await, LibraryClient::http(&server).await);
        let ran = stdio.call("dipeo_run", json!({"diagram": "greeting"})).await;
        let ended = ran["structuredContent"]["execution_id"].as_str().expect("an id").to_owned();
        Self { workspace, stdio, http, ended, server }
    }

    async fn compare(&self, typed: &str, tool: &str, arguments: Value, answers: Answers, pointer: &str, value: &str) {
        let typed = typed.replace(ENDED, &self.ended);
        let arguments: Value = parsed(&arguments.to_string().replace(ENDED, &self.ended));
        let normalised = |it: Value| if answers == Answers::Equal { it } else { without_the_run(&it) };
        let at_terminal = normalised(self.terminal(&typed).await);
        let over_stdio = self.stdio.call(tool, arguments.clone()).await;
        let over_http = self.http.call(tool, arguments.clone()).await;
        assert_eq!(over_stdio["isError"], over_http["isError"], "{typed}");
        assert_eq!(at_terminal.pointer(pointer), Some(&json!(value)), "{typed}: {at_terminal:#}");
        for (surface, result) in [("stdio", over_stdio), ("HTTP", over_http)] {
            let answer = normalised(result["structuredContent"].clone());
            let expected = as_a_model_reads(at_terminal.clone(), &answer);
            assert_eq!(answer, expected, "{typed}: {surface} and the command line differ");
        }
        let (status, over_rest) = self.rest(tool, &arguments).await;
        assert_eq!(status >= 400, at_terminal.get("error").is_some() && at_terminal.get("status").is_none(), "{typed}");
        assert_eq!(normalised(over_rest), at_terminal, "{typed}: REST and the command line differ");
        match over_graphql::asked(&self.server, tool, &arguments).await {
            Some(Answer::Whole(answer)) => {
                assert_eq!(normalised(answer), at_terminal, "{typed}: GraphQL and the command line differ");
            }
            Some(Answer::Part(fields)) => {
                let expected =
                    fields.keys().filter_map(|it| Some((it.clone(), at_terminal.get(it)?.clone()))).collect();
                let shown = fields.into_iter().filter(|(key, _)| at_terminal.get(key).is_some()).collect();
                assert_eq!(Value::Object(shown), Value::Object(expected), "{typed}: GraphQL says something else");
            }
            Some(Answer::Refusal(code, message)) => {
                let error = &at_terminal["error"];
                assert_eq!((&code, &message), (&error["code"], &error["message"]), "{typed}: GraphQL differs");
            }
            Some(Answer::Null) => assert_eq!(at_terminal["error"]["code"], "EXECUTION_NOT_FOUND", "{typed}"),
            None => {}
        }
    }

    /// What REST answers, without the name of the request.
    async fn rest(&self, tool: &str, arguments: &Value) -> (u16, Value) {
        let (method, path, body) = as_rest(tool, arguments);
        let mut request = self.server.http(method.parse().expect("a verb"), &path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the server answers");
        let status = response.status().as_u16();
        let mut answer: Value = response.json().await.expect("JSON");
        if let Some(error) = answer.get_mut("error").and_then(Value::as_object_mut) {
            error.remove("request_id");
        }
        (status, answer)
    }

    /// What the command line prints with `--json`.
    async fn terminal(&self, typed: &str) -> Value {
        let mut command = tokio::process::Command::from(self.workspace.command());
        let output = command.args(typed.split(' ')).arg("--json").output().await.expect("the program runs");
        parsed(&String::from_utf8(output.stdout).expect("UTF-8"))
    }
}

/// The call of a tool as a request of REST: verb, path, body.
fn as_rest(tool: &str, arguments: &Value) -> (&'static str, String, Option<Value>) {
    let text = |key: &str| arguments[key].as_str().unwrap_or_default();
    let of_execution = |part: &str| format!("/api/v1/executions/{}{part}", text("execution_id"));
    // The arguments under the names that REST has for them, without those that stand in the path.
    let body = |names: &[(&str, &str)], in_path: &[&str]| {
        let named = |(key, value): (&String, &Value)| {
            let name = names.iter().find(|it| it.0 == key).map_or(key.as_str(), |it| it.1);
            (!in_path.contains(&key.as_str())).then(|| (name.to_owned(), value.clone()))
        };
        arguments.as_object().into_iter().flatten().filter_map(named).collect::<serde_json::Map<_, _>>()
    };
    let waiting = |mut body: serde_json::Map<String, Value>| {
        body.insert("wait".into(), 20.into());
        Some(Value::Object(body))
    };
    match (tool, text("action")) {
        ("dipeo_run", _) => {
            let name = text("diagram").replace('/', "%2F");
            let body = body(&[("input_data", "variables")], &["diagram"]);
            ("POST", format!("/api/v1/diagrams/{name}/run"), waiting(body))
        }
        ("see_result", _) => {
            let query: Vec<String> = body(&[], &["execution_id"])
                .iter()
                .map(|(name, value)| format!("{name}={}", value.to_string().trim_matches('"')))
                .collect();
            ("GET", of_execution(&format!("?{}", query.join("&"))), None)
        }
        ("control_execution", "replay") => ("POST", of_execution("/replay"), waiting(serde_json::Map::new())),
        ("control_execution", "fork") => {
            let mut body = body(&[], &["execution_id", "action", "value"]);
            body.extend(arguments["value"].as_object().cloned().unwrap_or_default());
            ("POST", of_execution("/fork"), waiting(body))
        }
        ("control_execution", "diff") => ("GET", of_execution(&format!("/diff/{}", text("value"))), None),
        ("control_execution", _) => ("POST", of_execution("/control"), waiting(body(&[], &["execution_id"]))),
        ("compile_diagram", _) if arguments.get("push_as").is_some() => {
            let name = text("push_as").replace('/', "%2F");
            ("PUT", format!("/api/v1/diagrams/{name}"), Some(Value::Object(body(&[], &["push_as"]))))
        }
        _ => ("POST", "/api/v1/compile".to_owned(), Some(arguments.clone())),
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// What a model is not shown of an execution: what stands in it twice, times, counts.
const LEFT_OUT: [&str; 17] = [
    "session_id",
    "revision",
    "final_output",
    "executed_nodes_count",
    "messages_count",
    "last_message",
    "started_at",
    "ended_at",
    "duration_ms",
    "llm_usage",
    "recovered",
    "skipped_nodes",
    "parent_execution_id",
    "parent_relation",
    "children",
    "node_outputs",
    "exec_counts",
];

/// The command line's answer in the form that a model reads, which may say `answer`'s own things besides: the
/// notice, the next call without its command.
fn as_a_model_reads(at_terminal: Value, answer: &Value) -> Value {
    let Value::Object(whole) = at_terminal else { return at_terminal };
    if !whole.contains_key("execution_id") {
        let mut whole = whole;
        whole.extend(answer.get("data_notice").map(|it| ("data_notice".to_owned(), it.clone())));
        return Value::Object(whole);
    }
    let is_of_one_node = answer["nodes"].as_array().is_some_and(|it| it.len() == 1);
    let is_shown = |key: &str| {
        let is_left_out = LEFT_OUT.contains(&key) || key == "outputs" && is_of_one_node;
        !is_left_out || answer.get(key).is_some()
    };
    let mut shown: serde_json::Map<String, Value> = whole.into_iter().filter(|(key, _)| is_shown(key)).collect();
    for key in ["data_notice", "next"] {
        if let Some(own) = answer.get(key) {
            shown.insert(key.to_owned(), own.clone());
        }
    }
    if let Some(omitted) = shown.get_mut("omitted").and_then(Value::as_array_mut) {
        // To make room the command line's answer gave up what a model is never shown.
        omitted.retain(|it| !LEFT_OUT.contains(&it["what"].as_str().unwrap_or_default()));
        if omitted.is_empty() {
            shown.remove("omitted");
        }
    }
    if let Some(error) = shown.get_mut("error").and_then(Value::as_object_mut) {
        error.remove("retryable");
        if error.contains_key("type") {
            let said = error.insert("message".into(), answer["error"]["message"].clone()).expect("a message");
            error.insert("said".into(), said);
        }
    }
    let lists = [shown.get("nodes").cloned(), shown.get("conversation").cloned(), shown.get("waiting_for").cloned()];
    for (key, list) in ["nodes", "conversation", "waiting_for"].into_iter().zip(lists) {
        if let Some(mut list) = list {
            without_what_is_left_out(&mut list, &answer[key]);
            shown.insert(key.to_owned(), list);
        }
    }
    Value::Object(shown)
}

/// Of the entries of a list a model is shown fewer fields.
fn without_what_is_left_out(list: &mut Value, answer: &Value) {
    const OF_ENTRIES: [&str; 6] = ["output", "since", "id", "to", "person_id", "timestamp"];
    for (at, entry) in list.as_array_mut().into_iter().flatten().enumerate() {
        let Some(entry) = entry.as_object_mut() else { continue };
        entry.retain(|key, _| !OF_ENTRIES.contains(&key.as_str()) || answer[at].get(key).is_some());
    }
}

/// The answer with what belongs to one run alone taken out; that it was there still shows.
fn without_the_run(answer: &Value) -> Value {
    let id = answer["execution_id"].as_str().unwrap_or_else(|| panic!("no run: {answer:#}"));
    let mut answer = parsed(&answer.to_string().replace(id, "ID"));
    blank(&mut answer);
    answer
}

fn blank(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if OF_ONE_RUN.contains(&key.as_str()) { *value = "…".into() } else { blank(value) }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(blank),
        _ => {}
    }
}
