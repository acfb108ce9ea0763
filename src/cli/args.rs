//! The arguments of every command. Help texts are the `///` comments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::mcp::McpCommand;
use super::secrets::SecretsArgs;
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
    /// Answer, abort or resume an execution
    Control(ControlArgs),
    /// Run an execution once more from its recordings, and compare
    Replay(ReplayArgs),
    /// Go on from a node of an execution, with a changed prompt, model, value or diagram
    Fork(super::fork::ForkArgs),
    /// Compare two executions, or two diagrams
    Diff(super::diff::DiffArgs),
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
    /// Show or raise the rights of a diagram that a client submitted
    Trust(TrustArgs),
    /// Providers that diagrams call: write, check, try and list their manifests
    Integrations(IntegrationsArgs),
    /// Claude Code sessions: list, count, make diagrams of them
    Dipeocc(super::dipeocc::DipeoccArgs),
    /// Serve an assistant over MCP on stdio; `install` enters dipeo into a client
    Mcp(McpArgs),
    /// Serve assistants over MCP on HTTP
    Serve(ServeArgs),
    /// Store, list and remove secrets that diagrams refer to as ${secret:NAME}
    Secrets(SecretsArgs),
    /// Make, list and revoke tokens that clients show over HTTP
    Tokens(super::tokens::TokensArgs),
    /// Prune, back up, restore, check and shrink the database
    Maintenance(super::maintenance::MaintenanceArgs),
    /// Look at the installation: paths, settings, database, keys; `--torture` proves that nothing is lost
    Doctor(DoctorArgs),
    /// Run what is open on this database, then exit
    #[command(hide = true)]
    Drain,
}

impl Command {
    /// How the process describes itself to others on the database.
    pub fn role(&self) -> &'static str {
        match self {
            Self::Secrets(_) | Self::Tokens(_) | Self::Maintenance(_) => "cli",
            Self::Mcp(McpArgs { command: None, .. }) => "mcp",
            Self::Mcp(McpArgs { command: Some(_), .. }) => "cli",
            Self::Serve(_) => "serve",
            Self::Drain => "drain",
            Self::Convert(_)
            | Self::Edit(_)
            | Self::Run(_)
            | Self::Results(_)
            | Self::Control(_)
            | Self::Replay(_)
            | Self::Fork(_)
            | Self::Diff(_)
            | Self::Compile(_)
            | Self::Export(_)
            | Self::Ask(_)
            | Self::Stats(_)
            | Self::List(_)
            | Self::Trust(_)
            | Self::Integrations(_)
            | Self::Doctor(_)
            | Self::Dipeocc(_) => "cli",
        }
    }
}

/// What `dipeo` alone says: what it is and what to type next.
pub fn introduction() -> String {
    use clap::CommandFactory;
    let about = Cli::command().get_long_about().map(ToString::to_string).unwrap_or_default();
    format!("{about}\n\n`dipeo --help` lists all commands and flags.")
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
    /// Print how long each node took
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

/// Example: dipeo results --latest --verbose
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo results --latest --verbose")]
pub struct ResultsArgs {
    /// The execution; without it the last ones are listed
    pub execution_id: Option<String>,
    /// The newest execution
    #[arg(long, conflicts_with = "execution_id")]
    pub latest: bool,
    /// Conversation, all outputs, variables
    #[arg(long)]
    pub verbose: bool,
    /// Only this node, by label or id
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Wait until it has ended or is paused, at most so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60")]
    pub wait: Option<u32>,
    /// Only executions of this status
    #[arg(long, value_name = "STATUS")]
    pub status: Option<String>,
    /// Only executions of this diagram
    #[arg(long, value_name = "NAME")]
    pub diagram: Option<String>,
    /// At most so many executions
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Characters to show at most
    #[arg(long, value_name = "N", default_value_t = crate::limits::RESULT_CHARS_DEFAULT)]
    pub max_chars: usize,
}

/// Example: dipeo control exec_… answer yes --node approve
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo control exec_0123… answer yes --node approve")]
pub struct ControlArgs {
    pub execution_id: String,
    /// answer, pause, resume (continue; also opens again what failed or was aborted), abort (cancel, stop),
    /// complete, step, set_breakpoints, set_output or inspect
    pub action: String,
    /// The answer or output: JSON if it parses, else text; breakpoints: NODE,NODE; for resume a higher budget,
    /// such as '{"usd": 0.1}'
    pub value: Option<String>,
    /// The waiting node, or the one to look at, by label or id
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Why; stored with what ends or reopens an execution
    #[arg(long)]
    pub reason: Option<String>,
}

/// Example: dipeo replay exec_…
#[derive(Debug, Args)]
#[command(after_help = "Every answer from outside is the recorded one: no network, no host effect. \
                        Exit code: 0 the same came out, 1 something else, 6 a request was not recorded.\n\
                        Example: dipeo replay exec_0123…")]
pub struct ReplayArgs {
    /// An execution that has ended
    pub execution_id: String,
    /// Print the id and return; the replay goes on by itself
    #[arg(long)]
    pub background: bool,
}

/// Example: dipeo doctor
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo doctor\n         dipeo doctor --torture 60")]
pub struct DoctorArgs {
    /// Kill engines on a scratch database for so long, then prove that nothing was lost and nothing committed ran again
    #[arg(long, value_name = "SECONDS")]
    pub torture: Option<u64>,
    /// Decides which diagrams run and how long engines live
    #[arg(long, value_name = "N", requires = "torture")]
    pub seed: Option<u64>,
    /// Stop killing after so many kills
    #[arg(long, value_name = "N", requires = "torture")]
    pub kills: Option<u64>,
}

/// Example: dipeo compile examples/hello.light.yaml
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo compile examples/hello.light.yaml")]
pub struct CompileArgs {
    /// A file or a name in the workspace
    pub diagram: Option<String>,
    /// Read the text from stdin
    #[arg(long, conflicts_with = "diagram")]
    pub stdin: bool,
    #[command(flatten)]
    pub format: FormatArgs,
    /// Structure only: no prompt files, no keys
    #[arg(long)]
    pub check_only: bool,
    /// Save it under this name when it is valid
    #[arg(long, value_name = "NAME")]
    pub push_as: Option<String>,
    /// Folder to save in
    #[arg(long, value_name = "DIR", requires = "push_as")]
    pub target_dir: Option<String>,
    /// Do not save over another content
    #[arg(long, requires = "push_as")]
    pub create_only: bool,
    /// Apply the repairs a machine can make and print the new text
    #[arg(long)]
    pub fix: bool,
    /// Write the new text to the file instead of printing it
    #[arg(long, requires = "fix", conflicts_with = "stdin")]
    pub write: bool,
}

/// Example: dipeo convert review review.native.json
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo convert review review.native.json")]
pub struct ConvertArgs {
    /// A file, a name in the workspace, or - for stdin
    pub input: String,
    /// The file to write, or - for stdout
    #[arg(id = "converted", value_name = "OUTPUT")]
    pub output: String,
    /// light, readable or native (detected)
    #[arg(long, value_name = "FORMAT")]
    pub from_format: Option<String>,
    /// light, readable, native, mermaid or dot (by the suffix of OUTPUT)
    #[arg(long, value_name = "FORMAT")]
    pub to_format: Option<String>,
    /// Fail when anything would be lost
    #[arg(long)]
    pub strict: bool,
    /// Write over an existing OUTPUT
    #[arg(long)]
    pub force: bool,
}

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

/// Example: dipeo stats examples/debate.light.yaml
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo stats examples/debate.light.yaml")]
pub struct StatsArgs {
    /// A file or a name in the workspace
    pub diagram: String,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// Example: dipeo export examples/debate.light.yaml debate.py
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo export examples/debate.light.yaml debate.py")]
pub struct ExportArgs {
    /// A file or a name in the workspace
    pub diagram: String,
    /// The file to write, or - for stdout
    #[arg(value_name = "OUTPUT")]
    pub file: String,
    #[command(flatten)]
    pub format: FormatArgs,
    /// What to export to: python, mermaid or dot (from the suffix of OUTPUT: .py, .mmd, .dot)
    #[arg(long, value_name = "TARGET")]
    pub to: Option<String>,
}

/// Example: dipeo edit review --set 'writer.max_iteration=3'
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo edit review --set 'writer.max_iteration=3'")]
pub struct EditArgs {
    /// A file or a name in the workspace
    pub diagram: String,
    /// Give a field a value; VALUE is JSON if it parses, else text
    #[arg(long, value_name = "NODE.FIELD=VALUE")]
    pub set: Vec<String>,
    /// Take a field away
    #[arg(long, value_name = "NODE.FIELD")]
    pub unset: Vec<String>,
    /// Give a field of a person a value
    #[arg(long, value_name = "PERSON.FIELD=VALUE")]
    pub set_person: Vec<String>,
    /// Add a node
    #[arg(long, value_name = "LABEL=TYPE")]
    pub add_node: Vec<String>,
    /// Remove a node and its connections
    #[arg(long, value_name = "NODE")]
    pub remove_node: Vec<String>,
    /// Rename a node; its connections follow
    #[arg(long, value_name = "OLD=NEW")]
    pub rename: Vec<String>,
    /// Add a connection
    #[arg(long, value_name = "FROM->TO")]
    pub connect: Vec<String>,
    /// Remove a connection
    #[arg(long, value_name = "FROM->TO")]
    pub disconnect: Vec<String>,
    /// Print the new text and leave the file alone
    #[arg(long)]
    pub print: bool,
}

/// Example: dipeo list --search review
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo list --search review")]
pub struct ListArgs {
    /// Only light, readable or native diagrams
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Only diagrams whose name, path or description contains this
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
}

/// Example: dipeo trust review
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo trust review")]
pub struct TrustArgs {
    /// A file or a name in the workspace
    #[arg(required_unless_present_any = ["list", "config"])]
    pub diagram: Option<String>,
    /// Do not ask (only from a terminal)
    #[arg(long)]
    pub yes: bool,
    /// Show all grants
    #[arg(long)]
    pub list: bool,
    /// Take the grant back
    #[arg(long, conflicts_with_all = ["list", "config"])]
    pub revoke: bool,
    /// Let the policy keys of dipeo.toml count, as the file is now
    #[arg(long)]
    pub config: bool,
}

/// Example: dipeo integrations list
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo integrations list")]
pub struct IntegrationsArgs {
    #[command(subcommand)]
    pub command: IntegrationsCommand,
}

/// What to do with manifests.
#[derive(Debug, Subcommand)]
pub enum IntegrationsCommand {
    /// Write a manifest to begin with
    Init {
        /// Folder of the manifests (integrations/ of the workspace)
        #[arg(long, value_name = "DIR")]
        path: Option<String>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Check manifests: every problem with its line
    Validate {
        /// A manifest or a folder of them (the workspace's and those that come with dipeo)
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
        /// Only this provider
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
    },
    /// Make a manifest of an OpenAPI document (3.0 or 3.1)
    OpenapiImport {
        /// The document: YAML or JSON
        spec: String,
        /// Name of the provider (the document's title)
        #[arg(conflicts_with = "name_flag")]
        name: Option<String>,
        /// Name of the provider
        #[arg(long = "name", id = "name_flag", value_name = "NAME")]
        name_flag: Option<String>,
        /// Folder of the manifests (integrations/ of the workspace); --output DIR does the same
        #[arg(long, value_name = "DIR")]
        to: Option<String>,
        /// Instead of the document's server
        #[arg(long, value_name = "URL")]
        base_url: Option<String>,
        /// Only operations whose name fits, as in 'list_*'
        #[arg(long, value_name = "GLOB")]
        only: Option<String>,
        /// Replace a manifest that is there
        #[arg(long)]
        force: bool,
    },
    /// Look at a provider, or call one of its operations
    Test {
        provider: String,
        /// Call this operation
        #[arg(long, value_name = "NAME")]
        operation: Option<String>,
        /// What its templates call config
        #[arg(long, value_name = "JSON", requires = "operation")]
        config: Option<String>,
        /// Keep request and reply, without keys
        #[arg(long, requires = "operation", conflicts_with = "replay")]
        record: bool,
        /// Answer from the recording, without network
        #[arg(long, requires = "operation")]
        replay: bool,
    },
    /// Show providers, operations and whether their keys are there
    List,
}

/// Example: claude mcp add dipeo -- dipeo mcp
#[derive(Debug, Args)]
#[command(after_help = "Example: claude mcp add dipeo -- dipeo mcp", args_conflicts_with_subcommands = true)]
pub struct McpArgs {
    #[command(subcommand)]
    pub command: Option<McpCommand>,
    #[command(flatten)]
    pub offered: OfferedArgs,
}

/// What clients of a server find; also `[mcp]` in dipeo.toml.
#[derive(Clone, Debug, Default, Args)]
pub struct OfferedArgs {
    /// Clients only read: they start, answer and save nothing
    #[arg(long)]
    pub read_only: bool,
    /// Clients run only workspace diagrams with such a name, and no content of their own (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub allow_diagrams: Vec<String>,
    /// Which tools there are: core, diagrams (all)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub toolsets: Vec<String>,
}

impl OfferedArgs {
    fn put_into(&self, overrides: &mut Overrides) {
        overrides.read_only = self.read_only;
        overrides.allow_diagrams.clone_from(&self.allow_diagrams);
        overrides.toolsets.clone_from(&self.toolsets);
    }
}

/// Example: dipeo serve --port 8000
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example: dipeo serve --port 8000")]
pub struct ServeArgs {
    /// Address to listen on (127.0.0.1)
    #[arg(long, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Port to listen on (8000; 0 takes a free one)
    #[arg(long)]
    pub port: Option<u16>,
    /// The address others reach it under, for a tunnel; needs a token (dipeo tokens create)
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Another Host to accept
    #[arg(long, value_name = "HOST")]
    pub allow_host: Vec<String>,
    /// Another Origin to accept
    #[arg(long, value_name = "ORIGIN")]
    pub allow_origin: Vec<String>,
    /// full survives a power cut, normal a killed process
    #[arg(long, value_name = "HOW")]
    pub durability: Option<String>,
    #[command(flatten)]
    pub offered: OfferedArgs,
}

/// Reads the arguments.
///
/// # Errors
///
/// `UNKNOWN_OPTION` in our own form; help and version are not errors, clap prints them and exits 0.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Cli, Error> {
    Cli::try_parse_from(with_value_of_fork(with_folder_of_import(arguments))).map_err(|e| {
        use clap::error::ErrorKind as Kind;
        if matches!(e.kind(), Kind::DisplayHelp | Kind::DisplayVersion | Kind::DisplayHelpOnMissingArgumentOrSubcommand)
        {
            e.exit();
        }
        let text = e.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
        let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let rest: Vec<&str> = lines.take_while(|it| !it.starts_with("Usage:")).collect();
        let hint = rest.iter().find_map(|it| it.strip_prefix("tip: ")).map(str::to_owned);
        let message = if message.ends_with(':') { format!("{message} {}", rest.join(", ")) } else { message };
        Error::invalid("UNKNOWN_OPTION", message).hint(hint.unwrap_or_else(|| "see `dipeo --help`".to_owned()))
    })
}

/// `--output` is the form of the output everywhere; of an import it may name the folder to write to as well.
fn with_folder_of_import(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let mut arguments: Vec<std::ffi::OsString> = arguments.into_iter().collect();
    if !arguments.iter().any(|it| it == "openapi-import") {
        return arguments;
    }
    let is_form = |it: &str| <Form as ValueEnum>::from_str(it, true).is_ok();
    for at in 0..arguments.len() {
        let folder = match arguments[at].to_str() {
            Some("--output") => arguments.get(at + 1).and_then(|it| it.to_str()).is_some_and(|it| !is_form(it)),
            Some(text) => text.strip_prefix("--output=").is_some_and(|it| !is_form(it)),
            None => false,
        };
        if let (true, Some(text)) = (folder, arguments[at].to_str()) {
            arguments[at] = text.replacen("--output", "--to", 1).into();
        }
    }
    arguments
}

/// As [`with_folder_of_import`]: of a fork `--output NODE=VALUE` is the value of a node.
fn with_value_of_fork(mut arguments: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    if !arguments.iter().any(|it| it == "fork") {
        return arguments;
    }
    for at in 0..arguments.len() {
        let is_value = match arguments[at].to_str() {
            Some("--output") => arguments.get(at + 1).and_then(|it| it.to_str()).is_some_and(|it| it.contains('=')),
            Some(text) => text.strip_prefix("--output=").is_some_and(|it| it.contains('=')),
            None => false,
        };
        if let (true, Some(text)) = (is_value, arguments[at].to_str()) {
            arguments[at] = text.replacen("--output", "--set-output", 1).into();
        }
    }
    arguments
}

/// What the flags set of the configuration.
pub fn overrides(cli: &Cli) -> Overrides {
    let mut overrides =
        Overrides { workspace: cli.global.workspace.clone(), database: cli.global.db.clone(), ..Overrides::default() };
    if let Some(Command::Serve(args)) = &cli.command {
        overrides.host.clone_from(&args.host);
        overrides.port = args.port;
        overrides.public_url.clone_from(&args.public_url);
        overrides.allowed_hosts.clone_from(&args.allow_host);
        overrides.allowed_origins.clone_from(&args.allow_origin);
        overrides.durability.clone_from(&args.durability);
        args.offered.put_into(&mut overrides);
    }
    if let Some(Command::Mcp(args)) = &cli.command {
        args.offered.put_into(&mut overrides);
    }
    overrides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_folder_of_an_import_and_the_form_of_its_output_are_told_apart() {
        for (arguments, folder, form) in [
            (vec!["--output", "dir"], Some("dir"), Form::Text),
            (vec!["--output=a/b", "--output", "json"], Some("a/b"), Form::Json),
            (vec!["--output", "json"], None, Form::Json),
            (vec!["--to", "json"], Some("json"), Form::Text),
        ] {
            let all = ["dipeo", "integrations", "openapi-import", "x.yaml"].into_iter().chain(arguments.clone());
            let cli = parse(all.map(Into::into)).expect("it parses");
            let Some(Command::Integrations(IntegrationsArgs {
                command: IntegrationsCommand::OpenapiImport { to, .. },
            })) = cli.command
            else {
                panic!("{arguments:?}: another command");
            };
            assert_eq!((to.as_deref(), cli.global.output), (folder, form), "{arguments:?}");
        }
    }

    #[test]
    fn the_value_of_a_forked_node_and_the_form_of_the_output_are_told_apart() {
        for (arguments, value, form) in [
            (vec!["--output", "write=hi"], Some("write=hi"), Form::Text),
            (vec!["--output=write=a=b", "--output", "json"], Some("write=a=b"), Form::Json),
            (vec!["--set-output", "write=1", "--json"], Some("write=1"), Form::Text),
            (vec!["--output", "json"], None, Form::Json),
        ] {
            let all = ["dipeo", "fork", "exec_1"].into_iter().chain(arguments.clone());
            let cli = parse(all.map(Into::into)).expect("it parses");
            let Some(Command::Fork(args)) = cli.command else { panic!("{arguments:?}: another command") };
            assert_eq!((args.set_output.as_deref(), cli.global.output), (value, form), "{arguments:?}");
        }
    }

    #[test]
    fn a_misspelt_flag_is_answered_with_the_nearest_one() {
        let error = parse(["dipeo", "run", "x", "--tiemout", "3"].map(Into::into)).expect_err("unknown flag");
        assert_eq!(error.code(), "UNKNOWN_OPTION");
        assert!(error.hint_text().is_some_and(|it| it.contains("--timeout")), "{error:?}");
    }
}
