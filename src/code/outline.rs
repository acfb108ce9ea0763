//! Outlines of TypeScript sources: how one goes to a worker, and what its failures mean for a node. The
//! parser recurses without limit over what it is given, so it never runs in this process.

use std::time::Duration;

use serde_json::{Map, Value};

use super::failure::{self, Failure};
use super::javascript;
use super::job::{Dialect, Done, Job};
use super::sandbox::Sandbox;
use crate::error::Error;
use crate::limits;
use crate::nodes::ports::outline::{Outline, OutlineJob, OutlineOptions};

/// Outlines in a worker.
///
/// # Errors
///
/// `PARSE_FAILED`, `NODE_TIMEOUT`, `INTERNAL`.
pub(super) async fn outline(sandbox: &Sandbox, job: OutlineJob) -> Result<Outline, Error> {
    if job.source.len() > limits::OUTLINE_BYTES_MAX {
        let message = format!("the source is larger than {} KiB", limits::OUTLINE_BYTES_MAX / 1024);
        return Err(Error::limit("PARSE_FAILED", message).hint("outline the files it is made of one by one"));
    }
    let timeout = job.timeout;
    match sandbox.run_in_worker(&message(job)?).await {
        Ok(Done { value, .. }) => {
            serde_json::from_value(value).map_err(|error| Error::internal("a worker sent no outline").source(error))
        }
        Err(failure) => Err(explain(failure, timeout)),
    }
}

/// Outlines here, in the worker.
pub(super) fn run(job: &Job) -> Result<Done, Failure> {
    let bug = |error: serde_json::Error| Failure::Bug { message: error.to_string() };
    let options: OutlineOptions = serde_json::from_value(Value::Object(job.inputs.clone())).map_err(bug)?;
    let outline = javascript::outline::outline(&job.source, &options)?;
    let value = serde_json::to_value(outline).map_err(bug)?;
    if value.to_string().len() > limits::CODE_OUTPUT_BYTES_MAX {
        return Err(Failure::TooLarge { what: "the outline".into() });
    }
    Ok(Done { value, truth: false })
}

fn message(job: OutlineJob) -> Result<Job, Error> {
    let options = match serde_json::to_value(job.options) {
        Ok(Value::Object(options)) => options,
        Ok(_) => return Err(Error::internal("options of an outline are no map")),
        Err(error) => return Err(Error::internal("unwritable options of an outline").source(error)),
    };
    Ok(Job {
        dialect: Dialect::Outline,
        source: job.source,
        function_name: String::new(),
        names: Map::new(),
        inputs: options,
        globals: Map::new(),
        node_id: String::new(),
        time_ms: u64::try_from(job.timeout.as_millis()).unwrap_or(u64::MAX),
        now_ms: 0,
    })
}

fn explain(failure: Failure, timeout: Duration) -> Error {
    let failed = |message: &str, hint: &str| Error::invalid("PARSE_FAILED", message).hint(hint);
    match failure {
        Failure::Unparsable { message, line, column } => {
            failure::unparsable(&message, line, column).hint("correct the TypeScript source at that place")
        }
        Failure::TimedOut => {
            let message = format!("the source was not parsed within {} s", timeout.as_secs_f64());
            Error::limit("NODE_TIMEOUT", message).hint("outline smaller files, or raise the node's `timeout`")
        }
        Failure::OutOfMemory | Failure::Crashed => failed(
            "the source is nested too deep or needs too much memory to parse",
            "flatten its deepest expression or outline smaller files; only this source was stopped",
        ),
        Failure::TooLarge { what } => failed(
            &format!("{what} is larger than {} MiB", limits::CODE_OUTPUT_BYTES_MAX / (1024 * 1024)),
            "ask for fewer `extract_patterns`, or outline smaller files",
        ),
        Failure::Bug { message } => Error::internal(message),
        other @ (Failure::Raised { .. }
        | Failure::NeedsHost { .. }
        | Failure::NotInstalled { .. }
        | Failure::Template { .. }) => Error::internal(other.describe()),
    }
}
