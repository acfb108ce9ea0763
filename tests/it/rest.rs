//! The REST interface: every operation shows its effect, requests are read strictly, answers are those that the
//! description promises.

mod aliases;
mod diagrams;
mod executions;
mod requests;
mod server;
mod table;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use dipeo::handlers::App;
use dipeo::handlers::caller::{Identity, Scopes};
use dipeo::http::rest;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::harness::{self, Workspace};

/// The routes over an application in this process.
pub struct Rest {
    pub workspace: Workspace,
    pub app: Arc<App>,
    router: Router,
    /// Ids of the operations that were asked.
    asked: Mutex<BTreeSet<&'static str>>,
}

/// An answer.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
    }

    /// The code of the error that it is.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

impl Rest {
    pub fn new() -> Self {
        let workspace = harness::workspace();
        let app = workspace.app();
        let router = rest::routes(Arc::clone(&app), CancellationToken::new());
        Self { workspace, app, router, asked: Mutex::default() }
    }

    /// Sends a request as `principal`; `what` is `VERB PATH`.
    pub async fn send_as(
        &self,
        principal: Option<&str>,
        what: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let (verb, path) = what.split_once(' ').expect("a verb and a path");
        self.note(verb, path.split('?').next().unwrap_or_default());
        let mut request = Request::builder().method(verb).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() && !headers.iter().any(|it| it.0 == "content-type") {
            request = request.header("content-type", "application/json");
        }
        let body = match body {
            // Text is sent as it is.
            Some(Value::String(text)) => Body::from(text),
            Some(value) => Body::from(value.to_string()),
            None => Body::empty(),
        };
        let mut request = request.body(body).expect("a request");
        if let Some(principal) = principal {
            request.extensions_mut().insert(Identity { principal: principal.into(), scopes: Scopes::ALL });
        }
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
        Reply { status, headers, body }
    }

    pub async fn send(&self, what: &str, body: Option<Value>, headers: &[(&str, &str)]) -> Reply {
        self.send_as(None, what, body, headers).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path}"), None, &[]).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(&format!("POST {path}"), Some(body), &[]).await
    }

    /// Saves a diagram under a name.
    pub async fn save(&self, name: &str, content: &str) -> Reply {
        let reply = self.send(&format!("PUT /api/v1/diagrams/{name}"), Some(json!({"content": content})), &[]).await;
        assert!(reply.status.is_success(), "{}", reply.body);
        reply
    }

    /// Runs a text to its end or a pause and returns its id.
    pub async fn ran(&self, content: &str) -> String {
        let reply = self.post("/api/v1/run", json!({"content": content, "wait": 20})).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body["execution_id"].as_str().expect("an id").to_owned()
    }

    fn note(&self, verb: &str, path: &str) {
        let given: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            parts.len() == given.len() && parts.iter().zip(&given).all(|(a, b)| a.starts_with('{') || a == b)
        };
        // A fixed word is meant before whatever may stand in its place.
        let found = rest::operations().filter(|it| it.verb.name() == verb && fits(it.path));
        let found = found.min_by_key(|it| it.path.matches('{').count());
        self.asked.lock().expect("no panic").extend(found.map(|it| it.id));
    }

    fn asked(&self) -> BTreeSet<&'static str> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// A diagram that says something.
pub fn hello(greeting: &str) -> String {
    format!(
        "version: light\nnodes:\n- {{label: s, type: start}}\n\
         - {{label: say, type: template_job, template_content: {greeting}}}\n\
         - {{label: e, type: endpoint}}\nconnections:\n- {{from: s, to: say}}\n- {{from: say, to: e}}\n"
    )
}

/// A diagram that asks a person.
pub const ASKS: &str = "\
version: light
nodes:
- {label: s, type: start}
- {label: ask, type: user_response, prompt: 'Well?', timeout: 300}
- {label: e, type: endpoint}
connections:
- {from: s, to: ask}
- {from: ask, to: e}
";

/// A diagram whose person is scripted.
pub const TALKS: &str = "\
version: light
persons:
  Ann: {service: scripted, replies: [fine]}
nodes:
- {label: s, type: start}
- {label: ask, type: person_job, person: Ann, default_prompt: 'How are you?'}
- {label: e, type: endpoint}
connections:
- {from: s, to: ask}
- {from: ask, to: e}
";
