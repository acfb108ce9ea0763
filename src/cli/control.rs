//! `dipeo control`.

use super::Context;
use super::args::ControlArgs;
use super::question::value_of;
use super::results::describe;
use super::run::exit_code;
use crate::error::Error;
use crate::handlers::control_execution::{Request, control_execution};
use crate::handlers::run_diagram::Waiting;

/// Carries a control action out and shows the execution as it is then.
pub async fn control(context: &Context<'_>, args: ControlArgs) -> Result<u8, Error> {
    let value = args.value.as_deref().map(|it| match args.action.as_str() {
        // What a person types as an answer is text; the node makes a number or boolean of it.
        "answer" if !it.starts_with(['{', '[']) => value_of(it, false),
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
    let object = control_execution(context.app, &context.caller, request, Waiting::default()).await?;
    if context.output.is_json() {
        context.output.json(&object)?;
    } else {
        context.output.text(&describe(&object));
    }
    Ok(if object.status == crate::engine::Status::Aborted { 0 } else { exit_code(object.status) })
}
