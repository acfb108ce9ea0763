//! Jinja2 templates: how one goes to a worker, and what its failures mean for a node. What a template is,
//! only `nodes` knows.

use std::collections::HashSet;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use serde_json::{Map, Value};

use super::failure::Failure;
use super::job::{Dialect, Done, Job, words};
use super::sandbox::Sandbox;
use crate::error::Error;
use crate::nodes::ports::RenderJob;
use crate::nodes::template_job;

/// Renders in a worker.
///
/// # Errors
///
/// `TEMPLATE_FAILED`, `NODE_TIMEOUT`, `INTERNAL`.
pub(super) async fn render(sandbox: &Sandbox, job: RenderJob) -> Result<String, Error> {
    let timeout = job.timeout;
    match sandbox.run_in_worker(&message(job)).await {
        Ok(Done { value: Value::String(text), .. }) => Ok(text),
        Ok(_) => Err(Error::internal("a template rendered no text")),
        Err(failure) => Err(explain(failure, timeout)),
    }
}

/// Renders here, in the worker.
pub(super) fn run(job: &Job) -> Result<Done, Failure> {
    let job = RenderJob {
        template: job.source.clone(),
        names: job.names.clone(),
        variables: job.globals.clone(),
        timeout: Duration::from_millis(job.time_ms),
    };
    // The engine asks for impossible lengths with a panic.
    let rendered = panic::catch_unwind(AssertUnwindSafe(|| template_job::render(&job)));
    match rendered.map_err(|_| Failure::Crashed)? {
        Ok(text) => Ok(Done { value: Value::String(text), truth: false }),
        Err(error) if error.code() == "TEMPLATE_FAILED" => Err(Failure::Template {
            message: error.message().to_owned(),
            hint: error.hint_text().unwrap_or_default().to_owned(),
        }),
        Err(error) => Err(Failure::Bug { message: error.chain() }),
    }
}

fn message(job: RenderJob) -> Job {
    let mut names = job.names;
    forget_unmentioned(&mut names, &job.template, &job.variables);
    Job {
        dialect: Dialect::Template,
        source: job.template,
        function_name: String::new(),
        names,
        inputs: Map::new(),
        globals: job.variables,
        node_id: String::new(),
        time_ms: u64::try_from(job.timeout.as_millis()).unwrap_or(u64::MAX),
        now_ms: 0,
    }
}

/// Empties the values that no text mentions: large ones are then not sent. Their names stay, for "did
/// you mean".
fn forget_unmentioned(names: &mut Map<String, Value>, template: &str, variables: &Map<String, Value>) {
    let variables = Value::Object(variables.clone()).to_string();
    let words: HashSet<&str> = words(template).chain(words(&variables)).collect();
    // `debug()` shows everything there is.
    if words.contains("debug") {
        return;
    }
    for (_, value) in names.iter_mut().filter(|(name, _)| !words.contains(name.as_str())) {
        *value = Value::Null;
    }
}

fn explain(failure: Failure, timeout: Duration) -> Error {
    let failed = |message: &str, hint: &str| Error::invalid("TEMPLATE_FAILED", message).hint(hint);
    match failure {
        Failure::Template { message, hint } => failed(&message, &hint),
        Failure::TimedOut => {
            let message = format!("the template was not rendered within {} s", timeout.as_secs_f64());
            Error::limit("NODE_TIMEOUT", message).hint("loop over shorter lists, or raise the node's `timeout`")
        }
        Failure::OutOfMemory | Failure::Crashed => failed(
            "the template ran out of memory or nested its values too deep",
            "look for a text or list that doubles with each step; only this template was stopped",
        ),
        Failure::TooLarge { .. } => {
            failed("the template reads too large values", "give the node only the inputs it needs")
        }
        Failure::Bug { message } => Error::internal(message),
        other @ (Failure::Raised { .. }
        | Failure::NeedsHost { .. }
        | Failure::NotInstalled { .. }
        | Failure::Unparsable { .. }) => Error::internal(other.describe()),
    }
}
