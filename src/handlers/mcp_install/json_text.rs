//! JSON as a person wrote it: finds values with their places, changes one and leaves every other byte alone,
//! and shows a text without the values that are nobody's business. Knows nothing of clients and files.

use std::ops::Range;

use serde_json::Value;

use crate::error::Error;

/// What stands in place of a value that is not shown.
const HIDDEN: &str = "\"…\"";

/// A value and where it stands in the text.
struct Node {
    span: Range<usize>,
    kind: Kind,
}

enum Kind {
    Object(Vec<Member>),
    Array(Vec<Node>),
    Text,
    Other,
}

struct Member {
    key: String,
    key_start: usize,
    value: Node,
}

/// Returns `text` with `value` under `path`, a key in an object for each name. Missing objects are added at
/// the end; indentation and line ends follow the text.
///
/// # Errors
///
/// `INVALID_INPUT` when the text is no JSON object (comments count as such), or something on the path is no object.
pub fn set(text: &str, path: &[&str], value: &Value) -> Result<String, Error> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let parsed: Value = serde_json::from_str(text).map_err(not_json)?;
    let root = Reader::read(text).ok_or_else(|| Error::internal("valid JSON could not be read"))?;
    let style = Style::of(text);
    let (parent, rest) = descend(&root, path)?;
    let changed = match rest.split_first() {
        None => {
            let base = style.indent_at(text, parent.span.start);
            replace(text, parent.span.clone(), &style.render(value, &base))
        }
        Some((key, deeper)) => {
            let value = deeper.iter().rev().fold(value.clone(), |inner, key| one(key, inner));
            insert(text, parent, key, &value, &style)?
        }
    };
    // The rest of the text must mean what it meant before.
    let expected = with(parsed, path, value.clone());
    match serde_json::from_str::<Value>(&changed) {
        Ok(read) if read == expected => Ok(changed),
        _ => Err(Error::internal("a changed JSON text does not say what it should")),
    }
}

/// Returns the value under `path`, or `None` where there is none.
///
/// # Errors
///
/// `INVALID_INPUT` when the text is no JSON.
pub fn get(text: &str, path: &[&str]) -> Result<Option<Value>, Error> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let mut value: Value = serde_json::from_str(text).map_err(not_json)?;
    for key in path {
        match value.get_mut(key) {
            Some(inner) => value = inner.take(),
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// Returns the text as it may be shown: every text value is hidden but those under `path`, and of those the
/// ones in `env` and `headers` that are not references to a variable.
pub fn shown(text: &str, path: &[&str]) -> String {
    let mut hidden = Vec::new();
    if let Some(root) = Reader::read(text) {
        collect(&root, text, path, &mut hidden);
    }
    hidden.sort_by_key(|it: &Range<usize>| std::cmp::Reverse(it.start));
    let mut shown = text.to_owned();
    for span in hidden {
        shown.replace_range(span, HIDDEN);
    }
    shown
}

fn not_json(e: serde_json::Error) -> Error {
    Error::invalid("INVALID_INPUT", format!("it is no plain JSON: {e}"))
}

fn one(key: &str, value: Value) -> Value {
    Value::Object([(key.to_owned(), value)].into_iter().collect())
}

/// What `value` means with `new` under `path`.
fn with(mut value: Value, path: &[&str], new: Value) -> Value {
    let Some((key, rest)) = path.split_first() else { return new };
    let inner = value.get(*key).cloned().unwrap_or_else(|| Value::Object(Default::default()));
    if let Value::Object(map) = &mut value {
        map.insert((*key).to_owned(), with(inner, rest, new));
    }
    value
}

/// The deepest value on the path that is there, and the names that are not.
fn descend<'a, 'b>(root: &'a Node, path: &'b [&'b str]) -> Result<(&'a Node, &'b [&'b str]), Error> {
    let (mut node, mut rest) = (root, path);
    while let Some((key, deeper)) = rest.split_first() {
        let Kind::Object(members) = &node.kind else {
            let place = path.get(..path.len() - rest.len()).unwrap_or_default().join(".");
            let what = if place.is_empty() { "it".to_owned() } else { format!("`{place}`") };
            return Err(Error::invalid("INVALID_INPUT", format!("{what} is no JSON object")));
        };
        // Of two members with one name the last counts.
        let Some(member) = members.iter().rev().find(|it| it.key == **key) else { break };
        (node, rest) = (&member.value, deeper);
    }
    Ok((node, rest))
}

fn replace(text: &str, span: Range<usize>, with: &str) -> String {
    let mut changed = text.to_owned();
    changed.replace_range(span, with);
    changed
}

/// Adds a member at the end of an object.
fn insert(text: &str, parent: &Node, key: &str, value: &Value, style: &Style) -> Result<String, Error> {
    let Kind::Object(members) = &parent.kind else {
        return Err(Error::invalid("INVALID_INPUT", format!("there is no object to put `{key}` into")));
    };
    let key = Value::from(key).to_string();
    let Some(last) = members.last() else {
        let outer = style.indent_at(text, parent.span.start);
        let inner = format!("{outer}{}", style.unit);
        let object = format!("{{{0}{inner}{key}: {1}{0}{outer}}}", style.newline, style.render(value, &inner));
        return Ok(replace(text, parent.span.clone(), &object));
    };
    let end = last.value.span.end;
    let is_on_one_line = !text[parent.span.clone()].contains('\n');
    let added = if is_on_one_line {
        let space = if text[parent.span.clone()].contains(": ") { " " } else { "" };
        format!(",{space}{key}:{space}{value}")
    } else {
        let indent = style.indent_at(text, last.key_start);
        format!(",{}{indent}{key}: {}", style.newline, style.render(value, &indent))
    };
    Ok(replace(text, end..end, &added))
}

/// How a text is laid out.
struct Style {
    /// One step of indentation.
    unit: String,
    newline: &'static str,
}

impl Style {
    fn of(text: &str) -> Self {
        let indents = text.lines().filter_map(|it| {
            let indent = it.len() - it.trim_start().len();
            (indent > 0 && it.trim_start().starts_with('"')).then(|| it[..indent].to_owned())
        });
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { unit: indents.min_by_key(String::len).unwrap_or_else(|| "  ".to_owned()), newline }
    }

    /// The white space that the line of the byte `at` begins with.
    fn indent_at(&self, text: &str, at: usize) -> String {
        let line = text[..at].rsplit('\n').next().unwrap_or_default();
        line.chars().take_while(|it| matches!(it, ' ' | '\t')).collect()
    }

    /// Lays `value` out; every line but the first begins with `base`.
    fn render(&self, value: &Value, base: &str) -> String {
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(self.unit.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        let done = serde::Serialize::serialize(value, &mut serializer);
        let text = match done {
            Ok(()) => String::from_utf8(out).unwrap_or_default(),
            Err(_) => value.to_string(),
        };
        text.replace('\n', &format!("{}{base}", self.newline))
    }
}

/// Collects the places of the values that are not shown; `path` is what is left of the way to the open part.
fn collect(node: &Node, text: &str, path: &[&str], hidden: &mut Vec<Range<usize>>) {
    match &node.kind {
        Kind::Text => hidden.push(node.span.clone()),
        Kind::Other => {}
        Kind::Array(items) => items.iter().for_each(|it| hide_all(it, hidden)),
        Kind::Object(members) => {
            for member in members {
                match path.split_first() {
                    Some((key, [])) if member.key == *key => open(&member.value, text, hidden),
                    Some((key, rest)) if member.key == *key => collect(&member.value, text, rest, hidden),
                    _ => hide_all(&member.value, hidden),
                }
            }
        }
    }
}

fn hide_all(node: &Node, hidden: &mut Vec<Range<usize>>) {
    match &node.kind {
        Kind::Text => hidden.push(node.span.clone()),
        Kind::Other => {}
        Kind::Array(items) => items.iter().for_each(|it| hide_all(it, hidden)),
        Kind::Object(members) => members.iter().for_each(|it| hide_all(&it.value, hidden)),
    }
}

/// The open part: hides what stands in `env` and `headers` and is no reference.
fn open(node: &Node, text: &str, hidden: &mut Vec<Range<usize>>) {
    let Kind::Object(members) = &node.kind else { return };
    for member in members.iter().filter(|it| matches!(it.key.as_str(), "env" | "headers")) {
        let mut inner = Vec::new();
        hide_all(&member.value, &mut inner);
        hidden.extend(inner.into_iter().filter(|it| !text[it.clone()].contains("${")));
    }
}

/// Reads valid JSON once more, for the places.
struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads a text that serde_json has accepted, which also bounds how deep it may be nested. Returns `None`
    /// for anything else.
    fn read(text: &'a str) -> Option<Node> {
        serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
        let mut reader = Self { bytes: text.as_bytes(), text, at: 0 };
        reader.value(0)
    }

    fn skip_space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_there = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        // As deep as serde_json goes.
        if depth > 128 {
            return None;
        }
        self.skip_space();
        let start = self.at;
        let kind = match self.bytes.get(start)? {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => {
                self.string()?;
                Kind::Text
            }
            _ => {
                while self.bytes.get(self.at).is_some_and(|it| !b",]} \t\r\n".contains(it)) {
                    self.at += 1;
                }
                Kind::Other
            }
        };
        Some(Node { span: start..self.at, kind })
    }

    fn object(&mut self, depth: usize) -> Option<Kind> {
        let mut members = Vec::new();
        self.take(b'{');
        if self.take(b'}') {
            return Some(Kind::Object(members));
        }
        loop {
            self.skip_space();
            let key_start = self.at;
            let span = self.string()?;
            let key = serde_json::from_str(&self.text[span]).ok()?;
            if !self.take(b':') {
                return None;
            }
            members.push(Member { key, key_start, value: self.value(depth + 1)? });
            if self.take(b'}') {
                return Some(Kind::Object(members));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Kind> {
        let mut items = Vec::new();
        self.take(b'[');
        if self.take(b']') {
            return Some(Kind::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Some(Kind::Array(items));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    /// Passes a string and returns its place, quotes included.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        if self.bytes.get(start) != Some(&b'"') {
            return None;
        }
        self.at += 1;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(start..self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const PATH: [&str; 2] = ["mcpServers", "dipeo"];

    #[test]
    fn a_value_is_put_where_it_belongs_and_every_other_byte_stays() {
        let entry = json!({"command": "dipeo", "args": ["mcp"]});
        let pretty = "{\n  \"mcpServers\": {\n    \"dipeo\": {\n      \"command\": \"dipeo\",\n      \"args\": [\n        \"mcp\"\n      ]\n    }\n  }\n}";
        for (before, after) in [
            ("", format!("{pretty}\n")),
            (" \n", format!("{pretty}\n")),
            ("{}", pretty.to_owned()),
            (
                "{\"a\":1}",
                "{\"a\":1,\"mcpServers\":{\"dipeo\":{\"command\":\"dipeo\",\"args\":[\"mcp\"]}}}".to_owned(),
            ),
            (
                "{\n\t\"a\": [ 1,2 ],\n\t\"mcpServers\": { }\n}\n",
                "{\n\t\"a\": [ 1,2 ],\n\t\"mcpServers\": {\n\t\t\"dipeo\": {\n\t\t\t\"command\": \"dipeo\",\n\t\t\t\"args\": [\n\t\t\t\t\"mcp\"\n\t\t\t]\n\t\t}\n\t}\n}\n"
                    .to_owned(),
            ),
            (
                "{\r\n    \"mcpServers\": {\r\n        \"x\": {\"command\": \"é \\\" } y\"}\r\n    },\r\n    \"b\":   1.50\r\n}",
                "{\r\n    \"mcpServers\": {\r\n        \"x\": {\"command\": \"é \\\" } y\"},\r\n        \"dipeo\": {\r\n            \"command\": \"dipeo\",\r\n            \"args\": [\r\n                \"mcp\"\r\n            ]\r\n        }\r\n    },\r\n    \"b\":   1.50\r\n}"
                    .to_owned(),
            ),
            (
                "{\n  \"mcpServers\": {\n    \"dipeo\": {\"command\": \"old\"},\n    \"z\": {}\n  }\n}",
                "{\n  \"mcpServers\": {\n    \"dipeo\": {\n      \"command\": \"dipeo\",\n      \"args\": [\n        \"mcp\"\n      ]\n    },\n    \"z\": {}\n  }\n}"
                    .to_owned(),
            ),
        ] {
            let changed = set(before, &PATH, &entry).expect("it can be set");
            assert_eq!(changed, after, "{before:?}");
            assert_eq!(get(&changed, &PATH).expect("JSON"), Some(entry.clone()));
        }
    }

    #[test]
    fn what_is_no_plain_object_is_refused_by_name() {
        for (text, says) in [
            ("{\n  // mine\n  \"a\": 1\n}", "no plain JSON"),
            ("{\"a\": 1,}", "no plain JSON"),
            ("\u{feff}{}", "no plain JSON"),
            ("[]", "it is no JSON object"),
            ("{\"mcpServers\": []}", "`mcpServers` is no JSON object"),
            ("{\"mcpServers\": \"x\"}", "`mcpServers` is no JSON object"),
        ] {
            let error = set(text, &PATH, &json!(1)).expect_err(text);
            assert!(error.code() == "INVALID_INPUT" && error.message().contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn what_belongs_to_others_is_not_shown() {
        let text = r#"{"key": "k1", "n": 1, "mcpServers": {"x": {"env": {"T": "k2"}, "args": ["k3"]}, "dipeo": {"command": "dipeo", "env": {"A": "k4", "B": "${B}"}}}}"#;
        let shown = shown(text, &PATH);
        assert!(!["k1", "k2", "k3", "k4"].iter().any(|it| shown.contains(it)), "{shown}");
        assert!(shown.contains(r#""command": "dipeo""#) && shown.contains("${B}") && shown.contains(r#""n": 1"#));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-zé\"\\\\{}\\[\\],:\n ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"]{0,2}|mcpServers|dipeo", inner, 0..4)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_object_keeps_its_meaning(value in any_json(), new in any_json(), is_pretty in any::<bool>()) {
            let text = if is_pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.expect("JSON");
            if let Ok(changed) = set(&text, &PATH, &new) {
                prop_assert_eq!(serde_json::from_str::<Value>(&changed).expect("JSON"), with(value, &PATH, new));
            } else {
                let is_open = value.as_object().is_some_and(|it| it.get("mcpServers").is_none_or(Value::is_object));
                prop_assert!(!is_open, "{}", text);
            }
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "[{}\\[\\]\",:\\\\ae1 \n]{0,24}") {
            let _ = set(&text, &PATH, &json!(1));
            let _ = shown(&text, &PATH);
        }
    }
}
