//! Running diagrams and steering what runs.

use async_graphql::{Context, Object};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::handlers::control_execution::{self, control_execution};
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::external::update_node::{self, update_node_state};
use crate::handlers::run_diagram::{self, Extras, Waiting, run_diagram};
use crate::handlers::{App, Caller};
use crate::http::graphql::caller::desk;
use crate::http::graphql::types::execution::{
    ExecuteDiagramInput, ExecutionControlInput, ExecutionStateType, InteractiveResponseInput, UpdateNodeStateInput,
};
use crate::http::graphql::types::results::Outcome;
use crate::http::graphql::types::words;

/// Running time of an execution unless the client says otherwise, in seconds (surface.md 5.2).
const TIMEOUT_S: i32 = 3_600;

type ExecutionResult = Outcome<ExecutionStateType>;

#[derive(Default)]
pub struct ExecutionMutations;

#[Object(rename_args = "snake_case")]
impl ExecutionMutations {
    /// Starts a diagram of the workspace or one that is sent along; answers when it is sure to run.
    async fn execute_diagram(&self, context: &Context<'_>, input: ExecuteDiagramInput) -> ExecutionResult {
        let (app, caller) = desk(context);
        answered(app, execute(app, caller, input).await)
    }

    /// Pauses, resumes, aborts, completes, answers, steps; sets breakpoints and outputs.
    async fn control_execution(&self, context: &Context<'_>, input: ExecutionControlInput) -> ExecutionResult {
        let (app, caller) = desk(context);
        let request = control_execution::Request {
            execution_id: input.execution_id.0,
            action: input.action,
            node: input.node_id.map(|it| it.0),
            value: input.value.map(|it| it.0),
            wait_seconds: Some(0),
            reason: input.reason,
        };
        answered(app, control_execution(app, caller, request, Waiting::default()).await)
    }

    /// Answers a node that waits.
    async fn send_interactive_response(
        &self,
        context: &Context<'_>,
        input: InteractiveResponseInput,
    ) -> ExecutionResult {
        let (app, caller) = desk(context);
        let request = control_execution::Request {
            execution_id: input.execution_id.0,
            action: "answer".to_owned(),
            node: Some(input.node_id.0),
            value: Some(answer_of(input.response)),
            wait_seconds: Some(0),
            reason: None,
        };
        answered(app, control_execution(app, caller, request, Waiting::default()).await)
    }

    /// Takes what another runner says of a node; of an execution that is held here it gives the node its value.
    async fn update_node_state(&self, context: &Context<'_>, input: UpdateNodeStateInput) -> ExecutionResult {
        let (app, caller) = desk(context);
        let request = update_node::Request {
            execution_id: input.execution_id.0,
            node_id: input.node_id.0,
            status: words::word(input.status),
            output: input.output.map(|it| it.0),
            error: input.error,
        };
        answered(app, update_node_state(app, caller, request).await)
    }
}

fn answered(app: &App, outcome: Result<ExecutionObject, Error>) -> ExecutionResult {
    match outcome {
        Ok(object) => {
            let message = format!("{} is {}", object.execution_id, object.status.name());
            Outcome::done(message, &object, ExecutionStateType::shown(&object))
        }
        Err(error) => Outcome::refused(error, app.scrubber()),
    }
}

async fn execute(app: &App, caller: &Caller, input: ExecuteDiagramInput) -> Result<ExecutionObject, Error> {
    let max_iterations = input.max_iterations.map(|it| positive("max_iterations", it)).transpose()?;
    let request = run_diagram::Request {
        diagram: input.diagram_id.map(|it| it.0),
        content: input.diagram_data.map(|it| content_of(it.0)),
        input_data: input.variables.map(|it| object("variables", it.0)).transpose()?.flatten(),
        wait_seconds: Some(0),
        timeout: Some(input.timeout_seconds.unwrap_or(TIMEOUT_S).into()),
        ..run_diagram::Request::default()
    };
    let mode = (input.debug_mode == Some(true)).then(|| "debug".to_owned());
    let extras = Extras { mode, max_iterations, ..Extras::default() };
    run_diagram(app, caller, request, extras, Waiting::default()).await
}

fn positive(name: &str, number: i32) -> Result<u32, Error> {
    u32::try_from(number).ok().filter(|it| *it > 0).ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{name}` is {number}")).hint("write a whole number above 0")
    })
}

/// A whole diagram: its text, or the object of the native form.
fn content_of(diagram_data: Value) -> String {
    match diagram_data {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn object(name: &str, value: Value) -> Result<Option<Map<String, Value>>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::Object(map) => Ok(Some(map)),
        _ => Err(Error::invalid("INVALID_INPUT", format!("`{name}` is no object")).hint("write {\"NAME\": VALUE}")),
    }
}

/// A text as it is, unless it is written as a JSON object or list: the answer that a form gives.
fn answer_of(response: String) -> Value {
    if response.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(&response)
    {
        return value;
    }
    Value::String(response)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_a_text_unless_it_is_an_object_or_a_list() {
        for (response, expected) in [
            ("yes", json!("yes")),
            ("42", json!("42")),
            ("{\"a\": 1}", json!({"a": 1})),
            ("[1]", json!([1])),
            ("{not JSON", json!("{not JSON")),
        ] {
            assert_eq!(answer_of(response.to_owned()), expected);
        }
    }

    #[test]
    fn a_diagram_is_sent_as_its_text_or_as_an_object() {
        assert_eq!(content_of(json!("version: light\n")), "version: light\n");
        assert_eq!(content_of(json!({"nodes": {}})), "{\"nodes\":{}}");
    }
}
