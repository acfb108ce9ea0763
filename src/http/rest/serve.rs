//! Serves the operations: reads a request, calls the use case, writes what it says. It must not know any of them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::conditions::Conditions;
use super::input::Input;
use super::operation::{Answer, Asked, Listens, Operation, Verb};
use crate::error::Error;
use crate::handlers::caller::{Door, Identity};
use crate::handlers::{App, Caller};
use crate::http::error_body::{REQUEST_ID, answer_of};

/// What all operations share.
#[derive(Clone)]
pub struct Shared {
    pub app: Arc<App>,
    /// Ends every wait.
    pub stop: CancellationToken,
    /// What is under way, whether or not anybody still waits for the answer.
    pub tracker: TaskTracker,
}

/// One operation, ready to be asked.
pub struct Served {
    operation: &'static Operation,
    input: Result<Input, Error>,
    shared: Shared,
}

impl Served {
    /// Prepares an operation.
    pub fn new(operation: &'static Operation, shared: &Shared) -> Arc<Self> {
        Arc::new(Self { operation, input: Input::new(operation), shared: shared.clone() })
    }

    /// Answers a request.
    pub async fn answer(self: Arc<Self>, request: Request) -> Response {
        let request_id = request.headers().get(REQUEST_ID).and_then(|it| it.to_str().ok()).map(str::to_owned);
        match self.outcome(request).await {
            Ok(response) => response,
            Err(error) => {
                let error = error.scrubbed(self.shared.app.scrubber());
                answer_of(&error, request_id.as_deref())
            }
        }
    }

    async fn outcome(&self, request: Request) -> Result<Response, Error> {
        let input =
            self.input.as_ref().map_err(|e| Error::internal("an operation cannot be read").source(e.chain()))?;
        let caller = caller_of(&self.shared.app, request.extensions().get());
        let headers = request.headers().clone();
        // Who may not do it is told so, and not what else is wrong.
        caller.require(self.operation.scopes)?;
        let conditions = Conditions::read(&headers)?;
        let arguments = input.read(self.operation, request).await?;
        let cancel = self.shared.stop.child_token();
        let asked =
            Asked { app: Arc::clone(&self.shared.app), caller, arguments, conditions: conditions.clone(), cancel };
        let answer = self.carried_out(asked).await?;
        Ok(self.written(answer, &conditions))
    }

    /// Carries it out to its end, also when the client goes away meanwhile: only its waiting ends then.
    async fn carried_out(&self, asked: Asked) -> Result<Answer, Error> {
        let _ends_the_wait = asked.cancel.clone().drop_guard();
        let call = self.shared.tracker.spawn((self.operation.call)(asked));
        call.await.unwrap_or_else(|e| Err(Error::internal(format!("`{}` broke off", self.operation.id)).source(e)))
    }

    fn written(&self, answer: Answer, conditions: &Conditions) -> Response {
        let Answer { status, mut headers, body } = answer;
        let Some(body) = body else { return (status, headers).into_response() };
        let bytes = text_of(&body);
        if self.operation.listens == Listens::IfNoneMatch && self.operation.verb == Verb::Get {
            let tag = headers.entry(header::ETAG).or_insert_with(|| hash_tag(&bytes)).to_str().unwrap_or_default();
            if conditions.has(tag) {
                return (StatusCode::NOT_MODIFIED, headers).into_response();
            }
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        (status, headers, Body::from(bytes)).into_response()
    }
}

/// Whom the server recognised, else the owner of the database; no more than this server lets anybody do.
pub fn caller_of(app: &App, identity: Option<&Identity>) -> Caller {
    let identity = identity.cloned().unwrap_or_else(Identity::owner).limited_to(app.client_scopes());
    Caller::client(identity, Door::Http)
}

fn text_of(body: &Value) -> Vec<u8> {
    // A value with text keys can always be written.
    serde_json::to_vec(body).unwrap_or_default()
}

/// The state of what has no number: weak, because it says what the answer says, not which bytes it has.
fn hash_tag(bytes: &[u8]) -> HeaderValue {
    let digest = hex::encode(&Sha256::digest(bytes)[..12]);
    HeaderValue::from_str(&format!("W/\"{digest}\"")).unwrap_or(HeaderValue::from_static("W/\"\""))
}
