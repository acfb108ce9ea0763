//! `dipeo config`.

use clap::{Args, Subcommand};

use super::Context;
use crate::error::Error;
use crate::handlers::show_config::{Request, Response, show_config};

/// Example: dipeo config show
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo config show --json")]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show each setting, its value and what set it; secrets are masked
    #[command(after_help = "Example: dipeo config show --json")]
    Show,
}

/// Shows the settings.
pub async fn config(context: &Context<'_>, args: ConfigArgs) -> Result<u8, Error> {
    let ConfigCommand::Show = args.command;
    let response = show_config(context.app, &context.caller, Request {}).await?;
    context.output.plain(&response, "settings", text)?;
    Ok(0)
}

fn text(response: &Response) -> String {
    let width = response.settings.iter().map(|it| it.name.chars().count()).max().unwrap_or(0);
    let lines = response.settings.iter().map(|it| format!("{:width$}  {}  ({})\n", it.name, it.value, it.source));
    lines.collect()
}
