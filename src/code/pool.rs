//! A few workers of one kind: started when needed, kept for the next job, one job each at a time.

use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::failure::Failure;
use super::frame::FRAME_BYTES_MAX;
use super::job::{Job, Reply};
use super::process::{Ended, Process};

/// How long a worker may overrun the limit it keeps itself before it is killed.
const GRACE: Duration = Duration::from_millis(300);

/// Starts one more worker.
pub(super) type Start = Box<dyn Fn() -> Result<Process, Failure> + Send + Sync>;

/// Workers of one kind.
pub(super) struct Pool {
    start: Start,
    on_exit: fn(ExitStatus) -> Failure,
    idle: Mutex<Vec<Process>>,
    /// As many permits as there may be workers.
    slots: Semaphore,
}

impl Pool {
    /// Makes a pool of at most `n_max` workers; none is started yet. `on_exit` says what it means when
    /// one ends by itself in the middle of a job.
    pub(super) fn new(n_max: usize, start: Start, on_exit: fn(ExitStatus) -> Failure) -> Self {
        Self { start, on_exit, idle: Mutex::new(Vec::new()), slots: Semaphore::new(n_max) }
    }

    /// Runs `job` on a worker. Its time limit counts from the moment a worker is free. Dropping the
    /// future kills the worker, so the code ends with it.
    pub(super) async fn run(&self, job: &Job) -> Reply {
        let body = match serde_json::to_vec(job) {
            Ok(body) if body.len() <= FRAME_BYTES_MAX => body,
            Ok(_) => return failed(Failure::TooLarge { what: "what the code reads".into() }),
            Err(error) => return failed(Failure::Bug { message: format!("unwritable job: {error}") }),
        };
        let Ok(_slot) = self.slots.acquire().await else {
            return failed(Failure::Bug { message: "the pool of workers is closed".into() });
        };
        let mut process = match self.take() {
            Ok(process) => process,
            Err(failure) => return failed(failure),
        };
        let limit = Duration::from_millis(job.time_ms).saturating_add(GRACE);
        let exchange = match tokio::time::timeout(limit, process.exchange(&body)).await {
            Err(_) => return failed(Failure::TimedOut),
            Ok(Err(ended)) => return self.after_end(&ended),
            Ok(Ok(exchange)) => exchange,
        };
        let mut reply = match serde_json::from_slice::<Reply>(&exchange.body) {
            Ok(reply) => reply,
            Err(error) => return failed(Failure::Bug { message: format!("unreadable reply of a worker: {error}") }),
        };
        reply.printed.push_str(&exchange.noise);
        if !reply.retire && !is_spent(&reply) {
            self.lock().push(process);
        }
        reply
    }

    /// Says why there is no answer: when a signal killed the worker, it was the code that did it.
    fn after_end(&self, ended: &Ended) -> Reply {
        let failure = match ended.status {
            Some(status) if is_signal(status) => Failure::Crashed,
            Some(status) => (self.on_exit)(status),
            None => Failure::Bug { message: format!("a worker broke off: {}", ended.error) },
        };
        Reply { outcome: Err(failure), printed: ended.noise.clone(), retire: true }
    }

    fn take(&self) -> Result<Process, Failure> {
        loop {
            let Some(mut process) = self.lock().pop() else { return (self.start)() };
            // One that somebody else killed meanwhile must not cost a job.
            if process.is_alive() {
                return Ok(process);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Process>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a worker may hold on to memory or threads of what it just ran.
fn is_spent(reply: &Reply) -> bool {
    matches!(
        reply.outcome,
        Err(Failure::TimedOut
            | Failure::OutOfMemory
            | Failure::Crashed
            | Failure::TooLarge { .. }
            | Failure::Bug { .. })
    )
}

fn is_signal(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal().is_some()
}

/// A reply without a value.
pub(super) fn failed(failure: Failure) -> Reply {
    Reply { outcome: Err(failure), printed: String::new(), retire: false }
}
