//! Takes connections and speaks HTTP on them. A client that sends its request slowly, or not at all, loses its
//! connection; one whose headers are many or large is told so; one that sends what is refused again and again is
//! answered more slowly.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::front::Front;
use super::lanes::{Lanes, Place};
use crate::error::Error;
use crate::limits::{CONNECTIONS_MAX, HEADER_BYTES_MAX, HEADER_TIME, HEADERS_MAX, REFUSAL_PAUSE, REFUSALS_FREE};

/// How long to wait when the system has no more connections to give.
const BREATH: Duration = Duration::from_millis(200);
/// Bytes that tell the versions of HTTP apart: the preface of HTTP/2.
const PREFACE_BYTES: usize = 24;

/// Serves `front` on `listener` until `stop` is cancelled, and then until the open requests are answered.
///
/// # Errors
///
/// `LISTEN_FAILED` when the system gives no threads.
pub async fn serve(listener: TcpListener, front: Arc<Front>, stop: CancellationToken) -> Result<(), Error> {
    let until = stop.clone();
    let lanes = Lanes::start(move |stream, place| speak(stream, place, Arc::clone(&front), until.clone()))?;
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let take = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
            match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
                Ok(stream) => lanes.take(stream, place),
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    };
    tokio::select! {
        () = take => {}
        () = stop.cancelled() => {}
    }
    drop(listener);
    lanes.finish().await;
    Ok(())
}

async fn speak(stream: TcpStream, place: Place, front: Arc<Front>, stop: CancellationToken) {
    // Small answers go out at once instead of waiting to be joined with a next one.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(HEADER_TIME)
        .keep_alive_timeout(HEADER_TIME);
    let io = TokioIo::new(Beginning::new(stream, place));
    let patience = Arc::new(Patience::default());
    let service = service_fn(|request: Request<Incoming>| {
        let (front, patience) = (Arc::clone(&front), Arc::clone(&patience));
        async move {
            let response = front.answer(request.map(Body::new)).await;
            if let Some(pause) = patience.after(response.status()) {
                tokio::time::sleep(pause).await;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::trace!(%error, "a connection broke off");
    }
}

/// By how much the refusals outnumber the answers on one connection: a request that is answered makes good for one
/// that was refused.
#[derive(Default)]
struct Patience(AtomicU32);

impl Patience {
    /// How long this answer has to wait.
    fn after(&self, status: StatusCode) -> Option<Duration> {
        if !status.is_client_error() {
            let n_before = self.0.load(Ordering::Relaxed);
            self.0.store(n_before.saturating_sub(1), Ordering::Relaxed);
            return None;
        }
        // Never far above the bound: who stops is soon trusted again.
        let n_before = self.0.load(Ordering::Relaxed).min(REFUSALS_FREE);
        self.0.store(n_before + 1, Ordering::Relaxed);
        (n_before >= REFUSALS_FREE).then_some(REFUSAL_PAUSE)
    }
}

/// A stream whose first bytes must come in time: until they tell which HTTP is spoken, no other clock runs.
struct Beginning {
    stream: TcpStream,
    _place: Place,
    /// Gone once enough was read.
    deadline: Option<Pin<Box<Sleep>>>,
    n_read: usize,
}

impl Beginning {
    fn new(stream: TcpStream, place: Place) -> Self {
        Self { stream, _place: place, deadline: Some(Box::pin(tokio::time::sleep(HEADER_TIME))), n_read: 0 }
    }
}

impl AsyncRead for Beginning {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(deadline) = &mut self.deadline {
            if polled.is_pending() && deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
            }
            self.n_read += buf.filled().len() - before;
            if self.n_read >= PREFACE_BYTES {
                self.deadline = None;
            }
        }
        polled
    }
}

impl AsyncWrite for Beginning {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_refused_far_more_often_than_answered_has_to_wait() {
        let patience = Patience::default();
        let wait = |status: u16, n: u32| {
            let status = StatusCode::from_u16(status).expect("a status");
            (0..n).fold(None, |_, _| patience.after(status))
        };
        for (status, n, expected) in [
            (400, REFUSALS_FREE, None),
            (403, 1, Some(REFUSAL_PAUSE)),
            (429, 1_000_000, Some(REFUSAL_PAUSE)),
            (200, 1, None),
            (404, 1, Some(REFUSAL_PAUSE)),
            (500, 2, None),
            (404, 1, None),
            (401, 1, Some(REFUSAL_PAUSE)),
            (200, 2 * REFUSALS_FREE, None),
            (404, REFUSALS_FREE, None),
        ] {
            assert_eq!(wait(status, n), expected, "{status} {n} times");
        }
    }
}
