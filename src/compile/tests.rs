//! Tables of whole texts and what compiling them says.

use insta::assert_snapshot;

use super::{Compiled, Report, apply_patches, compile, invalid};
use crate::diagram::{Format, Service};
use crate::nodes::ports::classes::Class;
use crate::nodes::ports::{CodeFacts, HostNeed, Language, Languages, SyntaxProblem};
use crate::nodes::{Backoff, ChildFile, OnError, Origin, Retry, Rights, Surroundings};

/// Parsers that know one bad word each, and a world with one prompt file and one key.
struct World {
    rights: Rights,
    structure_only: bool,
}

impl Languages for World {
    fn check_expression(&self, expression: &str) -> Result<(), SyntaxProblem> {
        match expression.find("and and") {
            Some(at) => Err(SyntaxProblem {
                message: "expected an expression".to_owned(),
                line: 1,
                column: u32::try_from(at).unwrap() + 5,
            }),
            None => Ok(()),
        }
    }

    fn check_code(&self, _language: Language, source: &str) -> Result<CodeFacts, SyntaxProblem> {
        let needs_host = source.contains("import csv").then(|| HostNeed { what: "module `csv`".to_owned(), line: 1 });
        Ok(CodeFacts { needs_host })
    }

    fn read_classes(&self, _source: &str) -> Result<Vec<Class>, SyntaxProblem> {
        Ok(Vec::new())
    }
}

impl Surroundings for World {
    fn structure_only(&self) -> bool {
        self.structure_only
    }

    fn rights(&self) -> &Rights {
        &self.rights
    }

    fn languages(&self) -> &dyn Languages {
        self
    }

    fn prompt_file(&self, name: &str) -> Result<String, Vec<String>> {
        if name == "there.txt" { Ok("be brief".to_owned()) } else { Err(vec![format!("prompts/{name}")]) }
    }

    fn file(&self, _path: &str) -> Option<String> {
        None
    }

    fn child_diagram(&self, name: &str, _format: Option<Format>) -> ChildFile {
        match name {
            "self" => ChildFile::Itself,
            "there" => ChildFile::Found,
            _ => ChildFile::NotFound { places: vec!["examples".to_owned()], near: Some("there".to_owned()) },
        }
    }

    fn has_key(&self, service: Service, _api_key_id: Option<&str>) -> bool {
        service == Service::Gemini
    }

    fn default_model(&self, _service: Service) -> Option<String> {
        Some("standard-1".to_owned())
    }
}

fn compiled(text: &str) -> Compiled {
    compile(text, None, &World { rights: Rights::of(Origin::Local, false, false), structure_only: false })
}

/// Compiles the light diagram `body` and compares `CODE at:line` of every diagnostic, in order.
#[track_caller]
fn check(body: &str, expected: &[&str]) {
    let compiled = compiled(&light(body));
    let found: Vec<String> = compiled
        .diagnostics
        .iter()
        .map(|it| format!("{} {}:{}", it.code, it.at.as_deref().unwrap_or("-"), it.span.line))
        .collect();
    assert_eq!(found, expected, "{body}\n{:#?}", compiled.diagnostics);
}

/// A light diagram with the persons `P` (scripted) and a start `s` on line 5; `body` begins on line 6.
fn light(body: &str) -> String {
    format!("version: light\npersons:\n  P: {{service: scripted}}\nnodes:\n- {{label: s, type: start}}\n{body}")
}

#[test]
fn a_plain_diagram_has_no_diagnostics_and_a_plan() {
    let text = light(
        "- {label: a, type: code_job, code: \"result = 1\"}\n- {label: e, type: endpoint}\n\
         connections:\n- {from: s, to: a}\n- {from: a, to: e, label: n, content_type: raw_text}\n",
    );
    let compiled = compiled(&text);
    assert_eq!(compiled.diagnostics, []);
    let plan = compiled.plan.unwrap();
    assert_eq!(plan.nodes.iter().map(|it| &*it.label).collect::<Vec<_>>(), ["s", "a", "e"]);
    assert_eq!(plan.edges.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["default", "n"]);
    assert!(plan.graph.nodes[2].is_endpoint);
    assert_eq!(plan.find("a"), Some(1));
    assert_eq!(plan.find("node_2"), Some(2));
}

#[test]
fn where_a_run_begins_is_checked() {
    check("- {label: a, type: code_job, code: x}\nconnections: []\n", &["W203 a:6"]);
    check(
        "- {label: a, type: code_job, code: x}\n- {label: b, type: code_job, code: x}\n\
         connections:\n- {from: a, to: b}\n- {from: b, to: a}\n",
        &["W204 a:6", "W206 a:6", "W204 b:7"],
    );
    // A person entered by `first` begins through it alone.
    check(
        "- {label: p, type: person_job, person: P, default_prompt: hi, max_iteration: 2}\n\
         - {label: a, type: code_job, code: x}\n\
         connections:\n- {from: s, to: p}\n- {from: p, to: a}\n- {from: a, to: \"p[first]\"}\n",
        &["W204 p:6", "W204 a:7"],
    );
}

#[test]
fn a_node_that_never_runs_is_named_once() {
    check(
        "- {label: a, type: code_job, code: x}\n- {label: c, type: condition, expression: n}\n\
         connections:\n- {from: a, to: c}\n- {from: \"c[condtrue]\", to: a}\n",
        &["W204 a:6", "W204 c:7"],
    );
}

#[test]
fn branches_that_lead_nowhere_are_named() {
    check(
        "- {label: c, type: condition, expression: \"True\"}\n- {label: e, type: endpoint}\n\
         connections:\n- {from: s, to: c}\n- {from: \"c[condtrue]\", to: e}\n",
        &["W205 c:6"],
    );
}

#[test]
fn a_loop_is_ended_by_a_condition_a_limited_person_or_a_failure_alone() {
    let nodes = "- {label: a, type: code_job, code: x}\n- {label: b, type: code_job, code: x}\n";
    check(
        &format!("{nodes}connections:\n- {{from: s, to: a}}\n- {{from: a, to: b}}\n- {{from: b, to: a}}\n"),
        &["W206 a:6"],
    );
    check(
        &format!("{nodes}connections:\n- {{from: s, to: a}}\n- {{from: a, to: b}}\n- {{from: \"b[error]\", to: a}}\n"),
        &[],
    );
    check(
        "- {label: p, type: person_job, person: P, default_prompt: hi, max_iteration: 2}\n\
         - {label: q, type: person_job, person: P, first_only_prompt: hi}\n\
         connections:\n- {from: s, to: p}\n- {from: p, to: q}\n- {from: q, to: p}\n",
        &["W209 q:7"],
    );
}

#[test]
fn two_connections_collide_only_when_they_can_carry_a_value_at_once() {
    let nodes = "- {label: a, type: code_job, code: x}\n- {label: b, type: code_job, code: x}\n\
                 - {label: c, type: condition, expression: \"True\"}\n- {label: e, type: endpoint}\n";
    let cases: [(&str, &[&str]); 7] = [
        (
            "- {from: a, to: e}\n- {from: b, to: e}\n- {from: s, to: c}\n- {from: s, to: a}\n- {from: s, to: b}\n",
            &["W207 e:9"],
        ),
        (
            "- {from: a, to: e, label: x}\n- {from: b, to: e}\n- {from: s, to: c}\n- {from: s, to: a}\n- {from: s, to: b}\n",
            &[],
        ),
        (
            "- {from: a, to: e, content_type: empty}\n- {from: b, to: e}\n- {from: s, to: c}\n- {from: s, to: a}\n- {from: s, to: b}\n",
            &[],
        ),
        (
            "- {from: s, to: c}\n- {from: \"c[condtrue]\", to: a}\n- {from: \"c[condfalse]\", to: b}\n- {from: a, to: e}\n- {from: b, to: e}\n",
            &[],
        ),
        (
            "- {from: s, to: c}\n- {from: \"c[condtrue]\", to: a}\n- {from: s, to: b}\n- {from: a, to: e}\n- {from: b, to: e}\n",
            &["W207 e:9"],
        ),
        (
            "- {from: s, to: a}\n- {from: a, to: b}\n- {from: \"a[error]\", to: e}\n- {from: b, to: e}\n- {from: s, to: c}\n",
            &[],
        ),
        // Entry and back edge of a loop.
        (
            "- {from: s, to: a}\n- {from: a, to: b}\n- {from: b, to: c}\n- {from: \"c[condfalse]\", to: a}\n- {from: \"c[condtrue]\", to: e}\n",
            &[],
        ),
    ];
    for (connections, expected) in cases {
        let compiled = compiled(&light(&format!("{nodes}connections:\n{connections}")));
        let found: Vec<String> = compiled
            .diagnostics
            .iter()
            .filter(|it| it.code != "W205")
            .map(|it| format!("{} {}:{}", it.code, it.at.as_deref().unwrap_or("-"), it.span.line))
            .collect();
        assert_eq!(found, expected, "{connections}");
    }
}

#[test]
fn on_error_and_the_error_connection_must_agree() {
    let connections = "- {label: e, type: endpoint}\nconnections:\n- {from: s, to: a}\n";
    check(
        &format!(
            "- {{label: a, type: code_job, code: x, on_error: fail}}\n{connections}- {{from: \"a[error]\", to: e}}\n"
        ),
        &["W210 a:6"],
    );
    check(
        &format!("- {{label: a, type: code_job, code: x, on_error: continue}}\n{connections}- {{from: a, to: e}}\n"),
        &["W211 a:6"],
    );
}

#[test]
fn labels_that_code_cannot_name_are_reported() {
    let to = |node: &str, label: &str| {
        format!("- {{label: a, {node}}}\nconnections:\n- {{from: s, to: a, label: \"{label}\"}}\n")
    };
    check(&to("type: code_job, code: x", "two words"), &["W303 connection 0:8"]);
    check(&to("type: code_job, code: x", "inputs"), &["W303 connection 0:8"]);
    check(&to("type: code_job, code: x", "größe_2"), &[]);
    check(&to("type: code_job, language: bash, code: x", "two words"), &[]);
    check(&to("type: endpoint", "two words"), &[]);
}

#[test]
fn the_graph_is_not_checked_when_its_parts_are_broken() {
    check(
        "- {label: a, type: endpoint}\n- {label: b, type: endpoint}\nconnections:\n- {from: s, to: aaaa}\n",
        &["E301 connection 0:9"],
    );
}

#[test]
fn types_without_an_implementation_are_refused_and_the_rest_is_checked() {
    check(
        "- {label: h, type: command, name: ls, whatever: 1, retry: 3}\n- {label: p, type: person_job}\n\
         connections:\n- {from: s, to: h}\n- {from: s, to: p}\n",
        &["E210 h:6", "E502 p:7", "E503 p:7"],
    );
}

#[test]
fn persons_and_nodes_are_found_by_id_and_label() {
    let body = |person: &str, node: &str| {
        format!(
            "- {{label: p, type: person_job, person: {person}, default_prompt: hi}}\n\
             - {{label: c, type: condition, condition_type: check_nodes_executed, node_indices: {node}}}\n\
             - {{label: e, type: endpoint}}\nconnections:\n- {{from: s, to: p}}\n- {{from: p, to: c}}\n\
             - {{from: \"c[condtrue]\", to: e}}\n- {{from: \"c[condfalse]\", to: e}}\n"
        )
    };
    check(&body("P", "[p]"), &[]);
    check(&body("person_P", "[node_1, p]"), &[]);
    check(&body("P", "\"p, node_1\""), &[]);
    check(&body("PP", "[q, nope]"), &["E501 p:6", "E507 c:7", "E507 c:7"]);
}

#[test]
fn persons_are_checked_for_files_keys_models_and_tools() {
    let text = |person: &str| {
        format!(
            "version: light\npersons:\n  P: {{{person}}}\nnodes:\n- {{label: s, type: start}}\n\
             - {{label: p, type: person_job, person: P, default_prompt: hi}}\nconnections:\n- {{from: s, to: p}}\n"
        )
    };
    let cases = [
        ("service: scripted", vec![]),
        ("service: gemini, model: m", vec![]),
        ("service: ollama, model: m", vec![]),
        ("service: gemini", vec!["W505"]),
        ("service: openai", vec!["W505", "W504"]),
        ("service: gemini, model: m, prompt_file: there.txt", vec![]),
        ("service: gemini, model: m, prompt_file: gone.txt", vec!["E504"]),
        ("service: ollama, model: m, tools: [image]", vec!["E406"]),
        ("service: gemini, model: m, tools: [none]", vec![]),
        ("service: gemini, model: m, tools: web_search", vec![]),
        ("service: anthropic, model: m, tools: [websearch, image]", vec!["W504", "E406"]),
        ("service: ollama, model: m, tools: web_search", vec!["E406"]),
        ("service: gemini, model: m, tools: 'files:read'", vec!["E406"]),
        ("service: gemini, model: m, tools: [{type: image, config: {size: big}}, 5]", vec!["W402", "E402"]),
        ("service: ollama, model: m, tools: [{type: image_generation}]", vec!["E406"]),
        ("service: gemini, model: m, tools: [{type: image, enabled: false}]", vec![]),
    ];
    for (person, expected) in cases {
        let found: Vec<_> = compiled(&text(person)).diagnostics.iter().map(|it| it.code).collect();
        assert_eq!(found, expected, "{person}");
    }
    let plan = compiled(&text("service: gemini, model: m, prompt_file: there.txt")).plan.unwrap();
    assert_eq!(plan.persons[0].system_prompt.as_deref(), Some("be brief"));
    let structure = World { rights: Rights::of(Origin::Local, false, false), structure_only: true };
    assert_eq!(compile(&text("service: openai, prompt_file: gone.txt"), None, &structure).diagnostics, []);
}

#[test]
fn the_common_fields_are_read_with_the_defaults_of_the_type() {
    let node = |fields: &str| {
        let text =
            light(&format!("- {{label: a, type: code_job, code: x{fields}}}\nconnections:\n- {{from: s, to: a}}\n"));
        let compiled = compiled(&text);
        let codes: Vec<_> = compiled.diagnostics.iter().map(|it| it.code).collect();
        let policy = compiled.plan.map(|mut it| it.nodes.remove(1).policy);
        (codes, policy)
    };
    let (codes, policy) =
        node(", timeout: 2.5, retry: {max_attempts: 3, backoff: Linear}, description: d, at_most_once: true");
    let policy = policy.unwrap();
    assert_eq!(codes, [""; 0]);
    assert_eq!(policy.timeout.unwrap().as_millis(), 2_500);
    assert_eq!(policy.retry, Retry { max_attempts: 3, delay_ms: 1_000, backoff: Backoff::Linear });
    assert!(policy.at_most_once && policy.retry_given);
    assert_eq!(policy.on_error, OnError::Fail);
    for (fields, expected) in [
        (", retry: 3", "E402"),
        (", retry: {max_attempts: 0}", "E404"),
        (", retry: {max_attempts: many}", "E402"),
        (", retry: {backoff: slow}", "E403"),
        (", retry: {attempts: 2}", "W401"),
        (", timeout: 0", "E404"),
        (", timeout: 1e300", "E404"),
        (", on_error: ignore", "E403"),
        (", tiemout: 3", "W401"),
    ] {
        assert_eq!(node(fields).0, [expected], "{fields}");
    }
}

const BROKEN: &str = r#"version: light
titel: tea
persons:
  Writer: {service: scripted}
nodes:
- {label: start, type: start}
- {label: ask, type: person_job, person: Writter, default_prompt: hi}
- {label: gate, type: condition, expression: "n > 1 and and m"}
- {label: file, type: db, operation: raed, file: a.txt}
- {label: end, type: endpoint}
connections:
- {from: start, to: ask}
- {from: ask, to: gate}
- {from: "gate[condtrue]", to: file}
- {from: "gate[condfalse]", to: end, label: a}
- {from: file, to: end, label: b}
"#;

#[test]
fn a_broken_diagram_reads_well_at_the_terminal() {
    let compiled = compiled(BROKEN);
    assert_snapshot!(Report::to_text("tea.light.yaml", &compiled, BROKEN));
}

#[test]
fn a_broken_diagram_is_reported_as_json() {
    let report = Report::new(&compiled(BROKEN), BROKEN);
    assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
    let error = invalid(&report);
    assert_eq!(error.code(), "INVALID_DIAGRAM");
    assert!(error.message().starts_with("the diagram has 3 errors, first 7:"), "{}", error.message());
    assert_eq!(error.details_value().unwrap()["errors"].as_array().unwrap().len(), 3);
}

#[test]
fn the_patches_of_a_diagram_repair_what_they_are_about() {
    let repaired = apply_patches(BROKEN, &compiled(BROKEN).diagnostics);
    let left: Vec<_> = compiled(&repaired).diagnostics.iter().map(|it| it.code).collect();
    assert_eq!(left, ["E601"], "{repaired}");
}

#[test]
fn repairs_of_json_stay_json() {
    let text = r#"{"nodes": [
        {"id": "a", "type": "start", "data": {"label": "a", "trigger_mod": "manul"}},
        {"id": "b", "type": "db", "data": {"label": "b", "operation": "raed", "file": "x.txt", "timeout": "3"}}
    ], "arrows": [{"source": "a_default_output", "target": "b_default_input"}]}"#;
    let before = compiled(text);
    let codes: Vec<_> = before.diagnostics.iter().map(|it| it.code).collect();
    assert_eq!(codes, ["W401", "E403", "W104"]);
    let once = apply_patches(text, &before.diagnostics);
    let twice = apply_patches(&once, &compiled(&once).diagnostics);
    assert!(twice.contains(r#""trigger_mode": "manual""#), "{twice}");
    assert!(twice.contains(r#""operation": "read", "file": "x.txt", "timeout": 3}"#), "{twice}");
    assert_eq!(compiled(&twice).diagnostics, []);
}

#[test]
fn a_problem_inside_a_block_of_text_points_at_its_own_line() {
    let text = light(
        "- label: p\n  type: person_job\n  person: P\n  default_prompt: |\n    first line\n    then {{#if x}}\n\
         connections:\n- {from: s, to: p}\n",
    );
    let compiled = compiled(&text);
    let [problem] = compiled.diagnostics.as_slice() else { panic!("{:?}", compiled.diagnostics) };
    assert_eq!((problem.code, problem.span.line, problem.span.column), ("E602", 11, 10));
}
