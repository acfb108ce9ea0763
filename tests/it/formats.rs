//! Diagrams to text and back in every format: nothing the engine uses is lost on any way between them.

use std::path::{Path, PathBuf};

use dipeo::compile::Plan;
use dipeo::diagram::write::{meaning, write};
use dipeo::diagram::{Diagram, Format, parse};
use dipeo::nodes::known_fields;
use proptest::test_runner::{Config, TestRunner};

use crate::corpus_compile::{compile_in, languages};
use crate::formats_random::diagrams;
use crate::harness::corpus;

const FORMATS: [Format; 3] = [Format::Light, Format::Readable, Format::Native];

/// Diagrams that each property is tried on.
const DIAGRAMS: u32 = 1_000;

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

fn written(diagram: &Diagram, format: Format) -> String {
    write(diagram, format, &known_fields)
}

/// Everything a diagram says; the text shows the order of keys too.
fn said(diagram: &Diagram) -> String {
    serde_json::to_string_pretty(&meaning(diagram, &known_fields)).expect("it is JSON")
}

/// Reads a text that must have no problem that only a changed diagram could have.
fn read(text: &str) -> Diagram {
    let parsed = parse(text, None);
    let errors: Vec<_> = parsed.diagnostics.iter().filter(|it| it.code.starts_with('E') || it.code == "W104").collect();
    assert!(errors.is_empty(), "{errors:#?}\n{text}");
    parsed.diagram.unwrap_or_else(|| panic!("nothing was read\n{text}"))
}

/// Goes from `diagram` through every format and from each to every other.
fn check_every_way(diagram: &Diagram) {
    let expected = said(diagram);
    let texts = FORMATS.map(|it| written(diagram, it));
    for (format, text) in FORMATS.into_iter().zip(&texts) {
        let back = read(text);
        assert_eq!(back.format, format);
        assert_eq!(said(&back), expected, "{}\n{text}", format.name());
        // Equal bytes for every second format: then what comes back from there is shown above.
        for (second, expected) in FORMATS.into_iter().zip(&texts) {
            assert_eq!(&written(&back, second), expected, "{} to {}", format.name(), second.name());
        }
    }
}

#[test]
fn random_diagrams_come_back_from_every_format_and_pair_of_formats() {
    let outcome = runner(DIAGRAMS).run(&diagrams(), |diagram| {
        check_every_way(&diagram);
        Ok(())
    });
    outcome.unwrap();
}

/// Every diagram of the corpus and of the examples, with the folder it belongs to.
fn all_diagrams() -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")];
    folders.extend(corpus().into_iter().flat_map(|it| [it.join("micro"), it.join("dipeo")]));
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("readable").flatten() {
            let path = entry.path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if [".yaml", ".yml", ".json"].iter().any(|it| name.ends_with(it)) {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_diagram_there_is_comes_back_from_every_format() {
    let mut n_checked = 0;
    for (path, text) in all_diagrams() {
        let parsed = parse(&text, None);
        let is_whole = !parsed.diagnostics.iter().any(|it| it.code.starts_with('E'));
        if let Some(diagram) = parsed.diagram.filter(|_| is_whole) {
            println!("{}", path.display());
            check_every_way(&diagram);
            n_checked += 1;
        }
    }
    assert!(n_checked > 3, "{n_checked} diagrams");
}

#[test]
fn five_spellings_of_one_diagram_are_written_alike() {
    let Some(corpus) = corpus() else { return };
    let text = |name: &str, format| {
        let text = std::fs::read_to_string(corpus.join("micro/formats").join(name)).expect("readable");
        // A person may be named by label or by the older `person_<label>`.
        let mut diagram = read(&text.replace("person_", ""));
        diagram.metadata.retain(|key, _| key == "name");
        written(&diagram, format)
    };
    for format in FORMATS {
        let light = text("greet.light.yaml", format);
        for name in ["greet.native.json", "greet1.readable.yaml", "greet2.readable.yaml", "greet3.readable.yaml"] {
            assert_eq!(text(name, format), light, "{name} as {}", format.name());
        }
    }
}

/// What the engine sees of a plan.
fn plan_text(plan: &Plan) -> String {
    let nodes = plan.nodes.iter().map(|it| {
        let traits = it.node.traits();
        format!("{} {} {:?} {:?} {traits:?} {:?}\n", it.id, it.label, it.kind, it.policy, it.node.effect())
    });
    let persons = plan.persons.iter().map(|it| format!("{} {:?} {:?}\n", it.id, it.service, it.script));
    let graph = format!("{:?}\n{:?}\n{:?}", plan.graph.nodes, plan.graph.edges, plan.edges);
    nodes.chain(persons).chain([graph]).collect()
}

#[test]
fn a_converted_diagram_compiles_to_the_same_plan_with_the_same_problems() {
    let languages = languages();
    let mut n_plans = 0;
    for (path, text) in all_diagrams() {
        let parsed = parse(&text, None);
        let is_whole = !parsed.diagnostics.iter().any(|it| it.code.starts_with('E'));
        let Some(diagram) = parsed.diagram.filter(|_| is_whole) else { continue };
        let compiled = |text: &str| {
            let compiled = compile_in(&path, text, &languages);
            let mut codes: Vec<_> = compiled.diagnostics.iter().map(|it| (it.code, it.at.clone())).collect();
            // These are about the spelling of a text, or about what a conversion says it leaves out.
            codes
                .retain(|it| !["W101", "W102", "W103", "W104", "W201", "W301", "W305", "W403", "W506"].contains(&it.0));
            codes.sort();
            (compiled.plan.as_ref().map(plan_text), codes)
        };
        let expected = compiled(&text);
        n_plans += usize::from(expected.0.is_some());
        for format in FORMATS {
            let (plan, codes) = compiled(&written(&diagram, format));
            assert_eq!(codes, expected.1, "{} as {}", path.display(), format.name());
            assert_eq!(plan, expected.0, "{} as {}", path.display(), format.name());
        }
    }
    assert!(n_plans > 3, "{n_plans} plans");
}

/// Hand-written: everything at once that is easy to get wrong.
const NASTY: &str = r#"version: light
$schema: "light.schema.json"
name: "yes"
metadata: {version: "1.0", settings: {mine: true}, a.b: {"": 0}}
settings: {timeout: 1.5, budget: {usd: 0.5}}
inputs: {"no": {type: string, default: "", enum: ["", "007"]}, plain: }
tool: {name: t, description: "a\nb"}
persons:
  Bot: {id: b1, service: claude, temperature: 0, system_prompt: "a\n\n  b\n"}
  " odd ": {service: scripted, replies: [null, "null", {json: {n: 1.0}}], when_exhausted: cycle}
  b1x: {service: caller, tools: [websearch]}
nodes:
- {label: "5", type: start, custom_data: {n: 007, t: "007", "yes": "no", k.l: [[], {}, [1, [2]]], "": null}}
- {label: "a: b #c", type: db, id: "12", file: "", missing_value: null, glob: true, extra: "kept", lines: "1:30"}
- {label: __x, type: hook, config: {command: "x", type: shell, "a.b": 1, label: y}, position: {x: 1.5, y: -2}}
- {label: "{p}", type: person_job, person: Bot, default_prompt: " {{x}}\n\n", max_iteration: 100, type.z: 3, props: {props: {a: 1}}}
- {label: "mail@(home)", type: condition, expression: "'a' == \"b\" # c", position: {x: 3, y: 4}}
- {label: "end -> x", type: endpoint, save_to_file: false, file_path: "x", on_error: fail}
connections:
- {from: "5", to: "a: b #c", label: "5", execution_priority: 1}
- {from: "5", to: "{p}[first]", id: c, data: {transform: {"a": null}, branch: true}}
- {from: "__x[success]", to: "mail@(home)", content_type: text}
- {from: "mail@(home)[condfalse]", to: "end -> x", label: "a\nb"}
- {from: "mail@(home)_condtrue", to: "__x"}
"#;

#[test]
fn hand_written_nasty_cases_come_back_whole() {
    let diagram = parse(NASTY, None).diagram.expect("it reads");
    assert_eq!(parse(NASTY, None).diagnostics.iter().filter(|it| it.code.starts_with('E')).count(), 0);
    check_every_way(&diagram);
    for format in FORMATS {
        let suffix = format.suffix().trim_start_matches('.');
        insta::assert_snapshot!(format!("nasty.{suffix}"), written(&diagram, format));
    }
}

#[test]
fn fields_stand_in_the_order_of_their_type_and_defaults_are_left_out() {
    let text = "version: light\nnodes:\n- {mine: 1, parse_json: true, code: \"x\\ny\\n\", timeout: 5, language: python, \
                type: code_job, label: a, runtime: host}\nconnections: []\n";
    let expected = "version: light\nnodes:\n- label: a\n  type: code_job\n  code: |\n    x\n    y\n  runtime: host\n  timeout: 5\n  \
                    mine: 1\nconnections: []\n";
    assert_eq!(written(&read(text), Format::Light), expected);
}
