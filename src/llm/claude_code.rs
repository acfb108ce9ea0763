//! The program `claude` (Claude Code) as a model: started for each call, given the conversation on its
//! standard input, read line by line, and killed with everything it started when nobody waits any more.
//! It may use its own tools, so it needs the right to run programs of the host.

use std::io;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::anthropic;
use super::draft::Draft;
use super::parts::{images, system_text, text};
use super::schema::{self, Sent};
use super::settings::ClaudeSettings;
use crate::diagram::Service;
use crate::error::Error;
use crate::limits;
use crate::nodes::ports::models::{Cost, ModelTool, ToolCall};
use crate::nodes::ports::{ModelReply, ModelRequest};

/// What stands before the earlier part of a conversation.
const TRANSCRIPT: &str = include_str!("../../resources/prompts/transcript.md");
/// Rounds of tools in one call (diagrams.md 3.14).
const ROUNDS_MAX: &str = "16";
/// What is kept of the program's complaints and of what its tools gave back, in characters.
const EXCERPT_CHARS_MAX: usize = 600;
/// Variables that are not the program's to know; the last two would make it think that it runs in itself.
const WITHHELD: [&str; 8] = [
    "OPENAI_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "DIPEO_TOKEN",
    "JWT_SECRET",
    "JWT_SECRET_KEY",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
];

/// Asks the program and returns what it said.
///
/// # Errors
///
/// `TRUST_REQUIRED` without the right to run programs, `NO_MODEL` when it is not installed, `LLM_FAILED`.
pub(super) async fn call(settings: &ClaudeSettings, request: &ModelRequest) -> Result<ModelReply, Error> {
    require_right(request)?;
    let schema = schema::sent(request, super::endpoint::Dialect::default(), |_| None);
    let words = if let Sent::Words(text) = &schema { Some(text.as_str()) } else { None };
    let system = system_text(request, words);
    let mut program =
        Program::start(&mut command(settings, request, &system)).map_err(|it| not_started(request, it))?;
    let mut reading = Reading { draft: Draft::new(request.sink.clone()), ..Reading::default() };
    let outcome = program.talk(input(request), &mut reading).await;
    let noise = program.end().await;
    outcome.map_err(|it| failed("broke off", &noise).source(it).retryable(true))?;
    let mut reply = reading.into_reply(request, &noise)?;
    if request.temperature.is_some() {
        reply.warnings.push("`temperature` has no effect on `claude-code`".to_owned());
    }
    Ok(reply)
}

fn require_right(request: &ModelRequest) -> Result<(), Error> {
    let rights = &request.rights;
    if rights.host_code {
        return Ok(());
    }
    let (person, origin) = (&request.person.label, rights.origin.name());
    let message = format!("person `{person}` may not start the program `claude` in a {origin} diagram");
    Err(Error::refused("TRUST_REQUIRED", message).hint(
        "let a person allow it with `dipeo trust NAME`, or for the workspace with `policy.workspace.host_code = true`",
    ))
}

fn command(settings: &ClaudeSettings, request: &ModelRequest, system: &str) -> Command {
    let mut command = Command::new(&settings.program);
    command.args(["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"]);
    command.args(["--include-partial-messages", "--max-turns", ROUNDS_MAX]);
    // `claude-code` itself is what existing files write for "the program's own model".
    let model = request.person.model.as_deref().map(str::trim);
    if let Some(model) = model.filter(|it| !it.is_empty() && !it.starts_with("claude-code")) {
        command.args(["--model", model]);
    }
    if !system.is_empty() {
        let is_custom = request.service == Service::ClaudeCodeCustom;
        command.args([if is_custom { "--system-prompt" } else { "--append-system-prompt" }, system]);
    }
    if request.tools.contains(&ModelTool::WebSearch) {
        command.args(["--allowedTools", "WebSearch"]);
    }
    if let Some(max_tokens) = request.max_tokens {
        command.env("CLAUDE_CODE_MAX_OUTPUT_TOKENS", max_tokens.to_string());
    }
    for name in WITHHELD {
        command.env_remove(name);
    }
    command.current_dir(&settings.folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    command
}

/// One message of a user with everything that was said.
fn input(request: &ModelRequest) -> Vec<u8> {
    let said: Vec<_> = request.messages.iter().filter(|it| it.role != "system").collect();
    let mut content = Vec::new();
    for message in &said {
        content.extend(images(request, message).map(|(image, base64)| {
            json!({"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": base64}})
        }));
    }
    let text = match said.as_slice() {
        [] => String::new(),
        [only] => only.content.clone(),
        [earlier @ .., last] => {
            let lines = earlier
                .iter()
                .map(|it| format!("{}: {}", if it.role == "assistant" { "you" } else { "user" }, it.content));
            format!("{TRANSCRIPT}{}\n\n---\n\n{}", lines.collect::<Vec<_>>().join("\n\n"), last.content)
        }
    };
    content.push(json!({"type": "text", "text": text}));
    format!("{}\n", json!({"type": "user", "message": {"role": "user", "content": content}})).into_bytes()
}

/// The running program. Dropping it kills its whole process group.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    noise: ChildStderr,
}

impl Program {
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let no_pipe = || io::Error::other("the program has no pipe");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or_else(no_pipe)?);
        let noise = child.stderr.take().ok_or_else(no_pipe)?;
        Ok(Self { child, input, output, noise })
    }

    /// Writes `input` and reads lines until the result is there. Both at once: neither side may wait.
    async fn talk(&mut self, input: Vec<u8>, reading: &mut Reading) -> io::Result<()> {
        let mut pipe = self.input.take();
        let output = &mut self.output;
        let writing = async {
            if let Some(mut pipe) = pipe.take() {
                // A program that ends early says why on its other pipes.
                let _ = pipe.write_all(&input).await;
            }
        };
        let reading = async {
            let mut n_bytes = 0;
            let mut line = Vec::new();
            while !reading.is_done {
                line.clear();
                let room = limits::MODEL_REPLY_BYTES_MAX.saturating_sub(n_bytes) as u64;
                let n_read = (&mut *output).take(room).read_until(b'\n', &mut line).await?;
                if n_read == 0 {
                    break;
                }
                n_bytes += n_read;
                // Whatever else a program prints on its output is no event.
                if let Ok(event) = serde_json::from_slice::<Value>(&line) {
                    reading.take(&event);
                }
            }
            Ok(())
        };
        tokio::join!(writing, reading).1
    }

    /// Ends the program and returns what it complained about.
    async fn end(mut self) -> String {
        kill_group(&mut self.child);
        let mut noise = Vec::new();
        let _ = (&mut self.noise).take(EXCERPT_CHARS_MAX as u64 * 4).read_to_end(&mut noise).await;
        String::from_utf8_lossy(&noise).trim().chars().take(EXCERPT_CHARS_MAX).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        kill_group(&mut self.child);
    }
}

fn kill_group(child: &mut Child) {
    let group = child.id().and_then(|it| i32::try_from(it).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // The group may have ended by itself a moment ago.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// What the program has said so far.
#[derive(Default)]
struct Reading {
    draft: Draft,
    cost: Cost,
    /// Why it failed, in its own words.
    failure: Option<String>,
    is_done: bool,
}

impl Reading {
    /// Takes one line: an event of the model's stream, a message, or the result at the end.
    fn take(&mut self, event: &Value) {
        match event.get("type").and_then(Value::as_str) {
            Some("stream_event") => self.draft.say(text(event, "/event/delta/text").unwrap_or_default()),
            Some("assistant") => {
                if let Some(model) = text(event, "/message/model").filter(|it| !it.starts_with('<')) {
                    self.draft.model = Some(model.to_owned());
                }
                blocks(event).filter(|it| text(it, "/type") == Some("tool_use")).for_each(|it| self.tool_use(it));
            }
            Some("user") => {
                blocks(event).filter(|it| text(it, "/type") == Some("tool_result")).for_each(|it| self.tool_result(it));
            }
            Some("result") => self.result(event),
            _ => {}
        }
    }

    fn tool_use(&mut self, block: &Value) {
        self.draft.tool_calls.push(ToolCall {
            call_id: text(block, "/id").unwrap_or_default().to_owned(),
            tool: text(block, "/name").unwrap_or_default().to_owned(),
            arguments: block.get("input").cloned().unwrap_or_default(),
            output: Value::Null,
            is_error: false,
        });
    }

    fn tool_result(&mut self, block: &Value) {
        let id = text(block, "/tool_use_id").unwrap_or_default();
        let Some(call) = self.draft.tool_calls.iter_mut().find(|it| it.call_id == id) else { return };
        let content = block.get("content").unwrap_or(&Value::Null);
        let shown = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
        call.output = shown.chars().take(EXCERPT_CHARS_MAX).collect::<String>().into();
        call.is_error = block.get("is_error") == Some(&Value::Bool(true));
    }

    fn result(&mut self, event: &Value) {
        self.is_done = true;
        let is_error = event.get("is_error") == Some(&Value::Bool(true));
        let said = text(event, "/result").unwrap_or_default();
        let subtype = text(event, "/subtype").unwrap_or_default();
        if is_error || subtype.starts_with("error") {
            self.failure = Some(if said.is_empty() { subtype.to_owned() } else { said.to_owned() });
            return;
        }
        self.draft.text = said.to_owned();
        self.draft.usage = event.get("usage").map(anthropic::usage_of).unwrap_or_default();
        self.draft.complete(Some(text(event, "/stop_reason").unwrap_or("stop")));
        self.cost = event.get("total_cost_usd").and_then(Value::as_f64).map_or(Cost::Unpriced, Cost::Usd);
    }

    fn into_reply(self, request: &ModelRequest, noise: &str) -> Result<ModelReply, Error> {
        if let Some(failure) = &self.failure {
            return Err(refused(failure));
        }
        if !self.draft.is_complete {
            return Err(failed("ended before it had answered", noise).retryable(true));
        }
        if self.draft.text.trim().is_empty() {
            return Err(failed("answered without any text", noise).retryable(true));
        }
        let draft = self.draft;
        Ok(ModelReply {
            text: draft.text,
            model: draft.model.or_else(|| request.person.model.clone()),
            usage: draft.usage,
            cost: self.cost,
            finish_reason: draft.finish_reason,
            tool_calls: draft.tool_calls,
            ..ModelReply::default()
        })
    }
}

fn blocks(event: &Value) -> impl Iterator<Item = &Value> {
    event.pointer("/message/content").and_then(Value::as_array).into_iter().flatten()
}

fn failed(what: &str, noise: &str) -> Error {
    Error::external("LLM_FAILED", format!("the program `claude` {what}"))
        .hint("run `claude -p hello` to see whether it works here")
        .details(json!({"stderr": noise}))
}

/// A failure that the program itself reports.
fn refused(failure: &str) -> Error {
    let words = failure.to_lowercase();
    let speaks_of = |texts: &[&str]| texts.iter().any(|it| words.contains(it));
    let shown: String = failure.chars().take(EXCERPT_CHARS_MAX).collect();
    let error =
        Error::external("LLM_FAILED", "the program `claude` reports a failure").details(json!({"result": shown}));
    if speaks_of(&["/login", "api key", "authentication"]) {
        return error.hint("run `claude` once and log in");
    }
    if speaks_of(&["max_turns", "prompt is too long"]) {
        return error.hint("give it a smaller task, or remember less with `memorize_to` and `at_most`");
    }
    let is_passing = speaks_of(&["overloaded", "rate limit", "rate_limit", "429", "500", "529", "timed out"]);
    error.hint("see what it says in the details").retryable(is_passing)
}

fn not_started(request: &ModelRequest, problem: io::Error) -> Error {
    let person = &request.person.label;
    if problem.kind() == io::ErrorKind::NotFound {
        return Error::external(
            "NO_MODEL",
            format!("person `{person}` uses `claude-code`, and `claude` is not installed"),
        )
        .hint("install Claude Code, or run with `models: caller`, which needs no model")
        .source(problem);
    }
    Error::external("NO_MODEL", format!("person `{person}` uses `claude-code`, and `claude` cannot be started"))
        .hint("run `claude -p hello` to see whether it works here")
        .source(problem)
}
