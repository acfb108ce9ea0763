//! Programs of the host: started in a process group of their own, in a folder of the workspace, and killed
//! with everything they started as soon as nobody waits for them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};

use super::shell::{Running, await_own_end, read_limited};
use super::{Place, find_program};
use crate::code::failure::Failure;
use crate::error::Error;
use crate::limits;
use crate::nodes::ports::commands::{CommandJob, CommandResult, Program};

/// Most of a program's standard error that is kept, in bytes; the rest is read and dropped.
const STDERR_BYTES_MAX: u64 = 64 * 1024;

/// Runs `job` to its end.
pub(super) async fn run(job: CommandJob, sh: &OsStr, place: &Place) -> Result<CommandResult, Error> {
    let folder = folder(place, job.folder.as_deref())?;
    let (program, arguments) = match &job.program {
        Program::Shell(script) => (sh.to_owned(), vec![OsString::from("-c"), script.into()]),
        Program::Argv(argv) => match argv.split_first() {
            Some((program, arguments)) => (program.into(), arguments.iter().map(Into::into).collect()),
            None => return Err(failed("no program is named").hint("give the node a `command`")),
        },
    };
    let path = find(&program, &folder, place)?;
    let mut command = Command::new(path);
    command.args(arguments);
    place.apply(&mut command);
    command.current_dir(folder).envs(&job.environment);
    let stdin = if job.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let running = Running(command.spawn().map_err(|error| not_started(&program, error))?);
    match tokio::time::timeout(job.timeout, finish(running, job.stdin)).await {
        Ok(ended) => ended,
        Err(_) => {
            let message = format!("`{}` did not end within {} s", name_of(&program), job.timeout.as_secs_f64());
            Err(Error::external("NODE_TIMEOUT", message).hint("raise the node's `timeout`, or make its work smaller"))
        }
    }
}

async fn finish(mut running: Running, stdin: Option<Vec<u8>>) -> Result<CommandResult, Error> {
    let child = &mut running.0;
    let (input, output, noise) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let output = async { read_limited(output).await.map_err(|it| too_much(&it)) };
    let ((), stdout, stderr) = tokio::try_join!(write(input, stdin), output, keep_beginning(noise))?;
    let status = child.wait().await.map_err(unreadable)?;
    await_own_end(status).await;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Ok(CommandResult { stdout, stderr, status: status.code() })
}

/// A program that does not read its input is no failure.
async fn write(input: Option<ChildStdin>, bytes: Option<Vec<u8>>) -> Result<(), Error> {
    if let (Some(mut input), Some(bytes)) = (input, bytes) {
        match input.write_all(&bytes).await {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(unreadable(error)),
            _ => {}
        }
    }
    Ok(())
}

async fn keep_beginning(source: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let Some(mut source) = source else { return Ok(bytes) };
    (&mut source).take(STDERR_BYTES_MAX).read_to_end(&mut bytes).await.map_err(unreadable)?;
    // Whoever writes to a pipe nobody reads from stands still.
    tokio::io::copy(&mut source, &mut tokio::io::sink()).await.map_err(unreadable)?;
    Ok(bytes)
}

/// The folder to run in: below the workspace's root after symbolic links are resolved.
fn folder(place: &Place, below: Option<&str>) -> Result<PathBuf, Error> {
    let Some(below) = below.filter(|it| !it.trim().is_empty()) else { return Ok(place.working_dir.clone()) };
    let refused = || {
        let shown: String = below.chars().take(200).collect();
        Error::refused("PATH_NOT_ALLOWED", format!("`{}` is no folder this diagram may run in", shown.escape_debug()))
            .hint("write a folder below the workspace, relative to it")
    };
    let is_plain = |it: Component<'_>| matches!(it, Component::Normal(_) | Component::CurDir);
    if below.contains('\0') || !Path::new(below).components().all(is_plain) {
        return Err(refused());
    }
    let found = place.working_dir.join(below).canonicalize().map_err(|error| {
        Error::not_found("FILE_NOT_FOUND", format!("folder `{below}` does not exist"))
            .hint("paths are relative to the workspace")
            .source(error)
    })?;
    let root = place.working_dir.canonicalize().map_err(unreadable)?;
    if found.starts_with(root) && found.is_dir() { Ok(found) } else { Err(refused()) }
}

/// Looks a program up: by its path from the folder it runs in, else as a shell would.
fn find(program: &OsStr, folder: &Path, place: &Place) -> Result<PathBuf, Error> {
    let is_path = Path::new(program).components().count() > 1;
    let asked = if is_path { folder.join(program).into_os_string() } else { program.to_owned() };
    find_program(&asked, place).map_err(|_| {
        failed(&format!("`{}` is not installed", name_of(program)))
            .hint("install it, or check its name; it is looked for on PATH")
    })
}

fn not_started(program: &OsStr, error: io::Error) -> Error {
    let name = name_of(program);
    if error.kind() == io::ErrorKind::ArgumentListTooLong {
        return failed(&format!("what `{name}` is given is too large for a command line and its variables"))
            .hint("write large values to a file first and pass its path");
    }
    if error.kind() == io::ErrorKind::InvalidInput {
        return failed(&format!("what `{name}` is given has a zero byte, which no command line can hold"))
            .hint("write such values to a file first and pass its path");
    }
    failed(&format!("cannot start `{name}`: {}", error.kind())).source(error)
}

fn too_much(failure: &Failure) -> Error {
    match failure {
        Failure::TooLarge { .. } => {
            failed(&format!("the program wrote more than {} bytes", limits::CODE_OUTPUT_BYTES_MAX))
                .hint("let it write to a file and print the file's path")
        }
        _ => failed("cannot read what the program writes"),
    }
}

fn unreadable(error: io::Error) -> Error {
    failed("cannot talk to the program").source(error)
}

fn failed(message: &str) -> Error {
    Error::external("HOOK_FAILED", message)
}

fn name_of(program: &OsStr) -> String {
    program.to_string_lossy().chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(folder: &Path) -> Place {
        Place { working_dir: folder.to_owned(), environment: vec![("PATH".into(), "/usr/bin:/bin".into())] }
    }

    fn job(program: Program) -> CommandJob {
        let environment = [("GREETING".to_owned(), "hi there".to_owned())].into();
        CommandJob { program, folder: None, environment, stdin: None, timeout: Duration::from_secs(20) }
    }

    fn script(text: &str) -> Program {
        Program::Shell(text.to_owned())
    }

    async fn in_folder(folder: &Path, job: CommandJob) -> Result<CommandResult, Error> {
        run(job, OsStr::new("sh"), &place(folder)).await
    }

    #[tokio::test]
    async fn a_program_gets_its_arguments_environment_input_and_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("below")).expect("made");
        let mut asked = job(script("cat; printf '%s|%s' \"$GREETING\" \"$(basename \"$PWD\")\"; echo no >&2; exit 3"));
        asked.stdin = Some(b"in|".to_vec());
        asked.folder = Some("below".into());
        let result = in_folder(folder.path(), asked).await.expect("it runs");
        let expected = CommandResult { stdout: b"in|hi there|below".to_vec(), stderr: "no\n".into(), status: Some(3) };
        assert_eq!(result, expected);
        let argv = ["printf", "%s,", "$GREETING", "; id"].map(str::to_owned).to_vec();
        let result = in_folder(folder.path(), job(Program::Argv(argv))).await.expect("it runs");
        assert_eq!(result.stdout, b"$GREETING,; id,");
        let killed = in_folder(folder.path(), job(script("kill -9 $$"))).await.expect("it runs");
        assert_eq!(killed.status, None);
    }

    #[tokio::test]
    async fn a_folder_outside_of_the_workspace_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/", folder.path().join("out")).expect("linked");
        for (below, code) in [
            ("..", "PATH_NOT_ALLOWED"),
            ("/", "PATH_NOT_ALLOWED"),
            ("out", "PATH_NOT_ALLOWED"),
            ("out/tmp", "PATH_NOT_ALLOWED"),
            ("a\0b", "PATH_NOT_ALLOWED"),
            ("nowhere", "FILE_NOT_FOUND"),
        ] {
            let mut asked = job(script("echo never"));
            asked.folder = Some(below.to_owned());
            assert_eq!(in_folder(folder.path(), asked).await.expect_err(below).code(), code, "{below}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_started_or_says_too_much_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let argv = |it: &str| Program::Argv(vec![it.to_owned()]);
        for (program, part) in [
            (Program::Argv(Vec::new()), "no program"),
            (argv("no-such-program"), "not installed"),
            (argv("./no-such-program"), "not installed"),
            (script("yes"), "wrote more than"),
            (script(&"x".repeat(3_000_000)), "too large"),
        ] {
            let error = in_folder(folder.path(), job(program)).await.expect_err(part);
            assert_eq!(error.code(), "HOOK_FAILED", "{part}");
            assert!(error.message().contains(part), "{error}");
        }
        let noisy =
            in_folder(folder.path(), job(script("yes | head -c 1000000 >&2; echo done"))).await.expect("it runs");
        assert_eq!((noisy.stdout.as_slice(), noisy.stderr.len()), (b"done\n".as_slice(), 64 * 1024));
    }

    #[tokio::test]
    async fn nothing_a_program_started_outlives_its_time_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut asked = job(script("sleep 1000 & echo $! > child; wait"));
        asked.timeout = Duration::from_millis(400);
        let error = in_folder(folder.path(), asked).await.expect_err("it takes too long");
        assert_eq!(error.code(), "NODE_TIMEOUT");
        let child = std::fs::read_to_string(folder.path().join("child")).expect("it had begun");
        let is_gone = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
            state.map_or(true, |it| it.contains(") Z"))
        };
        while !is_gone() {
            tokio::task::yield_now().await;
        }
    }
}
