//! `start`: where an execution begins. Publishes its variables and `custom_data` as one map.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::{Fields, Node, NodeContext, NodeType, Outcome, Output};
use crate::diagram::NodeKind;
use crate::error::Error;

pub(super) static TYPE: NodeType =
    NodeType { kind: NodeKind::Start, summary: "Begins an execution and publishes its variables.", read };

struct Start {
    custom_data: Map<String, Value>,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let mode = fields.choice("trigger_mode", &["none", "manual", "hook"]);
    if mode == Some("hook") {
        fields.required_text("hook_event");
    } else {
        fields.text("hook_event");
    }
    fields.object_or_empty("hook_filters");
    if fields.tree("output_data_structure").is_some() {
        fields.problem("W402", "output_data_structure", "`output_data_structure` has no effect", "remove it");
    }
    Box::new(Start { custom_data: fields.object_or_empty("custom_data") })
}

impl Node for Start {
    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let mut body = Map::clone(&cx.names.variables);
            body.extend(self.custom_data.clone());
            let mut output = Output::value(Value::Object(body));
            output.variables = self.custom_data.clone();
            Ok(Outcome::Done(output))
        })
    }
}
