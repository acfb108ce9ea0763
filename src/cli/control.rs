//! `dipeo control`.

use clap::Args;
use serde_json::Value;

use super::Context;
use super::print::readable;
use super::question::value_of;
use super::results::{describe, show};
use super::run::exit_code;
use crate::error::Error;
use crate::handlers::control_execution::Request;
use crate::handlers::execution_object::Inspection;

/// Example: dipeo control exec_… answer yes --node approve
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo control exec_0123… answer yes --node approve")]
pub struct ControlArgs {
    pub execution_id: String,
    /// answer, pause, resume (continue; also opens again what failed or was aborted), abort (cancel, stop),
    /// complete, step, set_breakpoints, set_output or inspect
    pub action: String,
    /// The answer or output: JSON if it parses, else text; breakpoints: NODE,NODE; for resume a higher budget,
    /// such as '{"usd": 0.1}'
    pub value: Option<String>,
    /// The waiting node, or the one to look at, by label or id
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Why; stored with what ends or reopens an execution
    #[arg(long)]
    pub reason: Option<String>,
}

/// Example: dipeo cancel exec_0123…
#[derive(Debug, Args)]
#[command(
    after_help = "The same as `dipeo control ID abort`.\nExample: dipeo cancel exec_0123… --reason 'wrong input'"
)]
pub struct CancelArgs {
    pub execution_id: String,
    /// Why; stored with the end
    #[arg(long)]
    pub reason: Option<String>,
}

/// Example: dipeo answer exec_0123… yes --node approve
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo answer exec_0123… yes --node approve")]
pub struct AnswerArgs {
    pub execution_id: String,
    /// The answer; text that begins with { or [ is read as JSON
    pub value: String,
    /// The waiting node, by label or id; needed when several wait
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
}

/// Example: dipeo pause exec_0123…
#[derive(Debug, Args)]
#[command(after_help = "What runs ends first; nothing new starts.\nExample: dipeo pause exec_0123…")]
pub struct PauseArgs {
    pub execution_id: String,
    /// Why; stored with the pause
    #[arg(long)]
    pub reason: Option<String>,
}

/// Example: dipeo resume exec_0123…
#[derive(Debug, Args)]
#[command(after_help = "What failed or was aborted is opened again; nodes that completed do not run again.\n\
                        Example: dipeo resume exec_0123…")]
pub struct ResumeArgs {
    pub execution_id: String,
    /// A higher budget for one that ran out of it, such as '{"usd": 0.1}'
    pub budget: Option<String>,
    /// The node that waits for it, by label or id
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Why; stored with it
    #[arg(long)]
    pub reason: Option<String>,
}

impl ControlArgs {
    fn new(execution_id: String, action: &str) -> Self {
        Self { execution_id, action: action.to_owned(), value: None, node: None, reason: None }
    }
}

impl From<CancelArgs> for ControlArgs {
    fn from(it: CancelArgs) -> Self {
        Self { reason: it.reason, ..Self::new(it.execution_id, "abort") }
    }
}

impl From<AnswerArgs> for ControlArgs {
    fn from(it: AnswerArgs) -> Self {
        Self { value: Some(it.value), node: it.node, ..Self::new(it.execution_id, "answer") }
    }
}

impl From<PauseArgs> for ControlArgs {
    fn from(it: PauseArgs) -> Self {
        Self { reason: it.reason, ..Self::new(it.execution_id, "pause") }
    }
}

impl From<ResumeArgs> for ControlArgs {
    fn from(it: ResumeArgs) -> Self {
        Self { value: it.budget, node: it.node, reason: it.reason, ..Self::new(it.execution_id, "resume") }
    }
}

/// Carries a control action out and shows the execution as it is then.
pub async fn control(context: &Context<'_>, args: ControlArgs) -> Result<u8, Error> {
    let value = args.value.as_deref().map(|it| match args.action.as_str() {
        // What a person types as an answer is text; the node makes a number or boolean of it.
        "answer" | "set_breakpoints" if !it.starts_with(['{', '[']) => value_of(it, false),
        _ => value_of(it, true),
    });
    let request = Request {
        execution_id: args.execution_id,
        action: args.action,
        node: args.node,
        value,
        wait_seconds: None,
        reason: args.reason,
    };
    let object = context.control_execution(request).await?;
    match object.inspection.as_deref() {
        Some(found) => {
            let title = format!("{} inside", object.execution_id);
            context.output.plain(&object, &title, |it| format!("{}{}", described(found), describe(it)))?;
        }
        None => show(context, &object)?,
    }
    let was_wished = object.inspection.is_some() || object.status == crate::engine::Status::Aborted;
    Ok(if was_wished { 0 } else { exit_code(object.status) })
}

/// What `inspect` found, in words.
fn described(found: &Inspection) -> String {
    let mut text = String::new();
    if let Some(node) = &found.node {
        text.push_str(&format!(
            "{} ({}), run {}: {}\n",
            node.label,
            node.node_type,
            node.iteration,
            node.status.name()
        ));
        for (name, value) in &node.inputs {
            let from = node.sources.get(name).and_then(Value::as_str).map(|it| format!(" (from {it})"));
            text.push_str(&format!("  input {name}{}: {}\n", from.unwrap_or_default(), readable(value).trim_end()));
        }
        if let Some(value) = &node.given {
            text.push_str(&format!("  was given: {}\n", readable(value).trim_end()));
        }
    }
    for (name, value) in &found.variables {
        text.push_str(&format!("  variable {name}: {}\n", readable(value).trim_end()));
    }
    let waits_for = found.node.as_ref().map(|it| it.waits_for.as_slice()).unwrap_or_default();
    let lists: [(&str, &[String]); 4] = [
        ("waits for", waits_for),
        ("next", &found.ready),
        ("under way", &found.under_way),
        ("breakpoints", &found.breakpoints),
    ];
    for (what, labels) in lists.into_iter().filter(|(_, labels)| !labels.is_empty()) {
        text.push_str(&format!("  {what}: {}\n", labels.join(", ")));
    }
    text
}
