//! The engines of a torture: processes of this very program on the scratch database, started, killed at random
//! moments and started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::store::Store;

/// How long an engine lives, in milliseconds: short enough to be hit while it starts, long enough to get
/// something done.
const LIFE_MS: (u64, u64) = (10, 300);
/// One engine in so many is asked to stop instead of being killed.
const STOPS_ONE_IN: u64 = 12;
/// How long an engine that was asked to stop may take before it is killed after all.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Where the scratch database is, and how to start engines on it.
pub(super) struct Site {
    pub program: PathBuf,
    pub workspace: PathBuf,
    pub home: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// Engines take their names for log files from it.
    pub noise: PathBuf,
    pub kills: Mutex<Vec<Timestamp>>,
    pub n_killed: AtomicU64,
    pub n_stopped: AtomicU64,
    pub n_started: AtomicU64,
}

/// What a process does with the executions of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The owner that is left behind; there is at most one.
    Drain,
    /// A server on its standard input.
    Stdio,
    /// A command that runs one diagram.
    Run(&'static str),
}

impl Site {
    /// A command of this program that sees nothing but the scratch folders.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-C").arg(&self.workspace).current_dir(&self.workspace).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.home).env("DIPEO_HOME", &self.home);
        command
    }

    /// Starts an engine in a process group of its own.
    ///
    /// # Errors
    ///
    /// `External` when the system starts no more processes.
    pub fn start(&self, kind: Kind) -> Result<Child, Error> {
        let mut command = self.command();
        match kind {
            Kind::Drain => command.arg("drain"),
            Kind::Stdio => command.arg("mcp"),
            Kind::Run(diagram) => command.args(["run", diagram, "--no-interactive", "--no-watch"]),
        };
        let stdin = if kind == Kind::Stdio { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::null()).stderr(self.noise()?).process_group(0).kill_on_drop(true);
        self.n_started.fetch_add(1, Ordering::Relaxed);
        command.spawn().map_err(|e| {
            Error::external("FILE_FAILED", "cannot start an engine")
                .hint("the system gives no more processes")
                .source(e)
        })
    }

    /// What engines say is kept beside the database.
    fn noise(&self) -> Result<Stdio, Error> {
        let file = std::fs::File::options().create(true).append(true).open(&self.noise);
        file.map(Stdio::from).map_err(|e| {
            Error::external("FILE_FAILED", format!("cannot write `{}`", self.noise.display()))
                .hint("see that the temporary folder has room")
                .source(e)
        })
    }

    fn note_kill(&self) {
        self.kills.lock().unwrap_or_else(PoisonError::into_inner).push(self.clock.now());
    }

    /// Keeps one engine after another in `slot` until `stop`, killing each after a random time.
    ///
    /// # Errors
    ///
    /// As [`Site::start`].
    pub async fn keep_killing(
        &self,
        mut dice: Dice,
        kinds: &[Kind],
        store: &Store,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        while !stop.is_cancelled() {
            let kind = dice.one_of(kinds);
            let life = Duration::from_millis(dice.between(LIFE_MS.0, LIFE_MS.1));
            let stops = dice.between(1, STOPS_ONE_IN) == 1;
            if kind == Kind::Drain {
                self.kill_left_behind(store)?;
            }
            let mut child = self.start(kind)?;
            tokio::select! {
                () = tokio::time::sleep(life) => {}
                () = stop.cancelled() => {}
            }
            if stops {
                self.ask_to_stop(&mut child).await;
            } else {
                self.kill(&mut child).await;
            }
        }
        Ok(())
    }

    /// Kills an engine with everything in its group; one that has ended by itself is only taken note of.
    pub async fn kill(&self, child: &mut Child) {
        if matches!(child.try_wait(), Ok(None)) {
            self.note_kill();
            signal(child, Signal::KILL);
            self.n_killed.fetch_add(1, Ordering::Relaxed);
        }
        // It is gone now or was before; a process that nobody waits for would stay as a shadow.
        let _ = child.wait().await;
    }

    /// Asks an engine to stop, and kills it when it takes too long.
    pub async fn ask_to_stop(&self, child: &mut Child) {
        if matches!(child.try_wait(), Ok(None)) {
            self.note_kill();
            signal(child, Signal::TERM);
            self.n_stopped.fetch_add(1, Ordering::Relaxed);
        }
        if tokio::time::timeout(STOP_TIME, child.wait()).await.is_err() {
            self.kill(child).await;
        }
        // What it interrupted it interrupted until it was gone.
        self.note_kill();
    }

    /// Kills owners that engines left behind when they ended: nobody here is their parent.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub fn kill_left_behind(&self, store: &Store) -> Result<(), Error> {
        for owner in store.live_owners()?.into_iter().filter(|it| it.kind == "drain") {
            let Some(pid) = i32::try_from(owner.pid).ok().and_then(Pid::from_raw) else { continue };
            if self.is_ours(owner.pid) && kill_process(pid, Signal::KILL).is_ok() {
                self.note_kill();
                self.n_killed.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Whether the process works on the scratch workspace; its number may belong to somebody else by now.
    fn is_ours(&self, pid: u32) -> bool {
        let line = std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).unwrap_or_default();
        let folder = self.workspace.as_os_str().as_encoded_bytes();
        line.windows(folder.len()).any(|it| it == folder)
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended a moment ago.
        let _ = kill_process_group(pid, signal);
    }
}
