//! Any server that speaks OpenAI's chat-completions format, over HTTP: OpenAI itself, Ollama, and many
//! others by `base_url`. One request, one reply; repeating is the engine's business.

mod failure;
mod reply;
mod request;

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::Value;

use self::failure::Failed;
use self::request::Dialect;
use super::Secret;
use crate::diagram::Service;
use crate::error::Error;
use crate::limits;
use crate::nodes::ports::{ModelReply, ModelRequest};

/// How long connecting may take. The whole call is limited by the node's own `timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The HTTP client, made when the first call needs it.
#[derive(Default)]
pub(super) struct OpenAi {
    client: OnceLock<Result<Client, String>>,
}

/// Where a call goes, and with what.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub service: Service,
    pub base_url: String,
    pub key: Option<Secret>,
    pub model: String,
}

impl OpenAi {
    /// Sends `request` and returns the reply.
    ///
    /// # Errors
    ///
    /// `LLM_FAILED`; retryable for lost connections, 408, 409, 425, 429, 5xx and replies that make no sense.
    pub(super) async fn call(&self, endpoint: &Endpoint, request: &ModelRequest) -> Result<ModelReply, Error> {
        let mut dialect = Dialect::of(endpoint);
        loop {
            let refusal = match self.send(endpoint, &request::body(request, &endpoint.model, dialect)).await? {
                Ok(body) => return reply::read(endpoint, &body),
                Err(refusal) => refusal,
            };
            match dialect.adapted(request, &refusal) {
                Some(adapted) => dialect = adapted,
                None => return Err(refusal.into_error(endpoint)),
            }
        }
    }

    /// Sends one body. The outer error is of the connection, the inner one is a status other than 2xx.
    async fn send(&self, endpoint: &Endpoint, body: &Value) -> Result<Result<Value, Failed>, Error> {
        let url = format!("{}/chat/completions", endpoint.base_url.trim().trim_end_matches('/'));
        let mut call = self.client()?.post(&url).json(body);
        if let Some(key) = &endpoint.key {
            call = call.header(AUTHORIZATION, bearer(key)?);
        }
        let response = call.send().await.map_err(|it| failure::of_connection(endpoint, it))?;
        let status = response.status();
        let retry_after = failure::retry_after_ms(response.headers());
        let bytes = read_body(endpoint, response).await?;
        if !status.is_success() {
            return Ok(Err(Failed::new(status.as_u16(), retry_after, &bytes)));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Ok(value)),
            Err(problem) => Err(failure::not_json(endpoint, &bytes, problem)),
        }
    }

    fn client(&self) -> Result<&Client, Error> {
        let made = self.client.get_or_init(|| {
            super::install_tls();
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

fn bearer(key: &Secret) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| {
        Error::external("NO_MODEL", "the key has characters that no key has, such as a line break")
            .hint("set the key again: it is one word without blanks")
    })?;
    value.set_sensitive(true);
    Ok(value)
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
