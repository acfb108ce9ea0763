//! `dipeo dipeocc`: sessions of Claude Code.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Context;
use crate::error::Error;
use crate::handlers::claude_sessions::convert_session::{self, Converted, Which, convert_session};
use crate::handlers::claude_sessions::list_sessions::{self, list_sessions};
use crate::handlers::claude_sessions::session_stats::{self, session_stats};
use crate::handlers::claude_sessions::watch_sessions::{self, watch_sessions};

/// Example: dipeo dipeocc convert --latest --offline
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo dipeocc convert --latest --offline")]
pub struct DipeoccArgs {
    /// Folder of the project in ~/.claude/projects, or the project's path (default: the one that changed last)
    #[arg(long, value_name = "DIR")]
    pub project: Option<String>,
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show the sessions, the newest first
    #[command(after_help = "Example: dipeo dipeocc list --limit 5")]
    List(ListSessionsArgs),
    /// Make a diagram of a session
    #[command(after_help = "Example: dipeo dipeocc convert --latest --offline")]
    Convert(ConvertArgs),
    /// Convert sessions as they are written, until Ctrl-C
    #[command(after_help = "Example: dipeo dipeocc watch --interval 10")]
    Watch(WatchArgs),
    /// Count what is in a session
    #[command(after_help = "Example: dipeo dipeocc stats 0a1b2c3d")]
    Stats(StatsArgs),
}

/// Example: dipeo dipeocc list --limit 5
#[derive(Debug, Args)]
pub struct ListSessionsArgs {
    /// At most so many sessions
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
}

/// Example: dipeo dipeocc convert 0a1b2c3d --format native
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The session, as `list` shows it
    #[arg(required_unless_present = "latest")]
    pub session_id: Option<String>,
    /// The newest session, or so many of them
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", conflicts_with = "session_id")]
    pub latest: Option<usize>,
    #[command(flatten)]
    pub how: HowArgs,
}

/// Example: dipeo dipeocc watch --interval 10
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Seconds between two looks where the file system tells nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub interval: u64,
    #[command(flatten)]
    pub how: HowArgs,
}

/// How a session becomes a diagram.
#[derive(Debug, Args)]
pub struct HowArgs {
    /// Folder to write to (default: projects/claude_code/sessions/TIME)
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<String>,
    /// light, readable or native
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Persons answer what they answered in the session
    #[arg(long)]
    pub offline: bool,
}

/// Example: dipeo dipeocc stats 0a1b2c3d
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The session, as `list` shows it
    pub session_id: String,
}

/// Carries an action out.
pub async fn dipeocc(context: &Context<'_>, args: DipeoccArgs) -> Result<u8, Error> {
    match args.action {
        Action::List(list) => show_list(context, args.project, list.limit).await,
        Action::Convert(convert) => show_conversion(context, args.project, convert).await,
        Action::Watch(watch) => show_watch(context, args.project, watch).await,
        Action::Stats(stats) => show_stats(context, args.project, stats.session_id).await,
    }
}

async fn show_list(context: &Context<'_>, project: Option<String>, limit: usize) -> Result<u8, Error> {
    let request = list_sessions::Request { project, limit };
    let response = list_sessions(context.app, &context.caller, request).await?;
    context.output.plain(&response, "sessions", listed)?;
    Ok(0)
}

fn listed(response: &list_sessions::Response) -> String {
    let mut text = String::new();
    for it in &response.sessions {
        let at = it.last_at.as_deref().unwrap_or("(no time)");
        let first = it.first_text.as_deref().unwrap_or("(no text of a user)");
        text.push_str(&format!("{}  {at}  {} lines  {first}\n", it.id, it.lines));
    }
    text.push_str(&format!("{} sessions\n", response.total));
    text
}

async fn show_conversion(context: &Context<'_>, project: Option<String>, args: ConvertArgs) -> Result<u8, Error> {
    let which = match (args.session_id, args.latest) {
        (Some(id), _) => Which::Session(id),
        (None, latest) => Which::Latest(latest.unwrap_or(1).max(1)),
    };
    let HowArgs { output_dir, format, offline } = args.how;
    let request = convert_session::Request { project, which, output_dir, format, offline };
    let response = convert_session(context.app, &context.caller, request).await?;
    if context.output.is_json() {
        context.output.json(&response)?;
        return Ok(0);
    }
    for it in &response.sessions {
        context.output.text(&described(it));
        if !context.quiet {
            context.output.note(&format!("next: dipeo trust {0}, then dipeo run {0}", it.path));
        }
    }
    Ok(0)
}

async fn show_watch(context: &Context<'_>, project: Option<String>, args: WatchArgs) -> Result<u8, Error> {
    let HowArgs { output_dir, format, offline } = args.how;
    let request = watch_sessions::Request { project, interval_s: args.interval, format, output_dir, offline };
    if !context.quiet {
        context.output.note("watching (stop with Ctrl-C)");
    }
    let output = context.output;
    let mut n_told = 0_u64;
    let report = |id: &str, outcome: Result<Converted, Error>| match outcome {
        Ok(converted) if output.is_json() => {
            // One document that grows while the watch lasts.
            let before = if n_told == 0 { "{\"sessions\": [\n" } else { "," };
            output.text(&format!("{before}{}", json!(converted)));
            n_told += 1;
        }
        Ok(converted) => output.text(&described(&converted)),
        Err(error) => output.note(&format!("session {id}: {} {}", error.code(), error.message())),
    };
    let ended = tokio::select! {
        ended = watch_sessions(context.app, &context.caller, request, report) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    if output.is_json() && (ended.is_ok() || n_told > 0) {
        output.text(if n_told == 0 { "{\"sessions\": []}" } else { "]}" });
        // What ended it must not begin a second document.
        return ended.map(|()| 0).or_else(|e| {
            output.note(&format!("error: {} {}", e.code(), e.message()));
            Ok(e.kind().exit_code())
        });
    }
    ended.map(|()| 0)
}

async fn show_stats(context: &Context<'_>, project: Option<String>, session_id: String) -> Result<u8, Error> {
    let request = session_stats::Request { project, session_id };
    let stats = session_stats(context.app, &context.caller, request).await?;
    context.output.plain(&stats, "session", counted)?;
    Ok(0)
}

fn counted(stats: &session_stats::Response) -> String {
    let mut text = format!("session {}: {} lines, {} turns\n", stats.session_id, stats.lines, stats.turns);
    if let Some(ms) = stats.duration_ms {
        text.push_str(&format!("duration: {} s\n", ms / 1_000));
    }
    let tokens = &stats.tokens;
    text.push_str(&format!(
        "tokens: {} in, {} out, {} read from cache, {} written to cache\n",
        tokens.input, tokens.output, tokens.cache_read, tokens.cache_creation
    ));
    let list = |name: &str, items: Vec<String>| match items.is_empty() {
        true => String::new(),
        false => format!("{name}: {}\n", items.join(", ")),
    };
    text.push_str(&list("lines", stats.lines_by_type.iter().map(|(kind, n)| format!("{n} {kind}")).collect()));
    let tool = |(name, it): (&String, &session_stats::ToolCount)| match it.errors {
        0 => format!("{} {name}", it.calls),
        errors => format!("{} {name} ({errors} failed)", it.calls),
    };
    text.push_str(&list("tools", stats.tools.iter().map(tool).collect()));
    text.push_str(&list("files", stats.files.clone()));
    for warning in &stats.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

/// The path, what is in the diagram, and what is not.
fn described(it: &Converted) -> String {
    let kinds: Vec<String> = it.nodes_by_type.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    let mut text = format!("{}\n  {} nodes: {}\n", it.path, it.nodes, kinds.join(", "));
    for skipped in &it.skipped {
        let part = |key: &str| skipped.get(key).and_then(|it| it.as_str()).unwrap_or_default();
        text.push_str(&format!("  skipped {} (line {}): {}\n", part("tool"), part("lines"), part("reason")));
    }
    for warning in &it.warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
    text
}
