//! A document to YAML in the style of the examples: blocks, short lists in brackets, texts of several lines
//! as literal blocks. Writes the YAML that our reader and readers of YAML 1.1 take for the same values.

use serde_json::Value;

use super::scalar::{in_block, in_flow, literal};

/// Longest line that a list in brackets, or a mapping in braces, may make, in characters.
const LINE_CHARS_MAX: usize = 120;
/// Longest key written before a `:`, in bytes; readers look 1024 characters ahead at most.
const KEY_BYTES_MAX: usize = 500;

/// A value and how it is to stand.
pub(super) enum Doc {
    Map(Vec<(String, Doc)>),
    List(Vec<Doc>),
    /// A mapping in braces if its values are plain and it fits on its line, else a block.
    Braces(Vec<(String, Value)>),
    Value(Value),
}

/// Writes one document.
pub(super) fn document(entries: &[(String, Doc)]) -> String {
    let mut writer = Writer { out: String::new() };
    writer.map(entries.iter().map(|(key, value)| (key.as_str(), value)), 0, false);
    writer.out
}

struct Writer {
    out: String,
}

impl Writer {
    /// Writes the entries of a mapping; `is_open` when the first one goes on in the line of its dash.
    fn map<'d>(&mut self, entries: impl Iterator<Item = (&'d str, &'d Doc)>, indent: usize, is_open: bool) {
        for (nth, (key, value)) in entries.enumerate() {
            if nth > 0 || !is_open {
                self.pad(indent);
            }
            self.key(key, indent);
            self.value(value, indent);
        }
    }

    fn pad(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    fn key(&mut self, key: &str, indent: usize) {
        let key = in_block(&Value::from(key));
        if key.len() > KEY_BYTES_MAX {
            self.out.push_str("? ");
            self.out.push_str(&key);
            self.out.push('\n');
            self.pad(indent);
        } else {
            self.out.push_str(&key);
        }
        self.out.push(':');
    }

    /// Writes what stands behind the `:` of a key at `indent`, with its line end.
    fn value(&mut self, value: &Doc, indent: usize) {
        match value {
            Doc::Map(entries) if entries.is_empty() => self.out.push_str(" {}\n"),
            Doc::Map(entries) => {
                self.out.push('\n');
                self.map(entries.iter().map(|(key, value)| (key.as_str(), value)), indent + 2, false);
            }
            Doc::List(items) if items.is_empty() => self.out.push_str(" []\n"),
            Doc::List(items) => {
                self.out.push('\n');
                self.list(items.iter(), indent, false);
            }
            Doc::Braces(entries) => self.braces(entries, indent, true),
            Doc::Value(value) => self.plain_value(value, indent),
        }
    }

    fn plain_value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.out.push('\n');
                let entries: Vec<(&str, Doc)> =
                    map.iter().map(|(key, it)| (key.as_str(), Doc::Value(it.clone()))).collect();
                self.map(entries.iter().map(|(key, it)| (*key, it)), indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => match self.brackets(items) {
                Some(text) => {
                    self.out.push(' ');
                    self.out.push_str(&text);
                    self.out.push('\n');
                }
                None => {
                    self.out.push('\n');
                    let items: Vec<Doc> = items.iter().map(|it| Doc::Value(it.clone())).collect();
                    self.list(items.iter(), indent, false);
                }
            },
            other => self.scalar(other, indent),
        }
    }

    /// Writes a scalar behind a `:` or a dash at `indent`.
    fn scalar(&mut self, value: &Value, indent: usize) {
        self.out.push(' ');
        let block = value.as_str().and_then(literal);
        let Some((header, lines)) = block else {
            self.out.push_str(&in_block(value));
            self.out.push('\n');
            return;
        };
        self.out.push_str(header);
        self.out.push('\n');
        for line in lines {
            if !line.is_empty() {
                self.pad(indent + 2);
                self.out.push_str(line);
            }
            self.out.push('\n');
        }
    }

    /// Writes the items of a list; `is_open` when the first one goes on in the line of an outer dash.
    fn list<'d>(&mut self, items: impl Iterator<Item = &'d Doc>, indent: usize, is_open: bool) {
        for (nth, item) in items.enumerate() {
            if nth > 0 || !is_open {
                self.pad(indent);
            }
            self.out.push('-');
            match item {
                Doc::Map(entries) if !entries.is_empty() => {
                    self.out.push(' ');
                    self.map(entries.iter().map(|(key, value)| (key.as_str(), value)), indent + 2, true);
                }
                Doc::Braces(entries) => self.braces(entries, indent, false),
                Doc::Value(Value::Object(map)) if !map.is_empty() => {
                    self.out.push(' ');
                    let entries: Vec<(&str, Doc)> =
                        map.iter().map(|(key, it)| (key.as_str(), Doc::Value(it.clone()))).collect();
                    self.map(entries.iter().map(|(key, it)| (*key, it)), indent + 2, true);
                }
                Doc::Value(Value::Array(inner)) if self.brackets(inner).is_none() => {
                    self.out.push(' ');
                    let inner: Vec<Doc> = inner.iter().map(|it| Doc::Value(it.clone())).collect();
                    self.list(inner.iter(), indent + 2, true);
                }
                Doc::List(_) | Doc::Map(_) | Doc::Value(_) => self.value(item, indent),
            }
        }
    }

    /// Writes a mapping in braces where it fits; `is_value` when it stands behind a key, not a dash.
    fn braces(&mut self, entries: &[(String, Value)], indent: usize, is_value: bool) {
        let is_short =
            |it: &Value| !it.is_array() && !it.is_object() && it.as_str().is_none_or(|it| !it.contains('\n'));
        let line_start = self.out.rfind('\n').map_or(0, |it| it + 1);
        if entries.iter().all(|(_, it)| is_short(it)) {
            let pair =
                |(key, value): &(String, Value)| format!("{}: {}", in_flow(&Value::from(key.as_str())), in_flow(value));
            let text = format!(" {{{}}}\n", entries.iter().map(pair).collect::<Vec<_>>().join(", "));
            if self.out[line_start..].chars().count() + text.chars().count() <= LINE_CHARS_MAX {
                self.out.push_str(&text);
                return;
            }
        }
        let entries: Vec<(&str, Doc)> =
            entries.iter().map(|(key, it)| (key.as_str(), Doc::Value(it.clone()))).collect();
        self.out.push(if is_value { '\n' } else { ' ' });
        self.map(entries.iter().map(|(key, it)| (*key, it)), indent + 2, !is_value);
    }

    /// Returns a list of short scalars in brackets if it fits behind what stands on the line so far.
    fn brackets(&self, items: &[Value]) -> Option<String> {
        let is_short =
            |it: &Value| !it.is_array() && !it.is_object() && it.as_str().is_none_or(|it| !it.contains('\n'));
        if !items.iter().all(is_short) {
            return None;
        }
        let text = format!("[{}]", items.iter().map(in_flow).collect::<Vec<_>>().join(", "));
        let line_start = self.out.rfind('\n').map_or(0, |it| it + 1);
        let n_chars = self.out[line_start..].chars().count() + text.chars().count() + 1;
        (n_chars <= LINE_CHARS_MAX).then_some(text)
    }
}
