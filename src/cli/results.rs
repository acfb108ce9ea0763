//! `dipeo results`.

use clap::{ArgGroup, Args};

use super::args::Form;
use super::page::{Page, Table};
use super::print::readable;
use super::run::{body, error_lines, exit_code, headline, next_step};
use super::{Context, log};
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::execution_object::{ExecutionObject, Omitted, ShownMessage};
use crate::handlers::list_executions;
use crate::handlers::see_result::{self, Detail};
use crate::limits;

/// Example: dipeo results --latest --verbose
#[derive(Debug, Args)]
#[command(
    after_help = "Example: dipeo results --latest --verbose\n         dipeo results exec_0123… --follow",
    group = ArgGroup::new("which").args(["execution_id", "latest"]),
    group = ArgGroup::new("events").args(["logs", "follow"])
)]
pub struct ResultsArgs {
    /// The execution; without it the last ones are listed
    pub execution_id: Option<String>,
    /// The newest execution
    #[arg(long)]
    pub latest: bool,
    /// Conversation, all outputs, variables
    #[arg(long, requires = "which")]
    pub verbose: bool,
    /// Only this node, by label or id
    #[arg(long, value_name = "NODE", requires = "which")]
    pub node: Option<String>,
    /// Only the conversation
    #[arg(long, requires = "which", conflicts_with = "events")]
    pub messages: bool,
    /// What happened, event by event
    #[arg(long, requires = "which")]
    pub logs: bool,
    /// Print events as they happen, until the end, then the result
    #[arg(long, requires = "which", conflicts_with = "wait")]
    pub follow: bool,
    /// Only events after this one
    #[arg(long, value_name = "SEQ", requires = "events")]
    pub since: Option<u64>,
    /// Wait until it has ended or is paused, at most so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60", requires = "which")]
    pub wait: Option<u32>,
    /// Only executions of this status
    #[arg(long, value_name = "STATUS", conflicts_with = "execution_id")]
    pub status: Option<String>,
    /// Only executions of this diagram
    #[arg(long, value_name = "NAME", conflicts_with = "execution_id")]
    pub diagram: Option<String>,
    /// At most so many executions
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "which")]
    pub limit: usize,
    /// Characters to show at most
    #[arg(long, value_name = "N", default_value_t = crate::limits::RESULT_CHARS_DEFAULT)]
    pub max_chars: usize,
}

/// Shows one execution, or lists the last ones.
pub async fn results(context: &Context<'_>, args: ResultsArgs) -> Result<u8, Error> {
    let id = match (&args.execution_id, args.latest) {
        (Some(id), _) => id.clone(),
        (None, true) => newest(context, status_of(&args)?, args.diagram.clone()).await?,
        (None, false) => return list(context, &args).await,
    };
    if args.follow {
        return log::follow(context, &id, &args).await;
    }
    let object = settled(context, &id, &args).await?;
    if args.logs {
        log::logs(context, &id, &args).await?;
    } else if args.messages {
        log::messages(context, &id, &args).await?;
    } else {
        show(context, &object)?;
    }
    Ok(if args.wait.is_some() { exit_code(object.status) } else { 0 })
}

/// The execution, after waiting for its end or a pause as long as was asked.
async fn settled(context: &Context<'_>, id: &str, args: &ResultsArgs) -> Result<ExecutionObject, Error> {
    let detail = args.verbose.then_some(Detail::Full);
    let mut left = args.wait.unwrap_or(0);
    loop {
        let step = left.min(limits::WAIT_SECONDS_MAX);
        left -= step;
        let request = see_result::Request {
            execution_id: id.to_owned(),
            detail,
            node: args.node.clone(),
            wait_seconds: Some(step),
            max_chars: Some(args.max_chars),
            ..Default::default()
        };
        let object = context.see_result(request).await?;
        if left == 0 || object.status.has_ended() || object.status == Status::Paused {
            return Ok(object);
        }
    }
}

/// Prints an execution.
///
/// # Errors
///
/// `INTERNAL` when it cannot be written.
pub(super) fn show(context: &Context<'_>, object: &ExecutionObject) -> Result<(), Error> {
    match context.output.form {
        Form::Json => context.output.json(object),
        Form::Markdown => {
            context.output.text(&described(object).render(Form::Markdown));
            Ok(())
        }
        Form::Text => {
            context.output.text(&describe(object));
            Ok(())
        }
    }
}

fn add_messages(page: &mut Page, messages: &[ShownMessage]) {
    for message in messages {
        page.heading(&speakers(message));
        page.block(&message.content);
    }
}

fn speakers(message: &ShownMessage) -> String {
    let from = message.from.as_deref().unwrap_or(&message.role);
    let to = message.to.as_deref().unwrap_or_default();
    format!("{from} -> {to} ({})", message.node_id)
}

fn left_out(it: &Omitted) -> String {
    format!("left out: {} ({}), see {}", it.what, it.count, it.uri)
}

/// The id of the newest execution, of this status and this diagram if they are given.
///
/// # Errors
///
/// `EXECUTION_NOT_FOUND` when there is none.
pub(super) async fn newest(
    context: &Context<'_>,
    status: Option<Status>,
    diagram: Option<String>,
) -> Result<String, Error> {
    let missing = match &diagram {
        Some(name) => format!("there is no execution of `{name}`"),
        None => "there is no execution yet".to_owned(),
    };
    let request = list_executions::Request { status, diagram, ..Default::default() };
    let found = context.newest_execution(request).await?;
    found
        .map(|it| it.execution_id)
        .ok_or_else(|| Error::not_found("EXECUTION_NOT_FOUND", missing).hint("start one with `dipeo run`"))
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
    let request = list_executions::Request {
        status: status_of(args)?,
        diagram: args.diagram.clone(),
        limit: Some(args.limit),
        ..Default::default()
    };
    let response = context.list_executions(request).await?;
    context.output.show(&response, listed)?;
    Ok(0)
}

fn listed(response: &list_executions::Response) -> Page {
    let count = format!("{} of {} executions", response.executions.len(), response.total);
    let mut page = Page::new("executions");
    let mut table = Table::new(&["execution", "status", "diagram", "started", "ms"]).right(4);
    for it in &response.executions {
        let reason = it.pause_reason.as_deref().or(it.error_code.as_deref());
        let reason = reason.map(|it| format!(" ({it})")).unwrap_or_default();
        table.row([
            it.execution_id.clone(),
            format!("{}{reason}", it.status.name()),
            it.diagram_id.clone().unwrap_or_else(|| "-".to_owned()),
            it.started_at.clone(),
            it.duration_ms.map(|it| it.to_string()).unwrap_or_default(),
        ]);
    }
    page.table(table);
    page.line(&count);
    page
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
            text.push_str(&format!("  {}:\n{}", speakers(message), indented(&message.content)));
        }
    }
    for warning in &object.warnings {
        text.push_str(&format!("warning: {} {}: {}\n", warning.code, warning.node, warning.message));
    }
    for omitted in &object.omitted {
        text.push_str(&format!("{}\n", left_out(omitted)));
    }
    text.push_str(&body(object));
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|it| format!("    {it}\n")).collect()
}

/// An execution as a page, for Markdown.
pub(super) fn described(object: &ExecutionObject) -> Page {
    let mut page = Page::new(headline(object).trim_end());
    let fork =
        object.forked_from.as_ref().map(|it| format!("{} from {}, run {}", it.execution_id, it.node, it.iteration));
    page.facts([
        ("diagram", object.diagram_id.clone().unwrap_or_default()),
        ("a fork of", fork.unwrap_or_default()),
        ("tokens", object.llm_usage.as_ref().map(|it| it.total_tokens.to_string()).unwrap_or_default()),
    ]);
    if let Some(error) = &object.error {
        page.heading("error");
        page.block(&error_lines(error));
    }
    let mut table = Table::new(&["node", "type", "status", "runs", "ms"]).right(3).right(4);
    for it in object.nodes.iter().flatten() {
        let took = it.duration_ms.map(|it| it.to_string()).unwrap_or_default();
        let status = it.status.name().to_owned();
        table.row([it.label.clone(), it.node_type.clone(), status, it.iterations.to_string(), took]);
    }
    if object.nodes.as_ref().is_some_and(|it| !it.is_empty()) {
        page.heading("nodes");
        page.table(table);
    }
    for it in object.nodes.iter().flatten() {
        if let Some(value) = &it.output {
            page.heading(&format!("output of {}", it.label));
            page.block(&readable(value));
        }
    }
    if let Some(value) = &object.final_output {
        page.heading("result");
        page.block(&readable(value));
    }
    if let Some(messages) = object.conversation.as_deref().filter(|it| !it.is_empty()) {
        page.heading("conversation");
        add_messages(&mut page, messages);
    }
    let waiting = object.waiting_for.iter().map(|it| format!("waiting: {} ({}): {}", it.label, it.reason, it.prompt));
    let warnings = object.warnings.iter().map(|it| format!("warning: {} {}: {}", it.code, it.node, it.message));
    waiting.chain(warnings).chain(object.omitted.iter().map(left_out)).for_each(|it| page.item(&it));
    page.line(next_step(object).trim_end());
    page
}
