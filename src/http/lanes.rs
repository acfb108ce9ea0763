//! The threads that speak with clients. Each has its connections to itself: a call goes through several tasks, and
//! to wake another thread for each of them costs more than most calls. What a call starts and leaves behind runs
//! where the application lives.

use std::future::Future;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::error::Error;

/// A connection on its way to its thread, with its place among all of them.
type Arrival = (TcpStream, OwnedSemaphorePermit);

/// The place of a connection among all of them. It goes with the stream, whoever has that: a connection that speaks
/// another protocol from some point on is open all the same, and is waited for.
pub struct Place {
    n_open: Arc<AtomicUsize>,
    _among_all: OwnedSemaphorePermit,
    _in_lane: TaskTrackerToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.n_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// As many threads as the machine runs at once.
pub struct Lanes(Vec<Lane>);

struct Lane {
    arrivals: mpsc::UnboundedSender<Arrival>,
    /// Connections that were handed over and have not ended.
    n_open: Arc<AtomicUsize>,
    ended: oneshot::Receiver<()>,
}

impl Lanes {
    /// Starts the threads; `speak` serves one connection until it ends.
    ///
    /// # Errors
    ///
    /// `LISTEN_FAILED` when the system gives no thread.
    pub fn start<S, F>(speak: S) -> Result<Self, Error>
    where
        S: Fn(tokio::net::TcpStream, Place) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let n_lanes = std::thread::available_parallelism().map_or(1, usize::from);
        (0..n_lanes).map(|n| Lane::start(n, speak.clone())).collect::<Result<_, _>>().map(Self)
    }

    /// Hands a connection to the thread that has the fewest.
    pub fn take(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        let Some(lane) = self.0.iter().min_by_key(|it| it.n_open.load(Ordering::Relaxed)) else { return };
        lane.n_open.fetch_add(1, Ordering::Relaxed);
        if lane.arrivals.send((stream, place)).is_err() {
            tracing::error!("a thread that speaks with clients is gone; its connection was closed");
        }
    }

    /// Takes no more connections and waits until the open ones have ended.
    pub async fn finish(self) {
        for Lane { arrivals, ended, .. } in self.0 {
            drop(arrivals);
            // Fails when the thread is gone, which is the end as well.
            let _ = ended.await;
        }
    }
}

impl Lane {
    fn start<S, F>(n: usize, speak: S) -> Result<Self, Error>
    where
        S: Fn(tokio::net::TcpStream, Place) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let no_thread = |error: std::io::Error| {
            Error::external("LISTEN_FAILED", "cannot start the threads that speak with clients")
                .hint("the system gives no more threads: close other programs and try again")
                .source(error)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let (arrivals, queue) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let n_open = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&n_open);
        let work = move || {
            runtime.block_on(speak_with_all(queue, speak, counter));
            // A read of a file that still waits may not hold the end up.
            runtime.shutdown_background();
            // Nobody waits for it any more when the time to finish was up.
            let _ = end.send(());
        };
        std::thread::Builder::new().name(format!("http-{n}")).spawn(work).map_err(no_thread)?;
        Ok(Self { arrivals, n_open, ended })
    }
}

async fn speak_with_all<S, F>(mut queue: mpsc::UnboundedReceiver<Arrival>, speak: S, n_open: Arc<AtomicUsize>)
where
    S: Fn(tokio::net::TcpStream, Place) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let connections = TaskTracker::new();
    while let Some((stream, place)) = queue.recv().await {
        let place = Place { n_open: Arc::clone(&n_open), _among_all: place, _in_lane: connections.token() };
        match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => drop(connections.spawn(speak(stream, place))),
            Err(error) => tracing::debug!(%error, "a connection could not be taken"),
        }
    }
    connections.close();
    connections.wait().await;
}
