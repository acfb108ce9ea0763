//! Fields of a model: default, description and limits.

use serde_json::{Map, Value, json};

use super::{Misfit, Scope, Translated, name_of};
use crate::nearest::nearest;
use crate::nodes::ports::classes::{Call, Class, Expression, ExpressionKind, Member};

/// What `Field(…)` takes here.
const ARGUMENTS: [&str; 14] = [
    "default",
    "default_factory",
    "description",
    "title",
    "examples",
    "alias",
    "ge",
    "le",
    "gt",
    "lt",
    "multiple_of",
    "min_length",
    "max_length",
    "pattern",
];

/// One property of an object.
pub(super) struct Property {
    pub name: String,
    pub schema: Value,
    pub is_required: bool,
}

impl Scope<'_> {
    /// Translates one line of a model.
    pub(super) fn field(&mut self, class: &Class, member: &Member) -> Translated<Property> {
        let Some(annotation) = &member.annotation else {
            let message = format!("`{}` of `{}` has no type: write `{0}: …`", member.name, class.name);
            return Err(Misfit::new(member.offset, message));
        };
        let schema = self.type_of(annotation)?;
        let mut property = Property { name: member.name.clone(), schema, is_required: true };
        match &member.value {
            None => {}
            Some(value) => match &value.kind {
                ExpressionKind::Call(call) if name_of(&call.function) == "Field" => {
                    self.described(&mut property, call)?
                }
                ExpressionKind::Ellipsis => {}
                _ => self.set_default(&mut property, value)?,
            },
        }
        Ok(property)
    }

    fn set_default(&self, property: &mut Property, value: &Expression) -> Translated<()> {
        if matches!(value.kind, ExpressionKind::Ellipsis) {
            return Ok(());
        }
        let default = self.constant(value)?;
        property.is_required = false;
        with(&mut property.schema, "default", default);
        Ok(())
    }

    fn described(&self, property: &mut Property, call: &Call) -> Translated<()> {
        match call.positional.as_slice() {
            [] => {}
            [default] => self.set_default(property, default)?,
            [_, second, ..] => return Err(Misfit::new(second.offset, "`Field` takes one value without a name")),
        }
        for (name, value) in &call.named {
            self.argument(property, name, value)?;
        }
        Ok(())
    }

    fn argument(&self, property: &mut Property, name: &str, value: &Expression) -> Translated<()> {
        match name {
            "default" => return self.set_default(property, value),
            "default_factory" => {
                let default = match name_of(value) {
                    "list" | "List" => json!([]),
                    "dict" | "Dict" => json!({}),
                    _ => return Err(Misfit::new(value.offset, "`default_factory` may be `list` or `dict`")),
                };
                property.is_required = false;
                with(&mut property.schema, "default", default);
            }
            "alias" => property.name = text(name, value)?,
            "description" | "title" => {
                let said = text(name, value)?;
                with(&mut property.schema, name, said.into());
            }
            "examples" => {
                let examples = self.constant(value)?;
                with(&mut property.schema, "examples", examples);
            }
            "ge" | "le" | "gt" | "lt" | "multiple_of" => limit(property, name, value)?,
            "min_length" | "max_length" => length(property, name, value)?,
            "pattern" => {
                let pattern = text(name, value)?;
                apply(property, (name, value), |kind| (kind == "string").then_some("pattern"), pattern.into())?;
            }
            _ => {
                let message = match nearest(name, ARGUMENTS) {
                    Some(near) => format!("`{name}` of `Field` cannot be translated; did you mean `{near}`?"),
                    None => format!("`{name}` of `Field` cannot be translated"),
                };
                return Err(Misfit::new(value.offset, message));
            }
        }
        Ok(())
    }

    /// A default as JSON.
    fn constant(&self, expression: &Expression) -> Translated<Value> {
        match &expression.kind {
            ExpressionKind::Constant(value) => Ok(value.clone()),
            ExpressionKind::List(items) => {
                items.iter().map(|it| self.constant(it)).collect::<Translated<Vec<_>>>().map(Value::Array)
            }
            ExpressionKind::Dict(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    let Value::String(name) = self.constant(key)? else {
                        return Err(Misfit::new(key.offset, "keys of a default are texts"));
                    };
                    map.insert(name, self.constant(value)?);
                }
                Ok(Value::Object(map))
            }
            ExpressionKind::Name(name) => {
                let name = name.strip_suffix(".value").unwrap_or(name);
                self.declared
                    .enum_value(name)
                    .cloned()
                    .ok_or_else(|| Misfit::new(expression.offset, format!("`{name}` as a value cannot be translated")))
            }
            ExpressionKind::Call(call) => {
                let message = format!("a call of `{}` as a value cannot be translated", name_of(&call.function));
                Err(Misfit::new(expression.offset, message))
            }
            ExpressionKind::Ellipsis | ExpressionKind::Generic(..) | ExpressionKind::Union(_) => {
                Err(Misfit::new(expression.offset, "this is no value"))
            }
        }
    }
}

fn with(schema: &mut Value, key: &str, value: Value) {
    if let Some(map) = schema.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

fn text(name: &str, value: &Expression) -> Translated<String> {
    match &value.kind {
        ExpressionKind::Constant(Value::String(text)) => Ok(text.clone()),
        _ => Err(Misfit::new(value.offset, format!("`{name}` must be a text"))),
    }
}

fn limit(property: &mut Property, name: &str, value: &Expression) -> Translated<()> {
    let ExpressionKind::Constant(number @ Value::Number(_)) = &value.kind else {
        return Err(Misfit::new(value.offset, format!("`{name}` must be a number")));
    };
    let keyword = match name {
        "ge" => "minimum",
        "le" => "maximum",
        "gt" => "exclusiveMinimum",
        "lt" => "exclusiveMaximum",
        _ => "multipleOf",
    };
    let of = |kind: &str| matches!(kind, "integer" | "number").then_some(keyword);
    apply(property, (name, value), of, number.clone())
}

fn length(property: &mut Property, name: &str, value: &Expression) -> Translated<()> {
    let ExpressionKind::Constant(Value::Number(number)) = &value.kind else {
        return Err(Misfit::new(value.offset, format!("`{name}` must be a whole number")));
    };
    if !number.is_u64() {
        return Err(Misfit::new(value.offset, format!("`{name}` must be a whole number from 0")));
    }
    let is_least = name == "min_length";
    let of = |kind: &str| match kind {
        "string" => Some(if is_least { "minLength" } else { "maxLength" }),
        "array" => Some(if is_least { "minItems" } else { "maxItems" }),
        "object" => Some(if is_least { "minProperties" } else { "maxProperties" }),
        _ => None,
    };
    apply(property, (name, value), of, number.clone().into())
}

/// Sets a keyword on the types it is for: the field's own, or those of its union.
fn apply(
    property: &mut Property,
    (name, written): (&str, &Expression),
    keyword_of: impl Fn(&str) -> Option<&'static str>,
    value: Value,
) -> Translated<()> {
    let mut n_set = 0;
    let mut set = |schema: &mut Value| {
        let keyword = schema.get("type").and_then(Value::as_str).and_then(&keyword_of);
        if let Some(keyword) = keyword {
            with(schema, keyword, value.clone());
            n_set += 1;
        }
    };
    match property.schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        Some(members) => members.iter_mut().for_each(&mut set),
        None => set(&mut property.schema),
    }
    if n_set == 0 {
        let message = format!("`{name}` does not fit the type of `{}`", property.name);
        return Err(Misfit::new(written.offset, message));
    }
    Ok(())
}
