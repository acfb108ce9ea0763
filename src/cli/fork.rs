//! `dipeo fork`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use super::results::show;
use super::run::{Interrupt, abort, exit_code};
use super::{Context, progress};
use crate::error::Error;
use crate::handlers::fork_execution::{Extras, Request};
use crate::handlers::run_diagram::Waiting;

/// Example: dipeo fork exec_… --from write --prompt write=shorter.txt
#[derive(Debug, Args)]
#[command(after_help = "Example: dipeo fork exec_0123… --from write --prompt write=shorter.txt")]
pub struct ForkArgs {
    /// The execution to take over
    pub execution_id: String,
    /// The node to go on from, by label or id; write:2 for its second run (default: the node that failed)
    #[arg(long, value_name = "NODE[:RUN]")]
    pub from: Option<String>,
    /// A field of a node or person; VALUE is JSON if it parses, else text
    #[arg(long, value_name = "NODE.FIELD=VALUE")]
    pub set: Vec<String>,
    /// The prompt of a node, from a file
    #[arg(long, value_name = "NODE=FILE")]
    pub prompt: Vec<String>,
    /// Another model for a person
    #[arg(long, value_name = "PERSON=MODEL")]
    pub model: Vec<String>,
    /// The value of the node to go on from, which does not run then; also --output NODE=VALUE
    #[arg(long, value_name = "NODE=VALUE")]
    pub set_output: Option<String>,
    /// A changed diagram; its nodes are recognised by label, else by id
    #[arg(long, value_name = "FILE")]
    pub diagram: Option<PathBuf>,
    /// Another value of an input, for what has not run yet
    #[arg(long = "input", value_name = "NAME=VALUE")]
    pub input: Vec<String>,
    /// Print the id and return; the run goes on by itself
    #[arg(long)]
    pub background: bool,
}

/// Makes the fork and shows what became of it.
pub async fn fork(context: &Context<'_>, args: ForkArgs) -> Result<u8, Error> {
    let request = request(&args, &context.working_dir)?;
    let base_dir = args.diagram.as_ref().and_then(|it| context.working_dir.join(it).parent().map(Path::to_path_buf));
    let extras = Extras { background: args.background, unbounded_wait: true, base_dir, idempotency_key: None };
    if args.background {
        let object = context.fork_execution(request, extras, Waiting::default()).await?;
        let id = &object.execution_id;
        context.output.text(&json!({"session_id": id, "execution_id": id, "status": "started"}).to_string());
        return Ok(0);
    }
    let interrupt = Interrupt::listen();
    let on_progress = progress::progress(context.output, false, false, context.quiet);
    let waiting = Waiting { cancel: interrupt.token.clone(), on_progress, on_token: None };
    let object = context.fork_execution(request, extras, waiting).await?;
    if interrupt.happened() && !object.status.has_ended() {
        show(context, &abort(context, &object).await?)?;
        return Ok(130);
    }
    show(context, &object)?;
    Ok(exit_code(object.status))
}

fn request(args: &ForkArgs, working_dir: &Path) -> Result<Request, Error> {
    let (mut node, mut output) = (args.from.clone(), None);
    if let Some(given) = &args.set_output {
        let (name, value) = pair(given, "NODE=VALUE")?;
        node = Some(node_of_output(node, name)?);
        output = Some(value_of(value));
    }
    let mut request = Request { execution_id: args.execution_id.clone(), node, output, ..Request::default() };
    for text in &args.set {
        let (at, value) = pair(text, "NODE.FIELD=VALUE")?;
        request.set.insert(at.to_owned(), value_of(value));
    }
    for text in &args.prompt {
        let (node, file) = pair(text, "NODE=FILE")?;
        request.prompts.insert(node.to_owned(), read(&working_dir.join(file))?);
    }
    for text in &args.model {
        let (person, model) = pair(text, "PERSON=MODEL")?;
        request.models.insert(person.to_owned(), model.to_owned());
    }
    request.inputs = args.input.iter().map(|it| input(it)).collect::<Result<Map<_, _>, _>>()?;
    request.diagram = args.diagram.as_ref().map(|it| read(&working_dir.join(it))).transpose()?;
    Ok(request)
}

/// A value is for the node that the fork goes on from; naming it once is enough.
fn node_of_output(from: Option<String>, name: &str) -> Result<String, Error> {
    let names_it = |from: &String| from == name || from.rsplit_once(':').is_some_and(|(node, _)| node == name);
    match from {
        Some(from) if names_it(&from) => Ok(from),
        Some(from) => {
            let message = format!("the value is for `{name}`, and the fork goes on from `{from}`");
            Err(Error::invalid("INVALID_INPUT", message).hint("give the value to the node that `--from` names"))
        }
        None => Ok(name.to_owned()),
    }
}

fn input(text: &str) -> Result<(String, Value), Error> {
    let (name, value) = pair(text, "NAME=VALUE")?;
    Ok((name.to_owned(), value_of(value)))
}

fn pair<'t>(text: &'t str, form: &str) -> Result<(&'t str, &'t str), Error> {
    text.split_once('=').ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{text}` is not of the form {form}")).hint(format!("write {form}"))
    })
}

/// JSON if it parses, else text.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|e| {
        Error::not_found("FILE_NOT_FOUND", format!("cannot read `{}`: {}", path.display(), e.kind()))
            .hint("give a file with UTF-8 text")
    })
}
