//! `dipeo results --logs`, `--messages` and `--follow`: what happened in an execution and what was said.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::args::Form;
use super::events::{Line, is_about};
use super::page::{Page, Table};
use super::print::readable;
use super::results::{ResultsArgs, show};
use super::run::exit_code;
use super::{Context, print};
use crate::error::Error;
use crate::handlers::execution_logs::{self, StoredTransition, TransitionsResponse};
use crate::handlers::execution_messages::{self, StoredMessage};
use crate::handlers::follow_execution::{EventRecord, Request};
use crate::handlers::see_result;

/// Most entries that a handler gives at once.
const PAGE: usize = 1_000;

/// Prints what is in the log by now.
///
/// # Errors
///
/// What `execution_transitions` says.
pub async fn logs(context: &Context<'_>, id: &str, args: &ResultsArgs) -> Result<(), Error> {
    let mut found = TransitionsResponse { transitions: Vec::new(), total: 0 };
    loop {
        let request = execution_logs::Request {
            execution_id: id.to_owned(),
            node: args.node.clone(),
            after: args.since,
            limit: Some(PAGE),
            offset: Some(found.transitions.len()),
        };
        let page = context.execution_transitions(request).await?;
        found.total = page.total;
        found.transitions.extend(page.transitions);
        if found.total <= found.transitions.len() {
            break;
        }
    }
    if context.output.is_json() {
        return context.output.json(&found);
    }
    let labels = labels(context, id).await?;
    let lines: Vec<Line<'_>> = found.transitions.iter().map(|it| stored(it, &labels)).collect();
    if context.output.form == Form::Markdown {
        let mut page = Page::new(&format!("{id}: {} events", found.total));
        let mut table = Table::new(&["seq", "time", "event", "node", ""]).right(0);
        lines.iter().for_each(|it| table.row(it.cells()));
        page.table(table);
        context.output.text(&page.render(Form::Markdown));
        return Ok(());
    }
    let text: String = lines.iter().map(|it| told(*it, args) + "\n").collect();
    context.output.text(&format!("{text}{} events\n", found.total));
    Ok(())
}

/// Node id to label, from the first event.
async fn labels(context: &Context<'_>, id: &str) -> Result<HashMap<String, String>, Error> {
    let request = execution_logs::Request { execution_id: id.to_owned(), limit: Some(1), ..Default::default() };
    let first = context.execution_transitions(request).await?.transitions.into_iter().next();
    let nodes = first.and_then(|it| it.payload.get("nodes")?.as_array().cloned()).unwrap_or_default();
    let text = |node: &Value, key: &str| node.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(nodes.iter().filter_map(|it| Some((text(it, "id")?, text(it, "label")?))).collect())
}

fn stored<'a>(it: &'a StoredTransition, labels: &'a HashMap<String, String>) -> Line<'a> {
    static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
    let node = it.node_id.as_ref().map_or("", |id| labels.get(id).unwrap_or(id));
    let data = it.payload.as_object().unwrap_or(&NOTHING);
    Line { seq: it.seq, at: &it.created_at, event: &it.phase, node, data }
}

/// Prints the conversation.
///
/// # Errors
///
/// What `execution_messages` says.
pub async fn messages(context: &Context<'_>, id: &str, args: &ResultsArgs) -> Result<(), Error> {
    let mut found = execution_messages::Response { messages: Vec::new(), total: 0 };
    loop {
        let request = execution_messages::Request {
            execution_id: id.to_owned(),
            node: args.node.clone(),
            limit: Some(PAGE),
            offset: Some(found.messages.len()),
            ..Default::default()
        };
        let page = context.execution_messages(request).await?;
        found.total = page.total;
        found.messages.extend(page.messages);
        if found.total <= found.messages.len() {
            break;
        }
    }
    context.output.show(&found, |it| {
        let mut page = Page::new(&format!("{id}: {} messages", it.total));
        it.messages.iter().for_each(|it| add_message(&mut page, it));
        page
    })
}

fn add_message(page: &mut Page, it: &StoredMessage) {
    let round = if it.iteration > 1 { format!(", run {}", it.iteration) } else { String::new() };
    page.heading(&format!("{} -> {} ({}{round})", it.from, it.to, it.label));
    page.block(&it.content);
}

/// Prints events as they happen, until the end, then the result. As JSON that is one document, written while it
/// grows: each event on its own line.
///
/// # Errors
///
/// What `follow_execution` says; once the first event stands there, the end of the document says it as well.
pub async fn follow(context: &Context<'_>, id: &str, args: &ResultsArgs) -> Result<u8, Error> {
    let result = see_result::Request {
        execution_id: id.to_owned(),
        node: args.node.clone(),
        max_chars: Some(args.max_chars),
        ..Default::default()
    };
    // A node that is not there is told before anything is followed.
    context.see_result(result.clone()).await?;
    let request = Request { execution_id: id.to_owned(), since: args.since, until: None };
    let mut follow = context.follow_execution(request).await?;
    let output = context.output;
    if output.form == Form::Markdown {
        output.text(&format!("# {id}\n"));
    }
    let mut n_shown = 0_u64;
    loop {
        let event = match follow.next().await {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(error) => return broken_off(context, n_shown, error),
        };
        if !args.node.as_deref().is_none_or(|it| is_about(&event, it)) {
            continue;
        }
        print_event(context, &event, args, n_shown);
        n_shown += 1;
        if print::is_closed() {
            return Ok(0);
        }
    }
    let object = match context.see_result(result).await {
        Ok(object) => object,
        Err(error) => return broken_off(context, n_shown, error),
    };
    if output.is_json() {
        let before = if n_shown == 0 { "{\"events\": [" } else { "" };
        output.text(&format!("{before}], \"execution\": {}}}", json!(object)));
    } else {
        show(context, &object)?;
    }
    Ok(exit_code(object.status))
}

fn print_event(context: &Context<'_>, event: &EventRecord, args: &ResultsArgs, n_before: u64) {
    let output = context.output;
    match output.form {
        Form::Json => {
            let before = if n_before == 0 { "{\"events\": [\n" } else { "," };
            output.text(&format!("{before}{}", json!(event)));
        }
        Form::Text => output.text(&told(Line::of(event), args)),
        Form::Markdown => output.text(&format!("- {}", Line::of(event).to_string().trim_start())),
    }
}

/// Ends the document that has begun; without one the error is printed as always.
fn broken_off(context: &Context<'_>, n_shown: u64, error: Error) -> Result<u8, Error> {
    if !context.output.is_json() || n_shown == 0 {
        return Err(error);
    }
    context.output.text(&format!("], \"error\": {}}}", error.to_json()));
    Ok(error.kind().exit_code())
}

/// A line; with `--verbose` what the event carries stands below it.
fn told(line: Line<'_>, args: &ResultsArgs) -> String {
    if !args.verbose {
        return line.to_string();
    }
    let mut data = line.data.clone();
    data.retain(|name, _| !EVERY_EVENT.contains(&name.as_str()));
    let data = readable(&Value::Object(data));
    let below: String = data.lines().map(|it| format!("\n         {it}")).collect();
    line.to_string() + &below
}

/// What stands in every line already, or is of no use to people.
const EVERY_EVENT: &[&str] = &["execution_id", "seq", "ts", "node_id", "label", "v"];
