//! Thousands of wrong requests on both transports: each is answered or refused, a good client is served all the
//! while, nothing panics, and memory does not grow. `DIPEO_TEST_CASES` sets how many requests there are.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dipeo::config::Environment;
use serde_json::{Value, json};

use crate::harness::workspace;
use crate::malformed::{Frame, HeadChange, frames, heads, sample};
use crate::mcp_client::modern;

/// Longest wait for anything; only a broken server reaches it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most that a server may grow after the first third of the requests, in bytes. Its allocator keeps what many
/// threads have once needed at the same time; a leak of a few kilobytes for each request is more than this.
const GROWTH_BYTES_MAX: u64 = 48 * 1024 * 1024;
/// Wrong requests between two good ones.
const BATCH: usize = 40;

fn n_cases(default: usize) -> usize {
    Environment::of_process().get("DIPEO_TEST_CASES").and_then(|it| it.parse().ok()).unwrap_or(default)
}

/// A server whose log is kept.
struct Server {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, kept) = (child.stderr.take().expect("a pipe"), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                kept.lock().expect("no panic here").push_str(&(line + "\n"));
            }
        });
        Self { child, log }
    }

    /// Memory in use, in bytes; `None` where the system does not tell.
    fn memory_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024)
    }

    fn check_log(&self) {
        let log = self.log.lock().expect("no panic here");
        assert!(!log.contains("panicked"), "{log}");
    }

    fn check_growth(&self, warm: Option<u64>) {
        if let (Some(before), Some(after)) = (warm, self.memory_bytes()) {
            let grown = after.saturating_sub(before);
            assert!(grown <= GROWTH_BYTES_MAX, "grew by {grown} bytes from {before}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// --- stdio -------------------------------------------------------------------------------------------------

#[test]
fn a_modern_client_on_stdio_is_served_among_wrong_lines() {
    let tools_list = |id: &str| {
        let mut message = modern(0, "tools/list", json!({}));
        message["id"] = id.into();
        message
    };
    on_stdio(&frames_of(true), &tools_list("first"), tools_list);
}

#[test]
fn a_client_with_a_session_on_stdio_is_served_among_wrong_lines() {
    let params =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}});
    let opening = json!({"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": params});
    on_stdio(&frames_of(false), &opening, |id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}));
}

fn frames_of(is_modern: bool) -> Vec<Frame> {
    sample(n_cases(1_000), frames(is_modern))
}

fn on_stdio(frames: &[Frame], opening: &Value, good: impl Fn(&str) -> Value) {
    let workspace = workspace();
    let mut command = workspace.command();
    let mut server = Server::start(command.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut input = server.child.stdin.take().expect("a pipe");
    let lines = lines_of(server.child.stdout.take().expect("a pipe"));
    writeln!(input, "{opening}").expect("the server reads");
    read_until_answered(&lines, VecDeque::from([(json!("first"), opening.to_string())]));
    let mut warm = None;
    for (n, batch) in frames.chunks(BATCH).enumerate() {
        if n == frames.len() / BATCH / 3 {
            warm = server.memory_bytes();
        }
        let mut expected = VecDeque::new();
        let mut bytes = Vec::new();
        for frame in batch {
            // A stream that is listened to stays open.
            if let Some(id) = frame.id().filter(|_| frame.asks_for().as_deref() != Some("subscriptions/listen")) {
                expected.push_back((id, frame.shown()));
            }
            bytes.extend_from_slice(&frame.bytes);
            bytes.push(b'\n');
        }
        let id = format!("good {n}");
        bytes.extend_from_slice(format!("{}\n", good(&id)).as_bytes());
        expected.push_back((json!(id), "a good request".into()));
        input.write_all(&bytes).expect("the server reads");
        read_until_answered(&lines, expected);
    }
    server.check_growth(warm);
    drop(input);
    assert!(server.child.wait().expect("it ends").success());
    server.check_log();
}

fn lines_of(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Reads until each of `expected` has its answer; the good one must be a result.
fn read_until_answered(lines: &Receiver<String>, mut expected: VecDeque<(Value, String)>) {
    while let Some(next) = expected.front() {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|it| panic!("{it}: no answer to {next:?}"));
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        if message.get("method").is_some() {
            continue;
        }
        assert!(message.get("result").is_some() != message.get("error").is_some(), "{line}");
        let Some(at) = expected.iter().position(|(id, _)| *id == message["id"]) else { continue };
        let (_, request) = expected.remove(at).expect("it is there");
        assert!(request != "a good request" || message.get("result").is_some(), "{line}");
    }
}

// --- HTTP --------------------------------------------------------------------------------------------------

#[test]
fn a_client_over_http_is_served_among_wrong_requests() {
    let workspace = workspace();
    let mut command = workspace.command();
    let server = Server::start(command.args(["serve", "--port", "0"]).stdin(Stdio::null()).stdout(Stdio::null()));
    let address = address_of(&server);
    let n = n_cases(750);
    let wrong: Vec<(Frame, _)> = sample(n, frames(true))
        .into_iter()
        .zip(sample(n, heads()))
        .chain(sample(n / 3, frames(false)).into_iter().zip(sample(n / 3, heads())))
        .collect();
    let mut warm = None;
    for (n, batch) in wrong.chunks(BATCH).enumerate() {
        if n == wrong.len() / BATCH / 3 {
            warm = server.memory_bytes();
        }
        for (frame, (verb, path, changes)) in batch {
            let (bytes, is_cut) = request(frame, verb, path, changes, &address);
            let answer = exchange(&address, &bytes, is_cut);
            check_answer(&answer, verb, frame, changes);
        }
        let good = Frame {
            bytes: modern(1, "tools/list", json!({})).to_string().into_bytes(),
            method: "tools/list".into(),
            name: None,
        };
        let (bytes, _) = request(&good, "POST", "/mcp", &[], &address);
        let answer = String::from_utf8(exchange(&address, &bytes, false)).expect("text");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("dipeo_run"), "{answer}");
    }
    server.check_growth(warm);
    server.check_log();
}

fn address_of(server: &Server) -> String {
    let started = tokio::time::Instant::now();
    loop {
        if let Some((_, rest)) = server.log.lock().expect("no panic here").split_once("http://") {
            return rest.split('/').next().unwrap_or_default().to_owned();
        }
        assert!(started.elapsed() < PATIENCE, "the server does not say where it listens");
        std::thread::yield_now();
    }
}

/// The bytes of a request, and whether its end cannot be told from its head, so that it has to be shown.
fn request(frame: &Frame, verb: &str, path: &str, changes: &[HeadChange], address: &str) -> (Vec<u8>, bool) {
    let mut headers: Vec<(&str, Vec<u8>)> = vec![
        ("host", address.into()),
        ("accept", "application/json, text/event-stream".into()),
        ("content-type", "application/json".into()),
        ("mcp-protocol-version", "2026-07-28".into()),
        ("mcp-method", frame.method.clone().into()),
        ("content-length", frame.bytes.len().to_string().into()),
    ];
    headers.extend(frame.name.clone().map(|it| ("mcp-name", it.into_bytes())));
    let mut is_cut = false;
    for change in changes {
        match change {
            HeadChange::Drop(name) => headers.retain(|(it, _)| it != name),
            HeadChange::Add(name, value) => headers.push((name, value.clone())),
            HeadChange::Set(name, value) => {
                headers.retain(|(it, _)| it != name);
                headers.push((name, value.clone()));
            }
        }
        let (HeadChange::Drop(name) | HeadChange::Add(name, _) | HeadChange::Set(name, _)) = change;
        is_cut |= ["content-length", "transfer-encoding", "expect"].contains(name);
    }
    let mut bytes = format!("{verb} {path} HTTP/1.1\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: ").as_bytes());
        // A line break would make it another header.
        bytes.extend(value.iter().filter(|it| !b"\r\n".contains(it)));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    bytes.extend_from_slice(&frame.bytes);
    (bytes, is_cut)
}

/// Sends a request and reads the answer to its end; of a stream until it has said something.
fn exchange(address: &str, request: &[u8], is_cut: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the server takes connections");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // A server may refuse before it has read everything.
    let is_sent = stream.write_all(request).is_ok();
    if is_cut && is_sent {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return answer,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answer,
            // A signal of the system, not of the server.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => panic!("{error}: no answer to {}", String::from_utf8_lossy(request)),
        }
        let text = String::from_utf8_lossy(&answer);
        let is_stream = text.contains("content-type: text/event-stream");
        let says_something = text.contains("data: {") || request.starts_with(b"GET");
        if is_stream && says_something {
            return answer;
        }
    }
}

fn check_answer(answer: &[u8], verb: &str, frame: &Frame, changes: &[HeadChange]) {
    let context = || format!("{verb} {changes:?} {}", frame.shown());
    // Closing the connection is an answer too, to what is no HTTP.
    if answer.is_empty() {
        assert!(!changes.is_empty(), "no answer to {}", context());
        return;
    }
    let text = String::from_utf8_lossy(answer);
    let text = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
    if text.is_empty() {
        // It was told to go on and sent less than it had announced.
        return;
    }
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status: u16 = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    assert!((200..500).contains(&status), "{head} to {}", context());
    if head.contains("content-type: application/json") && !body.is_empty() {
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {body} to {}", context()));
        assert!(body.is_object(), "{body}");
    }
}
