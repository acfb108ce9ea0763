//! Language runtimes for code nodes and expressions. It implements the ports [`CodeRunner`],
//! [`Languages`] and [`Commands`] and must not know diagrams, plans or the store.
//!
//! | file | what it does |
//! |---|---|
//! | `check` | what a text is checked for when a diagram is compiled |
//! | `expression` | conditions: names, and the error that explains a failure |
//! | `template` | Jinja2 templates, which always go to a worker |
//! | `outline` | outlines of TypeScript sources, which do as well |
//! | `sandbox` | chooses between running right here and a worker process |
//! | [`worker`] | the worker process: the other end of the pipe |
//! | `python`, `javascript` | the interpreters; nobody else names them |
//! | `host` | the user's own `python3`, `node`, `bash`, `sh` |
//! | `pool`, `process`, `frame` | worker processes as their parent sees them |
//! | `job`, `failure` | what goes in and what comes out, as data |

mod cache;
mod check;
mod deep_stack;
mod expression;
mod failure;
mod frame;
mod host;
mod javascript;
mod job;
mod outline;
mod pool;
mod process;
mod python;
mod sandbox;
mod template;
pub mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::nodes::ports::classes::Class;
use crate::nodes::ports::commands::{CommandJob, CommandResult, Commands};
use crate::nodes::ports::outline::{Outline, OutlineJob};
use crate::nodes::ports::{
    CodeFacts, CodeJob, CodeResult, CodeRunner, Language, Languages, RenderJob, Runtime, SyntaxProblem, Truth,
};
use check::Checked;
use failure::Failure;
use host::{Host, Inputs, Place, Programs};
use job::{Dialect, Job, Reply};
use sandbox::Sandbox;

/// Fewest workers of one kind at a time, so that one endless loop does not hold up everybody on a
/// small machine.
const WORKERS_MIN: usize = 4;

/// What the runtimes need to know of their surroundings.
pub struct Settings {
    /// The command that starts our own sandbox worker: this program and its hidden subcommand.
    pub worker_command: Vec<OsString>,
    /// Folder that host code runs in: the root of the workspace.
    pub working_dir: PathBuf,
    /// Environment of host code; secrets are removed from it.
    pub environment: Vec<(OsString, OsString)>,
    /// Programs by name or path.
    pub python: OsString,
    pub node: OsString,
    pub bash: OsString,
    pub sh: OsString,
    /// Most worker processes of each kind.
    pub n_workers_max: usize,
    /// What sandboxed code is told the time by.
    pub clock: Arc<dyn Clock>,
}

impl Settings {
    /// The usual settings: interpreters from `PATH`, the environment of this process, as many workers
    /// as there are cores.
    pub fn new(worker_command: Vec<OsString>, working_dir: PathBuf) -> Self {
        let n_cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            worker_command,
            working_dir,
            environment: std::env::vars_os().collect(),
            python: "python3".into(),
            node: "node".into(),
            bash: "bash".into(),
            sh: "sh".into(),
            n_workers_max: n_cores.max(WORKERS_MIN),
            clock: Arc::new(SystemClock),
        }
    }
}

/// All runtimes of one process.
pub struct Code {
    sandbox: Sandbox,
    host: Host,
    checked: Checked,
    clock: Arc<dyn Clock>,
}

impl Code {
    /// Prepares the runtimes. Processes start when they are first needed and end with the value.
    pub fn new(settings: Settings) -> Arc<Self> {
        let programs = Programs { python: settings.python, node: settings.node, bash: settings.bash, sh: settings.sh };
        let environment = host::without_secrets(settings.environment);
        let n_max = settings.n_workers_max.max(1);
        let sandbox = Sandbox::new(settings.worker_command, &settings.working_dir, n_max);
        let place = Place { working_dir: settings.working_dir, environment };
        Arc::new(Self {
            sandbox,
            host: Host::new(programs, place, n_max),
            checked: Checked::default(),
            clock: settings.clock,
        })
    }

    async fn run_job(&self, job: CodeJob) -> Result<CodeResult, Error> {
        let (source, timeout) = (Arc::clone(&job.source), job.timeout);
        let reply = self.dispatch(job).await;
        match reply.outcome {
            Ok(done) => Ok(CodeResult { value: done.value, printed: reply.printed }),
            Err(failure) => Err(failure.into_error(&source, timeout, &reply.printed)),
        }
    }

    async fn dispatch(&self, job: CodeJob) -> Reply {
        if let Err(failure) = sandbox::check_length(&job.source) {
            return pool::failed(failure);
        }
        let now_ms = job.now.unwrap_or_else(|| self.clock.now()).0;
        let make = |dialect, job| Job::new(dialect, job, now_ms);
        match (job.language, job.runtime) {
            (Language::Python, Runtime::Sandbox) => self.sandbox.run(&make(Dialect::Python, job)).await,
            (Language::JavaScript, Runtime::Sandbox) => self.sandbox.run(&make(Dialect::JavaScript, job)).await,
            (Language::TypeScript, Runtime::Sandbox) => self.sandbox.run(&make(Dialect::TypeScript, job)).await,
            (Language::Python, Runtime::Host) => self.host.run_python(&make(Dialect::Python, job)).await,
            (Language::JavaScript, Runtime::Host) => self.host.run_javascript(make(Dialect::JavaScript, job)).await,
            (Language::TypeScript, Runtime::Host) => {
                self.host.run_typescript(make(Dialect::TypeScript, job), &self.sandbox).await
            }
            (language @ (Language::Bash | Language::Shell), Runtime::Host) => {
                let inputs = Inputs { values: &job.inputs, time_max: job.timeout };
                self.host.run_shell(language == Language::Shell, &job.source, &inputs).await
            }
            (language @ (Language::Bash | Language::Shell), Runtime::Sandbox) => {
                pool::failed(Failure::NeedsHost { what: format!("`{}`", language.name()), line: None })
            }
        }
    }
}

impl CodeRunner for Code {
    fn run(&self, job: CodeJob) -> BoxFuture<'_, Result<CodeResult, Error>> {
        Box::pin(self.run_job(job))
    }

    fn evaluate<'a>(
        &'a self,
        expression: &'a str,
        names: &'a Map<String, Value>,
    ) -> BoxFuture<'a, Result<Truth, Error>> {
        Box::pin(expression::evaluate(&self.sandbox, expression, names, self.clock.now().0))
    }

    fn render(&self, job: RenderJob) -> BoxFuture<'_, Result<String, Error>> {
        Box::pin(template::render(&self.sandbox, job))
    }

    fn outline(&self, job: OutlineJob) -> BoxFuture<'_, Result<Outline, Error>> {
        Box::pin(outline::outline(&self.sandbox, job))
    }
}

impl Commands for Code {
    fn run(&self, job: CommandJob) -> BoxFuture<'_, Result<CommandResult, Error>> {
        Box::pin(self.host.run_command(job))
    }
}

impl Languages for Code {
    fn check_expression(&self, expression: &str) -> Result<(), SyntaxProblem> {
        self.checked.expression(expression)
    }

    fn check_code(&self, language: Language, source: &str) -> Result<CodeFacts, SyntaxProblem> {
        self.checked.code(language, source)
    }

    fn read_classes(&self, source: &str) -> Result<Vec<Class>, SyntaxProblem> {
        check::classes(source)
    }
}
