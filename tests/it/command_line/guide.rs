//! Every command and flag of the guide, typed as it stands there.

use std::process::Stdio;

use serde_json::Value;

use super::{words, workspace};
use crate::harness::Workspace;

const ID: &str = "exec_0123456789abcdef0123456789abcdef";

/// In this order, in one workspace: later lines look at what earlier ones did. The exit code, and a text that stands on
/// stdout. `ID` is the execution of the first line, `<` gives a file as stdin.
const LINES: &[(&str, u8, &str)] = &[
    ("dipeo run projects/review.light.yaml --light --execution-id ID", 0, "result:\na is 1"),
    ("dipeo run projects/review --light --debug", 0, "completed in"),
    ("dipeo run review --timeout 40", 0, "completed in"),
    ("dipeo run review --timeout=40 --no-interactive", 0, "completed in"),
    ("dipeo run review --inputs inputs.json", 0, "a is 1"),
    ("dipeo run review --input-data '{\"a\": 2}'", 0, "a is 1"),
    ("dipeo run review --simple", 0, "completed\na is 1"),
    ("dipeo run review --timing", 0, "timing"),
    ("dipeo run review --mode mock", 0, "completed in"),
    ("dipeo run review --mode debug --break make", 0, "paused: breakpoint"),
    ("dipeo run review --models caller --strict", 0, "completed in"),
    ("dipeo run review --idempotency-key k --watch", 0, "completed in"),
    ("dipeo run review --idempotency-key k --no-watch", 0, "completed in"),
    ("dipeo run projects/review.light.yaml --native", 2, ""),
    ("dipeo run review --background", 0, "\"status\":\"started\""),
    ("dipeo results", 0, "executions"),
    ("dipeo results --status completed --diagram review --limit 2", 0, "2 of"),
    ("dipeo results ID", 0, "a is 1"),
    ("dipeo results ID --verbose", 0, "make (template_job)"),
    ("dipeo results ID --node make --max-chars 1000", 0, "make"),
    ("dipeo results ID --messages", 0, "0 messages"),
    ("dipeo results ID --logs", 0, "node_completed"),
    ("dipeo results ID --logs --since 3", 0, "execution_completed"),
    ("dipeo results ID --follow", 0, "execution_completed"),
    ("dipeo results ID --wait", 0, "completed"),
    ("dipeo results --latest --wait 5", 0, ""),
    ("dipeo results exec_1", 2, ""),
    ("dipeo results exec_00000000000000000000000000000000", 3, ""),
    ("dipeo metrics ID", 0, "critical path"),
    ("dipeo metrics --latest", 0, "bottlenecks"),
    ("dipeo metrics --diagram review", 0, "on average"),
    ("dipeo metrics ID --breakdown", 0, "queue"),
    ("dipeo metrics ID --bottlenecks --optimizations", 0, "nothing found"),
    ("dipeo metrics ID --json", 0, "\"module_timings\""),
    ("dipeo compile projects/review.light.yaml", 0, "ok"),
    ("dipeo compile review --light --json", 0, "\"valid\": true"),
    ("dipeo compile --stdin --light < projects/review.light.yaml", 0, "ok"),
    ("dipeo compile --stdin --light --check-only < projects/review.light.yaml", 0, "ok"),
    ("dipeo compile --stdin --light --push-as pushed < projects/pushed.light.yaml", 0, "saved as pushed"),
    ("dipeo compile --stdin --push-as other --target-dir projects/mine < projects/pushed.light.yaml", 0, "saved as"),
    ("dipeo compile --stdin --push-as pushed --create-only < projects/other.light.yaml", 4, ""),
    ("dipeo compile --stdin --push-as pushed --trust < projects/pushed.light.yaml", 2, "saved as pushed"),
    ("dipeo compile projects/review.light.yaml --fix", 0, "version: light"),
    ("dipeo compile nothing", 3, ""),
    ("dipeo compile", 2, ""),
    ("dipeo export projects/review.light.yaml review.py --light", 0, "review.py"),
    ("dipeo export review - --to mermaid", 0, "flowchart"),
    ("dipeo export review review.dot", 0, "review.dot"),
    ("dipeo ask \"write a poem\"", 6, ""),
    ("dipeo ask --to \"write a poem\" --and-run --timeout=90 --run-timeout=300", 6, ""),
    ("dipeo convert projects/review.light.yaml review.native.json", 0, "review.native.json"),
    ("dipeo convert projects/review.light.yaml review.native.json", 4, ""),
    ("dipeo convert projects/review.light.yaml review.native.json --force --strict", 0, ""),
    ("dipeo convert review.native.json - --from-format native --to-format readable", 0, "make"),
    ("dipeo list", 0, "review"),
    ("dipeo list --json --format light --search rev", 0, "\"name\": \"review\""),
    ("dipeo stats projects/review.light.yaml", 0, "nodes        3"),
    ("dipeo stats review --json", 0, "\"nodes\": 3"),
    ("dipeo integrations init --path my", 0, "my/"),
    ("dipeo integrations validate", 0, "0 invalid"),
    ("dipeo integrations list", 0, ""),
    ("dipeo dipeocc list", 3, ""),
    ("dipeo control ID abort", 4, ""),
    ("dipeo control ID no_such_action", 2, ""),
    ("dipeo diff ID ID", 0, "equal"),
    ("dipeo replay ID", 0, "equal"),
    ("dipeo fork ID --from make", 0, "a is 1"),
    ("dipeo history pushed", 0, "1 of 1 revisions"),
    ("dipeo restore pushed@1", 0, "pushed is as revision 1 again"),
    ("dipeo restore pushed", 2, ""),
    ("dipeo restore pushed@9", 3, ""),
    ("dipeo history nothing", 3, ""),
    ("dipeo trust --list", 0, "trusted texts"),
    ("dipeo secrets list", 0, "0 secrets"),
    ("dipeo tokens list", 0, "0 tokens"),
    ("dipeo maintenance stats", 0, ""),
    ("dipeo mcp install --client cursor --print", 0, "mcpServers"),
    ("dipeo --version", 0, "dipeo "),
    ("dipeo --help", 0, "Commands:"),
    ("dipeo", 0, "dipeo run"),
];

#[test]
fn every_command_of_the_guide_works_as_it_is_typed() {
    let workspace = workspace();
    workspace.write("inputs.json", "{\"a\": 5}");
    workspace.write("projects/other.light.yaml", &super::REVIEW.replace("a is", "b is"));
    workspace.write("projects/pushed.light.yaml", &super::REVIEW.replace("a is", "c is"));
    let mut wrong = Vec::new();
    for (line, code, said) in LINES {
        let output = typed(&workspace, &line.replace("ID", ID).replace("EXEC_ID", ID));
        let stdout = String::from_utf8_lossy(&output.stdout);
        if output.status.code() != Some(i32::from(*code)) || !stdout.contains(said) {
            let stderr = String::from_utf8_lossy(&output.stderr);
            wrong.push(format!("`{line}`: {:?}, expected {code} and {said:?}\n{stdout}{stderr}", output.status.code()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
}

fn typed(workspace: &Workspace, line: &str) -> std::process::Output {
    let (line, stdin) = match line.split_once(" < ") {
        Some((line, file)) => (line, Stdio::from(std::fs::File::open(workspace.root().join(file)).expect("there"))),
        None => (line, Stdio::null()),
    };
    workspace.command().args(words(line).iter().skip(1)).stdin(stdin).output().expect("runs")
}

/// The same lines with `--json`: one document each, whatever came of them.
#[test]
fn every_command_answers_with_one_json_document_also_when_it_fails() {
    let workspace = workspace();
    workspace.write("inputs.json", "{\"a\": 5}");
    workspace.write("projects/other.light.yaml", &super::REVIEW.replace("a is", "b is"));
    workspace.write("projects/pushed.light.yaml", &super::REVIEW.replace("a is", "c is"));
    let mut wrong = Vec::new();
    for (line, code, _) in LINES.iter().filter(|(line, ..)| !line.contains("--help") && !line.contains("--version")) {
        let line = line.replace("ID", ID);
        let line = match line.split_once(" < ") {
            Some((line, file)) => format!("{line} --json < {file}"),
            None if line.contains("--json") => line,
            None => format!("{line} --json"),
        };
        let output = typed(&workspace, &line);
        let document = serde_json::from_slice::<Value>(&output.stdout);
        let is_error = document
            .as_ref()
            .is_ok_and(|it| it["error"]["code"].is_string() && it.as_object().map(|it| it.len()) == Some(1));
        let is_report = document.as_ref().is_ok_and(|it| it["valid"].is_boolean());
        let has_failed = *code != 0 && !line.contains("--trust");
        if document.is_err() || (has_failed && !is_error && !is_report) {
            let stderr = String::from_utf8_lossy(&output.stderr);
            wrong.push(format!("`{line}`: {}{stderr}", String::from_utf8_lossy(&output.stdout)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
}
