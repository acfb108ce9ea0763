//! `json_schema_validator`: lets data through that fits a JSON Schema (diagrams.md 2.11). References are
//! resolved inside the schema only; nothing is fetched.

mod problems;
mod strictness;

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jsonschema::Validator;
use serde_json::{Value, json};

use super::file_format::{Encoding, FileFormat};
use super::lookup::look_into;
use super::paths::PathField;
use super::{FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Output, Preset, Shape};
use crate::diagram::NodeKind;
use crate::error::Error;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::JsonSchemaValidator,
    summary: "Checks data against a JSON Schema.",
    fields: &[
        FieldSpec::new("json_schema", Shape::Any, "The JSON Schema; it wins over `schema_path`."),
        FieldSpec::new("schema_path", Shape::Path, "The file that holds the schema."),
        FieldSpec::new("data_path", Shape::Path, "The file to check; the inputs if absent."),
        FieldSpec::new("strict_mode", Shape::Bool, "Report every problem instead of the first.")
            .or(Preset::Bool(false)),
        FieldSpec::new(
            "error_on_extra",
            Shape::Bool,
            "Whether objects that do not say otherwise may have no further fields.",
        )
        .or(Preset::Bool(false)),
    ],
    read,
};

/// Most problems that one failure lists.
const PROBLEMS_MAX: usize = 100;

struct JsonSchemaValidator {
    schema: Schema,
    data_path: Option<PathField>,
    /// Report every problem instead of the first.
    all_problems: bool,
    error_on_extra: bool,
}

enum Schema {
    Inline(Box<Checker>),
    File(PathField),
    /// It could not be read; the diagram does not run.
    None,
}

/// A schema made ready once.
struct Checker {
    validator: Validator,
    /// Whether a text may be the data; then a JSON text is not looked into.
    takes_text: bool,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let error_on_extra = fields.boolean("error_on_extra", false);
    Box::new(JsonSchemaValidator {
        schema: read_schema(fields, error_on_extra),
        data_path: PathField::read(fields, "data_path"),
        all_problems: fields.boolean("strict_mode", false),
        error_on_extra,
    })
}

fn read_schema(fields: &mut Fields<'_>, error_on_extra: bool) -> Schema {
    let path = PathField::read(fields, "schema_path");
    if let Some(written) = fields.tree("json_schema") {
        // A schema may also be given as JSON text.
        let schema = look_into(&written.to_json()).into_owned();
        return match Checker::new(schema, error_on_extra) {
            Ok(checker) => Schema::Inline(Box::new(checker)),
            Err(problem) => {
                no_schema(fields, "json_schema", &problem);
                Schema::None
            }
        };
    }
    let Some(path) = path else {
        if fields.tree("schema_path").is_none() {
            fields.missing("json_schema");
        }
        return Schema::None;
    };
    if let Some(text) = path.content_now(fields, "schema_path") {
        let name = path.literal().unwrap_or_default();
        let checked = decode(&text, name).map_err(|it| it.message().to_owned());
        if let Err(problem) = checked.and_then(|it| Checker::new(it, error_on_extra)) {
            no_schema(fields, "schema_path", &problem);
        }
    }
    Schema::File(path)
}

fn no_schema(fields: &mut Fields<'_>, key: &'static str, problem: &str) {
    let hint = "write a JSON Schema, e.g. `{type: object, required: [name]}`; references must stay inside it";
    fields.problem("E604", key, format!("`{key}` is no JSON Schema: {problem}"), hint);
}

impl Checker {
    fn new(mut schema: Value, error_on_extra: bool) -> Result<Self, String> {
        if !schema.is_object() && !schema.is_boolean() {
            return Err("it is neither a mapping nor a boolean".to_owned());
        }
        let takes_text = match schema.get("type") {
            Some(Value::String(name)) => name == "string",
            Some(Value::Array(names)) => names.iter().any(|it| it == "string"),
            _ => false,
        };
        if error_on_extra {
            strictness::close(&mut schema);
        }
        let built = jsonschema::options().offline().build(&schema);
        built.map(|validator| Self { validator, takes_text }).map_err(|it| problems::of_schema(&it))
    }

    /// Returns `data`, looked into, when it fits.
    fn check(&self, data: Arc<Value>, all: bool) -> Result<Arc<Value>, Error> {
        let data = match look_into(&data) {
            Cow::Owned(inside) if !self.takes_text => Arc::new(inside),
            _ => data,
        };
        let most = if all { PROBLEMS_MAX } else { 1 };
        let problems: Vec<_> = self.validator.iter_errors(&data).take(most).map(|it| problems::of_data(&it)).collect();
        if problems.is_empty() {
            return Ok(data);
        }
        let lines: Vec<String> = problems.iter().map(|it| format!("`{}` {}", it.path, it.reason)).collect();
        let details: Vec<Value> = problems.iter().map(|it| json!({ "path": it.path, "reason": it.reason })).collect();
        Err(Error::invalid("VALIDATION_FAILED", lines.join("; "))
            .hint("correct the data or the schema; `strict_mode: true` lists every problem")
            .details(json!({ "problems": details })))
    }
}

impl Node for JsonSchemaValidator {
    fn reads(&self) -> bool {
        self.data_path.is_some() || matches!(self.schema, Schema::File(_))
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let data = self.data(cx).await?;
            let checked = match &self.schema {
                Schema::Inline(checker) => checker.check(data, self.all_problems)?,
                Schema::File(path) => self.checker_of_file(path, cx).await?.check(data, self.all_problems)?,
                Schema::None => return Err(Error::internal("a validator without a schema")),
            };
            Ok(Outcome::Done(Output { body: checked, ..Output::default() }))
        })
    }
}

impl JsonSchemaValidator {
    /// The file, else the only input, else all of them.
    async fn data(&self, cx: &NodeContext) -> Result<Arc<Value>, Error> {
        let Some(path) = &self.data_path else {
            let inputs = &cx.names.inputs;
            return Ok(inputs.only().map_or_else(|| Arc::new(Value::Object(inputs.to_map())), Arc::clone));
        };
        let path = path.render(cx)?;
        decode(&read_text(&path, cx).await?, &path).map(Arc::new)
    }

    async fn checker_of_file(&self, path: &PathField, cx: &NodeContext) -> Result<Checker, Error> {
        let path = path.render(cx)?;
        let schema = decode(&read_text(&path, cx).await?, &path)?;
        Checker::new(schema, self.error_on_extra).map_err(|problem| {
            Error::invalid("VALIDATION_FAILED", format!("`{path}` is no JSON Schema: {problem}"))
                .hint("correct the schema; references must stay inside it")
        })
    }
}

async fn read_text(path: &str, cx: &NodeContext) -> Result<String, Error> {
    Encoding::Utf8.decode(cx.ports.files.read(path, &cx.rights).await?, path)
}

fn decode(text: &str, path: &str) -> Result<Value, Error> {
    let format = match FileFormat::of_suffix(path) {
        FileFormat::Text => FileFormat::Json,
        known => known,
    };
    format.decode(text, path)
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Harness, World, codes, diagnostics, diagram};
    use super::*;

    async fn check(fields: Value, inputs: Value, expected: Result<Value, &[&str]>) {
        let harness = Harness::new(NodeKind::JsonSchemaValidator, fields.clone())
            .inputs(inputs.clone())
            .file("files/s.json", "{\"type\": \"object\", \"required\": [\"name\"]}")
            .file("files/bad.json", "{\"type\": \"objekt\"}")
            .file("files/d.yaml", "name: Ann\n");
        match (harness.body().await, expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{fields} {inputs}"),
            (Err(error), Err(parts)) => {
                assert_eq!(error.code(), "VALIDATION_FAILED", "{fields}: {error}");
                for part in parts {
                    assert!(error.message().contains(part), "{fields}: {error} lacks {part}");
                }
            }
            (done, expected) => panic!("{fields} {inputs}: {done:?}, expected {expected:?}"),
        }
    }

    #[tokio::test]
    async fn data_that_fits_goes_on_and_other_data_fails_with_path_and_reason() {
        let schema = json!({"type": "object", "required": ["name"], "properties": {"age": {"type": "integer"}}});
        let with = |more: Value| {
            let mut fields = json!({ "json_schema": schema });
            fields.as_object_mut().expect("a map").extend(more.as_object().cloned().expect("a map"));
            fields
        };
        for (fields, inputs, expected) in [
            (with(json!({})), json!({"x": {"name": "Bob", "age": 3}}), Ok(json!({"name": "Bob", "age": 3}))),
            (with(json!({})), json!({"name": "Bob", "age": 3}), Ok(json!({"name": "Bob", "age": 3}))),
            (with(json!({})), json!({"x": "{\"name\": \"Bob\"}"}), Ok(json!({"name": "Bob"}))),
            (with(json!({})), json!({"x": {"age": 1}}), Err(&["`name` is missing"][..])),
            (
                with(json!({"strict_mode": true})),
                json!({"x": {"age": "old"}}),
                Err(&["`name` is missing", "`$.age`", "integer"][..]),
            ),
            (with(json!({})), json!({"x": {"name": 1, "other": 2}}), Ok(json!({"name": 1, "other": 2}))),
            (with(json!({"error_on_extra": true})), json!({"x": {"name": 1, "age": 2}}), Err(&["`name`"][..])),
            (json!({"json_schema": {"type": "string"}}), json!({"x": "[1]"}), Ok(json!("[1]"))),
            (json!({"schema_path": "files/s.json"}), json!({"x": {}}), Err(&["name"][..])),
            (json!({"schema_path": "files/bad.json"}), json!({"x": {}}), Err(&["files/bad.json"][..])),
            (
                json!({"schema_path": "files/s.json", "data_path": "files/d.yaml"}),
                json!({}),
                Ok(json!({"name": "Ann"})),
            ),
        ] {
            check(fields, inputs, expected).await;
        }
    }

    #[test]
    fn diagnostics_name_each_mistake_once() {
        for (fields, expected) in [
            (json!({}), vec!["E401"]),
            (json!({"json_schema": {"type": "objekt"}}), vec!["E604"]),
            (json!({"json_schema": [1]}), vec!["E604"]),
            (json!({"json_schema": {"$ref": "http://127.0.0.1:1/schema.json"}}), vec!["E604"]),
            (json!({"json_schema": {"$ref": "file:///etc/passwd"}}), vec!["E604"]),
            (json!({"schema_path": "files/none.json"}), vec!["W502"]),
            (json!({"schema_path": "/etc/x"}), vec!["E702"]),
        ] {
            assert_eq!(codes(NodeKind::JsonSchemaValidator, fields.clone()), expected, "{fields}");
        }
        let world = World { files: [("files/s.json", "{\"type\": 3}")].into(), ..World::default() };
        let fields = json!({"schema_path": "files/s.json"});
        let found = diagnostics(&diagram(NodeKind::JsonSchemaValidator, fields), &world);
        assert_eq!(found.iter().map(|it| it.code).collect::<Vec<_>>(), ["E604"]);
    }
}
