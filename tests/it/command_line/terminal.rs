//! What a person sees, as golden files. Ids, times and durations are made the same.

use std::process::Stdio;

use super::{words, workspace};
use crate::harness::Workspace;

const ID: &str = "exec_0123456789abcdef0123456789abcdef";

/// A loop with a model in it. One node after the other, so that the log is the same each time.
const SHOW: &str = r#"version: light
name: show
persons:
  Ann: {service: scripted, replies: ["A first draft.", "A second draft."]}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: write, type: person_job, person: Ann, default_prompt: "Write about {{topic}}", max_iteration: 2}
- {label: enough, type: condition, condition_type: detect_max_iterations}
- {label: count, type: template_job, template_content: "{{ text | length }} letters"}
- {label: end, type: endpoint}
connections:
- {from: start, to: write, label: topic}
- {from: write, to: enough}
- {from: "enough[condfalse]", to: write}
- {from: "enough[condtrue]", to: count, label: text}
- {from: count, to: end}
"#;

const BROKEN: &str = "version: light\nnodes:\n- {label: start, type: start}\n- {label: bad, type: code_job, language: python, code: '1/0'}\n\
    - {label: end, type: endpoint}\nconnections:\n- {from: start, to: bad}\n- {from: bad, to: end}\n";

fn shown(workspace: &Workspace, line: &str) -> String {
    let output = workspace.command().args(words(line).iter().skip(1)).stdin(Stdio::null()).output().expect("runs");
    let part = |name: &str, bytes: &[u8]| match String::from_utf8_lossy(bytes).into_owned() {
        text if text.is_empty() => String::new(),
        text => format!("{name}\n{text}"),
    };
    let exit = output.status.code().unwrap_or(-1);
    let text = format!(
        "$ {line}\n{}{}exit {exit}\n",
        part("", &output.stdout).trim_start_matches('\n'),
        part("stderr:", &output.stderr)
    );
    text.replace(&workspace.root().display().to_string(), "WORKSPACE")
}

#[test]
fn what_a_person_sees() {
    let workspace = workspace();
    workspace.write("projects/show.light.yaml", SHOW);
    workspace.write("projects/broken.light.yaml", BROKEN);
    let lines = [
        format!("dipeo run show --execution-id {ID}"),
        format!("dipeo results {ID} --verbose"),
        format!("dipeo results {ID} --messages"),
        format!("dipeo results {ID} --logs"),
        format!("dipeo results {ID} -o markdown"),
        format!("dipeo metrics {ID} --breakdown --optimizations"),
        "dipeo run broken".to_owned(),
        "dipeo results".to_owned(),
        "dipeo metrics --diagram show".to_owned(),
        "dipeo list --search o".to_owned(),
        "dipeo stats show".to_owned(),
        "dipeo rnu show".to_owned(),
        "dipeo run show --tiemout 3".to_owned(),
        "dipeo results exec_1".to_owned(),
        "dipeo cancel exec_00000000000000000000000000000000".to_owned(),
    ];
    let all: Vec<String> = lines.iter().map(|it| shown(&workspace, it)).collect();
    let mut settings = insta::Settings::clone_current();
    for (from, to) in FILTERS {
        settings.add_filter(from, *to);
    }
    settings.bind(|| insta::assert_snapshot!(all.join("\n")));
}

/// What differs from one run to the next, and the blanks that depend on it.
const FILTERS: &[(&str, &str)] = &[
    (r"exec_[0-9a-f]{32}", "exec_ID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "WHEN"),
    (r"\d\d:\d\d:\d\d\.\d{3}", "TIME"),
    (r"\d+\.\d\d s\b", "N s"),
    (r"\b\d+ ms\b", "N ms"),
    (r"(?s)bottlenecks:\n.*?breakdown:", "bottlenecks: …\nbreakdown:"),
    (r" {2,}\d+\b", "  N"),
    (r" {2,}", "  "),
];
