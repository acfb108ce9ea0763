//! Messages as lines on a pair of streams. It must not know what the messages say.
//!
//! Answers that come together leave together: whoever writes takes all that is waiting. An answer that is the
//! only one is written at once, before anybody has to be woken for it. A client that sends and never reads is
//! not read any more when [`WAITING_BYTES_MAX`] of answers wait for it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use rmcp::RoleServer;
use rmcp::model::{ClientNotification, ClientRequest, JsonRpcMessage};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Notify;

use super::message::{self, Line};

/// Longest line that is read, in bytes; a longer one is dropped. What the library takes over HTTP and stdio.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Answers that may wait for a client that does not read, in bytes, before it is not read either.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Input that is read at once, in bytes: what a pipe holds.
const INPUT_BYTES: usize = 64 * 1024;
/// Largest buffer that is kept for the next message, in bytes.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// A client on a pair of streams.
pub struct Lines<R, W> {
    input: BufReader<R>,
    line: Vec<u8>,
    /// Whether the rest of the present line is to be dropped.
    is_too_long: bool,
    /// Whether a refusal waits to be written, which nobody else would do.
    owes_refusal: bool,
    /// Requests that were read and whose answer is to come.
    n_open: usize,
    output: Arc<Output<W>>,
}

impl<R, W> Lines<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    pub fn new(input: R, output: W) -> Self {
        Self {
            input: BufReader::with_capacity(INPUT_BYTES, input),
            line: Vec::new(),
            is_too_long: false,
            owes_refusal: false,
            n_open: 0,
            output: Arc::new(Output::new(output)),
        }
    }

    /// Completes `self.line`; `false` at the end of the input. May be dropped and called again at any time.
    async fn read_line(&mut self) -> io::Result<bool> {
        loop {
            let available = self.input.fill_buf().await?;
            if available.is_empty() {
                // A last line without its end is no message.
                return Ok(false);
            }
            let end = available.iter().position(|it| *it == b'\n');
            let n_taken = end.map_or(available.len(), |it| it + 1);
            self.is_too_long |= self.line.len() + n_taken > LINE_BYTES_MAX;
            if !self.is_too_long {
                self.line.extend_from_slice(&available[..n_taken]);
            }
            self.input.consume(n_taken);
            if end.is_some() && !std::mem::take(&mut self.is_too_long) {
                return Ok(true);
            }
            if self.is_too_long || end.is_some() {
                self.line.clear();
            }
        }
    }

    /// Keeps `n_open` about right: it only decides how answers are written.
    fn count(&mut self, message: &RxJsonRpcMessage<RoleServer>) {
        match message {
            // Stays open as long as the client does.
            JsonRpcMessage::Request(it) if matches!(it.request, ClientRequest::SubscriptionsListenRequest(_)) => {}
            JsonRpcMessage::Request(_) => self.n_open += 1,
            // Its request gets no answer.
            JsonRpcMessage::Notification(it)
                if matches!(it.notification, ClientNotification::CancelledNotification(_)) =>
            {
                self.n_open = self.n_open.saturating_sub(1);
            }
            JsonRpcMessage::Notification(_) | JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
    }

    fn take_line(&mut self) -> Line {
        let line = message::read(&self.line);
        self.line.clear();
        self.line.shrink_to(KEPT_BYTES_MAX);
        line
    }
}

impl<R, W> Transport<RoleServer> for Lines<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let is_answer = matches!(&message, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        self.n_open = self.n_open.saturating_sub(usize::from(is_answer));
        let mut is_written = self.output.push(&message).map(|()| false);
        // While others are being worked on, their answers may share the write.
        if is_written.is_ok() && self.n_open == 0 {
            is_written = self.output.write_now();
        }
        let output = Arc::clone(&self.output);
        async move { if is_written? { Ok(()) } else { output.write_all().await } }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            if self.owes_refusal {
                self.output.write_all().await.ok()?;
                self.owes_refusal = false;
            }
            self.output.has_room().await;
            match self.read_line().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    tracing::warn!(%error, "the client's messages cannot be read any more");
                    return None;
                }
            }
            match self.take_line() {
                Line::Message(message) => {
                    self.count(&message);
                    return Some(*message);
                }
                Line::Noise => {}
                Line::NotAMessage(id, refusal) => {
                    self.output.push(&TxJsonRpcMessage::<RoleServer>::error(*refusal, id)).ok()?;
                    self.owes_refusal = true;
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.output.close().await;
        Ok(())
    }
}

/// What is to be written, and where to.
struct Output<W> {
    /// Whole lines that nobody has begun to write.
    waiting: Mutex<Vec<u8>>,
    writing: tokio::sync::Mutex<Writing<W>>,
    /// Bytes in both.
    n_bytes: AtomicUsize,
    shrunk: Notify,
}

/// Lines that are being written; kept here because a write may be dropped at any time.
struct Writing<W> {
    /// Absent when it was closed or has failed.
    stream: Option<W>,
    bytes: Vec<u8>,
    n_written: usize,
}

impl<W: AsyncWrite + Unpin> Output<W> {
    fn new(stream: W) -> Self {
        Self {
            waiting: Mutex::default(),
            writing: tokio::sync::Mutex::new(Writing { stream: Some(stream), bytes: Vec::new(), n_written: 0 }),
            n_bytes: AtomicUsize::new(0),
            shrunk: Notify::new(),
        }
    }

    /// Adds a line to what waits.
    fn push(&self, message: &TxJsonRpcMessage<RoleServer>) -> io::Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.len();
        if let Err(error) = serde_json::to_writer(&mut *waiting, message) {
            waiting.truncate(before);
            return Err(error.into());
        }
        waiting.push(b'\n');
        self.n_bytes.fetch_add(waiting.len() - before, Ordering::Relaxed);
        Ok(())
    }

    /// Writes what the stream takes at this moment. When that was not all of it (`false`), nobody is woken for
    /// the rest: [`Output::write_all`] has to follow.
    fn write_now(&self) -> io::Result<bool> {
        let Ok(mut writing) = self.writing.try_lock() else { return Ok(false) };
        match self.poll_write(&mut writing, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Writes everything that waits, whoever left it there.
    async fn write_all(&self) -> io::Result<()> {
        let mut writing = self.writing.lock().await;
        std::future::poll_fn(|context| self.poll_write(&mut writing, context)).await
    }

    fn poll_write(&self, writing: &mut Writing<W>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let is_done = writing.n_written == writing.bytes.len() && !self.take_waiting(writing);
            let Some(stream) = &mut writing.stream else {
                self.give_up(writing);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, "the stream is closed")));
            };
            if is_done {
                return Pin::new(stream).poll_flush(context);
            }
            let outcome = match Pin::new(stream).poll_write(context, &writing.bytes[writing.n_written..]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(outcome) => outcome,
            };
            match outcome {
                Ok(n_bytes) => {
                    writing.n_written += n_bytes;
                    self.n_bytes.fetch_sub(n_bytes, Ordering::Release);
                    self.shrunk.notify_waiters();
                }
                Err(error) => {
                    self.give_up(writing);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Begins with what waits; `false` when nothing does.
    fn take_waiting(&self, writing: &mut Writing<W>) -> bool {
        writing.bytes.clear();
        writing.bytes.shrink_to(KEPT_BYTES_MAX);
        writing.n_written = 0;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *waiting, &mut writing.bytes);
        !writing.bytes.is_empty()
    }

    /// Nobody reads any more: what waits will never be wanted.
    fn give_up(&self, writing: &mut Writing<W>) {
        writing.stream = None;
        while self.take_waiting(writing) {}
        self.n_bytes.store(0, Ordering::Release);
        self.shrunk.notify_waiters();
    }

    /// Waits until a client that does not read has read something.
    async fn has_room(&self) {
        while self.n_bytes.load(Ordering::Acquire) > WAITING_BYTES_MAX {
            let shrunk = self.shrunk.notified();
            if self.n_bytes.load(Ordering::Acquire) > WAITING_BYTES_MAX {
                shrunk.await;
            }
        }
    }

    async fn close(&self) {
        let mut writing = self.writing.lock().await;
        if let Some(mut stream) = writing.stream.take() {
            // The other side may be gone, which is as good.
            let _ = stream.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rmcp::model::{EmptyResult, ErrorData, NumberOrString, ServerJsonRpcMessage, ServerResult};
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;

    const PING: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";

    /// Lines with room for `n_bytes` each way, the client's input to them and what it reads of them.
    fn lines(n_bytes: usize) -> (Lines<DuplexStream, DuplexStream>, DuplexStream, DuplexStream) {
        let ((input, to_server), (output, from_server)) = (duplex(n_bytes), duplex(n_bytes));
        (Lines::new(input, output), to_server, from_server)
    }

    fn answer(id: i64) -> ServerJsonRpcMessage {
        JsonRpcMessage::response(ServerResult::EmptyResult(EmptyResult {}), NumberOrString::Number(id))
    }

    fn error_of(n_bytes: usize) -> ServerJsonRpcMessage {
        JsonRpcMessage::error(ErrorData::internal_error("x".repeat(n_bytes), None), Some(NumberOrString::Number(1)))
    }

    async fn is_ping(lines: &mut Lines<DuplexStream, DuplexStream>) -> bool {
        let message = lines.receive().await.expect("a message");
        matches!(message, JsonRpcMessage::Request(it) if matches!(it.request, ClientRequest::PingRequest(_)))
    }

    #[tokio::test]
    async fn lines_may_come_in_any_pieces_and_too_long_ones_are_dropped() {
        let (mut lines, mut to_server, _from_server) = lines(1_000_000);
        let client = tokio::spawn(async move {
            for byte in PING.as_bytes() {
                to_server.write_all(&[*byte]).await.expect("written");
            }
            to_server.write_all(&vec![b'x'; LINE_BYTES_MAX + 1]).await.expect("written");
            to_server.write_all(format!("\n\r\n{PING}{{\"cut\":").as_bytes()).await.expect("written");
        });
        assert!(is_ping(&mut lines).await && is_ping(&mut lines).await);
        assert!(lines.receive().await.is_none(), "a last line without its end is no message");
        client.await.expect("the client finishes");
        assert!(lines.line.capacity() <= 2 * KEPT_BYTES_MAX, "the long line is not kept");
    }

    #[tokio::test]
    async fn every_answer_arrives_whole_and_in_order_however_narrow_the_pipe() {
        let (mut lines, _to_server, mut from_server) = lines(7);
        lines.n_open = 100;
        let sends: Vec<_> = (0..200).map(|id| tokio::spawn(lines.send(answer(id)))).collect();
        let reader = tokio::spawn(async move {
            let mut text = String::new();
            from_server.read_to_string(&mut text).await.expect("text");
            text
        });
        for send in sends {
            send.await.expect("no panic").expect("sent");
        }
        lines.close().await.expect("closed");
        let text = reader.await.expect("no panic");
        let ids: Vec<Value> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).expect("whole")["id"].clone()).collect();
        assert_eq!(ids, (0..200).map(Value::from).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_only_answer_is_written_before_anybody_waits_for_it() {
        let (mut lines, mut to_server, mut from_server) = lines(1_000);
        to_server.write_all(PING.as_bytes()).await.expect("written");
        assert!(is_ping(&mut lines).await);
        let _not_polled = lines.send(answer(1));
        let mut bytes = [0; 100];
        let n_bytes = from_server.read(&mut bytes).now_or_never().expect("it is there").expect("readable");
        assert_eq!(serde_json::from_slice::<Value>(&bytes[..n_bytes]).expect("whole")["id"], 1);
    }

    #[tokio::test]
    async fn a_client_that_never_reads_is_not_read_until_it_does() {
        let (mut lines, mut to_server, mut from_server) = lines(KEPT_BYTES_MAX);
        let mut sends = Vec::new();
        while lines.output.n_bytes.load(Ordering::Relaxed) <= WAITING_BYTES_MAX {
            sends.push(tokio::spawn(lines.send(error_of(1 << 20))));
        }
        to_server.write_all(PING.as_bytes()).await.expect("written");
        assert!(lines.receive().now_or_never().is_none(), "too much waits");
        let reader = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut tokio::io::sink()).await });
        assert!(is_ping(&mut lines).await);
        for send in sends {
            send.await.expect("no panic").expect("sent");
        }
        assert_eq!(lines.output.n_bytes.load(Ordering::Relaxed), 0);
        drop(lines);
        reader.await.expect("no panic").expect("read to the end");
    }

    #[tokio::test]
    async fn a_client_that_is_gone_leaves_nothing_behind() {
        let (mut lines, mut to_server, from_server) = lines(64);
        drop(from_server);
        for _ in 0..20 {
            lines.send(error_of(1 << 20)).await.expect_err("nobody reads");
        }
        assert_eq!(lines.output.n_bytes.load(Ordering::Relaxed), 0);
        to_server.write_all(PING.as_bytes()).await.expect("written");
        assert!(is_ping(&mut lines).await);
        drop(to_server);
        assert!(lines.receive().await.is_none());
    }

    #[tokio::test]
    async fn json_that_is_no_message_is_refused_and_the_rest_is_passed_over() {
        let (mut lines, mut to_server, mut from_server) = lines(10_000);
        let text = format!("no JSON\n[]\n{PING}");
        to_server.write_all(text.as_bytes()).await.expect("written");
        assert!(is_ping(&mut lines).await);
        drop(lines);
        let mut text = String::new();
        from_server.read_to_string(&mut text).await.expect("text");
        let refusal: Value = serde_json::from_str(&text).expect("one line");
        assert_eq!((&refusal["error"]["code"], refusal.get("id")), (&json!(-32600), None), "{refusal}");
    }
}
