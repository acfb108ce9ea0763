//! `GET /api/executions/{id}/stream`: the same events in the words that clients of Tool Hub know (platform.md 6.1, 18):
//! unnamed records `{"type", "data", "timestamp"}`, and `done` behind everything.

use axum::body::Bytes;
use serde_json::{Map, Value, json};

use crate::handlers::follow_execution::EventRecord;

/// What of an event is told, by which names.
const FIELDS: [(&str, &str, &[&str]); 6] = [
    ("execution_started", "started", &[]),
    ("node_started", "node_started", &["node_id", "label", "node_type", "iteration"]),
    ("node_completed", "node_completed", &["node_id", "label", "iteration", "duration_ms"]),
    ("execution_completed", "completed", &["outputs", "total_duration_ms"]),
    ("execution_error", "failed", &["error", "total_duration_ms"]),
    ("execution_aborted", "failed", &["reason", "total_duration_ms"]),
];

/// The records of an event; none of most.
pub(super) fn records(event: &EventRecord) -> Option<Bytes> {
    let (_, kind, fields) = FIELDS.iter().find(|it| it.0 == event.event)?;
    let mut data = Map::new();
    for name in std::iter::once(&"execution_id").chain(*fields) {
        data.extend(event.data.get(*name).map(|it| ((*name).to_owned(), it.clone())));
    }
    if let Some(output) = event.data.get("output") {
        data.insert("output".to_owned(), output["body"].clone());
    }
    let status = match event.event.as_str() {
        "execution_completed" => Some("completed"),
        "execution_error" => Some("failed"),
        "execution_aborted" => Some("aborted"),
        _ => None,
    };
    let time = event.data.get("ts").cloned().unwrap_or_default();
    let record =
        |kind: &str, data: Value| format!("data: {}\n\n", json!({"type": kind, "data": data, "timestamp": time}));
    if let Some(status) = status {
        data.insert("status".to_owned(), status.into());
    }
    let mut text = format!("id: {}\n{}", event.seq, record(kind, data.into()));
    if let Some(status) = status {
        let done = json!({"execution_id": event.data.get("execution_id"), "status": status});
        text.push_str(&record("done", done));
    }
    Some(Bytes::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_in_the_words_of_tool_hub() {
        let mut told = String::new();
        for (seq, event, data) in [
            (1, "execution_started", json!({"nodes": []})),
            (2, "node_started", json!({"node_id": "node_0", "label": "a", "node_type": "start"})),
            (3, "control", json!({"action": "pause"})),
            (4, "node_completed", json!({"node_id": "node_0", "output": {"body": {"x": 1}}, "meta": {}})),
            (5, "execution_aborted", json!({"reason": "enough"})),
        ] {
            let mut data = data.as_object().cloned().expect("an object");
            data.insert("ts".into(), "T".into());
            let text = records(&EventRecord { seq, event: event.into(), data }).unwrap_or_default();
            told.push_str(std::str::from_utf8(&text).expect("text"));
        }
        assert_eq!(
            told.lines().filter(|it| !it.is_empty()).collect::<Vec<_>>(),
            [
                "id: 1",
                r#"data: {"type":"started","data":{},"timestamp":"T"}"#,
                "id: 2",
                r#"data: {"type":"node_started","data":{"node_id":"node_0","label":"a","node_type":"start"},"timestamp":"T"}"#,
                "id: 4",
                r#"data: {"type":"node_completed","data":{"node_id":"node_0","output":{"x":1}},"timestamp":"T"}"#,
                "id: 5",
                r#"data: {"type":"failed","data":{"reason":"enough","status":"aborted"},"timestamp":"T"}"#,
                r#"data: {"type":"done","data":{"execution_id":null,"status":"aborted"},"timestamp":"T"}"#,
            ]
        );
    }
}
