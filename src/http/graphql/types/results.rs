//! What mutations answer. One that is refused is an answer as well, with the error's message and code; `envelope`
//! is what the handler says, the same JSON as over MCP and at the terminal.

use async_graphql::SimpleObject;
use serde::Serialize;
use serde_json::{Value, json};

use super::diagram::{DomainDiagramType, DomainNodeType};
use super::execution::ExecutionStateType;
use super::person::{DomainApiKeyType, DomainPersonType};
use super::scalars::Json;
use crate::error::{Error, ErrorKind};
use crate::secret::Scrubber;

/// What came of a mutation.
#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
#[graphql(concrete(name = "ApiKeyResult", params(DomainApiKeyType)))]
#[graphql(concrete(name = "DiagramResult", params(DomainDiagramType)))]
#[graphql(concrete(name = "ExecutionResult", params(ExecutionStateType)))]
#[graphql(concrete(name = "NodeResult", params(DomainNodeType)))]
#[graphql(concrete(name = "PersonResult", params(DomainPersonType)))]
pub struct Outcome<T: async_graphql::OutputType> {
    /// Whether it was carried out.
    success: bool,
    message: Option<String>,
    /// Why it was not.
    error: Option<String>,
    /// The code of the error.
    error_type: Option<String>,
    /// What the handler says, whole.
    envelope: Option<Json>,
    data: Option<T>,
}

/// What came of a removal.
#[derive(SimpleObject, Default)]
#[graphql(rename_fields = "snake_case")]
pub struct DeleteResult {
    success: bool,
    message: Option<String>,
    error: Option<String>,
    error_type: Option<String>,
    envelope: Option<Json>,
    data: Option<Json>,
    /// What is gone.
    deleted_id: Option<String>,
    deleted_count: Option<i32>,
}

/// What came of registering a run of the terminal.
#[derive(SimpleObject, Default)]
#[graphql(rename_fields = "snake_case")]
pub struct CliSessionResult {
    success: bool,
    message: Option<String>,
    error: Option<String>,
    error_type: Option<String>,
    envelope: Option<Json>,
    data: Option<Json>,
    session_id: Option<String>,
    execution_id: Option<String>,
}

/// What came of a conversion.
#[derive(SimpleObject, Default)]
#[graphql(rename_fields = "snake_case")]
pub struct FormatConversionResult {
    success: bool,
    message: Option<String>,
    error: Option<String>,
    error_type: Option<String>,
    envelope: Option<Json>,
    /// The new text.
    data: Option<String>,
    format: Option<String>,
    original_format: Option<String>,
}

/// A response of a handler in the form in which it is shown.
pub fn envelope(response: &impl Serialize) -> Value {
    serde_json::to_value(response).unwrap_or_else(|error| {
        tracing::error!("a response is no JSON: {error}");
        Value::Null
    })
}

/// A refusal as it is shown: what is said besides `success: false`.
struct Refusal {
    error: String,
    error_type: String,
    envelope: Value,
}

impl Refusal {
    fn of(error: Error, scrubber: &Scrubber) -> Self {
        if error.kind() == ErrorKind::Internal {
            tracing::error!(code = error.code(), "a GraphQL mutation failed: {}", error.chain());
        }
        let error = error.scrubbed(scrubber);
        let envelope = json!({"error": error.to_json()});
        Self { error: error.message().to_owned(), error_type: error.code().to_owned(), envelope }
    }
}

impl<T: async_graphql::OutputType> Outcome<T> {
    /// It was carried out.
    pub fn done(message: impl Into<String>, response: &impl Serialize, data: T) -> Self {
        Self::perhaps(message, response, Some(data))
    }

    /// It was carried out, and there may be nothing to show besides what the handler says.
    pub fn perhaps(message: impl Into<String>, response: &impl Serialize, data: Option<T>) -> Self {
        Self {
            success: true,
            message: Some(message.into()),
            error: None,
            error_type: None,
            envelope: Some(envelope(response).into()),
            data,
        }
    }

    /// It was carried out, and what came of it is a failure, told by its code and message.
    #[must_use]
    pub fn but_failed(self, failure: Option<(String, String)>) -> Self {
        let Some((code, message)) = failure else { return self };
        Self { success: false, message: None, error: Some(message), error_type: Some(code), ..self }
    }

    /// It was not.
    pub fn refused(error: Error, scrubber: &Scrubber) -> Self {
        let Refusal { error, error_type, envelope } = Refusal::of(error, scrubber);
        Self {
            success: false,
            message: None,
            error: Some(error),
            error_type: Some(error_type),
            envelope: Some(envelope.into()),
            data: None,
        }
    }
}

impl DeleteResult {
    /// It is gone.
    pub fn done(message: impl Into<String>, response: &impl Serialize, deleted_id: String) -> Self {
        Self {
            success: true,
            message: Some(message.into()),
            envelope: Some(envelope(response).into()),
            deleted_id: Some(deleted_id),
            deleted_count: Some(1),
            ..Self::default()
        }
    }

    /// It is still there.
    pub fn refused(error: Error, scrubber: &Scrubber) -> Self {
        let Refusal { error, error_type, envelope } = Refusal::of(error, scrubber);
        Self { error: Some(error), error_type: Some(error_type), envelope: Some(envelope.into()), ..Self::default() }
    }
}

impl CliSessionResult {
    /// It was carried out.
    pub fn done(
        message: impl Into<String>,
        response: &impl Serialize,
        session_id: String,
        execution_id: String,
    ) -> Self {
        let envelope = envelope(response);
        Self {
            success: true,
            message: Some(message.into()),
            data: Some(envelope.clone().into()),
            envelope: Some(envelope.into()),
            session_id: Some(session_id),
            execution_id: Some(execution_id),
            ..Self::default()
        }
    }

    /// It was not.
    pub fn refused(error: Error, scrubber: &Scrubber) -> Self {
        let Refusal { error, error_type, envelope } = Refusal::of(error, scrubber);
        Self { error: Some(error), error_type: Some(error_type), envelope: Some(envelope.into()), ..Self::default() }
    }
}

impl FormatConversionResult {
    /// It was converted.
    pub fn done(
        response: &impl Serialize,
        text: Option<String>,
        format: impl Into<String>,
        original_format: impl Into<String>,
    ) -> Self {
        let (format, original_format) = (format.into(), original_format.into());
        Self {
            success: true,
            message: Some(format!("converted from {original_format} to {format}")),
            envelope: Some(envelope(response).into()),
            data: text,
            format: Some(format),
            original_format: Some(original_format),
            ..Self::default()
        }
    }

    /// It was not.
    pub fn refused(error: Error, scrubber: &Scrubber) -> Self {
        let Refusal { error, error_type, envelope } = Refusal::of(error, scrubber);
        Self { error: Some(error), error_type: Some(error_type), envelope: Some(envelope.into()), ..Self::default() }
    }
}

/// The answer of a mutation whose result is JSON, when it is refused.
pub fn refused_json(error: Error, scrubber: &Scrubber) -> Value {
    let Refusal { error, error_type, envelope } = Refusal::of(error, scrubber);
    json!({"success": false, "error": error, "error_type": error_type, "envelope": envelope})
}
