use serde_json::json;

use super::super::harness::{Harness, codes};
use super::super::ports::outline::{Outline, OutlineItem};
use super::*;

fn item(pattern: Pattern, line: u32, facts: Value) -> OutlineItem {
    OutlineItem { pattern, line, end_line: line + 1, facts: facts.as_object().cloned().expect("a map") }
}

fn sample() -> Outline {
    let members = json!([{"name": "X", "value": 1}, {"name": "Y", "value": null, "expression": "f()"}]);
    Outline {
        items: vec![
            item(Pattern::Enum, 1, json!({"name": "E", "members": members})),
            item(Pattern::Interface, 4, json!({"name": "A"})),
        ],
        imports: vec![json!({"from": "x"})],
        n_lines: 9,
    }
}

fn harness(fields: Value) -> Harness {
    let harness =
        Harness::new(NodeKind::TypescriptAst, fields).file("files/a.ts", "the file a").file("files/b.tsx", "b");
    for _ in 0..3 {
        harness.code.outlines.lock().expect("no test panics with it").push(Ok(sample()));
    }
    harness
}

/// What was parsed: text and path.
fn parsed(harness: &Harness) -> Vec<(String, Option<String>)> {
    let jobs = harness.code.outlined.lock().expect("no test panics with it");
    jobs.iter().map(|it| (it.source.to_string(), it.options.path.clone())).collect()
}

async fn check(fields: Value, expected: Value) {
    let body = harness(fields.clone()).body().await;
    assert_eq!(body.map_err(|it| it.to_json()), Ok(expected), "{fields}");
}

#[tokio::test]
async fn the_formats_arrange_the_same_declarations() {
    let members = json!([{"name": "X", "value": 1}, {"name": "Y", "value": null, "expression": "f()"}]);
    let metadata = json!({"parseMode": "module", "extractPatterns": ["interface", "type", "enum"], "lines": 9});
    let summary = json!({"totalExtracted": 2, "byType": {"interface": 1, "type": 0, "enum": 1}});
    check(
        json!({"source": "interface A {}"}),
        json!({
            "extracted": {"interface": [{"name": "A"}], "type": [], "enum": [{"name": "E", "members": members}]},
            "metadata": metadata, "summary": summary,
        }),
    )
    .await;
    check(
        json!({"source": "x", "flatten_output": true, "transform_enums": true}),
        json!({
            "extracted": [
                {"name": "E", "members": {"X": 1, "Y": "f()"}, "definition_type": "enum"},
                {"name": "A", "definition_type": "interface"},
            ],
            "metadata": metadata, "summary": summary,
        }),
    )
    .await;
    check(
        json!({"source": "x", "output_format": "for_codegen", "extract_patterns": "interfaces, enum, classes"}),
        json!({"interfaces": [{"name": "A"}], "enums": [{"name": "E", "members": members}], "classes": [], "total_definitions": 2}),
    )
    .await;
    check(
        json!({"source": "files/a.ts", "output_format": "for_analysis", "parse_mode": "script", "extract_patterns": ["Enums", "enum"]}),
        json!({
            "extracted": {"enum": [{"name": "E", "members": members, "line": 1, "endLine": 2}]},
            "metadata": {
                "path": "files/a.ts", "parseMode": "script", "extractPatterns": ["enum"], "lines": 9,
                "imports": [{"from": "x"}],
            },
            "summary": {"totalExtracted": 2, "byType": {"enum": 1}},
        }),
    )
    .await;
    check(
        json!({"source": "x", "output_format": "for_codegen", "flatten_output": true, "extract_patterns": "interface"}),
        json!({
            "definitions": [
                {"name": "E", "members": members, "definition_type": "enum"}, {"name": "A", "definition_type": "interface"},
            ],
            "total_definitions": 2,
        }),
    )
    .await;
}

#[tokio::test]
async fn the_source_comes_from_the_field_or_from_an_input() {
    let text = |it: &str| vec![(it.to_owned(), None)];
    let file = || vec![("the file a".to_owned(), Some("files/a.ts".to_owned()))];
    for (fields, inputs, expected) in [
        (json!({"source": "type A = 1"}), json!({}), text("type A = 1")),
        (json!({"source": "files/a.ts"}), json!({}), file()),
        (json!({"source": "files/{name}.ts"}), json!({"name": "a"}), file()),
        (json!({}), json!({"source": "type B = 1"}), text("type B = 1")),
        (json!({}), json!({"default": {"source": "files/a.ts"}}), file()),
        (json!({}), json!({"any": "type C = 1"}), text("type C = 1")),
    ] {
        let fields = if fields == json!({}) { json!({"source": null}) } else { fields };
        let harness = in_diagram(fields.clone()).inputs(inputs);
        harness.body().await.unwrap_or_else(|error| panic!("{fields}: {error}"));
        assert_eq!(parsed(&harness), expected, "{fields}");
    }
}

/// A node with an incoming connection, which may leave `source` to it.
fn in_diagram(fields: Value) -> Harness {
    use super::super::harness::{World, connection, node};
    let mut diagram = super::super::harness::diagram(NodeKind::TypescriptAst, fields);
    diagram.nodes.push(node(1, NodeKind::Start, json!({})));
    diagram.connections.push(connection(1, 0));
    let world = World { files: [("files/a.ts", "")].into(), ..World::default() };
    let harness = Harness::in_diagram(&diagram, world).file("files/a.ts", "the file a").file("files/b.tsx", "b");
    for _ in 0..3 {
        harness.code.outlines.lock().expect("no test panics with it").push(Ok(sample()));
    }
    harness
}

#[tokio::test]
async fn a_batch_parses_each_source_under_its_name() {
    for (fields, inputs, expected) in [
        (json!({"batch": true, "source": "files/*.ts"}), json!({}), vec![("files/a.ts", "the file a")]),
        (json!({"batch": true}), json!({"sources": {"x.ts": "1", "y": "2"}}), vec![("x.ts", "1"), ("y", "2")]),
        (
            json!({"batch": true, "batch_input_key": "files"}),
            json!({"files": ["files/a.ts", "files/b.tsx"]}),
            vec![("files/a.ts", "the file a"), ("files/b.tsx", "b")],
        ),
        (json!({"batch": true}), json!({"default": "{\"z.ts\": \"3\"}"}), vec![("z.ts", "3")]),
    ] {
        let harness = in_diagram(fields.clone()).inputs(inputs);
        let body = harness.body().await.unwrap_or_else(|error| panic!("{fields}: {error}"));
        let names: Vec<&str> = body.as_object().expect("a map").keys().map(String::as_str).collect();
        assert_eq!(names, expected.iter().map(|it| it.0).collect::<Vec<_>>(), "{fields}");
        let texts: Vec<String> = parsed(&harness).into_iter().map(|it| it.0).collect();
        assert_eq!(texts, expected.iter().map(|it| it.1).collect::<Vec<_>>(), "{fields}");
    }
}

#[tokio::test]
async fn what_is_no_source_fails_and_says_what_is() {
    for (fields, inputs, code, part) in [
        (json!({}), json!({"a": 1}), "PARSE_FAILED", "no TypeScript source"),
        (json!({}), json!({"source": "  "}), "PARSE_FAILED", "no TypeScript source"),
        (json!({}), json!({"source": "files/none.ts"}), "FILE_NOT_FOUND", "none.ts"),
        (json!({"batch": true}), json!({"sources": 3}), "BATCH_INPUT", "neither a map nor a list"),
        (json!({"batch": true}), json!({"sources": {"a": 1}}), "BATCH_INPUT", "`a` is no text"),
        (json!({"batch": true}), json!({"sources": ["type A = 1"]}), "BATCH_INPUT", "no path"),
        (json!({"batch": true}), json!({}), "BATCH_INPUT", "no input `sources`"),
        (json!({"batch": true, "source": "type A = 1"}), json!({}), "BATCH_INPUT", "not a path"),
    ] {
        let error = in_diagram(fields.clone()).inputs(inputs).body().await.expect_err("no source");
        assert_eq!(error.code(), code, "{fields}: {error}");
        assert!(error.message().contains(part), "{fields}: {error}");
    }
}

#[tokio::test]
async fn a_source_that_does_not_parse_is_named() {
    let broken = || Error::invalid("PARSE_FAILED", "line 1, column 2: unexpected token").hint("correct it");
    for (fields, inputs, message) in [
        (json!({"source": "files/a.ts"}), json!({}), "`files/a.ts`: line 1, column 2: unexpected token"),
        (json!({"batch": true}), json!({"sources": {"q": "("}}), "`q`: line 1, column 2: unexpected token"),
        (json!({"source": "type ("}), json!({}), "line 1, column 2: unexpected token"),
    ] {
        let harness = in_diagram(fields.clone()).inputs(inputs);
        *harness.code.outlines.lock().expect("no test panics with it") = vec![Err(broken())];
        let error = harness.body().await.expect_err("it is broken");
        assert_eq!((error.message(), error.hint_text()), (message, Some("correct it")), "{fields}");
    }
}

#[test]
fn diagnostics_name_each_mistake_once() {
    for (fields, expected) in [
        (json!({}), vec!["E401"]),
        (json!({"source": "type A = 1"}), vec![]),
        (json!({"source": "files/none.ts"}), vec!["W502"]),
        (json!({"source": "../x.ts"}), vec!["E702"]),
        (json!({"source": "files/**/*.ts", "batch": true}), vec![]),
        (json!({"source": "x", "extract_patterns": ["interfase"]}), vec!["E403"]),
        (json!({"source": "x", "extract_patterns": 3}), vec!["E402"]),
        (json!({"source": "x", "parse_mode": "modul"}), vec!["E403"]),
        (json!({"source": "x", "output_format": "codegen"}), vec!["E403"]),
        (json!({"source": "x", "batch_input_key": "files"}), vec!["W402"]),
        (json!({"source": "x", "batch_input_key": "sources"}), vec![]),
        (json!({"source": "x", "include_jsdocs": true}), vec!["W401"]),
    ] {
        assert_eq!(codes(NodeKind::TypescriptAst, fields.clone()), expected, "{fields}");
    }
}
