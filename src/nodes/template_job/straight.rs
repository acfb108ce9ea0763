//! Which templates are rendered inside the server: those that only put small values in. Everything else
//! can multiply texts (`~`, `*`, filters, loops), and only the end of it is bounded.

use serde_json::Value;

use super::texts_in;
use crate::nodes::ports::RenderJob;

/// Longest template and largest values together, in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Longest expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 256;
/// What a value costs beside its text, in bytes.
const VALUE_BYTES: usize = 16;

/// Whether rendering is bounded by the sizes of what goes in and comes out.
pub(super) fn is_straight(job: &RenderJob) -> bool {
    let mut texts = Vec::new();
    job.variables.values().for_each(|it| texts_in(it, &mut texts));
    let mut values = job.names.values().chain(job.variables.values());
    texts.is_empty()
        && job.template.len() <= BYTES_MAX
        && has_only_paths(&job.template)
        && values.try_fold(BYTES_MAX, spend).is_some()
}

/// Whether all tags are `{{ a.b[0].c }}`. Without quotes in them, a tag ends at the first `}}`.
fn has_only_paths(template: &str) -> bool {
    let mut pieces = template.split("{{");
    let is_text = |it: &str| !it.contains("{%") && !it.contains("{#");
    pieces.next().is_none_or(is_text)
        && pieces.all(|it| it.split_once("}}").is_some_and(|(inside, after)| is_path(inside) && is_text(after)))
}

fn is_path(expression: &str) -> bool {
    let is_part = |it: char| it.is_alphanumeric() || matches!(it, '_' | '.' | '[' | ']' | ' ' | '-');
    expression.len() <= EXPRESSION_BYTES_MAX && expression.chars().all(is_part)
}

/// Takes the size of a value off what is left.
fn spend(left: usize, value: &Value) -> Option<usize> {
    let left = left.checked_sub(VALUE_BYTES)?;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(left),
        Value::String(text) => left.checked_sub(text.len()),
        Value::Array(items) => items.iter().try_fold(left, spend),
        Value::Object(map) => {
            map.iter().try_fold(left, |left, (key, value)| spend(left.checked_sub(key.len())?, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn only_what_cannot_multiply_is_straight() {
        let job = |template: &str, variables: Value| RenderJob {
            template: template.into(),
            names: Map::new(),
            variables: variables.as_object().cloned().unwrap_or_default(),
            timeout: Duration::from_secs(1),
        };
        for template in ["", "plain } text", "{{ a }} {{- b.c[0] -}}\n{{d}}", "** {{ a }} 'x' **"] {
            assert!(is_straight(&job(template, json!({"a": "b", "n": [1]}))), "{template}");
        }
        for template in [
            "{% set x = 1 %}",
            "{{ a ~ a }}",
            "{{ 'x' * 9 }}",
            "{{ a|indent(9) }}",
            "{{ '}}' * 9 }}",
            "{{ range(9) }}",
            "{# {{ #} {{ a }}",
            "{{ a",
            "{{ a }}{%- if a %}{% endif %}",
        ] {
            assert!(!is_straight(&job(template, json!({}))), "{template}");
        }
        assert!(!is_straight(&job("{{ a }}", json!({"a": ["{{ b }}"]}))));
        assert!(!is_straight(&job("{{ a }}", json!({"a": "x".repeat(BYTES_MAX)}))));
        assert!(!is_straight(&job(&"x".repeat(BYTES_MAX + 1), json!({}))));
    }
}
