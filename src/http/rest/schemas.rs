//! JSON Schemas of requests and answers, made from the handlers' own types.

use schemars::SchemaGenerator;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use super::operation::{Operation, Shape};
use crate::limits::WAIT_SECONDS_MAX;

/// Seconds to wait, in every operation that waits.
const WAIT: &str = "wait";

/// Where a value of a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Body,
}

/// A value of a request.
pub struct Parameter {
    pub name: String,
    /// Of the shape.
    pub field: String,
    pub place: Place,
    pub is_required: bool,
    /// The field has to be there, under one of its names.
    pub is_needed: bool,
    pub schema: Value,
}

/// The names that stand in a path.
pub fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'))
}

/// A generator whose schemas refer to one another below `path`, of what is read or of what is written.
pub fn generator(path: &'static str, contract: Contract) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|it| {
        it.meta_schema = None;
        it.contract = contract;
        it.definitions_path = path.into();
    });
    settings.into_generator()
}

fn plain(shape: Shape, generator: &mut SchemaGenerator) -> Value {
    (shape.schema)(generator).to_value()
}

/// The parameters of a request, under their names in it; schemas of their own stand in `generator`.
pub fn parameters(operation: &Operation, generator: &mut SchemaGenerator) -> Vec<Parameter> {
    let Some(shape) = operation.request else { return Vec::new() };
    let mut schema = plain(shape, generator);
    let required: Vec<String> =
        schema["required"].as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect();
    let Some(Value::Object(properties)) = schema.get_mut("properties").map(Value::take) else { return Vec::new() };
    let in_path: Vec<&str> = names_in(operation.path).collect();
    let offered = properties.into_iter().filter(|(field, _)| !operation.hidden.contains(&field.as_str()));
    let mut all = Vec::new();
    for (field, schema) in offered {
        let mut names: Vec<&str> = operation.names.iter().filter(|(_, it)| *it == field).map(|it| it.0).collect();
        if names.is_empty() {
            names.push(&field);
        }
        for name in &names {
            let place = match () {
                () if in_path.contains(name) => Place::Path,
                () if operation.verb.has_body() => Place::Body,
                () => Place::Query,
            };
            let is_needed = required.contains(&field);
            // Of several names one is enough.
            let is_required = place == Place::Path || (is_needed && names.len() == 1);
            // An address has no null.
            let schema = if place == Place::Body { schema.clone() } else { without_null(schema.clone()) };
            let mut schema = as_object(schema);
            if *name == WAIT {
                schema["maximum"] = WAIT_SECONDS_MAX.into();
            }
            all.push(Parameter {
                name: (*name).to_owned(),
                field: field.clone(),
                place,
                is_required,
                is_needed,
                schema,
            });
        }
    }
    all
}

/// The schema of a whole request, complete in itself.
pub fn of_request(operation: &Operation) -> Value {
    let mut generator = generator("/$defs", Contract::Deserialize);
    let all = parameters(operation, &mut generator);
    let required: Vec<&str> = all.iter().filter(|it| it.is_required).map(|it| it.name.as_str()).collect();
    let properties: Map<String, Value> = all.iter().map(|it| (it.name.clone(), it.schema.clone())).collect();
    let definitions = Value::Object(generator.take_definitions(false));
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

/// `true` is the only schema that is no object: it allows everything.
fn as_object(schema: Value) -> Value {
    if schema.is_object() { schema } else { json!({}) }
}

/// Turns "this or null" into "this".
fn without_null(mut schema: Value) -> Value {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|it| it != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            schema["type"] = only;
        }
    }
    let has_type = schema.get("type").is_some();
    let Value::Object(object) = &mut schema else { return schema };
    if let Some(Value::Array(options)) = object.get_mut("anyOf") {
        options.retain(|it| it.get("type") != Some(&json!("null")));
        if let ([Value::Object(only)], false) = (options.as_slice(), has_type) {
            let only = only.clone();
            object.remove("anyOf");
            for (name, value) in only {
                object.entry(name).or_insert(value);
            }
        }
    }
    schema
}

/// Writes `shape` into the schemas of a description, under its name, and returns the reference to it.
pub fn reference(shape: Shape, generator: &mut SchemaGenerator, into: &mut Map<String, Value>) -> Value {
    if !into.contains_key(shape.name) {
        // The place is taken first: a type may lead back to itself.
        into.insert(shape.name.to_owned(), Value::Null);
        let schema = as_object(plain(shape, generator));
        into.insert(shape.name.to_owned(), schema);
    }
    json!({"$ref": format!("#/components/schemas/{}", shape.name)})
}
