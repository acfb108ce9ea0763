//! What a node type says of its fields, once: the JSON Schema of the light format, the order and the
//! left-out defaults of written diagrams, and the forms of an editor are made from it. A test holds each
//! list against what the type's `read` asks for.

use serde_json::Value;

/// One field of a node type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FieldSpec {
    pub key: &'static str,
    pub shape: Shape,
    pub is_required: bool,
    /// The value that is the same as leaving the field out.
    pub preset: Preset,
    /// One sentence for people and models.
    pub about: &'static str,
}

/// What a field may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Text,
    /// A text in which `{{name}}` is replaced.
    Template,
    /// A path relative to the workspace.
    Path,
    /// A whole number of at least this.
    Whole(i64),
    /// A number greater than this.
    Above(f64),
    /// A number from the first to the second, both included.
    Within(f64, f64),
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A text, or a list of texts.
    Texts,
    Map,
    List,
    /// The label of a person.
    Person,
    Any,
}

/// The value a field has when it is not written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    None,
    Bool(bool),
    Whole(i64),
    Number(f64),
    Text(&'static str),
}

impl Preset {
    /// Returns the value, `None` where absence is no value.
    pub fn value(self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Bool(it) => Some(it.into()),
            Self::Whole(it) => Some(it.into()),
            Self::Number(it) => Some(it.into()),
            Self::Text(it) => Some(it.into()),
        }
    }
}

impl FieldSpec {
    /// An optional field without a default.
    pub const fn new(key: &'static str, shape: Shape, about: &'static str) -> Self {
        Self { key, shape, is_required: false, preset: Preset::None, about }
    }

    /// The same field, required.
    #[must_use]
    pub const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    /// The same field with a default.
    #[must_use]
    pub const fn or(self, preset: Preset) -> Self {
        Self { preset, ..self }
    }
}

/// The fields every node may carry, in the order they are written after those of its type.
///
/// What depends on more than the node has no preset: `timeout` and `retry` on the type, `on_error` on the
/// connections, `strict_templates` on the diagram.
pub static COMMON: &[FieldSpec] = &[
    FieldSpec::new("timeout", Shape::Above(0.0), "Seconds one attempt may take."),
    FieldSpec::new("retry", Shape::Map, "How failures are repeated: `{max_attempts, delay_ms, backoff}`."),
    FieldSpec::new(
        "on_error",
        Shape::Choice(&["fail", "continue"]),
        "What a failure does: it fails the run, or goes on along the `error` connection.",
    ),
    FieldSpec::new("at_most_once", Shape::Bool, "Never repeat this node by itself after a crash.")
        .or(Preset::Bool(false)),
    FieldSpec::new("strict_templates", Shape::Bool, "Whether a template name without a value fails the node."),
    FieldSpec::new("mock_response", Shape::Any, "The value of this node in a mock run."),
    FieldSpec::new("description", Shape::Any, "For readers."),
    FieldSpec::new("note", Shape::Any, "For readers."),
    FieldSpec::new("flipped", Shape::Any, "How an editor draws the node."),
    FieldSpec::new("metadata", Shape::Any, "For other programs."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value, json};

    use super::super::harness::{World, diagram};
    use super::super::{ALL, Fields, NodeType, ReadContext};
    use super::*;

    /// Read as aliases although the formats translate them before a node is read.
    const ALIASES: [&str; 2] = ["resolved_prompt", "resolved_first_prompt"];

    /// Returns every key that reading such nodes asks for.
    fn asked(node_type: &NodeType, nodes: &[Value]) -> BTreeSet<&'static str> {
        let ask = |fields: &Value| {
            let (diagram, world) = (diagram(node_type.kind, fields.clone()), World::default());
            let cx = ReadContext { diagram: &diagram, surroundings: &world };
            let mut fields = Fields::new(0, &cx);
            let node = (node_type.read)(&mut fields);
            fields.policy(node.as_ref());
            fields.asked().collect::<Vec<_>>()
        };
        nodes.iter().flat_map(ask).filter(|it| !ALIASES.contains(it)).collect()
    }

    /// Values that lead `read` along every path on which it may ask for more.
    fn samples(spec: &FieldSpec) -> Vec<Value> {
        match spec.shape {
            Shape::Choice(words) => words.iter().map(|it| json!(it)).collect(),
            Shape::Bool => vec![json!(true), json!(false)],
            Shape::Whole(least) => vec![json!(least)],
            Shape::Above(least) => vec![json!(least + 1.0)],
            Shape::Within(least, _) => vec![json!(least)],
            Shape::Map => vec![json!({"a": 1})],
            Shape::List => vec![json!(["a"])],
            Shape::Texts => vec![json!(["a"]), json!("a")],
            Shape::Text | Shape::Template | Shape::Path | Shape::Person => vec![json!("a")],
            Shape::Any => vec![json!("a"), json!({"type": "string"})],
        }
    }

    #[test]
    fn a_list_names_exactly_the_fields_that_reading_asks_for() {
        for node_type in ALL {
            let one =
                |spec: &FieldSpec| samples(spec).into_iter().map(|it| json!({ spec.key: it })).collect::<Vec<_>>();
            let mut nodes: Vec<Value> = node_type.fields.iter().flat_map(one).collect();
            nodes.push(json!({}));
            let listed: BTreeSet<_> = node_type.fields.iter().chain(COMMON).map(|it| it.key).collect();
            assert_eq!(listed, asked(node_type, &nodes), "{}", node_type.kind.name());
        }
    }

    #[test]
    fn a_list_names_no_field_twice_and_none_of_every_node() {
        for node_type in ALL {
            let mut seen: BTreeSet<_> = COMMON.iter().map(|it| it.key).collect();
            for spec in node_type.fields {
                assert!(seen.insert(spec.key), "{} {}", node_type.kind.name(), spec.key);
            }
        }
    }

    #[test]
    fn what_a_list_says_of_a_field_is_a_sentence_and_its_preset_fits_its_shape() {
        for spec in ALL.iter().flat_map(|it| it.fields).chain(COMMON) {
            assert!(spec.about.ends_with('.'), "{}", spec.key);
            let fits = match (spec.preset, spec.shape) {
                (Preset::None, _) | (Preset::Bool(_), Shape::Bool) => true,
                (Preset::Whole(it), Shape::Whole(least)) => it >= least,
                (Preset::Number(it), Shape::Above(least)) => it > least,
                (Preset::Number(it), Shape::Within(least, most)) => (least..=most).contains(&it),
                (Preset::Text(it), Shape::Choice(words)) => words.contains(&it),
                (Preset::Text(_), Shape::Text | Shape::Template | Shape::Path) => true,
                _ => false,
            };
            assert!(fits, "{}: {:?} as {:?}", spec.key, spec.preset, spec.shape);
        }
    }

    #[test]
    fn a_preset_is_the_same_as_leaving_the_field_out() {
        for node_type in ALL {
            let codes =
                |fields: Map<String, Value>| super::super::harness::codes(node_type.kind, Value::Object(fields));
            for spec in node_type.fields {
                let Some(preset) = spec.preset.value() else { continue };
                let given = Map::from_iter([(spec.key.to_owned(), preset)]);
                assert_eq!(codes(given), codes(Map::new()), "{} {}", node_type.kind.name(), spec.key);
            }
        }
    }
}
