//! One call of an operation: its turn, its token, its requests, page by page, and what they give.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::answer;
use super::providers::Providers;
use crate::clock::Clock;
use crate::error::Error;
use crate::integrations::manifest::{RetryPolicy, Strategy};
use crate::integrations::paging::{PAGES_DEFAULT, PAGES_MAX, Pages, Seen, joined};
use crate::integrations::reply::{self, Content};
use crate::integrations::request::{Asked, Built, build, secrets_of};
use crate::integrations::{Manifest, Operation};
use crate::nodes::ports::Ports;
use crate::nodes::ports::blobs::Blobs;
use crate::nodes::ports::http::{Http, HttpReply, HttpRequest};
use crate::nodes::ports::secrets::Secrets;
use crate::nodes::rights::Rights;
use crate::secret::Secret;

/// What is called, with what.
pub struct Call<'a> {
    pub manifest: &'a Manifest,
    pub operation: &'a Operation,
    pub config: Map<String, Value>,
    pub resource_id: Option<Value>,
    pub key: Option<Secret>,
    /// Of one request.
    pub timeout: Duration,
    /// From 1; pauses grow with it.
    pub attempt: u32,
    /// The same for every attempt of one execution of a node.
    pub idempotency_key: String,
}

/// Through what.
pub struct Wires<'a> {
    pub http: &'a dyn Http,
    pub secrets: &'a dyn Secrets,
    pub blobs: &'a dyn Blobs,
    pub clock: &'a dyn Clock,
    pub providers: &'a Providers,
    pub rights: &'a Arc<Rights>,
}

impl<'a> Wires<'a> {
    /// Those of a process.
    pub fn of(ports: &'a Ports, rights: &'a Arc<Rights>) -> Self {
        Self {
            http: &*ports.http,
            secrets: &*ports.secrets,
            blobs: &*ports.blobs,
            clock: &*ports.clock,
            providers: &ports.providers,
            rights,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    pub value: Value,
    /// `http: {status, url, method, headers, duration_ms, pages?}`.
    pub meta: Map<String, Value>,
}

/// The policy of an operation: the manifest's, else the usual one. Without a policy of its own, what may not
/// be repeated is sent again only when it was refused for haste.
pub fn retry_policy(manifest: &Manifest, operation: &Operation) -> RetryPolicy {
    match &manifest.retry {
        Some(policy) => policy.clone(),
        None if operation.is_idempotent() => RetryPolicy::default(),
        None => RetryPolicy { retry_on_status: vec![429], ..RetryPolicy::default() },
    }
}

/// Carries a call out.
///
/// # Errors
///
/// Those of building and mapping (`TEMPLATE_FAILED`, `VALIDATION_FAILED`, `PARSE_FAILED`), `RATE_LIMITED`,
/// `HTTP_FAILED`, `HTTP_STATUS`, `HOST_NOT_ALLOWED`, `TRUST_REQUIRED`. None holds a key.
pub async fn call(call: &Call<'_>, wires: &Wires<'_>) -> Result<Done, Error> {
    let mut session = Session::new(call, wires)?;
    let mut request = session.build().await?;
    let pagination =
        call.operation.pagination.as_ref().filter(|_| call.config.get("all_pages") == Some(&Value::Bool(true)));
    let mut pages = pagination.map(|it| Pages::begin(it, &mut request));
    let n_pages_max = match &pages {
        Some(_) => call.config.get("max_pages").and_then(Value::as_u64).unwrap_or(PAGES_DEFAULT).clamp(1, PAGES_MAX),
        None => 1,
    };
    let mut values = Vec::new();
    loop {
        let reply = session.exchange(&mut request).await?;
        session.duration += reply.duration;
        let (body, value) = session.value_of(&reply).await?;
        let n_items = n_items_of(call.operation, &body, &value);
        values.push(value);
        let link = reply.header("link");
        let goes_on = match &mut pages {
            Some(pages) if (values.len() as u64) < n_pages_max => {
                pages.next(&mut request, &Seen { body: &body, n_items, link })?
            }
            Some(_) | None => false,
        };
        if !goes_on {
            return Ok(session.done(&request, &reply, values, pages.is_some()));
        }
    }
}

/// How many items a page has: in the reply itself where that is a list, else in the value made of it.
fn n_items_of(operation: &Operation, body: &Value, value: &Value) -> Option<u64> {
    let items = operation.response.pointer.find(body).filter(|it| it.is_array()).unwrap_or(value);
    items.as_array().map(|it| it.len() as u64)
}

/// One call under way.
struct Session<'a> {
    call: &'a Call<'a>,
    wires: &'a Wires<'a>,
    policy: RetryPolicy,
    asked: Asked,
    /// Everything that must not be shown.
    private: Vec<Secret>,
    duration: Duration,
}

impl<'a> Session<'a> {
    fn new(call: &'a Call<'a>, wires: &'a Wires<'a>) -> Result<Self, Error> {
        let mut asked =
            Asked { config: call.config.clone(), resource_id: call.resource_id.clone(), ..Asked::default() };
        let mut private: Vec<Secret> = call.key.clone().into_iter().collect();
        for name in secrets_of(call.manifest, call.operation) {
            let secret = find_secret(&name, call, wires)?;
            asked.secrets.insert(name, secret.expose().to_owned());
            private.push(secret);
        }
        let policy = retry_policy(call.manifest, call.operation);
        Ok(Self { call, wires, policy, asked, private, duration: Duration::ZERO })
    }

    async fn build(&mut self) -> Result<Built, Error> {
        self.asked.api_key = self.credential().await?.map(|it| it.expose().to_owned());
        let mut request = build(self.call.manifest, self.call.operation, &self.asked)?;
        let has_effect = !matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        if has_effect && !request.has_header("idempotency-key") {
            request.headers.push(("Idempotency-Key".to_owned(), self.call.idempotency_key.clone()));
        }
        Ok(request)
    }

    /// The key, or the token that is got for it.
    async fn credential(&mut self) -> Result<Option<Secret>, Error> {
        let Some(key) = self.call.key.clone() else { return Ok(None) };
        if self.call.manifest.auth.strategy != Strategy::OAuth2ClientCredentials {
            return Ok(Some(key));
        }
        let kept_under = self.token_key(&key);
        let token = match self.wires.providers.token(&kept_under, self.wires.clock.now()) {
            Some(token) => token,
            None => {
                let (token, lasts) = self.fetch_token(&key).await?;
                self.wires.providers.keep_token(kept_under, token.clone(), self.wires.clock.now(), lasts);
                token
            }
        };
        self.private.push(token.clone());
        Ok(Some(token))
    }

    /// Tokens of different keys and scopes are different ones.
    fn token_key(&self, key: &Secret) -> String {
        use sha2::Digest;
        let auth = &self.call.manifest.auth;
        let digest = sha2::Sha256::digest(key.expose().as_bytes());
        format!(
            "{}\n{}\n{}",
            auth.token_endpoint.as_deref().unwrap_or_default(),
            auth.scopes.join(" "),
            hex::encode(digest)
        )
    }

    /// RFC 6749, 4.4: the key is `client_id:client_secret`.
    async fn fetch_token(&mut self, key: &Secret) -> Result<(Secret, Option<Duration>), Error> {
        use base64::Engine as _;
        let auth = &self.call.manifest.auth;
        let name = &self.call.manifest.name;
        let endpoint = auth.token_endpoint.clone().ok_or_else(|| Error::internal("no token endpoint"))?;
        let form = token_form(&auth.scopes);
        let basic = base64::engine::general_purpose::STANDARD.encode(key.expose());
        let encoded = Secret::new(&basic);
        encoded.iter().for_each(|it| self.wires.secrets.scrubber().add(it));
        self.private.extend(encoded);
        self.private.extend(key.expose().split_once(':').and_then(|(_, it)| Secret::new(it)));
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: endpoint,
            query: Vec::new(),
            headers: vec![
                ("Authorization".to_owned(), format!("Basic {basic}")),
                ("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
                ("Accept".to_owned(), "application/json".to_owned()),
            ],
            body: Some(form.into_bytes()),
            timeout: self.call.timeout,
            rights: Arc::clone(self.wires.rights),
        };
        let sent = self.wires.http.send(request).await;
        let reply = sent.map_err(|error| answer::unanswered(self.call, &self.policy, true, error))?;
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let token = body["access_token"].as_str().and_then(Secret::new).filter(|_| reply.status == 200);
        let Some(token) = token else {
            let message = format!("`{name}` gave no token: its token endpoint answered with {}", reply.status);
            return Err(Error::external("HTTP_STATUS", message)
                .hint("the key is `client_id:client_secret`; check it and `auth.scopes`")
                .details(json!({"status": reply.status}))
                .retryable(self.policy.covers(reply.status)));
        };
        // It is blotted out of what is recorded of this call as well.
        self.wires.secrets.scrubber().add(&token);
        let lasts = body["expires_in"].as_u64().map(Duration::from_secs);
        Ok((token, lasts))
    }

    /// Sends one request; a token that is not taken any more is replaced, once.
    async fn exchange(&mut self, request: &mut Built) -> Result<HttpReply, Error> {
        let reply = self.send(request).await?;
        if answer::is_success(self.call, &reply) {
            return Ok(reply);
        }
        let uses_token = self.call.manifest.auth.strategy == Strategy::OAuth2ClientCredentials;
        if let (401, true, Some(key)) = (reply.status, uses_token, &self.call.key) {
            self.wires.providers.forget_token(&self.token_key(key));
            let renewed = self.build().await?;
            request.headers = renewed.headers;
            let reply = self.send(request).await?;
            if answer::is_success(self.call, &reply) {
                return Ok(reply);
            }
            return Err(self.refused(&reply));
        }
        Err(self.refused(&reply))
    }

    fn refused(&self, reply: &HttpReply) -> Error {
        answer::refused(self.call, &self.policy, reply, self.wires.clock.now(), &self.private)
    }

    async fn send(&self, request: &Built) -> Result<HttpReply, Error> {
        let call = self.call;
        let wait = self.wires.providers.turn(call.manifest, call.operation, self.wires.clock.now(), call.timeout)?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let request = HttpRequest {
            method: request.method.clone(),
            url: request.url.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            timeout: call.timeout,
            rights: Arc::clone(self.wires.rights),
        };
        let may_repeat = call.manifest.retry.is_some() || call.operation.is_idempotent();
        let sent = self.wires.http.send(request).await;
        sent.map_err(|error| answer::unanswered(call, &self.policy, may_repeat, error))
    }

    /// The body of a reply and the value of the call. What the server echoes of a key is blotted out.
    async fn value_of(&self, reply: &HttpReply) -> Result<(Value, Value), Error> {
        match reply::decode(&self.without_secrets(&reply.body), reply.header("content-type")) {
            Content::Value(body) => {
                let value = reply::map(self.call.operation, body.clone())?;
                Ok((body, value))
            }
            Content::Binary { media_type } => {
                let kept = self.wires.blobs.put(reply.body.clone(), media_type).await?;
                Ok((Value::Null, kept.to_json()))
            }
        }
    }

    fn without_secrets(&self, body: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(body) else { return body.to_vec() };
        let scrubbed = self.private.iter().fold(text.to_owned(), |text, it| it.scrub(&text));
        scrubbed.into_bytes()
    }

    fn done(&self, request: &Built, reply: &HttpReply, mut values: Vec<Value>, is_paged: bool) -> Done {
        let scrub = |text: &str| self.private.iter().fold(text.to_owned(), |text, it| it.scrub(&text));
        let headers = reply.headers.iter().filter(|(name, _)| name != "set-cookie");
        let headers: Map<String, Value> = headers.map(|(name, it)| (name.clone(), scrub(it).into())).collect();
        let mut http = json!({
            "status": reply.status,
            "url": scrub(&request.url),
            "method": request.method,
            "headers": headers,
            "duration_ms": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
        });
        let value = if is_paged {
            http["pages"] = values.len().into();
            joined(values)
        } else {
            values.pop().unwrap_or_default()
        };
        let mut meta = Map::new();
        meta.insert("http".to_owned(), http);
        Done { value, meta }
    }
}

fn token_form(scopes: &[String]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !scopes.is_empty() {
        form.append_pair("scope", &scopes.join(" "));
    }
    form.finish()
}

fn find_secret(name: &str, call: &Call<'_>, wires: &Wires<'_>) -> Result<Secret, Error> {
    let provider = &call.manifest.name;
    if !super::keys::may_use(wires.rights) {
        return Err(Error::refused(
            "TRUST_REQUIRED",
            format!("`{provider}` uses a secret, which a submitted diagram may not"),
        )
        .hint("a person can allow it with `dipeo trust NAME`"));
    }
    wires.secrets.find(name)?.ok_or_else(|| {
        Error::not_found("SECRET_NOT_FOUND", format!("`{provider}` needs the secret `{name}`, which is not there"))
            .hint(format!("`dipeo secrets set {name}`"))
    })
}
