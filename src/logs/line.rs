//! One line of a log: time, level, component, execution, node, message, fields; as text or as JSON.

use std::fmt::{self, Write};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata};

use crate::clock::Timestamp;

/// Longest text of a message or field, in bytes: a line stays one write, and nobody reads more.
const TEXT_BYTES_MAX: usize = 8 * 1024;

/// An event with its texts made safe to show.
pub(super) struct Line {
    at: String,
    level: &'static str,
    component: String,
    execution: Option<String>,
    node: Option<String>,
    message: String,
    fields: Vec<(String, Value)>,
}

impl Line {
    /// Takes an event apart; every text goes through `clean`.
    pub fn of(event: &Event<'_>, at: Timestamp, clean: impl Fn(&mut String)) -> Self {
        let mut parts = Parts { values: Vec::new() };
        event.record(&mut parts);
        let mut line = Self {
            at: at.to_rfc3339(),
            level: event.metadata().level().as_str(),
            component: component(event.metadata()),
            execution: None,
            node: None,
            message: String::new(),
            fields: Vec::new(),
        };
        for (name, mut value) in parts.values {
            if let Value::String(text) = &mut value {
                clean(text);
                cut(text);
            }
            match (name, value) {
                ("message", value) => line.message = plain(value),
                ("execution.id", value) => line.execution = Some(plain(value)),
                ("node.label", value) => line.node = Some(plain(value)),
                (name, value) => line.fields.push((name.to_owned(), value)),
            }
        }
        line
    }

    /// `2026-01-02T03:04:05.678Z INFO  engine exec_… [label] the message code=X`
    pub fn to_text(&self) -> String {
        let mut text = format!("{} {:<5} {}", self.at, self.level, self.component);
        if let Some(execution) = &self.execution {
            text.push(' ');
            push_escaped(&mut text, execution);
        }
        if let Some(node) = &self.node {
            text.push_str(" [");
            push_escaped(&mut text, node);
            text.push(']');
        }
        text.push(' ');
        push_escaped(&mut text, &self.message);
        for (name, value) in &self.fields {
            // Writing to a text does not fail.
            let _ = write!(text, " {name}=");
            match value {
                Value::String(value) if !value.is_empty() && !value.contains([' ', '"', '=']) => {
                    push_escaped(&mut text, value);
                }
                value => text.push_str(&value.to_string()),
            }
        }
        text.push('\n');
        text
    }

    /// One object; the fields stand beside the rest.
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                object.insert(name.to_owned(), value.into());
            }
        };
        add("time", Some(&self.at));
        add("level", Some(&self.level.to_ascii_lowercase()));
        add("component", Some(&self.component));
        add("execution_id", self.execution.as_deref());
        add("node", self.node.as_deref());
        add("message", Some(&self.message));
        for (name, value) in &self.fields {
            object.entry(name.replace('.', "_")).or_insert_with(|| value.clone());
        }
        let mut text = Value::Object(object).to_string();
        text.push('\n');
        text
    }
}

/// The room of this program that speaks, or the package of another.
fn component(metadata: &Metadata<'_>) -> String {
    let mut parts = metadata.target().split("::");
    let first = parts.next().unwrap_or_default();
    if first == env!("CARGO_PKG_NAME") { parts.next().unwrap_or("main").to_owned() } else { first.to_owned() }
}

fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
}

/// What would begin a new line, or move the cursor of whoever looks, is written out.
fn push_escaped(text: &mut String, part: &str) {
    for letter in part.chars() {
        match letter {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push(' '),
            _ if letter.is_control() || crate::shown::hides(letter.encode_utf8(&mut [0; 4])) => {
                let _ = write!(text, "{}", letter.escape_unicode());
            }
            _ => text.push(letter),
        }
    }
}

struct Parts {
    values: Vec<(&'static str, Value)>,
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.values.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.values.push((field.name(), value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.values.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.values.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.values.push((field.name(), value.into()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.values.push((field.name(), format!("{value:?}").into()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::*;

    /// Keeps each event in both forms.
    #[derive(Clone, Default)]
    struct Keep(Arc<Mutex<Vec<(String, String)>>>);

    impl<S: tracing::Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let blot = |text: &mut String| *text = text.replace("canary", "***");
            let line = Line::of(event, Timestamp(1_767_323_045_678), blot);
            self.0.lock().expect("sound").push((line.to_text(), line.to_json()));
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<(String, String)> {
        let keep = Keep::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(keep.clone()), log);
        keep.0.lock().expect("sound").clone()
    }

    #[test]
    fn a_line_has_its_parts_in_order_and_reads_alone() {
        let found = lines(|| {
            tracing::warn!(execution.id = %"exec_a", node.label = "ask", code = "X", n_jobs = 3, why = "a b", "it failed: {}", "so");
        });
        let (text, json) = &found[0];
        assert_eq!(
            text,
            "2026-01-02T03:04:05.678Z WARN  logs exec_a [ask] it failed: so code=X n_jobs=3 why=\"a b\"\n"
        );
        let expected = r#"{"time":"2026-01-02T03:04:05.678Z","level":"warn","component":"logs","execution_id":"exec_a","node":"ask","message":"it failed: so","code":"X","n_jobs":3,"why":"a b"}"#;
        assert_eq!(json.trim_end(), expected);
    }

    #[test]
    fn no_text_breaks_out_of_its_line_or_shows_a_secret() {
        let found = lines(|| {
            tracing::event!(target: "rmcp::service", tracing::Level::ERROR, node.label = "a]\nb", key = "my canary", "one\r\ntwo\u{1b}[31m\u{202e} canary");
        });
        let (text, json) = &found[0];
        assert_eq!(
            text,
            "2026-01-02T03:04:05.678Z ERROR rmcp [a]\\nb] one\\r\\ntwo\\u{1b}[31m\\u{202e} *** key=\"my ***\"\n"
        );
        assert!(json.ends_with("\"message\":\"one\\r\\ntwo\\u001b[31m\u{202e} ***\",\"key\":\"my ***\"}\n"), "{json}");
    }

    #[test]
    fn a_long_text_is_cut() {
        let found = lines(|| tracing::info!("{}", "ü".repeat(TEXT_BYTES_MAX)));
        assert!(found[0].0.len() < TEXT_BYTES_MAX + 100 && found[0].0.ends_with("ü…\n"));
    }
}
