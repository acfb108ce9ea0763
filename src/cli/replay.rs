//! `dipeo replay`.

use clap::Args;
use serde_json::json;

use super::Context;
use super::results::describe;
use crate::error::Error;
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::replay_execution::{Extras, Request};

/// Example: dipeo replay exec_…
#[derive(Debug, Args)]
#[command(after_help = "Every answer from outside is the recorded one: no network, no host effect. \
                        Exit code: 0 the same came out, 1 something else, 6 a request was not recorded.\n\
                        Example: dipeo replay exec_0123…")]
pub struct ReplayArgs {
    /// An execution that has ended
    pub execution_id: String,
    /// Print the id and return; the replay goes on by itself
    #[arg(long)]
    pub background: bool,
}

/// Runs an execution once more from its recordings and says whether the same came out.
pub async fn replay(context: &Context<'_>, args: ReplayArgs) -> Result<u8, Error> {
    let request = Request { execution_id: args.execution_id, wait_seconds: None };
    let extras = Extras { background: args.background, unbounded_wait: true, idempotency_key: None };
    let object = context.replay_execution(request, extras).await?;
    if args.background {
        let line = json!({"session_id": object.execution_id, "execution_id": object.execution_id, "status": "started"});
        context.output.text(&line.to_string());
        return Ok(0);
    }
    context.output.plain(&object, "replay", |it| format!("{}{}", describe(it), verdict(it)))?;
    Ok(exit_code(&object))
}

fn verdict(object: &ExecutionObject) -> String {
    match &object.repeats {
        Some(it) if it.is_equal => format!("equal: the outputs of every node are those of {}\n", it.execution_id),
        Some(it) => format!("different from {}: {}\n", it.execution_id, it.differs.join(", ")),
        None => String::new(),
    }
}

/// 0 the same came out (a failure may be the same, too), 1 something else, 6 a request was not recorded.
fn exit_code(object: &ExecutionObject) -> u8 {
    let is_miss = object.error.as_ref().and_then(|it| it.get("code")).is_some_and(|it| it == "REPLAY_MISS");
    match &object.repeats {
        _ if is_miss => 6,
        Some(it) if it.is_equal => 0,
        Some(_) | None => 1,
    }
}
