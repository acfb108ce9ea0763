//! The fields of a node as they are written: in the order of their type, without what is the same as
//! leaving it out; and where a field goes whose name means something else in that place.

use serde_json::{Map, Value};

use super::Catalogue;
use crate::diagram::kinds::{Format, NodeKind};
use crate::diagram::model::DiagramNode;
use crate::diagram::nested::is_dotted;
use crate::diagram::node::NULL_IS_A_VALUE;

/// One field that a node type has.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownField {
    pub key: &'static str,
    /// The value that is the same as leaving the field out.
    pub preset: Option<Value>,
}

/// Names that light and readable write otherwise than the model has them (diagrams.md 1.5).
const LIGHT_NAMES: [(NodeKind, &str, &str); 2] =
    [(NodeKind::Endpoint, "file_name", "file_path"), (NodeKind::JsonSchemaValidator, "strict_mode", "strict")];

/// Returns the fields of `node` that mean something: those of its type first, in its order, then the others
/// in theirs.
pub(super) fn ordered(node: &DiagramNode, catalogue: Catalogue<'_>) -> Vec<(String, Value)> {
    let known = node.kind.map(catalogue).unwrap_or_default();
    // Last what reading puts last, because it has to be written in a way of its own.
    let place = |key: &str| match known.iter().position(|it| it.key == key) {
        Some(at) => at,
        None if key == "props" => known.len() + 1,
        None if is_taken(key) || is_dotted(key) => known.len() + 2,
        None => known.len(),
    };
    let mut fields: Vec<(String, Value)> = node.fields.iter().map(|it| (it.key.clone(), it.value.to_json())).collect();
    fields.retain(|(key, value)| {
        let preset = known.iter().find(|it| it.key == key).and_then(|it| it.preset.as_ref());
        preset != Some(value) && (!value.is_null() || NULL_IS_A_VALUE.contains(&key.as_str()))
    });
    fields.sort_by_key(|(key, _)| place(key));
    fields
}

/// Returns the entries that write the fields of `node` in `format`.
pub(super) fn entries(node: &DiagramNode, format: Format, catalogue: Catalogue<'_>) -> Vec<(String, Value)> {
    let mut written = Vec::new();
    let mut config = Map::new();
    for (key, value) in ordered(node, catalogue) {
        match value {
            // Only the `config` of a hook can hold such a name.
            value if node.kind == Some(NodeKind::Hook) && (is_taken(&key) || is_dotted(&key)) => {
                config.insert(key, value);
            }
            // `type.x: 1` is a field `type` that is not the type of the node.
            Value::Object(map) if is_taken(&key) => {
                written.extend(map.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value if key == "props" && format != Format::Native => {
                written.push((key, Value::Object(Map::from_iter([("props".to_owned(), value)]))));
            }
            value => written.push((name_in(format, node.kind, key), value)),
        }
    }
    if !config.is_empty() {
        written.push(("config".to_owned(), Value::Object(config)));
    }
    written
}

/// Whether a node has something else of that name.
fn is_taken(key: &str) -> bool {
    matches!(key, "id" | "label" | "type" | "position")
}

fn name_in(format: Format, kind: Option<NodeKind>, key: String) -> String {
    let renamed = LIGHT_NAMES.iter().find(|it| Some(it.0) == kind && it.1 == key && format != Format::Native);
    renamed.map_or(key, |it| it.2.to_owned())
}
