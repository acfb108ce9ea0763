//! A secret is used and found nowhere again: not in the database, not in files, not in what is printed.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::harness::{self, Workspace};

const PLAIN: &str = "c4n4ry-plain-93";
/// Encodings write it differently.
const ODD: &str = "c4n4ry \"odd\"/+ü\\93";

/// Everything a diagram can do with a secret that comes back: publish it, save it, fail with it, say it.
const DIAGRAM: &str = r#"
version: light
persons:
  Echo: {service: scripted}
nodes:
- {label: s, type: start}
- label: call
  type: api_job
  method: POST
  url: "{{base}}/echo?q=${secret:PLAIN}"
  headers: {X-Odd: "${secret:PLAIN}!"}
  params: {odd: "${secret:ODD}"}
  body: {odd: "${secret:ODD}", list: ["Bearer ${secret:PLAIN}"]}
  auth_type: basic
  auth_config: {username: ann, password: "${secret:PLAIN}"}
- {label: fails, type: api_job, url: "{{base}}/fail?q=${secret:PLAIN}", headers: {X-Odd: "${secret:PLAIN}"}, on_error: continue, retry: {max_attempts: 2, delay_ms: 1}}
- {label: shell, type: hook, command: "echo $TOKEN; echo $TOKEN >&2", env: {TOKEN: "${secret:PLAIN}"}}
- {label: says, type: hook, command: "echo bad $TOKEN >&2; exit 2", env: {TOKEN: "${secret:ODD}"}, on_error: continue}
- {label: talk, type: person_job, person: Echo, default_prompt: "It said {{call}}", max_iteration: 1}
- {label: code, type: code_job, code: "print(call)\nresult = str(call)"}
- {label: ask, type: user_response, prompt: "Is {{call}} fine?"}
- {label: save, type: endpoint, save_to_file: true, file_path: files/out/all.json}
connections:
- {from: s, to: call}
- {from: s, to: fails}
- {from: s, to: shell}
- {from: s, to: says}
- {from: call, to: talk, label: call}
- {from: call, to: code, label: call}
- {from: call, to: ask, label: call}
- {from: call, to: save, label: call}
- {from: "fails[error]", to: save, label: failed}
- {from: "says[error]", to: save, label: said}
- {from: shell, to: save, label: shell}
- {from: talk, to: save, label: talk}
- {from: code, to: save, label: code}
- {from: ask, to: save, label: asked}
"#;

/// Answers with everything it was sent.
async fn echo() -> MockServer {
    let server = MockServer::start().await;
    let answer = |request: &Request| {
        let headers: Vec<String> = request
            .headers
            .iter()
            .map(|(name, it)| format!("{name}: {}", String::from_utf8_lossy(it.as_bytes())))
            .collect();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let said = json!({
            "url": request.url.as_str(), "headers": headers, "body": body,
            "query": request.url.query_pairs().map(|(_, it)| it.into_owned()).collect::<Vec<_>>(),
            "inside": String::from_utf8_lossy(&request.body),
        });
        let status = if request.url.path() == "/fail" { 503 } else { 200 };
        let echoed = request.headers.get("x-odd").cloned();
        let answer = ResponseTemplate::new(status).set_body_json(said);
        match echoed {
            Some(value) => answer.insert_header("x-echo", value),
            None => answer,
        }
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

fn set(workspace: &Workspace, name: &str, value: &str) {
    let mut child = workspace
        .command()
        .args(["secrets", "set", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("stored {name}"));
}

/// Every place below `folder` whose bytes have a trace of a secret.
fn traces(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(traces(&path));
        } else if has_trace(&std::fs::read(&path).expect("readable")) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn has_trace(bytes: &[u8]) -> bool {
    // The password of the basic auth, as the header has it.
    let text = String::from_utf8_lossy(bytes);
    text.contains("c4n4ry") || text.contains("YW5uOmM0bjRyeS1wbGFpbi05Mw")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_comes_back_is_nowhere_afterwards() {
    let server = echo().await;
    let workspace = harness::workspace();
    workspace.write("d.light.yaml", DIAGRAM);
    set(&workspace, "PLAIN", &format!("{PLAIN}\n"));
    set(&workspace, "ODD", ODD);
    let base = format!("base={}", server.uri());
    let run = ["run", "d.light.yaml", "--input", &base, "--json", "--debug", "--watch", "--no-interactive"];
    let output = workspace.command().args(run).output().expect("runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let object: Value = serde_json::from_str(&shown).unwrap_or_else(|e| panic!("{e}: {shown}"));
    let id = object["execution_id"].as_str().expect("an id").to_owned();
    let answered = workspace.command().args(["control", &id, "answer", "yes", "--node", "ask"]).output();
    assert!(answered.expect("runs").status.success());
    let finished = workspace.command().args(["results", &id, "--wait", "60", "--verbose", "--json"]).output();
    let finished = finished.expect("runs");
    let full: Value = serde_json::from_slice(&finished.stdout).expect("JSON");
    assert_eq!(full["status"], "completed", "{full:#}");
    // The server did get them, and what it said of them did come through.
    let sent = server.received_requests().await.expect("recorded");
    assert!(sent.iter().any(|it| it.url.query_pairs().any(|(_, it)| it == ODD)), "the server was sent the secret");
    let saved = std::fs::read_to_string(workspace.root().join("files/out/all.json")).expect("saved");
    for part in ["Bearer ***", "x-odd: ***!", "bad ***", "\"shell\": \"***\"", "authorization: Basic ***"] {
        assert!(saved.contains(part), "{part} in {saved}");
    }
    for (what, bytes) in [
        ("stdout", &output.stdout),
        ("stderr", &output.stderr),
        ("results", &finished.stdout),
        ("stderr of results", &finished.stderr),
    ] {
        assert!(!has_trace(bytes), "{what}: {}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(traces(workspace.root()), Vec::<String>::new());

    // A replay needs neither the server nor the secrets, and shows them as little.
    drop(server);
    for name in ["PLAIN", "ODD"] {
        let removed = workspace.command().args(["secrets", "rm", name]).output().expect("runs");
        assert!(removed.status.success());
    }
    let replayed = workspace.command().args(["replay", &id]).output().expect("runs");
    let shown = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert_eq!(replayed.status.code(), Some(0), "{shown}");
    assert!(shown.contains("equal: ") && !has_trace(&replayed.stdout), "{shown}");
    assert_eq!(traces(workspace.root()), Vec::<String>::new());
}

#[test]
fn secrets_are_stored_listed_removed_and_imported_without_showing_them() {
    let workspace = harness::workspace();
    set(&workspace, "ONE", "c4n4ry-one");
    let keys = json!({
        "APIKEY_1": {"id": "APIKEY_1", "label": "mine", "service": "openai", "key": "c4n4ry-two"},
        "two words": {"key": "c4n4ry-three"},
        "APIKEY_2": {"label": "no key"},
    });
    workspace.write("apikeys.json", &keys.to_string());
    let call = |arguments: &[&str]| {
        let output = workspace.command().arg("secrets").args(arguments).output().expect("runs");
        assert!(!has_trace(&output.stdout) && !has_trace(&output.stderr), "{arguments:?}");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = call(&["import", "apikeys.json", "--json"]);
    let imported: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &imported["stored"]), (Some(0), &json!(["APIKEY_1"])));
    assert_eq!(imported["skipped"].as_array().map(Vec::len), Some(2), "{imported}");
    let (_, text) = call(&["list", "--json"]);
    let listed: Value = serde_json::from_str(&text).expect("JSON");
    let names: Vec<_> =
        listed["secrets"].as_array().into_iter().flatten().map(|it| (&it["name"], &it["service"])).collect();
    assert_eq!(names, [(&json!("APIKEY_1"), &json!("openai")), (&json!("ONE"), &Value::Null)]);
    assert_eq!(call(&["rm", "ONE"]).0, Some(0));
    assert_eq!(call(&["rm", "ONE"]).0, Some(3));
    for (name, value, expected) in [("1st", "long enough", Some(2)), ("A", "abc", Some(2)), ("A", " \n", Some(2))] {
        let mut command = workspace.command();
        let mut child =
            command.args(["secrets", "set", name]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("written");
        assert_eq!(child.wait().expect("ends").code(), expected, "{name} {value}");
    }
}
