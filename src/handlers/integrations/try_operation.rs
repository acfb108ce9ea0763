//! Tries an operation: shows the request it would send, or sends it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::caller::Scope;
use super::super::launch::entry;
use super::super::run_diagram::Waiting;
use super::super::{App, Caller};
use super::describe::{manifest_of, operation_of};
use super::execute::{self, execute_integration};
use crate::engine::Status;
use crate::engine::event::Event;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::integrations::request::{Asked, Built, build, secrets_of};
use crate::integrations::{Manifest, Operation};
use crate::limits;

/// Stands where a key or secret will.
const BLOT: &str = "***";
/// Characters of a reply that are shown.
const SHOWN_CHARS_MAX: usize = 2_000;

/// Which operation, with what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub provider: String,
    pub operation: String,
    /// What the operation's templates call `config`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub config_preview: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api_key_id: Option<String>,
    /// Make the request and check it against its schemas, and send nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// Whether the request could be made, and what it was sent to accepted it.
    pub success: bool,
    pub provider: String,
    pub operation: String,
    pub dry_run: bool,
    /// What would be sent; keys are blotted out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request: Option<Preview>,
    /// The execution that sent it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution_id: Option<String>,
    /// HTTP status of the last reply.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status_code: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub response_time_ms: Option<i64>,
    /// The first 2,000 characters of the value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub response_preview: Option<String>,
    /// `{code, message, hint?}`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<Value>,
}

/// A request as it would be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    pub method: String,
    pub url: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    /// As JSON where it is that, else as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub body: Option<Value>,
}

/// Tries an operation. A request that cannot be made, and one that is refused, are results.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `RESOURCE_NOT_FOUND`, `INVALID_INPUT`; what starting an execution says.
pub async fn test_integration(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[if request.dry_run { Scope::DiagramRead } else { Scope::ExecutionRun }])?;
    let manifest = manifest_of(app, &request.provider)?;
    let operation = operation_of(&manifest, &request.operation)?;
    let response = Response {
        provider: manifest.name.clone(),
        operation: operation.name.clone(),
        dry_run: request.dry_run,
        ..Response::default()
    };
    if !request.dry_run {
        return sent(app, caller, request, response).await;
    }
    Ok(match rendered(&manifest, operation, request.config_preview.unwrap_or_default()) {
        Ok(preview) => Response { success: true, request: Some(preview), ..response },
        Err(error) => Response { error: Some(error.to_json()), ..response },
    })
}

/// Makes the request with nothing in the place of secrets.
fn rendered(manifest: &Manifest, operation: &Operation, config: Map<String, Value>) -> Result<Preview, Error> {
    if let Some(place) = &operation.refused {
        let message = format!("`{}` asks for code with `{place}`, which is not run", operation.name);
        return Err(Error::invalid("INVALID_INPUT", message).hint("choose another operation"));
    }
    let blot = || BLOT.to_owned();
    let asked = Asked {
        resource_id: config.get("resource_id").cloned(),
        config,
        api_key: manifest.auth.strategy.needs_key().then(blot),
        secrets: secrets_of(manifest, operation).into_iter().map(|it| (it, blot())).collect(),
    };
    let Built { method, url, query, headers, body } = build(manifest, operation, &asked)?;
    let body = body.map(|it| serde_json::from_slice(&it).unwrap_or_else(|_| String::from_utf8_lossy(&it).into()));
    Ok(Preview { method, url, query, headers, body })
}

async fn sent(app: &App, caller: &Caller, request: Request, response: Response) -> Result<Response, Error> {
    let Request { provider, operation, config_preview, api_key_id, .. } = request;
    let call = execute::Request {
        provider,
        operation,
        config: config_preview,
        api_key_id,
        wait_seconds: Some(limits::WAIT_SECONDS_MAX),
        ..execute::Request::default()
    };
    let object = execute_integration(app, caller, call, Waiting::default()).await?;
    let id = ExecutionId::parse(&object.execution_id)?;
    let shown = object.final_output.as_ref().map(|it| match it {
        Value::String(text) => text.chars().take(SHOWN_CHARS_MAX).collect(),
        other => format!("{other:#}").chars().take(SHOWN_CHARS_MAX).collect::<String>(),
    });
    let (status_code, response_time_ms) = seen(app, &id)?;
    Ok(Response {
        success: object.status == Status::Completed,
        execution_id: Some(object.execution_id),
        status_code,
        response_time_ms,
        response_preview: shown,
        error: object.error,
        ..response
    })
}

/// Status and time of the call's reply, as the log has them.
fn seen(app: &App, id: &ExecutionId) -> Result<(Option<u64>, Option<i64>), Error> {
    let mut seen = (None, None);
    for row in app.store()?.transitions(id, 0, None)? {
        let Some(entry) = entry(row)? else { continue };
        match &entry.event {
            Event::NodeCompleted(it) if it.meta.contains_key("http") => {
                seen = (it.meta["http"]["status"].as_u64(), Some(it.duration_ms));
            }
            Event::NodeError(it) => seen.0 = it.error["details"]["status"].as_u64().or(seen.0),
            _ => {}
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::integrations::{read, shipped};

    #[test]
    fn a_dry_run_shows_the_request_with_its_key_blotted_out_or_says_what_is_wrong_with_it() {
        let manifest = read(shipped::find("slack").expect("shipped").text).manifest.expect("valid");
        let operation = manifest.operation("post_message").expect("it is there");
        let config = |value: Value| value.as_object().cloned().expect("a map");
        let made = rendered(&manifest, operation, config(json!({"channel": "C1", "text": "say \"hi\""})));
        let made = made.expect("it can be made");
        assert_eq!(
            (made.method.as_str(), made.body.as_ref().map(|it| &it["text"])),
            ("POST", Some(&json!("say \"hi\"")))
        );
        assert!(made.headers.iter().any(|(name, value)| name == "Authorization" && value == "Bearer ***"), "{made:?}");
        let refused = rendered(&manifest, operation, config(json!({"text": "hi"}))).expect_err("a channel is missing");
        assert!(["TEMPLATE_FAILED", "VALIDATION_FAILED"].contains(&refused.code()), "{refused:?}");
    }
}
