//! MCP clients that see every byte: raw JSON lines on stdio, raw requests over HTTP. And one that sees none:
//! the client library other programs use.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use rmcp::ServiceExt;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::Workspace;

/// Longest wait for anything; only a broken server reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a modern client puts into each request.
pub fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
    })
}

/// A JSON-RPC request of a modern client.
pub fn modern(id: u64, method: &str, mut params: Value) -> Value {
    let mut meta = modern_meta();
    if let Some(own) = params.get("_meta").and_then(Value::as_object).cloned() {
        meta.as_object_mut().expect("an object").extend(own);
    }
    params["_meta"] = meta;
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The parameters of a tool call.
pub fn call(tool: &str, arguments: Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

fn lines_of(source: impl std::io::Read + Send + 'static) -> Receiver<String> {
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

/// `dipeo mcp` with a hand on its input and output.
pub struct StdioClient {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    next_id: u64,
    /// Notifications that came while an answer was waited for.
    pub notifications: Vec<Value>,
}

impl StdioClient {
    /// Starts the server in `workspace`.
    pub fn start(workspace: &Workspace) -> Self {
        Self::start_with(workspace, &[])
    }

    /// Starts the server with more variables.
    pub fn start_with(workspace: &Workspace, variables: &[(&str, &str)]) -> Self {
        let mut command = workspace.command();
        command.envs(variables.iter().copied());
        command.arg("mcp").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let input = child.stdin.take();
        let output = lines_of(child.stdout.take().expect("a pipe"));
        Self { child, input, output, next_id: 1, notifications: Vec::new() }
    }

    /// Writes one line as it is.
    pub fn write(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        writeln!(input, "{line}").expect("the server reads");
    }

    /// Reads the next message; everything on standard output must be one.
    pub fn read(&mut self) -> Value {
        let line = self.output.recv_timeout(PATIENCE).expect("the server answers");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON on standard output: {line}"))
    }

    /// Waits for the answer to request `id`.
    pub fn answer_to(&mut self, id: u64) -> Value {
        loop {
            let message = self.read();
            if message.get("method").is_some() {
                self.notifications.push(message);
            } else {
                assert_eq!(message["id"], json!(id), "an answer nobody asked for: {message}");
                return message;
            }
        }
    }

    /// Sends a request of a modern client and returns its id.
    pub fn send(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&modern(id, method, params).to_string());
        id
    }

    /// Sends a request of a modern client and returns the whole answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.answer_to(id)
    }

    /// Calls a tool and returns its result.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", call(tool, arguments));
        assert!(answer.get("error").is_none(), "{tool}: {answer}");
        answer["result"].clone()
    }

    /// The most memory the server has used so far, in bytes; `None` where the system does not tell.
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        peak_memory_bytes(&self.child)
    }

    /// Closes the input and returns how the process ended, how long that took, and what it still wrote.
    pub fn finish(mut self) -> (ExitStatus, Duration, Vec<Value>) {
        drop(self.input.take());
        let closed_at = Instant::now();
        let mut rest = Vec::new();
        // The output ends when the process has ended.
        while let Ok(line) = self.output.recv_timeout(PATIENCE) {
            rest.push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON on standard output: {line}")));
        }
        let status = self.child.wait().expect("the process ends");
        (status, closed_at.elapsed(), rest)
    }
}

impl Drop for StdioClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `dipeo serve` on a port the system chose.
pub struct HttpServer {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub url: String,
    client: reqwest::Client,
}

impl HttpServer {
    /// Starts the server in `workspace`.
    pub fn start(workspace: &Workspace) -> Self {
        Self::start_with(workspace, &[], &[])
    }

    /// Starts the server with more arguments and variables.
    pub fn start_with(workspace: &Workspace, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = workspace.command();
        command.args(["serve", "--port", "0"]).args(arguments).envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let log = lines_of(child.stderr.take().expect("a pipe"));
        let url = loop {
            let line = log.recv_timeout(PATIENCE).expect("the server says where it listens");
            if let Some(rest) = line.split("http://").nth(1) {
                break format!("http://{}", rest.split(['/', ' ']).next().unwrap_or_default());
            }
        };
        // The log is read to its end, so that the server never waits for space in the pipe.
        std::thread::spawn(move || while log.recv().is_ok() {});
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { child, url, client: reqwest::Client::builder().timeout(PATIENCE).build().expect("a client") }
    }

    /// A request to `path`.
    pub fn http(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Posts `message` with the headers a modern client sends.
    pub async fn post(&self, path: &str, message: &Value) -> Response {
        self.prepared(path, message).send().await.expect("the server answers")
    }

    /// What [`HttpServer::post`] sends.
    pub fn prepared(&self, path: &str, message: &Value) -> RequestBuilder {
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        let mut request = self
            .http(Method::POST, path)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method)
            .json(message);
        let params = &message["params"];
        if let Some(name) = params.get("name").or(params.get("uri")).or(params.get("taskId")).and_then(Value::as_str) {
            request = request.header("mcp-name", name);
        }
        request
    }

    /// Sends a modern request to `/mcp` and returns the JSON-RPC answer.
    pub async fn request(&self, method: &str, params: Value) -> Value {
        let response = self.post("/mcp", &modern(1, method, params)).await;
        response.json().await.expect("JSON")
    }

    /// Calls a tool and returns its result.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", call(tool, arguments)).await;
        assert!(answer.get("error").is_none(), "{tool}: {answer}");
        answer["result"].clone()
    }

    /// The most memory the server has used so far, in bytes; `None` where the system does not tell.
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        peak_memory_bytes(&self.child)
    }

    /// Asks the process to stop and returns how it ended and how long that took.
    pub fn stop(mut self) -> (ExitStatus, Duration) {
        let asked_at = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("the process is there");
        let status = self.child.wait().expect("the process ends");
        (status, asked_at.elapsed())
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of the library, on either transport.
pub struct LibraryClient {
    service: RunningService<RoleClient, ()>,
}

impl LibraryClient {
    /// Starts `dipeo mcp` in `workspace` and shakes hands.
    pub async fn stdio(workspace: &Workspace) -> Self {
        let mut command = workspace.command();
        command.arg("mcp");
        let child = TokioChildProcess::builder(tokio::process::Command::from(command)).stderr(Stdio::null());
        let (transport, _) = child.spawn().expect("the program starts");
        Self { service: ().serve(transport).await.expect("a handshake") }
    }

    /// Connects to a running server and shakes hands.
    pub async fn http(server: &HttpServer) -> Self {
        let transport = StreamableHttpClientTransport::from_uri(format!("{}/mcp", server.url));
        Self { service: ().serve(transport).await.expect("a handshake") }
    }

    /// Calls a tool and returns its result.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        let arguments = arguments.as_object().cloned().expect("an object");
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let called = tokio::time::timeout(PATIENCE, self.service.call_tool(params)).await.expect("in time");
        serde_json::to_value(called.expect("a result")).expect("JSON")
    }
}

/// The most memory a process has used so far, in bytes; `None` where the system does not tell.
fn peak_memory_bytes(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024)
}

/// The messages of an SSE body.
pub fn events(body: &str) -> Vec<Value> {
    body.lines()
        .filter_map(|it| it.strip_prefix("data:"))
        .filter_map(|it| serde_json::from_str(it.trim()).ok())
        .collect()
}

/// A diagram that answers without a model or a file.
pub const HELLO: &str = "\
version: light
nodes:
- {label: start, type: start, custom_data: {name: world}}
- {label: compose, type: code_job, code: \"result = 'Hello, ' + name + '!'\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: compose}
- {from: compose, to: end}
";

/// A diagram that computes until its time is up.
pub const ENDLESS: &str = "\
version: light
nodes:
- {label: start, type: start}
- {label: spin, type: code_job, code: \"while True:\\n    pass\"}
- {label: end, type: endpoint}
connections:
- {from: start, to: spin}
- {from: spin, to: end}
";

/// A diagram whose person is whoever called.
pub const ASKS_CALLER: &str = "\
version: light
persons:
  Guest: {service: caller}
nodes:
- {label: start, type: start, custom_data: {topic: tea}}
- {label: ask, type: person_job, person: Guest, default_prompt: \"Best {{topic}}?\", max_iteration: 1}
- {label: end, type: endpoint}
connections:
- {from: start, to: ask}
- {from: ask, to: end}
";
