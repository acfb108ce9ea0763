//! The command line: translates arguments, calls a handler, prints. Results go to stdout, everything else
//! to stderr; with `--json` stdout carries exactly one JSON document, also on failure (surface.md 2).
//!
//! Exit codes: 0 fine, 1 the execution failed or was aborted, 2 invalid or refused, 3 not found, 4 conflict,
//! 5 limit, 6 something outside failed, 70 a bug, 130 interrupted.

mod args;
mod ask;
mod asked;
mod compile;
mod completions;
mod config;
mod control;
mod convert;
mod diff;
mod dipeocc;
mod doctor;
mod edit;
mod events;
mod export;
mod fork;
mod history;
mod integrations;
mod list;
mod log;
mod maintenance;
mod mcp;
mod metrics;
mod monitor;
mod page;
mod parse;
mod print;
mod progress;
mod question;
mod replay;
mod results;
mod run;
mod secrets;
mod serve;
mod stats;
#[cfg(test)]
mod tests;
mod tokens;
mod trust;
mod watch;

pub use args::{Cli, Command, Form, overrides};
pub use asked::{Ask, Remote, remote_address};
pub use mcp::McpArgs;
pub use monitor::{MonitorArgs, Pages};
pub use parse::{form_of, parse};
pub use print::{Output, is_closed, print_error};

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::error::Error;
use crate::handlers::{App, Caller};

/// How the results of a call are printed. What is no terminal is never coloured, and `NO_COLOR` is heeded.
pub fn output_of(cli: &Cli) -> Output {
    let form = if cli.global.json { Form::Json } else { cli.global.output };
    Output { form, colours: !cli.global.no_color }
}

/// What a command needs besides its own arguments.
pub struct Context<'a> {
    pub app: &'a Arc<App>,
    pub caller: Caller,
    pub working_dir: PathBuf,
    pub output: Output,
    pub quiet: bool,
    /// The server that carries out what is asked; absent where this process does.
    pub remote: Option<Remote>,
    /// Makes the manifest of the MCP server, which is another adapter's.
    pub manifest: fn() -> Value,
}

/// Carries out a command that says something about the program itself: no settings are read for it, so that a shell
/// can start in a folder whose settings are broken. `None` for every other command.
///
/// # Errors
///
/// What the command says.
pub fn describe_program(command: Option<&Command>, output: Output) -> Option<Result<u8, Error>> {
    match command {
        None => Some(args::introduce(output)),
        Some(Command::Completions(args)) => Some(completions::completions(output, args)),
        Some(Command::Man(args)) => Some(completions::man(output, args)),
        Some(_) => None,
    }
}

/// Carries a command out and returns the exit code.
///
/// # Errors
///
/// What the handlers say; the caller prints it and exits with its class.
pub async fn execute(context: &Context<'_>, command: Command) -> Result<u8, Error> {
    match command {
        Command::Run(args) => run::run(context, args).await,
        Command::Results(args) => results::results(context, args).await,
        Command::Metrics(args) => metrics::metrics(context, args).await,
        Command::Watch(args) => watch::watch(context, args).await,
        Command::Answer(args) => control::control(context, args.into()).await,
        Command::Pause(args) => control::control(context, args.into()).await,
        Command::Resume(args) => control::control(context, args.into()).await,
        Command::Cancel(args) => control::control(context, args.into()).await,
        Command::Control(args) => control::control(context, args).await,
        Command::Replay(args) => replay::replay(context, args).await,
        Command::Fork(args) => fork::fork(context, args).await,
        Command::Diff(args) => diff::diff(context, args).await,
        Command::Compile(args) => compile::compile(context, args).await,
        Command::Convert(args) => convert::convert(context, args).await,
        Command::Ask(args) => ask::ask(context, args).await,
        Command::Export(args) => export::export(context, args).await,
        Command::Stats(args) => stats::stats(context, args).await,
        Command::Edit(args) => edit::edit(context, args).await,
        Command::List(args) => list::list(context, args).await,
        Command::Secrets(args) => secrets::secrets(context, args).await,
        Command::Tokens(args) => tokens::tokens(context, args).await,
        Command::Maintenance(args) => maintenance::maintenance(context, args).await,
        Command::History(args) => history::history(context, args).await,
        Command::Restore(args) => history::restore(context, args).await,
        Command::Trust(args) => trust::trust(context, args).await,
        Command::Doctor(args) => doctor::doctor(context, args).await,
        Command::Config(args) => config::config(context, args).await,
        Command::Dipeocc(args) => dipeocc::dipeocc(context, args).await,
        Command::Integrations(args) => integrations::integrations(context, args).await,
        Command::Completions(args) => completions::completions(context.output, &args),
        Command::Man(args) => completions::man(context.output, &args),
        Command::Mcp(McpArgs { command: Some(command), .. }) => mcp::mcp(context, command).await,
        Command::Mcp(McpArgs { command: None, .. }) | Command::Serve(_) | Command::Monitor(_) | Command::Drain => {
            Err(Error::internal("a server command reached the command line adapter"))
        }
    }
}
