//! `dipeo mcp install`, `manifest` and `bundle`. Without one of them `dipeo mcp` is the server on stdio, which
//! never comes here.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Context;
use super::serve::OfferedArgs;
use crate::error::Error;
use crate::handlers::mcp_bundle::{self, mcp_bundle};
use crate::handlers::mcp_install::{self, Action, Change, mcp_install};
use crate::handlers::mcp_manifest::{self, mcp_manifest};

/// Example: dipeo mcp --read-only
#[derive(Debug, Args)]
#[command(
    after_help = "By hand, in Claude Code: claude mcp add dipeo -- dipeo mcp\nExample: dipeo mcp --read-only",
    args_conflicts_with_subcommands = true
)]
pub struct McpArgs {
    #[command(subcommand)]
    pub command: Option<McpCommand>,
    /// Serve on HTTP instead, as `dipeo serve` does
    #[arg(long)]
    pub http: bool,
    #[command(flatten)]
    pub offered: OfferedArgs,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum McpCommand {
    /// Enter dipeo into the settings of a client, and show the difference
    Install(InstallArgs),
    /// Write the manifest for registries, or compare it
    Manifest(ManifestArgs),
    /// Pack dipeo as one file for desktop programs (MCPB)
    Bundle(BundleArgs),
}

/// Example: dipeo mcp install --client claude-code
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo mcp install --client claude-code --print")]
pub struct InstallArgs {
    /// claude-code, claude-desktop, cursor, vscode or gemini
    #[arg(long, value_name = "NAME")]
    pub client: String,
    /// Show what would change and write nothing
    #[arg(long)]
    pub print: bool,
    /// Connect to a running server instead of starting one
    #[arg(long, value_name = "URL")]
    pub http: Option<String>,
    /// Variable that holds the token (DIPEO_TOKEN, where a token is needed)
    #[arg(long, value_name = "NAME", requires = "http")]
    pub token_variable: Option<String>,
    /// Name of the entry
    #[arg(long, value_name = "NAME", default_value = "dipeo")]
    pub name: String,
    /// user (all projects) or project (a file in the workspace)
    #[arg(long, value_name = "SCOPE", default_value = "user")]
    pub scope: String,
    /// Replace an entry of this name without asking
    #[arg(long, conflicts_with = "print")]
    pub yes: bool,
}

/// Example: dipeo mcp manifest --check
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo mcp manifest --check")]
pub struct ManifestArgs {
    /// The file to write or compare, or - for stdout
    #[arg(value_name = "FILE", default_value = "mcp-manifest.json")]
    pub file: String,
    /// Fail when the file is not what this program makes; write nothing
    #[arg(long)]
    pub check: bool,
}

/// Example: dipeo mcp bundle --out dipeo.mcpb
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo mcp bundle --out dipeo.mcpb")]
pub struct BundleArgs {
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "dipeo.mcpb")]
    pub out: PathBuf,
    /// The program to pack (this one)
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    pub force: bool,
}

/// Carries the command out.
pub async fn mcp(context: &Context<'_>, command: McpCommand) -> Result<u8, Error> {
    match command {
        McpCommand::Install(args) => install(context, args).await,
        McpCommand::Manifest(args) => manifest(context, args).await,
        McpCommand::Bundle(args) => bundle(context, args).await,
    }
}

async fn install(context: &Context<'_>, args: InstallArgs) -> Result<u8, Error> {
    let mut request = mcp_install::Request {
        client: args.client,
        scope: Some(args.scope),
        name: args.name,
        http: args.http,
        token_variable: args.token_variable,
        program: own_program()?,
        action: Action::Show,
    };
    let mut response = mcp_install(context.app, &context.caller, request.clone()).await?;
    let show = |text: &str| {
        if !context.output.is_json() {
            context.output.text(text);
        }
    };
    if response.change != Change::None {
        show(&response.difference);
    }
    if !args.print && response.change != Change::None {
        let may_replace = args.yes || response.change == Change::Replaced && is_confirmed()?;
        request.action = if may_replace { Action::Replace } else { Action::Add };
        response = mcp_install(context.app, &context.caller, request).await?;
    }
    if context.output.is_json() {
        context.output.json(&response)?;
        return Ok(0);
    }
    show(&summary(&response));
    for note in &response.notes {
        context.output.note(&format!("note: {note}"));
    }
    Ok(0)
}

fn summary(response: &mcp_install::Response) -> String {
    let file = response.file.display();
    if response.change == Change::None {
        return format!("{file} is as it should be");
    }
    if !response.written {
        return format!("nothing was written; without `--print` this goes into {file}");
    }
    let kept = match &response.backup {
        Some(backup) => format!("\nas it was: {}", backup.display()),
        None => String::new(),
    };
    format!("wrote {file}{kept}\nnext: {}", response.next)
}

/// Asks a person whether an entry may be replaced. Without a terminal nobody says yes.
fn is_confirmed() -> Result<bool, Error> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let mut line = String::new();
    write!(std::io::stderr(), "Replace the entry? [y/N] ")
        .and_then(|()| std::io::stdin().lock().read_line(&mut line))
        .map_err(|e| Error::external("FILE_FAILED", "the question could not be asked").hint("add `--yes`").source(e))?;
    Ok(matches!(line.trim(), "y" | "yes"))
}

async fn manifest(context: &Context<'_>, args: ManifestArgs) -> Result<u8, Error> {
    let manifest = (context.manifest)();
    if args.file == "-" && !args.check {
        context.output.text(&mcp_manifest::text_of(&manifest));
        return Ok(0);
    }
    let file = context.working_dir.join(&args.file);
    let request = mcp_manifest::Request { manifest, file, check: args.check };
    let response = mcp_manifest(context.app, &context.caller, request).await.inspect_err(|e| {
        // Of a manifest that has fallen behind, a person wants to see where.
        let lines = e.details_value().and_then(|it| it["difference"].as_array().cloned()).unwrap_or_default();
        for line in lines.iter().filter(|_| !context.output.is_json()).filter_map(|it| it.as_str()) {
            context.output.note(line);
        }
    })?;
    if context.output.is_json() {
        context.output.json(&response)?;
    } else {
        let done = if response.written { "wrote" } else { "up to date:" };
        context.output.text(&format!("{done} {}", args.file));
    }
    Ok(0)
}

async fn bundle(context: &Context<'_>, args: BundleArgs) -> Result<u8, Error> {
    let binary = match args.binary {
        Some(path) => context.working_dir.join(path),
        None => own_program()?,
    };
    let file = context.working_dir.join(&args.out);
    let request = mcp_bundle::Request { manifest: (context.manifest)(), binary, file, force: args.force };
    let response = mcp_bundle(context.app, &context.caller, request).await?;
    if context.output.is_json() {
        context.output.json(&response)?;
    } else {
        context.output.text(&format!(
            "wrote {} for {}: {} bytes, SHA-256 {}",
            args.out.display(),
            response.platform,
            response.size_bytes,
            response.sha256
        ));
    }
    Ok(0)
}

fn own_program() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(|e| {
        Error::external("FILE_FAILED", "cannot find the program's own file").hint("start dipeo by its path").source(e)
    })
}
