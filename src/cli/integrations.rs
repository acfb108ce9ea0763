//! `dipeo integrations`.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Context;
use crate::error::Error;
use crate::handlers::integrations::{import, init, list, test_operation, validate};

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
    #[command(after_help = "Example: dipeo integrations init")]
    Init {
        /// Folder of the manifests (integrations/ of the workspace)
        #[arg(long, value_name = "DIR")]
        path: Option<String>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Check manifests: every problem with its line
    #[command(after_help = "Example: dipeo integrations validate --provider github")]
    Validate {
        /// A manifest or a folder of them (the workspace's and those that come with dipeo)
        #[arg(long, value_name = "PATH")]
        path: Option<String>,
        /// Only this provider
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
    },
    /// Make a manifest of an OpenAPI document (3.0 or 3.1)
    #[command(after_help = "Example: dipeo integrations openapi-import petstore.yaml --name petstore")]
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
    #[command(after_help = "Example: dipeo integrations test github --operation list_repos --replay")]
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
    #[command(after_help = "Example: dipeo integrations list")]
    List,
}

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
        IntegrationsCommand::OpenapiImport { spec, name, name_flag, to, base_url, only, force } => {
            let request = import::Request { spec, name: name.or(name_flag), output: to, base_url, only, force };
            let response = import::import(context.app, &context.caller, request).await?;
            show(context, &response, &imported(&response))?;
            Ok(0)
        }
        IntegrationsCommand::Test { provider, operation, config, record, replay } => {
            let config = config.as_deref().map(config_of).transpose()?;
            let request = test_operation::Request { provider, operation, config, record, replay };
            let response = test_operation::test_operation(context.app, &context.caller, request).await?;
            show(context, &response, &tried(&response))?;
            Ok(0)
        }
        IntegrationsCommand::List => {
            let response = list::list(context.app, &context.caller).await?;
            show(context, &response, &listed(&response))?;
            Ok(0)
        }
    }
}

fn show(context: &Context<'_>, response: &impl Serialize, text: &str) -> Result<(), Error> {
    context.output.plain(response, "integrations", |_| text.to_owned())
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

fn config_of(text: &str) -> Result<Map<String, Value>, Error> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => {
            Err(Error::invalid("INVALID_JSON", "`--config` is no JSON object").hint("as in `--config '{\"id\": 7}'`"))
        }
        Err(error) => Err(Error::invalid("INVALID_JSON", format!("`--config` is no JSON: {error}"))
            .hint("as in `--config '{\"id\": 7}'`")),
    }
}

fn imported(response: &import::Response) -> String {
    let mut text = format!("{}  {} operations  ({})\n", response.provider, response.operations, response.path);
    if !response.left_out.is_empty() {
        text.push_str(&format!("left out ({}):\n", response.left_out.len()));
    }
    for it in &response.left_out {
        text.push_str(&format!("  {it}\n"));
    }
    text.push_str(&format!("next: dipeo integrations test {}\n", response.provider));
    text
}

fn tried(response: &test_operation::Response) -> String {
    let provider = &response.provider;
    let Some(call) = &response.call else {
        let mut text = line_of(provider);
        for it in &provider.operations {
            let about = it.description.as_deref().unwrap_or_default();
            text.push_str(&format!("    {}  {} {}  {about}\n", it.name, it.method, it.path));
        }
        return text;
    };
    let how = if call.replayed { "replayed" } else { "called" };
    let mut text = format!("{} {how}: status {} in {} ms\n", call.operation, call.status, call.duration_ms);
    text.push_str(&format!("{}\n", call.shown));
    let n_shown = call.shown.chars().count();
    if n_shown < call.chars {
        text.push_str(&format!("… ({} more characters)\n", call.chars - n_shown));
    }
    if let Some(path) = &call.recorded {
        text.push_str(&format!("recorded in {path}\n"));
    }
    text
}

fn line_of(it: &list::Provider) -> String {
    if let Some(error) = &it.error {
        return format!("{}  cannot be used: {error}  ({})\n", it.name, it.source);
    }
    let key = match it.key_present {
        None => "needs no key",
        Some(true) => "key present",
        Some(false) => "key missing",
    };
    let (version, auth) = (it.version.as_deref().unwrap_or_default(), it.auth.as_deref().unwrap_or_default());
    format!("{} {version}  {auth}, {key}  ({})\n", it.name, it.source)
}

fn listed(response: &list::Response) -> String {
    let mut text = String::new();
    for it in &response.providers {
        text.push_str(&line_of(it));
        let names: Vec<&str> = it.operations.iter().map(|it| it.name.as_str()).collect();
        if !names.is_empty() {
            text.push_str(&format!("    {}\n", names.join(", ")));
        }
    }
    text.push_str(&format!("{} providers\n", response.total));
    text
}
