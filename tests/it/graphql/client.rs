//! Clients of `/graphql` that see every byte.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::mcp_client::HttpServer;

/// Longest wait for anything; only a broken server reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Posts a document and returns the whole answer.
pub async fn ask(server: &HttpServer, query: &str, variables: Value) -> Value {
    ask_as(server, None, query, variables).await
}

/// As [`ask`], with a token.
pub async fn ask_as(server: &HttpServer, token: Option<&str>, query: &str, variables: Value) -> Value {
    let request = server.http(Method::POST, "/graphql").json(&json!({"query": query, "variables": variables}));
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    request.send().await.expect("the server answers").json().await.expect("JSON")
}

/// Posts a document that is carried out without errors and returns its data.
pub async fn data(server: &HttpServer, query: &str, variables: Value) -> Value {
    let answer = ask(server, query, variables).await;
    assert!(answer.get("errors").is_none(), "{query}: {answer:#}");
    answer["data"].clone()
}

/// The code of the only error of a document.
pub async fn code(server: &HttpServer, query: &str, variables: Value) -> String {
    let answer = ask(server, query, variables).await;
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("{query}: {answer:#}"));
    assert_eq!(errors.len(), 1, "{query}: {answer:#}");
    errors[0]["extensions"]["code"].as_str().expect("a code").to_owned()
}

/// A WebSocket to `/graphql`.
pub struct Socket(WebSocketStream<TcpStream>);

/// What comes over a socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Message(Value),
    Closed(u16, String),
    /// It broke off.
    Gone,
}

impl Heard {
    /// The message, or a failure of the test.
    pub fn message(self) -> Value {
        match self {
            Self::Message(value) => value,
            other => panic!("no message: {other:?}"),
        }
    }

    /// The code with which it was closed.
    pub fn code(self) -> u16 {
        match self {
            Self::Closed(code, _) => code,
            other => panic!("not closed: {other:?}"),
        }
    }
}

impl Socket {
    /// Opens a socket that speaks `protocol`.
    pub async fn open(server: &HttpServer, protocol: Option<&str>) -> Self {
        Self::open_with(server, protocol, &[]).await.expect("the server upgrades")
    }

    /// As [`Socket::open`], with more headers; the status of the answer when it is no socket.
    pub async fn open_with(
        server: &HttpServer,
        protocol: Option<&str>,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let address = server.url.trim_start_matches("http://");
        // By hand: a library would not go on when the server chooses no protocol.
        let mut request = format!(
            "GET /graphql HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        let all = protocol.map(|it| ("Sec-WebSocket-Protocol", it)).into_iter().chain(headers.iter().copied());
        for (name, value) in all {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(format!("{request}\r\n").as_bytes()).await.expect("written");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).expect("a text");
        match head.split(' ').nth(1).expect("a status").parse() {
            Ok(101) => Ok(Self(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)),
            status => Err(status.expect("a number")),
        }
    }

    /// Opens a socket and shakes hands.
    pub async fn ready(server: &HttpServer) -> Self {
        let mut socket = Self::open(server, Some("graphql-transport-ws")).await;
        socket.say(json!({"type": "connection_init"})).await;
        assert_eq!(socket.hear().await.message(), json!({"type": "connection_ack"}));
        socket
    }

    /// Sends a message.
    pub async fn say(&mut self, message: Value) {
        self.send(Message::text(message.to_string())).await;
    }

    /// Sends anything.
    pub async fn send(&mut self, message: Message) {
        self.0.send(message).await.expect("the server reads");
    }

    /// Begins an operation.
    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({"query": query, "variables": variables});
        self.say(json!({"id": id, "type": "subscribe", "payload": payload})).await;
    }

    /// Waits for what comes next.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time") {
                Some(Ok(Message::Text(text))) => return Heard::Message(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Close(None)) | Err(_)) | None => return Heard::Gone,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The payloads of one operation until it is complete.
    pub async fn hear_all(&mut self, id: &str) -> Vec<Value> {
        let mut payloads = Vec::new();
        loop {
            let message = self.hear().await.message();
            assert_eq!(message["id"], json!(id), "{message}");
            match message["type"].as_str() {
                Some("next") => payloads.push(message["payload"].clone()),
                Some("complete") => return payloads,
                _ => panic!("{message:#}"),
            }
        }
    }
}
