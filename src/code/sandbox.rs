//! Runs sandboxed code: what is bounded by its length runs right here, everything else in a worker
//! process of ours that may be killed at any moment.

use std::borrow::Cow;
use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::cache::Cache;
use super::deep_stack;
use super::failure::Failure;
use super::job::{Dialect, Done, Job, Reply};
use super::pool::{Pool, failed};
use super::process::Process;
use super::python::condition::{BUILTINS, Condition};
use super::python::program::{self, Program};
use super::python::straight;
use crate::error::Error;
use crate::limits;

/// Longest time of an inline run. A straight text needs microseconds; one that is slower anyway
/// starts over in a worker, which nobody notices because sandboxed code has no effects.
const INLINE_TIME_MAX: Duration = Duration::from_millis(20);

/// What a value costs beside its text when sizes are added up, in bytes.
const VALUE_BYTES: usize = 16;

/// The sandbox of one server.
pub(super) struct Sandbox {
    workers: Pool,
    /// Compiled texts that may run inline; `None` marks one that may not. A program cannot be shared
    /// between threads, and an inline run is over long before anybody else would notice the lock.
    programs: Cache<String, Option<Mutex<Program>>>,
    conditions: Cache<String, Mutex<Condition>>,
    inline_time: Duration,
}

impl Sandbox {
    /// Makes a sandbox whose workers are started with `command` and of which there are at most `n_max`.
    pub(super) fn new(command: Vec<OsString>, working_dir: &Path, n_max: usize) -> Self {
        let working_dir = working_dir.to_owned();
        let start = move || start_worker(&command, &working_dir);
        let on_exit = |status| Failure::Bug { message: format!("the sandbox worker ended by itself ({status})") };
        Self {
            workers: Pool::new(n_max, Box::new(start), on_exit),
            programs: Cache::default(),
            conditions: Cache::default(),
            inline_time: INLINE_TIME_MAX,
        }
    }

    /// A sandbox without workers: what a busy machine holds up inline has nowhere else to go, so it gets a minute.
    #[cfg(test)]
    pub(super) fn without_workers() -> Self {
        Self { inline_time: Duration::from_secs(60), ..Self::new(Vec::new(), Path::new("/"), 1) }
    }

    /// Runs a job of any dialect.
    pub(super) async fn run(&self, job: &Job) -> Reply {
        if let Err(failure) = check_length(&job.source) {
            return failed(failure);
        }
        if job.dialect == Dialect::Python
            && let Some(reply) = self.run_inline(job)
        {
            return reply;
        }
        self.workers.run(job).await
    }

    /// Runs a straight program here; `None` when it has to go to a worker.
    fn run_inline(&self, job: &Job) -> Option<Reply> {
        let known = self.programs.get_or_try(program::key(job), |_| compile_if_straight(job));
        // A text that does not even parse says so in the worker, with everything else that can go wrong.
        let known = known.ok()?;
        let program = known.as_ref().as_ref()?;
        if !are_small(job.names.values().chain(job.inputs.values()).chain(job.globals.values())) {
            return None;
        }
        let program = program.lock().unwrap_or_else(PoisonError::into_inner);
        let time_max = self.inline_time.min(Duration::from_millis(job.time_ms));
        let run = || program.run_inline(job, time_max, straight::MEMORY_BYTES_MAX);
        let reply = panic::catch_unwind(AssertUnwindSafe(run)).ok()?;
        (!needed_more(&reply.outcome)).then_some(reply)
    }

    /// Returns the compiled expression; `is_taken` says which built-in functions a name hides.
    ///
    /// # Errors
    ///
    /// As [`Condition::compile`].
    pub(super) fn condition(
        &self,
        expression: &str,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<Arc<Mutex<Condition>>, Failure> {
        check_length(expression)?;
        let taken: Vec<&str> = BUILTINS.into_iter().filter(|it| is_taken(it)).collect();
        let key = format!("{expression}\0{}", taken.join(" "));
        self.conditions.get_or_try(key, |_| {
            let compiled = deep_stack::run(|| Condition::compile(expression, |it| taken.contains(&it)));
            compiled.map_err(|error| bug(&error))?.map(Mutex::new)
        })
    }

    /// Evaluates a compiled expression right here; `None` when it has to go to a worker. `given` are
    /// the values of its names, in their order.
    pub(super) fn evaluate_inline(
        &self,
        condition: &Condition,
        given: &[Option<Cow<'_, Value>>],
    ) -> Option<Result<Done, Failure>> {
        let given = || given.iter().map(Option::as_deref);
        if !condition.is_straight() || !are_small(given().flatten()) {
            return None;
        }
        let run = || condition.run_inline(given(), self.inline_time);
        let outcome = panic::catch_unwind(AssertUnwindSafe(run)).ok()?;
        (!needed_more(&outcome)).then_some(outcome)
    }

    /// Runs a job in a worker, be it never so small.
    pub(super) async fn run_in_worker(&self, job: &Job) -> Result<Done, Failure> {
        self.workers.run(job).await.outcome
    }
}

fn start_worker(command: &[OsString], working_dir: &Path) -> Result<Process, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::Bug { message: "no command starts the sandbox worker".into() });
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir(working_dir);
    Process::start(&mut command, false)
        .map_err(|error| Failure::Bug { message: format!("cannot start the sandbox worker: {error}") })
}

/// Parses, and compiles what is straight. Everything else is compiled where it runs.
fn compile_if_straight(job: &Job) -> Result<Option<Mutex<Program>>, Failure> {
    let compiled = deep_stack::run(|| {
        let Ok(parsed) = ruff_python_parser::parse_module(&job.source) else { return Ok(None) };
        if !straight::is_straight(parsed.suite(), &job.function_name) {
            return Ok(None);
        }
        Program::compile_parsed(job, parsed.suite()).map(|it| Some(Mutex::new(it)))
    });
    compiled.map_err(|error| bug(&error))?
}

/// The parsers need stack in proportion to the text, so there is an end to it.
pub(super) fn check_length(source: &str) -> Result<(), Failure> {
    if source.len() <= limits::CODE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the code is longer than {} KiB", limits::CODE_BYTES_MAX / 1024);
    Err(Failure::Raised { exception: "SyntaxError".into(), message, line: None })
}

fn needed_more(outcome: &Result<Done, Failure>) -> bool {
    matches!(outcome, Err(Failure::TimedOut | Failure::OutOfMemory))
}

fn bug(error: &Error) -> Failure {
    Failure::Bug { message: error.chain() }
}

/// Whether all values together are small enough for an inline run.
fn are_small<'v>(mut values: impl Iterator<Item = &'v Value>) -> bool {
    values.try_fold(straight::INPUT_BYTES_MAX, spend).is_some()
}

/// Takes the size of a value off what is left.
fn spend(left: usize, value: &Value) -> Option<usize> {
    let left = left.checked_sub(VALUE_BYTES)?;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(left),
        Value::String(text) => left.checked_sub(text.len()),
        Value::Array(items) => items.iter().try_fold(left, spend),
        Value::Object(map) => {
            map.iter().try_fold(left, |left, (key, value)| spend(left.checked_sub(key.len())?, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn job(source: &str, names: Value) -> Job {
        Job {
            dialect: Dialect::Python,
            source: source.into(),
            function_name: "main".into(),
            names: names.as_object().cloned().unwrap_or_default(),
            inputs: Map::new(),
            globals: Map::new(),
            node_id: "node_1".into(),
            time_ms: 1_000,
            now_ms: 0,
        }
    }

    #[tokio::test]
    async fn a_straight_program_runs_without_a_worker() {
        let sandbox = Sandbox::without_workers();
        for (source, expected) in [
            ("result = {'i': i + 1, 'out': 'x' * 3}", json!({"i": 8, "out": "xxx"})),
            ("def main(data):\n    return len(data)", json!(0)),
            ("print('said')\nreturn i", json!(7)),
        ] {
            let reply = sandbox.run(&job(source, json!({"i": 7}))).await;
            assert_eq!(reply.outcome.map(|it| it.value), Ok(expected), "{source}");
        }
    }

    #[tokio::test]
    async fn what_may_take_long_asks_for_a_worker() {
        let sandbox = Sandbox::without_workers();
        let large = json!({"i": "x".repeat(100_000)});
        for (source, names) in
            [("for x in []: pass", json!({})), ("result = i", large), ("result = 'x' * i", json!({"i": 5_000_000}))]
        {
            let reply = sandbox.run(&job(source, names)).await;
            assert!(matches!(&reply.outcome, Err(Failure::Bug { message }) if message.contains("worker")), "{source}");
        }
    }

    #[tokio::test]
    async fn the_deepest_straight_program_fits_an_ordinary_stack() {
        let sandbox = Sandbox::without_workers();
        let mut deep = json!(1);
        for _ in 0..95 {
            deep = json!([deep]);
        }
        // The interpreter's own limit is 200, and 30 in a debug build.
        let n = if cfg!(debug_assertions) { 25 } else { 190 };
        let nested = format!("{}1{}", "[".repeat(n), "]".repeat(n));
        let source = format!("result = [{nested} == {nested}, [deep] == [deep], repr([deep, deep])[:3]]");
        let reply = sandbox.run(&job(&source, json!({"deep": deep}))).await;
        assert_eq!(reply.outcome.map(|it| it.value), Ok(json!([true, true, "[[["])));
        let chain = format!("result = 1{}", " + 1".repeat(n));
        assert_eq!(sandbox.run(&job(&chain, json!({}))).await.outcome.map(|it| it.value), Ok(json!(n + 1)));
    }
}
