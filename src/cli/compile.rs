//! `dipeo compile`.

use super::Context;
use super::args::CompileArgs;
use super::run::from_stdin;
use crate::error::Error;
use crate::handlers::compile_diagram::{Extras, Request, compile_diagram};

/// Checks a diagram, prints every problem, and saves it when asked to.
pub async fn compile(context: &Context<'_>, args: CompileArgs) -> Result<u8, Error> {
    let (text, path, base_dir) = read(context, &args)?;
    let request = Request { content: text, format_type: args.format.name(), push_as: args.push_as.clone() };
    let extras = Extras {
        check_only: args.check_only,
        target_dir: args.target_dir.clone(),
        create_only: args.create_only,
        base_dir,
        shown_as: Some(path),
    };
    let response = compile_diagram(context.app, &context.caller, request, extras).await?;
    let rendered = response.rendered.clone().unwrap_or_default();
    if args.fix {
        context.output.text(&rendered.repaired);
        return Ok(0);
    }
    if context.output.is_json() {
        context.output.json(&response)?;
    } else {
        let mut shown = rendered.text;
        if let (Some(name), Some(revision)) = (&response.pushed_as, response.revision) {
            shown.push_str(&format!(
                "saved as {name}, revision {revision}; a client's rights until `dipeo trust {name}`\n"
            ));
        }
        context.output.text(&shown);
    }
    Ok(if response.report.valid { 0 } else { 2 })
}

fn read(context: &Context<'_>, args: &CompileArgs) -> Result<(String, String, Option<std::path::PathBuf>), Error> {
    if args.stdin {
        return Ok((from_stdin()?, "stdin".to_owned(), None));
    }
    let Some(diagram) = &args.diagram else {
        return Err(
            Error::invalid("INVALID_INPUT", "no diagram is given").hint("name a file or a diagram, or use --stdin")
        );
    };
    let source = context.app.workspace.open_typed(diagram, &context.working_dir, None)?;
    let base_dir = source.path.as_deref().and_then(|it| it.parent()).map(std::path::Path::to_path_buf);
    let shown = source.path.as_deref().map_or_else(
        || diagram.clone(),
        |it| it.strip_prefix(&context.working_dir).unwrap_or(it).display().to_string(),
    );
    Ok((source.text, shown, base_dir))
}
