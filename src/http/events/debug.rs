//! `GET /ws/debug/{diagram}`: one diagram run step by step, in the words of the debugger that this replaces
//! (platform.md 6.3). It is the same engine, the same actions and the same events as on `/ws`; each `start` is an
//! execution of its own, which stays where it is when the socket goes.

use std::time::Duration;

use axum::extract::ws::WebSocket;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use futures_util::FutureExt;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use self::story::{Story, Told};
use super::Events;
use super::fields::Fields;
use super::frames::{self, What};
use super::inspect::inspect;
use super::line::{Beats, Close, Gone, Line, Next};
use super::socket::stream_of;
use super::topics::News;
use super::upgrade::{Known, Peer, unknown, upgrade};
use crate::error::{Error, ErrorKind};
use crate::handlers::control_execution::{self, control_execution};
use crate::handlers::fetch::{self, fetch};
use crate::handlers::follow_execution::{self, follow_execution};
use crate::handlers::run_diagram::{self, Extras, Waiting, run_diagram};

mod story;

/// How long a client may say nothing. Its execution stays paused, and can be resumed by others.
const IDLE: Duration = Duration::from_secs(10 * 60);

const ACTIONS: [&str; 7] = ["auth", "start", "continue", "step", "stop", "inspect", "set_breakpoints"];

/// What a client asks for.
#[derive(Debug)]
enum Asked {
    Auth { token: String },
    Start { input: Map<String, Value>, breakpoints: Vec<String> },
    Control { action: &'static str, value: Option<Value> },
    Inspect { node: Option<String>, what: Option<What> },
}

fn read(text: &str) -> Result<Asked, Error> {
    let mut fields = Fields::new(frames::object(text)?);
    let action = fields.needed_text("action");
    let plain = |action| Asked::Control { action, value: None };
    let asked = match action.as_str() {
        "auth" => Asked::Auth { token: fields.needed_text("token") },
        "start" => {
            Asked::Start { input: input(&mut fields), breakpoints: fields.texts("breakpoints").unwrap_or_default() }
        }
        "continue" => plain("resume"),
        "step" => plain("step"),
        "stop" => plain("abort"),
        "inspect" => Asked::Inspect { node: fields.text("node"), what: frames::what(&mut fields) },
        "set_breakpoints" => {
            let nodes = fields.texts("breakpoints").map(Value::from);
            Asked::Control { action: "set_breakpoints", value: nodes.or_else(|| Some(json!([]))) }
        }
        other => return Err(frames::unknown_type(other, &ACTIONS, "action")),
    };
    fields.finish()?;
    Ok(asked)
}

/// The inputs of the run: an object, or a text that holds one; any other text is the input `input`.
fn input(fields: &mut Fields) -> Map<String, Value> {
    match fields.value("input") {
        None => Map::new(),
        Some(Value::Object(map)) => map,
        Some(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(Value::Object(map)) => map,
            _ => Map::from_iter([("input".to_owned(), Value::String(text))]),
        },
        Some(other) => {
            fields.problem(format!(
                "`input` must be an object or a text, not `{}`",
                super::fields::cut(&other.to_string())
            ));
            Map::new()
        }
    }
}

/// Answers with a socket.
pub(super) async fn answer(State(events): State<Events>, Path(diagram): Path<String>, request: Request) -> Response {
    match upgrade(&events, request.into_parts().0).await {
        Ok((upgrade, peer)) => upgrade.on_upgrade(move |socket| serve(events, diagram, socket, peer)),
        Err(response) => *response,
    }
}

async fn serve(events: Events, diagram: String, socket: WebSocket, peer: Peer) {
    let mut line = Line::new(&events, socket, Beats::Left);
    let close = match introduced(&mut line, &events, peer).await {
        Ok(known) => match may_see(&events, &known, &diagram).await {
            Ok(()) => Session { events, diagram, known, line: &mut line, story: None }.run().await,
            Err(close) => Some(close),
        },
        Err(close) => close,
    };
    line.close(close).await;
}

/// Waits until the client has said who it is, where that is asked.
async fn introduced(line: &mut Line, events: &Events, peer: Peer) -> Result<Known, Option<Close>> {
    let stranger = match peer {
        Peer::Known(known) => return Ok(known),
        Peer::Stranger(stranger) => stranger,
    };
    let text = match line.next(Some(stranger.deadline)).await {
        Next::Text(text) => text,
        Next::End(close) => return Err(close),
        Next::Late | Next::News(..) => return Err(Some(Close::UNKNOWN)),
    };
    let introduction = match read(&text) {
        Ok(Asked::Auth { token }) => stranger.introduce(&token).await,
        Ok(_) => Err((unknown("say first who you are"), Close::UNKNOWN)),
        Err(error) => Err((error, Close::UNKNOWN)),
    };
    match introduction {
        Ok(known) => Ok(known),
        Err((error, close)) => {
            line.refuse_with(failure(events, &error)).await.map_err(|Gone| None)?;
            Err(Some(close))
        }
    }
}

/// What is not there and what is not theirs is the same to a client.
async fn may_see(events: &Events, known: &Known, diagram: &str) -> Result<(), Close> {
    let request = fetch::Request { id: format!("dipeo://diagrams/{diagram}") };
    match fetch(&events.app, &known.caller, request).await {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::Refused => Err(Close::FOREIGN),
            ErrorKind::Conflict | ErrorKind::Limit | ErrorKind::External | ErrorKind::Internal => {
                tracing::warn!(code = error.code(), "a diagram could not be read: {}", error.chain());
                Err(Close::FAILED)
            }
        },
    }
}

/// A frame as the debugger's clients know them.
fn frame(events: &Events, kind: &str, node_id: Value, data: Value) -> Value {
    let mut frame = json!({"type": kind});
    if !node_id.is_null() {
        frame["node_id"] = node_id;
    }
    frame["data"] = data;
    frame["timestamp"] = events.app.clock.now().to_rfc3339().into();
    frame
}

fn failure(events: &Events, error: &Error) -> Value {
    frame(events, "error", Value::Null, error.to_json())
}

/// One client with one diagram.
struct Session<'a> {
    events: Events,
    diagram: String,
    known: Known,
    line: &'a mut Line,
    /// The execution that was started last, until its end was told.
    story: Option<Story>,
}

impl Session<'_> {
    async fn run(mut self) -> Option<Close> {
        let mut heard_at = Instant::now();
        loop {
            let sent = match self.line.next(Some(heard_at + IDLE)).await {
                Next::Text(text) => {
                    heard_at = Instant::now();
                    self.hear(&text).await
                }
                Next::News(_, news) => self.tell(news).await,
                Next::End(close) => return close,
                Next::Late => {
                    let message = "no command came for ten minutes; the execution stays as it is and can be resumed";
                    let last = frame(&self.events, "timeout", Value::Null, json!({"message": message}));
                    return self.line.say(&last).await.ok().map(|()| Close::NORMAL);
                }
            };
            if sent.is_err() {
                return None;
            }
        }
    }

    async fn tell(&mut self, news: News) -> Result<(), Gone> {
        match news {
            News::Event(event) => {
                let told = self.story.as_mut().map(|it| it.tell(&event)).unwrap_or_default();
                for Told { kind, node_id, data } in told {
                    let frame = frame(&self.events, kind, node_id, data);
                    self.line.say(&frame).await?;
                }
                Ok(())
            }
            News::Over => {
                self.story = None;
                Ok(())
            }
            News::Failed(error) => {
                tracing::warn!(code = error.code(), "a debugged execution broke off: {}", error.chain());
                self.story = None;
                self.line.say(&failure(&self.events, &error)).await
            }
        }
    }

    async fn hear(&mut self, text: &str) -> Result<(), Gone> {
        let done = match read(text) {
            Ok(asked) => self.do_as_asked(asked).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(Some(frame)) => self.line.say(&frame).await,
            Ok(None) => Ok(()),
            Err(error) => self.line.refuse_with(failure(&self.events, &error)).await,
        }
    }

    async fn do_as_asked(&mut self, asked: Asked) -> Result<Option<Value>, Error> {
        match asked {
            Asked::Auth { .. } => Ok(None),
            Asked::Start { input, breakpoints } => self.start(input, breakpoints).await.map(Some),
            Asked::Control { action, value } => self.control(action, value).map(|()| None),
            Asked::Inspect { node, what } => {
                let execution_id = self.under_way()?;
                let data = inspect(&self.events.app, &self.known.caller, execution_id, node, what).await?;
                Ok(Some(frame(&self.events, "inspection", Value::Null, data)))
            }
        }
    }

    /// The execution that commands are for.
    fn under_way(&self) -> Result<String, Error> {
        let story = self.story.as_ref().ok_or_else(|| {
            Error::conflict("NOT_PAUSED", "nothing is being debugged").hint("send `{\"action\":\"start\"}` first")
        })?;
        Ok(story.execution_id.clone())
    }

    async fn start(&mut self, input: Map<String, Value>, breakpoints: Vec<String>) -> Result<Value, Error> {
        if let Some(story) = &self.story {
            return Err(Error::conflict(
                "ALREADY_EXISTS",
                format!("`{}` is being debugged already", story.execution_id),
            )
            .hint("let it end or `stop` it, or open another socket"));
        }
        let (app, caller) = (&self.events.app, &self.known.caller);
        let request = run_diagram::Request {
            diagram: Some(self.diagram.clone()),
            input_data: Some(input),
            wait_seconds: Some(0),
            ..Default::default()
        };
        let extras = Extras { mode: Some("debug".to_owned()), breakpoints, ..Default::default() };
        let execution_id = run_diagram(app, caller, request, extras, Waiting::default()).await?.execution_id;
        let following = follow_execution::Request { execution_id: execution_id.clone(), ..Default::default() };
        let events = stream_of(follow_execution(app, caller, following).await?);
        self.line.topics.add(execution_id.clone(), events);
        self.story = Some(Story::of(execution_id.clone()));
        Ok(frame(&self.events, "started", Value::Null, json!({"execution_id": execution_id})))
    }

    /// Carries an action out; the events tell what comes of it, so only a refusal is answered.
    fn control(&mut self, action: &'static str, value: Option<Value>) -> Result<(), Error> {
        let execution_id = self.under_way()?;
        let (events, caller) = (self.events.clone(), self.known.caller.clone());
        let request = control_execution::Request {
            execution_id,
            action: action.to_owned(),
            value,
            wait_seconds: Some(0),
            ..Default::default()
        };
        let work = async move {
            let done = control_execution(&events.app, &caller, request, Waiting::default()).await;
            done.err().map(|error| failure(&events, &error))
        };
        self.line.carry_out(work.boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_and_what_is_wrong_with_them_is_told() {
        for (text, expected) in [
            (r#"{"action":"auth","token":"t"}"#, r#"Auth { token: "t" }"#),
            (
                r#"{"action":"start","input":"{\"a\":1}","breakpoints":["x"]}"#,
                r#"Start { input: {"a": Number(1)}, breakpoints: ["x"] }"#,
            ),
            (r#"{"action":"start","input":"tea"}"#, r#"Start { input: {"input": String("tea")}, breakpoints: [] }"#),
            (r#"{"action":"continue"}"#, r#"Control { action: "resume", value: None }"#),
            (r#"{"action":"step"}"#, r#"Control { action: "step", value: None }"#),
            (r#"{"action":"stop"}"#, r#"Control { action: "abort", value: None }"#),
            (
                r#"{"action":"set_breakpoints","breakpoints":["x"]}"#,
                r#"Control { action: "set_breakpoints", value: Some(Array [String("x")]) }"#,
            ),
            (r#"{"action":"inspect","what":"pending"}"#, "Inspect { node: None, what: Some(Pending) }"),
            ("nothing", "the frame is not a JSON object"),
            (r#"{"action":"jump"}"#, "there is no frame of action `jump`"),
            (r#"{"action":"step","node":"x"}"#, "there is no `node`"),
            (r#"{"action":"start","input":7}"#, "`input` must be an object or a text, not `7`"),
        ] {
            let found = read(text).map_or_else(|it| it.message().to_owned(), |it| format!("{it:?}"));
            assert_eq!(found, expected, "{text}");
        }
    }
}
