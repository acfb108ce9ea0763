//! `POST /graphql`: one request, one answer (GraphQL over HTTP). Which media type the answer has decides what its
//! status says: with `application/graphql-response+json` a document that cannot be carried out is a 400, with
//! `application/json` every well-formed request is a 200.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use axum::Extension;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::Shared;
use super::answer::{Answer, problem};
use super::caller::caller_of;
use super::check::{Checked, check};
use super::parameters::Parameters;
use super::uploads::{self, Files};
use crate::error::Error;
use crate::handlers::Caller;
use crate::handlers::caller::Identity;
use crate::http::error_body::status_of;
use crate::limits;

/// The media types of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    GraphqlResponse,
}

/// What a body holds.
enum Kind {
    Json,
    /// With a file.
    Multipart,
}

/// Carries out what a client posts.
pub async fn post(
    State(shared): State<Arc<Shared>>,
    identity: Option<Extension<Identity>>,
    request: Request,
) -> Response {
    let caller = caller_of(&shared.app, identity.map(|it| it.0));
    let form = Form::wanted(request.headers());
    match answered(&shared, caller, request).await {
        Ok(answer) => {
            let is_fine = answer.was_carried_out() || form == Form::Json;
            form.response(if is_fine { StatusCode::OK } else { StatusCode::BAD_REQUEST }, &answer)
        }
        Err(error) => {
            let status = status_of(&error);
            form.response(status, &Answer::refusal(vec![problem(error, None)], shared.app.scrubber()))
        }
    }
}

/// Reads the body as its content type says and carries it out.
///
/// # Errors
///
/// Why the request is none.
async fn answered(shared: &Shared, caller: Caller, request: Request) -> Result<Answer, Error> {
    match kind_of(request.headers())? {
        Kind::Json => {
            let body = to_bytes(request.into_body(), limits::GRAPHQL_MESSAGE_BYTES_MAX).await.map_err(|_| {
                Error::limit("TOO_LARGE", "the request body is too large, or broke off")
                    .hint(format!("send at most {} bytes", limits::GRAPHQL_MESSAGE_BYTES_MAX))
            })?;
            Ok(carried_out(shared, caller, Parameters::parse(&body)?, Files::default()).await)
        }
        Kind::Multipart => {
            let _place = shared.uploads.try_acquire().map_err(|_| {
                Error::limit("TOO_MANY_REQUESTS", "there are too many uploads under way")
                    .hint("wait for some of them to end, and try again")
            })?;
            let run = |parameters, files| carried_out(shared, caller, parameters, files);
            uploads::begin(request).await?.with_file(run).await
        }
    }
}

fn kind_of(headers: &HeaderMap) -> Result<Kind, Error> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let (name, rest) = kind.split_once(';').unwrap_or((kind, ""));
    match name.trim().to_ascii_lowercase().as_str() {
        "application/json" if is_utf8(rest) => Ok(Kind::Json),
        "multipart/form-data" => Ok(Kind::Multipart),
        "application/json" => Err(unsupported("another character set than UTF-8".to_owned())),
        "" => Err(unsupported("no content type".to_owned())),
        other => Err(unsupported(format!("the content type `{}`", other.chars().take(60).collect::<String>()))),
    }
}

/// Whether the parameters of a content type name UTF-8 or no character set at all.
fn is_utf8(parameters: &str) -> bool {
    let named = parameters.split(';').filter_map(|it| it.trim().split_once('='));
    let mut charsets = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.all(|(_, value)| {
        let value = value.trim().trim_matches('"');
        value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
    })
}

fn unsupported(what: String) -> Error {
    Error::invalid("UNSUPPORTED_MEDIA_TYPE", format!("the request has {what}"))
        .hint("send `Content-Type: application/json`, or `multipart/form-data` with files")
}

/// Carries one request out. A bug that stops it is an answer like any other.
async fn carried_out(shared: &Shared, caller: Caller, parameters: Parameters, files: Files) -> Answer {
    let built = shared.schema.built();
    let scrubber = shared.app.scrubber();
    let Checked { request, operation, order } = match check(parameters, &built.rules) {
        Ok(checked) => checked,
        Err(problem) => return Answer::refusal(vec![problem], scrubber),
    };
    if operation == OperationType::Subscription {
        let error = Error::invalid("INVALID_QUERY", "a subscription has more than one answer")
            .hint("open a WebSocket at this address with the protocol `graphql-transport-ws`");
        return Answer::refusal(vec![problem(error, None)], scrubber);
    }
    let work = built.schema.execute(request.data(caller).data(files));
    AssertUnwindSafe(work).catch_unwind().await.map_or_else(
        |_| Answer::refusal(vec![problem(Error::internal("the operation stopped unexpectedly"), None)], scrubber),
        |response| Answer::of(response, &order, scrubber),
    )
}

impl Form {
    /// What the client prefers; a client that names neither, or anything, gets plain JSON.
    fn wanted(headers: &HeaderMap) -> Self {
        let (mut json, mut graphql) = (None, None);
        let lines = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
        for range in lines.flat_map(|it| it.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|it| it.strip_prefix("q=")).map_or(1.0, |it| it.parse().unwrap_or(0.0_f32));
            match name.as_str() {
                "application/json" => json = Some(weight),
                "application/graphql-response+json" => graphql = Some(weight),
                _ => {}
            }
        }
        match graphql {
            Some(weight) if weight > 0.0 && json.is_none_or(|it| it <= weight) => Self::GraphqlResponse,
            _ => Self::Json,
        }
    }

    fn response(self, status: StatusCode, answer: &Answer) -> Response {
        let kind = match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        };
        match serde_json::to_vec(answer) {
            Ok(body) => {
                let kind = HeaderValue::from_static(kind);
                let uncached = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                (status, [(header::CONTENT_TYPE, kind), uncached], body).into_response()
            }
            Err(error) => {
                tracing::error!("an answer is no JSON: {error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_media_type_it_asks_for() {
        let graphql = "application/graphql-response+json";
        for (accept, expected) in [
            ("", Form::Json),
            ("*/*", Form::Json),
            ("application/json", Form::Json),
            ("text/html", Form::Json),
            (graphql, Form::GraphqlResponse),
            (&format!("{graphql}; charset=utf-8, application/json; charset=utf-8"), Form::GraphqlResponse),
            (&format!("{graphql};q=0.5, application/json;q=0.4"), Form::GraphqlResponse),
            (&format!("{graphql};q=0.3, application/json;q=0.4"), Form::Json),
            (&format!("{graphql};q=0"), Form::Json),
            (&format!("{graphql};q=x"), Form::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).expect("a header"));
            assert_eq!(Form::wanted(&headers), expected, "{accept}");
        }
    }

    #[test]
    fn a_body_is_read_as_its_content_type_says_or_not_at_all() {
        for (kind, expected) in [
            ("application/json", Some("json")),
            ("Application/JSON; charset=\"UTF-8\"", Some("json")),
            ("multipart/form-data; boundary=x", Some("multipart")),
            ("application/json; charset=latin1", None),
            ("text/plain", None),
            ("application/graphql", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).expect("a header"));
            let found = match kind_of(&headers) {
                Ok(Kind::Json) => Some("json"),
                Ok(Kind::Multipart) => Some("multipart"),
                Err(_) => None,
            };
            assert_eq!(found, expected, "{kind}");
        }
    }
}
