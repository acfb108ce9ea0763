//! `dipeo run`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Form, FormatArgs};
use super::print::{Output, readable, shortened};
use super::results::described;
use super::{Context, metrics, progress, question};
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::execution_metrics;
use crate::handlers::execution_object::{ExecutionObject, ShownNode};
use crate::handlers::run_diagram::{Extras, Request, Waiting};
use crate::handlers::see_result::{self, Detail};
use crate::handlers::{control_execution, run_diagram};
use crate::limits;

/// Example: dipeo run examples/hello.light.yaml --input name=Ann
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo run examples/hello.light.yaml --input name=Ann")]
pub struct RunArgs {
    /// A file, a name in the workspace, or - for stdin
    pub diagram: String,
    #[command(flatten)]
    pub format: FormatArgs,
    /// JSON file with the diagram's inputs
    #[arg(long, value_name = "FILE", conflicts_with = "input_data")]
    pub inputs: Option<PathBuf>,
    /// The diagram's inputs as JSON
    #[arg(long, value_name = "JSON")]
    pub input_data: Option<String>,
    /// One input; VALUE is JSON if it parses, else text
    #[arg(long = "input", value_name = "NAME=VALUE")]
    pub input: Vec<String>,
    /// Seconds the run may take, 300 unless the diagram says otherwise; pauses do not count
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<f64>,
    /// What the run may spend: usd, tokens, calls, seconds; at the limit it pauses (on_limit=fail ends it)
    #[arg(long, value_name = "NAME=N,…", value_delimiter = ',')]
    pub budget: Vec<String>,
    /// Print the id and return; the run goes on by itself
    #[arg(long)]
    pub background: bool,
    /// Do not ask questions here; the execution pauses and can be answered later
    #[arg(long)]
    pub no_interactive: bool,
    /// Two lines at most: status, result
    #[arg(long)]
    pub simple: bool,
    /// Print where the time went, as `dipeo metrics --breakdown` does
    #[arg(long)]
    pub timing: bool,
    /// Who answers for every person
    #[arg(long, value_name = "WHO")]
    pub models: Option<Models>,
    /// full; mock has no outside effect; debug pauses before breakpoints
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Pause before this node (debug mode)
    #[arg(long = "break", value_name = "NODE")]
    pub breakpoints: Vec<String>,
    /// Template warnings are failures
    #[arg(long)]
    pub strict: bool,
    /// Id of the new execution
    #[arg(long, value_name = "ID", env = "DIPEO_EXECUTION_ID")]
    pub execution_id: Option<String>,
    /// The same key again within 24 h returns the first execution
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Show progress even without a terminal
    #[arg(long, conflicts_with = "no_watch")]
    pub watch: bool,
    /// Show no progress
    #[arg(long)]
    pub no_watch: bool,

    /// Print what models say on stderr while they say it
    #[arg(long, conflicts_with = "watch")]
    pub stream: bool,
}

/// Who answers for every person of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Models {
    Caller,
    Scripted,
}

/// Largest diagram taken from stdin, in bytes.
const STDIN_BYTES_MAX: u64 = limits::DIAGRAM_BYTES_MAX as u64;

/// Runs a diagram and prints its result.
pub async fn run(context: &Context<'_>, args: RunArgs) -> Result<u8, Error> {
    let mut request = Request {
        format_type: args.format.name(),
        input_data: inputs(&args)?,
        timeout: args.timeout,
        budget: budget(&args.budget)?,
        models: args.models.map(|it| if it == Models::Caller { "caller".into() } else { "scripted".into() }),
        idempotency_key: args.idempotency_key.clone(),
        ..Request::default()
    };
    match args.diagram.as_str() {
        "-" => request.content = Some(from_stdin()?),
        path => request.diagram = Some(path.to_owned()),
    }
    let extras = Extras {
        execution_id: args.execution_id.clone(),
        strict: args.strict,
        background: args.background,
        mode: args.mode.clone(),
        breakpoints: args.breakpoints.clone(),
        max_iterations: None,
        unbounded_wait: true,
        listed_as: None,
        task_after: None,
    };
    if args.background {
        return background(context, request, extras).await;
    }
    let no_watch = args.no_watch || args.simple || args.stream;
    let on_progress = progress::progress(context.output, args.watch, no_watch, context.quiet);
    let on_token = args.stream.then(progress::stream);
    let interrupt = Interrupt::listen();
    let waiting = Waiting { cancel: interrupt.token.clone(), on_progress, on_token };
    let mut object = context.run_diagram(request, extras, waiting).await?;
    let may_ask = !args.no_interactive && !context.output.is_json() && question::can_ask();
    while may_ask && object.status == Status::Paused && !object.waiting_for.is_empty() {
        match answer(context, &object).await? {
            Some(next) => object = next,
            None => break,
        }
    }
    if interrupt.happened() && !object.status.has_ended() {
        object = abort(context, &object).await?;
        print(context, &args, &object).await?;
        return Ok(130);
    }
    print(context, &args, &object).await?;
    Ok(exit_code(object.status))
}

/// 0 completed or paused (a paused execution has not failed), 1 failed or aborted.
pub fn exit_code(status: Status) -> u8 {
    u8::from(matches!(status, Status::Failed | Status::Aborted))
}

async fn background(context: &Context<'_>, request: run_diagram::Request, extras: Extras) -> Result<u8, Error> {
    let object = context.run_diagram(request, extras, Waiting::default()).await?;
    let id = &object.execution_id;
    let line = json!({"session_id": id, "execution_id": id, "status": "started"});
    context.output.text(&line.to_string());
    Ok(0)
}

/// Asks the question that waits longest and hands the answer in; `None` at the end of the input.
async fn answer(context: &Context<'_>, object: &ExecutionObject) -> Result<Option<ExecutionObject>, Error> {
    let waiting = &object.waiting_for[0];
    let Some(value) = question::ask(waiting)? else { return Ok(None) };
    let action = if waiting.reason == "budget" { "resume" } else { "answer" };
    let request = control_execution::Request {
        execution_id: object.execution_id.clone(),
        action: action.into(),
        node: Some(waiting.node_id.clone()),
        value: Some(value),
        wait_seconds: Some(limits::WAIT_SECONDS_MAX),
        reason: None,
    };
    match context.control_execution(request).await {
        Ok(next) => settle(context, next).await.map(Some),
        Err(e) if matches!(e.code(), "INVALID_ANSWER" | "INVALID_INPUT") => {
            super::print_error(Output { form: Form::Text, ..context.output }, &e);
            Ok(Some(object.clone()))
        }
        Err(e) => Err(e),
    }
}

/// Waits on while the execution runs.
async fn settle(context: &Context<'_>, mut object: ExecutionObject) -> Result<ExecutionObject, Error> {
    while matches!(object.status, Status::Pending | Status::Running) {
        let request = see_result::Request {
            execution_id: object.execution_id.clone(),
            wait_seconds: Some(limits::WAIT_SECONDS_MAX),
            ..Default::default()
        };
        object = context.see_result(request).await?;
    }
    Ok(object)
}

/// Ends an execution because the person at the terminal said so.
pub(super) async fn abort(context: &Context<'_>, object: &ExecutionObject) -> Result<ExecutionObject, Error> {
    let request = control_execution::Request {
        execution_id: object.execution_id.clone(),
        action: "abort".into(),
        reason: Some("interrupted at the terminal".into()),
        wait_seconds: Some(5),
        ..Default::default()
    };
    context.control_execution(request).await
}

/// Ctrl-C during the run.
pub(super) struct Interrupt {
    pub(super) token: CancellationToken,
}

impl Interrupt {
    /// Hears of it from now on.
    pub(super) fn listen() -> Self {
        let token = CancellationToken::new();
        let signal = token.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                signal.cancel();
            }
        });
        Self { token }
    }

    /// Whether it was pressed.
    pub(super) fn happened(&self) -> bool {
        self.token.is_cancelled()
    }
}

/// Prints what became of the run, in the form that was asked for.
async fn print(context: &Context<'_>, args: &RunArgs, object: &ExecutionObject) -> Result<(), Error> {
    if args.simple && !context.output.is_json() {
        context.output.text(&simple(object));
        return Ok(());
    }
    print_outcome(context, object).await?;
    if args.timing && !context.output.is_json() {
        let request = execution_metrics::Request { execution_id: object.execution_id.clone() };
        let found = context.execution_metrics(request).await?;
        context.output.text(&metrics::breakdown_of(&found).render(context.output.form));
    }
    Ok(())
}

/// Prints what became of a run: its nodes, its result and where to look next.
///
/// # Errors
///
/// What `see_result` says.
pub(super) async fn print_outcome(context: &Context<'_>, object: &ExecutionObject) -> Result<(), Error> {
    let output = context.output;
    if output.is_json() {
        return output.json(object);
    }
    let full = full_view(context, &object.execution_id).await?;
    if output.form == Form::Markdown {
        let nodes = full.nodes.map(|it| it.into_iter().map(|it| ShownNode { output: None, ..it }).collect());
        output.text(&described(&ExecutionObject { nodes, ..object.clone() }).render(output.form));
        return Ok(());
    }
    let mut text = coloured(headline(object), object.status, output);
    for node in full.nodes.iter().flatten().filter(|it| it.iterations > 0) {
        text.push_str(&coloured(node_line(node), node.status, output));
    }
    text.push_str(&body(object));
    output.text(&text);
    for warning in &object.warnings {
        output.note(&format!("warning: {} {}: {}", warning.code, warning.node, warning.message));
    }
    Ok(())
}

/// A line with the word for its status in colour, where that shows.
pub(super) fn coloured(line: String, status: Status, output: Output) -> String {
    line.replacen(&format!(" {}", status.name()), &format!(" {}", output.status(status)), 1)
}

async fn full_view(context: &Context<'_>, id: &str) -> Result<ExecutionObject, Error> {
    let request = see_result::Request {
        execution_id: id.to_owned(),
        detail: Some(Detail::Full),
        max_chars: Some(limits::RESULT_CHARS_MAX),
        ..Default::default()
    };
    context.see_result(request).await
}

/// `exec_… completed in 0.42 s`
pub fn headline(object: &ExecutionObject) -> String {
    let id = &object.execution_id;
    match (object.status, object.duration_ms) {
        (Status::Paused, _) => format!("{id} paused: {}\n", object.pause_reason.as_deref().unwrap_or("operator")),
        (status, Some(ms)) => format!("{id} {} in {}\n", status.name(), seconds(ms)),
        (status, None) => format!("{id} {}\n", status.name()),
    }
}

fn node_line(node: &ShownNode) -> String {
    let times = if node.iterations > 1 { format!(" x{}", node.iterations) } else { String::new() };
    let took = node.duration_ms.map(|it| format!("  {}", seconds(it))).unwrap_or_default();
    let tokens = node.llm_usage.as_ref().map(|it| format!("  {} tokens", it.total_tokens)).unwrap_or_default();
    format!("  {}{times}  {}{took}{tokens}\n", node.label, node.status.name())
}

/// The result, or why there is none, and where to look next.
pub fn body(object: &ExecutionObject) -> String {
    let id = &object.execution_id;
    let mut text = String::new();
    if let Some(error) = &object.error {
        text.push_str(&error_lines(error));
    }
    if let Some(value) = &object.final_output {
        let rest = format!("dipeo results {id} --verbose");
        text.push_str(&format!("result:\n{}\n", shortened(&readable(value), limits::PRINTED_CHARS_MAX, &rest)));
    }
    for waiting in &object.waiting_for {
        text.push_str(&format!("waiting: {} ({}): {}\n", waiting.label, waiting.reason, waiting.prompt));
    }
    text.push_str(&next_step(object));
    text
}

/// The command that goes on from here.
pub(super) fn next_step(object: &ExecutionObject) -> String {
    match &object.next {
        Some(next) => format!("next: {}\n", next.split(", or: ").last().unwrap_or(next)),
        None => format!("next: dipeo results {}\n", object.execution_id),
    }
}

pub(super) fn error_lines(error: &Value) -> String {
    let part = |key: &str| error.get(key).and_then(Value::as_str);
    let mut text = format!("error: {} {}\n", part("code").unwrap_or("FAILED"), part("message").unwrap_or_default());
    if let Some(node) = part("node") {
        text.push_str(&format!("node: {node}\n"));
    }
    if let Some(hint) = part("hint") {
        text.push_str(&format!("hint: {hint}\n"));
    }
    text
}

/// Two lines at most: status, result.
fn simple(object: &ExecutionObject) -> String {
    if let Some(error) = &object.error {
        let part = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        return format!("{}: {} {}", object.status.name(), part("code"), part("message"));
    }
    let status = match &object.pause_reason {
        Some(reason) => format!("paused: {reason}"),
        None => object.status.name().to_owned(),
    };
    match &object.final_output {
        Some(Value::String(text)) => format!("{status}\n{text}"),
        Some(value) => format!("{status}\n{value}"),
        None => status,
    }
}

/// `0.42 s`
pub(super) fn seconds(ms: i64) -> String {
    format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10)
}

/// Reads `usd=0.05` … as a budget; a number that is none is left to the handler.
fn budget(pairs: &[String]) -> Result<Option<Map<String, Value>>, Error> {
    let mut budget = Map::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Error::invalid("INVALID_INPUT", format!("`{pair}` is no part of a budget"))
                .hint("write --budget usd=0.05,tokens=10000"));
        };
        budget.insert(name.trim().to_owned(), question::value_of(value.trim(), true));
    }
    Ok((!budget.is_empty()).then_some(budget))
}

/// Puts the inputs together: a file or JSON text, then single `NAME=VALUE`s over it.
fn inputs(args: &RunArgs) -> Result<Option<Map<String, Value>>, Error> {
    let text = match (&args.inputs, &args.input_data) {
        (Some(path), _) => Some(std::fs::read_to_string(path).map_err(|e| {
            Error::not_found("FILE_NOT_FOUND", format!("cannot read `{}`: {}", path.display(), e.kind()))
                .hint("give a JSON file with `--inputs`")
        })?),
        (None, Some(text)) => Some(text.clone()),
        (None, None) => None,
    };
    let mut map = match text {
        None => Map::new(),
        Some(text) => match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(map)) => map,
            Ok(_) => {
                return Err(
                    Error::invalid("INVALID_JSON", "the inputs are no JSON object").hint("write {\"name\": \"value\"}")
                );
            }
            Err(e) => {
                return Err(Error::invalid("INVALID_JSON", format!("the inputs are no JSON: {e}"))
                    .hint("write {\"name\": \"value\"}"));
            }
        },
    };
    for pair in &args.input {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(
                Error::invalid("INVALID_INPUT", format!("`{pair}` is no NAME=VALUE")).hint("write --input name=value")
            );
        };
        map.insert(name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned())));
    }
    Ok((!map.is_empty()).then_some(map))
}

/// Reads a whole diagram from stdin, bounded.
pub fn from_stdin() -> Result<String, Error> {
    use std::io::Read;
    let mut text = String::new();
    let failed = |e: std::io::Error| {
        Error::invalid("INVALID_FORMAT", format!("cannot read the diagram from stdin: {}", e.kind()))
            .hint("pipe UTF-8 text in")
    };
    std::io::stdin().lock().take(STDIN_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > STDIN_BYTES_MAX {
        return Err(Error::limit("TOO_LARGE", format!("the diagram on stdin has more than {STDIN_BYTES_MAX} bytes"))
            .hint("keep data in files that nodes read"));
    }
    Ok(text)
}
