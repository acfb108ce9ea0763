//! A WebSocket as both kinds of sessions use it: it keeps the connection alive, waits for whatever comes next, and
//! sends. What is sent is pulled only when the client has taken what was sent before.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Events;
use super::topics::{News, Topics};
use crate::error::Error;
use crate::limits;

/// Time between two frames that say that the server lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Time between two pings.
const PING: Duration = Duration::from_secs(20);
/// Pings in a row that may stay unanswered.
const PINGS_MISSED_MAX: u32 = 3;
/// How long a client may take to read one frame: as long as one that answers no ping.
const SENDING: Duration = Duration::from_secs(60);
/// How long the client may take to say goodbye.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read and written at once; the frames of clients are small.
const BUFFER_BYTES: usize = 16 * 1024;

/// Why a connection is closed: a code of RFC 6455 or one of ours (platform.md 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Close(pub u16, pub &'static str);

impl Close {
    pub const NORMAL: Self = Self(1000, "");
    pub const STOPPING: Self = Self(1001, "the server stops");
    pub const TOO_LARGE: Self = Self(1009, "a message may have 64 KiB");
    pub const FAILED: Self = Self(1011, "something failed in the server");
    pub const FULL: Self = Self(1013, "too many streams are open");
    pub const UNKNOWN: Self = Self(4001, "authenticate with the first frame, within 10 s");
    pub const FOREIGN: Self = Self(4003, "there is nothing here for you");
}

/// Whether the client also hears that the server lives, besides pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beats {
    Sent,
    Left,
}

/// One connection.
pub(super) struct Line {
    events: Events,
    socket: WebSocket,
    stop: CancellationToken,
    beats: Beats,
    heartbeat: Interval,
    ping: Interval,
    n_unanswered: u32,
    /// What the client follows.
    pub topics: Topics,
    /// Requests under way, each with the frame that answers it, if one does.
    answers: FuturesUnordered<BoxFuture<'static, Option<Value>>>,
    /// By how much refusals outnumber answers.
    n_refused: u32,
}

/// What a session has to see to.
pub(super) enum Next {
    /// The client says something.
    Text(Utf8Bytes),
    /// A topic has something to tell.
    News(String, News),
    /// The deadline of the session is over.
    Late,
    /// The connection is to be closed, or gone already.
    End(Option<Close>),
}

enum Due {
    Read(Option<Result<Message, axum::Error>>),
    News(String, News),
    Answer(Option<Value>),
    Beat,
    Ping,
    Stop,
    Late,
}

/// Sets the limits of a socket to be.
pub(super) fn limited(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .max_message_size(limits::SOCKET_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::SOCKET_MESSAGE_BYTES_MAX)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
}

impl Line {
    pub fn new(events: &Events, socket: WebSocket, beats: Beats) -> Self {
        Self {
            events: events.clone(),
            socket,
            stop: events.stop.clone(),
            beats,
            heartbeat: every(HEARTBEAT, Instant::now()),
            ping: every(PING, Instant::now() + PING),
            n_unanswered: 0,
            topics: Topics::default(),
            answers: FuturesUnordered::new(),
            n_refused: 0,
        }
    }

    /// Waits for what the session has to see to, answering and keeping alive meanwhile.
    pub async fn next(&mut self, deadline: Option<Instant>) -> Next {
        loop {
            // Nothing is awaited besides this until what became due is done, so nothing is lost half-way.
            let sent = match self.due(deadline).await {
                Due::Read(None | Some(Ok(Message::Close(_)))) => return Next::End(None),
                Due::Read(Some(Err(error))) => return Next::End(broken(&error)),
                Due::Read(Some(Ok(Message::Text(text)))) => return Next::Text(text),
                Due::Read(Some(Ok(Message::Binary(_)))) => {
                    self.refuse(&Error::invalid("INVALID_JSON", "the frame is binary").hint("send text frames"), None)
                        .await
                }
                Due::Read(Some(Ok(Message::Pong(_)))) => {
                    self.n_unanswered = 0;
                    Ok(())
                }
                // The library has answered it.
                Due::Read(Some(Ok(Message::Ping(_)))) => Ok(()),
                Due::News(topic, news) => return Next::News(topic, news),
                Due::Answer(Some(frame)) => self.say(&frame).await,
                Due::Answer(None) => Ok(()),
                Due::Beat => {
                    let now = self.events.app.clock.now().to_rfc3339();
                    self.say(&json!({"type": "heartbeat", "timestamp": now})).await
                }
                Due::Ping if self.n_unanswered >= PINGS_MISSED_MAX => return Next::End(None),
                Due::Ping => {
                    self.n_unanswered += 1;
                    self.send(Message::Ping(Vec::new().into())).await
                }
                Due::Stop => return Next::End(Some(Close::STOPPING)),
                Due::Late => return Next::Late,
            };
            if sent.is_err() {
                return Next::End(None);
            }
        }
    }

    async fn due(&mut self, deadline: Option<Instant>) -> Due {
        let late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => Due::Stop,
            read = self.socket.recv() => Due::Read(read),
            (topic, news) = self.topics.next() => Due::News(topic, news),
            Some(frame) = self.answers.next() => Due::Answer(frame),
            _ = self.heartbeat.tick(), if self.beats == Beats::Sent => Due::Beat,
            _ = self.ping.tick() => Due::Ping,
            () = late => Due::Late,
        }
    }

    /// Sends a frame and waits until it is on its way.
    ///
    /// # Errors
    ///
    /// When the client is gone or does not read.
    pub async fn say(&mut self, frame: &Value) -> Result<(), Gone> {
        self.n_refused = self.n_refused.saturating_sub(1);
        self.send(Message::Text(frame.to_string().into())).await
    }

    /// Tells the client what was wrong. Who is wrong again and again is answered more slowly.
    ///
    /// # Errors
    ///
    /// As [`Line::say`].
    pub async fn refuse(&mut self, error: &Error, id: Option<&Value>) -> Result<(), Gone> {
        self.refuse_with(super::frames::error(error, id)).await
    }

    /// As [`Line::refuse`], with a frame of the session's own.
    ///
    /// # Errors
    ///
    /// As [`Line::say`].
    pub async fn refuse_with(&mut self, frame: Value) -> Result<(), Gone> {
        if self.n_refused >= limits::REFUSALS_FREE {
            tokio::time::sleep(limits::REFUSAL_PAUSE).await;
        }
        self.send(Message::Text(frame.to_string().into())).await?;
        self.n_refused = (self.n_refused + 1).min(limits::REFUSALS_FREE);
        Ok(())
    }

    /// Carries out a request without holding up anything else; the frame it returns, if any, is sent when
    /// it is done.
    ///
    /// # Errors
    ///
    /// `TOO_MANY_REQUESTS`.
    pub fn carry_out(&mut self, request: BoxFuture<'static, Option<Value>>) -> Result<(), Error> {
        if self.answers.len() >= limits::REQUESTS_PER_SOCKET_MAX {
            let message = format!("{} requests of this socket are under way", self.answers.len());
            return Err(Error::limit("TOO_MANY_REQUESTS", message).hint("wait for the results"));
        }
        self.answers.push(request);
        Ok(())
    }

    /// Says why and closes.
    pub async fn close(mut self, close: Option<Close>) {
        if let Some(Close(code, reason)) = close
            && self.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await.is_err()
        {
            return;
        }
        // What is still on its way from the client must be read, or the system takes the last words back; and to
        // read on sends the answer to a goodbye of the client.
        let farewell = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match tokio::time::timeout(SENDING, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

/// The client is gone, or reads nothing any more.
#[derive(Debug)]
pub(super) struct Gone;

fn every(period: Duration, start: Instant) -> Interval {
    let mut interval = tokio::time::interval_at(start, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// What to say to a client whose bytes make no message.
fn broken(error: &axum::Error) -> Option<Close> {
    // The library tells what was wrong in words only.
    let text = error.to_string();
    text.contains("too long").then_some(Close::TOO_LARGE)
}
