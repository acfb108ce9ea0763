//! Hostile values in every field of every node type: none panics, each is taken or named with its place and
//! what to write. The fields come from the types themselves, so a new type is besieged from its first day.

use dipeo::compile::compile;
use dipeo::nodes;
use serde_json::{Value, json};

use crate::mistakes::World;

/// The fields of every node.
const COMMON: &[&str] = &["timeout", "retry", "on_error", "at_most_once", "strict_templates", "mock_response"];

fn hostile_values() -> Vec<Value> {
    let nested = (0..40).fold(json!(1), |inner, _| json!({"a": [inner]}));
    vec![
        json!(null),
        json!(""),
        json!("   "),
        json!(true),
        json!(-1),
        json!(0),
        json!(1e300),
        json!(u64::MAX),
        json!([]),
        json!({}),
        json!([[[]], {}, null]),
        json!("{{"),
        json!("{{#each x}}"),
        json!("{% for x in y %}{{ x"),
        json!("../../etc/passwd"),
        json!("/etc/passwd"),
        json!("a\u{0}b"),
        json!("x".repeat(70_000)),
        json!("(".repeat(5_000)),
        json!("class A(A): x: A"),
        json!({"$ref": "#"}),
        json!({"type": {"type": []}}),
        json!("${secret:X}"),
        json!("http://127.0.0.1/"),
        nested,
    ]
}

#[test]
fn every_field_of_every_type_takes_any_value_without_a_panic() {
    let world = World::new();
    let mut n_compiled = 0;
    for node in nodes::ALL {
        for key in node.fields.iter().map(|it| it.key).chain(COMMON.iter().copied()) {
            for value in hostile_values() {
                let text = json!({
                    "version": "light",
                    "persons": {"Ann": {"service": "scripted"}},
                    "nodes": [{"label": "n", "type": node.kind.name(), key: value}],
                    "connections": [],
                })
                .to_string();
                let compiled = compile(&text, None, &world);
                n_compiled += 1;
                for it in &compiled.diagnostics {
                    let at = format!("{} {key} {}", node.kind.name(), it.message);
                    assert!(text.get(it.span.offset..it.span.offset + it.span.len).is_some(), "{at}");
                    assert!(it.hint.is_some(), "no hint: {at}");
                    assert!(it.message.len() < 80_000, "{at}");
                }
                let has_error = compiled.diagnostics.iter().any(|it| it.code.starts_with('E'));
                assert_eq!(compiled.is_valid(), !has_error, "{} {key}", node.kind.name());
            }
        }
    }
    assert!(n_compiled > 1_000, "{n_compiled}");
}
