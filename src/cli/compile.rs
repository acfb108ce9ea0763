//! `dipeo compile`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Context;
use super::args::FormatArgs;
use super::run::from_stdin;
use super::trust::{TrustArgs, trust};
use crate::error::Error;
use crate::handlers::compile_diagram::{Extras, Request, Response};

/// Example: dipeo compile examples/hello.light.yaml
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo compile examples/hello.light.yaml")]
pub struct CompileArgs {
    /// A file or a name in the workspace
    pub diagram: Option<String>,
    /// Read the text from stdin
    #[arg(long, conflicts_with = "diagram")]
    pub stdin: bool,
    #[command(flatten)]
    pub format: FormatArgs,
    /// Structure only: no prompt files, no keys
    #[arg(long)]
    pub check_only: bool,
    /// Save it under this name when it is valid
    #[arg(long, value_name = "NAME")]
    pub push_as: Option<String>,
    /// Folder to save in
    #[arg(long, value_name = "DIR", requires = "push_as")]
    pub target_dir: Option<String>,
    /// Ask for the rights of what is saved, as `dipeo trust` does
    #[arg(long, requires = "push_as")]
    pub trust: bool,
    /// Do not save over another content
    #[arg(long, requires = "push_as")]
    pub create_only: bool,
    /// Apply the repairs a machine can make and print the new text
    #[arg(long)]
    pub fix: bool,
    /// Write the new text to the file instead of printing it
    #[arg(long, requires = "fix", conflicts_with = "stdin")]
    pub write: bool,
}

/// Checks a diagram, prints every problem, and repairs or saves it when asked to.
pub async fn compile(context: &Context<'_>, args: CompileArgs) -> Result<u8, Error> {
    let read = read(context, &args).await?;
    let request = Request {
        content: read.text,
        format_type: args.format.name(),
        push_as: args.push_as.clone(),
        fix: args.fix.then_some(true),
    };
    let extras = Extras {
        check_only: args.check_only,
        target_dir: args.target_dir.clone(),
        create_only: args.create_only,
        base_dir: read.path.as_deref().and_then(|it| it.parent()).map(Path::to_path_buf),
        shown_as: Some(read.shown_as),
        write_to: read.path.filter(|_| args.write),
    };
    if args.trust && context.remote.is_some() {
        return Err(Error::refused("PERMISSION_REQUIRED", "a diagram gets rights at the terminal of its own machine")
            .hint("leave `--trust` out, and run `dipeo trust NAME` on the server's machine"));
    }
    let response = context.compile_diagram(request, extras).await?;
    if args.fix && !context.output.is_json() {
        print_fixed(context, &response, args.write);
    } else {
        let text = |it: &Response| format!("{}{}", it.rendered.as_deref().unwrap_or_default(), saved(it));
        context.output.plain(&response, "compile", text)?;
    }
    if let (true, Some(name)) = (args.trust, response.pushed_as) {
        return grant(context, name).await;
    }
    Ok(if response.report.valid { 0 } else { 2 })
}

/// Asks whether what was saved may do what it wants to; with `--json` stdout is taken, so it says what to type.
async fn grant(context: &Context<'_>, name: String) -> Result<u8, Error> {
    if context.output.is_json() {
        context.output.note(&format!("to give it rights: dipeo trust {name}"));
        return Ok(0);
    }
    let args = TrustArgs { diagram: Some(name), yes: false, list: false, revoke: false, config: false };
    trust(context, args).await
}

/// The new text goes to stdout, for a pipe; what was done and what is left goes to stderr.
fn print_fixed(context: &Context<'_>, response: &Response, is_written: bool) {
    let output = context.output;
    if !is_written {
        output.text(response.content.as_deref().unwrap_or_default());
    }
    for fix in response.fixes.iter().flatten() {
        output.note(&format!("fixed line {}: {} {:?} -> {:?}", fix.line, fix.code, fix.old, fix.new));
    }
    output.note(&format!("{}{}", response.rendered.as_deref().unwrap_or_default(), saved(response)));
}

fn saved(response: &Response) -> String {
    match (&response.pushed_as, response.revision) {
        (Some(name), Some(revision)) => {
            format!("saved as {name}, revision {revision}; a client's rights until `dipeo trust {name}`\n")
        }
        _ => String::new(),
    }
}

/// A text, and where it comes from.
struct Read {
    text: String,
    shown_as: String,
    path: Option<PathBuf>,
}

async fn read(context: &Context<'_>, args: &CompileArgs) -> Result<Read, Error> {
    if args.stdin {
        return Ok(Read { text: from_stdin()?, shown_as: "stdin".to_owned(), path: None });
    }
    let Some(diagram) = &args.diagram else {
        return Err(
            Error::invalid("INVALID_INPUT", "no diagram is given").hint("name a file or a diagram, or use --stdin")
        );
    };
    if let Some(text) = context.remote_text(diagram).await? {
        let path = Some(context.working_dir.join(diagram)).filter(|it| it.is_file());
        return Ok(Read { text, shown_as: diagram.clone(), path });
    }
    let source = context.app.workspace.open_typed(diagram, &context.working_dir, None)?;
    let shown_as = source.path.as_deref().map_or_else(
        || diagram.clone(),
        |it| it.strip_prefix(&context.working_dir).unwrap_or(it).display().to_string(),
    );
    Ok(Read { text: source.text, shown_as, path: source.path })
}
