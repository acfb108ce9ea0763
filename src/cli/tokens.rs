//! `dipeo tokens`.

use clap::{Args, Subcommand};

use super::Context;
use crate::error::Error;
use crate::handlers::tokens::{Entry, NewRequest, Request, Response, tokens as handle};

/// Example: dipeo tokens create --name laptop --expires 90d
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo tokens create --name laptop --expires 90d")]
pub struct TokensArgs {
    #[command(subcommand)]
    pub action: TokensAction,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokensAction {
    /// Make a token and show it, this once; from then on the server asks everybody for one
    #[command(after_help = "Example: dipeo tokens create --name laptop --expires 90d")]
    Create(CreateArgs),
    /// Show the tokens there are, never the tokens themselves
    #[command(after_help = "Example: dipeo tokens list")]
    List,
    /// Make a token open nothing from now on
    #[command(after_help = "Example: dipeo tokens revoke laptop")]
    Revoke {
        /// Its id or its name
        token: String,
    },
    /// Delete what was revoked or has expired; with no token left a local server asks nobody again
    #[command(after_help = "Example: dipeo tokens forget")]
    Forget,
}

/// The token wanted.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What it is for, in your words
    #[arg(long)]
    pub name: Option<String>,
    /// Whom it speaks for: their executions are seen by them and you (you)
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// viewer reads; editor, operator and admin also write, run and control (admin)
    #[arg(long)]
    pub role: Option<String>,
    /// One scope besides those of the role: diagram:read, diagram:write, execution:read, execution:run, execution:control
    #[arg(long)]
    pub scope: Vec<String>,
    /// How long it lives: 90d, 12h, 30m (until it is revoked)
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// Carries out what was asked and prints what came of it.
pub async fn tokens(context: &Context<'_>, args: TokensArgs) -> Result<u8, Error> {
    let request = match args.action {
        TokensAction::Create(it) => Request::Create(NewRequest {
            name: it.name,
            user: it.user,
            role: it.role,
            scopes: it.scope,
            expires: it.expires,
        }),
        TokensAction::List => Request::List,
        TokensAction::Revoke { token } => Request::Revoke { token },
        TokensAction::Forget => Request::Forget,
    };
    let response = handle(context.app, &context.caller, request).await?;
    if context.output.is_json() {
        return context.output.json(&response).map(|()| 0);
    }
    if let Some(token) = &response.token {
        // The token alone stands on stdout, so that a script can take it.
        context.output.text(token);
        let made: String = response.tokens.iter().map(line).collect();
        context.output.note(&format!(
            "{made}Keep it: it is not shown again. Send it as `Authorization: Bearer …` or `X-API-Key`."
        ));
    } else {
        context.output.plain(&response, "tokens", shown)?;
    }
    Ok(0)
}

fn shown(response: &Response) -> String {
    let mut text: String = response.tokens.iter().map(line).collect();
    match response.count {
        Some(count) => text.push_str(&format!("{count} done, {} tokens\n", response.tokens.len())),
        None => text.push_str(&format!("{} tokens\n", response.tokens.len())),
    }
    text
}

fn line(it: &Entry) -> String {
    let until = it.expires_at.as_deref().unwrap_or("-");
    let used = it.last_used_at.as_deref().unwrap_or("never");
    let name = it.name.as_deref().unwrap_or("-");
    let scopes = it.scopes.join(" ");
    format!("{}  {}  {name}  for {}  until {until}  used {used}  {scopes}\n", it.id, it.state, it.principal)
}
