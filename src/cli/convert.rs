//! `dipeo convert`.

use clap::Args;

use super::Context;
use super::run::from_stdin;
use crate::error::Error;
use crate::handlers::convert_diagram::{Request, convert_diagram};

/// Example: dipeo convert review review.native.json
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo convert review review.native.json")]
pub struct ConvertArgs {
    /// A file, a name in the workspace, or - for stdin
    pub input: String,
    /// The file to write, or - for stdout
    #[arg(id = "converted", value_name = "OUTPUT")]
    pub output: String,
    /// light, readable or native (detected)
    #[arg(long, value_name = "FORMAT")]
    pub from_format: Option<String>,
    /// light, readable, native, mermaid or dot (by the suffix of OUTPUT)
    #[arg(long, value_name = "FORMAT")]
    pub to_format: Option<String>,
    /// Fail when anything would be lost
    #[arg(long)]
    pub strict: bool,
    /// Write over an existing OUTPUT
    #[arg(long)]
    pub force: bool,
}

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
