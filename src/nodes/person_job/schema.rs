//! Structured replies: the schema of `text_format`, as JSON Schema or Pydantic source, and reading a reply by it (diagrams.md 3.14).

use std::sync::Arc;

use serde_json::Value;

use super::pydantic;
use crate::error::Error;
use crate::nodes::content;
use crate::nodes::context::NodeContext;
use crate::nodes::fields::Fields;
use crate::nodes::ports::{Languages, SyntaxProblem};

const JSON_SCHEMA_HINT: &str = "see https://json-schema.org for what a schema may say";
const CLASSES_HINT: &str = "write Pydantic models with fields of str, int, float, bool, Any, List, Dict, Optional, \
                            Union, Literal, Enums and models, or a JSON Schema as a mapping";

/// Characters of a problem that a message shows: schema messages may repeat whole lists of choices.
const PROBLEM_CHARS_MAX: usize = 300;

/// A JSON Schema, ready to check with. References to other documents are not followed.
pub(super) struct Schema {
    value: Value,
    validator: jsonschema::Validator,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub(super) fn new(value: Value) -> Result<Self, String> {
        if !value.is_object() {
            return Err("a JSON Schema here is a mapping".to_owned());
        }
        match jsonschema::validator_for(&value) {
            Ok(validator) => Ok(Self { value, validator }),
            Err(problem) => Err(described(&problem)),
        }
    }

    /// The schema as written.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// Checks `value`.
    ///
    /// # Errors
    ///
    /// The first problem, in words.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        self.validator.validate(value).map_err(|it| described(&it))
    }

    /// Reads the text of a reply: JSON, bare or as a fenced block, that fits.
    ///
    /// # Errors
    ///
    /// The first problem, in words.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        let value = json_of(text).ok_or("it is not JSON")?;
        self.check(&value)?;
        Ok(value)
    }
}

fn json_of(text: &str) -> Option<Value> {
    serde_json::from_str(text.trim()).ok().or_else(|| content::json_in(text)).or_else(|| first_fenced(text))
}

/// Models like to introduce their JSON: the first fenced block counts.
fn first_fenced(text: &str) -> Option<Value> {
    let (_, rest) = text.split_once("```")?;
    let (_, body) = rest.split_once('\n')?;
    let (json, _) = body.split_once("```")?;
    serde_json::from_str(json.trim()).ok()
}

fn described(problem: &jsonschema::ValidationError<'_>) -> String {
    let at = problem.instance_path().to_string();
    let text: String = problem.masked().to_string().chars().take(PROBLEM_CHARS_MAX).collect();
    if at.is_empty() { text } else { format!("`{at}`: {text}") }
}

/// What a node asks of the form of its replies.
pub(super) enum ReplyFormat {
    Text,
    Schema(Arc<Schema>),
    /// A schema file that was not there when the diagram was compiled.
    File(String),
}

impl ReplyFormat {
    /// Reads `text_format` and `text_format_file`; the file wins.
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let inline = fields.value("text_format").filter(|it| !is_blank(it));
        match fields.text_not_blank("text_format_file") {
            Some(file) => read_file(fields, file),
            None => inline.map_or(Self::Text, |it| read_schema(fields, "text_format", it)),
        }
    }
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|it| it.trim().is_empty())
}

fn read_file(fields: &mut Fields<'_>, file: String) -> ReplyFormat {
    let surroundings = fields.context().surroundings;
    if surroundings.structure_only() {
        return ReplyFormat::File(file);
    }
    match surroundings.file(&file) {
        Some(text) => read_schema(fields, "text_format_file", Value::String(text)),
        None => {
            let message = format!("schema file `{file}` is not there yet");
            fields.problem("W502", "text_format_file", message, "it is read when the node runs");
            ReplyFormat::File(file)
        }
    }
}

fn read_schema(fields: &mut Fields<'_>, key: &'static str, written: Value) -> ReplyFormat {
    let value = match written {
        Value::String(text) => match read_text(fields.context().surroundings.languages(), &text) {
            Ok(value) => value,
            Err(Unreadable::Json(problem)) => {
                let problem = SyntaxProblem { message: format!("`{key}` is not JSON: {}", problem.message), ..problem };
                fields.problem_in("E604", key, &text, (problem, JSON_SCHEMA_HINT));
                return ReplyFormat::Text;
            }
            Err(Unreadable::Classes(problem)) => {
                let message = format!("`{key}`, line {}: {}", problem.line, problem.message);
                fields.problem_in("E605", key, &text, (SyntaxProblem { message, ..problem }, CLASSES_HINT));
                return ReplyFormat::Text;
            }
        },
        value => value,
    };
    match Schema::new(value) {
        Ok(schema) => ReplyFormat::Schema(Arc::new(schema)),
        Err(problem) => {
            let message = format!("`{key}` is not a JSON Schema: {problem}");
            fields.problem("E604", key, message, JSON_SCHEMA_HINT);
            ReplyFormat::Text
        }
    }
}

/// A text that gives no schema.
enum Unreadable {
    Json(SyntaxProblem),
    Classes(SyntaxProblem),
}

/// Reads the text of a schema: JSON when it looks like it, else Python classes.
fn read_text(languages: &dyn Languages, text: &str) -> Result<Value, Unreadable> {
    let looks_like_json = text.trim_start().starts_with(['{', '[', '"']);
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) if looks_like_json => {
            let place = |it: usize| u32::try_from(it).unwrap_or(u32::MAX).max(1);
            // The library ends its sentence with the place, which stands beside it here.
            let message = error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
            let (line, column) = (place(error.line()), place(error.column()));
            Err(Unreadable::Json(SyntaxProblem { message, line, column }))
        }
        Err(_) => pydantic::translate(languages, text).map_err(Unreadable::Classes),
    }
}

/// Reads a schema file when the node runs.
///
/// # Errors
///
/// `FILE_NOT_FOUND` and the like; `PARSE_FAILED` when it holds no schema.
pub(super) async fn load(cx: &NodeContext, file: &str) -> Result<Schema, Error> {
    let failed = |problem: String| {
        Error::invalid("PARSE_FAILED", format!("`{file}` holds no schema: {problem}"))
            .hint("`text_format_file` names a file with a JSON Schema or with Pydantic classes")
    };
    let bytes = cx.ports.files.read(file, &cx.rights).await?;
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))?;
    let value = read_text(&*cx.ports.code, &text).map_err(|unreadable| match unreadable {
        Unreadable::Json(it) | Unreadable::Classes(it) => {
            failed(format!("line {}, column {}: {}", it.line, it.column, it.message))
        }
    })?;
    Schema::new(value).map_err(failed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn person() -> Schema {
        Schema::new(json!({
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
        }))
        .unwrap()
    }

    #[test]
    fn replies_are_read_bare_fenced_and_introduced() {
        let ann = json!({"name": "Ann", "age": 7});
        for text in [
            r#"{"name": "Ann", "age": 7}"#,
            " \n{\"name\": \"Ann\", \"age\": 7} ",
            "```json\n{\"name\": \"Ann\", \"age\": 7}\n```",
            "Here it is:\n```\n{\"name\": \"Ann\", \"age\": 7}\n```\nAnything else?",
        ] {
            assert_eq!(person().read(text), Ok(ann.clone()), "{text}");
        }
    }

    #[test]
    fn the_first_problem_is_named_with_its_place_and_without_the_value() {
        for (text, expected) in [
            ("no json here", "it is not JSON"),
            (r#"{"name": "Ann"}"#, "\"age\" is a required property"),
            (r#"{"name": "Ann", "age": "seven"}"#, "`/age`: value is not of type \"integer\""),
        ] {
            assert_eq!(person().read(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for bad in [json!({"type": "objekt"}), json!([1]), json!({"$ref": "https://example.com/x.json"})] {
            assert!(Schema::new(bad.clone()).is_err(), "{bad}");
        }
    }
}
