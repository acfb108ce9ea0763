//! Arguments of a tool call, checked against the schema that clients were shown: every problem at once,
//! with the nearest known name for one that is not known. It must not know what the arguments mean.

use std::sync::LazyLock;

use rmcp::model::JsonObject;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::tools::{self, ToolName};
use crate::error::Error;
use crate::handlers::arguments::{Arguments, Problem};

static KNOWN: LazyLock<Vec<Result<Arguments, Error>>> = LazyLock::new(|| {
    let arguments = |tool: ToolName| Arguments::new(tool.name(), &tool.definition().schema_as_json_value());
    tools::ALL.into_iter().map(arguments).collect()
});

/// Reads the arguments of `tool`. A `null` means the same as leaving the argument out.
///
/// # Errors
///
/// `INVALID_INPUT` with all problems in `details`.
pub fn read<T: DeserializeOwned>(tool: ToolName, arguments: JsonObject) -> Result<T, Error> {
    let arguments = Value::Object(prepare(tool, arguments));
    let known = KNOWN[tool as usize]
        .as_ref()
        .map_err(|e| Error::internal(format!("the schema of `{}` is broken", tool.name())).source(e.chain()))?;
    let problems = known.problems(&arguments);
    if !problems.is_empty() {
        return Err(known.refusal(&problems));
    }
    serde_json::from_value(arguments)
        .map_err(|e| known.refusal(&[Problem { argument: String::new(), message: e.to_string() }]))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

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
