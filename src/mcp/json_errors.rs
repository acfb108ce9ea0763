//! Repairs answers of the library on the MCP endpoint: whatever it refuses in plain words gets a JSON-RPC error
//! with a code and a hint, and ending a session gets a status without a body.

use axum::body::{Bytes, to_bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rmcp::ErrorData;
use serde_json::{Value, json};

use super::misread;
use crate::error::Error;
use crate::limits::MCP_BODY_BYTES_MAX;

/// Longest sentence of the library that is read, in bytes.
const SENTENCE_BYTES_MAX: usize = 4_096;

/// Repairs the answer to a request that carries no message.
pub async fn repaired(method: &Method, mut response: Response) -> Response {
    if method == Method::DELETE && response.status() == StatusCode::ACCEPTED {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    explained(response).await
}

/// Repairs the answer to a message; `says_json` is what its headers say of the body.
pub async fn repaired_answer(says_json: bool, body: &Bytes, response: Response) -> Response {
    if says_json && response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return (StatusCode::BAD_REQUEST, axum::Json(misread_body(body))).into_response();
    }
    explained(response).await
}

/// Whether a body is meant as JSON.
pub fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// The answer to a body that is too large or broke off.
pub fn too_large() -> Response {
    let error =
        Error::limit("TOO_LARGE", format!("the request body is larger than {MCP_BODY_BYTES_MAX} bytes or ended early"))
            .hint("save large diagrams and files in the workspace and name them instead");
    (StatusCode::PAYLOAD_TOO_LARGE, axum::Json(json!({"error": error.to_json()}))).into_response()
}

/// Says what is wrong with a body that the library could not read as one message.
fn misread_body(body: &Bytes) -> Value {
    let (id, error) = misread::message(body);
    json!({"jsonrpc": "2.0", "id": id, "error": error})
}

/// Gives a refusal in plain words the form of an error; everything else stays as it is.
async fn explained(response: Response) -> Response {
    if response.headers().contains_key(header::CONTENT_TYPE) {
        return response;
    }
    let hint = match response.status() {
        StatusCode::BAD_REQUEST => {
            "send `initialize` and then its `Mcp-Session-Id`, or a request of 2026-07-28 with its headers"
        }
        StatusCode::NOT_FOUND => "the session has ended: send `initialize` again, without `Mcp-Session-Id`",
        StatusCode::NOT_ACCEPTABLE => "send `Accept: application/json, text/event-stream`",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "send `Content-Type: application/json`",
        _ => return response,
    };
    let (mut parts, body) = response.into_parts();
    let sentence = to_bytes(body, SENTENCE_BYTES_MAX).await.unwrap_or_default();
    let error = ErrorData::invalid_request(
        String::from_utf8_lossy(&sentence).into_owned(),
        Some(json!({"code": "INVALID_INPUT", "hint": hint})),
    );
    parts.headers.remove(header::CONTENT_LENGTH);
    let mut explained = axum::Json(json!({"jsonrpc": "2.0", "id": null, "error": error})).into_response();
    *explained.status_mut() = parts.status;
    explained.headers_mut().extend(parts.headers);
    explained
}
