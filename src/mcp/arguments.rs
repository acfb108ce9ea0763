//! Arguments of a tool call, checked against the schema that clients were shown: every problem at once,
//! with the nearest known name for one that is not known. It must not know what the arguments mean.

use std::sync::LazyLock;

use jsonschema::Validator;
use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};
use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::tools::{self, ToolName};
use crate::error::Error;
use crate::nearest::nearest;

/// Longest part of a bad value that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 60;

static VALIDATORS: LazyLock<Vec<Result<Validator, String>>> = LazyLock::new(|| {
    tools::all()
        .iter()
        .map(|tool| jsonschema::validator_for(&tool.schema_as_json_value()).map_err(|it| it.to_string()))
        .collect()
});

/// Reads the arguments of `tool`. A `null` means the same as leaving the argument out.
///
/// # Errors
///
/// `INVALID_INPUT` with all problems in `details`.
pub fn read<T: DeserializeOwned>(tool: ToolName, arguments: JsonObject) -> Result<T, Error> {
    let arguments = Value::Object(prepare(tool, arguments));
    let validator = VALIDATORS[tool as usize]
        .as_ref()
        .map_err(|text| Error::internal(format!("the schema of `{}` is broken", tool.name())).source(text.clone()))?;
    if validator.is_valid(&arguments) {
        return from_json(tool, arguments);
    }
    let problems: Vec<Problem> = validator.iter_errors(&arguments).flat_map(|it| explain(tool, &it)).collect();
    Err(refuse(tool, &problems))
}

fn from_json<T: DeserializeOwned>(tool: ToolName, arguments: Value) -> Result<T, Error> {
    serde_json::from_value(arguments)
        .map_err(|error| refuse(tool, &[Problem { argument: String::new(), message: error.to_string() }]))
}

/// Drops what is null and gives `fetch` its older argument name back.
fn prepare(tool: ToolName, mut arguments: JsonObject) -> JsonObject {
    arguments.retain(|_, value| !value.is_null());
    if tool == ToolName::Fetch
        && !arguments.contains_key("id")
        && let Some(uri) = arguments.remove("uri")
    {
        arguments.insert("id".into(), uri);
    }
    arguments
}

struct Problem {
    /// Empty when the problem is about all of them.
    argument: String,
    message: String,
}

fn explain(tool: ToolName, error: &ValidationError<'_>) -> Vec<Problem> {
    let at = error.instance_path().as_str().trim_start_matches('/').replace('/', ".");
    let about = |message: String| vec![Problem { argument: at.clone(), message }];
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|name| unknown(tool, name)).collect()
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Problem { argument: name.to_owned(), message: format!("argument `{name}` is missing") }]
        }
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => {
            about(format!("`{at}` must be of type {kind}, not {}", shown(error.instance())))
        }
        ValidationErrorKind::Enum { options } => {
            let words: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            about(format!("`{at}` must be one of {}, not {}", words.join(", "), shown(error.instance())))
        }
        ValidationErrorKind::Maximum { limit } => {
            about(format!("`{at}` must be at most {limit}, not {}", shown(error.instance())))
        }
        ValidationErrorKind::Minimum { limit } => {
            about(format!("`{at}` must be at least {limit}, not {}", shown(error.instance())))
        }
        // Our schemas use no other keyword; the library's sentence is right for all of them.
        _ => about(format!("`{at}`: {error}")),
    }
}

fn unknown(tool: ToolName, name: &str) -> Problem {
    let mut message = format!("there is no argument `{}`", cut(name));
    if let Some(near) = nearest(name, names(tool)) {
        message.push_str(&format!(", did you mean `{near}`?"));
    }
    Problem { argument: name.to_owned(), message }
}

fn refuse(tool: ToolName, problems: &[Problem]) -> Error {
    let texts: Vec<&str> = problems.iter().map(|it| it.message.as_str()).collect();
    let list: Vec<Value> =
        problems.iter().map(|it| json!({"argument": cut(&it.argument), "message": it.message})).collect();
    Error::invalid("INVALID_INPUT", texts.join("; "))
        .hint(format!("arguments of `{}`: {}", tool.name(), names(tool).collect::<Vec<_>>().join(", ")))
        .details(json!({"problems": list}))
}

fn names(tool: ToolName) -> impl Iterator<Item = &'static str> {
    let properties = tool.definition().input_schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.as_str())
}

fn shown(value: &Value) -> String {
    format!("`{}`", cut(&value.to_string()))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::{control_execution, fetch, run_diagram, see_result};

    fn object(value: Value) -> JsonObject {
        value.as_object().cloned().expect("an object")
    }

    fn message<T: DeserializeOwned>(tool: ToolName, arguments: Value) -> String {
        read::<T>(tool, object(arguments)).err().expect("refused").to_string()
    }

    #[test]
    fn all_problems_are_listed_at_once_with_the_nearest_name() {
        let error = read::<run_diagram::Request>(
            ToolName::DipeoRun,
            object(json!({"diagrm": "x", "wait_seconds": 26, "input_data": [], "models": 1})),
        )
        .expect_err("four problems");
        assert_eq!(error.code(), "INVALID_INPUT");
        for part in [
            "there is no argument `diagrm`, did you mean `diagram`?",
            "`wait_seconds` must be at most 25, not `26`",
            "`input_data` must be of type object, not `[]`",
            "`models` must be of type string, not `1`",
        ] {
            assert!(error.message().contains(part), "{} lacks {part}", error.message());
        }
        let problems = &error.details_value().expect("details")["problems"];
        assert_eq!(problems.as_array().map(Vec::len), Some(4));
        assert!(error.hint_text().expect("a hint").contains("diagram, content, format_type"));
    }

    #[test]
    fn each_kind_of_problem_has_its_own_sentence() {
        for (arguments, expected) in [
            (json!({}), "argument `execution_id` is missing"),
            (
                json!({"execution_id": "e", "detail": "all"}),
                "`detail` must be one of summary, outputs, conversation, full, not `\"all\"`",
            ),
            (json!({"execution_id": "e", "wait_seconds": -1}), "`wait_seconds` must be at least 0, not `-1`"),
            (json!({"execution_id": "e", "zzzzzz": 1}), "there is no argument `zzzzzz`"),
        ] {
            assert_eq!(message::<see_result::Request>(ToolName::SeeResult, arguments), expected);
        }
    }

    #[test]
    fn null_is_absent_and_fetch_takes_its_older_argument_name() {
        let run: run_diagram::Request =
            read(ToolName::DipeoRun, object(json!({"diagram": "x", "content": null}))).expect("fine");
        assert_eq!((run.diagram.as_deref(), run.content), (Some("x"), None));
        let fetched: fetch::Request = read(ToolName::Fetch, object(json!({"uri": "dipeo://diagrams"}))).expect("fine");
        assert_eq!(fetched.id, "dipeo://diagrams");
        let twice = message::<fetch::Request>(ToolName::Fetch, json!({"id": "a", "uri": "b"}));
        assert_eq!(twice, "there is no argument `uri`");
    }

    #[test]
    fn the_value_of_an_answer_may_be_anything() {
        for value in [json!("text"), json!({"a": [1]}), json!(false), json!(3)] {
            let request: control_execution::Request = read(
                ToolName::ControlExecution,
                object(json!({"execution_id": "e", "action": "answer", "value": value})),
            )
            .expect("fine");
            assert_eq!(request.value, Some(value));
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let text = message::<see_result::Request>(ToolName::SeeResult, json!({"execution_id": ["é".repeat(500)]}));
        assert!(text.chars().count() < 150, "{text}");
    }
}
