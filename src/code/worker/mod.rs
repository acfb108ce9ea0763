//! The sandbox worker: a process of ours that runs one piece of code at a time and may die of it.
//! It reads jobs from its standard input and writes replies to its standard output. Before the first
//! job it gives up whatever it does not need (`confine`).

mod confine;
mod memory;

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::cache::Cache;
use super::deep_stack;
use super::failure::Failure;
use super::job::{Dialect, Done, Job, Reply};
use super::python::condition::Condition;
use super::python::program::{self, Program};
use super::{frame, javascript, outline, template};
use memory::MemoryWatch;

/// The hidden subcommand of the program that is a worker.
pub const SUBCOMMAND: &str = "code-worker";

/// Runs the worker until its standard input ends. `main` calls it for the hidden subcommand
/// `code-worker`, before anything else is set up.
pub fn main() -> ExitCode {
    let watch = match MemoryWatch::start() {
        Ok(watch) => watch,
        Err(error) => return report(&error),
    };
    if let Err(error) = confine::confine() {
        return report(&error);
    }
    let (jobs, queue) = mpsc::sync_channel(1);
    let working = thread::Builder::new()
        .name("code".into())
        .stack_size(deep_stack::STACK_BYTES)
        .spawn(move || work(&queue, &watch));
    if let Err(error) = working {
        return report(&error);
    }
    // Reading goes on while code runs: when the parent is gone the input ends, and so does this
    // process, whatever the code is doing.
    let mut input = io::stdin().lock();
    while let Ok(Some(body)) = frame::read(&mut input) {
        if jobs.send(body).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn report(error: &io::Error) -> ExitCode {
    eprintln!("the sandbox worker cannot start: {error}");
    ExitCode::FAILURE
}

fn work(queue: &Receiver<Vec<u8>>, watch: &MemoryWatch) {
    let mut interpreters = Interpreters::default();
    while let Ok(body) = queue.recv() {
        let job = serde_json::from_slice::<Job>(&body);
        drop(body);
        // What the job brings along is not the doing of its code, so counting begins here.
        watch.begin();
        let reply = match job {
            Ok(job) => panic::catch_unwind(AssertUnwindSafe(|| interpreters.run(&job))).unwrap_or_else(|_| {
                interpreters = Interpreters::default();
                failed(Failure::Bug { message: "an interpreter panicked".into() })
            }),
            Err(error) => failed(Failure::Bug { message: format!("the worker got an unreadable job: {error}") }),
        };
        watch.end();
        let body = serde_json::to_vec(&reply).unwrap_or_default();
        if frame::write(&mut io::stdout().lock(), &body).is_err() {
            return;
        }
    }
}

/// What has been compiled so far.
#[derive(Default)]
struct Interpreters {
    programs: Cache<String, Program>,
    conditions: Cache<String, Condition>,
}

impl Interpreters {
    fn run(&self, job: &Job) -> Reply {
        match job.dialect {
            Dialect::Python => match self.program(job) {
                Ok(program) => program.run(job),
                Err(failure) => failed(failure),
            },
            Dialect::Condition => match self.condition(job) {
                Ok(condition) => condition.run(job),
                Err(failure) => failed(failure),
            },
            Dialect::JavaScript | Dialect::TypeScript => javascript::run::run(job),
            Dialect::StripTypes => {
                let outcome = javascript::strip::strip(&job.source).and_then(|it| {
                    let value =
                        serde_json::to_value(it).map_err(|error| Failure::Bug { message: error.to_string() })?;
                    Ok(Done { value, truth: false })
                });
                Reply { outcome, printed: String::new(), retire: false }
            }
            Dialect::Outline => Reply { outcome: outline::run(job), printed: String::new(), retire: false },
            Dialect::Template => Reply { outcome: template::run(job), printed: String::new(), retire: false },
        }
    }

    fn program(&self, job: &Job) -> Result<Arc<Program>, Failure> {
        self.programs.get_or_try(program::key(job), |_| Program::compile(job))
    }

    fn condition(&self, job: &Job) -> Result<Arc<Condition>, Failure> {
        let mut key = job.source.to_string();
        for name in job.names.keys() {
            key.push('\0');
            key.push_str(name);
        }
        self.conditions.get_or_try(key, |_| Condition::compile(&job.source, |it| job.names.contains_key(it)))
    }
}

fn failed(failure: Failure) -> Reply {
    Reply { outcome: Err(failure), printed: String::new(), retire: false }
}
