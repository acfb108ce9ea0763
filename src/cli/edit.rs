//! `dipeo edit`.

use clap::Args;
use serde_json::Value;

use super::Context;
use crate::error::Error;
use crate::handlers::edit_diagram::{EditRequest, Extras, Request, edit_diagram};

/// Example: dipeo edit review --set 'writer.max_iteration=3'
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo edit review --set 'writer.max_iteration=3'")]
pub struct EditArgs {
    /// A file or a name in the workspace
    pub diagram: String,
    /// Give a field a value; VALUE is JSON if it parses, else text
    #[arg(long, value_name = "NODE.FIELD=VALUE")]
    pub set: Vec<String>,
    /// Take a field away
    #[arg(long, value_name = "NODE.FIELD")]
    pub unset: Vec<String>,
    /// Give a field of a person a value
    #[arg(long, value_name = "PERSON.FIELD=VALUE")]
    pub set_person: Vec<String>,
    /// Add a node
    #[arg(long, value_name = "LABEL=TYPE")]
    pub add_node: Vec<String>,
    /// Remove a node and its connections
    #[arg(long, value_name = "NODE")]
    pub remove_node: Vec<String>,
    /// Rename a node; its connections follow
    #[arg(long, value_name = "OLD=NEW")]
    pub rename: Vec<String>,
    /// Add a connection
    #[arg(long, value_name = "FROM->TO")]
    pub connect: Vec<String>,
    /// Remove a connection
    #[arg(long, value_name = "FROM->TO")]
    pub disconnect: Vec<String>,
    /// Print the new text and leave the file alone
    #[arg(long)]
    pub print: bool,
}

/// Changes a diagram in place; with `--print` shows the new text instead.
pub async fn edit(context: &Context<'_>, args: EditArgs) -> Result<u8, Error> {
    let edits = edits(&args)?;
    if edits.is_empty() {
        return Err(
            Error::invalid("INVALID_INPUT", "no change is given").hint("dipeo edit FILE --set NODE.FIELD=VALUE")
        );
    }
    let request = Request { diagram: Some(args.diagram.clone()), edits, ..Request::default() };
    let response = edit_diagram(context.app, &context.caller, request, Extras { in_place: !args.print }).await?;
    if context.output.is_json() {
        context.output.json(&response)?;
    } else if args.print {
        context.output.text(&response.content);
    } else {
        let report = &response.compiled.report;
        for it in report.errors.iter().chain(&report.warnings) {
            context.output.note(&format!(
                "{}:{}:{}: {} {} {}",
                args.diagram, it.line, it.column, it.severity, it.code, it.message
            ));
        }
        let what = if response.changed { "edited" } else { "unchanged" };
        context.output.text(&format!("{what} {}", args.diagram));
    }
    Ok(if response.compiled.report.valid { 0 } else { 2 })
}

/// The changes in a fixed order: what is added can be set and connected, and names change last.
fn edits(args: &EditArgs) -> Result<Vec<EditRequest>, Error> {
    let pair = |text: &str, separator: &str, form: &str| {
        let parts = text.split_once(separator).map(|(left, right)| (left.trim().to_owned(), right.trim().to_owned()));
        parts.ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{text}` is not of the form {form}")).hint(format!("write {form}"))
        })
    };
    let mut edits = Vec::new();
    for text in &args.add_node {
        let (label, kind) = pair(text, "=", "LABEL=TYPE")?;
        edits.push(EditRequest::AddNode { label, kind, fields: Default::default() });
    }
    for text in &args.set {
        let (at, value) = pair(text, "=", "NODE.FIELD=VALUE")?;
        edits.push(EditRequest::SetField { at, value: value_of(&value) });
    }
    for text in &args.set_person {
        let (at, value) = pair(text, "=", "PERSON.FIELD=VALUE")?;
        edits.push(EditRequest::SetPersonField { at, value: value_of(&value) });
    }
    edits.extend(args.unset.iter().map(|it| EditRequest::RemoveField { at: it.clone() }));
    for text in &args.disconnect {
        let (from, to) = pair(text, "->", "FROM->TO")?;
        edits.push(EditRequest::RemoveConnection { from, to });
    }
    for text in &args.connect {
        let (from, to) = pair(text, "->", "FROM->TO")?;
        edits.push(EditRequest::AddConnection { from, to, label: None, content_type: None });
    }
    edits.extend(args.remove_node.iter().map(|it| EditRequest::RemoveNode { node: it.clone() }));
    for text in &args.rename {
        let (node, label) = pair(text, "=", "OLD=NEW")?;
        edits.push(EditRequest::RenameNode { node, label });
    }
    Ok(edits)
}

/// JSON if it parses, else text.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
