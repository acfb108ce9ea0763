//! JSON values as Python literals that a person can read: short ones in one line, long texts line by line.

use serde_json::Value;

/// Widest literal that is written in one line, in characters.
const WIDTH: usize = 100;

/// Writes `value` as it stands in a line that is indented `depth` times.
pub(super) fn python(value: &Value, depth: usize) -> String {
    let flat = in_one_line(value);
    if flat.chars().count() + 4 * depth <= WIDTH && !has_lines(value) {
        return flat;
    }
    let (outer, inner) = ("    ".repeat(depth), "    ".repeat(depth + 1));
    match value {
        Value::Array(items) if !items.is_empty() => {
            let items: String = items.iter().map(|it| format!("{inner}{},\n", python(it, depth + 1))).collect();
            format!("[\n{items}{outer}]")
        }
        Value::Object(map) if !map.is_empty() => {
            let entries: String =
                map.iter().map(|(key, it)| format!("{inner}{}: {},\n", text(key), python(it, depth + 1))).collect();
            format!("{{\n{entries}{outer}}}")
        }
        Value::String(long) if has_lines(value) => {
            let lines: String = long.split_inclusive('\n').map(|it| format!("{inner}{}\n", text(it))).collect();
            format!("(\n{lines}{outer})")
        }
        _ => flat,
    }
}

/// Whether a text inside `value` has several lines.
fn has_lines(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim_end_matches('\n').contains('\n'),
        Value::Array(items) => items.iter().any(has_lines),
        Value::Object(map) => map.values().any(has_lines),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn in_one_line(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(it) => text(it),
        Value::Array(items) => format!("[{}]", items.iter().map(in_one_line).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, it)| format!("{}: {}", text(key), in_one_line(it))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// Every escape of JSON means the same in Python. What no editor shows is escaped as well.
fn text(text: &str) -> String {
    let json = Value::from(text).to_string();
    json.chars()
        .map(|it| match it {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{feff}' => {
                format!("\\u{:04x}", u32::from(it))
            }
            it => it.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_python_has_them() {
        for (value, expected) in [
            (json!(null), "None"),
            (json!([true, false, 1, 1.5]), "[True, False, 1, 1.5]"),
            (json!({"a b": "it's \"x\"\\\n"}), r#"{"a b": "it's \"x\"\\\n"}"#),
            (json!("\u{0}\u{1b}\u{202e}é"), r#""\u0000\u001b\u202eé""#),
            (json!({}), "{}"),
            (json!("one\ntwo"), "(\n    \"one\\n\"\n    \"two\"\n)"),
            (json!(["one\ntwo", 3]), "[\n    (\n        \"one\\n\"\n        \"two\"\n    ),\n    3,\n]"),
        ] {
            assert_eq!(python(&value, 0), expected);
        }
        assert_eq!(python(&json!(["x".repeat(60), "y".repeat(60)]), 1).lines().count(), 4);
    }
}
