//! Calls one operation of a provider as an execution of one node, so that it is recorded, shown and limited like
//! everything that runs.
//!
//! What clients may call with the user's keys is the person's choice: providers whose manifest stands in the
//! workspace. Those that come with the program answer a client only where they need no key. What a client sends
//! comes in as the run's input and is never read as a template, so it names no secret.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::caller::Scope;
use super::super::execution_object::ExecutionObject;
use super::super::run_diagram::{self, Extras, Waiting, run_text};
use super::super::workspace::Source;
use super::super::{App, Caller};
use super::describe::{manifest_of, operation_of};
use super::find;
use crate::error::Error;
use crate::integrations::Manifest;
use crate::nodes::{Origin, Rights};

/// Longest time that a call may take, in seconds (surface.md 7).
const TIMEOUT_S_MAX: f64 = 300.0;
/// The label of the node that calls.
const NODE: &str = "call";

/// Which operation, with what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub provider: String,
    pub operation: String,
    /// What the operation's templates call `config`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub config: Option<Map<String, Value>>,
    /// Name of the key; the provider's own when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api_key_id: Option<String>,
    /// Seconds that one attempt may take.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout: Option<f64>,
    /// What the operation's templates call `resource_id`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resource_id: Option<String>,
    /// Seconds to wait for the end (20).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait_seconds: Option<u32>,
}

/// Carries one call out and returns its execution after waiting; a call that fails is a failed execution.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `RESOURCE_NOT_FOUND` for an unknown provider or operation, `INVALID_INPUT`,
/// `INVALID_DIAGRAM` when the call cannot be made (an operation that needs a key a client may not use, say),
/// `DIAGRAM_NOT_ALLOWED` on a server that runs named diagrams only.
pub async fn execute_integration(
    app: &App,
    caller: &Caller,
    request: Request,
    waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    caller.require(&[Scope::ExecutionRun])?;
    let manifest = manifest_of(app, &request.provider)?;
    let operation = operation_of(&manifest, &request.operation)?;
    check_timeout(request.timeout)?;
    check_key(app, caller, &manifest, request.api_key_id.as_deref())?;
    let mut source = Source::inline(text(&request));
    source.diagram_id = format!("integrations/{}/{}", manifest.name, operation.name);
    let rights = rights(app, caller, &manifest);
    let mut input = request.config.unwrap_or_default();
    input.extend(request.resource_id.map(|it| ("resource_id".to_owned(), it.into())));
    let asked = run_diagram::Request {
        input_data: Some(input),
        wait_seconds: request.wait_seconds,
        ..run_diagram::Request::default()
    };
    run_text(app, caller, (source, rights), asked, Extras::default(), waiting).await
}

/// The diagram of a call. Nothing of what it is called with stands in it but names.
fn text(request: &Request) -> String {
    let mut node = json!({
        "label": NODE, "type": "integrated_api", "provider": request.provider, "operation": request.operation,
    });
    if let Some(id) = &request.api_key_id {
        node["api_key_id"] = id.as_str().into();
    }
    if let Some(timeout) = request.timeout {
        node["timeout"] = timeout.into();
    }
    if request.resource_id.is_some() {
        node["resource_id"] = "{{resource_id}}".into();
    }
    let diagram = json!({
        "version": "light",
        "nodes": [{"label": "config", "type": "start"}, node],
        "connections": [{"from": "config", "to": NODE}],
    });
    format!("{diagram}\n")
}

fn check_timeout(timeout: Option<f64>) -> Result<(), Error> {
    match timeout {
        Some(it) if !(0.1..=TIMEOUT_S_MAX).contains(&it) => {
            Err(Error::invalid("INVALID_INPUT", format!("`timeout` is {it}"))
                .hint(format!("write a number of seconds from 0.1 to {TIMEOUT_S_MAX}")))
        }
        _ => Ok(()),
    }
}

/// A client may choose among the keys of this provider, not send it any other secret.
fn check_key(app: &App, caller: &Caller, manifest: &Manifest, api_key_id: Option<&str>) -> Result<(), Error> {
    let (Some(id), Caller::Client(_)) = (api_key_id, caller) else { return Ok(()) };
    let variables = manifest.key_variables();
    let is_own = std::iter::once(&manifest.name).chain(&variables).any(|it| it == id);
    let of_service = || {
        let all = app.ports.secrets.list()?;
        Ok::<_, Error>(all.iter().any(|it| it.name == id && it.service.as_ref() == Some(&manifest.name)))
    };
    if is_own || of_service()? {
        return Ok(());
    }
    Err(Error::not_found("SECRET_NOT_FOUND", format!("`api_key_id` names no key of `{}`", manifest.name))
        .hint("leave it out to take the provider's own key; `getApiKeys` lists the others"))
}

/// A manifest of the workspace is the person's, like a diagram there; what comes with the program is nobody's
/// leave to use a key.
fn rights(app: &App, caller: &Caller, manifest: &Manifest) -> Rights {
    let is_own = find::manifest(app.workspace.root(), &manifest.name).is_some_and(|it| it.path.is_some());
    let origin = match caller {
        Caller::Terminal { .. } => Origin::Local,
        Caller::Client(_) if is_own => Origin::Workspace,
        Caller::Client(_) => Origin::Submitted,
    };
    Rights::of(origin, app.config.policy.workspace_host_code, false)
}
