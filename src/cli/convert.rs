//! `dipeo convert`.

use super::Context;
use super::args::ConvertArgs;
use super::run::from_stdin;
use crate::error::Error;
use crate::handlers::convert_diagram::{Request, convert_diagram};

/// Writes a diagram in another format; what is lost goes to stderr.
pub async fn convert(context: &Context<'_>, args: ConvertArgs) -> Result<u8, Error> {
    let content = match args.input.as_str() {
        "-" => from_stdin()?,
        typed => context.app.workspace.open_typed(typed, &context.working_dir, None)?.text,
    };
    let response = convert_diagram(&Request {
        content,
        from_format: args.from_format,
        to_format: args.to_format,
        output: (args.output != "-").then(|| context.working_dir.join(&args.output)),
        strict: args.strict,
        force: args.force,
    })?;
    if context.output.is_json() {
        context.output.json(&response)?;
        return Ok(0);
    }
    for loss in &response.losses {
        let place = loss.line.map(|it| format!("{}:{it}: ", args.input)).unwrap_or_default();
        context.output.note(&format!("{place}warning: {}", loss.message));
    }
    match &response.content {
        Some(text) => context.output.text(text),
        None => context.output.text(&args.output),
    }
    Ok(0)
}
