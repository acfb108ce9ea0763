//! The user's own interpreters: a resident process per language for Python and JavaScript, a new one
//! per job for the shell. Code that runs here may do whatever the user may; whether it may run here at
//! all is decided before.

mod commands;
mod shell;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use serde_json::Value;
use tokio::process::Command;

use super::failure::Failure;
use super::javascript::{run::wrap, strip::Stripped};
use super::job::{Dialect, Job, Reply};
use super::pool::{Pool, failed};
use super::process::Process;
use super::sandbox::Sandbox;
use crate::error::Error;
use crate::limits;
use crate::nodes::ports::commands::{CommandJob, CommandResult};

const PYTHON_DRIVER: &str = concat!(include_str!("job.py"), include_str!("driver.py"));
const JAVASCRIPT_DRIVER: &str = include_str!("driver.js");
const JAVASCRIPT_SHARED: &str = include_str!("../javascript/shared.js");

/// Frees the standard streams of a driver for the code it runs: jobs come in on 3, replies go out on
/// 4, and what code or its children write to standard output arrives with the errors.
const REDIRECT: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null 1>&2";

/// The interpreters and where they run.
pub(super) struct Host {
    python: Pool,
    node: Pool,
    place: Place,
    bash: OsString,
    sh: OsString,
}

/// Folder and environment of host processes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) working_dir: PathBuf,
    pub(super) environment: Vec<(OsString, OsString)>,
}

/// Names of the programs.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) python: OsString,
    pub(super) node: OsString,
    pub(super) bash: OsString,
    pub(super) sh: OsString,
}

impl Host {
    /// Prepares the interpreters; none is started yet. `n_max` is the most processes per language.
    pub(super) fn new(programs: Programs, place: Place, n_max: usize) -> Self {
        let driver = format!("\"use strict\";\nconst shared = {JAVASCRIPT_SHARED};\n{JAVASCRIPT_DRIVER}");
        let pool = |program: OsString, flag: &'static str, driver: String| {
            let place = place.clone();
            Pool::new(n_max, Box::new(move || start_driver(&program, flag, &driver, &place)), ended_itself)
        };
        Self {
            python: pool(programs.python, "-c", PYTHON_DRIVER.to_owned()),
            node: pool(programs.node, "-e", driver),
            place,
            bash: programs.bash,
            sh: programs.sh,
        }
    }

    /// Runs Python with the user's interpreter.
    pub(super) async fn run_python(&self, job: &Job) -> Reply {
        self.python.run(job).await
    }

    /// Runs JavaScript with the user's interpreter.
    pub(super) async fn run_javascript(&self, mut job: Job) -> Reply {
        job.source = wrap(&job.source, &job.function_name).into();
        self.node.run(&job).await
    }

    /// Runs TypeScript with the user's interpreter; the sandbox strips its types.
    pub(super) async fn run_typescript(&self, mut job: Job, sandbox: &Sandbox) -> Reply {
        let strip = Job { dialect: Dialect::StripTypes, names: Default::default(), ..job.clone() };
        let stripped = match sandbox.run(&strip).await.outcome {
            Ok(done) => serde_json::from_value::<Stripped>(done.value),
            Err(failure) => return failed(failure),
        };
        let stripped = match stripped {
            Ok(stripped) => stripped,
            Err(error) => return failed(Failure::Bug { message: format!("unreadable code without types: {error}") }),
        };
        job.source = stripped.code.as_str().into();
        let mut reply = self.run_javascript(job).await;
        reply.outcome = reply.outcome.map_err(|it| stripped.translate(it));
        reply
    }

    /// Runs a program to its end.
    pub(super) async fn run_command(&self, job: CommandJob) -> Result<CommandResult, Error> {
        commands::run(job, &self.sh, &self.place).await
    }

    /// Runs a shell script: `sh` when `is_plain`, else `bash`.
    pub(super) async fn run_shell(&self, is_plain: bool, source: &str, inputs: &Inputs<'_>) -> Reply {
        let program = if is_plain { &self.sh } else { &self.bash };
        match find_program(program, &self.place) {
            Ok(path) => shell::run(&path, source, inputs, &self.place).await,
            Err(failure) => failed(failure),
        }
    }
}

/// The inputs of a shell script, and how long it may take.
pub(super) struct Inputs<'a> {
    pub(super) values: &'a serde_json::Map<String, Value>,
    pub(super) time_max: std::time::Duration,
}

fn start_driver(program: &OsStr, flag: &str, driver: &str, place: &Place) -> Result<Process, Failure> {
    let path = find_program(program, place)?;
    let sh = find_program(OsStr::new("sh"), place)?;
    let mut command = Command::new(sh);
    command.arg("-c").arg(REDIRECT).arg(&path).arg(flag).arg(driver);
    command.arg(limits::CODE_OUTPUT_BYTES_MAX.to_string());
    place.apply(&mut command);
    Process::start(&mut command, true).map_err(|error| not_started(program, &error))
}

/// The program is there, but the system does not start it.
fn not_started(program: &OsStr, error: &io::Error) -> Failure {
    let message = format!("cannot start `{}`: {error}", program.to_string_lossy());
    Failure::Raised { exception: "OSError".into(), message, line: None }
}

fn ended_itself(status: ExitStatus) -> Failure {
    let message = format!("the code ended its interpreter ({status})");
    Failure::Raised { exception: "SystemExit".into(), message, line: None }
}

impl Place {
    /// Makes a command run in this place and no other environment.
    pub(super) fn apply(&self, command: &mut Command) {
        command.env_clear().envs(self.environment.iter().cloned()).current_dir(&self.working_dir);
    }

    fn search_path(&self) -> &OsStr {
        let found = self.environment.iter().find(|(name, _)| name == "PATH");
        found.map_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"), |(_, value)| value)
    }
}

/// Removes what host code has no business to read.
pub(super) fn without_secrets(environment: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let is_secret = |name: &OsStr| {
        let name = name.to_string_lossy().to_ascii_uppercase();
        name.ends_with("_API_KEY") || name == "DIPEO_TOKEN" || name.starts_with("JWT_SECRET")
    };
    environment.into_iter().filter(|(name, _)| !is_secret(name)).collect()
}

/// Looks a program up as a shell would.
fn find_program(program: &OsStr, place: &Place) -> Result<PathBuf, Failure> {
    let given = Path::new(program);
    let candidates: Vec<PathBuf> = if given.components().count() > 1 {
        vec![given.to_owned()]
    } else {
        std::env::split_paths(place.search_path()).map(|it| it.join(given)).collect()
    };
    candidates.into_iter().find(|it| is_executable(it)).ok_or_else(|| Failure::NotInstalled {
        program: program.to_string_lossy().into_owned(),
        reason: "no such program on PATH".into(),
    })
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_host_code() {
        let given = ["PATH", "OPENAI_API_KEY", "my_api_key", "DIPEO_TOKEN", "JWT_SECRET", "JWT_SECRET_KEY", "HOME"];
        let environment = given.map(|it| (OsString::from(it), OsString::from("x"))).to_vec();
        let left: Vec<_> = without_secrets(environment).into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, ["PATH", "HOME"]);
    }

    #[test]
    fn a_missing_program_is_named() {
        let place = Place { working_dir: "/".into(), environment: Vec::new() };
        let failure = find_program(OsStr::new("no-such-program"), &place);
        assert!(matches!(failure, Err(Failure::NotInstalled { program, .. }) if program == "no-such-program"));
    }
}
