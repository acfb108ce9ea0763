//! `start`: where an execution begins. Publishes its variables and `custom_data` as one map.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Output, Preset, Shape};
use crate::diagram::NodeKind;
use crate::error::Error;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::Start,
    summary: "Begins an execution and publishes its variables.",
    fields: &[
        FieldSpec::new(
            "trigger_mode",
            Shape::Choice(&["none", "manual", "hook"]),
            "`hook`: an event begins the run here.",
        )
        .or(Preset::Text("none")),
        FieldSpec::new("custom_data", Shape::Map, "Values to publish; they also become variables of the run."),
        FieldSpec::new("hook_event", Shape::Text, "The event that begins the run; required for `trigger_mode: hook`."),
        FieldSpec::new("hook_filters", Shape::Map, "Fields of the event and the values they must have."),
        FieldSpec::new("output_data_structure", Shape::Any, "Kept from other editors; it has no effect."),
    ],
    read,
};

struct Start {
    custom_data: Map<String, Value>,
    /// Whether an event may begin it: then it publishes the payload as `event`.
    is_hook: bool,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let mode = fields.choice("trigger_mode", &["none", "manual", "hook"]);
    if mode == Some("hook") {
        fields.required_text("hook_event");
    } else {
        fields.text("hook_event");
    }
    fields.object_or_empty("hook_filters");
    // The original's editor writes an empty one into every file.
    if fields.tree("output_data_structure").is_some_and(|it| !it.is_map() || !it.entries().is_empty()) {
        fields.problem("W402", "output_data_structure", "`output_data_structure` has no effect", "remove it");
    }
    Box::new(Start { custom_data: fields.object_or_empty("custom_data"), is_hook: mode == Some("hook") })
}

impl Node for Start {
    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let mut body = Map::clone(&cx.names.variables);
            body.extend(self.custom_data.clone());
            if self.is_hook && !body.contains_key("event") {
                body.insert("event".to_owned(), Value::Object(Map::new()));
            }
            let mut output = Output::value(Value::Object(body));
            output.variables = self.custom_data.clone();
            Ok(Outcome::Done(output))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::harness::{Harness, codes};
    use super::*;

    #[tokio::test]
    async fn custom_data_wins_over_variables_and_follows_them() {
        for (fields, expected) in [
            (json!({"custom_data": {"n": 2, "z": 3}}), json!({"n": 2, "m": 1, "z": 3})),
            (json!({}), json!({"n": 1, "m": 1})),
            (json!({"trigger_mode": "hook", "hook_event": "push"}), json!({"n": 1, "m": 1, "event": {}})),
        ] {
            let harness = Harness::new(NodeKind::Start, fields).variables(json!({"n": 1, "m": 1}));
            assert_eq!(harness.body().await.expect("it runs"), expected);
        }
    }

    #[test]
    fn diagnostics_name_each_mistake_once() {
        for (fields, expected) in [
            (json!({"trigger_mode": "automatic", "custom_data": [1, 2]}), vec!["E403", "E402"]),
            (json!({"trigger_mode": "hook"}), vec!["E401"]),
            (json!({"output_data_structure": {"a": "b"}}), vec!["W402"]),
        ] {
            assert_eq!(codes(NodeKind::Start, fields.clone()), expected, "{fields}");
        }
    }
}
