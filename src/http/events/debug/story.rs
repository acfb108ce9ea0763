//! The events of one execution in the words of the debugger's clients.

use serde_json::{Value, json};

use crate::handlers::follow_execution::EventRecord;

/// What was told of one execution so far.
pub(super) struct Story {
    pub execution_id: String,
    /// Nodes of the diagram.
    n_nodes: usize,
    /// Node executions that have completed.
    n_done: u64,
    /// Nodes that breakpoints hold, since the last pause: id and name.
    held: Vec<(Value, Value)>,
}

/// A frame to come.
#[derive(Debug)]
pub(super) struct Told {
    pub kind: &'static str,
    /// The node it is about; null when it is about the execution.
    pub node_id: Value,
    pub data: Value,
}

impl Story {
    /// Nothing was told yet.
    pub fn of(execution_id: String) -> Self {
        Self { execution_id, n_nodes: 0, n_done: 0, held: Vec::new() }
    }

    /// What to tell of an event; nothing of most.
    pub fn tell(&mut self, event: &EventRecord) -> Vec<Told> {
        let field = |name: &str| event.data.get(name).cloned().unwrap_or_default();
        let node_id = field("node_id");
        let node = event.data.get("label").unwrap_or(&node_id).clone();
        let one = |kind, data| vec![Told { kind, node_id: node_id.clone(), data }];
        match event.event.as_str() {
            "execution_started" => {
                self.n_nodes = field("nodes").as_array().map_or(0, Vec::len);
                Vec::new()
            }
            "node_started" => one("node_start", json!({"node": node})),
            "node_completed" => {
                self.n_done += 1;
                one("node_complete", json!({"result": field("output")["body"], "node": node}))
            }
            "node_error" => one("error", json!({"message": field("error")["message"], "node": node})),
            "interactive_prompt" if field("reason") == "breakpoint" => {
                self.held.push((node_id, node));
                Vec::new()
            }
            // Not before the pause: until then other nodes run, and commands would come too early.
            "execution_paused" => self.paused(field("reason"), field("waiting_for")),
            "execution_completed" => one("complete", self.results(field("outputs"), "completed")),
            "execution_aborted" => one("complete", self.results(field("outputs"), "aborted")),
            "execution_error" => one("error", json!({"message": field("error")["message"], "status": "failed"})),
            _ => Vec::new(),
        }
    }

    fn paused(&mut self, reason: Value, waiting_for: Value) -> Vec<Told> {
        let (index, total) = (self.n_done, self.n_nodes);
        let held = std::mem::take(&mut self.held).into_iter();
        let told = held.map(|(node_id, node)| {
            let data = json!({"node": node, "index": index, "total": total});
            Told { kind: "breakpoint", node_id, data }
        });
        let told: Vec<Told> = told.collect();
        if told.is_empty() {
            let data = json!({"reason": reason, "waiting_for": waiting_for});
            return vec![Told { kind: "paused", node_id: Value::Null, data }];
        }
        told
    }

    fn results(&self, outputs: Value, status: &str) -> Value {
        json!({"results": outputs, "nodes_executed": self.n_done, "status": status})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told_in_the_words_of_a_debugger() {
        let mut story = Story::of("exec_1".into());
        let mut told = Vec::new();
        for (event, data) in [
            ("execution_started", json!({"nodes": [{}, {}]})),
            ("node_started", json!({"node_id": "node_0", "label": "a"})),
            ("node_completed", json!({"node_id": "node_0", "label": "a", "output": {"body": 1}})),
            ("interactive_prompt", json!({"node_id": "node_1", "label": "b", "reason": "breakpoint"})),
            ("execution_paused", json!({"reason": "breakpoint", "waiting_for": ["b"]})),
            ("control", json!({"action": "step"})),
            ("execution_paused", json!({"reason": "input", "waiting_for": ["b"]})),
            ("node_error", json!({"node_id": "node_1", "label": "b", "error": {"message": "no"}})),
            ("execution_error", json!({"error": {"message": "no"}})),
            ("execution_completed", json!({"outputs": {"b": 2}})),
        ] {
            let data = data.as_object().cloned().expect("an object");
            let record = EventRecord { seq: 1, event: event.into(), data };
            told.extend(story.tell(&record).into_iter().map(|it| format!("{} {} {}", it.kind, it.node_id, it.data)));
        }
        assert_eq!(
            told,
            [
                r#"node_start "node_0" {"node":"a"}"#,
                r#"node_complete "node_0" {"result":1,"node":"a"}"#,
                r#"breakpoint "node_1" {"node":"b","index":1,"total":2}"#,
                r#"paused null {"reason":"input","waiting_for":["b"]}"#,
                r#"error "node_1" {"message":"no","node":"b"}"#,
                r#"error null {"message":"no","status":"failed"}"#,
                r#"complete null {"results":{"b":2},"nodes_executed":1,"status":"completed"}"#,
            ]
        );
    }
}
