//! The sections that are the same in all formats: metadata, settings, inputs, tool.

use serde_json::{Map, Value};

use super::number;
use super::yaml::Doc;
use crate::diagram::budget::Budget;
use crate::diagram::kinds::Format;
use crate::diagram::model::{Diagram, InputDeclaration, Settings};

/// Metadata that stands at the top of light and readable texts.
const AT_THE_TOP: [&str; 5] = ["$schema", "name", "description", "author", "tags"];
/// Metadata that stands first under `metadata`.
const FIRST: [&str; 3] = ["version", "created", "modified"];

/// Returns the metadata in its order: the known keys, then the others in theirs.
pub(super) fn metadata(diagram: &Diagram) -> Map<String, Value> {
    let known: Vec<&str> = AT_THE_TOP.into_iter().chain(FIRST).collect();
    let place = |key: &str| known.iter().position(|it| *it == key).unwrap_or(known.len());
    let mut entries: Vec<(String, Value)> =
        diagram.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    entries.sort_by_key(|(key, _)| place(key));
    Map::from_iter(entries)
}

/// Returns the settings that are given.
pub(super) fn settings(settings: &Settings) -> Map<String, Value> {
    let entries = [
        ("strict_templates", settings.strict_templates.then_some(Value::Bool(true))),
        ("timeout", settings.timeout.map(number)),
        ("max_node_executions", settings.max_node_executions.map(Value::from)),
        ("max_node_iterations", settings.max_node_iterations.map(Value::from)),
        ("max_parallel", settings.max_parallel.map(Value::from)),
        ("budget", settings.budget.as_ref().map(Budget::to_json)),
    ];
    given(entries)
}

/// Returns the declared inputs by name.
pub(super) fn inputs(inputs: &[InputDeclaration]) -> Map<String, Value> {
    inputs.iter().map(|it| (it.name.clone(), Value::Object(input(it)))).collect()
}

fn input(it: &InputDeclaration) -> Map<String, Value> {
    given([
        ("type", it.value_type.clone().map(Value::from)),
        ("description", it.description.clone().map(Value::from)),
        ("default", it.default.clone()),
        ("required", it.required.then_some(Value::Bool(true))),
        ("enum", it.choices.clone().map(Value::Array)),
        ("secret", it.secret.then_some(Value::Bool(true))),
    ])
}

/// Returns the entries that have a value, in this order.
pub(super) fn given<const N: usize>(entries: [(&str, Option<Value>); N]) -> Map<String, Value> {
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Returns the sections before persons, nodes and connections, as light and readable write them.
pub(super) fn head(diagram: &Diagram, format: Format) -> Vec<(String, Doc)> {
    let (top, below): (Vec<_>, Vec<_>) =
        metadata(diagram).into_iter().partition(|(key, _)| AT_THE_TOP.contains(&key.as_str()));
    let mut head = vec![("version".to_owned(), Doc::Value(format.name().into()))];
    head.extend(top.into_iter().map(|(key, value)| (key, Doc::Value(value))));
    let sections = [
        ("metadata", Map::from_iter(below)),
        ("settings", settings(&diagram.settings)),
        ("inputs", inputs(&diagram.inputs)),
    ];
    let sections = sections.into_iter().filter(|(_, map)| !map.is_empty());
    head.extend(sections.map(|(key, map)| (key.to_owned(), Doc::Value(Value::Object(map)))));
    head.extend(diagram.tool.as_ref().map(|it| ("tool".to_owned(), Doc::Value(it.to_json()))));
    head
}
