//! The list of the commands, and the flags that all of them have. The arguments of a command stand in its own file;
//! help texts are the `///` comments.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde_json::json;

use super::Output;
use super::ask::AskArgs;
use super::compile::CompileArgs;
use super::completions::{CompletionsArgs, ManArgs};
use super::config::ConfigArgs;
use super::control::{AnswerArgs, CancelArgs, ControlArgs, PauseArgs, ResumeArgs};
use super::convert::ConvertArgs;
use super::diff::DiffArgs;
use super::dipeocc::DipeoccArgs;
use super::doctor::DoctorArgs;
use super::edit::EditArgs;
use super::export::ExportArgs;
use super::fork::ForkArgs;
use super::history::{HistoryArgs, RestoreArgs};
use super::integrations::IntegrationsArgs;
use super::list::ListArgs;
use super::maintenance::MaintenanceArgs;
use super::mcp::McpArgs;
use super::metrics::MetricsArgs;
use super::monitor::MonitorArgs;
use super::replay::ReplayArgs;
use super::results::ResultsArgs;
use super::run::RunArgs;
use super::secrets::SecretsArgs;
use super::serve::ServeArgs;
use super::stats::StatsArgs;
use super::tokens::TokensArgs;
use super::trust::TrustArgs;
use super::watch::WatchArgs;
use crate::config::Overrides;
use crate::error::Error;

/// What `--version` says; a build that breaks its promises on purpose says so.
const VERSION: &str = if cfg!(feature = "planted-bug") {
    concat!(env!("CARGO_PKG_VERSION"), " WITH A PLANTED BUG: it loses commits on purpose, keep nothing in it")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Runs diagrams for AI assistants, durably.
///
/// A diagram is a YAML graph of people (LLM agents), code, files, conditions and loops.
///
///   dipeo run examples/hello.light.yaml    run a diagram and print its result
///   dipeo list                             show the diagrams of this workspace
///   dipeo compile review                   check a diagram: every problem at once
///   dipeo results                          show the last executions
///   dipeo mcp                              serve an assistant on stdio (claude mcp add dipeo -- dipeo mcp)
///   dipeo serve                            serve assistants over HTTP on 127.0.0.1:8000
#[derive(Debug, Parser)]
#[command(name = "dipeo", version = VERSION, disable_help_subcommand = true, verbatim_doc_comment)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Root of the workspace (default: the nearest folder with .dipeo/, else this one)
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Database: a path, sqlite:///relative.db or sqlite:////absolute.db
    #[arg(long, global = true, value_name = "URL")]
    pub db: Option<String>,
    /// Form of the output
    #[arg(short, long, global = true, value_name = "FORM", default_value = "text")]
    pub output: Form,
    /// Same as --output json
    #[arg(long, global = true)]
    pub json: bool,
    /// Print results only, no progress and no hints
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// No colours (also NO_COLOR)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Log everything on stderr
    #[arg(long, global = true)]
    pub debug: bool,
    /// Let this `dipeo serve` do it: run, results, list, compile, control, fork, replay, diff, stats (also
    /// DIPEO_SERVER; its token in DIPEO_TOKEN)
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Text,
    Json,
    Markdown,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a diagram and print its result
    Run(RunArgs),
    /// Show an execution, or the last ones
    Results(ResultsArgs),
    /// Show how long an execution took and where the time went
    Metrics(MetricsArgs),
    /// Show what an execution does while it does it
    Watch(WatchArgs),
    /// Answer a question that an execution waits with
    Answer(AnswerArgs),
    /// Let nothing new start in an execution
    Pause(PauseArgs),
    /// Let an execution go on, also after it has failed or was aborted
    Resume(ResumeArgs),
    /// End an execution
    Cancel(CancelArgs),
    /// Steer an execution: step, set breakpoints or a node's output, look inside, and all of the above
    Control(ControlArgs),
    /// Run an execution once more from its recordings, and compare
    Replay(ReplayArgs),
    /// Go on from a node of an execution, with a changed prompt, model, value or diagram
    Fork(ForkArgs),
    /// Compare two executions, or two diagrams
    Diff(DiffArgs),
    /// Check a diagram: every problem at once, with place and fix
    Compile(CompileArgs),
    /// Write a diagram in another format
    Convert(ConvertArgs),
    /// Let a model write a diagram
    Ask(AskArgs),
    /// Count what a diagram consists of
    Stats(StatsArgs),
    /// Write a diagram as a Python script that runs without dipeo, or as a picture
    Export(ExportArgs),
    /// Change a light diagram and leave the rest of its text alone
    Edit(EditArgs),
    /// Show the diagrams of the workspace
    List(ListArgs),
    /// Show the saved versions of a diagram
    History(HistoryArgs),
    /// Make an earlier version of a diagram the present one
    Restore(RestoreArgs),
    /// Show or raise the rights of a diagram that a client submitted
    Trust(TrustArgs),
    /// Providers that diagrams call: write, check, try and list their manifests
    Integrations(IntegrationsArgs),
    /// Claude Code sessions: list, count, make diagrams of them
    Dipeocc(DipeoccArgs),
    /// Serve an assistant over MCP on stdio; `install` enters dipeo into a client
    Mcp(McpArgs),
    /// Serve assistants over MCP on HTTP
    Serve(ServeArgs),
    /// Open in a browser what the server of this database shows
    Monitor(MonitorArgs),
    /// Store, list and remove secrets that diagrams refer to as ${secret:NAME}
    Secrets(SecretsArgs),
    /// Make, list and revoke tokens that clients show over HTTP
    Tokens(TokensArgs),
    /// Prune, back up, restore, check and shrink the database
    Maintenance(MaintenanceArgs),
    /// Look at the installation: paths, settings, database, keys; `--torture` proves that nothing is lost
    Doctor(DoctorArgs),
    /// Show the settings and where each comes from
    Config(ConfigArgs),
    /// Print what bash, zsh or fish need to complete commands
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(ManArgs),
    /// Run what is open on this database, then exit
    #[command(hide = true)]
    Drain,
}

impl Command {
    /// How the process describes itself to others on the database.
    pub fn role(&self) -> &'static str {
        match self {
            Self::Secrets(_) | Self::Tokens(_) | Self::Maintenance(_) | Self::Config(_) => "cli",
            Self::Mcp(McpArgs { command: None, http: false, .. }) => "mcp",
            Self::Mcp(McpArgs { command: None, http: true, .. }) => "serve",
            Self::Mcp(McpArgs { command: Some(_), .. }) => "cli",
            Self::Serve(_) | Self::Monitor(_) => "serve",
            Self::Drain => "drain",
            Self::Convert(_)
            | Self::Edit(_)
            | Self::Run(_)
            | Self::Results(_)
            | Self::Metrics(_)
            | Self::Control(_)
            | Self::Watch(_)
            | Self::Answer(_)
            | Self::Pause(_)
            | Self::Resume(_)
            | Self::Cancel(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Replay(_)
            | Self::Fork(_)
            | Self::Diff(_)
            | Self::Compile(_)
            | Self::Export(_)
            | Self::Ask(_)
            | Self::Stats(_)
            | Self::List(_)
            | Self::History(_)
            | Self::Restore(_)
            | Self::Trust(_)
            | Self::Integrations(_)
            | Self::Doctor(_)
            | Self::Dipeocc(_) => "cli",
        }
    }
}

/// What `dipeo` alone says: what it is and what to type next.
///
/// # Errors
///
/// `INTERNAL` when it cannot be written.
pub(super) fn introduce(output: Output) -> Result<u8, Error> {
    let program = Cli::command();
    let about = program.get_long_about().map(ToString::to_string).unwrap_or_default();
    let commands = program.get_subcommands().filter(|it| !it.is_hide_set());
    let commands: Vec<_> =
        commands.map(|it| json!({"name": it.get_name(), "about": it.get_about().map(ToString::to_string)})).collect();
    let value = json!({"name": "dipeo", "version": VERSION, "commands": commands});
    output.plain(&value, "dipeo", |_| format!("{about}\n\n`dipeo --help` lists all commands and flags."))?;
    Ok(0)
}

/// What the flags set of the configuration.
pub fn overrides(cli: &Cli) -> Overrides {
    let mut overrides = Overrides {
        workspace: cli.global.workspace.clone(),
        database: cli.global.db.clone(),
        server: cli.global.server.clone(),
        ..Overrides::default()
    };
    if let Some(Command::Serve(args)) = &cli.command {
        overrides.host.clone_from(&args.host);
        overrides.port = args.port;
        overrides.public_url.clone_from(&args.public_url);
        overrides.allowed_hosts.clone_from(&args.allow_host);
        overrides.allowed_origins.clone_from(&args.allow_origin);
        overrides.durability.clone_from(&args.durability);
        args.offered.put_into(&mut overrides);
    }
    if let Some(Command::Monitor(args)) = &cli.command {
        overrides.port = args.port;
    }
    if let Some(Command::Mcp(args)) = &cli.command {
        args.offered.put_into(&mut overrides);
    }
    overrides
}

/// Which format a text is in.
#[derive(Clone, Copy, Debug, Default, Args)]
#[group(multiple = false)]
pub struct FormatArgs {
    /// The diagram is light YAML
    #[arg(long)]
    pub light: bool,
    /// The diagram is readable YAML
    #[arg(long)]
    pub readable: bool,
    /// The diagram is native JSON
    #[arg(long)]
    pub native: bool,
}

impl FormatArgs {
    /// The name of the chosen format.
    pub fn name(self) -> Option<String> {
        let chosen = [(self.light, "light"), (self.readable, "readable"), (self.native, "native")];
        chosen.into_iter().find(|(is_chosen, _)| *is_chosen).map(|(_, name)| name.to_owned())
    }
}
