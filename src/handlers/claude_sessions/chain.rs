//! The nodes of a converted session, one behind the other, as a native diagram.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::diagram::NodeKind;

/// Distance between nodes, and how many stand in a row.
const STEP_X: usize = 250;
const STEP_Y: usize = 180;
const ROW_LEN: usize = 8;

/// A diagram that grows at its end.
#[derive(Debug, Default)]
pub(super) struct Chain {
    nodes: Vec<Value>,
    arrows: Vec<Value>,
    persons: Map<String, Value>,
    counts: BTreeMap<String, usize>,
    /// Whether the recorded run of the last node failed: then the chain goes on from its failure as well.
    last_failed: bool,
}

impl Chain {
    /// Adds a node of type `kind`. `may_fail` says that it failed in the session.
    pub(super) fn push(&mut self, kind: NodeKind, label: &str, mut data: Map<String, Value>, may_fail: bool) {
        let n = self.nodes.len();
        data.insert("label".to_owned(), label.into());
        let position = json!({"x": n % ROW_LEN * STEP_X, "y": n / ROW_LEN * STEP_Y});
        self.nodes.push(json!({"id": format!("node_{n}"), "type": kind.name(), "position": position, "data": data}));
        if n > 0 {
            self.connect(n - 1, "default", n);
            if self.last_failed {
                self.connect(n - 1, "error", n);
            }
        }
        *self.counts.entry(kind.name().to_owned()).or_default() += 1;
        self.last_failed = may_fail;
    }

    fn connect(&mut self, from: usize, handle: &str, to: usize) {
        self.arrows.push(json!({
            "source": format!("node_{from}_{handle}_output"),
            "target": format!("node_{to}_default_input"),
            "content_type": "raw_text",
        }));
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// How many nodes there are of each type.
    pub(super) fn counts(&self) -> &BTreeMap<String, usize> {
        &self.counts
    }

    /// Adds a person; with `reply` it answers that on its next call.
    pub(super) fn person(&mut self, name: &str, reply: Option<String>) {
        let new = || match reply {
            Some(_) => json!({"label": name, "service": "scripted", "replies": []}),
            None => json!({"label": name, "service": "claude-code", "model": "claude-code"}),
        };
        let person = self.persons.entry(name).or_insert_with(new);
        if let (Some(reply), Some(Value::Array(replies))) = (reply, person.get_mut("replies")) {
            replies.push(reply.into());
        }
    }

    /// Returns the whole as a native diagram.
    pub(super) fn into_native(self, metadata: Value) -> Value {
        json!({"nodes": self.nodes, "arrows": self.arrows, "persons": self.persons, "metadata": metadata})
    }
}
