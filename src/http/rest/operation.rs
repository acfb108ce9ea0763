//! What an operation of the REST interface is. From a list of these the routes are made, and their description: what
//! is not in the list is not served, and what is served is described.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use futures_util::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::conditions::Conditions;
use crate::error::Error;
use crate::handlers::caller::Scope;
use crate::handlers::run_diagram::Waiting;
use crate::handlers::{App, Caller};

/// The verbs that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    /// As requests write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Whether what is asked stands in the body, and not in the address.
    pub fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }
}

/// A type as the description shows it.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Under which the description has it.
    pub name: &'static str,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

/// The shape of `T` under the name `name`.
pub const fn shape<T: JsonSchema>(name: &'static str) -> Shape {
    Shape { name, schema: |generator| T::json_schema(generator) }
}

/// One way in which an operation can go well.
#[derive(Clone, Copy)]
pub struct Success {
    pub status: u16,
    pub about: &'static str,
    /// Absent: there is no body.
    pub body: Option<Shape>,
}

/// The header that an operation listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listens {
    Nothing,
    /// Read again only when it has changed: `If-None-Match`.
    IfNoneMatch,
    /// Change only what was seen: `If-Match`.
    IfMatch,
    /// Start once, however often it is asked: `Idempotency-Key`.
    IdempotencyKey,
}

/// One operation: how it is asked, which use case it is, what it answers.
pub struct Operation {
    /// Unique, in the description.
    pub id: &'static str,
    pub verb: Verb,
    /// With `{name}` where a value stands.
    pub path: &'static str,
    /// Under which it is listed.
    pub group: &'static str,
    pub summary: &'static str,
    /// The use case: a function of `handlers`.
    pub handler: &'static str,
    /// What the caller needs; the handler checks it.
    pub scopes: &'static [Scope],
    /// What is asked, wherever in the request it stands: in the path, else in the query or the body. An object.
    pub request: Option<Shape>,
    /// The names in a request that are others than the fields of its shape: `(in the request, field)`.
    pub names: &'static [(&'static str, &'static str)],
    /// Fields of the shape that are not offered here.
    pub hidden: &'static [&'static str],
    pub listens: Listens,
    pub successes: &'static [Success],
    /// Statuses of refusals besides those that every operation has.
    pub refusals: &'static [u16],
    pub call: fn(Asked) -> BoxFuture<'static, Result<Answer, Error>>,
}

/// A request that was read and fits.
pub struct Asked {
    pub app: Arc<App>,
    pub caller: Caller,
    /// Path, query and body in one, under the names of the shape's fields.
    pub arguments: Map<String, Value>,
    pub conditions: Conditions,
    /// Ends a wait, never what is waited for.
    pub cancel: CancellationToken,
}

impl Asked {
    /// What is asked, as the handler wants it.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for what fits the schema and is refused by the type all the same.
    pub fn request<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let arguments = Value::Object(self.arguments.clone());
        serde_json::from_value(arguments).map_err(|e| {
            Error::invalid("INVALID_INPUT", format!("the request cannot be read: {e}"))
                .hint("the description at /openapi.json says what it takes")
        })
    }

    /// A wait that ends with the server.
    pub fn waiting(&self) -> Waiting {
        Waiting { cancel: self.cancel.child_token(), ..Waiting::default() }
    }
}

/// What an operation answers.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Option<Value>,
}

impl Answer {
    /// 200 with a body.
    ///
    /// # Errors
    ///
    /// `INTERNAL` for a body that cannot be written.
    pub fn ok(body: impl Serialize) -> Result<Self, Error> {
        Self::with(StatusCode::OK, body)
    }

    /// A status with a body.
    ///
    /// # Errors
    ///
    /// As [`Answer::ok`].
    pub fn with(status: StatusCode, body: impl Serialize) -> Result<Self, Error> {
        let body =
            serde_json::to_value(body).map_err(|e| Error::internal("an answer cannot be written as JSON").source(e))?;
        Ok(Self { status, headers: HeaderMap::new(), body: Some(body) })
    }

    /// 204.
    pub fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: None }
    }

    /// Adds what tells one state of the thing from another.
    #[must_use]
    pub fn tagged(mut self, tag: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
            self.headers.insert(header::ETAG, value);
        }
        self
    }

    /// Adds where the thing is.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(path) {
            self.headers.insert(header::LOCATION, value);
        }
        self
    }
}
