//! `dipeo results`.

use clap::Args;

use super::Context;
use super::print::readable;
use super::run::{body, exit_code, headline};
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::list_executions;
use crate::handlers::see_result::{self, Detail};
use crate::limits;

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

/// Shows one execution, or lists the last ones.
pub async fn results(context: &Context<'_>, args: ResultsArgs) -> Result<u8, Error> {
    let id = match (&args.execution_id, args.latest) {
        (Some(id), _) => id.clone(),
        (None, true) => latest(context, &args).await?,
        (None, false) => return list(context, &args).await,
    };
    let waits = args.wait.is_some();
    let mut left = args.wait.unwrap_or(0);
    let object = loop {
        let step = left.min(limits::WAIT_SECONDS_MAX);
        left -= step;
        let request = see_result::Request {
            execution_id: id.clone(),
            detail: args.verbose.then_some(Detail::Full),
            node: args.node.clone(),
            wait_seconds: Some(step),
            max_chars: Some(args.max_chars),
            ..Default::default()
        };
        let object = context.see_result(request).await?;
        if left == 0 || object.status.has_ended() || object.status == Status::Paused {
            break object;
        }
    };
    if context.output.is_json() {
        context.output.json(&object)?;
    } else {
        context.output.text(&describe(&object));
    }
    Ok(if waits { exit_code(object.status) } else { 0 })
}

async fn latest(context: &Context<'_>, args: &ResultsArgs) -> Result<String, Error> {
    let request = list_executions::Request { status: status_of(args)?, diagram: args.diagram.clone(), limit: None };
    let found = context.newest_execution(request).await?;
    found.map(|it| it.execution_id).ok_or_else(|| {
        Error::not_found("EXECUTION_NOT_FOUND", "there is no execution yet").hint("start one with `dipeo run`")
    })
}

fn status_of(args: &ResultsArgs) -> Result<Option<Status>, Error> {
    match &args.status {
        None => Ok(None),
        Some(text) => Status::parse(text).map(Some).ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{text}` is no status"))
                .hint("write pending, running, paused, completed, failed or aborted")
        }),
    }
}

async fn list(context: &Context<'_>, args: &ResultsArgs) -> Result<u8, Error> {
    let request =
        list_executions::Request { status: status_of(args)?, diagram: args.diagram.clone(), limit: Some(args.limit) };
    let response = context.list_executions(request).await?;
    if context.output.is_json() {
        context.output.json(&response)?;
        return Ok(0);
    }
    let mut text = String::new();
    for it in &response.executions {
        let reason =
            it.pause_reason.as_deref().or(it.error_code.as_deref()).map(|it| format!(" ({it})")).unwrap_or_default();
        let took = it.duration_ms.map(|ms| format!("  {ms} ms")).unwrap_or_default();
        let diagram = it.diagram_id.as_deref().unwrap_or("-");
        text.push_str(&format!(
            "{}  {}{reason}  {diagram}  {}{took}\n",
            it.execution_id,
            it.status.name(),
            it.started_at
        ));
    }
    text.push_str(&format!("{} of {} executions\n", response.executions.len(), response.total));
    context.output.text(&text);
    Ok(0)
}

/// An execution in words.
pub fn describe(object: &ExecutionObject) -> String {
    let mut text = headline(object);
    if let Some(it) = &object.forked_from {
        text.push_str(&format!("  a fork of {} from {}, run {}\n", it.execution_id, it.node, it.iteration));
    }
    for node in object.nodes.iter().flatten() {
        let took = node.duration_ms.map(|ms| format!("  {ms} ms")).unwrap_or_default();
        text.push_str(&format!(
            "  {} ({})  {} x{}{took}\n",
            node.label,
            node.node_type,
            node.status.name(),
            node.iterations
        ));
        for answer in &node.answers {
            text.push_str(&format!("    answered by {} ({})\n", answer.by, answer.at));
        }
        if let Some(value) = &node.output {
            text.push_str(&indented(&readable(value)));
        }
        if let Some(error) = &node.error {
            text.push_str(&indented(&format!("error: {}", readable(error))));
        }
    }
    if let Some(conversation) = &object.conversation
        && !conversation.is_empty()
    {
        text.push_str("conversation:\n");
        for message in conversation {
            let from = message.from.as_deref().unwrap_or(&message.role);
            let to = message.to.as_deref().unwrap_or_default();
            text.push_str(&format!("  {from} -> {to} ({}):\n{}", message.node_id, indented(&message.content)));
        }
    }
    for warning in &object.warnings {
        text.push_str(&format!("warning: {} {}: {}\n", warning.code, warning.node, warning.message));
    }
    for omitted in &object.omitted {
        text.push_str(&format!("left out: {} ({}), see {}\n", omitted.what, omitted.count, omitted.uri));
    }
    text.push_str(&body(object));
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|it| format!("    {it}\n")).collect()
}
