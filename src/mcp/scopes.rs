//! Which scopes a message needs, known from the message alone, and the refusal over HTTP before a handler hears
//! of it: a status and a challenge, from which a client learns which token to get. The handlers check again.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::tools::ToolName;
use crate::error::Error;
use crate::handlers::caller::{Door, Identity, Scope, Scopes};
use crate::handlers::{App, Caller, fetch};

/// What of a message decides.
#[derive(Deserialize)]
struct Message {
    method: Option<String>,
    #[serde(default)]
    params: Value,
}

/// The scopes that `method` with these parameters needs. What needs none shows each caller what is theirs.
pub fn needed(method: &str, params: &Value) -> Vec<Scope> {
    match method {
        "tools/call" => {
            let name = params["name"].as_str().unwrap_or_default();
            let arguments = &params["arguments"];
            match ToolName::parse(name) {
                Some(ToolName::Fetch) => of_resource(&arguments["id"]),
                Some(ToolName::CompileDiagram) if !arguments["push_as"].is_null() => {
                    vec![Scope::DiagramRead, Scope::DiagramWrite]
                }
                // Looking changes nothing.
                Some(ToolName::ControlExecution) if arguments["action"] == "inspect" => vec![Scope::ExecutionRead],
                Some(ToolName::ControlExecution) if arguments["action"] == "diff" => vec![Scope::ExecutionRead],
                Some(ToolName::ControlExecution)
                    if arguments["action"] == "fork" || arguments["action"] == "replay" =>
                {
                    vec![Scope::ExecutionRun]
                }
                Some(tool) => tool.scopes().iter().collect(),
                // A diagram that is a tool of its own runs; an unknown name is told so by the server.
                None => Vec::new(),
            }
        }
        "resources/read" => of_resource(&params["uri"]),
        "tasks/get" => vec![Scope::ExecutionRead],
        "tasks/update" | "tasks/cancel" => vec![Scope::ExecutionControl],
        _ => Vec::new(),
    }
}

fn of_resource(uri: &Value) -> Vec<Scope> {
    uri.as_str().and_then(fetch::scope_of).into_iter().collect()
}

/// The refusal of a message whose sender, if the server knows one, may not do what it asks for.
pub fn refusal_of(app: &App, sender: Option<&Identity>, message: &Bytes) -> Option<Response> {
    let identity = sender?.clone().limited_to(app.client_scopes());
    // Most tokens allow everything: their messages are read once, by the server.
    if identity.scopes == Scopes::ALL {
        return None;
    }
    allowed(identity, message).err().map(|error| insufficient(&error))
}

fn allowed(identity: Identity, bytes: &Bytes) -> Result<(), Error> {
    // What is no message is told so by the server.
    let Ok(message) = serde_json::from_slice::<Message>(bytes) else { return Ok(()) };
    let needed = needed(message.method.as_deref().unwrap_or_default(), &message.params);
    Caller::client(identity, Door::Mcp).require(&needed)
}

/// 403 with the challenge of RFC 6750 that names every scope needed.
fn insufficient(error: &Error) -> Response {
    let required = error.details_value().and_then(|it| it["required"].as_array()).cloned().unwrap_or_default();
    let scopes: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
    let challenge = format!(r#"Bearer realm="dipeo", error="insufficient_scope", scope="{}""#, scopes.join(" "));
    let mut response = (StatusCode::FORBIDDEN, Json(json!({"error": error.to_json()}))).into_response();
    if let Ok(value) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::{compile_diagram, control_execution, run_diagram, search, see_result};
    use crate::mcp::tools;

    #[test]
    fn what_a_message_needs_is_known_from_its_text() {
        let tool = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
        for (method, params, expected) in [
            ("tools/list", json!({}), ""),
            ("initialize", json!({}), ""),
            ("tools/call", tool("dipeo_run", json!({})), "execution:run"),
            ("tools/call", tool("see_result", json!({})), "execution:read"),
            ("tools/call", tool("control_execution", json!({})), "execution:control"),
            ("tools/call", tool("control_execution", json!({"action": "inspect"})), "execution:read"),
            ("tools/call", tool("control_execution", json!({"action": "replay"})), "execution:run"),
            ("tools/call", tool("control_execution", json!({"action": "fork"})), "execution:run"),
            ("tools/call", tool("control_execution", json!({"action": "diff"})), "execution:read"),
            ("tools/call", tool("compile_diagram", json!({"content": "x"})), "diagram:read"),
            ("tools/call", tool("compile_diagram", json!({"push_as": "x"})), "diagram:read diagram:write"),
            ("tools/call", tool("search", json!({})), ""),
            ("tools/call", tool("fetch", json!({"id": "dipeo://executions"})), "execution:read"),
            ("tools/call", tool("fetch", json!({"id": "dipeo://guide/nodes"})), ""),
            ("tools/call", json!([]), ""),
            ("resources/read", json!({"uri": "dipeo://diagrams/a"}), "diagram:read"),
            ("resources/read", json!({"uri": 7}), ""),
            ("tasks/get", json!({}), "execution:read"),
            ("tasks/cancel", json!({}), "execution:control"),
        ] {
            let scopes: Vec<&str> = needed(method, &params).into_iter().map(Scope::name).collect();
            assert_eq!(scopes.join(" "), expected, "{method} {params}");
        }
    }

    /// What the handler of a message says to `caller`, if it refuses.
    async fn refusal(app: &App, caller: &Caller, params: &Value) -> Option<&'static str> {
        let (arguments, waiting) = (params["arguments"].clone(), run_diagram::Waiting::default);
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        let refused = match ToolName::parse(params["name"].as_str().unwrap_or_default()) {
            Some(ToolName::DipeoRun) => {
                let request = run_diagram::Request { content: Some(text("content")), ..Default::default() };
                run_diagram::run_diagram(app, caller, request, Default::default(), waiting()).await.err()
            }
            Some(ToolName::SeeResult) => {
                let request = see_result::Request { execution_id: text("execution_id"), ..Default::default() };
                see_result::see_result(app, caller, request, waiting()).await.err()
            }
            Some(ToolName::ControlExecution) => {
                let request = control_execution::Request {
                    execution_id: text("execution_id"),
                    action: arguments["action"].as_str().unwrap_or("abort").into(),
                    ..Default::default()
                };
                control_execution::control_execution(app, caller, request, waiting()).await.err()
            }
            Some(ToolName::CompileDiagram) => {
                let push_as = arguments["push_as"].as_str().map(str::to_owned);
                let request = compile_diagram::Request { content: text("content"), push_as, ..Default::default() };
                compile_diagram::compile_diagram(app, caller, request, Default::default()).await.err()
            }
            Some(ToolName::Search) => search::search(app, caller, search::Request { query: "a".into() }).await.err(),
            Some(ToolName::Fetch) => fetch::fetch(app, caller, fetch::Request { id: text("id") }).await.err(),
            None => {
                let id = params["uri"].as_str().unwrap_or_default().to_owned();
                fetch::fetch(app, caller, fetch::Request { id }).await.err()
            }
        };
        refused.map(|it| it.code())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_refused_from_outside_is_what_the_handlers_refuse() {
        let (_folder, app) = crate::mcp::tests::app();
        let id = format!("exec_{}", "0".repeat(32));
        let mut messages = Vec::new();
        for tool in tools::ALL {
            let arguments = json!({"content": "nodes: []", "execution_id": id, "id": "dipeo://executions"});
            messages.push(("tools/call", json!({"name": tool.name(), "arguments": arguments})));
        }
        let inspect = json!({"execution_id": id, "action": "inspect"});
        messages.push(("tools/call", json!({"name": "control_execution", "arguments": inspect})));
        let push = json!({"content": "nodes: []", "push_as": "a"});
        messages.push(("tools/call", json!({"name": "compile_diagram", "arguments": push})));
        for uri in ["diagrams", "diagrams/a", "executions", "guide/nodes/start", "nothing", "blobs/0"] {
            messages.push(("resources/read", json!({"uri": format!("dipeo://{uri}")})));
        }
        for part in ["", "/messages", "/transitions"] {
            messages.push(("resources/read", json!({"uri": format!("dipeo://executions/{id}{part}")})));
        }
        for (method, params) in messages {
            let needed = needed(method, &params);
            for missing in Scope::ALL {
                let scopes = Scope::ALL.into_iter().filter(|it| *it != missing).collect();
                let caller = Caller::client(Identity { principal: "ada".into(), scopes }, Door::Mcp);
                let is_refused = refusal(&app, &caller, &params).await == Some("INSUFFICIENT_SCOPE");
                assert_eq!(is_refused, needed.contains(&missing), "{method} {params} without {}", missing.name());
            }
        }
        app.shut_down_runs().await;
    }
}
