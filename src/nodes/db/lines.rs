//! Which lines of a text are asked for: `3`, `2:5`, `2:`, `:5`, lists of these, and `{start, end}`.

use serde_json::Value;

/// A range of lines, counted from 1; both ends belong to it. An absent end is the end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRange {
    start: usize,
    end: Option<usize>,
}

impl LineRange {
    /// Reads the value of `lines`.
    ///
    /// # Errors
    ///
    /// The part that is no range.
    pub fn parse_all(value: &Value) -> Result<Vec<Self>, String> {
        match value {
            Value::Array(items) => {
                let ranges: Result<Vec<_>, _> = items.iter().map(Self::parse_all).collect();
                ranges.map(|it| it.concat())
            }
            Value::String(text) => text.split(',').map(Self::parse).collect(),
            Value::Number(number) => Self::parse(&number.to_string()).map(|it| vec![it]),
            Value::Object(map) => {
                let side = |key| map.get(key).filter(|it| !it.is_null()).map(Value::to_string).unwrap_or_default();
                if map.keys().any(|it| it != "start" && it != "end") {
                    return Err(value.to_string());
                }
                Self::parse(&format!("{}:{}", side("start"), side("end"))).map(|it| vec![it])
            }
            Value::Null | Value::Bool(_) => Err(value.to_string()),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let refused = || text.trim().to_owned();
        let line = |it: &str| it.trim().parse::<usize>().ok().filter(|it| *it >= 1).ok_or_else(refused);
        let Some((start, end)) = text.split_once(':') else {
            let only = line(text)?;
            return Ok(Self { start: only, end: Some(only) });
        };
        let start = if start.trim().is_empty() { 1 } else { line(start)? };
        let end = if end.trim().is_empty() { None } else { Some(line(end)?) };
        if end.is_some_and(|end| end < start) {
            return Err(refused());
        }
        Ok(Self { start, end })
    }

    /// Returns the lines of `text` in `ranges`, in the order of the ranges, without a newline at the end.
    pub fn select(ranges: &[Self], text: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let mut selected: Vec<&str> = Vec::new();
        for range in ranges {
            let end = range.end.unwrap_or(lines.len()).min(lines.len());
            selected.extend_from_slice(lines.get(range.start - 1..end).unwrap_or_default());
        }
        selected.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ranges_count_from_one_and_include_both_ends() {
        for (lines, expected) in [
            (json!(3), Some("c")),
            (json!("2:3"), Some("b\nc")),
            (json!("4:"), Some("d\ne")),
            (json!(":2"), Some("a\nb")),
            (json!("1,4:9"), Some("a\nd\ne")),
            (json!([5, "1:2"]), Some("e\na\nb")),
            (json!([{"start": 2, "end": 2}, {"end": 1}]), Some("b\na")),
            (json!("9"), Some("")),
            (json!("7:9"), Some("")),
            (json!("0"), None),
            (json!("-1"), None),
            (json!("3:2"), None),
            (json!("x"), None),
            (json!({"from": 1}), None),
            (json!(true), None),
        ] {
            let ranges = LineRange::parse_all(&lines);
            let selected = ranges.ok().map(|it| LineRange::select(&it, "a\nb\r\nc\nd\ne\n"));
            assert_eq!(selected.as_deref(), expected, "{lines}");
        }
    }
}
