//! The server as an OAuth 2.1 resource server, against an authorization server of this process.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, Response};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use ring::{hmac, signature};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::harness::{Workspace, has, workspace};
use crate::mcp_client::{HELLO, HttpServer, call, modern};

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key that signs, and its public half as a server publishes it.
struct Key {
    id: &'static str,
    signer: Signer,
}

enum Signer {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(signature::RsaKeyPair),
}

impl Key {
    fn ed(id: &'static str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self { id, signer: Signer::Ed(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key")) }
    }

    fn ec(id: &'static str) -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        Self { id, signer: Signer::Ec(EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).expect("a key")) }
    }

    /// Ring makes no RSA keys.
    fn rsa(id: &'static str) -> Option<Self> {
        if !has("openssl") {
            return None;
        }
        let arguments = ["-c", "openssl genrsa 2048 2>/dev/null | openssl rsa -traditional -outform DER 2>/dev/null"];
        let made = std::process::Command::new("sh").args(arguments).output().expect("runs");
        Some(Self { id, signer: Signer::Rsa(signature::RsaKeyPair::from_der(&made.stdout).expect("a key")) })
    }

    fn algorithm(&self) -> &'static str {
        match self.signer {
            Signer::Ed(_) => "EdDSA",
            Signer::Ec(_) => "ES256",
            Signer::Rsa(_) => "RS256",
        }
    }

    fn public(&self) -> Value {
        match &self.signer {
            Signer::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": encoded(pair.public_key())})
            }
            Signer::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": self.id, "alg": "ES256", "x": encoded(x), "y": encoded(y)})
            }
            Signer::Rsa(pair) => {
                let parts = signature::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "kid": self.id, "use": "sig", "n": encoded(parts.n), "e": encoded(parts.e)})
            }
        }
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.signer {
            Signer::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Signer::Ec(pair) => pair.sign(&random, message.as_bytes()).expect("signs").as_ref().to_vec(),
            Signer::Rsa(pair) => {
                let mut made = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut made).expect("signs");
                made
            }
        }
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "at+jwt", "kid": self.id});
        signed(&header, claims, |message| self.sign(message))
    }
}

fn signed(header: &Value, claims: &Value, sign: impl Fn(&str) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    let signature = encoded(sign(&message));
    format!("{message}.{signature}")
}

async fn authorization_server(keys: &[&Key]) -> MockServer {
    let server = MockServer::start().await;
    let set = json!({"keys": keys.iter().map(|it| it.public()).collect::<Vec<_>>()});
    Mock::given(method("GET"))
        .and(path("/keys"))
        .respond_with(ResponseTemplate::new(200).set_body_json(set))
        .mount(&server)
        .await;
    server
}

/// A server that accepts the tokens of `issuer`.
fn resource_server(workspace: &Workspace, issuer: &MockServer) -> HttpServer {
    let keys = format!("{}/keys", issuer.uri());
    HttpServer::start_with(workspace, &[], &[("DIPEO_AUTH_ISSUER", &issuer.uri()), ("DIPEO_AUTH_JWKS_URL", &keys)])
}

fn now_s() -> i64 {
    use dipeo::clock::{Clock, SystemClock};
    SystemClock.now().0 / 1_000
}

/// Claims of a token that this server accepts.
fn claims(server: &HttpServer, issuer: &MockServer, scope: &str) -> Value {
    json!({
        "iss": issuer.uri(), "sub": "ada", "aud": format!("{}/mcp", server.url), "exp": now_s() + 300,
        "nbf": now_s() - 1, "scope": scope,
    })
}

async fn post_as(server: &HttpServer, token: &str, message: &Value) -> Response {
    server.prepared("/mcp", message).bearer_auth(token).send().await.expect("an answer")
}

async fn status(server: &HttpServer, token: &str) -> (u16, String) {
    let response = server.http(Method::GET, "/mcp/info").bearer_auth(token).send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.expect("text"))
}

#[tokio::test]
async fn tokens_of_every_kind_of_key_are_accepted_and_each_key_has_one_algorithm() {
    let workspace = workspace();
    let (ed, ec, rsa) = (Key::ed("ed"), Key::ec("ec"), Key::rsa("rsa"));
    let keys: Vec<&Key> = [Some(&ed), Some(&ec), rsa.as_ref()].into_iter().flatten().collect();
    let issuer = authorization_server(&keys).await;
    let server = resource_server(&workspace, &issuer);
    let good = claims(&server, &issuer, "execution:run");
    for key in &keys {
        let (status, text) = status(&server, &key.token(&good)).await;
        assert_eq!(status, 200, "{}: {text}", key.algorithm());
    }
    // A token says one algorithm and names the key of another.
    let mixed = signed(&json!({"alg": "EdDSA", "kid": "ec"}), &good, |it| ed.sign(it));
    assert_eq!(status(&server, &mixed).await.0, 401);
    assert_eq!(issuer.received_requests().await.expect("recorded").len(), 1, "the keys are kept");
}

#[tokio::test]
async fn tokens_that_are_not_for_here_and_now_are_refused_with_the_place_to_get_one() {
    let workspace = workspace();
    let (key, stranger) = (Key::ed("one"), Key::ed("two"));
    let issuer = authorization_server(&[&key]).await;
    let server = resource_server(&workspace, &issuer);
    let good = claims(&server, &issuer, "diagram:read");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        key.token(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("an object").remove(name);
        key.token(&claims)
    };
    let public = serde_json::to_string(&key.public()).expect("JSON");
    let raw = match &key.signer {
        Signer::Ed(pair) => pair.public_key().as_ref().to_vec(),
        Signer::Ec(_) | Signer::Rsa(_) => Vec::new(),
    };
    let with_secret = |secret: &[u8]| {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        signed(&json!({"alg": "HS256", "kid": "one"}), &good, |it| hmac::sign(&secret, it.as_bytes()).as_ref().to_vec())
    };
    let whole = key.token(&good);
    let (message, _) = whole.rsplit_once('.').expect("three parts");
    for (what, token) in [
        ("wrong audience", with("aud", json!("https://elsewhere.example/mcp"))),
        ("an audience that only begins alike", with("aud", json!(format!("{}/mcp2", server.url)))),
        ("no audience", without("aud")),
        ("wrong issuer", with("iss", json!("https://elsewhere.example"))),
        ("no issuer", without("iss")),
        ("expired", with("exp", json!(now_s() - 31))),
        ("no end", without("exp")),
        ("not yet valid", with("nbf", json!(now_s() + 90))),
        ("nobody", without("sub")),
        ("the owner", with("sub", json!("local"))),
        ("alg none", format!("{}.", signed(&json!({"alg": "none"}), &good, |_| Vec::new()).trim_end_matches('.'))),
        ("no signature", format!("{message}.")),
        ("signed with the public key", with_secret(&raw)),
        ("signed with the published key", with_secret(public.as_bytes())),
        ("unknown key", stranger.token(&good)),
        ("a known name on another key", Key { id: "one", signer: stranger.signer }.token(&good)),
    ] {
        let response = post_as(&server, &token, &modern(1, "tools/list", json!({}))).await;
        assert_eq!(response.status(), 401, "{what}");
        let challenge = response.headers()["www-authenticate"].to_str().expect("text").to_owned();
        let place = format!("resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"", server.url);
        assert!(challenge.contains(&place) && challenge.contains("error=\"invalid_token\""), "{what}: {challenge}");
        let text = response.text().await.expect("text");
        assert!(text.contains("UNAUTHENTICATED") && !text.contains(message), "{what}: {text}");
    }
    assert_eq!(post_as(&server, &whole, &modern(1, "tools/list", json!({}))).await.status(), 200);
}

#[tokio::test]
async fn the_metadata_is_read_without_a_token_and_names_the_authorization_server() {
    let workspace = workspace();
    let issuer = authorization_server(&[&Key::ed("one")]).await;
    let server = resource_server(&workspace, &issuer);
    for (suffix, resource) in [("", "/mcp"), ("/mcp", "/mcp"), ("/mcp/messages", "/mcp/messages")] {
        let path = format!("/.well-known/oauth-protected-resource{suffix}");
        let response = server.http(Method::GET, &path).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["resource"], format!("{}{resource}", server.url));
        assert_eq!(body["authorization_servers"], json!([issuer.uri()]));
        assert_eq!(body["bearer_methods_supported"], json!(["header"]));
        assert_eq!(body["scopes_supported"].as_array().map(Vec::len), Some(5));
    }
    let other = "/.well-known/oauth-protected-resource/health";
    assert_eq!(server.http(Method::GET, other).send().await.expect("an answer").status(), 404);
    let bare = crate::harness::workspace();
    let without = HttpServer::start(&bare);
    let path = "/.well-known/oauth-protected-resource/mcp";
    assert_eq!(without.http(Method::GET, path).send().await.expect("an answer").status(), 404);
}

#[tokio::test]
async fn a_missing_scope_is_a_403_that_names_all_that_are_needed() {
    let workspace = workspace();
    let key = Key::ec("one");
    let issuer = authorization_server(&[&key]).await;
    let server = resource_server(&workspace, &issuer);
    let token = key.token(&claims(&server, &issuer, "openid diagram:read"));
    let run = modern(1, "tools/call", call("dipeo_run", json!({"content": HELLO})));
    let push = modern(1, "tools/call", call("compile_diagram", json!({"content": HELLO, "push_as": "x"})));
    let read = modern(1, "resources/read", json!({"uri": "dipeo://executions"}));
    for (message, scopes) in [(&run, "execution:run"), (&push, "diagram:read diagram:write"), (&read, "execution:read")]
    {
        let response = post_as(&server, &token, message).await;
        assert_eq!(response.status(), 403, "{message}");
        let challenge = response.headers()["www-authenticate"].to_str().expect("text").to_owned();
        for part in ["error=\"insufficient_scope\"", &format!("scope=\"{scopes}\""), "resource_metadata=\"http"] {
            assert!(challenge.contains(part), "{part} {challenge}");
        }
        let body: Value = response.json().await.expect("JSON");
        assert_eq!(body["error"]["code"], "INSUFFICIENT_SCOPE");
    }
    let compile = modern(1, "tools/call", call("compile_diagram", json!({"content": HELLO})));
    assert_eq!(post_as(&server, &token, &compile).await.status(), 200);
    let listed: Value = post_as(&server, &token, &modern(1, "tools/list", json!({}))).await.json().await.expect("JSON");
    let names: Vec<&str> =
        listed["result"]["tools"].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["compile_diagram", "search", "fetch"]);
    assert_eq!(listed["result"]["cacheScope"], "private");
}

#[test]
fn a_server_with_settings_that_let_anybody_in_does_not_start() {
    let workspace = workspace();
    for (variables, part) in [
        (&[("JWT_SECRET", "short")][..], "JWT_SECRET"),
        (&[("DIPEO_AUTH_ISSUER", "https://a.example")], "auth.jwks_url"),
        (&[("DIPEO_AUTH_ISSUER", "https://a.example"), ("DIPEO_AUTH_JWKS_URL", "http://a.example/k")], "https://"),
        (&[("DIPEO_AUTH_REQUIRED", "true")], "there is none"),
    ] {
        let output = workspace.command().args(["serve", "--port", "0"]).envs(variables.iter().copied()).output();
        let output = output.expect("runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(part) && !text.contains("short"), "{text}");
    }
}

#[tokio::test]
async fn a_token_of_the_shared_secret_has_the_rights_of_its_role() {
    let workspace = workspace();
    let secret = "a secret of at least thirty-two bytes";
    let server = HttpServer::start_with(&workspace, &[], &[("JWT_SECRET", secret)]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let token = |role: Value| {
        let claims = json!({"sub": "ada", "exp": now_s() + 60, "role": role});
        signed(&json!({"alg": "HS256"}), &claims, |it| hmac::sign(&key, it.as_bytes()).as_ref().to_vec())
    };
    let run = modern(1, "tools/call", call("dipeo_run", json!({"content": HELLO})));
    for (role, expected) in [("editor", 200), ("operator", 200), ("viewer", 403), ("unheard of", 403)] {
        assert_eq!(post_as(&server, &token(json!(role)), &run).await.status(), expected, "{role}");
    }
}
