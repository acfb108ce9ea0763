//! Templates inside a JSON value: headers, arguments, variables. A text that is only `{{x}}` becomes the
//! value of x and keeps its type.

use serde_json::{Map, Value};

use super::{Template, TemplateProblem, only_value, render};
use crate::error::Error;
use crate::nodes::context::NodeContext;
use crate::nodes::lookup::Names;

/// A JSON value in which every text is a template.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonTemplate {
    /// Nothing to render in it.
    Plain(Value),
    Text(Template),
    List(Vec<JsonTemplate>),
    Map(Vec<(String, JsonTemplate)>),
}

impl JsonTemplate {
    /// Reads every text inside `value`; keys are taken as they are.
    ///
    /// # Errors
    ///
    /// The first syntax error.
    pub fn parse(value: &Value) -> Result<Self, TemplateProblem> {
        match value {
            Value::String(text) => Template::parse(text).map(Self::Text),
            Value::Array(items) => items.iter().map(Self::parse).collect::<Result<_, _>>().map(Self::List),
            Value::Object(map) => {
                let entries = map.iter().map(|(key, it)| Ok((key.clone(), Self::parse(it)?)));
                entries.collect::<Result<_, _>>().map(Self::Map)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(Self::Plain(value.clone())),
        }
    }

    /// The value of a template that is one path and nothing else; of any other, its rendered text.
    ///
    /// # Errors
    ///
    /// The nearest name, when a path has no value.
    pub fn value(&self, names: &Names) -> Result<Value, Option<String>> {
        match self {
            Self::Text(template) => match template.only_path() {
                Some(path) => super::render::value_of(path, names, &Map::new()).map_err(|it| it.near),
                None => template.render(names, &Map::new()).map(|it| Value::String(it.text)).map_err(|_| None),
            },
            Self::Plain(value) => Ok(value.clone()),
            Self::List(items) => items.iter().map(|it| it.value(names)).collect::<Result<_, _>>().map(Value::Array),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, it)| Ok((key.clone(), it.value(names)?)));
                entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    /// Renders for a running node, as [`render`] does.
    ///
    /// # Errors
    ///
    /// As [`render`].
    pub fn render(&self, cx: &NodeContext, extra: &Map<String, Value>) -> Result<Value, Error> {
        match self {
            Self::Plain(value) => Ok(value.clone()),
            Self::Text(template) => match only_value(cx, template, extra)? {
                Some(value) => Ok(value),
                None => render(cx, template, extra).map(Value::String),
            },
            Self::List(items) => items.iter().map(|it| it.render(cx, extra)).collect::<Result<_, _>>(),
            Self::Map(entries) => {
                let entries = entries.iter().map(|(key, it)| Ok((key.clone(), it.render(cx, extra)?)));
                entries.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }
}
