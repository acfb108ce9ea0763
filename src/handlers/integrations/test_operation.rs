//! Tries a provider: without an operation its manifest and key, with one a call, recorded or replayed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::{App, Caller};
use super::find;
use super::init::{working_dir, write_new};
use super::list::{Provider, provider};
use super::validate::unknown_provider;
use crate::error::Error;
use crate::integrations::recording::{Exchange, Recording, SeenResponse, SentRequest};
use crate::integrations::request::secrets_of;
use crate::integrations::{Manifest, Operation, read, shipped};
use crate::nodes::integrated_api::call::{Call, Wires, call};
use crate::nodes::integrated_api::keys;
use crate::nodes::ports::http::{Http, HttpReply, HttpRequest};
use crate::nodes::ports::secrets::Secrets;
use crate::nodes::{Origin, Rights};
use crate::secret::Secret;

/// Characters of a value that are shown.
const SHOWN_CHARS_MAX: usize = 2_000;

/// What to try.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub provider: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
    /// `None` with `replay`: that of the recording.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub config: Option<Map<String, Value>>,
    pub record: bool,
    pub replay: bool,
}

/// What is known of the provider, and what came of the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub provider: Provider,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call: Option<Outcome>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub operation: String,
    pub status: u64,
    pub duration_ms: u64,
    /// The first 2,000 characters of the value.
    pub shown: String,
    /// Characters of the whole value.
    pub chars: usize,
    pub replayed: bool,
    /// Where it was recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recorded: Option<String>,
}

/// Tries a provider.
///
/// # Errors
///
/// `RESOURCE_NOT_FOUND` for an unknown provider or operation, `INVALID_INPUT` for a manifest that cannot be
/// used, `FILE_NOT_FOUND` for a recording that is not there, and what a call fails with.
pub async fn test_operation(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    working_dir(caller)?;
    let root = &app.config.workspace;
    let Some(found) = find::manifest(root, &request.provider) else {
        return Err(unknown_provider(&request.provider, &find::names(root)));
    };
    let described = provider(app, &found)?;
    if let Some(problem) = &described.error {
        let message = format!("the manifest of `{}` cannot be used: {problem}", request.provider);
        return Err(Error::invalid("INVALID_INPUT", message).hint("`dipeo integrations validate` shows every problem"));
    }
    let Some(name) = &request.operation else { return Ok(Response { provider: described, call: None }) };
    let manifest = read(&found.text).manifest.ok_or_else(|| Error::internal("a manifest became invalid"))?;
    let Some(operation) = manifest.operation(name).filter(|it| it.refused.is_none()) else {
        let message = format!("`{}` has no operation `{name}` that can be called", manifest.name);
        return Err(Error::not_found("RESOURCE_NOT_FOUND", message).hint(manifest.operation_hint(name)));
    };
    let outcome = match request.replay {
        true => replay(app, &manifest, operation, &request).await?,
        false => send(app, &manifest, operation, &request).await?,
    };
    Ok(Response { provider: described, call: Some(outcome) })
}

async fn send(app: &App, manifest: &Manifest, operation: &Operation, request: &Request) -> Result<Outcome, Error> {
    let rights = Arc::new(Rights::of(Origin::Local, true, false));
    let key = keys::find(manifest, None, &app.ports, &rights)?;
    let mut private: Vec<Secret> = key.clone().into_iter().collect();
    for name in secrets_of(manifest, operation) {
        private.extend(app.ports.secrets.find(&name)?);
    }
    let config = request.config.clone().unwrap_or_default();
    let recorder = Recorder { inner: Arc::clone(&app.ports.http), seen: Mutex::default() };
    let wires = Wires { http: &recorder, ..Wires::of(&app.ports, &rights) };
    let done = call(&call_of(manifest, operation, config.clone(), key), &wires).await?;
    let recorded = match request.record {
        true => Some(recorder.write(app, manifest, operation, config, private)?),
        false => None,
    };
    Ok(outcome(operation, &done.value, &done.meta, false, recorded))
}

async fn replay(app: &App, manifest: &Manifest, operation: &Operation, request: &Request) -> Result<Outcome, Error> {
    let (path, recording) = find_recording(app, manifest, operation)?;
    let config = request.config.clone().unwrap_or_else(|| recording.config.clone());
    let rights = Arc::new(Rights::of(Origin::Local, true, false));
    // Nothing is sent, so nobody's key is needed.
    let key = manifest.auth.strategy.needs_key().then(|| Secret::new("***")).flatten();
    let secrets = Placeholders;
    let replayer = Replayer { recording, path, token_endpoint: manifest.auth.token_endpoint.clone() };
    let wires = Wires { http: &replayer, secrets: &secrets, ..Wires::of(&app.ports, &rights) };
    let done = call(&call_of(manifest, operation, config, key), &wires).await?;
    Ok(outcome(operation, &done.value, &done.meta, true, None))
}

fn call_of<'a>(
    manifest: &'a Manifest,
    operation: &'a Operation,
    config: Map<String, Value>,
    key: Option<Secret>,
) -> Call<'a> {
    let seconds = operation.timeout_s.unwrap_or(manifest.default_timeout_s);
    Call {
        manifest,
        operation,
        resource_id: config.get("resource_id").cloned(),
        config,
        key,
        timeout: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(30)),
        attempt: 1,
        idempotency_key: uuid::Uuid::new_v4().to_string(),
    }
}

fn outcome(
    operation: &Operation,
    value: &Value,
    meta: &Map<String, Value>,
    replayed: bool,
    recorded: Option<String>,
) -> Outcome {
    let text = match value {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    };
    let number = |key: &str| meta.get("http").and_then(|it| it.get(key)).and_then(Value::as_u64).unwrap_or(0);
    Outcome {
        operation: operation.name.clone(),
        status: number("status"),
        duration_ms: number("duration_ms"),
        shown: text.chars().take(SHOWN_CHARS_MAX).collect(),
        chars: text.chars().count(),
        replayed,
        recorded,
    }
}

fn recording_path(app: &App, manifest: &Manifest, operation: &Operation) -> Result<PathBuf, Error> {
    // The name comes from the manifest: it must stay one file of that folder.
    let is_plain = operation.name.chars().all(|it| it.is_alphanumeric() || matches!(it, '_' | '-'));
    if !is_plain {
        return Err(Error::invalid("INVALID_NAME", format!("`{}` cannot be the name of a recording", operation.name))
            .hint("name the operation with letters, digits, `_` and `-`"));
    }
    let folder = app.config.workspace.join("integrations").join(&manifest.name).join("recordings");
    Ok(folder.join(format!("{}.json", operation.name)))
}

/// The workspace's own recording, else the shipped one.
fn find_recording(app: &App, manifest: &Manifest, operation: &Operation) -> Result<(String, Recording), Error> {
    let path = recording_path(app, manifest, operation)?;
    if let Some(text) = find::read_text(&path) {
        let shown = path.display().to_string();
        return Recording::parse(&text, &shown).map(|it| (shown, it));
    }
    let shipped = shipped::find(&manifest.name).and_then(|it| it.recording(&operation.name));
    let Some(text) = shipped else {
        let message = format!("there is no recording of `{}` at `{}`", operation.name, path.display());
        return Err(Error::not_found("FILE_NOT_FOUND", message).hint("make one with `--record`"));
    };
    Recording::parse(text, "the shipped recording").map(|it| ("the shipped recording".to_owned(), it))
}

/// Sends, and keeps what was sent and seen.
struct Recorder {
    inner: Arc<dyn Http>,
    seen: Mutex<Vec<(HttpRequest, HttpReply)>>,
}

impl Http for Recorder {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>> {
        Box::pin(async move {
            let reply = self.inner.send(request.clone()).await?;
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push((request, reply.clone()));
            Ok(reply)
        })
    }
}

impl Recorder {
    /// Writes what was seen, without keys and tokens.
    fn write(
        &self,
        app: &App,
        manifest: &Manifest,
        operation: &Operation,
        config: Map<String, Value>,
        mut private: Vec<Secret>,
    ) -> Result<String, Error> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_token = |request: &HttpRequest| Some(&request.url) == manifest.auth.token_endpoint.as_ref();
        for (_, reply) in seen.iter().filter(|(request, _)| is_token(request)) {
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            private.extend(body["access_token"].as_str().and_then(Secret::new));
        }
        let calls = seen.iter().filter(|(request, _)| !is_token(request));
        let exchanges =
            calls.map(|(request, reply)| exchange(request, reply).scrubbed(&private, &manifest.auth)).collect();
        let note = Some(format!("recorded {}", app.clock.now().to_rfc3339()));
        let recording = Recording { operation: operation.name.clone(), note, config, exchanges };
        let path = recording_path(app, manifest, operation)?;
        let text = serde_json::to_string_pretty(&recording)
            .map_err(|error| Error::internal("a recording cannot be written").source(error))?;
        write_new(&path, &format!("{text}\n"), true)?;
        Ok(path.display().to_string())
    }
}

fn exchange(request: &HttpRequest, reply: &HttpReply) -> Exchange {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Exchange {
        request: SentRequest {
            method: request.method.clone(),
            url: request.url.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            body: request.body.as_deref().map(text),
        },
        response: SeenResponse { status: reply.status, headers: reply.headers.clone(), body: text(&reply.body) },
    }
}

/// Answers from a recording; nothing is sent.
pub struct Replayer {
    pub recording: Recording,
    /// For messages.
    pub path: String,
    pub token_endpoint: Option<String>,
}

impl Http for Replayer {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>> {
        let answer = self.answer(&request);
        Box::pin(async move { answer })
    }
}

impl Replayer {
    fn answer(&self, request: &HttpRequest) -> Result<HttpReply, Error> {
        let reply = |status, headers: Vec<(String, String)>, body: &str| {
            Ok(HttpReply { status, headers, body: body.as_bytes().to_vec(), duration: Duration::ZERO })
        };
        if self.token_endpoint.as_ref() == Some(&request.url) {
            return reply(200, Vec::new(), "{\"access_token\": \"***\"}");
        }
        let (method, url, body) = (&request.method, &request.url, request.body.as_deref());
        let found = self.recording.exchanges.iter().find(|it| it.answers(method, url, &request.query, body));
        let Some(found) = found else {
            let message = format!("{} has no answer to {method} {url} with this query and body", self.path);
            return Err(Error::external("HTTP_FAILED", message)
                .hint("give the `--config` it was recorded with, or record it anew with `--record`"));
        };
        reply(found.response.status, found.response.headers.clone(), &found.response.body)
    }
}

/// Stands in for secrets in a replay.
struct Placeholders;

impl Secrets for Placeholders {
    fn find(&self, _name: &str) -> Result<Option<Secret>, Error> {
        Ok(Secret::new("***"))
    }
}
