//! `dipeo integrations`.

use serde::Serialize;

use super::Context;
use super::args::{IntegrationsArgs, IntegrationsCommand};
use crate::error::Error;
use crate::handlers::integrations::{init, list, validate};

/// Carries one of the commands around providers out.
pub async fn integrations(context: &Context<'_>, args: IntegrationsArgs) -> Result<u8, Error> {
    match args.command {
        IntegrationsCommand::Init { path, force } => {
            let response = init::init(context.app, &context.caller, init::Request { path, force }).await?;
            show(context, &response, &response.path)?;
            Ok(0)
        }
        IntegrationsCommand::Validate { path, provider } => {
            let request = validate::Request { path, provider };
            let response = validate::validate(context.app, &context.caller, request).await?;
            show(context, &response, &checked(&response))?;
            Ok(if response.valid { 0 } else { 2 })
        }
        IntegrationsCommand::List => {
            let response = list::list(context.app, &context.caller).await?;
            show(context, &response, &listed(&response))?;
            Ok(0)
        }
    }
}

fn show(context: &Context<'_>, response: &impl Serialize, text: &str) -> Result<(), Error> {
    if context.output.is_json() {
        return context.output.json(response);
    }
    context.output.text(text);
    Ok(())
}

/// One line per manifest, its problems below it.
fn checked(response: &validate::Response) -> String {
    let mut text = String::new();
    for it in &response.manifests {
        let verdict = if it.valid { "ok" } else { "invalid" };
        let name = it.provider.as_deref().unwrap_or("?");
        text.push_str(&format!("{verdict}  {name}  {} operations  ({})\n", it.operations, it.path));
        for problem in &it.diagnostics {
            let place = format!("{}:{}:{}", it.path, problem.line, problem.column);
            text.push_str(&format!("{place}: {} {} {}\n", problem.severity, problem.code, problem.message));
            text.push_str(&format!("    {}\n", problem.excerpt.trim()));
            if let Some(hint) = &problem.hint {
                text.push_str(&format!("    hint: {hint}\n"));
            }
        }
    }
    let n_invalid = response.manifests.iter().filter(|it| !it.valid).count();
    text.push_str(&format!("{} manifests, {n_invalid} invalid\n", response.total));
    text
}

fn listed(response: &list::Response) -> String {
    let mut text = String::new();
    for it in &response.providers {
        if let Some(error) = &it.error {
            text.push_str(&format!("{}  cannot be used: {error}  ({})\n", it.name, it.source));
            continue;
        }
        let key = match it.key_present {
            None => "needs no key",
            Some(true) => "key present",
            Some(false) => "key missing",
        };
        let (version, auth) = (it.version.as_deref().unwrap_or_default(), it.auth.as_deref().unwrap_or_default());
        let names: Vec<&str> = it.operations.iter().map(|it| it.name.as_str()).collect();
        text.push_str(&format!("{} {version}  {auth}, {key}  ({})\n    {}\n", it.name, it.source, names.join(", ")));
    }
    text.push_str(&format!("{} providers\n", response.total));
    text
}
