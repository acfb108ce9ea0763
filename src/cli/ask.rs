//! `dipeo ask`.

use std::io::{BufRead, Write};

use clap::Args;
use serde_json::Value;

use super::args::Command;
use super::parse::parse;
use super::{Context, question, run};
use crate::error::Error;
use crate::handlers::ask_diagram::{Request, Response, ask_diagram};
use crate::handlers::execution_object::Waiting;

/// Example: dipeo ask "summarise a text file in three sentences"
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo ask \"summarise a text file in three sentences\"")]
pub struct AskArgs {
    /// What the diagram is to do
    #[arg(required_unless_present = "to")]
    pub text: Option<String>,
    /// The same, as the guide has it
    #[arg(long, value_name = "TEXT", conflicts_with = "text")]
    pub to: Option<String>,
    /// File of the workspace to write (default: projects/generated/<first words>.light.yaml)
    #[arg(long, value_name = "FILE")]
    pub out: Option<String>,
    /// Run it at once, with the rights of a text that a client sent
    #[arg(long)]
    pub and_run: bool,
    /// Seconds one draft may take (90)
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<f64>,
    /// Seconds the run may take
    #[arg(long, value_name = "SECONDS", requires = "and_run")]
    pub run_timeout: Option<f64>,
    /// Who writes: openai, anthropic, gemini, ollama, or caller (you)
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// The model that writes
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
}

/// Has a diagram written, and runs it when asked to.
pub async fn ask(context: &Context<'_>, args: AskArgs) -> Result<u8, Error> {
    let request = Request {
        text: args.text.or(args.to).unwrap_or_default(),
        service: args.service,
        model: args.model,
        out: args.out,
        timeout: args.timeout,
    };
    let response = ask_diagram(context.app, &context.caller, request, &mut answer).await?;
    if !args.and_run {
        return print(context, &response).map(|()| 0);
    }
    // With --json stdout carries one document: that of the run.
    if !context.output.is_json() {
        print(context, &response)?;
    }
    let path = context.app.config.workspace.join(&response.path).into_os_string();
    let timeout = args.run_timeout.map(|it| ["--timeout".into(), it.to_string().into()]);
    let line = ["dipeo".into(), "run".into(), path].into_iter().chain(timeout.into_iter().flatten());
    match parse(line)?.command {
        Some(Command::Run(args)) => run::run(context, args).await,
        _ => Err(Error::internal("`dipeo run` was not understood")),
    }
}

fn print(context: &Context<'_>, response: &Response) -> Result<(), Error> {
    let nodes: String = response.nodes.iter().map(|it| format!("  {} ({})\n", it.label, it.kind)).collect();
    context.output.plain(response, "a new diagram", |it| format!("{}\n{nodes}", it.path))?;
    if context.output.is_json() {
        return Ok(());
    }
    context
        .output
        .note(&format!("a model wrote it: it runs with a client's rights until `dipeo trust {}`", response.diagram));
    Ok(())
}

/// Shows what the author is told and reads a diagram of several lines.
fn answer(waiting: &Waiting) -> Result<Option<Value>, Error> {
    if !question::can_ask() {
        return Ok(None);
    }
    let mut stderr = std::io::stderr().lock();
    // If the prompt cannot be shown, reading the answer will fail too and say so.
    let _ = writeln!(stderr, "{}\n(write the diagram; a line with a single dot ends it)", waiting.prompt);
    let _ = stderr.flush();
    let mut text = String::new();
    for line in std::io::stdin().lock().lines() {
        let line =
            line.map_err(|e| Error::external("FILE_FAILED", "cannot read the answer from the terminal").source(e))?;
        if line.trim() == "." {
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    Ok((!text.trim().is_empty()).then_some(Value::String(text)))
}
