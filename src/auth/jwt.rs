//! JSON web tokens of others: those of the configured authorization server, checked with its public keys, and
//! those that another program of the owner signed with `JWT_SECRET`. Each key has one algorithm; what a token
//! says about its own algorithm only has to agree.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::jwks::KeySet;
use super::key::{Algorithm, Key};
use crate::clock::Timestamp;
use crate::config::{AuthSettings, JWT_SECRET_BYTES_MIN};
use crate::error::Error;

/// How far the clocks of two machines may be apart, in seconds (platform.md 3.2).
const SKEW_S: f64 = 30.0;

/// What a valid token says about who shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    pub subject: String,
    /// Scopes as the token names them, ours and others; absent when it has no such claim.
    pub scopes: Option<String>,
    pub role: Option<String>,
}

/// Checks tokens.
pub struct Verifier {
    issuer: Option<Issuer>,
    shared: Option<Shared>,
}

/// The authorization server whose tokens are accepted.
struct Issuer {
    name: String,
    keys: KeySet,
    audience: Option<String>,
}

/// The secret that other programs of the owner sign with.
struct Shared {
    key: Key,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Verifier {
    /// Makes one from the settings; `None` when they accept no such tokens. Nothing is fetched yet.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for a `JWT_SECRET` that could be guessed.
    pub fn new(settings: &AuthSettings) -> Result<Option<Self>, Error> {
        let shared = settings.jwt_secret.as_ref().map(|secret| {
            let secret = secret.expose().as_bytes();
            if secret.len() < JWT_SECRET_BYTES_MIN {
                return Err(Error::invalid(
                    "INVALID_INPUT",
                    format!("`JWT_SECRET` has {} bytes, which can be guessed", secret.len()),
                )
                .hint(format!("give it {JWT_SECRET_BYTES_MIN} random bytes or more: `openssl rand -hex 32`")));
            }
            Ok(Shared {
                key: Key::shared(secret),
                issuer: settings.jwt_issuer.clone(),
                audience: settings.jwt_audience.clone(),
            })
        });
        let issuer = match (&settings.issuer, &settings.jwks_url) {
            (Some(name), Some(url)) => Some(Issuer {
                name: name.clone(),
                keys: KeySet::new(url.clone())?,
                audience: settings.audience.clone(),
            }),
            _ => None,
        };
        let shared = shared.transpose()?;
        Ok((issuer.is_some() || shared.is_some()).then_some(Self { issuer, shared }))
    }

    /// Checks signature, issuer, audience and times of `token`. `resources` are the names of this server that a
    /// token may be meant for unless the settings name another audience.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` saying which check failed; `KEYS_UNAVAILABLE`.
    pub async fn verify(&self, token: &str, resources: &[String], now: Timestamp) -> Result<Claims, Error> {
        let token = Token::split(token)?;
        let algorithm = token.algorithm()?;
        let (key, issuer, audience) = match algorithm {
            Algorithm::Hs256 => {
                let shared = self.shared.as_ref().ok_or_else(wrong_algorithm)?;
                (shared.key.clone(), shared.issuer.as_deref(), shared.audience.as_deref())
            }
            Algorithm::Rs256 | Algorithm::Es256 | Algorithm::EdDsa => {
                let issuer = self.issuer.as_ref().ok_or_else(wrong_algorithm)?;
                let key = issuer.keys.find(token.text("kid"), algorithm, now).await?;
                let key = key.ok_or_else(|| refused("the authorization server has no such key"))?;
                (key, Some(issuer.name.as_str()), issuer.audience.as_deref())
            }
        };
        let claims = token.claims(&key)?;
        if issuer.is_some_and(|it| claims.get("iss").and_then(Value::as_str) != Some(it)) {
            return Err(refused("it comes from another authorization server"));
        }
        // Only the owner's own programs may leave the audience out, and only where none is set.
        let needs_audience = algorithm != Algorithm::Hs256 || audience.is_some();
        let is_for = |name: &str| audience.map_or_else(|| resources.iter().any(|it| it == name), |it| it == name);
        if !is_meant(&claims, needs_audience, is_for) {
            return Err(refused("it is meant for another server"));
        }
        check_times(&claims, now)?;
        said(&claims)
    }
}

fn wrong_algorithm() -> Error {
    refused("it is signed in a way that this server does not accept")
}

fn refused(why: &str) -> Error {
    Error::refused("UNAUTHENTICATED", format!("the token is not accepted: {why}"))
        .hint("get a new token from the authorization server, for this server and with its scopes")
}

/// A token taken apart, its signature not checked yet.
struct Token<'a> {
    header: Map<String, Value>,
    /// What is signed: header and claims as they came.
    message: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn split(text: &'a str) -> Result<Self, Error> {
        let unreadable = || refused("it is no token in a form that this server knows");
        let (message, signature) = text.rsplit_once('.').ok_or_else(unreadable)?;
        let (header, claims) = message.split_once('.').filter(|it| !it.1.contains('.')).ok_or_else(unreadable)?;
        let header: Map<String, Value> = read_part(header).ok_or_else(unreadable)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| unreadable())?;
        if header.contains_key("crit") {
            return Err(refused("it asks for extensions that this server does not know"));
        }
        Ok(Self { header, message, claims, signature })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    fn algorithm(&self) -> Result<Algorithm, Error> {
        self.text("alg").and_then(Algorithm::parse).ok_or_else(wrong_algorithm)
    }

    /// What the token says, once `key` has proved who says it.
    fn claims(&self, key: &Key) -> Result<Map<String, Value>, Error> {
        if key.algorithm() != self.algorithm()? {
            return Err(wrong_algorithm());
        }
        if !key.verifies(self.message.as_bytes(), &self.signature) {
            return Err(refused("its signature is wrong"));
        }
        read_part(self.claims).ok_or_else(|| refused("what it says cannot be read"))
    }
}

fn read_part(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// Says whether `aud`, one text or several, has one that is for here.
fn is_meant(claims: &Map<String, Value>, is_needed: bool, is_for: impl Fn(&str) -> bool) -> bool {
    match claims.get("aud") {
        None => !is_needed,
        Some(Value::String(one)) => is_for(one),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(is_for),
        Some(_) => false,
    }
}

/// Every token must say when it ends; it may say when it begins.
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<(), Error> {
    let now_s = now.0 as f64 / 1000.0;
    let number = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or_else(|| refused(&format!("its `{name}` is no time in seconds"))),
    };
    let ends = number("exp")?.ok_or_else(|| refused("it does not say when it expires"))?;
    if now_s >= ends + SKEW_S {
        return Err(refused("it has expired"));
    }
    if number("nbf")?.is_some_and(|begins| now_s < begins - SKEW_S) {
        return Err(refused("it is not valid yet"));
    }
    Ok(())
}

fn said(claims: &Map<String, Value>) -> Result<Claims, Error> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let subject = text("sub").filter(|it| !it.is_empty()).ok_or_else(|| refused("it does not say for whom it is"))?;
    let scopes = text("scope").or_else(|| match claims.get("scp")? {
        Value::String(one) => Some(one.clone()),
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    });
    Ok(Claims { subject, scopes, role: text("role") })
}

#[cfg(test)]
mod tests {
    use ring::hmac;
    use serde_json::json;

    use super::*;
    use crate::config::Environment;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const NOW_S: i64 = 1_800_000_000;

    fn signed(header: &Value, claims: &Value, secret: &str) -> String {
        let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
    }

    fn verifier(more: &[(&str, &str)]) -> Verifier {
        let pairs = [&[("JWT_SECRET", SECRET)], more].concat();
        let folder = tempfile::tempdir().expect("temporary folder");
        let config =
            crate::config::Config::load(&Default::default(), &Environment::of(&pairs), folder.path()).expect("valid");
        Verifier::new(&config.auth).expect("a secret that is long enough").expect("it accepts tokens")
    }

    async fn verify(verifier: &Verifier, header: Value, claims: Value) -> Result<Claims, Error> {
        let resources = ["https://a.example/mcp".to_owned()];
        verifier.verify(&signed(&header, &claims, SECRET), &resources, NOW).await
    }

    #[tokio::test]
    async fn a_token_of_the_shared_secret_is_read_within_its_times() {
        let verifier = verifier(&[]);
        let header = json!({"alg": "HS256"});
        for (claims, expected) in [
            (json!({"sub": "ada", "exp": NOW_S + 60}), Ok("ada")),
            (json!({"sub": "ada", "exp": NOW_S - 29}), Ok("ada")),
            (json!({"sub": "ada", "exp": NOW_S - 30}), Err("has expired")),
            (json!({"sub": "ada", "exp": NOW_S + 60, "nbf": NOW_S + 30}), Ok("ada")),
            (json!({"sub": "ada", "exp": NOW_S + 60, "nbf": NOW_S + 31}), Err("not valid yet")),
            (json!({"sub": "ada", "exp": "soon"}), Err("no time in seconds")),
            (json!({"sub": "ada"}), Err("when it expires")),
            (json!({"exp": NOW_S + 60}), Err("for whom")),
            (json!({"sub": "", "exp": NOW_S + 60}), Err("for whom")),
            (json!({"sub": "ada", "exp": NOW_S + 60, "aud": "https://a.example/mcp"}), Ok("ada")),
            (json!({"sub": "ada", "exp": NOW_S + 60, "aud": ["x", "https://a.example/mcp"]}), Ok("ada")),
            (json!({"sub": "ada", "exp": NOW_S + 60, "aud": "https://b.example/mcp"}), Err("another server")),
        ] {
            let found = verify(&verifier, header.clone(), claims.clone()).await;
            match (found, expected) {
                (Ok(found), Ok(subject)) => assert_eq!(found.subject, subject, "{claims}"),
                (Err(error), Err(part)) => {
                    assert_eq!(error.code(), "UNAUTHENTICATED");
                    assert!(error.message().contains(part), "{claims}: {error}");
                }
                (found, _) => panic!("{claims}: {found:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_token_cannot_choose_how_it_is_checked() {
        let verifier = verifier(&[]);
        let claims = json!({"sub": "ada", "exp": NOW_S + 60});
        for header in [
            json!({"alg": "none"}),
            json!({"alg": "None"}),
            json!({"alg": "HS384"}),
            json!({"alg": "RS256", "kid": "x"}),
            json!({"alg": "EdDSA"}),
            json!({"alg": "HS256", "crit": ["b64"]}),
            json!({}),
        ] {
            assert!(verify(&verifier, header.clone(), claims.clone()).await.is_err(), "{header}");
        }
        let other = signed(&json!({"alg": "HS256"}), &claims, "another secret of thirty-two byte");
        assert!(verifier.verify(&other, &[], NOW).await.expect_err("wrong").message().contains("signature"));
        for bad in ["", "a", "a.b", "a.b.c", "a.b.c.d", "....", &other.replace('.', "..")] {
            assert!(verifier.verify(bad, &[], NOW).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn configured_names_must_stand_in_the_token() {
        let verifier = verifier(&[("JWT_ISSUER", "me"), ("JWT_AUDIENCE", "dipeo")]);
        let header = json!({"alg": "HS256"});
        for (iss, aud, is_fine) in [
            (Some("me"), Some("dipeo"), true),
            (Some("you"), Some("dipeo"), false),
            (Some("me"), Some("https://a.example/mcp"), false),
            (None, Some("dipeo"), false),
            (Some("me"), None, false),
        ] {
            let mut claims = json!({"sub": "ada", "exp": NOW_S + 60});
            for (name, value) in [("iss", iss), ("aud", aud)] {
                if let Some(value) = value {
                    claims[name] = value.into();
                }
            }
            assert_eq!(verify(&verifier, header.clone(), claims.clone()).await.is_ok(), is_fine, "{claims}");
        }
    }

    #[tokio::test]
    async fn scopes_are_read_from_either_claim() {
        let verifier = verifier(&[]);
        for (claim, value, expected) in [
            ("scope", json!("diagram:read openid"), Some("diagram:read openid")),
            ("scp", json!("diagram:read"), Some("diagram:read")),
            ("scp", json!(["diagram:read", "execution:run"]), Some("diagram:read execution:run")),
            ("other", json!("x"), None),
        ] {
            let claims = json!({"sub": "ada", "exp": NOW_S + 60, "role": "viewer", claim: value});
            let found = verify(&verifier, json!({"alg": "HS256"}), claims).await.expect("valid");
            assert_eq!((found.scopes.as_deref(), found.role.as_deref()), (expected, Some("viewer")));
        }
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused_without_repeating_it() {
        let settings = AuthSettings { jwt_secret: crate::secret::Secret::new("hunter2hunter2"), ..Default::default() };
        let error = Verifier::new(&settings).err().expect("too short");
        assert!(error.message().contains("14 bytes") && !error.message().contains("hunter2"));
    }
}
