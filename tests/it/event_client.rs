//! Clients of live events that see every byte: server-sent events with a hand on the connection, and the frames of a
//! WebSocket, good and bad.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::mcp_client::HttpServer;

/// Longest wait for anything; only a broken server reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One record of an event stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sse {
    pub id: Option<u64>,
    pub event: String,
    pub data: Value,
}

/// An open event stream.
pub struct SseStream {
    pub response: Response,
    text: String,
}

impl SseStream {
    /// Opens the stream of an execution; `query` begins with `?` or is empty.
    pub async fn open(server: &HttpServer, id: &str, query: &str) -> Self {
        let path = format!("/api/v1/executions/{id}/events{query}");
        let response = server.http(Method::GET, &path).send().await.expect("an answer");
        Self::of(response)
    }

    pub fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    /// The next record; `None` when the server has ended the stream.
    pub async fn next(&mut self) -> Option<Sse> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let record = record(block);
                self.text = rest.to_owned();
                match record {
                    Some(record) => return Some(record),
                    None => continue,
                }
            }
            let bytes = self.bytes().await?;
            self.text.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
        }
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<Sse> {
        let mut all = Vec::new();
        while let Some(record) = self.next().await {
            all.push(record);
        }
        all
    }

    async fn bytes(&mut self) -> Option<Vec<u8>> {
        let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("in time");
        chunk.ok()?.map(|it| it.to_vec())
    }

    /// Reads as far as so many bytes and cuts the connection; what was read whole.
    pub async fn cut_after(mut self, n_bytes: usize) -> Vec<Sse> {
        let mut bytes = Vec::new();
        while bytes.len() < n_bytes
            && let Some(more) = self.bytes().await
        {
            bytes.extend(more);
        }
        bytes.truncate(n_bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Behind the last blank line is what was cut.
        let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
        whole.split("\n\n").filter_map(record).collect()
    }
}

/// A record; `None` for a comment.
fn record(block: &str) -> Option<Sse> {
    let field = |name: &str| block.lines().find_map(|it| it.strip_prefix(name)).map(str::trim);
    let data = field("data:")?;
    Some(Sse {
        id: field("id:").map(|it| it.parse().expect("a number")),
        event: field("event:").unwrap_or("message").to_owned(),
        data: serde_json::from_str(data).expect("JSON"),
    })
}

/// What comes over a WebSocket.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Text(Value),
    Pong(Vec<u8>),
    Close(u16),
    /// The connection is gone without a word.
    Gone,
}

/// An open WebSocket.
pub struct Socket {
    stream: BufReader<TcpStream>,
}

/// Kinds of frames (RFC 6455, 5.2).
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const LAST: u8 = 0x80;
const MASKED: u8 = 0x80;

impl Socket {
    /// Opens a socket.
    pub async fn open(server: &HttpServer, path: &str) -> Self {
        Self::try_open(server, path, &[]).await.unwrap_or_else(|(status, body)| panic!("{status}: {body}"))
    }

    /// Opens a socket with more headers, or says how it was refused.
    pub async fn try_open(server: &HttpServer, path: &str, headers: &[(&str, &str)]) -> Result<Self, (u16, Value)> {
        let address = server.url.strip_prefix("http://").expect("plain HTTP");
        let mut stream = BufReader::new(TcpStream::connect(address).await.expect("connects"));
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let head = head(&mut stream).await;
        let status: u16 = head[9..12].parse().expect("a status");
        if status == 101 {
            // The example of RFC 6455, 1.3.
            assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
            return Ok(Self { stream });
        }
        let length =
            head.lines().find_map(|it| it.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
        let mut body = vec![0; length.expect("a length").trim().parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("a body");
        Err((status, serde_json::from_slice(&body).expect("JSON")))
    }

    /// Sends a JSON frame.
    pub async fn say(&mut self, frame: Value) {
        self.send(TEXT, frame.to_string().as_bytes()).await;
    }

    /// Sends a frame.
    pub async fn send(&mut self, kind: u8, payload: &[u8]) {
        self.send_raw(LAST | kind, MASKED, payload).await;
    }

    /// Sends a text in two frames.
    pub async fn send_in_two(&mut self, first: &[u8], second: &[u8]) {
        self.send_raw(TEXT, MASKED, first).await;
        self.send_raw(LAST, MASKED, second).await;
    }

    /// Sends a frame without a mask, which only servers may do.
    pub async fn send_unmasked(&mut self, payload: &[u8]) {
        self.send_raw(LAST | TEXT, 0, payload).await;
    }

    async fn send_raw(&mut self, first: u8, masked: u8, payload: &[u8]) {
        let mut bytes = vec![first];
        match payload.len() {
            n if n < 126 => bytes.push(masked | u8::try_from(n).expect("small")),
            n if n < 65_536 => {
                bytes.push(masked | 126);
                bytes.extend(u16::try_from(n).expect("small").to_be_bytes());
            }
            n => {
                bytes.push(masked | 127);
                bytes.extend((n as u64).to_be_bytes());
            }
        }
        if masked != 0 {
            let mask = [1, 2, 3, 4];
            bytes.extend(mask);
            bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend(payload);
        }
        // A server that has enough may have closed already.
        let _ = self.stream.write_all(&bytes).await;
    }

    /// The next frame; pings are answered.
    pub async fn hear(&mut self) -> Heard {
        loop {
            let read = tokio::time::timeout(PATIENCE, self.frame()).await.expect("in time");
            let Ok((kind, payload)) = read else { return Heard::Gone };
            match kind {
                TEXT => return Heard::Text(serde_json::from_slice(&payload).expect("JSON")),
                CLOSE => return Heard::Close(u16::from_be_bytes([payload[0], payload[1]])),
                PONG => return Heard::Pong(payload),
                PING => self.send(PONG, &payload).await,
                other => panic!("a frame of kind {other}"),
            }
        }
    }

    async fn frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await?;
        assert_eq!(first & LAST, LAST, "the server sends whole messages");
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            n => u64::from(n),
        };
        let mut payload = vec![0; usize::try_from(length).expect("fits")];
        self.stream.read_exact(&mut payload).await?;
        Ok((first & 0x0F, payload))
    }

    /// The next JSON frame that is no heartbeat.
    pub async fn next(&mut self) -> Value {
        loop {
            match self.hear().await {
                Heard::Text(frame) if frame["type"] == "heartbeat" => {}
                Heard::Text(frame) => return frame,
                other => panic!("{other:?}"),
            }
        }
    }

    /// What ends the connection, whatever comes before.
    pub async fn end(&mut self) -> Heard {
        loop {
            match self.hear().await {
                Heard::Text(_) | Heard::Pong(_) => {}
                end => return end,
            }
        }
    }

    /// Says something and returns what comes next.
    pub async fn ask(&mut self, frame: Value) -> Value {
        self.say(frame).await;
        self.next().await
    }

    /// As [`Socket::ask`]; the code of the error that comes.
    pub async fn refused(&mut self, frame: Value) -> String {
        let answer = self.ask(frame).await;
        assert_eq!(answer["type"], "error", "{answer}");
        answer["error"]["code"].as_str().expect("a code").to_owned()
    }

    /// Subscribes, and everything that is told until the topic is over.
    pub async fn followed(&mut self, topic: &str, since: u64) -> Vec<Value> {
        let answer = self.ask(json!({"type": "subscribe", "topic": topic, "since": since})).await;
        assert_eq!(answer, json!({"type": "subscribed", "topic": topic}));
        let mut events = Vec::new();
        loop {
            let frame = self.next().await;
            if frame["type"] == "unsubscribed" {
                return events;
            }
            assert_eq!((&frame["type"], &frame["topic"]), (&json!("event"), &json!(topic)), "{frame}");
            events.push(frame);
        }
    }
}

async fn head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("an answer"));
    }
    String::from_utf8(head).expect("text")
}
