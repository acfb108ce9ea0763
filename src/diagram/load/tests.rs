//! Tables for the loader: what becomes which tree, and what is refused where.

use serde_json::{Value, json};

use super::*;

fn value(text: &str) -> Value {
    load(text).unwrap_or_else(|it| panic!("{text}: {it:?}")).tree.to_json()
}

/// Returns code, line, column, and the message of the first problem.
fn problem(text: &str) -> (&'static str, u32, u32, String) {
    let problems = load(text).map(|it| it.tree).unwrap_err();
    (problems[0].code, problems[0].span.line, problems[0].span.column, problems[0].message.clone())
}

#[test]
fn yaml_and_json_become_the_same_tree() {
    for (text, expected) in [
        ("a: 1\nb: [x, {c: yes}]\n", json!({"a": 1, "b": ["x", {"c": "yes"}]})),
        ("a: 'it''s'\nb: \"x\\n\"\n", json!({"a": "it's", "b": "x\n"})),
        ("a: |\n  l1\n  l2\nb: >-\n  f1\n  f2\n", json!({"a": "l1\nl2\n", "b": "f1 f2"})),
        ("{\t\"a\":\t[1,\t2], \"b\\/c\": \"\\uD83D\\uDE00\\t\"}", json!({"a": [1, 2], "b/c": "\u{1F600}\t"})),
        ("{\"a\":1,\"b\":{\"c\":\"d\"},\"e\":-1.5e3}", json!({"a": 1, "b": {"c": "d"}, "e": -1500.0})),
        ("no: on\ny: n\n5: x\ntrue: z\n", json!({"no": "on", "y": "n", "5": "x", "true": "z"})),
        ("a: \"5\"\nb: !!str 5\nc: 'null'\nd:\n", json!({"a": "5", "b": "5", "c": "null", "d": null})),
        ("\u{feff}a: 1\r\nb: 2\r\n", json!({"a": 1, "b": 2})),
        ("# only\n---\na: 1\n...\n", json!({"a": 1})),
        ("base: &b {x: 1, y: 2}\nown: {<<: *b, y: 3}\n", json!({"base": {"x": 1, "y": 2}, "own": {"y": 3, "x": 1}})),
        ("a: &t hi\nb: *t\nc: [*t, *t]\n*t : k\n", json!({"a": "hi", "b": "hi", "c": ["hi", "hi"], "hi": "k"})),
        ("a: {__typename: X, b: [{__x: 1, c: 2}]}\n__y: 1\n", json!({"a": {"b": [{"c": 2}]}})),
        ("when: 2024-01-02\nat: 1:30\n", json!({"when": "2024-01-02", "at": "1:30"})),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn every_value_and_key_knows_its_place() {
    let text = "a: b  # note\nlist:\n- 'q q'\n- ü: [x]\n";
    let tree = load(text).unwrap().tree;
    let source = |span: Span| &text[span.offset..span.offset + span.len];
    let list = tree.get("list").unwrap().items();
    assert_eq!(source(tree.get("a").unwrap().span), "b");
    assert_eq!(source(list[0].span), "'q q'");
    let (key, value) = &list[1].entries()[0];
    assert_eq!((source(key.span), key.span.line, key.span.column), ("ü", 4, 3));
    assert_eq!((value.items()[0].span.line, value.items()[0].span.column), (4, 7));
}

#[test]
fn what_is_no_mapping_or_no_yaml_is_refused_with_its_place() {
    for (text, expected) in [
        ("", ("E102", 1, 1, "empty")),
        ("# nothing\n", ("E102", 1, 1, "empty")),
        ("- a\n", ("E102", 1, 1, "a list")),
        ("just words\n", ("E102", 1, 1, "a text")),
        ("---\n", ("E102", 1, 4, "null")),
        ("a: 1\n---\nb: 2\n", ("E102", 2, 1, "more than one document")),
        ("a:\n\tb: 1\n", ("E101", 2, 2, "tab")),
        ("\ta: 1\n", ("E101", 1, 1, "tab")),
        ("- {from: a}\n- {from: gate[x], to: b}\n", ("E101", 2, 14, "flow mapping")),
        ("a: b: c\n", ("E101", 1, 5, "mapping values")),
        ("a: 'x\n", ("E101", 2, 1, "quoted scalar")),
        ("a: [1\n", ("E101", 1, 4, "unclosed")),
        ("a: *nobody\n", ("E101", 1, 4, "anchor")),
        ("a: &a [*a]\n", ("E101", 1, 8, "contains itself")),
        ("a: !include x\n", ("E101", 1, 13, "tag `!include`")),
        ("a: .nan\n", ("E101", 1, 4, "`.nan`")),
        ("[1]: x\n", ("E101", 1, 1, "cannot be a key")),
        (": x\n", ("E101", 1, 1, "a key is missing")),
        ("<<: 5\n", ("E101", 1, 5, "`<<`")),
        ("a: 1\nb: {c: 1,\n  c: 2}\n", ("E103", 3, 3, "line 2 and again in line 3")),
    ] {
        let (code, line, column, message) = problem(text);
        assert_eq!((code, line, column), (expected.0, expected.1, expected.2), "{text}: {message}");
        assert!(message.contains(expected.3), "{text}: {message}");
    }
}

#[test]
fn all_duplicate_keys_are_reported_at_once() {
    let problems = load("a: 1\na: 2\nb: {c: 1, c: 2, c: 3}\n").map(|it| it.tree).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|it| (it.code, it.span.line)).collect();
    assert_eq!(lines, [("E103", 2), ("E103", 3), ("E103", 3)]);
}

#[test]
fn numbers_that_surprise_are_warnings_with_their_field() {
    let loaded = load("a: {zip: 012, big: 123456789012345678901234567890}\n").unwrap();
    let warnings: Vec<_> = loaded.warnings.iter().map(|it| (it.code, it.field.as_deref())).collect();
    assert_eq!(warnings, [("W104", Some("zip")), ("W104", Some("big"))]);
    assert_eq!(loaded.tree.to_json()["a"]["zip"], 12);
}

#[test]
fn hostile_texts_are_refused_soon() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    let long_alias = format!("a: &a {}\nb: [{}]\n", "x".repeat(500_000), "*a, ".repeat(9_000));
    for (name, text) in [
        ("alias bomb", bomb),
        ("aliases of a long text", long_alias),
        ("brackets", "a: ".to_owned() + &"[".repeat(100_000)),
        ("braces", "{\"a\":".repeat(100_000)),
        ("dashes", "- ".repeat(100_000)),
        ("indentation", (0..1_000).map(|it| format!("{}a:\n", " ".repeat(it))).collect()),
        ("nested question marks", "? ".repeat(100_000)),
        ("many values", format!("a: [{}]", "1, ".repeat(10_001))),
        ("too long", "a".repeat(100 * 1024 * 1024)),
        (
            "merges of a large mapping",
            format!(
                "a: &a {{{}}}\nb: [{}]",
                (0..1_000).map(|it| format!("k{it}: 1, ")).collect::<String>(),
                "{<<: *a}, ".repeat(5_000)
            ),
        ),
    ] {
        let (code, ..) = problem(&text);
        assert!(matches!(code, "E104" | "E101" | "E103"), "{name}: {code}");
    }
}

#[test]
fn limits_are_exact() {
    let nested = |n: usize| format!("{}1{}", "{a: ".repeat(n), "}".repeat(n));
    assert_eq!(load(&nested(DIAGRAM_DEPTH_MAX)).map(|it| it.tree.is_map()), Ok(true));
    assert_eq!(problem(&nested(DIAGRAM_DEPTH_MAX + 1)).0, "E104");
    // The mapping and its list are two values.
    let values = |n: usize| format!("a: [{}]", vec!["1"; n - 2].join(","));
    assert!(load(&values(DIAGRAM_VALUES_MAX)).is_ok());
    assert_eq!(problem(&values(DIAGRAM_VALUES_MAX + 1)).0, "E104");
    let long = |n: usize| format!("a: {}", "x".repeat(n - 3));
    assert!(load(&long(DIAGRAM_BYTES_MAX)).is_ok());
    assert_eq!(problem(&long(DIAGRAM_BYTES_MAX + 1)).0, "E104");
}

#[test]
fn json_is_checked_by_the_rules_of_json() {
    assert_eq!(check_json("{\"a\": [1, 2.5e3, \"\\u00e9\"]}"), Ok(()));
    for (text, line, words) in [
        ("{a: 1}", 1, "key must be a string"),
        ("{\"a\": 1,\n}", 2, "trailing comma"),
        ("{\"a\": 1", 1, "EOF"),
        ("{\"a\": 01}", 1, "invalid number"),
    ] {
        let problem = check_json(text).unwrap_err().remove(0);
        assert_eq!((problem.code, problem.span.line), ("E101", line), "{text}");
        assert!(problem.message.contains(words), "{}", problem.message);
    }
}
