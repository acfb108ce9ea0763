//! `dipeo stats`: figures of a compiled plan.

use serde_json::{Value, json};

use crate::harness::{self, Workspace};

fn stats(workspace: &Workspace, text: &str) -> (Option<i32>, Value) {
    workspace.write("d.light.yaml", text);
    let output = workspace.command().args(["stats", "d.light.yaml", "--json"]).output().expect("runs");
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("one JSON document"))
}

#[test]
fn the_figures_are_those_of_the_plan() {
    let workspace = harness::workspace();
    let (code, found) = stats(
        &workspace,
        "version: light\npersons:\n  Ann: {service: scripted}\nnodes:\n- {label: s, type: start}\n\
         - {label: p, type: person_job, person: Ann, default_prompt: hi}\n- {label: c, type: condition, expression: 'True'}\n\
         - {label: self, type: person_job, person: Ann, default_prompt: hi, max_iteration: 2}\n\
         - {label: e, type: endpoint, save_to_file: true, file_path: files/a.txt}\n\
         - {label: x, type: code_job, code: 'result = 1'}\n- {label: y, type: code_job, code: 'result = 2'}\n\
         connections:\n- {from: s, to: p}\n- {from: p, to: c}\n- {from: 'c[condfalse]', to: p}\n- {from: 'c[condtrue]', to: self}\n\
         - {from: self, to: self}\n- {from: self, to: e}\n- {from: x, to: y}\n- {from: y, to: x}\n",
    );
    assert_eq!(code, Some(0), "{found}");
    let expected = json!({
        "diagram_id": "d",
        "nodes": 7,
        "connections": 8,
        "types": {"start": 1, "person_job": 2, "condition": 1, "endpoint": 1, "code_job": 2},
        "persons": ["Ann"],
        "conditions": 1,
        "loops": [["p", "c"], ["self"], ["x", "y"]],
        "depth": 5,
        "endpoints": ["e"],
        "unreachable": ["x", "y"],
        "capabilities": {"paths": ["files/a.txt"], "models": ["scripted"], "asks": false},
    });
    assert_eq!(found, expected);
    let output = workspace.command().args(["stats", "d.light.yaml"]).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("loops        3: p, c; self; x, y\n"), "{text}");
}

#[test]
fn what_does_not_compile_or_does_not_exist_has_no_figures() {
    let workspace = harness::workspace();
    let (code, found) = stats(&workspace, "version: light\nnodes: []\n");
    assert_eq!((code, &found["error"]["code"]), (Some(2), &json!("INVALID_DIAGRAM")));
    let output = workspace.command().args(["stats", "nothing"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(3));
}
