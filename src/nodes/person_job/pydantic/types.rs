//! Types of fields: what may stand after the colon.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Misfit, Scope, Translated, name_of, without_module};
use crate::nearest::nearest;
use crate::nodes::ports::classes::{Expression, ExpressionKind};

/// The types that have a schema of their own; generic ones may also stand without their arguments.
const KNOWN: [&str; 12] =
    ["str", "int", "float", "bool", "Any", "List", "list", "Dict", "dict", "Optional", "Union", "Literal"];

impl Scope<'_> {
    /// Translates an annotation.
    pub(super) fn type_of(&mut self, expression: &Expression) -> Translated<Value> {
        match &expression.kind {
            ExpressionKind::Name(name) => self.plain(name, expression.offset),
            ExpressionKind::Constant(Value::Null) => Ok(json!({"type": "null"})),
            ExpressionKind::Generic(generic, arguments) => self.generic(name_of(generic), arguments, generic.offset),
            ExpressionKind::Union(members) => self.any_of(members),
            ExpressionKind::Constant(_)
            | ExpressionKind::Ellipsis
            | ExpressionKind::List(_)
            | ExpressionKind::Dict(_)
            | ExpressionKind::Call(_) => Err(Misfit::new(expression.offset, "this is no type")),
        }
    }

    fn plain(&mut self, written: &str, offset: usize) -> Translated<Value> {
        if self.declared.kinds.contains_key(written) {
            return Ok(self.reference(written));
        }
        match without_module(written) {
            "str" => Ok(json!({"type": "string"})),
            "int" => Ok(json!({"type": "integer"})),
            "float" => Ok(json!({"type": "number"})),
            "bool" => Ok(json!({"type": "boolean"})),
            "Any" => Ok(json!({})),
            "List" | "list" => Ok(json!({"type": "array"})),
            "Dict" | "dict" => Ok(json!({"type": "object"})),
            name => Err(Misfit::new(offset, self.unknown(name))),
        }
    }

    fn unknown(&self, name: &str) -> String {
        let classes = self.declared.classes.iter().map(|it| it.name.as_str());
        match nearest(name, classes.chain(KNOWN)) {
            Some(near) => format!("the type `{name}` cannot be translated; did you mean `{near}`?"),
            None => format!("the type `{name}` cannot be translated"),
        }
    }

    fn generic(&mut self, name: &str, arguments: &[Expression], offset: usize) -> Translated<Value> {
        match (name, arguments) {
            ("List" | "list", [items]) => Ok(json!({"type": "array", "items": self.type_of(items)?})),
            ("Dict" | "dict", [key, value]) if name_of(key) == "str" => {
                Ok(json!({"type": "object", "additionalProperties": self.type_of(value)?}))
            }
            ("Dict" | "dict", [key, _]) => Err(Misfit::new(key.offset, "keys of JSON are texts: write `Dict[str, …]`")),
            ("Optional", [inner]) => {
                let schema = self.type_of(inner)?;
                Ok(union_of(vec![schema, json!({"type": "null"})]))
            }
            ("Union", members) => self.any_of(members),
            ("Literal", values) => literal(values).map(Value::Object),
            ("List" | "list" | "Dict" | "dict" | "Optional", _) => {
                Err(Misfit::new(offset, format!("`{name}` has the wrong number of types in its brackets")))
            }
            _ => Err(Misfit::new(offset, self.unknown(name))),
        }
    }

    fn any_of(&mut self, members: &[Expression]) -> Translated<Value> {
        let schemas = members.iter().map(|it| self.type_of(it)).collect::<Translated<Vec<_>>>()?;
        Ok(union_of(schemas))
    }
}

/// One of several schemas; unions in unions are one, and a type named twice stands once.
fn union_of(schemas: Vec<Value>) -> Value {
    let parts = schemas.into_iter().flat_map(|schema| match schema {
        Value::Object(mut map) if map.contains_key("anyOf") => match map.remove("anyOf") {
            Some(Value::Array(parts)) => parts,
            _ => Vec::new(),
        },
        other => vec![other],
    });
    let mut members = each_once(parts);
    match members.len() {
        1 => members.remove(0),
        _ => json!({"anyOf": members}),
    }
}

/// Told apart by their text, because a hostile list is long.
fn each_once(values: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    values.into_iter().filter(|it| seen.insert(it.to_string())).collect()
}

fn literal(values: &[Expression]) -> Translated<Map<String, Value>> {
    let constants = values.iter().map(|it| match &it.kind {
        ExpressionKind::Constant(value) => Ok(value.clone()),
        _ => Err(Misfit::new(it.offset, "`Literal` takes texts, numbers, booleans and None")),
    });
    constants.collect::<Translated<Vec<_>>>().map(one_of)
}

/// A choice of values, with their type where they have one in common.
pub(super) fn one_of(values: Vec<Value>) -> Map<String, Value> {
    let kind = |it: &Value| match it {
        Value::String(_) => Some("string"),
        Value::Bool(_) => Some("boolean"),
        Value::Number(number) if number.is_i64() => Some("integer"),
        Value::Number(_) => Some("number"),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let mut schema = Map::new();
    if let Some(first) = values.first().and_then(kind)
        && values.iter().all(|it| kind(it) == Some(first))
    {
        schema.insert("type".into(), first.into());
    }
    // A schema lists each value once, and a class may give two names to one value.
    schema.insert("enum".into(), Value::Array(each_once(values)));
    schema
}
