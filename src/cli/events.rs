//! One event of an execution as a line.

use std::fmt::{Display, Formatter};

use serde_json::{Map, Value};

use super::print::readable;
use crate::handlers::follow_execution::EventRecord;
use crate::shown;

/// Characters of a value that stand in a line.
const EXCERPT_CHARS: usize = 60;

/// What is shown of an event.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub seq: u64,
    /// RFC 3339.
    pub at: &'a str,
    pub event: &'a str,
    /// The label of its node, else the id.
    pub node: &'a str,
    /// What the event carries.
    pub data: &'a Map<String, Value>,
}

impl<'a> Line<'a> {
    /// Of an event that is followed.
    pub fn of(it: &'a EventRecord) -> Self {
        let label = text(&it.data, "label");
        let node = if label.is_empty() { text(&it.data, "node_id") } else { label };
        Self { seq: it.seq, at: text(&it.data, "ts"), event: &it.event, node, data: &it.data }
    }

    /// The cells of a table: number, time of day, what happened, the node, and what is worth knowing of it.
    pub fn cells(self) -> [String; 5] {
        let time = self.at.split(['T', 'Z']).nth(1).unwrap_or_default().to_owned();
        [self.seq.to_string(), time, self.event.to_owned(), self.node.to_owned(), detail(self.event, self.data)]
    }
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let [seq, time, event, node, detail] = self.cells();
        let line = format!("{seq:>5}  {time}  {event:<21} {:<16} {detail}", shown::line(&node, usize::MAX));
        f.write_str(line.trim_end())
    }
}

/// Whether the event is about this node, by label or id.
pub fn is_about(it: &EventRecord, node: &str) -> bool {
    text(&it.data, "label") == node || text(&it.data, "node_id") == node
}

fn text<'a>(data: &'a Map<String, Value>, key: &str) -> &'a str {
    data.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn detail(event: &str, data: &Map<String, Value>) -> String {
    let ms = |key: &str| data.get(key).and_then(Value::as_i64).map(|it| format!("{it} ms")).unwrap_or_default();
    let round = data.get("iteration").and_then(Value::as_u64).filter(|it| *it > 1);
    let round = round.map(|it| format!("run {it}")).unwrap_or_default();
    let parts = match event {
        "execution_started" => vec![text(data, "diagram").to_owned()],
        "node_started" => vec![round, attempt(data)],
        "node_completed" => vec![round, ms("duration_ms"), output(data)],
        "node_output" => vec![round, data.get("index").map(|it| format!("item {it}")).unwrap_or_default()],
        "node_error" => vec![round, error(data)],
        "node_retry" => vec![round, format!("again in {}", ms("delay_ms")), error(data)],
        "interactive_prompt" => vec![round, text(data, "reason").to_owned(), excerpt(text(data, "prompt"))],
        "interactive_response" | "execution_resumed" => vec![round, by(data)],
        "control" => vec![text(data, "action").to_owned(), by(data), text(data, "reason").to_owned()],
        "node_skipped" | "execution_paused" => vec![text(data, "reason").to_owned()],
        "tool_call_started" => vec![text(data, "tool").to_owned()],
        "execution_log" => vec![text(data, "level").to_owned(), text(data, "message").to_owned()],
        "execution_completed" | "execution_error" | "execution_aborted" => {
            vec![ms("total_duration_ms"), error(data), by(data)]
        }
        _ => Vec::new(),
    };
    let parts = parts.iter().map(|it| shown::line(it, usize::MAX)).filter(|it| !it.is_empty());
    parts.collect::<Vec<_>>().join("  ")
}

fn attempt(data: &Map<String, Value>) -> String {
    let attempt = data.get("attempt").and_then(Value::as_u64).filter(|it| *it > 1);
    attempt.map(|it| format!("attempt {it}")).unwrap_or_default()
}

fn by(data: &Map<String, Value>) -> String {
    let by = text(data, "by");
    if by.is_empty() { String::new() } else { format!("by {by}") }
}

fn error(data: &Map<String, Value>) -> String {
    let Some(error) = data.get("error").and_then(Value::as_object) else { return String::new() };
    format!("{} {}", text(error, "code"), text(error, "message"))
}

fn output(data: &Map<String, Value>) -> String {
    let body = data.get("output").and_then(|it| it.get("body")).filter(|it| !it.is_null());
    body.map(|it| excerpt(&readable(it))).unwrap_or_default()
}

fn excerpt(text: &str) -> String {
    shown::line(text, EXCERPT_CHARS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_says_on_one_line_what_is_worth_knowing_of_it() {
        for (event, more, expected) in [
            ("execution_started", json!({"diagram": "review"}), "review"),
            ("node_started", json!({"iteration": 1, "attempt": 1}), ""),
            ("node_started", json!({"iteration": 3, "attempt": 2}), "run 3  attempt 2"),
            ("node_completed", json!({"iteration": 1, "duration_ms": 12, "output": {"body": "a\nb"}}), "12 ms  a b"),
            ("node_error", json!({"iteration": 1, "error": {"code": "X", "message": "no"}}), "X no"),
            ("node_retry", json!({"delay_ms": 5, "error": {"code": "X", "message": "no"}}), "again in 5 ms  X no"),
            ("interactive_prompt", json!({"iteration": 1, "reason": "input", "prompt": "Name?"}), "input  Name?"),
            ("interactive_response", json!({"iteration": 2, "by": "mcp"}), "run 2  by mcp"),
            ("execution_paused", json!({"reason": "model"}), "model"),
            ("control", json!({"action": "pause", "by": "terminal"}), "pause  by terminal"),
            ("execution_aborted", json!({"total_duration_ms": 7, "by": "terminal"}), "7 ms  by terminal"),
            ("written_by_somebody_else", json!({"payload": [1]}), ""),
        ] {
            let Value::Object(data) = more else { panic!("no map") };
            assert_eq!(detail(event, &data), expected, "{event}");
        }
    }

    #[test]
    fn a_line_holds_no_control_characters() {
        let data = json!({"ts": "2026-01-02T03:04:05.678Z", "label": "a\u{1b}[2J\nb", "reason": "x\u{7}"});
        let Value::Object(data) = data else { panic!("no map") };
        let record = EventRecord { seq: 12, event: "node_skipped".to_owned(), data };
        assert_eq!(Line::of(&record).to_string(), "   12  03:04:05.678  node_skipped          a[2J b           x");
    }
}
