//! `dipeo results --logs` and `--follow`: an execution event by event.

use futures_util::FutureExt;
use serde_json::{Value, json};

use super::args::Form;
use super::page::{Page, Table};
use super::print::readable;
use super::results::{ResultsArgs, show};
use super::run::exit_code;
use super::{Context, events, print};
use crate::error::Error;
use crate::handlers::follow_execution::{EventRecord, Follow, Request, follow_execution};
use crate::handlers::see_result::{self, see_result};

/// Prints what is in the log by now.
///
/// # Errors
///
/// What `follow_execution` says.
pub async fn logs(context: &Context<'_>, id: &str, args: &ResultsArgs) -> Result<(), Error> {
    let mut follow = begin(context, id, args).await?;
    let mut found = Vec::new();
    // Pages are read one by one; when the next event is not there at once, it has not happened.
    while let Some(event) = follow.next().now_or_never().transpose()?.flatten() {
        found.extend(wanted(event, args));
    }
    let total = found.len();
    match context.output.form {
        Form::Json => context.output.json(&json!({"execution_id": id, "transitions": found, "total": total})),
        Form::Text => {
            let lines: String = found.iter().map(|it| shown(it, args) + "\n").collect();
            context.output.text(&format!("{lines}{total} events\n"));
            Ok(())
        }
        Form::Markdown => {
            let mut page = Page::new(&format!("{id}: {total} events"));
            let mut table = Table::new(&["seq", "time", "event", "node", ""]).right(0);
            found.iter().for_each(|it| table.row(events::cells(it)));
            page.table(table);
            context.output.text(&page.render(Form::Markdown));
            Ok(())
        }
    }
}

/// Prints events as they happen, until the end, then the result. As JSON that is one document, written while it
/// grows: each event on its own line.
///
/// # Errors
///
/// What `follow_execution` says; once the first event stands there, the end of the document says it as well.
pub async fn follow(context: &Context<'_>, id: &str, args: &ResultsArgs) -> Result<u8, Error> {
    let mut follow = begin(context, id, args).await?;
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
        let Some(event) = wanted(event, args) else { continue };
        match output.form {
            Form::Json => {
                let before = if n_shown == 0 { "{\"events\": [\n" } else { "," };
                output.text(&format!("{before}{}", json!(event)));
            }
            Form::Text => output.text(&shown(&event, args)),
            Form::Markdown => output.text(&format!("- {}", events::line(&event).trim_start())),
        }
        n_shown += 1;
        if print::is_closed() {
            return Ok(0);
        }
    }
    let request =
        see_result::Request { execution_id: id.to_owned(), max_chars: Some(args.max_chars), ..Default::default() };
    let object = match see_result(context.app, &context.caller, request, Default::default()).await {
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

/// Ends the document that has begun; without one the error is printed as always.
fn broken_off(context: &Context<'_>, n_shown: u64, error: Error) -> Result<u8, Error> {
    if !context.output.is_json() || n_shown == 0 {
        return Err(error);
    }
    context.output.text(&format!("], \"error\": {}}}", error.to_json()));
    Ok(error.kind().exit_code())
}

async fn begin(context: &Context<'_>, id: &str, args: &ResultsArgs) -> Result<Follow, Error> {
    let request = Request { execution_id: id.to_owned(), since: args.since, until: None };
    follow_execution(context.app, &context.caller, request).await
}

fn wanted(event: EventRecord, args: &ResultsArgs) -> Option<EventRecord> {
    let is_wanted = args.node.as_deref().is_none_or(|it| events::is_about(&event, it));
    is_wanted.then_some(event)
}

/// A line; with `--verbose` what the event carries stands below it.
fn shown(event: &EventRecord, args: &ResultsArgs) -> String {
    let line = events::line(event);
    if !args.verbose {
        return line;
    }
    let mut data = event.data.clone();
    data.retain(|name, _| !EVERY_EVENT.contains(&name.as_str()));
    let data = readable(&Value::Object(data));
    let below: String = data.lines().map(|it| format!("\n         {it}")).collect();
    line + &below
}

/// What stands in every line already.
const EVERY_EVENT: &[&str] = &["execution_id", "seq", "ts", "node_id", "label"];
