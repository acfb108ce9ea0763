//! Requests of nodes to other machines. Which addresses a diagram may reach is decided on the address that
//! is connected to, on every hop, so neither a name server nor a redirect can lead around it.

mod client;
mod failure;
mod redirect;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};
use url::Url;

use crate::error::Error;
use crate::limits;
use crate::nodes::addresses;
use crate::nodes::ports::http::{Http, HttpReply, HttpRequest};
use client::Clients;
pub use client::{LookUp, SystemNames};
use redirect::Step;

/// Redirects followed by one request.
const REDIRECTS_MAX: usize = 10;

/// Sends requests with the clients of this process; they are made when first needed.
pub struct GuardedHttp {
    clients: Clients,
}

/// One request on its way: what changes from hop to hop.
pub(super) struct Hop {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

impl GuardedHttp {
    /// Makes the port. Nothing is contacted, and no TLS set up, before the first request.
    pub fn new() -> Arc<Self> {
        Self::with_names(Arc::new(SystemNames))
    }

    /// As [`GuardedHttp::new`], with names looked up by `names`.
    pub fn with_names(names: Arc<dyn LookUp>) -> Arc<Self> {
        Arc::new(Self { clients: Clients::new(names) })
    }

    async fn send_all(&self, request: HttpRequest) -> Result<HttpReply, Error> {
        let started = tokio::time::Instant::now();
        let rights = Arc::clone(&request.rights);
        let limit = request.timeout;
        let mut hop = first_hop(request)?;
        let host = hop.url.host_str().unwrap_or_default().to_owned();
        let exchange = async {
            for _ in 0..=REDIRECTS_MAX {
                addresses::check_host(&hop.url, &rights)?;
                let response = self.send_one(&hop, rights.private_network).await?;
                match redirect::follow(hop, &response)? {
                    Step::Done => return read(response).await,
                    Step::Next(next) => hop = *next,
                }
            }
            Err(failure::failed(&host, &format!("redirects more than {REDIRECTS_MAX} times"))
                .hint("look at what answers there; it may redirect in a circle"))
        };
        let mut reply = match tokio::time::timeout(limit, exchange).await {
            Ok(reply) => reply?,
            Err(_) => return Err(failure::timed_out(&host, limit)),
        };
        reply.duration = started.elapsed();
        Ok(reply)
    }

    async fn send_one(&self, hop: &Hop, private_network: bool) -> Result<Response, Error> {
        let client = self.clients.get(private_network)?;
        let mut call = client.request(hop.method.clone(), hop.url.clone()).headers(hop.headers.clone());
        if let Some(body) = &hop.body {
            call = call.body(body.clone());
        }
        call.send().await.map_err(|it| failure::of_connection(&hop.url, it))
    }
}

impl Http for GuardedHttp {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpReply, Error>> {
        Box::pin(self.send_all(request))
    }
}

/// Reads method, address and headers. What they hold may be secret, so no error repeats more than a name.
fn first_hop(request: HttpRequest) -> Result<Hop, Error> {
    let mut url = Url::parse(request.url.trim()).map_err(failure::no_address)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(failure::scheme(url.scheme()));
    }
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| failure::malformed(&format!("`{}` is no method", request.method)))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let key = HeaderName::from_bytes(name.trim().as_bytes())
            .map_err(|_| failure::malformed(&format!("`{}` is no name of a header", name.escape_debug())))?;
        let value = HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| {
            failure::malformed(&format!("the value of the header `{key}` has characters that no header may have"))
        })?;
        headers.append(key, value);
    }
    Ok(Hop { method, url, headers, body: request.body })
}

async fn read(mut response: Response) -> Result<HttpReply, Error> {
    let url = response.url().clone();
    let (status, mut headers) = (response.status().as_u16(), Vec::new());
    for (name, value) in response.headers() {
        headers.push((name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|it| failure::of_connection(&url, it))? {
        if body.len() + chunk.len() > limits::HTTP_REPLY_BYTES_MAX {
            return Err(failure::too_large(&url));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpReply { status, headers, body, duration: Duration::ZERO })
}

#[cfg(test)]
mod tests;
