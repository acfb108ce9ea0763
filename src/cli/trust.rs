//! `dipeo trust`.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;

use super::Context;
use crate::error::Error;
use crate::handlers::trust_diagram::{Request, Response, trust_diagram};

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

/// Shows what a diagram would be allowed to do, asks, and grants it.
pub async fn trust(context: &Context<'_>, args: TrustArgs) -> Result<u8, Error> {
    let request = match (args.diagram, args.list, args.config, args.revoke) {
        (_, true, _, _) => Request::List,
        (_, _, true, _) => Request::GrantConfig,
        (Some(diagram), _, _, true) => Request::Revoke { diagram },
        (Some(diagram), _, _, false) => Request::Grant { diagram },
        (None, ..) => return Err(Error::invalid("INVALID_INPUT", "no diagram is given").hint("dipeo trust NAME")),
    };
    if let Request::Grant { diagram } = &request {
        let inspected =
            trust_diagram(context.app, &context.caller, Request::Inspect { diagram: diagram.clone() }).await?;
        context.output.note(&describe(diagram, &inspected));
    }
    if matches!(request, Request::Grant { .. } | Request::GrantConfig) {
        confirm(args.yes)?;
    }
    let response = trust_diagram(context.app, &context.caller, request).await?;
    context.output.plain(&response, "trusted texts", grants)?;
    Ok(0)
}

fn describe(diagram: &str, response: &Response) -> String {
    let mut text =
        format!("`{diagram}` would be allowed to run host code and to use all files of the workspace; it uses:\n");
    let capabilities = response.capabilities.clone().unwrap_or_default();
    let none = vec!["nothing".to_owned()];
    for (what, names) in [
        ("programs", &capabilities.commands),
        ("files", &capabilities.paths),
        ("hosts", &capabilities.hosts),
        ("models", &capabilities.models),
    ] {
        let names = if names.is_empty() { &none } else { names };
        text.push_str(&format!("  {what}: {}\n", names.join(", ")));
    }
    text
}

/// Only a person may grant: a script has no terminal.
fn confirm(yes: bool) -> Result<(), Error> {
    let refused = |message: &str| {
        Error::refused("PERMISSION_REQUIRED", message).hint("run `dipeo trust` yourself, at a terminal")
    };
    if !std::io::stdin().is_terminal() {
        return Err(refused("trust is granted at a terminal only"));
    }
    if yes {
        return Ok(());
    }
    let mut line = String::new();
    let asked = write!(std::io::stderr(), "Trust exactly this text? [y/N] ");
    if asked.is_err() || std::io::stdin().lock().read_line(&mut line).is_err() {
        return Err(refused("the question could not be asked"));
    }
    if matches!(line.trim(), "y" | "yes") { Ok(()) } else { Err(refused("nothing was changed")) }
}

fn grants(response: &Response) -> String {
    let mut text = String::new();
    for grant in &response.grants {
        text.push_str(&format!(
            "{}  {}  since {}\n",
            &grant.sha256[..12.min(grant.sha256.len())],
            grant.name,
            grant.granted_at
        ));
    }
    text.push_str(&format!("{} trusted texts\n", response.grants.len()));
    text
}
