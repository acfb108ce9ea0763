//! The call of a tool as an operation of GraphQL, where there is one. Mutations carry the handler's whole answer as
//! their envelope. `executeDiagram` answers as soon as the run is sure to happen, so what came of it is read
//! afterwards.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::graphql::client::{ask, data};
use crate::mcp_client::HttpServer;

const EXECUTE: &str = "mutation($input: ExecuteDiagramInput!) { executeDiagram(input: $input) { success envelope } }";
const CONTROL: &str =
    "mutation($input: ExecutionControlInput!) { controlExecution(input: $input) { success envelope } }";
const ANSWER: &str =
    "mutation($input: InteractiveResponseInput!) { sendInteractiveResponse(input: $input) { success envelope } }";
const VALIDATE: &str = "mutation($text: String!) { validateDiagram(content: $text, format: YAML) }";
const STATUS: &str = "query($id: String!) { getExecution(execution_id: $id) { status } }";
const NEWEST: &str = "query($name: String!) { getExecutionHistory(diagram_id: $name, limit: 1) }";
const GET: &str = "query($id: String!) { getExecution(execution_id: $id) {
  execution_id: id diagram_id status started_at ended_at node_outputs exec_counts variables executed_nodes
} }";

/// Waits for a run at most so often, a twentieth of a second each time.
const LOOKS_MAX: u32 = 600;

/// What GraphQL answers.
pub enum Answer {
    /// Everything that the other surfaces show.
    Whole(Value),
    /// Fields of what the others show.
    Part(Map<String, Value>),
    /// The code and the message of an error.
    Refusal(Value, Value),
    /// Nothing, where the others say that there is no such execution.
    Null,
}

/// Asks; none when GraphQL has no operation for it.
pub async fn asked(server: &HttpServer, tool: &str, arguments: &Value) -> Option<Answer> {
    let text = |key: &str| arguments[key].as_str().unwrap_or_default();
    match (tool, text("action")) {
        ("dipeo_run", _) => Some(Answer::Whole(ran(server, arguments).await)),
        ("see_result", _) => seen(server, arguments).await,
        // They answer with another execution, or with two of them.
        ("control_execution", "replay" | "fork" | "diff") => None,
        ("control_execution", "answer") => {
            let input = json!({
                "execution_id": text("execution_id"), "node_id": text("node"), "response": text("value"),
            });
            Some(Answer::Whole(envelope(server, ANSWER, input).await))
        }
        ("control_execution", _) => {
            let named =
                [("execution_id", "execution_id"), ("action", "action"), ("node", "node_id"), ("value", "value")];
            Some(Answer::Whole(envelope(server, CONTROL, input(arguments, &named)).await))
        }
        // Nothing but `uploadDiagram` writes a text, and that takes a file.
        ("compile_diagram", _) if arguments.get("push_as").is_some() => None,
        _ => Some(Answer::Whole(
            data(server, VALIDATE, json!({"text": text("content")})).await["validateDiagram"].clone(),
        )),
    }
}

/// The arguments of a tool under the names that an input has for them.
fn input(arguments: &Value, names: &[(&str, &str)]) -> Value {
    let named = names.iter().filter_map(|(of_tool, own)| Some(((*own).to_owned(), arguments.get(*of_tool)?.clone())));
    Value::Object(named.collect())
}

/// The envelope of a mutation, which says whether it was carried out.
async fn envelope(server: &HttpServer, document: &str, input: Value) -> Value {
    let answer = data(server, document, json!({"input": input})).await;
    let result = answer.as_object().and_then(|it| it.values().next()).expect("one field");
    let is_refused = result["envelope"].get("error").is_some() && result["envelope"].get("execution_id").is_none();
    assert_eq!(result["success"], json!(!is_refused), "{answer:#}");
    result["envelope"].clone()
}

/// Runs a diagram to its end or its first pause.
async fn ran(server: &HttpServer, arguments: &Value) -> Value {
    let names = [("diagram", "diagram_id"), ("input_data", "variables")];
    let mut input = input(arguments, &names);
    if let Some(seconds) = arguments["timeout"].as_f64() {
        input["timeout_seconds"] = json!(seconds as i64);
    }
    let begun = envelope(server, EXECUTE, input).await;
    let Some(id) = begun["execution_id"].as_str() else { return begun };
    for _ in 0..LOOKS_MAX {
        let shown = data(server, STATUS, json!({"id": id})).await;
        if !["PENDING", "RUNNING"].contains(&shown["getExecution"]["status"].as_str().unwrap_or_default()) {
            let newest = data(server, NEWEST, json!({"name": begun["diagram_id"]})).await;
            return newest["getExecutionHistory"][0].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("`{id}` does not end");
}

/// The fields of an execution, or why they are not shown.
async fn seen(server: &HttpServer, arguments: &Value) -> Option<Answer> {
    if ["node", "max_chars"].iter().any(|it| arguments.get(*it).is_some()) {
        return None;
    }
    let answer = ask(server, GET, json!({"id": arguments["execution_id"]})).await;
    if let Some(error) = answer.pointer("/errors/0") {
        return Some(Answer::Refusal(error["extensions"]["code"].clone(), error["message"].clone()));
    }
    let Some(mut fields) = answer["data"]["getExecution"].as_object().cloned() else { return Some(Answer::Null) };
    let status = fields["status"].as_str().expect("a status").to_ascii_lowercase();
    fields["status"] = status.into();
    Some(Answer::Part(fields))
}
