//! Sends one call over HTTP and reads the reply as it comes: the same for every wire format. Repeating is
//! the engine's business.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;

use super::draft::Draft;
use super::endpoint::{Dialect, Endpoint, Reader};
use super::failure::{self, Failed};
use super::frames::Frames;
use super::gate::Gates;
use crate::error::Error;
use crate::limits;
use crate::nodes::ports::{ModelReply, ModelRequest};

/// How long connecting may take. The whole call is limited by the node's own `timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What ends a stream of chat completions; it is no JSON.
const DONE: &str = "[DONE]";

/// The HTTP client of all providers, made when the first call needs it.
#[derive(Default)]
pub(super) struct Transport {
    client: OnceLock<Result<Client, String>>,
    gates: Gates,
}

impl Transport {
    /// Sends `request` and returns the reply. Dropping the future closes the connection.
    ///
    /// # Errors
    ///
    /// `LLM_FAILED`; retryable for lost connections, 408, 409, 425, 429, 5xx and replies that make no sense.
    pub(super) async fn call(&self, endpoint: &Endpoint, request: &ModelRequest) -> Result<ModelReply, Error> {
        let pass = self.gates.enter(endpoint).await;
        let mut dialect = Dialect::default();
        loop {
            let body = endpoint.wire.body(request, &endpoint.model, dialect);
            let refusal = match self.send(endpoint, request, &body).await? {
                Ok(draft) => return draft.into_reply(endpoint),
                Err(refusal) => refusal,
            };
            match dialect.adapted(request, &refusal) {
                Some(adapted) => dialect = adapted,
                None => {
                    if let Some(ms) = refusal.rest_ms() {
                        pass.rest(ms);
                    }
                    return Err(refusal.into_error(endpoint));
                }
            }
        }
    }

    /// Reads the JSON document at `path`.
    ///
    /// # Errors
    ///
    /// `LLM_FAILED`, as [`Transport::call`].
    pub(super) async fn get(&self, endpoint: &Endpoint, path: &str) -> Result<Value, Error> {
        let call = self.client()?.get(format!("{}{path}", endpoint.base_url));
        let response = with_headers(call, endpoint)?.send().await.map_err(|it| failure::of_connection(endpoint, it))?;
        let (status, retry_after) = (response.status(), failure::retry_after_ms(response.headers()));
        let bytes = read_body(endpoint, response).await?;
        if !status.is_success() {
            return Err(Failed::new(status.as_u16(), retry_after, &bytes).into_error(endpoint));
        }
        let text = String::from_utf8_lossy(&bytes);
        serde_json::from_str(&text).map_err(|problem| failure::not_json(endpoint, &text, problem))
    }

    /// Sends one body. The outer error is of the connection, the inner one what the server says.
    async fn send(
        &self,
        endpoint: &Endpoint,
        request: &ModelRequest,
        body: &Value,
    ) -> Result<Result<Draft, Failed>, Error> {
        let wire = endpoint.wire;
        let url = format!("{}{}", endpoint.base_url, wire.path(&endpoint.model));
        let call = with_headers(self.client()?.post(&url).json(body), endpoint)?;
        let response = call.send().await.map_err(|it| failure::of_connection(endpoint, it))?;
        if response.status().is_success() {
            return read_reply(endpoint, request, response).await;
        }
        let status = response.status().as_u16();
        let retry_after = failure::retry_after_ms(response.headers());
        let bytes = read_body(endpoint, response).await?;
        Ok(Err(Failed::new(status, retry_after, &bytes)))
    }

    fn client(&self) -> Result<&Client, Error> {
        let made = self.client.get_or_init(|| {
            crate::tls::install();
            // A redirect would send the key and the prompt to an address nobody named.
            let builder = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_TIMEOUT);
            builder.build().map_err(|it| it.to_string())
        });
        made.as_ref().map_err(|it| {
            Error::external("LLM_FAILED", "no HTTP client can be made on this machine")
                .hint("TLS needs the system's root certificates: install the package `ca-certificates`")
                .source(it.clone())
        })
    }
}

/// Adds what every call of this format has, and the key.
fn with_headers(mut call: RequestBuilder, endpoint: &Endpoint) -> Result<RequestBuilder, Error> {
    for (name, value) in endpoint.wire.headers() {
        call = call.header(*name, *value);
    }
    let Some(key) = &endpoint.key else { return Ok(call) };
    let (name, value) = endpoint.wire.authorization(key);
    Ok(call.header(name, sensitive(&value)?))
}

fn sensitive(value: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        Error::external("NO_MODEL", "the key has characters that no key has, such as a line break")
            .hint("set the key again: it is one word without blanks")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a reply of status 2xx to its end.
async fn read_reply(
    endpoint: &Endpoint,
    request: &ModelRequest,
    mut response: Response,
) -> Result<Result<Draft, Failed>, Error> {
    let mut draft = Draft::new(request.sink.clone());
    let mut reader = endpoint.wire.reader();
    let mut frames = Frames::default();
    let mut n_bytes = 0;
    while let Some(chunk) = response.chunk().await.map_err(|it| failure::of_connection(endpoint, it))? {
        n_bytes += chunk.len();
        if n_bytes > limits::MODEL_REPLY_BYTES_MAX {
            return Err(failure::too_large(endpoint));
        }
        for event in frames.push(&chunk) {
            if let Err(failed) = take(endpoint, &mut *reader, &event, &mut draft)? {
                return Ok(Err(failed));
            }
        }
        if draft.is_over {
            return Ok(Ok(draft));
        }
    }
    finish(endpoint, &mut *reader, frames, draft)
}

/// Reads what is left at the end of the connection.
fn finish(
    endpoint: &Endpoint,
    reader: &mut dyn Reader,
    frames: Frames,
    mut draft: Draft,
) -> Result<Result<Draft, Failed>, Error> {
    let is_stream = frames.is_stream();
    // Half an event is what a cut connection leaves behind.
    let rest = frames.finish().filter(|it| !is_stream || it == DONE || serde_json::from_str::<Value>(it).is_ok());
    if let Some(rest) = rest
        && let Err(failed) = take(endpoint, reader, &rest, &mut draft)?
    {
        return Ok(Err(failed));
    }
    match (draft.is_complete, is_stream) {
        (true, _) => Ok(Ok(draft)),
        (false, true) => Err(failure::cut(endpoint)),
        (false, false) => Err(failure::not_a_reply(endpoint)),
    }
}

fn take(
    endpoint: &Endpoint,
    reader: &mut dyn Reader,
    event: &str,
    draft: &mut Draft,
) -> Result<Result<(), Failed>, Error> {
    if event.trim() == DONE {
        (draft.is_complete, draft.is_over) = (true, true);
        return Ok(Ok(()));
    }
    match serde_json::from_str(event) {
        Ok(event) => Ok(reader.take(&event, draft)),
        Err(problem) => Err(failure::not_json(endpoint, event, problem)),
    }
}

async fn read_body(endpoint: &Endpoint, mut response: Response) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|it| failure::of_connection(endpoint, it))? {
        if bytes.len() + chunk.len() > limits::MODEL_REPLY_BYTES_MAX {
            return Err(failure::too_large(endpoint));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
