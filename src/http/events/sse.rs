//! `GET /api/v1/executions/{id}/events`: the events of one execution as server-sent events (platform.md 6.1).

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::Events;
use super::fields::Fields;
use super::places::Place;
use super::tool_hub;
use crate::error::{Error, ErrorKind};
use crate::handlers::follow_execution::{EventRecord, Follow, Request as Following, TOKEN, Until, follow_execution};
use crate::http::error_body::error_response;

/// Time between two comments that keep proxies from taking the stream for dead.
const PING: Duration = Duration::from_secs(15);
/// After how many seconds a client that was refused for want of a place may try again.
const RETRY_AFTER_S: u16 = 5;

/// Answers with the stream, or with why there is none. To whoever has read to the end of an ended execution the
/// answer is 204: browsers reconnect for ever unless they are told that nothing will come.
pub(super) async fn answer(State(events): State<Events>, Path(id): Path<String>, request: Request) -> Response {
    answer_as(&events, id, request, |event| Some(record(event))).await
}

/// As [`answer`], in the words of Tool Hub.
pub(super) async fn answer_tool_hub(
    State(events): State<Events>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    answer_as(&events, id, request, tool_hub::records).await
}

/// What is sent of an event.
type Write = fn(&EventRecord) -> Option<Bytes>;

async fn answer_as(events: &Events, id: String, request: Request, write: Write) -> Response {
    let (parts, _) = request.into_parts();
    match open(events, id, &parts, write).await {
        Ok(feed) if feed.follow.is_over() => StatusCode::NO_CONTENT.into_response(),
        Ok(feed) => stream(feed),
        Err(error) => refused(&error),
    }
}

async fn open(events: &Events, id: String, parts: &Parts, write: Write) -> Result<Feed, Error> {
    let (since, until) = asked(parts)?;
    let (caller, principal) = events.sender(parts);
    let place = events.places.take(principal.as_deref())?;
    let request = Following { execution_id: id, since, until };
    let follow = follow_execution(&events.app, &caller, request).await?.with_tokens();
    Ok(Feed { follow, events: events.clone(), ping: ping(), write, has_ended: false, _place: place })
}

fn ping() -> Interval {
    let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping
}

pub(super) fn refused(error: &Error) -> Response {
    let mut response = error_response(error);
    if error.kind() == ErrorKind::Limit {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}

fn stream(feed: Feed) -> Response {
    let pieces = futures_util::stream::unfold(feed, async |mut feed| {
        let piece = feed.next().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), feed))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// Reads `since` and `until`. A browser that reconnects asks for the same address again and says in a header what it
/// has, so the header counts.
fn asked(parts: &Parts) -> Result<(Option<u64>, Option<Until>), Error> {
    let mut given = Map::new();
    let mut twice = None;
    for (name, value) in url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        if given.insert(name.to_string(), Value::String(value.to_string())).is_some() {
            twice = Some(name.to_string());
        }
    }
    let mut fields = Fields::new(given);
    let mut since = number(&mut fields, "since", None);
    let until = match fields.text("until").as_deref() {
        None => None,
        Some("end") => Some(Until::End),
        Some("pause") => Some(Until::Pause),
        Some(other) => {
            fields.problem(format!("`until` must be `end` or `pause`, not `{}`", super::fields::cut(other)));
            None
        }
    };
    if let Some(name) = twice {
        fields.problem(format!("`{}` is given twice", super::fields::cut(&name)));
    }
    let mut last_ids = parts.headers.get_all("last-event-id").iter();
    if let Some(last_id) = last_ids.next() {
        since = number(&mut fields, "Last-Event-ID", Some(last_id.to_str().unwrap_or("?")));
        if last_ids.next().is_some() {
            fields.problem("`Last-Event-ID` is given twice".to_owned());
        }
    }
    fields.finish()?;
    Ok((since, until))
}

/// The number in a text: `text`, or the parameter of this name.
fn number(fields: &mut Fields, name: &'static str, text: Option<&str>) -> Option<u64> {
    let text = text.map(str::to_owned).or_else(|| fields.text(name))?;
    // A sign is no digit, though Rust would take it.
    let number = if text.starts_with('+') { None } else { text.parse().ok() };
    if number.is_none() {
        fields.problem(format!("`{name}` must be the number of an event, not `{}`", super::fields::cut(&text)));
    }
    number
}

/// One open stream.
struct Feed {
    follow: Follow,
    events: Events,
    ping: Interval,
    write: Write,
    has_ended: bool,
    _place: Place,
}

impl Feed {
    /// What is sent next; `None` when the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        loop {
            let event = tokio::select! {
                biased;
                () = self.events.stop.cancelled() => {
                    self.has_ended = true;
                    return Some(closing(&json!({"reason": "the server stops; connect again later"})));
                }
                event = self.follow.next() => event,
                _ = self.ping.tick() => return Some(Bytes::from_static(b": ping\n\n")),
            };
            match event {
                Ok(None) => return None,
                Ok(Some(event)) => match (self.write)(&event) {
                    Some(piece) => return Some(piece),
                    // It has no word for this one.
                    None => continue,
                },
                Err(error) => {
                    tracing::warn!(code = error.code(), "a stream of events broke off: {}", error.chain());
                    self.has_ended = true;
                    return Some(closing(&json!({"error": error.to_json()})));
                }
            }
        }
    }
}

/// An event on the wire. JSON has no line breaks of its own, and names of events are words.
fn record(event: &EventRecord) -> Bytes {
    let data = serde_json::to_string(&event.data).unwrap_or_default();
    let name: String = event.event.chars().filter(|it| !it.is_control()).collect();
    match event.event.as_str() {
        // It is not stored, so nobody can come back to it.
        TOKEN => Bytes::from(format!("event: {name}\ndata: {data}\n\n")),
        _ => Bytes::from(format!("id: {}\nevent: {name}\ndata: {data}\n\n", event.seq)),
    }
}

/// Tells why a stream ends before its execution does. It has no id, so whoever comes back misses nothing.
fn closing(data: &Value) -> Bytes {
    Bytes::from(format!("event: closing\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, headers: &[&str]) -> Result<(Option<u64>, Option<Until>), String> {
        let mut request = axum::http::Request::builder().uri(format!("/x{query}"));
        for value in headers {
            request = request.header("last-event-id", *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        asked(&parts).map_err(|it| it.message().to_owned())
    }

    #[test]
    fn what_is_asked_is_read_and_the_header_counts() {
        for (query, headers, expected) in [
            ("", &[][..], (None, None)),
            ("?", &[], (None, None)),
            ("?since=0", &[], (Some(0), None)),
            ("?since=7&until=pause", &[], (Some(7), Some(Until::Pause))),
            ("?until=end", &["9"], (Some(9), Some(Until::End))),
            ("?since=3", &["9"], (Some(9), None)),
        ] {
            assert_eq!(read(query, headers), Ok(expected), "{query} {headers:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_all_at_once() {
        for (query, headers, expected) in [
            ("?since=", &[][..], "`since` must be the number of an event, not ``"),
            ("?since=-1", &[], "`since` must be the number of an event, not `-1`"),
            ("?since=+1", &[], "`since` must be the number of an event, not ` 1`"),
            ("?since=%2B1", &[], "`since` must be the number of an event, not `+1`"),
            ("?since=1e3", &[], "`since` must be the number of an event, not `1e3`"),
            ("?since=18446744073709551616", &[], "`since` must be the number of an event, not `18446744073709551616`"),
            ("?since=1&since=2", &[], "`since` is given twice"),
            ("?until=paused", &[], "`until` must be `end` or `pause`, not `paused`"),
            ("?sinse=1", &[], "there is no `sinse`, did you mean `since`?"),
            ("", &["x"], "`Last-Event-ID` must be the number of an event, not `x`"),
            ("", &["1", "2"], "`Last-Event-ID` is given twice"),
            (
                "?since=a&until=b",
                &[],
                "`since` must be the number of an event, not `a`; `until` must be `end` or `pause`, not `b`",
            ),
        ] {
            assert_eq!(read(query, headers), Err(expected.to_owned()), "{query} {headers:?}");
        }
    }
}
