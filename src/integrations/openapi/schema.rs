//! Schemas of a document as schemas of a manifest: references written out, the dialect of 3.0 translated.
//! What is too large or refers to itself is cut off, and lets anything through there.

use serde_json::{Map, Value, json};

use super::document::Document;
use crate::integrations::schema::Schema;

/// Most values one schema may have written out.
const VALUES_MAX: usize = 300;
/// How deep references are written out, the first of these that is not too large.
const DEPTHS: [usize; 7] = [16, 8, 6, 4, 3, 2, 1];

/// Words that say something of a value, and are taken as they are.
const PLAIN: [&str; 20] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "minimum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "required",
    "format",
    "default",
    "title",
];

/// Which side a value is on: what only the server writes is not asked of us, and the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

impl Side {
    /// The word that marks properties of the other side.
    fn foreign(self) -> &'static str {
        match self {
            Self::Request => "readOnly",
            Self::Response => "writeOnly",
        }
    }
}

/// Writes a schema out; `None` when it says nothing or is no schema.
pub(super) fn written_out(document: &Document<'_>, schema: &Value, side: Side) -> Option<Value> {
    let found = DEPTHS.iter().find_map(|depth| {
        let mut writer = Writer { document, side, left: VALUES_MAX, open: Vec::new() };
        writer.schema(schema, *depth).ok()
    })?;
    let says_nothing = found == Value::Bool(true) || found == json!({});
    (!says_nothing && Schema::new(found.clone()).problem().is_none()).then_some(found)
}

/// There are more values than fit.
struct TooLarge;

struct Writer<'d> {
    document: &'d Document<'d>,
    side: Side,
    left: usize,
    /// References that are being written out.
    open: Vec<String>,
}

impl Writer<'_> {
    fn count(&mut self, n_values: usize) -> Result<(), TooLarge> {
        self.left = self.left.checked_sub(n_values).ok_or(TooLarge)?;
        Ok(())
    }

    fn schema(&mut self, schema: &Value, depth: usize) -> Result<Value, TooLarge> {
        self.count(1)?;
        let Some(map) = schema.as_object() else { return Ok(Value::Bool(schema != &Value::Bool(false))) };
        if depth == 0 {
            return Ok(json!({}));
        }
        let Some(reference) = map.get("$ref").and_then(Value::as_str) else { return self.object(map, depth) };
        if self.open.iter().any(|it| it == reference) {
            return Ok(json!({}));
        }
        let Some(target) = self.document.target(reference) else { return Ok(json!({})) };
        self.open.push(reference.to_owned());
        let written = self.schema(target, depth);
        self.open.pop();
        written
    }

    fn object(&mut self, map: &Map<String, Value>, depth: usize) -> Result<Value, TooLarge> {
        let mut out = Map::new();
        for name in PLAIN {
            if let Some(value) = map.get(name) {
                self.count(1 + value.as_array().map_or(0, Vec::len))?;
                out.insert(name.to_owned(), value.clone());
            }
        }
        for name in ["items", "additionalProperties", "contains", "propertyNames"] {
            if let Some(value) = map.get(name).filter(|it| it.is_object() || it.is_boolean()) {
                let inner =
                    if value == &Value::Bool(false) { Value::Bool(false) } else { self.schema(value, depth - 1)? };
                out.insert(name.to_owned(), inner);
            }
        }
        for name in ["properties", "patternProperties"] {
            if let Some(properties) = map.get(name).and_then(Value::as_object) {
                let inner = self.properties(properties, depth)?;
                out.insert(name.to_owned(), inner);
            }
        }
        // Where a branch is cut off, more than one of them fits; so one of them is as good as exactly one.
        for (name, written) in [("allOf", "allOf"), ("anyOf", "anyOf"), ("oneOf", "anyOf")] {
            if let Some(branches) = map.get(name).and_then(Value::as_array).filter(|it| !it.is_empty()) {
                let branches: Vec<Value> =
                    branches.iter().map(|it| self.schema(it, depth - 1)).collect::<Result<_, _>>()?;
                combine(&mut out, written, branches);
            }
        }
        self.drop_foreign(map, &mut out);
        translate_old_words(map, &mut out);
        Ok(Value::Object(out))
    }

    fn properties(&mut self, properties: &Map<String, Value>, depth: usize) -> Result<Value, TooLarge> {
        let mut out = Map::new();
        for (name, property) in properties {
            out.insert(name.clone(), self.schema(property, depth - 1)?);
        }
        Ok(Value::Object(out))
    }

    /// What the other side alone writes is not required of this one.
    fn drop_foreign(&self, map: &Map<String, Value>, out: &mut Map<String, Value>) {
        let Some(required) = map.get("required").and_then(Value::as_array) else {
            // In a property of 3.0 documents it may be a boolean, by mistake.
            out.remove("required");
            return;
        };
        let is_foreign = |name: &Value| {
            let property = name.as_str().and_then(|it| map.get("properties")?.get(it));
            let property = property.and_then(|it| self.document.resolve_any(it));
            property.and_then(|it| it.get(self.side.foreign())) == Some(&Value::Bool(true))
        };
        let kept: Vec<Value> = required.iter().filter(|it| it.is_string() && !is_foreign(it)).cloned().collect();
        if kept.is_empty() {
            out.remove("required");
        } else {
            out.insert("required".to_owned(), kept.into());
        }
    }
}

/// Adds branches; where others of the same kind are there already, both must fit.
fn combine(out: &mut Map<String, Value>, word: &str, branches: Vec<Value>) {
    let Some(others) = out.remove(word) else {
        out.insert(word.to_owned(), branches.into());
        return;
    };
    let mut all = match out.remove("allOf") {
        Some(Value::Array(all)) => all,
        Some(_) | None => Vec::new(),
    };
    all.push(json!({ word: others }));
    all.push(json!({ word: branches }));
    out.insert("allOf".to_owned(), all.into());
}

impl Document<'_> {
    fn resolve_any<'v>(&'v self, value: &'v Value) -> Option<&'v Value> {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => self.target(reference),
            None => Some(value),
        }
    }
}

/// What 3.0 says in its own way: `nullable`, and bounds that are booleans.
fn translate_old_words(map: &Map<String, Value>, out: &mut Map<String, Value>) {
    for (bound, limit) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match out.get(bound) {
            Some(Value::Bool(true)) => match out.remove(limit) {
                Some(value) => drop(out.insert(bound.to_owned(), value)),
                None => drop(out.remove(bound)),
            },
            Some(Value::Bool(false)) => drop(out.remove(bound)),
            _ => {}
        }
    }
    if map.get("nullable") != Some(&Value::Bool(true)) {
        return;
    }
    if let Some(Value::Array(options)) = out.get_mut("enum")
        && !options.contains(&Value::Null)
    {
        options.push(Value::Null);
    }
    if let Some(Value::String(kind)) = out.get("type") {
        let kinds = json!([kind, "null"]);
        out.insert("type".to_owned(), kinds);
    }
}
