//! The JSON Schema of the light format: as committed, and right about diagrams that are.

use std::path::{Path, PathBuf};

use dipeo::diagram::Format;
use dipeo::nodes::light_schema;
use serde_json::Value;

use crate::corpus_compile::{compile_in, languages};
use crate::harness::{corpus, read_yaml};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_committed_schema_is_what_the_node_types_say() {
    let path = root().join("resources/schema/light.schema.json");
    let expected = format!("{}\n", serde_json::to_string_pretty(&light_schema()).expect("JSON"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, &expected).expect("written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == expected, "{} is stale: run the test with UPDATE=1", path.display());
}

fn problems(diagram: &Value) -> Vec<String> {
    let validator = jsonschema::draft7::new(&light_schema()).expect("a schema");
    validator.iter_errors(diagram).map(|it| format!("{} at {}", it, it.instance_path())).collect()
}

fn light_files() -> Vec<PathBuf> {
    let folders = [Some(root().join("examples")), corpus().map(|it| it.join("micro"))];
    let entries = folders.into_iter().flatten().flat_map(|it| std::fs::read_dir(it).expect("readable").flatten());
    let mut files: Vec<PathBuf> =
        entries.map(|it| it.path()).filter(|it| it.to_string_lossy().ends_with(".light.yaml")).collect();
    files.sort();
    files
}

/// Warnings about the spelling of a diagram, which the schema reports too.
const SPELLING: [&str; 6] = ["W101", "W103", "W104", "W301", "W401", "W403"];

#[test]
fn diagrams_that_compile_fit_the_schema() {
    let languages = languages();
    let mut n_fitting = 0;
    let mut wrong = Vec::new();
    for file in light_files() {
        let text = std::fs::read_to_string(&file).expect("text");
        let compiled = compile_in(&file, &text, &languages);
        let is_clean = !compiled.diagnostics.iter().any(|it| SPELLING.contains(&it.code));
        if compiled.format != Some(Format::Light) || !compiled.is_valid() || !is_clean {
            continue;
        }
        n_fitting += 1;
        wrong.extend(problems(&read_yaml(&file)).into_iter().map(|it| format!("{}: {it}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n_fitting >= 8, "{n_fitting} diagrams");
}

#[test]
fn wrong_diagrams_do_not_fit_the_schema() {
    for (wrong, place) in [
        ("version: heavy\nnodes: [{label: a, type: start}]", "/version"),
        ("version: light", ""),
        ("nodes: []", "/nodes"),
        ("nodes: {a: {type: start}}", "/nodes"),
        ("titel: x\nnodes: [{label: a, type: start}]", ""),
        ("nodes: [{label: a, type: strat}]", "/nodes/0/type"),
        ("nodes: [{label: 5, type: start}]", "/nodes/0/label"),
        ("nodes: [{label: \"a[b]\", type: start}]", "/nodes/0/label"),
        ("nodes: [{type: start}]", "/nodes/0"),
        ("nodes: [{label: a, type: code_job, code: 5}]", "/nodes/0/code"),
        ("nodes: [{label: a, type: code_job, cod: x}]", "/nodes/0"),
        ("nodes: [{label: a, type: code_job, code: x, language: pyton}]", "/nodes/0/language"),
        ("nodes: [{label: a, type: person_job, default_prompt: x}]", "/nodes/0"),
        ("nodes: [{label: a, type: person_job, person: P, max_iteration: 0}]", "/nodes/0/max_iteration"),
        ("nodes: [{label: a, type: db, operation: read}]", "/nodes/0"),
        ("nodes: [{label: a, type: start, timeout: 0}]", "/nodes/0/timeout"),
        ("nodes: [{label: a, type: start, position: {x: 1}}]", "/nodes/0/position"),
        ("nodes: [{label: a, type: start}]\nconnections: [{from: a}]", "/connections/0"),
        ("nodes: [{label: a, type: start}]\nconnections: [{from: a, to: a, lable: x}]", "/connections/0"),
        (
            "nodes: [{label: a, type: start}]\nconnections: [{from: a, to: a, content_type: rawtext}]",
            "/connections/0/content_type",
        ),
        ("nodes: [{label: a, type: start}]\npersons: {P: {service: opnai}}", "/persons/P/service"),
        ("nodes: [{label: a, type: start}]\npersons: {P: openai}", "/persons/P"),
        ("nodes: [{label: a, type: start}]\ninputs: {i: {type: text}}", "/inputs/i/type"),
        ("nodes: [{label: a, type: start}]\nsettings: {max_paralel: 3}", "/settings"),
        ("nodes: [{label: a, type: start}]\ntool: sure", "/tool"),
    ] {
        let value: Value = serde_yaml::from_str(wrong).expect("YAML");
        let found = problems(&value);
        assert!(found.iter().any(|it| it.ends_with(&format!(" at {place}"))), "{wrong}\n{found:?}");
    }
}

#[test]
fn fields_under_props_under_older_names_and_with_dots_fit() {
    for right in [
        "nodes: [{label: a, type: db, props: {operation: read, file: x}}]",
        "nodes: [{label: a, type: db, operation: read, source_details: x}]",
        "nodes: [{label: a, type: code_job, filePath: x, retry.max_attempts: 2, __typename: y}]",
        "nodes: [{label: a, anything: 1}]",
        "nodes: [{label: a, type: endpoint, file_path: x, save_to_file: true, file_format: null}]",
    ] {
        let value: Value = serde_yaml::from_str(right).expect("YAML");
        assert_eq!(problems(&value), Vec::<String>::new(), "{right}");
    }
}
