//! Errors as HTTP answers: the status of their kind and the error object of surface.md 1.3.

use axum::Json;
use axum::body::Body;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::Error;

/// Returns `error` with the status of its kind.
pub fn error_response(error: &Error) -> Response {
    let status = StatusCode::from_u16(error.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    error_response_with(status, error)
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
