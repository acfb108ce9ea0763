//! `dipeo watch`: what an execution does while it does it, whichever process runs it.

use clap::{ArgGroup, Args};

use super::progress::{Seen, progress};
use super::results::newest;
use super::run::{exit_code, print_outcome};
use super::{Context, print};
use crate::error::Error;
use crate::handlers::follow_execution::Request;
use crate::handlers::see_result;

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
    let mut follow = context.follow_execution(request).await?;
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
    let object = context.see_result(request).await?;
    print_outcome(context, &object).await?;
    Ok(exit_code(object.status))
}

/// Says on stderr what it waits for, and the command that answers. It may have gone on meanwhile; then nothing waits.
async fn tell_who_waits(context: &Context<'_>, id: &str) -> Result<(), Error> {
    let request = see_result::Request { execution_id: id.to_owned(), ..Default::default() };
    let object = context.see_result(request).await?;
    for it in &object.waiting_for {
        context.output.note(&format!("waiting: {} ({}): {}", it.label, it.reason, it.prompt));
    }
    if let Some(next) = object.next.filter(|_| !object.waiting_for.is_empty()) {
        context.output.note(&format!("next: {}", next.split(", or: ").last().unwrap_or(&next)));
    }
    Ok(())
}
