//! What a client with bad intentions, or none at all, sends. Each piece gets a clear answer with its code; the
//! server goes on serving, stays small, and nothing outside the workspace is shown or changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Workspace, workspace};
use crate::mcp_client::{HELLO, HttpServer, StdioClient, call, modern_meta};

/// Most memory a server may have used at the end.
const MEMORY_BYTES_MAX: u64 = 300_000_000;
/// Stands outside the workspace and must never be seen in an answer.
const SECRET: &str = "canary-7f3a";

/// A server and something outside its workspace that it must leave alone.
struct Besieged {
    workspace: Workspace,
    client: StdioClient,
    outside: BTreeMap<PathBuf, Vec<u8>>,
}

impl Besieged {
    fn start() -> Self {
        let workspace = workspace();
        let outside = outside(&workspace);
        std::fs::create_dir(&outside).expect("made");
        std::fs::write(outside.join("secret.txt"), SECRET).expect("written");
        std::fs::write(outside.join("secret.json"), format!("{{\"{SECRET}\": 1}}")).expect("written");
        workspace.write("files/inside.txt", "inside");
        workspace.write("projects/greeting.light.yaml", HELLO);
        link(&outside, &workspace.root().join("files/folder"));
        link(&outside.join("secret.txt"), &workspace.root().join("files/leak.txt"));
        link(&outside.join("new.txt"), &workspace.root().join("files/dangling.txt"));
        link(&outside.join("secret.txt"), &workspace.root().join("projects/leak.light.yaml"));
        let client = StdioClient::start(&workspace);
        let outside = snapshot(&outside);
        Self { workspace, client, outside }
    }

    /// Calls a tool, and returns every code in its answer.
    fn codes(&mut self, tool: &str, arguments: Value) -> Vec<String> {
        let result = self.client.call(tool, arguments);
        assert!(!result.to_string().contains(SECRET), "{tool}: {result:#}");
        let answer = match result.get("structuredContent") {
            Some(answer) => answer.clone(),
            None => serde_json::from_str(result["content"][0]["text"].as_str().expect("text")).expect("JSON"),
        };
        let mut codes = Vec::new();
        collect_codes(&answer, &mut codes);
        codes
    }

    fn expect(&mut self, name: &str, tool: &str, arguments: Value, expected: &str) {
        let codes = self.codes(tool, arguments);
        assert!(codes.iter().any(|it| it == expected), "{name}: {expected} is not in {codes:?}");
    }

    /// The server is alive and small, and what is outside is as it was.
    fn survived(mut self) {
        let run = self.client.call("dipeo_run", json!({"content": HELLO}));
        assert_eq!(run["structuredContent"]["outputs"]["end"], "Hello, world!", "{run:#}");
        small(self.client.peak_memory_bytes());
        assert_eq!(snapshot(&outside(&self.workspace)), self.outside);
    }
}

fn small(peak: Option<u64>) {
    if let Some(peak) = peak {
        assert!(peak < MEMORY_BYTES_MAX, "the server used {peak} bytes");
    }
}

fn outside(workspace: &Workspace) -> PathBuf {
    workspace.home().parent().expect("a folder").join("outside")
}

fn link(target: &Path, name: &Path) {
    std::os::unix::fs::symlink(target, name).expect("linked");
}

fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|it| it.expect("an entry").path());
    entries.map(|it| (it.clone(), std::fs::read(it).expect("a file"))).collect()
}

fn collect_codes(value: &Value, codes: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            codes.extend(map.get("code").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|it| collect_codes(it, codes));
        }
        Value::Array(list) => list.iter().for_each(|it| collect_codes(it, codes)),
        _ => {}
    }
}

/// A diagram of one node between a start and an endpoint, as JSON, which is YAML.
fn around(mut node: Value, start: Value) -> String {
    let is_end = node["type"] == "endpoint";
    let from = if node["type"] == "condition" { "it[condtrue]" } else { "it" };
    node["label"] = "it".into();
    let mut nodes = vec![json!({"label": "start", "type": "start", "custom_data": start}), node];
    let mut connections = vec![json!({"from": "start", "to": "it"})];
    if !is_end {
        nodes.push(json!({"label": "end", "type": "endpoint"}));
        connections.push(json!({"from": from, "to": "end"}));
    }
    let persons = json!({"Ann": {"service": "scripted", "replies": ["yes"]}});
    json!({"version": "light", "persons": persons, "nodes": nodes, "connections": connections}).to_string()
}

// --- texts ---------------------------------------------------------------------------------------------------

fn alias_bomb() -> String {
    let mut text = String::from("version: light\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let items = vec![format!("*a{}", i - 1); 10].join(", ");
        writeln!(text, "a{i}: &a{i} [{items}]").expect("written");
    }
    text + "nodes: [{label: s, type: start, custom_data: {x: *a11}}]\n"
}

fn many_nodes(n_nodes: usize) -> String {
    let nodes: String = (0..n_nodes).map(|i| format!("- {{label: n{i}, type: start}}\n")).collect();
    format!("version: light\nnodes:\n{nodes}connections: []\n")
}

/// Nodes joined at random, the same way each time.
fn garbage(n_nodes: u64, n_connections: u64, seed: u64) -> String {
    let mut text = String::from("version: light\nnodes:\n- {label: n0, type: start}\n");
    for i in 1..n_nodes {
        writeln!(text, "- {{label: n{i}, type: template_job, template_content: x}}").expect("written");
    }
    text.push_str("connections:\n- {from: n0, to: n1}\n");
    let mut state = seed;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    for i in 0..n_connections {
        let (from, to) = (1 + below(n_nodes - 1), 1 + below(n_nodes - 1));
        writeln!(text, "- {{from: n{from}, to: n{to}, label: c{i}}}").expect("written");
    }
    text
}

#[test]
fn texts_that_are_no_diagrams_are_refused_with_their_code() {
    let mut besieged = Besieged::start();
    for (name, text, code) in [
        ("an open bracket", "nodes: [\n- {".to_owned(), "E101"),
        ("a tab", "nodes:\n\t- {label: a}".to_owned(), "E101"),
        ("nothing", String::new(), "E102"),
        ("a NUL", "nodes: \0".to_owned(), "E101"),
        ("a list", "[1, 2]".to_owned(), "E102"),
        ("an alias bomb", alias_bomb(), "E104"),
        ("10,000 nodes", many_nodes(10_000), "E104"),
        ("2,000 nodes", many_nodes(2_000), "E104"),
        ("deep lists", format!("nodes: {}{}", "[".repeat(100_000), "]".repeat(100_000)), "E104"),
        ("deep mappings", format!("nodes: {}1{}", "{a: ".repeat(50_000), "}".repeat(50_000)), "E104"),
        ("deep blocks", (0..1_000).fold(String::new(), |it, i| it + &" ".repeat(i) + "a:\n"), "E104"),
        ("open lists", "[".repeat(500_000), "E104"),
        ("2 MB", format!("version: light\nname: {}\n", "x".repeat(2_000_000)), "E104"),
    ] {
        for tool in ["compile_diagram", "dipeo_run"] {
            besieged.expect(&format!("{name}, {tool}"), tool, json!({"content": text}), code);
        }
    }
    besieged.survived();
}

#[test]
fn random_graphs_full_of_cycles_come_to_an_end() {
    let mut besieged = Besieged::start();
    for (seed, n_connections) in [(1, 300), (2, 400), (3, 600), (4, 1_200)] {
        let arguments = json!({"content": garbage(300, n_connections, seed), "wait_seconds": 25});
        let answer = besieged.client.call("dipeo_run", arguments)["structuredContent"].clone();
        let codes = ["NODE_LIMIT", "ITERATION_LIMIT", "INVALID_DIAGRAM"];
        let is_end = answer["status"] == "completed" || codes.iter().any(|it| answer["error"]["code"] == *it);
        assert!(is_end, "seed {seed}: {} {}", answer["status"], answer["error"]);
    }
    besieged.survived();
}

#[test]
fn a_hundred_megabytes_are_refused_before_they_are_kept() {
    let mut besieged = Besieged::start();
    let path = besieged.workspace.root().join("projects/huge.light.yaml");
    std::fs::File::create(&path).and_then(|it| it.set_len(100_000_000)).expect("made");
    besieged.expect("a name", "dipeo_run", json!({"diagram": "huge"}), "TOO_LARGE");
    besieged.expect("a resource", "fetch", json!({"id": "dipeo://diagrams/huge"}), "TOO_LARGE");
    for arguments in [["run", "projects/huge.light.yaml"], ["compile", "projects/huge.light.yaml"]] {
        let output = besieged.workspace.command().args(arguments).arg("--json").output().expect("runs");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((&answer["error"]["code"], output.status.code()), (&json!("TOO_LARGE"), Some(5)));
    }
    // A line that is too long is dropped as it comes; it has no id that an answer could carry.
    let content = "x".repeat(100_000_000);
    besieged.client.write(
        &json!({"jsonrpc": "2.0", "id": 900, "method": "tools/call", "params":
        {"name": "dipeo_run", "arguments": {"content": content}, "_meta": modern_meta()}})
        .to_string(),
    );
    besieged.survived();
}

// --- code ----------------------------------------------------------------------------------------------------

#[test]
fn hostile_code_of_a_submitted_diagram_fails_alone() {
    let mut besieged = Besieged::start();
    let python = |code: &str| json!({"type": "code_job", "timeout": 1, "code": code});
    let other =
        |language: &str, code: &str| json!({"type": "code_job", "timeout": 1, "language": language, "code": code});
    let jinja = |text: &str| json!({"type": "template_job", "timeout": 2, "template_content": text});
    let slow =
        |language: &str, code: &str| json!({"type": "code_job", "timeout": 30, "language": language, "code": code});
    let condition = |text: &str| json!({"type": "condition", "timeout": 1, "expression": text});
    for (name, node, code) in [
        ("endless loop", python("while True:\n    pass"), "NODE_TIMEOUT"),
        ("memory at once", python("result = 'a' * 10**10"), "CODE_FAILED"),
        ("memory by and by", python("x = []\nwhile True:\n    x.append('a' * 100000)"), "CODE_FAILED"),
        ("a power", python("result = 10 ** 10 ** 10"), "CODE_FAILED"),
        ("deep recursion", python("def f(n):\n    return f(n + 1)\nresult = f(0)"), "CODE_FAILED"),
        ("deep nesting", python(&format!("result = {}1{}", "(".repeat(20_000), ")".repeat(20_000))), "E603"),
        ("a huge result", python("result = 'x' * 20_000_000"), "CODE_FAILED"),
        ("huge prints", slow("python", "while True:\n    print('x' * 100_000)"), "CODE_FAILED"),
        ("an import", python("import os\nresult = os.listdir('/')"), "E701"),
        ("a hidden import", python("result = __import__('os').listdir('/')"), "E701"),
        ("open", python("result = open('/etc/passwd').read()"), "E701"),
        ("bash", other("bash", "cat /etc/passwd"), "E701"),
        ("endless JavaScript", other("javascript", "while (true) {}"), "NODE_TIMEOUT"),
        (
            "JavaScript memory",
            slow("javascript", "let x = []; while (true) x.push(new Uint8Array(10000000))"),
            "CODE_FAILED",
        ),
        ("a JavaScript text", slow("javascript", "let s = 'x'; while (true) s += s"), "CODE_FAILED"),
        ("JavaScript recursion", other("javascript", "function f() { return f() + 1 } result = f()"), "CODE_FAILED"),
        ("require", other("javascript", "result = require('fs').readdirSync('/')"), "E701"),
        (
            "an endless template",
            jinja(
                "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{% endfor %}{% endfor %}{% endfor %}",
            ),
            "TEMPLATE_FAILED",
        ),
        ("a huge range", jinja("{% for a in range(1000000000) %}x{% endfor %}"), "TEMPLATE_FAILED"),
        ("a huge text", jinja("{{ 'x' * 1000000000 }}"), "TEMPLATE_FAILED"),
        ("a template that calls itself", jinja("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), "TEMPLATE_FAILED"),
        ("an include", jinja("{% include '/etc/passwd' %}"), "TEMPLATE_FAILED"),
        ("a condition", condition("len('a' * 10 ** 10) > 1"), "EXPRESSION_FAILED"),
        ("a deep condition", condition(&format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000))), "E601"),
    ] {
        let diagram = around(node, json!({}));
        besieged.expect(name, "dipeo_run", json!({"content": diagram, "format_type": "light"}), code);
    }
    besieged.survived();
}

// --- paths ---------------------------------------------------------------------------------------------------

#[test]
fn no_file_field_leads_out_of_the_workspace() {
    let mut besieged = Besieged::start();
    let absolute = outside(&besieged.workspace).join("secret.txt").display().to_string();
    let paths = [
        "../outside/secret.txt",
        "files/../../outside/secret.txt",
        &absolute,
        "/etc/passwd",
        "files/inside.txt\0",
        "files/folder/secret.txt",
        "files/folder/secret.json",
        "files/folder/new.txt",
        "files/leak.txt",
        "files/dangling.txt",
        ".dipeo/dipeo.toml",
    ];
    // The field, the node, whether the field is a template, and what says no to a path written out. A name that
    // is found by search gives only "not there".
    for (field, node, is_template, code) in [
        ("file", json!({"type": "db", "operation": "read"}), true, "PATH_NOT_ALLOWED"),
        ("file", json!({"type": "db", "operation": "write"}), true, "PATH_NOT_ALLOWED"),
        ("file", json!({"type": "db", "operation": "append"}), true, "PATH_NOT_ALLOWED"),
        ("file", json!({"type": "db", "operation": "update", "keys": "p"}), true, "PATH_NOT_ALLOWED"),
        ("file_path", json!({"type": "endpoint", "save_to_file": true}), true, "PATH_NOT_ALLOWED"),
        ("file_path", json!({"type": "code_job"}), true, "PATH_NOT_ALLOWED"),
        ("template_path", json!({"type": "template_job"}), true, "PATH_NOT_ALLOWED"),
        ("output_path", json!({"type": "template_job", "template_content": "x"}), true, "PATH_NOT_ALLOWED"),
        ("schema_path", json!({"type": "json_schema_validator"}), true, "PATH_NOT_ALLOWED"),
        ("data_path", json!({"type": "json_schema_validator", "json_schema": {}}), true, "PATH_NOT_ALLOWED"),
        ("prompt_file", json!({"type": "person_job", "person": "Ann"}), false, "E504"),
        ("first_prompt_file", json!({"type": "person_job", "person": "Ann"}), false, "E504"),
        (
            "text_format_file",
            json!({"type": "person_job", "person": "Ann", "default_prompt": "x"}),
            false,
            "PATH_NOT_ALLOWED",
        ),
    ] {
        for path in paths {
            for written in [path, "{p}"].into_iter().take(1 + usize::from(is_template)) {
                let mut node = node.clone();
                node[field] = written.into();
                let diagram = around(node, json!({"p": path}));
                besieged.workspace.write("projects/attack.light.yaml", &diagram);
                for arguments in [json!({"content": diagram, "format_type": "light"}), json!({"diagram": "attack"})] {
                    let codes = besieged.codes("dipeo_run", arguments);
                    let is_refused = codes.iter().any(|it| it == code || written == path && it == "E702");
                    assert!(is_refused, "{diagram}: {codes:?}");
                }
            }
        }
    }
    for path in paths {
        let persons = json!({"Ann": {"service": "scripted", "replies": ["yes"], "prompt_file": path}});
        let node = json!({"type": "person_job", "person": "Ann", "default_prompt": "x"});
        let mut diagram: Value = serde_json::from_str(&around(node, json!({}))).expect("JSON");
        diagram["persons"] = persons;
        let arguments = json!({"content": diagram.to_string(), "format_type": "light"});
        let refused = besieged.client.call("dipeo_run", arguments.clone())["structuredContent"]["error"].clone();
        let hint = refused["hint"].as_str().expect("a hint");
        assert!(hint.contains("inside the workspace") || hint.contains("looked for files/"), "{path}: {hint}");
        let code = if hint.contains("inside the workspace") { "E702" } else { "E504" };
        besieged.expect(path, "dipeo_run", arguments, code);
    }
    besieged.survived();
}

#[test]
fn no_name_or_address_leads_out_of_the_workspace() {
    let mut besieged = Besieged::start();
    let absolute = outside(&besieged.workspace).join("secret.txt").display().to_string();
    for path in [
        "../outside/secret",
        "../outside/secret.txt",
        "a/../../outside/secret.txt",
        &absolute,
        "..",
        "greeting\0",
        ".dipeo/x",
    ] {
        besieged.expect(path, "dipeo_run", json!({"diagram": path}), "INVALID_NAME");
        besieged.expect(path, "dipeo_run", json!({"diagram": format!("dipeo://diagrams/{path}")}), "INVALID_NAME");
        besieged.expect(path, "compile_diagram", json!({"content": HELLO, "push_as": path}), "INVALID_NAME");
        for id in [
            path.to_owned(),
            format!("dipeo://diagrams/{path}"),
            format!("dipeo://guide/{path}"),
            format!("file://{path}"),
            format!("dipeo://executions/{path}"),
        ] {
            besieged.expect(&id, "fetch", json!({"id": id}), "RESOURCE_NOT_FOUND");
            let read = besieged.client.request("resources/read", json!({"uri": id}));
            assert_eq!(read["error"]["code"], -32602, "{id}: {read}");
            assert!(!read.to_string().contains(SECRET), "{id}: {read}");
        }
    }
    besieged.expect("a link", "dipeo_run", json!({"diagram": "leak"}), "DIAGRAM_NOT_FOUND");
    besieged.expect("a link", "fetch", json!({"id": "dipeo://diagrams/leak"}), "RESOURCE_NOT_FOUND");
    besieged.survived();
}

#[test]
fn a_diagram_is_not_saved_through_a_link() {
    let mut besieged = Besieged::start();
    let root = besieged.workspace.root();
    std::fs::create_dir_all(root.join("projects/mcp-diagrams")).expect("made");
    link(&outside(&besieged.workspace), &root.join("projects/mcp-diagrams/team"));
    for name in ["team/review", "team/secret"] {
        besieged.expect(name, "compile_diagram", json!({"content": HELLO, "push_as": name}), "PATH_NOT_ALLOWED");
        besieged.expect(name, "dipeo_run", json!({"diagram": name}), "DIAGRAM_NOT_FOUND");
    }
    besieged.survived();
}

// --- the protocol --------------------------------------------------------------------------------------------

#[test]
fn arguments_of_all_wrong_kinds_are_answered_at_once() {
    let mut besieged = Besieged::start();
    for (tool, arguments, parts) in [
        (
            "dipeo_run",
            json!({"contnt": "x", "wait_seconds": -1, "models": []}),
            &["`content`?", "at least 0", "of type string"][..],
        ),
        ("see_result", json!({"execution": "x", "detail": "all"}), &["`execution_id` is missing", "must be one of"]),
        ("control_execution", json!({"acton": "abort"}), &["`action`?", "`execution_id` is missing"]),
        ("compile_diagram", json!({"content": 5, "pushas": "x"}), &["of type string", "`push_as`?"]),
        ("search", json!({"query": {}, "qery": 1}), &["of type string", "`query`?"]),
        ("fetch", json!({"id": [], "idd": 1}), &["of type string", "`id`?"]),
    ] {
        let result = besieged.client.call(tool, arguments);
        let text = result["content"][0]["text"].as_str().expect("text");
        let missing: Vec<_> = parts.iter().filter(|it| !text.contains(**it)).collect();
        assert!(text.contains("INVALID_INPUT") && missing.is_empty(), "{tool}: {missing:?} are not in {text}");
    }
    let unknown = besieged.client.request("tools/call", call("dipeo_rum", json!({})));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    assert!(unknown["error"].to_string().contains("dipeo_run"), "{unknown}");
    besieged.survived();
}

#[tokio::test]
async fn bodies_that_are_no_requests_get_an_error_and_the_server_goes_on() {
    let workspace = workspace();
    let server = HttpServer::start(&workspace);
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for (name, body, status, code) in [
        ("not JSON", "{".to_owned(), 400, json!(-32700)),
        ("not UTF-8", "\"\u{fffd}".to_owned(), 400, json!(-32700)),
        ("nothing", String::new(), 400, json!(-32700)),
        ("a batch", format!("[{request},{request}]"), 400, json!(-32600)),
        ("no method", r#"{"jsonrpc":"2.0","id":1}"#.to_owned(), 400, json!(-32600)),
        ("a number as method", r#"{"jsonrpc":"2.0","id":1,"method":5}"#.to_owned(), 400, json!(-32600)),
        ("a list as id", r#"{"jsonrpc":"2.0","id":[],"method":"tools/list"}"#.to_owned(), 400, json!(-32600)),
        ("a text", r#""tools/list""#.to_owned(), 400, json!(-32600)),
        ("another version", r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#.to_owned(), 400, json!(-32600)),
        ("deep JSON", "[".repeat(1_000_000), 400, json!(-32700)),
        ("100 MB", "x".repeat(100_000_000), 413, json!("TOO_LARGE")),
    ] {
        for path in ["/mcp", "/mcp/messages"] {
            let sent = server
                .http(Method::POST, path)
                .header("accept", "application/json, text/event-stream")
                .header("content-type", "application/json")
                .body(body.clone())
                .send()
                .await;
            // A server may also close the connection before it has read everything.
            let Ok(response) = sent else { continue };
            let got = response.status().as_u16();
            let answer: Value = response.json().await.unwrap_or_default();
            assert_eq!((got, &answer["error"]["code"]), (status, &code), "{name}, {path}: {answer}");
        }
    }
    let run = server.call("dipeo_run", json!({"content": HELLO})).await;
    assert_eq!(run["structuredContent"]["status"], "completed");
    small(server.peak_memory_bytes());
}

#[test]
fn lines_that_are_no_requests_do_not_end_the_conversation() {
    let mut besieged = Besieged::start();
    besieged.client.request("tools/list", json!({}));
    let deep = "[".repeat(1_000_000);
    for line in [
        "",
        "not JSON",
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#,
        r#"{"jsonrpc":"2.0","method":5}"#,
        r#"{"jsonrpc":"2.0","id":{},"result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/nothing","params":[]}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}"#,
        "\u{0}\u{1}",
        "42",
        &deep,
    ] {
        besieged.client.write(line);
        let id = besieged.client.send("tools/list", json!({}));
        let mut answer = besieged.client.read();
        if answer.get("error").is_some() {
            // It has no id: there was none to be read.
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(-32600)), "{line:.60}");
            answer = besieged.client.read();
        }
        assert_eq!(answer["id"], id, "{line:.60}: {answer}");
    }
    besieged.survived();
}
