//! Keys of a real run: no output, log or database has them.

use std::path::Path;

use serde_json::json;

use super::{CANARY, answers, server};
use crate::harness::workspace;

const DIAGRAM: &str = "version: light
persons:
  Ann: {service: openai, model: m}
nodes:
- {label: start, type: start}
- {label: say, type: person_job, person: Ann, default_prompt: hi, max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: say}
- {from: say, to: end}
";

fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path().is_dir() {
            true => files(&entry.path(), found),
            false => found.push(std::fs::read(entry.path()).expect("a file")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_in_no_output_log_or_database() {
    let server = server(answers(401, json!({"error": {"message": format!("bad key {CANARY}")}}))).await;
    let workspace = workspace();
    workspace.write("key.light.yaml", DIAGRAM);
    let mut command = workspace.command();
    command.args(["run", "key.light.yaml", "--json", "--debug"]);
    command.env("OPENAI_API_KEY", CANARY).env("OPENAI_BASE_URL", server.uri());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it ends");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("refused the key (status 401)"), "{text}");
    assert!(!text.contains(CANARY), "the key is shown: {text}");
    let mut kept = Vec::new();
    files(&workspace.root().join(".dipeo"), &mut kept);
    assert!(!kept.is_empty(), "the run has a database");
    for bytes in kept {
        assert!(!bytes.windows(CANARY.len()).any(|it| it == CANARY.as_bytes()), "the key is kept");
    }
}
