//! How much at once: requests, streams and rate, of everybody and of each principal, and how long a body may take.
//! What is too much is refused before it is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::error_body::error_response_with;
use super::server::BODY_BYTES_MAX;
use crate::config::LimitSettings;
use crate::error::Error;
use crate::handlers::caller::Identity;
use crate::limits::BODY_TIME;
use crate::meter;

/// Where files are sent.
const UPLOAD_ROUTES: [&str; 1] = ["/graphql"];
const MULTIPART: &[u8] = b"multipart/form-data";
/// Most principals remembered; those at rest are forgotten first.
const PRINCIPALS_MAX: usize = 10_000;

/// Counts what is under way.
pub struct Traffic {
    settings: LimitSettings,
    all: Share,
    principals: Mutex<HashMap<Arc<str>, Principal>>,
}

/// What may be under way at once.
#[derive(Clone)]
struct Share {
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Share {
    fn new(requests: usize, streams: usize) -> Self {
        Self { requests: Arc::new(Semaphore::new(requests)), streams: Arc::new(Semaphore::new(streams)) }
    }
}

struct Principal {
    share: Share,
    bucket: Bucket,
}

/// Tokens that come back with time: one is a request.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    /// Takes a token, or says after how many seconds there is one.
    fn take(&mut self, per_minute: u32, now: Instant) -> Result<(), u64> {
        let (most, rate_s) = (f64::from(per_minute), f64::from(per_minute) / 60.0);
        let elapsed_s = now.duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed_s * rate_s).min(most);
        self.filled_at = now;
        // Seconds and parts of tokens are not exact, and nobody is to wait a second for a rounding error.
        const NEARLY: f64 = 1e-6;
        if self.tokens >= 1.0 - NEARLY {
            self.tokens = (self.tokens - 1.0).max(0.0);
            return Ok(());
        }
        Err(((1.0 - self.tokens) / rate_s - NEARLY).ceil().max(1.0) as u64)
    }
}

/// A request that was let in; what it holds is given back when it is dropped.
struct Admitted {
    _requests: Vec<OwnedSemaphorePermit>,
    /// Of everybody, and of its principal.
    shares: Vec<Share>,
}

impl Traffic {
    /// Nothing is under way yet.
    pub fn new(settings: LimitSettings) -> Arc<Self> {
        let all = Share::new(settings.concurrent_requests, settings.open_streams);
        Arc::new(Self { settings, all, principals: Mutex::default() })
    }

    /// Lets a request in, reads its body in time, and counts the stream that its answer may be.
    pub async fn pass<F>(&self, request: Request, next: impl FnOnce(Request) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        if request.uri().path().starts_with("/health") {
            return next(request).await;
        }
        let admitted = match self.admit(request.extensions().get::<Identity>()) {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal.into_response(),
        };
        if is_upload(&request) {
            return next(request).await;
        }
        let request = match in_time(request).await {
            Ok(request) => request,
            Err(refusal) => return refusal.into_response(),
        };
        let response = next(request).await;
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream")) {
            return counted(response, &admitted);
        }
        response
    }

    fn admit(&self, identity: Option<&Identity>) -> Result<Admitted, Refusal> {
        let mut shares = vec![self.all.clone()];
        if let Some(identity) = identity {
            shares.push(self.share_of(&identity.principal)?);
        }
        let requests = shares.iter().map(|it| Arc::clone(&it.requests).try_acquire_owned());
        match requests.collect::<Result<Vec<_>, _>>() {
            Ok(requests) => Ok(Admitted { _requests: requests, shares }),
            Err(_) => Err(too_many("requests", 1)),
        }
    }

    /// Takes one request off the rate of a principal and returns their share.
    fn share_of(&self, principal: &Arc<str>) -> Result<Share, Refusal> {
        let (settings, now) = (&self.settings, Instant::now());
        let mut principals = self.principals.lock().unwrap_or_else(PoisonError::into_inner);
        if principals.len() >= PRINCIPALS_MAX && !principals.contains_key(principal) {
            let at_rest = Duration::from_secs(60);
            principals.retain(|_, it| {
                it.share.requests.available_permits() < settings.concurrent_per_principal
                    || it.share.streams.available_permits() < settings.streams_per_principal
                    || now.duration_since(it.bucket.filled_at) < at_rest
            });
        }
        let entry = principals.entry(Arc::clone(principal)).or_insert_with(|| Principal {
            share: Share::new(settings.concurrent_per_principal, settings.streams_per_principal),
            bucket: Bucket { tokens: f64::from(settings.requests_per_minute), filled_at: now },
        });
        match entry.bucket.take(settings.requests_per_minute, now) {
            Ok(()) => Ok(entry.share.clone()),
            Err(after_s) => Err(rate_limited(settings.requests_per_minute, after_s)),
        }
    }
}

/// Whether the body is a file that its route reads piece by piece, within limits of its own.
fn is_upload(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let is_multipart = kind
        .is_some_and(|it| it.as_bytes().get(..MULTIPART.len()).is_some_and(|it| it.eq_ignore_ascii_case(MULTIPART)));
    is_multipart && UPLOAD_ROUTES.contains(&request.uri().path())
}

/// Reads the whole body: a handler never waits for a client that sends it byte by byte.
async fn in_time(request: Request) -> Result<Request, Refusal> {
    let (parts, body) = request.into_parts();
    if axum::body::HttpBody::is_end_stream(&body) {
        return Ok(Request::from_parts(parts, body));
    }
    match tokio::time::timeout(BODY_TIME, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(_)) => {
            let path = parts.uri.path();
            let error = Error::limit("TOO_LARGE", format!("the request body is too large for `{path}`, or broke off"))
                .hint(format!("send at most {BODY_BYTES_MAX} bytes"));
            Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, error, after_s: None })
        }
        Err(_) => {
            let error = Error::limit("REQUEST_TIMEOUT", "the request body did not come in time")
                .hint(format!("send it within {} s", BODY_TIME.as_secs()));
            Err(Refusal { status: StatusCode::REQUEST_TIMEOUT, error, after_s: None })
        }
    }
}

/// The answer, holding its place among the open streams for as long as it lasts.
fn counted(response: Response, admitted: &Admitted) -> Response {
    let streams = admitted.shares.iter().map(|it| Arc::clone(&it.streams).try_acquire_owned());
    let Ok(streams) = streams.collect::<Result<Vec<_>, _>>() else {
        return too_many("open streams", 5).into_response();
    };
    let (parts, body) = response.into_parts();
    let counted = meter::on().map(meter::Meters::stream);
    let body = body.into_data_stream().map(move |piece| {
        // The places live in this closure, and go with the stream.
        let _places = (&streams, &counted);
        piece
    });
    Response::from_parts(parts, Body::from_stream(body))
}

/// Why a request is not let in, and after how many seconds it may be.
struct Refusal {
    status: StatusCode,
    error: Error,
    after_s: Option<u64>,
}

impl Refusal {
    fn into_response(self) -> Response {
        let mut response = error_response_with(self.status, &self.error);
        if let Some(after_s) = self.after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after_s));
        }
        response
    }
}

fn too_many(what: &str, after_s: u64) -> Refusal {
    let error = Error::limit("TOO_MANY_REQUESTS", format!("there are too many {what} under way"))
        .hint("wait for some of them to end, and try again");
    Refusal { status: StatusCode::TOO_MANY_REQUESTS, error, after_s: Some(after_s) }
}

fn rate_limited(per_minute: u32, after_s: u64) -> Refusal {
    let error = Error::limit("TOO_MANY_REQUESTS", format!("you may send {per_minute} requests a minute"))
        .hint(format!("try again in {after_s} s; `limits.requests_per_minute` in dipeo.toml raises it"));
    Refusal { status: StatusCode::TOO_MANY_REQUESTS, error, after_s: Some(after_s) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_with_time_and_never_more_than_a_minute_of_them() {
        let start = Instant::now();
        let mut bucket = Bucket { tokens: 2.0, filled_at: start };
        for (after_s, expected) in [
            (0, [Ok(()), Ok(()), Err(30)]),
            (29, [Err(1), Err(1), Err(1)]),
            (60, [Ok(()), Ok(()), Err(30)]),
            (660, [Ok(()), Ok(()), Err(30)]),
        ] {
            let taken = expected.map(|_| bucket.take(2, start + Duration::from_secs(after_s)));
            assert_eq!(taken, expected, "after {after_s} s");
        }
    }

    #[test]
    fn a_place_is_given_back_when_the_request_ends_and_each_principal_has_their_own() {
        let settings = LimitSettings { concurrent_requests: 3, concurrent_per_principal: 1, ..Default::default() };
        let traffic = Traffic::new(settings);
        let of = |name: &str| Identity { principal: name.into(), ..Identity::owner() };
        let (ada, bob) = (of("ada"), of("bob"));
        let first = traffic.admit(Some(&ada)).ok().expect("free");
        assert_eq!(traffic.admit(Some(&ada)).err().expect("taken").status, StatusCode::TOO_MANY_REQUESTS);
        let second = traffic.admit(Some(&bob)).ok().expect("another's");
        let third = traffic.admit(None).ok().expect("the last of all");
        assert!(traffic.admit(None).is_err());
        drop((first, second, third));
        assert!(traffic.admit(Some(&ada)).is_ok());
    }
}
