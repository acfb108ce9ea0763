//! `endpoint`: takes a value into the result of the run and may save it to a file (diagrams.md 2.2).

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::content::{is_binary, is_conversation, last_message, pretty};
use super::file_format::FileFormat;
use super::paths::PathField;
use super::ports::blobs::BlobRef;
use super::{Effect, FieldSpec, Fields, Inputs, Node, NodeContext, NodeType, Outcome, Output, Shape};
use crate::diagram::NodeKind;
use crate::error::Error;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::Endpoint,
    summary: "Ends an arm of the diagram and may save its value to a file.",
    fields: &[
        // `save_to_file: false` beside a path says that nothing is to be written, and leaving it out is W402:
        // so it has no preset and is never left out.
        FieldSpec::new("save_to_file", Shape::Bool, "Whether the value is written to a file; not, if absent."),
        FieldSpec::new("file_name", Shape::Path, "Where to write; `files/results/<node id>.json` if absent."),
        FieldSpec::new(
            "file_format",
            Shape::Choice(&["txt", "md", "json", "yaml"]),
            "How to write; by the value if absent.",
        ),
    ],
    read,
};

struct Endpoint {
    /// Where to save, if at all.
    save: Option<Save>,
}

struct Save {
    /// Absent: a file named after the node.
    path: Option<PathField>,
    /// Absent: text as it is, everything else as JSON.
    format: Option<FileFormat>,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let saves = fields.boolean("save_to_file", false);
    // `save_to_file: false` beside a path is meant; nothing beside it is usually forgotten.
    let is_said = fields.tree("save_to_file").is_some();
    let path = PathField::read(fields, "file_name");
    let format = match fields.choice("file_format", &["txt", "md", "json", "yaml"]) {
        Some("json") => Some(FileFormat::Json),
        Some("yaml") => Some(FileFormat::Yaml),
        _ => None,
    };
    if path.is_some() && !is_said {
        let hint = "add `save_to_file: true`, or remove the path";
        fields.problem("W402", "file_name", "a file path without `save_to_file` writes nothing", hint);
    }
    Box::new(Endpoint { save: saves.then_some(Save { path, format }) })
}

impl Node for Endpoint {
    fn effect(&self) -> Effect {
        if self.save.is_some() { Effect::Outside } else { Effect::None }
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let value = taken(&cx.names.inputs);
            let mut output = Output { body: Arc::clone(&value), ..Output::default() };
            if let Some(save) = &self.save {
                let path = save.write(&value, cx).await?;
                output.meta.insert("path".to_owned(), path.into());
            }
            Ok(Outcome::Done(output))
        })
    }
}

impl Save {
    async fn write(&self, value: &Value, cx: &NodeContext) -> Result<String, Error> {
        let path = match &self.path {
            Some(path) => path.render(cx)?,
            None => format!("files/results/{}.json", cx.node_id),
        };
        if let Some(blob) = BlobRef::parse(value).filter(|_| is_binary(value)) {
            let bytes = cx.ports.blobs.get(&blob).await?;
            cx.ports.files.write(&path, &bytes, &cx.rights).await?;
            return Ok(path);
        }
        let text = content(value, self.format, &path)?;
        cx.ports.files.write(&path, text.as_bytes(), &cx.rights).await?;
        Ok(path)
    }
}

/// The value itself when there is one unlabelled input, else the map of inputs.
fn taken(inputs: &Inputs) -> Arc<Value> {
    match (inputs.only(), inputs.get("default")) {
        (Some(_), Some(value)) => Arc::clone(value),
        _ => Arc::new(Value::Object(inputs.to_map())),
    }
}

/// Returns what the file holds: a conversation is written as its last message.
fn content(value: &Value, format: Option<FileFormat>, path: &str) -> Result<String, Error> {
    let spoken = is_conversation(value).then(|| Value::String(last_message(value)));
    let value = spoken.as_ref().unwrap_or(value);
    match (format, value) {
        (Some(format), _) => format.encode(value, path),
        (None, Value::String(text)) => Ok(text.clone()),
        (None, other) => Ok(pretty(other)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::harness::{Harness, codes};
    use super::*;

    async fn saved(fields: Value, inputs: Value) -> (Value, String) {
        let harness = Harness::new(NodeKind::Endpoint, fields).inputs(inputs);
        let body = harness.body().await.expect("it runs");
        (body, harness.files.only_text())
    }

    #[tokio::test]
    async fn one_unlabelled_input_is_the_value_and_others_are_a_map() {
        for (inputs, expected) in [
            (json!({"default": 3}), json!(3)),
            (json!({"x": 3}), json!({"x": 3})),
            (json!({"default": 1, "x": 2}), json!({"default": 1, "x": 2})),
            (json!({}), json!({})),
        ] {
            let harness = Harness::new(NodeKind::Endpoint, json!({})).inputs(inputs);
            assert_eq!(harness.body().await.expect("it runs"), expected);
        }
    }

    #[tokio::test]
    async fn files_hold_text_as_it_is_and_the_rest_as_the_format_says() {
        let chat = json!({"messages": [{"content": "hi"}]});
        for (format, value, expected) in [
            (json!(null), json!("text"), "text"),
            (json!(null), json!(true), "true"),
            (json!(null), json!({"a": 1}), "{\n  \"a\": 1\n}"),
            (json!(null), json!(null), "null"),
            (json!("txt"), json!([1]), "[\n  1\n]"),
            (json!("json"), json!("plain"), "\"plain\""),
            (json!("json"), json!("[1]"), "[1]"),
            (json!("yaml"), json!({"a": 1}), "a: 1\n"),
            (json!("md"), chat, "hi"),
        ] {
            let fields = json!({"save_to_file": true, "file_name": "files/out/{name}.x", "file_format": format});
            let (body, text) = saved(fields, json!({"default": value})).await;
            assert_eq!((body, text.as_str()), (value.clone(), expected), "{format} {value}");
        }
    }

    #[tokio::test]
    async fn without_a_name_the_file_is_named_after_the_node() {
        let harness = Harness::new(NodeKind::Endpoint, json!({"save_to_file": true})).inputs(json!({"default": 1}));
        harness.body().await.expect("it runs");
        assert_eq!(harness.files.paths(), ["files/results/node_0.json"]);
    }

    #[tokio::test]
    async fn an_unresolved_name_in_a_path_is_a_warning_or_a_failure_where_templates_are_strict() {
        let fields = json!({"save_to_file": true, "file_name": "files/{nobody}.txt"});
        let mut harness = Harness::new(NodeKind::Endpoint, fields).inputs(json!({"default": 1}));
        harness.body().await.expect("it runs");
        assert_eq!(harness.warned(), ["W601 nobody"]);
        harness.cx.strict_templates = true;
        let error = harness.body().await.expect_err("it is strict");
        assert_eq!(error.code(), "TEMPLATE_FAILED");
        assert!(error.message().contains("`nobody`"), "{error}");
    }

    #[test]
    fn diagnostics_say_what_has_no_effect_or_is_not_allowed() {
        for (fields, expected) in [
            (json!({"file_name": "files/x.txt"}), vec!["W402"]),
            (json!({"save_to_file": false, "file_name": "files/x.txt"}), vec![]),
            (json!({"save_to_file": "yes", "file_name": "files/x.txt"}), vec!["W103"]),
            (json!({"save_to_file": true, "file_name": "../x.txt"}), vec!["E702"]),
            (json!({"save_to_file": true, "file_name": "/etc/x.txt"}), vec!["E702"]),
            (json!({"save_to_file": true, "file_name": "files/{{x"}), vec!["E602"]),
            (json!({"save_to_file": true, "file_format": "jsn"}), vec!["E403"]),
            (json!({"save_to_fle": true}), vec!["W401"]),
        ] {
            assert_eq!(codes(NodeKind::Endpoint, fields.clone()), expected, "{fields}");
        }
    }

    #[tokio::test]
    async fn a_reference_to_bytes_is_written_as_the_bytes() {
        let harness = Harness::new(NodeKind::Endpoint, json!({"save_to_file": true, "file_name": "files/a.png"}));
        let bytes = vec![0x89, b'P', b'N', b'G', 0xff];
        let blob = harness.cx.ports.blobs.put(bytes.clone(), "image/png".into()).await.expect("kept");
        let harness = harness.inputs(json!({"default": blob.to_json()}));
        assert_eq!(harness.body().await.expect("it runs"), blob.to_json());
        assert_eq!(harness.files.bytes("files/a.png"), Some(bytes));
        let lost = json!({"blob": "0".repeat(64), "media_type": "image/png", "size": 1});
        assert_eq!(harness.inputs(json!({"default": lost})).body().await.expect_err("gone").code(), "FILE_NOT_FOUND");
    }
}
