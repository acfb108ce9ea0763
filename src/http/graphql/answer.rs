//! Answers as clients read them: every error has `extensions` with its code, its class and what to do, whoever
//! found it, and a request that was never carried out has no `data`.

use std::sync::Arc;

use async_graphql::{Pos, Response, ServerError, Value};
use serde::Serialize;

use super::order::Order;
use crate::error::{Error, ErrorKind};
use crate::secret::Scrubber;

/// Errors of one answer that are shown; a document can have one for each of its fields.
const ERRORS_MAX: usize = 20;

/// An answer on its way out.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// Absent when nothing was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ServerError>,
}

impl Answer {
    /// Nothing was carried out.
    pub fn refusal(errors: Vec<ServerError>, scrubber: &Scrubber) -> Self {
        Self { data: None, errors: explained(errors, scrubber) }
    }

    /// What the library says. Errors of fields say at which; what it finds before it begins is about none.
    pub fn of(mut response: Response, order: &Order, scrubber: &Scrubber) -> Self {
        order.sort(&mut response.data);
        let is_about_fields = response.errors.iter().all(|it| !it.path.is_empty());
        let was_carried_out = response.data != Value::Null || is_about_fields;
        Self { data: was_carried_out.then_some(response.data), errors: explained(response.errors, scrubber) }
    }

    /// Whether errors are all there is.
    pub fn is_nothing(&self) -> bool {
        self.data.as_ref().is_none_or(|it| *it == Value::Null) && !self.errors.is_empty()
    }

    /// Whether anything was carried out.
    pub fn was_carried_out(&self) -> bool {
        self.data.is_some()
    }
}

/// An error of ours in the form in which the library hands errors on.
pub fn problem(error: Error, at: Option<Pos>) -> ServerError {
    let mut problem = ServerError::new(error.message(), at);
    problem.source = Some(Arc::new(error));
    problem
}

fn explained(mut errors: Vec<ServerError>, scrubber: &Scrubber) -> Vec<ServerError> {
    errors.truncate(ERRORS_MAX);
    errors.iter_mut().for_each(|it| explain(it, scrubber));
    errors
}

/// Adds code, class, hint and details of the error of ours behind it; what has none is the library's word on a
/// document that does not fit the schema.
fn explain(problem: &mut ServerError, scrubber: &Scrubber) {
    scrubber.scrub(&mut problem.message);
    let mut set = |name: &str, value: Value| problem.extensions.get_or_insert_default().set(name, value);
    let Some(error) = problem.source.as_ref().and_then(|it| it.downcast_ref::<Error>()) else {
        set("code", "INVALID_QUERY".into());
        set("class", "INVALID".into());
        return;
    };
    if error.kind() == ErrorKind::Internal {
        tracing::error!(code = error.code(), "a GraphQL operation failed: {}", error.chain());
    }
    set("code", error.code().into());
    set("class", class(error).into());
    if let Some(hint) = error.hint_text() {
        let mut hint = hint.to_owned();
        scrubber.scrub(&mut hint);
        set("hint", hint.into());
    }
    if let Some(details) = error.details_value() {
        let mut details = details.clone();
        scrubber.scrub_value(&mut details);
        set("details", Value::from_json(details).unwrap_or_default());
    }
}

/// Who has to act, in the words of surface.md 1.3.
fn class(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Invalid => "INVALID",
        ErrorKind::NotFound => "NOT_FOUND",
        ErrorKind::Conflict => "CONFLICT",
        ErrorKind::Refused if error.code() == "UNAUTHENTICATED" => "UNAUTHENTICATED",
        ErrorKind::Refused => "FORBIDDEN",
        ErrorKind::Limit => "LIMIT",
        ErrorKind::External => "EXTERNAL",
        ErrorKind::Internal => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::PathSegment;
    use serde_json::json;

    use super::*;

    fn shown(answer: &Answer) -> serde_json::Value {
        serde_json::to_value(answer).expect("JSON")
    }

    #[test]
    fn an_error_of_ours_says_what_it_is_and_what_to_do() {
        let error =
            Error::not_found("EXECUTION_NOT_FOUND", "there is none").hint("look again").details(json!({"a": 1}));
        let answer = Answer::refusal(vec![problem(error, Some(Pos { line: 2, column: 3 }))], &Scrubber::default());
        let expected = json!({"errors": [{
            "message": "there is none",
            "locations": [{"line": 2, "column": 3}],
            "extensions": {
                "class": "NOT_FOUND",
                "code": "EXECUTION_NOT_FOUND",
                "details": {"a": 1},
                "hint": "look again",
            },
        }]});
        assert_eq!(shown(&answer), expected);
    }

    #[test]
    fn what_was_never_carried_out_has_no_data() {
        let library = || ServerError::new("Unknown field", None);
        let of_a_field = || library().with_path(vec![PathSegment::Field("a".into())]);
        for (data, error, expected) in [
            (Value::Null, library(), None),
            (Value::Null, of_a_field(), Some(json!(null))),
            (Value::from("x"), of_a_field(), Some(json!("x"))),
        ] {
            let mut response = Response::new(data);
            response.errors.push(error);
            let shown = shown(&Answer::of(response, &Order::default(), &Scrubber::default()));
            assert_eq!(shown.get("data").cloned(), expected);
            assert_eq!(shown["errors"][0]["extensions"], json!({"class": "INVALID", "code": "INVALID_QUERY"}));
        }
    }

    #[test]
    fn every_kind_of_error_has_a_class() {
        for (error, expected) in [
            (Error::invalid("A", ""), "INVALID"),
            (Error::refused("UNAUTHENTICATED", ""), "UNAUTHENTICATED"),
            (Error::refused("INSUFFICIENT_SCOPE", ""), "FORBIDDEN"),
            (Error::conflict("A", ""), "CONFLICT"),
            (Error::limit("A", ""), "LIMIT"),
            (Error::external("A", ""), "EXTERNAL"),
            (Error::internal(""), "INTERNAL"),
        ] {
            assert_eq!(class(&error), expected);
        }
    }

    #[test]
    fn a_document_with_many_errors_is_answered_shortly() {
        let errors = vec![ServerError::new("Unknown field", None); 5_000];
        assert_eq!(Answer::refusal(errors, &Scrubber::default()).errors.len(), ERRORS_MAX);
    }
}
