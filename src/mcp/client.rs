//! Asks a `dipeo serve` on another machine, over MCP. It must not know what is asked, nor who wants to know.

use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::model::{ClientRequest, CustomRequest, ServerResult};
use rmcp::service::{RoleClient, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::Url;

use super::by_name::METHOD;
use crate::error::{Error, ErrorKind};
use crate::limits::WAIT_SECONDS_MAX;
use crate::secret::Secret;
use crate::tls;

/// Longest time until a server has shaken hands.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Longest time until it answers: its own longest wait, and as much for the way.
const ANSWER_TIME: Duration = Duration::from_secs(2 * WAIT_SECONDS_MAX as u64);

/// A server, connected to when it is first asked.
pub struct RemoteServer {
    /// As the user gave it.
    address: String,
    endpoint: String,
    token: Option<Secret>,
    connection: OnceCell<RunningService<RoleClient, ()>>,
}

impl RemoteServer {
    /// Takes the address of a server: `http(s)://NAME[:PORT]`, with or without `/mcp`. Nothing is contacted.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for what is no such address.
    pub fn new(address: &str, token: Option<Secret>) -> Result<Self, Error> {
        Ok(Self { address: address.to_owned(), endpoint: endpoint(address)?, token, connection: OnceCell::new() })
    }

    /// Whether the token would be sent where others can read it.
    pub fn shows_its_token(&self) -> bool {
        let url = Url::parse(&self.endpoint).ok();
        let is_local = url.as_ref().and_then(Url::host).is_some_and(|host| match host {
            url::Host::Domain(name) => name == "localhost",
            url::Host::Ipv4(address) => address.is_loopback(),
            url::Host::Ipv6(address) => address.is_loopback(),
        });
        self.token.is_some() && !is_local && url.is_some_and(|it| it.scheme() == "http")
    }

    /// Carries out a use case there and returns the response of its handler.
    ///
    /// # Errors
    ///
    /// What the handler says; `SERVER_UNREACHABLE`, `UNAUTHENTICATED`, and `TOOL_NOT_FOUND` for a server that does
    /// not know the use case.
    pub async fn ask(&self, name: &str, request: Value) -> Result<Value, Error> {
        let connection = self.connection.get_or_try_init(|| self.connect()).await?;
        let params = json!({"name": name, "request": request});
        let request = ClientRequest::CustomRequest(CustomRequest::new(METHOD, Some(params)));
        let answer = tokio::time::timeout(ANSWER_TIME, connection.send_request(request)).await;
        match answer {
            Ok(Ok(ServerResult::CustomResult(result))) => read(result.0),
            Ok(Ok(_)) => Err(self.unreachable("its answer is not one of dipeo")),
            Ok(Err(ServiceError::McpError(error))) if error.code.0 == METHOD_NOT_FOUND => {
                Err(Error::not_found("TOOL_NOT_FOUND", format!("`{}` does not answer to a command line", self.address))
                    .hint("it must be a `dipeo serve` of this version that offers its own tools"))
            }
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.unreachable("it does not answer")),
        }
    }

    async fn connect(&self) -> Result<RunningService<RoleClient, ()>, Error> {
        tls::install();
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.endpoint.as_str());
        config.auth_header = self.token.as_ref().map(|it| it.expose().to_owned());
        let transport = StreamableHttpClientTransport::from_config(config);
        match tokio::time::timeout(CONNECT_TIME, ().serve(transport)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.unreachable("it does not answer")),
        }
    }

    /// What a failure of the library means for whoever typed the address.
    fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let told = told(error);
        tracing::debug!("the server could not be asked: {told}");
        if told.contains("Auth required") {
            let hint = match self.token {
                None => "set `DIPEO_TOKEN` to a token of that server",
                Some(_) => "the token in `DIPEO_TOKEN` is none of that server, or has expired",
            };
            return Error::refused("UNAUTHENTICATED", format!("`{}` asks for a token", self.address)).hint(hint);
        }
        if told.contains("Insufficient scope") {
            let message = format!("the token does not allow this at `{}`", self.address);
            return Error::refused("INSUFFICIENT_SCOPE", message).hint("use a token with a higher role");
        }
        self.unreachable("no dipeo answers there")
    }

    fn unreachable(&self, why: &str) -> Error {
        Error::external("SERVER_UNREACHABLE", format!("`{}` cannot be asked: {why}", self.address))
            .hint("check that `dipeo serve` runs there and that this machine may reach it")
    }
}

/// The code of JSON-RPC for a method nobody knows.
const METHOD_NOT_FOUND: i32 = -32_601;

/// An error and what lies behind it, in one line.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn endpoint(address: &str) -> Result<String, Error> {
    let wrong = || {
        Error::invalid("INVALID_INPUT", format!("`{address}` is not the address of a server"))
            .hint("write `--server http://NAME:PORT`; the token goes into `DIPEO_TOKEN`")
    };
    let mut url = Url::parse(address.trim()).map_err(|_| wrong())?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_plain {
        return Err(wrong());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with("/mcp") {
        url.set_path(&format!("{path}/mcp"));
    }
    Ok(url.to_string())
}

/// Reads what [`super::by_name`] writes.
fn read(mut answer: Value) -> Result<Value, Error> {
    if let Some(response) = answer.get_mut("response") {
        return Ok(response.take());
    }
    Err(error_of(&answer["error"]))
}

/// The error that the server told, as if it had happened here.
fn error_of(object: &Value) -> Error {
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let kind = text("kind").and_then(ErrorKind::parse).unwrap_or(ErrorKind::Internal);
    let code = text("code").filter(|it| is_code(it)).unwrap_or("INTERNAL");
    let mut error = Error::new(kind, interned(code), text("message").unwrap_or("the server told no reason"));
    if let Some(hint) = text("hint") {
        error = error.hint(hint);
    }
    match object.get("details") {
        Some(details) => error.details(details.clone()),
        None => error,
    }
}

fn is_code(text: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

/// Codes are part of the program, but a newer server may know more: those are kept for the rest of the process,
/// which asks a few times at most.
fn interned(code: &str) -> &'static str {
    String::leak(code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_the_endpoint_of_its_server() {
        for (address, expected) in [
            ("http://localhost:8000", Some("http://localhost:8000/mcp")),
            ("http://localhost:8000/", Some("http://localhost:8000/mcp")),
            ("https://a.example/mcp", Some("https://a.example/mcp")),
            ("https://a.example/tools/dipeo", Some("https://a.example/tools/dipeo/mcp")),
            ("localhost:8000", None),
            ("ftp://a", None),
            ("http://", None),
            ("https://u:p@a.example", None),
            ("https://a.example?token=x", None),
            ("", None),
        ] {
            assert_eq!(endpoint(address).ok().as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn a_token_goes_in_the_clear_only_to_this_machine() {
        for (address, expected) in [
            ("http://localhost:8000", false),
            ("http://127.0.0.1:8000", false),
            ("http://[::1]:8000", false),
            ("https://a.example", false),
            ("http://a.example", true),
            ("http://10.0.0.1", true),
        ] {
            let server = RemoteServer::new(address, Secret::new("token")).expect(address);
            assert_eq!(server.shows_its_token(), expected, "{address}");
            assert!(!RemoteServer::new(address, None).expect(address).shows_its_token());
        }
    }

    #[test]
    fn what_a_server_refuses_is_refused_here_with_the_same_words() {
        let told = json!({"error": {"code": "DIAGRAM_NOT_FOUND", "kind": "not_found", "message": "there is no `x`",
                                    "hint": "look", "details": {"close": ["y"]}}});
        let error = read(told).expect_err("an error");
        assert_eq!((error.code(), error.kind()), ("DIAGRAM_NOT_FOUND", ErrorKind::NotFound));
        assert_eq!((error.message(), error.hint_text()), ("there is no `x`", Some("look")));
        assert_eq!(error.to_json()["details"], json!({"close": ["y"]}));
        for nonsense in [json!({}), json!({"error": 1}), json!({"error": {"code": "no code"}}), json!([])] {
            let error = read(nonsense).expect_err("an error");
            assert_eq!((error.code(), error.kind()), ("INTERNAL", ErrorKind::Internal));
        }
        assert_eq!(read(json!({"response": null})).expect("nothing"), Value::Null);
    }
}
