//! Names and values of one node execution: one lookup for templates, expressions, code and paths
//! (diagrams.md 3.9).

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

/// The inputs of one execution of a node, by key, in connection order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inputs(Vec<(String, Arc<Value>)>);

impl Inputs {
    /// Adds `value`; a later one with the same key wins and takes the later place's value
    /// at the earlier position (diagrams.md 3.4).
    pub fn insert(&mut self, key: impl Into<String>, value: Arc<Value>) {
        let key = key.into();
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some(slot) => slot.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// Returns the input named `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<Value>> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Value>)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value when there is exactly one input.
    pub fn only(&self) -> Option<&Arc<Value>> {
        match self.0.as_slice() {
            [(_, value)] => Some(value),
            _ => None,
        }
    }

    /// Returns all inputs as one JSON map.
    pub fn to_map(&self) -> Map<String, Value> {
        self.0.iter().map(|(key, value)| (key.clone(), Value::clone(value))).collect()
    }

    /// Returns what a node that "passes its input on" passes on: the value when there is one input,
    /// the map when there are several, null without any (diagrams.md 2.5).
    pub fn passed_on(&self) -> Arc<Value> {
        match self.0.as_slice() {
            [] => Arc::new(Value::Null),
            [(_, value)] => Arc::clone(value),
            _ => Arc::new(Value::Object(self.to_map())),
        }
    }
}

/// Everything a name can mean in one node execution.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Variables of `expose_index_as`; they win over everything.
    pub exposed: Arc<Map<String, Value>>,
    pub inputs: Inputs,
    /// Execution variables: the run's input, `custom_data`, `event`.
    pub variables: Arc<Map<String, Value>>,
    pub node_id: Arc<str>,
}

impl Names {
    /// Looks `name` up: exposed variables, inputs by key, the fields of the input `default`, then of
    /// `first`, execution variables; the special names `inputs`, `globals`, `node_id` always mean
    /// what they say.
    pub fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        match name {
            "inputs" => return Some(Cow::Owned(Value::Object(self.inputs.to_map()))),
            "globals" => return Some(Cow::Owned(Value::Object(self.globals()))),
            "node_id" => return Some(Cow::Owned(Value::String(self.node_id.to_string()))),
            _ => {}
        }
        if let Some(value) = self.exposed.get(name) {
            return Some(Cow::Borrowed(value));
        }
        if let Some(value) = self.inputs.get(name) {
            return Some(Cow::Borrowed(value));
        }
        for key in ["default", "first"] {
            let Some(value) = self.inputs.get(key) else { continue };
            match look_into(value) {
                Cow::Borrowed(Value::Object(map)) => {
                    if let Some(field) = map.get(name) {
                        return Some(Cow::Borrowed(field));
                    }
                }
                Cow::Owned(Value::Object(mut map)) => {
                    if let Some(field) = map.remove(name) {
                        return Some(Cow::Owned(field));
                    }
                }
                _ => {}
            }
        }
        self.variables.get(name).map(Cow::Borrowed)
    }

    /// Returns the execution variables with the exposed ones over them: what `globals` means.
    pub fn globals(&self) -> Map<String, Value> {
        let mut map = Map::clone(&self.variables);
        map.extend(self.exposed.iter().map(|(key, value)| (key.clone(), value.clone())));
        map
    }

    /// Returns every plain name with its value, the weakest first so that later ones win: what code
    /// and expressions are bound to.
    pub fn all(&self) -> Map<String, Value> {
        let mut map = Map::clone(&self.variables);
        for key in ["first", "default"] {
            if let Some(value) = self.inputs.get(key)
                && let Value::Object(fields) = look_into(value).as_ref()
            {
                map.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
        }
        map.extend(self.inputs.to_map());
        map.extend(self.exposed.iter().map(|(key, value)| (key.clone(), value.clone())));
        map
    }

    /// Returns every name there is, for "did you mean".
    pub fn known(&self) -> Vec<String> {
        self.all().into_iter().map(|(key, _)| key).collect()
    }
}

/// Looks into a text that is the JSON text of an object or list (diagrams.md 2.0): such a text is
/// that object or list wherever a field of it is needed.
pub fn look_into(value: &Value) -> Cow<'_, Value> {
    if let Value::String(text) = value
        && let trimmed = text.trim()
        && (trimmed.starts_with('{') && trimmed.ends_with('}') || trimmed.starts_with('[') && trimmed.ends_with(']'))
        && let Ok(parsed) = serde_json::from_str::<Value>(trimmed)
    {
        return Cow::Owned(parsed);
    }
    Cow::Borrowed(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names() -> Names {
        let mut inputs = Inputs::default();
        inputs.insert("default", Arc::new(json!({"b": "field", "c": "field"})));
        inputs.insert("c", Arc::new(json!("label")));
        let Value::Object(variables) = json!({"a": "var", "b": "var", "c": "var", "i": 7}) else { unreachable!() };
        let Value::Object(exposed) = json!({"i": 0}) else { unreachable!() };
        Names { exposed: Arc::new(exposed), inputs, variables: Arc::new(variables), node_id: "node_1".into() }
    }

    #[test]
    fn exposed_wins_over_inputs_over_fields_over_variables() {
        let names = names();
        for (name, expected) in [("a", json!("var")), ("b", json!("field")), ("c", json!("label")), ("i", json!(0))] {
            assert_eq!(names.get(name).as_deref(), Some(&expected), "{name}");
            assert_eq!(names.all().get(name), Some(&expected), "{name} in all()");
        }
        assert_eq!(names.get("nope"), None);
        assert_eq!(names.get("globals").as_deref(), Some(&json!({"a": "var", "b": "var", "c": "var", "i": 0})));
    }

    #[test]
    fn only_json_objects_and_lists_are_looked_into() {
        assert_eq!(*look_into(&json!("{\"a\": 1}")), json!({"a": 1}));
        assert_eq!(*look_into(&json!(" [1] ")), json!([1]));
        for plain in [json!("42"), json!("{a}"), json!(3)] {
            assert_eq!(*look_into(&plain), plain);
        }
    }
}
