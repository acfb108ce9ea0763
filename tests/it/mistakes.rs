//! The mistakes authors make most, people and models alike: what each is called, where it stands, and what
//! the fix loop makes of it.

use std::path::PathBuf;
use std::sync::Arc;

use dipeo::code::{Code, Settings};
use dipeo::compile::{Compiled, compile, fix};
use dipeo::diagram::{Diagnostic, Format, Service};
use dipeo::nodes::ports::Languages;
use dipeo::nodes::{ChildFile, Origin, Rights, Surroundings};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness;
use crate::mcp_client::StdioClient;

/// A workspace without files and without keys.
pub struct World {
    rights: Rights,
    languages: Arc<dyn Languages>,
}

impl World {
    pub fn new() -> Self {
        let rights = Rights::of(Origin::Local, false, false);
        Self { rights, languages: Code::new(Settings::new(Vec::new(), PathBuf::from("."))) }
    }
}

impl Surroundings for World {
    fn structure_only(&self) -> bool {
        false
    }

    fn rights(&self) -> &Rights {
        &self.rights
    }

    fn languages(&self) -> &dyn Languages {
        self.languages.as_ref()
    }

    fn prompt_file(&self, name: &str) -> Result<String, Vec<String>> {
        if name.starts_with("..") { Err(Vec::new()) } else { Err(vec![format!("prompts/{name}")]) }
    }

    fn file(&self, _: &str) -> Option<String> {
        None
    }

    fn child_diagram(&self, _: &str, _: Option<Format>) -> ChildFile {
        ChildFile::NotFound { places: vec!["projects/".to_owned()], near: None }
    }

    fn has_key(&self, _: Service, _: Option<&str>) -> bool {
        true
    }

    fn default_model(&self, _: Service) -> Option<String> {
        None
    }
}

/// A person writes a text.
const WRITER: &str = r#"version: light
persons:
  Bot: {service: scripted}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: write, type: person_job, person: Bot, default_prompt: "About {{topic}}", max_iteration: 1}
- {label: save, type: endpoint}
connections:
- {from: start, to: write}
- {from: write, to: save}
"#;

/// A loop counts to three.
const LOOP: &str = r#"version: light
nodes:
- {label: start, type: start, custom_data: {n: 0}}
- {label: count, type: code_job, code: "result = {'n': n + 1}"}
- {label: gate, type: condition, expression: n >= 3}
- {label: save, type: endpoint}
connections:
- {from: start, to: count}
- {from: count, to: gate}
- {from: "gate[condfalse]", to: count}
- {from: "gate[condtrue]", to: save}
"#;

/// What the fix loop does about a mistake.
enum After {
    /// Nothing: only the author knows what was meant.
    Same,
    /// It compiles, without a warning.
    Sound,
    /// It compiles without a warning and is the diagram without the mistake, to the letter.
    Original,
    /// These are left.
    Left(&'static [&'static str]),
}

use After::{Left, Original, Same, Sound};

/// A mistake: in which diagram, what is replaced by what, the diagnostics with their lines, and what a fix does.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], After);

#[rustfmt::skip]
const MISTAKES: &[Row] = &[
    // The text as a whole.
    (WRITER, &[("version: light\n", "```yaml\nversion: light\n"), ("to: save}\n", "to: save}\n```\n")], &["E101 1"], Original),
    (WRITER, &[("version: light\n", "Here is the diagram:\n\n```yaml\nversion: light\n"), ("to: save}\n", "to: save}\n```\nEnjoy!\n")], &["E101 1"], Original),
    (WRITER, &[("version: light\n", "```\nversion: light\n")], &["E101 1"], Original),
    (WRITER, &[("version: light", "\u{feff}version: light")], &[], Same),
    (WRITER, &[("\n", "\r\n")], &[], Same),
    (WRITER, &[("version: light\n", "")], &["W102 1"], Original),
    (WRITER, &[("version: light", "version: lihgt")], &["E105 1"], Original),
    (WRITER, &[("version: light", "version: 1.0")], &["W102 1"], Sound),
    (WRITER, &[("version: light", "version: light\n// what it does")], &["E101 2"], Sound),
    (WRITER, &[("version: light", "version: light\ntitel: tea")], &["W101 2"], Sound),
    (WRITER, &[("version: light\n", "graph TD\n  A --> B\n")], &["E102 1"], Same),
    (WRITER, &[("connections:", "edges:")], &["E107 8"], Original),
    (WRITER, &[("connections:", "arrows:")], &["E107 8"], Original),
    (WRITER, &[("connections:", "links:")], &["W203 6", "W203 7", "W101 8"], Original),
    (WRITER, &[("connections:", "edges:"), ("from:", "source:"), ("to:", "target:")], &["E107 8"], Original),
    (WRITER, &[("version: light", "version: light\ninputs: {topic: string}")], &["E106 2"], Sound),
    (WRITER, &[("version: light", "version: light\ninputs: {topic: {type: str}}")], &["E403 2"], Sound),
    (WRITER, &[("version: light", "version: light\nsettings: {timout: 60}")], &["W401 2"], Sound),
    // Indentation, quotes, dashes.
    (WRITER, &[("- {label: save, type: endpoint}", "- label: save\n   type: endpoint")], &["E101 8"], Sound),
    (WRITER, &[("- {label: save, type: endpoint}", "- label: save\n\ttype: endpoint")], &["E101 8"], Sound),
    (WRITER, &[("persons:\n  Bot:", "persons:\n\tBot:")], &["E101 3"], Original),
    (WRITER, &[("- {label: save", "{label: save")], &["E101 7"], Original),
    (WRITER, &[("- {label: save, type: endpoint}", "- label: a\n  type: start\n  label: save\n  type: endpoint")], &["E103 9", "E103 10"], Sound),
    (WRITER, &[("\"About {{topic}}\"", "“About {{topic}}”")], &["E101 6"], Original),
    (WRITER, &[("\"About {{topic}}\"", "{{topic}} is nice")], &["E101 6"], Sound),
    (WRITER, &[("label: write,", "label: write:,")], &["E101 6"], Original),
    (WRITER, &[("label: save", "label: %save"), ("to: save", "to: \"%save\"")], &["E101 7"], Sound),
    (WRITER, &[("- {label: save, type: endpoint}", "- label: save\n  type: endpoint\n  note: this: that")], &["E101 9"], Sound),
    (WRITER, &[("- {label: save, type: endpoint}", "- label: save\n  type: endpoint\n  note: \"this")], &["E101 9"], Sound),
    (LOOP, &[("\"gate[condtrue]\"", "gate[condtrue]")], &["E101 11"], Original),
    (LOOP, &[("- {label: count, type: code_job, code: \"result = {'n': n + 1}\"}", "- label: count\n  type: code_job\n  code:\n    n = n + 1\n    result = {\"n\": n}")], &["E101 6"], Sound),
    // Persons.
    (WRITER, &[(", person: Bot", "")], &["E502 6"], Same),
    (WRITER, &[("person: Bot", "person: Bto")], &["E501 6"], Original),
    (WRITER, &[("{service: scripted}", "\n  service: scripted")], &["E106 4"], Sound),
    (WRITER, &[("{service: scripted}", "scripted")], &["E106 3", "E501 6"], Original),
    (WRITER, &[("service: scripted", "service: scriptd")], &["E506 3"], Original),
    (WRITER, &[("service: scripted", "service: gpt-4o")], &["E506 3"], Same),
    (WRITER, &[("service: scripted", "provider: scripted")], &["W505 3", "W401 3"], Original),
    (WRITER, &[("service: scripted", "service: scripted, api_key: sk-0123")], &["W401 3"], Same),
    (WRITER, &[("service: scripted", "service: scripted, temprature: 1")], &["W401 3"], Sound),
    (WRITER, &[("person: Bot,", "person: Bot, model: gpt-4o,")], &["W401 6"], Same),
    // Nodes.
    (WRITER, &[("- {label: start, type", "  start: {type"), ("- {label: write, type", "  write: {type"), ("- {label: save, type", "  save: {type")], &["E106 4"], Sound),
    (WRITER, &[("person_job", "persn_job")], &["E202 6"], Original),
    (WRITER, &[("person_job", "agent")], &["E202 6"], Original),
    (LOOP, &[("type: code_job", "type: python")], &["E202 4"], Original),
    (LOOP, &[("type: condition", "type: if")], &["E202 5"], Original),
    (WRITER, &[("type: person_job, ", "")], &["W201 6"], Same),
    (WRITER, &[("label: save", "name: save")], &["E204 7"], Original),
    (WRITER, &[("label: save", "id: save")], &["E204 7"], Same),
    (WRITER, &[("label: save", "label: 5"), ("to: save", "to: 5")], &["E204 7"], Sound),
    (WRITER, &[("to: save}\n", "to: save}\n- {from: start, to: save}\n"), ("label: save", "label: write")], &["E205 7", "E301 10", "E301 11"], Same),
    (WRITER, &[("default_prompt", "defualt_prompt")], &["E503 6", "W401 6"], Original),
    (WRITER, &[("default_prompt", "prompt")], &["E503 6", "W401 6"], Original),
    (WRITER, &[(", default_prompt: \"About {{topic}}\"", "")], &["E503 6"], Same),
    (WRITER, &[("default_prompt: \"About {{topic}}\"", "prompt_file: wirte.txt")], &["E504 6"], Same),
    (WRITER, &[("default_prompt: \"About {{topic}}\"", "prompt_file: ../write.txt")], &["E702 6"], Same),
    (WRITER, &[("{{topic}}", "{{#if topic}}tea")], &["E602 6"], Same),
    (WRITER, &[("{{topic}}", "{{ topic | upper }}")], &["E602 6"], Same),
    (WRITER, &[("max_iteration: 1", "max_iteration: \"1\"")], &["W104 6"], Original),
    (WRITER, &[("max_iteration: 1", "max_iteration: many")], &["E402 6"], Same),
    (WRITER, &[("max_iteration: 1", "max_iteration: 0")], &["E404 6"], Same),
    (WRITER, &[("max_iteration:", "max_iterations:")], &["W401 6"], Original),
    (WRITER, &[("max_iteration: 1", "max_iteration: 1, timeout: 30s")], &["E402 6"], Sound),
    (WRITER, &[("max_iteration: 1", "max_iteration: 1, retry: {max_atempts: 3}")], &["W401 6"], Sound),
    (WRITER, &[("max_iteration: 1", "max_iteration: 1, memorize_to: GOLDFSH")], &["E403 6"], Same),
    (WRITER, &[("type: endpoint", "type: endpoint, save_to_file: yes, file_path: a.txt")], &["W103 7"], Sound),
    (WRITER, &[("type: endpoint", "type: endpoint, file_path: a.txt")], &["W402 7"], Same),
    (WRITER, &[("type: endpoint", "type: db, operation: raed, file: a.txt")], &["E403 7"], Sound),
    (WRITER, &[("type: endpoint", "type: endpoint, position: {x: 1}")], &["E108 7"], Same),
    (WRITER, &[("type: endpoint", "type: endpoint, next: write")], &["W401 7"], Same),
    // Code and expressions.
    (LOOP, &[("result = {'n': n + 1}", "result = (n")], &["E603 4"], Same),
    (LOOP, &[("result = {'n': n + 1}", "const x = n + 1; return {n: x}")], &["E603 4"], Same),
    (LOOP, &[("result = {'n': n + 1}", "scripts/count.py")], &["W404 4"], Same),
    (LOOP, &[("type: code_job", "type: code_job, language: py")], &["E403 4"], Sound),
    (LOOP, &[("n >= 3", "n >= and 3")], &["E601 5"], Same),
    (LOOP, &[("n >= 3", "n >= 3 && n")], &["E601 5"], Sound),
    (LOOP, &[("n >= 3", "\"{{n}} >= 3\"")], &["E601 5"], Sound),
    (LOOP, &[("expression:", "if:")], &["E401 5", "W401 5"], Original),
    (LOOP, &[("expression:", "condition_type: custom_expression, expression:")], &["E403 5"], Sound),
    // Connections.
    (WRITER, &[("from: write", "from: wriet")], &["E301 10"], Original),
    (WRITER, &[("from: write", "from: elsewhere")], &["E301 10"], Same),
    (WRITER, &[("from: write", "from: node_1")], &["E301 10"], Original),
    (WRITER, &[("from: write, to: save", "source: write, target: save")], &["E303 10", "E303 10"], Original),
    (WRITER, &[("{from: write, to: save}", "write -> save")], &["E303 10"], Original),
    (WRITER, &[("to: write}", "to: [write, save]}")], &["E303 9"], Same),
    (WRITER, &[("to: save}", "to: save, content_type: rawtext}")], &["E304 10"], Sound),
    (WRITER, &[("to: save}", "to: save, lable: text}")], &["W301 10"], Sound),
    (WRITER, &[("to: save}\n", "to: save}\n- {from: save, to: write}\n")], &["E209 7"], Same),
    (WRITER, &[("to: save}\n", "to: save}\n- {from: write, to: start}\n")], &["E208 5"], Same),
    (WRITER, &[("to: save}\n", "to: save}\n- {from: start, to: save}\n")], &["W207 7"], Same),
    (WRITER, &[("connections:", "- {label: lost, type: endpoint}\nconnections:")], &["W203 8"], Same),
    (WRITER, &[("- {label: start, type: start, custom_data: {topic: tea}}\n", ""), ("- {from: start, to: write}\n", "")], &["W202 5", "W203 5"], Same),
    (LOOP, &[("gate[condtrue]", "gate[contrue]")], &["E302 11"], Original),
    (LOOP, &[("gate[condtrue]", "gate[true]")], &[], Same),
    (LOOP, &[("gate[condtrue]", "gate.yes")], &["E301 11"], Original),
    (LOOP, &[("\"gate[condtrue]\"", "gate")], &["E302 11"], Same),
    (LOOP, &[("\"gate[condtrue]\", to: save", "gate, to: save, condition: true")], &["E302 11", "W301 11"], Left(&["W301 11"])),
    (LOOP, &[("\"gate[condtrue]\", to: save", "gate, to: save, label: yes")], &["E302 11"], Same),
    (LOOP, &[("- {from: \"gate[condtrue]\", to: save}\n", "")], &["W205 5", "W203 6"], Same),
];

fn with_mistake(text: &str, replacements: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (right, wrong) in replacements {
        assert!(text.contains(right), "{right}");
        text = text.replace(right, wrong);
    }
    text
}

fn short(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(|it| format!("{} {}", it.code, it.span.line)).collect()
}

fn shown(compiled: &Compiled) -> String {
    let lines = compiled.diagnostics.iter().map(|it| {
        format!("    {} {}:{} {} | {:?} | {:?}", it.code, it.span.line, it.span.column, it.message, it.hint, it.patch)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_mistake_has_its_diagnostics_and_its_repair() {
    let world = World::new();
    let mut wrong = Vec::new();
    for (original, replacements, expected, after) in MISTAKES {
        let text = with_mistake(original, replacements);
        let compiled = compile(&text, None, &world);
        if short(&compiled.diagnostics) != *expected {
            wrong.push(format!("{replacements:?}: expected {expected:?}\n{}", shown(&compiled)));
            continue;
        }
        let without_hint = compiled.diagnostics.iter().filter(|it| it.hint.is_none());
        wrong.extend(without_hint.map(|it| format!("{replacements:?}: no hint at {} {}", it.code, it.message)));
        let fixed = fix(&text, None, &world);
        let left = short(&fixed.compiled.diagnostics);
        let is_as_said = match after {
            Same => fixed.text == text && fixed.repairs.is_empty(),
            Sound => left.is_empty() && !fixed.repairs.is_empty(),
            Original => fixed.text == *original && !fixed.repairs.is_empty(),
            Left(expected) => left == *expected && !fixed.repairs.is_empty(),
        };
        if !is_as_said {
            wrong.push(format!("{replacements:?}: fixed to\n{}\n{}", fixed.text, shown(&fixed.compiled)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), MISTAKES.len(), wrong.join("\n\n"));
    assert!(MISTAKES.len() >= 50);
}

#[test]
fn light_written_as_json_is_named_and_repaired() {
    let text = r#"{"nodes": [{"label": "s", "type": "start"}, {"label": "e", "type": "endpoint"}], "connections": [{"from": "s", "to": "e"}]}"#;
    let fixed = fix(text, None, &World::new());
    assert_eq!(fixed.repairs.iter().map(|it| it.code).collect::<Vec<_>>(), ["E107"]);
    assert_eq!(fixed.compiled.diagnostics, []);
}

#[test]
fn a_repair_says_what_it_did() {
    let text = with_mistake(WRITER, &[("from: write", "from: wriet"), ("max_iteration:", "max_iterations:")]);
    let fixed = fix(&text, None, &World::new());
    let done: Vec<_> = fixed.repairs.iter().map(|it| (it.code, it.line, it.old.as_str(), it.new.as_str())).collect();
    assert_eq!(done, [("W401", 6, "max_iterations", "max_iteration"), ("E301", 10, "wriet", "write")]);
    assert_eq!(fixed.text, WRITER);
}

#[test]
fn the_command_line_prints_the_new_text_or_writes_it() {
    let workspace = harness::workspace();
    let text = with_mistake(WRITER, &[("from: write", "from: wriet"), (", person: Bot", "")]);
    workspace.write("tea.light.yaml", &text);
    let run = |arguments: &[&str]| {
        let output = workspace.command().arg("compile").args(arguments).output().expect("runs");
        (
            output.status.code(),
            String::from_utf8(output.stdout).expect("text"),
            String::from_utf8(output.stderr).expect("text"),
        )
    };
    let expected = with_mistake(WRITER, &[(", person: Bot", "")]);
    let (code, stdout, stderr) = run(&["tea.light.yaml", "--fix"]);
    assert_eq!((code, stdout.as_str()), (Some(2), expected.as_str()));
    assert!(stderr.contains("fixed line 10: E301 \"wriet\" -> \"write\"") && stderr.contains("E502"), "{stderr}");
    let on_disk = || std::fs::read_to_string(workspace.root().join("tea.light.yaml")).expect("there");
    assert_eq!(on_disk(), text);
    let (code, stdout, _) = run(&["tea.light.yaml", "--fix", "--write", "--json"]);
    let answer: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(
        (code, &answer["content"], answer["errors"][0]["code"].as_str()),
        (Some(2), &json!(expected), Some("E502"))
    );
    assert_eq!(answer["fixes"], json!([{"code": "E301", "line": 10, "old": "wriet", "new": "write"}]));
    assert_eq!(on_disk(), expected);
    assert_eq!(run(&["tea.light.yaml", "--write"]).0, Some(2), "`--write` needs `--fix`");
}

#[test]
fn a_model_gets_the_new_text_and_may_save_it_at_once() {
    let workspace = harness::workspace();
    let mut client = StdioClient::start(&workspace);
    let fenced =
        with_mistake(WRITER, &[("version: light\n", "```yaml\nversion: light\n"), ("to: save}\n", "to: save}\n```\n")]);
    let refused = client.call("compile_diagram", json!({"content": fenced}))["structuredContent"].clone();
    assert_eq!((&refused["valid"], refused.get("content"), refused.get("fixes")), (&json!(false), None, None));
    let call = json!({"content": fenced, "fix": true, "push_as": "tea"});
    let fixed = client.call("compile_diagram", call)["structuredContent"].clone();
    assert_eq!(
        (&fixed["valid"], &fixed["content"], &fixed["pushed_as"]),
        (&json!(true), &json!(WRITER), &json!("tea"))
    );
    assert_eq!(fixed["fixes"].as_array().map(Vec::len), Some(2), "{fixed}");
    let saved = client.call("fetch", json!({"id": "dipeo://diagrams/tea"}));
    assert!(saved.to_string().contains("custom_data: {topic: tea}"), "{saved}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Two mistakes at once, or a mistake and random damage: the loop ends, what read before reads after, and
    /// a text that compiled still does.
    #[test]
    fn repairs_never_break_a_text_and_always_end(
        first in 0..MISTAKES.len(), second in 0..MISTAKES.len(), at in 0.0..1.0_f64, n_cut in 0..12_usize,
        inserted in "[-\\[\\]{}:,\"'|`\t\n a-zé“\u{feff}\u{2028}🦀]{0,5}",
    ) {
        let world = World::new();
        let text = with_mistake(MISTAKES[first].0, MISTAKES[first].1);
        let text = MISTAKES[second].1.iter().fold(text, |text, (right, wrong)| text.replacen(right, wrong, 1));
        let characters: Vec<char> = text.chars().collect();
        let start = (characters.len() as f64 * at) as usize;
        let end = (start + n_cut).min(characters.len());
        let text: String = characters[..start].iter().copied().chain(inserted.chars()).chain(characters[end..].iter().copied()).collect();
        let before = compile(&text, None, &world);
        let fixed = fix(&text, None, &world);
        prop_assert!(before.diagram.is_none() || fixed.compiled.diagram.is_some(), "{text}\n{}", fixed.text);
        prop_assert!(!before.is_valid() || fixed.compiled.is_valid(), "{text}\n{}", fixed.text);
        prop_assert_eq!(fixed.repairs.is_empty(), fixed.text == text);
    }
}
