//! `dipeo export`.

use clap::Args;

use super::Context;
use super::args::FormatArgs;
use crate::error::Error;
use crate::handlers::export_diagram::{Request, export_diagram};

/// Example: dipeo export examples/debate.light.yaml debate.py
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo export examples/debate.light.yaml debate.py")]
pub struct ExportArgs {
    /// A file or a name in the workspace
    pub diagram: String,
    /// The file to write, or - for stdout
    #[arg(value_name = "OUTPUT")]
    pub file: String,
    #[command(flatten)]
    pub format: FormatArgs,
    /// What to export to: python, mermaid or dot (from the suffix of OUTPUT: .py, .mmd, .dot)
    #[arg(long, value_name = "TARGET")]
    pub to: Option<String>,
}

/// Exports a diagram to a file, or to stdout.
pub async fn export(context: &Context<'_>, args: ExportArgs) -> Result<u8, Error> {
    let to = target(&args)?;
    let request = Request { diagram: args.diagram.clone(), format_type: args.format.name(), to };
    let response = export_diagram(context.app, &context.caller, request).await?;
    if args.file == "-" {
        if context.output.is_json() {
            context.output.json(&serde_json::json!({ "path": "-", "text": response.text }))?;
        } else {
            context.output.text(&response.text);
        }
        return Ok(0);
    }
    let path = context.working_dir.join(&args.file);
    std::fs::write(&path, &response.text).map_err(|e| {
        Error::external("FILE_FAILED", format!("cannot write `{}`: {}", args.file, e.kind()))
            .hint("check the folder and its rights")
            .source(e)
    })?;
    if context.output.is_json() {
        context.output.json(&serde_json::json!({ "path": args.file }))?;
    } else {
        context.output.text(&args.file);
    }
    Ok(0)
}

/// What to export to: as said, else by the file's suffix.
fn target(args: &ExportArgs) -> Result<String, Error> {
    if let Some(to) = &args.to {
        return Ok(to.clone());
    }
    let known = [(".py", "python"), (".mmd", "mermaid"), (".mermaid", "mermaid"), (".dot", "dot"), (".gv", "dot")];
    let found = known.iter().find(|(suffix, _)| args.file.ends_with(suffix)).map(|(_, to)| (*to).to_owned());
    found.ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{}` does not say what to export to", args.file))
            .hint("end the file in `.py`, `.mmd` or `.dot`, or add `--to python`")
    })
}
