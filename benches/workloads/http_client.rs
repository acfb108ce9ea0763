//! A server that says where it listens, and a client with as many connections as requests in flight. The client
//! reads no more of HTTP than such a server needs, so that most of the time is the server's.

use std::io::{BufRead, BufReader as StdBufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Outcome;
use crate::wire::{Answer, LEGACY, MODERN, Message};

/// A process that listens on a port of this machine.
pub struct HttpServer {
    child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
}

impl HttpServer {
    /// Starts the server and waits until its standard error names its address.
    pub fn start(mut command: Command) -> Outcome<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut log = StdBufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let address = loop {
            let line = log.next().ok_or("the server ended before it listened")??;
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split(['/', ' ']).next().unwrap_or_default().to_owned();
            }
        };
        // Read to its end, so that the server never waits for space in the pipe.
        std::thread::spawn(move || log.for_each(drop));
        Ok(Self { child, address })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is posted where.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: String,
    pub path: &'static str,
    pub message: Message,
}

impl Target {
    /// The request as it goes over the wire.
    pub fn request(&self, id: u64) -> String {
        let Self { address, path, message } = self;
        let body = message.with_id(id);
        let version = if message.is_modern { MODERN } else { LEGACY };
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: {version}\r\n"
        );
        if message.is_modern {
            head += &format!("mcp-method: {}\r\n", message.method);
            head += &message.tool.as_ref().map(|it| format!("mcp-name: {it}\r\n")).unwrap_or_default();
        }
        format!("{head}content-length: {}\r\n\r\n{body}", body.len())
    }
}

/// Sends one request and returns its result.
pub async fn request(target: &Target) -> Outcome<String> {
    let mut connection = Connection::open(&target.address).await?;
    connection.exchange(&target.request(1)).await?;
    let answer = Answer::read(std::str::from_utf8(&connection.body)?)?;
    Ok(answer.result(None)?.to_owned())
}

/// Posts `n_calls` times over `in_flight` connections; every answer must be `expected`, where that is known.
pub async fn load(target: &Target, n_calls: u64, in_flight: usize, expected: Option<&str>) -> Outcome<()> {
    let next_id = Arc::new(AtomicU64::new(1));
    let expected: Option<Arc<str>> = expected.map(Into::into);
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| tokio::spawn(calls(target.clone(), Arc::clone(&next_id), n_calls, expected.clone())))
        .collect();
    let mut n_answered = 0;
    for task in tasks {
        n_answered += task.await??;
    }
    if n_answered == n_calls { Ok(()) } else { Err(format!("{n_answered} answers to {n_calls} calls").into()) }
}

async fn calls(target: Target, next_id: Arc<AtomicU64>, n_calls: u64, expected: Option<Arc<str>>) -> Outcome<u64> {
    let mut connection = Connection::open(&target.address).await?;
    let mut n_answered = 0;
    loop {
        let id = next_id.fetch_add(1, Ordering::Relaxed);
        if id > n_calls {
            return Ok(n_answered);
        }
        connection.exchange(&target.request(id)).await?;
        let answer = Answer::read(std::str::from_utf8(&connection.body)?)?;
        if answer.id != id {
            return Err(format!("answer {} to request {id}", answer.id).into());
        }
        answer.result(expected.as_deref())?;
        n_answered += 1;
    }
}

/// Calls `n_calls` times, one after the other, and returns how long each took; every answer must be `expected`.
#[expect(clippy::disallowed_methods, reason = "the machine's time is what is measured")]
pub async fn latencies(target: &Target, n_calls: u64, expected: &str) -> Outcome<Vec<Duration>> {
    let mut connection = Connection::open(&target.address).await?;
    let mut all = Vec::new();
    for id in 1..=n_calls {
        let request = target.request(id);
        let started = Instant::now();
        connection.exchange(&request).await?;
        all.push(started.elapsed());
        Answer::read(std::str::from_utf8(&connection.body)?)?.result(Some(expected))?;
    }
    Ok(all)
}

/// A connection that is kept, with one request at a time.
pub struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Sends a request and reads the answer into `body`; anything but 200 is an error.
    async fn exchange(&mut self, request: &str) -> Outcome<()> {
        match self.answered(request).await? {
            200 => Ok(()),
            status => Err(format!("the server answered {status}").into()),
        }
    }

    /// Sends a request, reads the answer into `body` and returns its status.
    pub async fn answered(&mut self, request: &str) -> Outcome<u16> {
        self.send(request).await?;
        self.read_line().await?;
        let status = self.line.split(' ').nth(1).ok_or("no status in the answer")?.parse()?;
        let mut n_bytes = None;
        loop {
            self.read_line().await?;
            let header = self.line.trim_end();
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                n_bytes = Some(value.trim().parse()?);
            }
        }
        self.body.resize(n_bytes.ok_or("the answer is a stream instead of JSON")?, 0);
        self.stream.read_exact(&mut self.body).await?;
        Ok(status)
    }

    /// Sends a request, reads a stream to its end into the body, without the sizes of its chunks, and returns the
    /// status.
    pub async fn streamed(&mut self, request: &str) -> Outcome<u16> {
        self.send(request).await?;
        self.read_line().await?;
        let status = self.line.split(' ').nth(1).ok_or("no status in the answer")?.parse()?;
        while !self.line.trim_end().is_empty() {
            self.read_line().await?;
        }
        self.body.clear();
        loop {
            self.read_line().await?;
            let n_bytes = usize::from_str_radix(self.line.trim_end(), 16)?;
            let start = self.body.len();
            // With the line's end that follows each chunk, the last one too.
            self.body.resize(start + n_bytes + 2, 0);
            self.stream.read_exact(&mut self.body[start..]).await?;
            self.body.truncate(start + n_bytes);
            if n_bytes == 0 {
                return Ok(status);
            }
        }
    }

    /// What the last answer said.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Sends a request and leaves the answer where it is.
    pub async fn send(&mut self, request: &str) -> Outcome<()> {
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    /// Reads lines of a stream until one has `text`.
    pub async fn read_until(&mut self, text: &str) -> Outcome<()> {
        while !self.line.contains(text) {
            self.read_line().await?;
        }
        Ok(())
    }

    /// Reads everything that comes until the other side closes.
    pub async fn drain(mut self) {
        drop(tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await);
    }

    async fn read_line(&mut self) -> Outcome<()> {
        self.line.clear();
        if self.stream.read_line(&mut self.line).await? == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(())
    }
}
