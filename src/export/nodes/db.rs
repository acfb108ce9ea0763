//! `db` nodes: everything but YAML, which Python's standard library does not have, and bytes, which a script has
//! no store for.

use serde_json::{Value, json};

use super::{Call, Reading};
use crate::diagram::TreeKind;
use crate::export::parts::Part;
use crate::nodes::file_format::{FileFormat, suffix};

pub(super) fn call(reading: &mut Reading<'_, '_>) -> Call {
    let fields = &mut reading.fields;
    let mut call = Call::new("run_db", &[Part::Db]);
    let operation = fields.choice("operation", &["read", "write", "append", "update"]).unwrap_or("read");
    let format = fields.choice("format", FileFormat::NAMES);
    let encoding = match fields.choice("encoding", &["utf-8", "utf-8-sig", "latin-1", "utf8", "iso-8859-1"]) {
        Some("iso-8859-1" | "latin-1") => Some("latin-1"),
        Some("utf-8-sig") => Some("utf-8-sig"),
        _ => None,
    };
    let is_list = fields.tree("file").is_some_and(|it| matches!(it.kind, TreeKind::List(_)));
    let files: Vec<String> = fields.texts("file", false).into_iter().filter(|it| !it.trim().is_empty()).collect();
    let keys = fields.texts("keys", true);
    let lines = fields.value("lines").filter(|it| !it.is_null());
    let by_suffix = format.is_none() && (matches!(operation, "write" | "update") || !keys.is_empty());
    let is_yaml = |path: &String| by_suffix && matches!(suffix(path).as_str(), "yaml" | "yml");
    let needs_yaml = format == Some("yaml") || files.iter().any(is_yaml);
    call.add("operation", Some(operation));
    call.add("files", Some(files));
    call.add("is_list", is_list.then_some(true));
    call.add("file_format", format);
    call.add("encoding", encoding);
    call.add("keys", Some(keys).filter(|it| !it.is_empty()));
    call.add("lines", lines.map(|it| Value::from(ranges(&it))));
    call.add(
        "missing_value",
        fields.is_given("missing_value").then(|| fields.value("missing_value").unwrap_or_default()),
    );
    call.add("is_glob", (!fields.boolean("glob", true)).then_some(false));
    call.add("serialize_json", fields.boolean("serialize_json", false).then_some(true));
    call.add("content", fields.tree("content").map(|it| it.to_json()));
    if needs_yaml {
        reading.refuse("YAML files need more than Python's standard library");
    }
    call
}

/// Ranges of lines as `[first, last]`, last absent for the end of the text. What is no range was refused when
/// the diagram was compiled.
fn ranges(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.iter().flat_map(ranges).collect(),
        Value::String(text) => text.split(',').map(range).collect(),
        Value::Object(map) => {
            let side = |key: &str| map.get(key).filter(|it| !it.is_null()).map(Value::to_string).unwrap_or_default();
            vec![range(&format!("{}:{}", side("start"), side("end")))]
        }
        other => vec![range(&other.to_string())],
    }
}

fn range(text: &str) -> Value {
    let line = |it: &str| it.trim().parse::<u64>().ok();
    match text.split_once(':') {
        Some((start, end)) => json!([line(start).unwrap_or(1), line(end)]),
        None => json!([line(text), line(text)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_lines_are_pairs() {
        for (lines, expected) in [
            (json!(3), json!([[3, 3]])),
            (json!("2:5, 7"), json!([[2, 5], [7, 7]])),
            (json!([":2", {"start": 4}]), json!([[1, 2], [4, null]])),
        ] {
            assert_eq!(Value::from(ranges(&lines)), expected, "{lines}");
        }
    }
}
