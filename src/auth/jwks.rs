//! The public keys of an authorization server: fetched when they are needed, kept, fetched again when a token
//! names one that is not there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::key::{Algorithm, Key};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::tls;

/// How long keys are good without asking again, in milliseconds: a key taken back opens nothing longer than this.
const FRESH_MS: i64 = 15 * 60 * 1000;
/// Least time between two requests for the keys, in milliseconds: anybody may send a token with a made-up key.
const APART_MS: i64 = 60 * 1000;
/// Largest answer, in bytes; a set of keys has a few thousand.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Time limit of one request for the keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// A key under the name that tokens call it by.
struct NamedKey {
    id: Option<String>,
    key: Key,
}

/// The keys at one address.
pub struct KeySet {
    url: Url,
    http: reqwest::Client,
    known: Mutex<Known>,
    /// Held while the keys are fetched, so that many tokens at once cause one request.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Known {
    keys: Arc<Vec<NamedKey>>,
    fetched_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
}

impl Known {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.fetched_at.is_some_and(|it| now.since_ms(it) < FRESH_MS)
    }

    /// Returns the key `id` of this algorithm; a token that names no key gets the only one there is.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Key> {
        let mut fitting =
            self.keys.iter().filter(|it| it.key.algorithm() == algorithm && (id.is_none() || it.id.as_deref() == id));
        let found = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then(|| found.key.clone())
    }
}

impl KeySet {
    /// Fetches nothing yet.
    ///
    /// # Errors
    ///
    /// `INTERNAL` when no HTTP client can be made.
    pub fn new(url: Url) -> Result<Self, Error> {
        tls::install();
        let http = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Error::internal("no HTTP client can be made").source(e))?;
        Ok(Self { url, http, known: Mutex::default(), fetching: tokio::sync::Mutex::default() })
    }

    /// Returns the key that a token names, or nothing when the server has none such.
    ///
    /// # Errors
    ///
    /// `KEYS_UNAVAILABLE` when the keys were never fetched and cannot be now.
    pub async fn find(&self, id: Option<&str>, algorithm: Algorithm, now: Timestamp) -> Result<Option<Key>, Error> {
        let good = |known: &Known| known.is_fresh(now).then(|| known.find(id, algorithm)).flatten();
        if let Some(key) = good(&self.known()) {
            return Ok(Some(key));
        }
        let _one = self.fetching.lock().await;
        let known = self.known();
        if let Some(key) = good(&known) {
            return Ok(Some(key));
        }
        let is_due = known.asked_at.is_none_or(|it| now.since_ms(it) >= APART_MS);
        let failure = if is_due { self.refresh(now).await.err() } else { None };
        let known = self.known();
        match (known.find(id, algorithm), known.fetched_at, failure) {
            (Some(key), _, failure) => {
                if let Some(error) = failure {
                    tracing::warn!(
                        "the keys of the authorization server are older than they should be: {}",
                        error.chain()
                    );
                }
                Ok(Some(key))
            }
            (None, _, Some(error)) => Err(error),
            (None, None, None) => Err(unavailable(&self.url, "they could not be fetched a moment ago")),
            (None, Some(_), None) => Ok(None),
        }
    }

    fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh(&self, now: Timestamp) -> Result<(), Error> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).asked_at = Some(now);
        let keys = self.fetch().await?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.keys = Arc::new(keys);
        known.fetched_at = Some(now);
        Ok(())
    }

    async fn fetch(&self) -> Result<Vec<NamedKey>, Error> {
        let failed = |error: reqwest::Error| unavailable(&self.url, "the request failed").source(error.without_url());
        let mut response = self.http.get(self.url.clone()).send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(unavailable(&self.url, &format!("the answer has status {}", response.status().as_u16())));
        }
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(unavailable(&self.url, "the answer is too large for a set of keys"));
            }
            body.extend_from_slice(&piece);
        }
        read_keys(&body).ok_or_else(|| unavailable(&self.url, "the answer is no set of keys"))
    }
}

fn unavailable(url: &Url, why: &str) -> Error {
    Error::external("KEYS_UNAVAILABLE", format!("the keys of the authorization server are not to be had: {why}")).hint(
        format!(
            "the operator of this server should look at `auth.jwks_url` ({}) and try again in a minute",
            url.host_str().unwrap_or("-")
        ),
    )
}

/// Reads a set of keys and leaves out those that sign nothing we accept.
fn read_keys(body: &[u8]) -> Option<Vec<NamedKey>> {
    let set: Value = serde_json::from_slice(body).ok()?;
    let keys = set.get("keys")?.as_array()?.iter();
    let named = keys.filter_map(|it| {
        let id = it.get("kid").and_then(Value::as_str).map(str::to_owned);
        Some(NamedKey { id, key: Key::public(it)? })
    });
    Some(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_sign_nothing_we_accept_are_left_out_and_the_rest_is_pinned() {
        let set = br#"{"keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            {"kty": "RSA", "kid": "rsa", "alg": "RS256", "use": "sig", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "other algorithm", "alg": "PS256", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "for secrets", "use": "enc", "n": "AQAB", "e": "AQAB"},
            {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"},
            {"kty": "EC", "crv": "P-384", "kid": "other curve", "x": "AQAB", "y": "AQAB"},
            {"kty": "EC", "crv": "P-256", "kid": "no point", "x": "AQAB", "y": "AQAB"},
            {"kty": "new", "kid": "unknown"},
            "no key"
        ]}"#;
        let keys = read_keys(set).expect("a set");
        let shown: Vec<_> = keys.iter().map(|it| (it.id.as_deref(), it.key.algorithm())).collect();
        assert_eq!(shown, [(Some("ed"), Algorithm::EdDsa), (Some("rsa"), Algorithm::Rs256)]);
        let known = Known { keys: Arc::new(keys), ..Known::default() };
        assert!(known.find(Some("ed"), Algorithm::EdDsa).is_some() && known.find(None, Algorithm::Rs256).is_some());
        assert!(
            known.find(Some("ed"), Algorithm::Rs256).is_none() && known.find(Some("x"), Algorithm::EdDsa).is_none()
        );
        assert!(read_keys(b"[]").is_none() && read_keys(b"{").is_none());
    }

    const ONE: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    async fn publish(server: &wiremock::MockServer, status: u16, body: &str) {
        server.reset().await;
        let answer = wiremock::ResponseTemplate::new(status).set_body_raw(body.to_owned(), "application/json");
        wiremock::Mock::given(wiremock::matchers::any()).respond_with(answer).mount(server).await;
    }

    async fn n_requests(server: &wiremock::MockServer) -> usize {
        server.received_requests().await.expect("recorded").len()
    }

    #[tokio::test]
    async fn keys_are_asked_for_once_at_a_time_and_again_after_a_minute_when_one_is_unknown() {
        let server = wiremock::MockServer::start().await;
        publish(&server, 200, ONE).await;
        let set = KeySet::new(server.uri().parse().expect("a URL")).expect("made");
        let find = async |id: &str, at_s: i64| {
            let found = set.find(Some(id), Algorithm::EdDsa, Timestamp(at_s * 1_000)).await;
            found.map(|it| it.is_some()).map_err(|it| it.code())
        };
        let many = futures_util::future::join_all((0..20).map(|_| find("one", 1_000))).await;
        assert!(many.iter().all(|it| *it == Ok(true)));
        assert_eq!((find("two", 1_001).await, n_requests(&server).await), (Ok(false), 1), "a made-up key asks nobody");

        publish(&server, 200, &ONE.replace("one", "two")).await;
        assert_eq!((find("two", 1_059).await, n_requests(&server).await), (Ok(false), 0));
        assert_eq!((find("two", 1_060).await, find("one", 1_061).await), (Ok(true), Ok(false)));
        assert_eq!(n_requests(&server).await, 1);

        // Keys grow old: those that are there are asked for again, and serve on while nobody answers.
        publish(&server, 503, "").await;
        assert_eq!((find("two", 3_000).await, n_requests(&server).await), (Ok(true), 1));
        assert_eq!(find("three", 3_100).await, Err("KEYS_UNAVAILABLE"));
        publish(&server, 200, ONE).await;
        assert_eq!(find("two", 4_000).await, Ok(false), "a key taken back");
    }

    #[tokio::test]
    async fn without_keys_nobody_is_let_in_and_a_redirect_leads_nowhere() {
        let server = wiremock::MockServer::start().await;
        for (status, body) in [(200, "[]"), (404, ONE), (302, ONE), (200, "{")] {
            publish(&server, status, body).await;
            let set = KeySet::new(server.uri().parse().expect("a URL")).expect("made");
            let found = set.find(Some("one"), Algorithm::EdDsa, Timestamp(0)).await;
            assert_eq!(found.err().map(|it| it.code()), Some("KEYS_UNAVAILABLE"), "{status} {body}");
        }
    }
}
