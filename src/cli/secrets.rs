//! `dipeo secrets`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Context;
use crate::error::Error;
use crate::handlers::secrets::{Request, Response, secrets as handle};

/// Example: dipeo secrets set GITHUB_TOKEN < token.txt
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo secrets set GITHUB_TOKEN < token.txt")]
pub struct SecretsArgs {
    #[command(subcommand)]
    pub action: SecretsAction,
}

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretsAction {
    /// Store a value; it is read from stdin, or asked for without showing it
    #[command(after_help = "Example: dipeo secrets set GITHUB_TOKEN < token.txt")]
    Set {
        /// A letter, then letters, digits, _, - and .
        name: String,
    },
    /// Show the names
    #[command(after_help = "Example: dipeo secrets list")]
    List,
    /// Forget one
    #[command(after_help = "Example: dipeo secrets rm GITHUB_TOKEN")]
    Rm { name: String },
    /// Take over the keys of an apikeys.json
    #[command(after_help = "Example: dipeo secrets import files/apikeys.json")]
    Import { file: PathBuf },
}

/// Most bytes read from stdin or a file.
const INPUT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Carries out what was asked and prints the names there are.
pub async fn secrets(context: &Context<'_>, args: SecretsArgs) -> Result<u8, Error> {
    let request = match args.action {
        SecretsAction::Set { name } => Request::Set { value: read_value(&name)?, name },
        SecretsAction::List => Request::List,
        SecretsAction::Rm { name } => Request::Remove { name },
        SecretsAction::Import { file } => {
            let path = context.working_dir.join(&file);
            let text = std::fs::read_to_string(&path).map_err(|e| {
                Error::not_found("FILE_NOT_FOUND", format!("cannot read `{}`", file.display()))
                    .hint("give the path of an `apikeys.json`")
                    .source(e)
            })?;
            Request::Import { text }
        }
    };
    let response = handle(context.app, &context.caller, request).await?;
    for skipped in &response.skipped {
        context.output.note(&format!("left out {skipped}"));
    }
    context.output.plain(&response, "secrets", shown)?;
    Ok(0)
}

fn shown(response: &Response) -> String {
    let mut text: String = response.stored.iter().map(|it| format!("stored {it}\n")).collect();
    if let Some(name) = &response.removed {
        text.push_str(&format!("removed {name}\n"));
    }
    if !text.is_empty() {
        return text;
    }
    for it in &response.secrets {
        text.push_str(&format!("{}  {}  {}\n", it.name, it.service.as_deref().unwrap_or("-"), it.updated_at));
    }
    text.push_str(&format!("{} secrets\n", response.secrets.len()));
    text
}

/// Takes the value from a pipe, or asks for it without showing what is typed. It is never an argument:
/// those stand in the shell's history and in the list of processes.
fn read_value(name: &str) -> Result<String, Error> {
    let failed = |e: std::io::Error| {
        Error::external("FILE_FAILED", "the value could not be read").hint("write it to stdin").source(e)
    };
    if std::io::stdin().is_terminal() {
        let terminal = console::Term::stderr();
        terminal.write_str(&format!("Value of {name} (not shown): ")).map_err(failed)?;
        return terminal.read_secure_line().map_err(failed);
    }
    let mut text = String::new();
    std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
