//! `GET /ws`: follow any number of executions, steer them and look into them over one socket (platform.md 6.2, 6.3).

use axum::extract::ws::WebSocket;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::Events;
use super::frames::{self, Asked, Topic, replying};
use super::inspect::inspect;
use super::line::{Beats, Close, Gone, Line, Next};
use super::topics::News;
use super::upgrade::{Known, Peer, unknown, upgrade};
use crate::error::Error;
use crate::handlers::control_execution::{self, control_execution};
use crate::handlers::follow_execution::{self, EventRecord, Follow, follow_execution};
use crate::handlers::follow_executions::follow_executions;
use crate::handlers::run_diagram::Waiting;

/// Answers with a socket.
pub(super) async fn answer(State(events): State<Events>, request: Request) -> Response {
    match upgrade(&events, request.into_parts().0).await {
        Ok((upgrade, peer)) => upgrade.on_upgrade(move |socket| serve(events, socket, peer)),
        Err(response) => *response,
    }
}

async fn serve(events: Events, socket: WebSocket, peer: Peer) {
    let mut line = Line::new(&events, socket, Beats::Sent);
    let close = match introduced(&mut line, peer).await {
        Ok(known) => Session { events, known, line: &mut line }.run().await,
        Err(close) => close,
    };
    line.close(close).await;
}

/// Waits until the client has said who it is, where that is asked, and says that it may speak.
async fn introduced(line: &mut Line, peer: Peer) -> Result<Known, Option<Close>> {
    let known = match peer {
        Peer::Known(known) => known,
        Peer::Stranger(stranger) => {
            let text = match line.next(Some(stranger.deadline)).await {
                Next::Text(text) => text,
                Next::End(close) => return Err(close),
                Next::Late | Next::News(..) => return Err(Some(Close::UNKNOWN)),
            };
            let introduction = match frames::object(&text).and_then(frames::read) {
                Ok(Asked::Auth { token }) => stranger.introduce(&token).await,
                Ok(_) => Err((unknown("say first who you are"), Close::UNKNOWN)),
                Err(error) => Err((error, Close::UNKNOWN)),
            };
            match introduction {
                Ok(known) => known,
                Err((error, close)) => {
                    line.refuse(&error, None).await.map_err(|Gone| None)?;
                    return Err(Some(close));
                }
            }
        }
    };
    line.say(&json!({"type": "ready"})).await.map_err(|Gone| None)?;
    Ok(known)
}

/// A client that may speak, and what it follows.
struct Session<'a> {
    events: Events,
    known: Known,
    line: &'a mut Line,
}

impl Session<'_> {
    async fn run(mut self) -> Option<Close> {
        loop {
            let sent = match self.line.next(None).await {
                Next::Text(text) => self.hear(&text).await,
                Next::News(topic, news) => self.tell(topic, news).await,
                Next::End(close) => return close,
                Next::Late => Ok(()),
            };
            if sent.is_err() {
                return None;
            }
        }
    }

    async fn tell(&mut self, topic: String, news: News) -> Result<(), Gone> {
        let frame = match news {
            News::Event(event) => frames::event(&topic, event),
            News::Over => json!({"type": "unsubscribed", "topic": topic, "reason": "over"}),
            News::Failed(error) => {
                tracing::warn!(code = error.code(), "a topic of a socket broke off: {}", error.chain());
                json!({"type": "unsubscribed", "topic": topic, "reason": "failed", "error": error.to_json()})
            }
        };
        self.line.say(&frame).await
    }

    async fn hear(&mut self, text: &str) -> Result<(), Gone> {
        let mut object = match frames::object(text) {
            Ok(object) => object,
            Err(error) => return self.line.refuse(&error, None).await,
        };
        let id = frames::take_id(&mut object);
        let done = match frames::read(object) {
            Ok(asked) => self.do_as_asked(asked, id.as_ref()).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(Some(frame)) => self.line.say(&replying(frame, id.as_ref())).await,
            Ok(None) => Ok(()),
            Err(error) => self.line.refuse(&error, id.as_ref()).await,
        }
    }

    /// Does what was asked and returns what to answer at once; nothing where the answer comes when it is done.
    async fn do_as_asked(&mut self, asked: Asked, id: Option<&Value>) -> Result<Option<Value>, Error> {
        match asked {
            // Clients that are made for both kinds of servers show a token to those that ask for none as well.
            Asked::Auth { .. } => Ok(Some(json!({"type": "ready"}))),
            Asked::Subscribe { topic, since } => self.subscribe(&topic, since).await.map(Some),
            Asked::Unsubscribe { topic } => {
                let name = topic.name();
                if self.line.topics.remove(&name) {
                    return Ok(Some(json!({"type": "unsubscribed", "topic": name})));
                }
                Err(Error::invalid("INVALID_INPUT", format!("you do not follow `{name}`"))
                    .hint("it may be over: an execution that has ended is followed no longer"))
            }
            Asked::Control(request) => self.control(request, id.cloned()).map(|()| None),
            Asked::Inspect { execution_id, node, what } => {
                let data = inspect(&self.events.app, &self.known.caller, execution_id, node, what).await?;
                Ok(Some(json!({"type": "inspection", "data": data})))
            }
        }
    }

    async fn subscribe(&mut self, topic: &Topic, since: Option<u64>) -> Result<Value, Error> {
        let name = topic.name();
        self.line.topics.check(&name)?;
        let (app, caller) = (&self.events.app, &self.known.caller);
        let events = match topic {
            Topic::Execution(id) => {
                let request = follow_execution::Request { execution_id: id.to_string(), since, until: None };
                stream_of(follow_execution(app, caller, request).await?.with_tokens())
            }
            Topic::Executions if since.is_some() => {
                return Err(Error::invalid("INVALID_INPUT", "`executions` takes no `since`")
                    .hint("subscribe, and then list the executions: nothing falls between the two"));
            }
            Topic::Executions => {
                let follow = follow_executions(app, caller).await?;
                stream::try_unfold(follow, async |mut it| Ok(Some((it.next().await?, it)))).boxed()
            }
        };
        self.line.topics.add(name.clone(), events);
        Ok(json!({"type": "subscribed", "topic": name}))
    }

    /// Carries an action out beside everything else: its execution may take a while to hear of it.
    fn control(&mut self, request: control_execution::Request, id: Option<Value>) -> Result<(), Error> {
        let (app, caller) = (self.events.app.clone(), self.known.caller.clone());
        let work = async move {
            let about = (request.execution_id.clone(), request.action.clone());
            let done = control_execution(&app, &caller, request, Waiting::default()).await;
            let mut frame = json!({"type": "result", "ok": done.is_ok(), "execution_id": about.0, "action": about.1});
            match done {
                Ok(execution) => frame["execution"] = json!(execution),
                Err(error) => frame["error"] = error.to_json(),
            }
            Some(replying(frame, id.as_ref()))
        };
        self.line.carry_out(work.boxed())
    }
}

/// The events of one execution as a stream.
pub(super) fn stream_of(follow: Follow) -> BoxStream<'static, Result<EventRecord, Error>> {
    stream::try_unfold(follow, async |mut it| Ok(it.next().await?.map(|event| (event, it)))).boxed()
}
