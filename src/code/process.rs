//! A worker process as its parent sees it: started in a group of its own, spoken to over pipes, and
//! killed with everything it started as soon as nobody wants it any more.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::frame;

/// Most noise kept of one exchange, in bytes.
const NOISE_BYTES_MAX: usize = 64 * 1024;
/// How long to wait for the status of a process that closed its pipes.
const STATUS_WAIT: Duration = Duration::from_millis(500);

/// A running worker. Dropping it kills its whole process group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    noise: Option<ChildStderr>,
}

/// A reply and what the process wrote to its standard error meanwhile.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) body: Vec<u8>,
    pub(super) noise: String,
}

/// Why there is no reply.
#[derive(Debug)]
pub(super) struct Ended {
    /// `None` when the process is still there.
    pub(super) status: Option<ExitStatus>,
    pub(super) noise: String,
    pub(super) error: io::Error,
}

impl Process {
    /// Starts `command`. With `keeps_noise` its standard error is read, else it goes nowhere.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub(super) fn start(command: &mut Command, keeps_noise: bool) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if keeps_noise { Stdio::piped() } else { Stdio::null() })
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let no_pipe = || io::Error::other("the process has no pipe");
        let input = child.stdin.take().ok_or_else(no_pipe)?;
        let output = child.stdout.take().ok_or_else(no_pipe)?;
        let noise = child.stderr.take();
        Ok(Self { child, input, output, noise })
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends one message and waits for the answer.
    ///
    /// # Errors
    ///
    /// When the process ends or breaks the protocol; it is of no use afterwards.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<Exchange, Ended> {
        let mut noise = Vec::new();
        match self.talk(request, &mut noise).await {
            Ok(body) => Ok(Exchange { body, noise: text(&noise) }),
            Err(error) => {
                let waited = tokio::time::timeout(STATUS_WAIT, self.child.wait()).await;
                let status = waited.ok().and_then(Result::ok);
                Err(Ended { status, noise: text(&noise), error })
            }
        }
    }

    async fn talk(&mut self, request: &[u8], noise: &mut Vec<u8>) -> io::Result<Vec<u8>> {
        let (input, output) = (&mut self.input, &mut self.output);
        let talk = async {
            input.write_all(&frame::pack(request)?).await?;
            input.flush().await?;
            frame::read_async(output).await
        };
        let Some(source) = &mut self.noise else { return talk.await };
        tokio::pin!(talk);
        let mut chunk = [0; 4096];
        // Noise is read at the same time: a process must not wait for somebody to read it.
        let answer = loop {
            tokio::select! {
                answer = &mut talk => break answer,
                n_read = source.read(&mut chunk) => match n_read {
                    Ok(n_read) if n_read > 0 => keep(noise, &chunk[..n_read]),
                    _ => break talk.await,
                },
            }
        };
        // What was written just before the answer is in the pipe already.
        while let Some(Ok(n_read)) = source.read(&mut chunk).now_or_never() {
            if n_read == 0 {
                break;
            }
            keep(noise, &chunk[..n_read]);
        }
        answer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill_group(&mut self.child);
    }
}

/// Kills a process and everything it started. One that has been waited for is left alone: its number
/// may belong to somebody else by now.
pub(super) fn kill_group(child: &mut Child) {
    let group = child.id().and_then(|it| i32::try_from(it).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // The group may have ended by itself a moment ago.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

fn keep(noise: &mut Vec<u8>, chunk: &[u8]) {
    let room = NOISE_BYTES_MAX.saturating_sub(noise.len());
    noise.extend_from_slice(&chunk[..chunk.len().min(room)]);
}

fn text(noise: &[u8]) -> String {
    String::from_utf8_lossy(noise).into_owned()
}
