//! Mappings from names to paths: what a child is given, and what of its result is taken.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::nodes::lookup::{Inputs, Names, look_into};
use crate::nodes::template::{JsonTemplate, Template};
use crate::nodes::{Fields, NodeContext};

/// Names with the paths whose values they get.
pub(super) struct Mapping(Vec<(String, Path)>);

enum Path {
    /// `a.b[0]`, as in `{{a.b[0]}}`.
    Template { written: String, template: JsonTemplate },
    /// A value that is no text stands for itself.
    Literal(Value),
}

impl Mapping {
    /// Reads the mapping in `key`; E402 for what is none, E602 for what is no path.
    pub(super) fn read(fields: &mut Fields<'_>, key: &'static str) -> Option<Self> {
        fields.tree(key)?;
        let mut entries = Vec::new();
        for (name, value) in fields.object_or_empty(key) {
            let Value::String(written) = &value else {
                entries.push((name, Path::Literal(value)));
                continue;
            };
            let text = as_template(written);
            match Template::parse(&text) {
                Ok(template) => {
                    let template = JsonTemplate::Text(template);
                    entries.push((name, Path::Template { written: written.clone(), template }));
                }
                Err(_) => {
                    let message = format!("`{written}` is no path");
                    fields.problem("E602", key, message, "write a path such as `default.items[0].name`");
                }
            }
        }
        Some(Self(entries))
    }

    /// The values of the paths among the names of a running node; a path without a value is left out, with
    /// the warning that an unresolved name gets everywhere.
    pub(super) fn values(&self, cx: &NodeContext) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, path) in &self.0 {
            match path {
                Path::Literal(value) => drop(values.insert(name.clone(), value.clone())),
                Path::Template { template, written } => match template.value(&cx.names) {
                    Ok(value) => drop(values.insert(name.clone(), value)),
                    Err(near) => {
                        cx.notes.warn("W601", written, format!("`{written}` has no value here"), near);
                    }
                },
            }
        }
        values
    }

    /// The values of the paths in a result: its fields are names, the whole is `result`. What is not there is
    /// null.
    pub(super) fn picked(&self, result: &Value) -> Map<String, Value> {
        let mut inputs = Inputs::default();
        inputs.insert("default", Arc::new(look_into(result).into_owned()));
        inputs.insert("result", Arc::new(result.clone()));
        let names = Names { inputs, ..Names::default() };
        let value = |path: &Path| match path {
            Path::Literal(value) => value.clone(),
            Path::Template { template, .. } => template.value(&names).unwrap_or_default(),
        };
        self.0.iter().map(|(name, path)| (name.clone(), value(path))).collect()
    }
}

/// A path may be written bare or in braces.
fn as_template(path: &str) -> String {
    if path.contains("{{") { path.to_owned() } else { format!("{{{{{}}}}}", path.trim()) }
}
