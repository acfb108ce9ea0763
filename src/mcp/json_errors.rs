//! Repairs two answers of the library on the MCP endpoint: a body that is no JSON-RPC message gets a
//! JSON-RPC error, and ending a session gets a status without a body.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::Error;
use crate::limits::MCP_BODY_BYTES_MAX;

/// Passes a request on and repairs the answer.
pub async fn json_errors(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        let is_delete = parts.method == Method::DELETE;
        let mut response = next.run(Request::from_parts(parts, body)).await;
        if is_delete && response.status() == StatusCode::ACCEPTED {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        return response;
    }
    let Ok(bytes) = to_bytes(body, MCP_BODY_BYTES_MAX).await else { return too_large() };
    let says_json = says_json(&parts.headers);
    let response = next.run(Request::from_parts(parts, Body::from(bytes.clone()))).await;
    if says_json && response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return (StatusCode::BAD_REQUEST, axum::Json(explain(&bytes))).into_response();
    }
    response
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn too_large() -> Response {
    let error =
        Error::limit("TOO_LARGE", format!("the request body is larger than {MCP_BODY_BYTES_MAX} bytes or ended early"))
            .hint("save large diagrams and files in the workspace and name them instead");
    (StatusCode::PAYLOAD_TOO_LARGE, axum::Json(json!({"error": error.to_json()}))).into_response()
}

/// Says what is wrong with a body that the library could not read as one message.
fn explain(body: &Bytes) -> Value {
    let (id, code, message) = match serde_json::from_slice::<Value>(body) {
        Err(_) => (Value::Null, -32700, "the body is not JSON"),
        Ok(Value::Array(_)) => (Value::Null, -32600, "batches do not exist: send one message per request"),
        Ok(Value::Object(object)) => {
            let id = object.get("id").filter(|it| it.is_string() || it.is_number()).cloned();
            (id.unwrap_or_default(), -32600, "the body is not a JSON-RPC message of this protocol")
        }
        Ok(_) => (Value::Null, -32600, "the body is not a JSON-RPC message of this protocol"),
    };
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_body_is_told_by_its_code() {
        for (body, id, code) in [
            ("{", json!(null), -32700),
            ("", json!(null), -32700),
            ("[]", json!(null), -32600),
            ("3", json!(null), -32600),
            (r#"{"id": 7}"#, json!(7), -32600),
            (r#"{"id": "a", "method": 1}"#, json!("a"), -32600),
            (r#"{"id": {}}"#, json!(null), -32600),
        ] {
            let answer = explain(&Bytes::from_static(body.as_bytes()));
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{body}");
        }
    }
}
