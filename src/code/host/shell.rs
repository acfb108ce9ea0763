//! Shell code: a process per job, inputs in its environment, its standard output the value
//! (diagrams.md 2.4).

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::{Inputs, Place, not_started};
use crate::code::failure::Failure;
use crate::code::job::{Done, Reply};
use crate::code::pool::failed;
use crate::code::process::kill_group;
use crate::limits;

/// Kills the script and everything it started when nobody waits for it any more.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        kill_group(&mut self.0);
    }
}

/// What a script left behind.
struct Ended {
    status: ExitStatus,
    output: Vec<u8>,
    noise: Vec<u8>,
}

/// Runs `source` with the shell at `program`.
pub(super) async fn run(program: &Path, source: &str, inputs: &Inputs<'_>, place: &Place) -> Reply {
    let mut command = Command::new(program);
    command.arg("-c").arg(source);
    place.apply(&mut command);
    let names: Vec<&str> = inputs.values.keys().map(String::as_str).collect();
    command.env("INPUT_KEYS", names.join(" "));
    for (name, value) in inputs.values {
        let text = value_text(value);
        if text.contains('\0') {
            return failed(raised(format!("the input `{name}` contains a zero byte, which no variable can hold")));
        }
        command.env(variable_name(name), text);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let running = match command.spawn() {
        Ok(child) => Running(child),
        Err(error) if error.kind() == io::ErrorKind::ArgumentListTooLong => {
            return failed(raised(
                "an input is too large for a variable of the shell: write it to a file first".into(),
            ));
        }
        Err(error) => return failed(not_started(program.as_os_str(), &error)),
    };
    match tokio::time::timeout(inputs.time_max, finish(running)).await {
        Err(_) => failed(Failure::TimedOut),
        Ok(Err(failure)) => failed(failure),
        Ok(Ok(ended)) => to_reply(program, &ended),
    }
}

async fn finish(mut running: Running) -> Result<Ended, Failure> {
    let output = running.0.stdout.take();
    let noise = running.0.stderr.take();
    let (output, noise) = tokio::try_join!(read_limited(output), read_limited(noise))?;
    let status = running.0.wait().await.map_err(|error| bug(&error))?;
    await_own_end(status).await;
    Ok(Ended { status, output, noise })
}

/// How long this process may take to hear that it is to stop, and to tell its executions, on a loaded machine.
const OWN_END_TIME: Duration = Duration::from_secs(1);

/// What ended a program by a signal often ends this process as well, a moment later: then the program did not fail,
/// it was interrupted, and nobody must hear of it before.
pub(super) async fn await_own_end(status: ExitStatus) {
    if status.code().is_none() {
        tokio::time::sleep(OWN_END_TIME).await;
    }
}

pub(super) async fn read_limited(source: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let Some(source) = source else { return Ok(bytes) };
    let limit = limits::CODE_OUTPUT_BYTES_MAX;
    source.take(limit as u64 + 1).read_to_end(&mut bytes).await.map_err(|error| bug(&error))?;
    if bytes.len() > limit {
        return Err(Failure::TooLarge { what: "what the code printed".into() });
    }
    Ok(bytes)
}

fn to_reply(program: &Path, ended: &Ended) -> Reply {
    let printed = String::from_utf8_lossy(&ended.noise).into_owned();
    let outcome = if ended.status.success() {
        let text = String::from_utf8_lossy(&ended.output);
        Ok(Done { value: Value::String(text.trim().to_owned()), truth: false })
    } else {
        let shell = program.file_name().unwrap_or_default().to_string_lossy();
        let last = printed.lines().rev().find(|it| !it.trim().is_empty());
        let said = last.map(|it| format!(": {}", it.trim())).unwrap_or_default();
        Err(raised(format!("{shell} ended with {}{said}", ended.status)))
    };
    Reply { outcome, printed, retire: false }
}

/// Text as it is, everything else as compact JSON.
fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn variable_name(input: &str) -> String {
    let name = input.chars().map(|it| if it.is_ascii_alphanumeric() || it == '_' { it } else { '_' });
    format!("INPUT_{}", name.collect::<String>())
}

fn raised(message: String) -> Failure {
    Failure::Raised { exception: "ExitStatus".into(), message, line: None }
}

fn bug(error: &io::Error) -> Failure {
    Failure::Bug { message: format!("cannot read from the shell: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_names_the_shell_can_say() {
        for (input, expected) in [("a", "INPUT_a"), ("two words", "INPUT_two_words"), ("é-1", "INPUT___1")] {
            assert_eq!(variable_name(input), expected);
        }
    }
}
