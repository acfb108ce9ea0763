//! `dipeo watch`: what an execution does while it does it, whichever process runs it.

use clap::{ArgGroup, Args};
use serde_json::Value;

use super::progress::progress;
use super::results::newest;
use super::run::{exit_code, print_outcome};
use super::{Context, print};
use crate::error::Error;
use crate::handlers::follow_execution::{EventRecord, Request, follow_execution};
use crate::handlers::run_diagram::ProgressNote;
use crate::handlers::see_result::{self, see_result};

/// Example: dipeo watch --latest
#[derive(Debug, Args)]
#[command(
    after_help = "The execution goes on when you stop watching. Exit code as of `dipeo run`.\n\
                  Example: dipeo watch --latest",
    group = ArgGroup::new("which").args(["execution_id", "latest"]).required(true)
)]
pub struct WatchArgs {
    /// An execution; whoever runs it
    pub execution_id: Option<String>,
    /// The newest execution
    #[arg(long)]
    pub latest: bool,
}

/// Shows what an execution has done and does, until its end, then its result.
pub async fn watch(context: &Context<'_>, args: WatchArgs) -> Result<u8, Error> {
    let execution_id = match args.execution_id {
        Some(id) => id,
        None => newest(context, None, None).await?,
    };
    let request = Request { execution_id: execution_id.clone(), ..Request::default() };
    let mut follow = follow_execution(context.app, &context.caller, request).await?;
    let mut view = progress(context.output, !context.output.is_json(), false, context.quiet);
    let mut seen = Seen::default();
    while let Some(event) = follow.next().await? {
        let note = seen.note(&event);
        if let (Some(view), Some(note)) = (&mut view, note) {
            view(&note);
        }
        if event.event == "execution_paused" && !context.quiet {
            tell_who_waits(context, &execution_id).await?;
        }
        if print::is_closed() {
            return Ok(0);
        }
    }
    drop(view);
    let request = see_result::Request { execution_id, ..Default::default() };
    let object = see_result(context.app, &context.caller, request, Default::default()).await?;
    print_outcome(context, &object).await?;
    Ok(exit_code(object.status))
}

/// Says on stderr what it waits for, and the command that answers. It may have gone on meanwhile; then nothing waits.
async fn tell_who_waits(context: &Context<'_>, id: &str) -> Result<(), Error> {
    let request = see_result::Request { execution_id: id.to_owned(), ..Default::default() };
    let object = see_result(context.app, &context.caller, request, Default::default()).await?;
    for it in &object.waiting_for {
        context.output.note(&format!("waiting: {} ({}): {}", it.label, it.reason, it.prompt));
    }
    if let Some(next) = object.next.filter(|_| !object.waiting_for.is_empty()) {
        context.output.note(&format!("next: {}", next.split(", or: ").last().unwrap_or(&next)));
    }
    Ok(())
}

/// What was seen of an execution so far.
#[derive(Default)]
struct Seen {
    done: u64,
    total: Option<u64>,
}

impl Seen {
    /// Counts an event; a note when it is worth one.
    fn note(&mut self, event: &EventRecord) -> Option<ProgressNote> {
        let number = |key: &str| event.data.get(key).and_then(Value::as_u64);
        match event.event.as_str() {
            "execution_started" => self.total = number("total"),
            "node_completed" | "node_error" => self.done += 1,
            _ => {}
        }
        let label = event.data.get("label").and_then(Value::as_str)?.to_owned();
        let duration_ms = event.data.get("duration_ms").and_then(Value::as_i64);
        ProgressNote::of(&event.event, label, (self.done, self.total), duration_ms)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_counted_against_the_nodes_there_are() {
        let mut seen = Seen::default();
        let mut told = Vec::new();
        for (event, data) in [
            ("execution_started", json!({"total": 2})),
            ("node_started", json!({"label": "a"})),
            ("node_completed", json!({"label": "a", "duration_ms": 3})),
            ("node_skipped", json!({"label": "c"})),
            ("node_error", json!({"label": "b"})),
            ("execution_completed", json!({})),
        ] {
            let Value::Object(data) = data else { panic!("no map") };
            let note = seen.note(&EventRecord { seq: 1, event: event.to_owned(), data });
            told.extend(note.map(|it| format!("{}/{:?} {} {:?}", it.done, it.total, it.message, it.duration_ms)));
        }
        assert_eq!(told, ["0/Some(2) a runs None", "1/Some(2) a done Some(3)", "2/Some(2) b failed None"]);
    }
}
