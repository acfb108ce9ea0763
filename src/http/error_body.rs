//! Errors as HTTP answers: the status of their kind and the error object of surface.md 1.3.

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::Error;

/// The header that names one request in answers and logs.
pub const REQUEST_ID: &str = "x-request-id";

/// Returns `error` with its status.
pub fn error_response(error: &Error) -> Response {
    error_response_with(status_of(error), error)
}

/// The status of an error: that of its kind, or a more exact one.
pub fn status_of(error: &Error) -> StatusCode {
    match error.code() {
        "UNAUTHENTICATED" => StatusCode::UNAUTHORIZED,
        "TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
        "REQUEST_TIMEOUT" => StatusCode::REQUEST_TIMEOUT,
        "UNSUPPORTED_MEDIA_TYPE" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// As [`error_response`], naming the request, with the challenge that a missing permission brings (RFC 6750). A bug
/// of ours and a failure outside go into the log as well.
pub fn answer_of(error: &Error, request_id: Option<&str>) -> Response {
    let status = status_of(error);
    if status.is_server_error() {
        tracing::error!(code = error.code(), request.id = request_id, "a request failed: {}", error.chain());
    }
    let mut object = error.to_json();
    if let Some(request_id) = request_id {
        object["request_id"] = request_id.into();
    }
    let mut response = (status, Json(json!({"error": object}))).into_response();
    if let Some(value) = challenge(error) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

fn challenge(error: &Error) -> Option<HeaderValue> {
    if error.code() != "INSUFFICIENT_SCOPE" {
        return None;
    }
    let required = error.details_value()?["required"].as_array()?;
    let scopes: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
    let text = format!(r#"Bearer realm="dipeo", error="insufficient_scope", scope="{}""#, scopes.join(" "));
    HeaderValue::from_str(&text).ok()
}

/// Returns `error` with a status that its kind does not have.
pub fn error_response_with(status: StatusCode, error: &Error) -> Response {
    (status, Json(json!({"error": error.to_json()}))).into_response()
}

/// Gives answers that the frameworks make without a body of ours the error object: 405 and 413.
pub fn explained(method: &Method, uri: &Uri, response: Response) -> Response {
    if is_json(&response) {
        return response;
    }
    let path = uri.path();
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = response.headers().get(header::ALLOW).and_then(|it| it.to_str().ok()).unwrap_or_default();
            let error = Error::invalid("METHOD_NOT_ALLOWED", format!("`{path}` does not take `{method}`"))
                .hint(format!("it takes {}", allowed.replace(',', ", ").replace(",  ", ", ")));
            with_body_of(response, &error)
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            let error = Error::limit("TOO_LARGE", format!("the request body is too large for `{path}`"));
            with_body_of(response, &error)
        }
        _ => response,
    }
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json")
}

/// Keeps status and headers (`Allow`), replaces the body.
fn with_body_of(response: Response, error: &Error) -> Response {
    let (mut parts, _) = response.into_parts();
    let (own, body): (_, Body) = error_response(error).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        if let Some(value) = own.headers.get(&name) {
            parts.headers.insert(name, value.clone());
        }
    }
    Response::from_parts(parts, body)
}
