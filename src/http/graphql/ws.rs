//! The WebSocket at `/graphql`, by the protocol `graphql-transport-ws`: handshake, operations beside one another,
//! pings both ways. An operation has a task that waits while the socket is busy, and hands over one answer at a
//! time: a client that reads slowly holds up nothing but its own operations.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::{FutureExt, StreamExt};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::{Answer, problem};
use super::caller::caller_of;
use super::check::{Checked, check};
use super::message::{Closing, FromClient, PROTOCOL, ToClient};
use super::parameters::Parameters;
use super::uploads::Files;
use super::{Shared, page};
use crate::error::Error;
use crate::handlers::Caller;
use crate::handlers::caller::Identity;
use crate::http::authentication::LateComer;
use crate::http::error_body::error_response;
use crate::limits;

/// How long a client may take to shake hands (surface.md 5.3).
const INIT_TIME: Duration = Duration::from_secs(10);
/// How often the server asks whether anybody is there, and how long the answer may take (surface.md 5.3).
const PING_TIME: Duration = Duration::from_secs(25);
/// How long a client may take to read one message: whoever reads nothing is not there.
const SEND_TIME: Duration = Duration::from_secs(60);
/// Answers that wait for the socket; the operations wait behind them.
const ANSWERS_WAITING: usize = 1;
/// Buffers of one socket, in bytes: many are open that say little.
const BUFFER_BYTES: usize = 4 * 1024;

/// Upgrades to a WebSocket; every other `GET` is shown the page.
pub async fn or_page(
    State(shared): State<Arc<Shared>>,
    identity: Option<Extension<Identity>>,
    door: Option<Extension<LateComer>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else { return page::show(shared.is_open) };
    let Ok(place) = Arc::clone(&shared.sockets).try_acquire_owned() else { return too_many() };
    let door = match (identity, door) {
        (None, Some(door)) => Door::Asks(door.0),
        (identity, _) => Door::Knows(identity.map(|it| it.0)),
    };
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(limits::GRAPHQL_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::GRAPHQL_MESSAGE_BYTES_MAX)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .on_upgrade(async move |socket| {
            speak(shared, door, socket).await;
            drop(place);
        })
}

fn too_many() -> Response {
    let error = Error::limit("TOO_MANY_STREAMS", "there are too many WebSockets open")
        .hint("one socket carries many operations; close those that nobody reads");
    error_response(&error)
}

/// Who is at the other end.
enum Door {
    /// Found out at the upgrade; nobody means that nobody is asked.
    Knows(Option<Identity>),
    /// They say so in the handshake: pages of browsers cannot say it before.
    Asks(LateComer),
}

async fn speak(shared: Arc<Shared>, door: Door, mut socket: WebSocket) {
    let is_ours = socket.protocol().is_some_and(|it| it == PROTOCOL);
    let closing = if is_ours {
        let stop = shared.stop.clone();
        let (mut connection, mut answers) = Connection::new(shared, door);
        tokio::select! {
            closing = connection.converse(&mut socket, &mut answers) => closing,
            () = stop.cancelled() => Some(Closing::going_away()),
        }
    } else {
        Some(Closing::unknown_protocol())
    };
    if let Some(closing) = closing {
        let frame = CloseFrame { code: closing.code, reason: closing.reason.into() };
        // Whoever left already need not hear why.
        let _ = timeout(SEND_TIME, socket.send(Message::Close(Some(frame)))).await;
    }
}

/// One socket and what is under way on it.
struct Connection {
    shared: Arc<Shared>,
    door: Door,
    /// Who it is; absent before the handshake.
    caller: Option<Caller>,
    operations: HashMap<String, Operation>,
    /// Ended with the connection.
    tasks: JoinSet<()>,
    next_number: u64,
    outbox: mpsc::Sender<Step>,
    /// When the handshake must be done, and after it when the next ping is due.
    due_at: Instant,
    waits_for_pong: bool,
}

/// An operation that has not ended. Its number tells it from an earlier one of the same id.
struct Operation {
    number: u64,
    task: AbortHandle,
}

/// What an operation has to say.
struct Step {
    id: String,
    number: u64,
    news: News,
}

enum News {
    Answer(Answer),
    /// It never began.
    Refused(Answer),
    Done,
}

/// How a conversation ends: with a reason, or because the other end left.
type Ending = Option<Closing>;

impl Connection {
    fn new(shared: Arc<Shared>, door: Door) -> (Self, mpsc::Receiver<Step>) {
        let (outbox, answers) = mpsc::channel(ANSWERS_WAITING);
        let connection = Self {
            shared,
            door,
            caller: None,
            operations: HashMap::new(),
            tasks: JoinSet::new(),
            next_number: 0,
            outbox,
            due_at: Instant::now() + INIT_TIME,
            waits_for_pong: false,
        };
        (connection, answers)
    }

    /// Hears and answers until one end has enough.
    async fn converse(&mut self, socket: &mut WebSocket, answers: &mut mpsc::Receiver<Step>) -> Ending {
        loop {
            let due_at = self.due_at;
            let outcome = tokio::select! {
                heard = socket.recv() => match heard {
                    Some(Ok(message)) => self.hear(message, socket).await,
                    Some(Err(_)) | None => return None,
                },
                Some(step) = answers.recv() => self.tell(step, socket).await,
                () = sleep_until(due_at) => self.time_is_up(socket).await,
            };
            if let Err(ending) = outcome {
                return ending;
            }
        }
    }

    async fn hear(&mut self, message: Message, socket: &mut WebSocket) -> Result<(), Ending> {
        self.waits_for_pong = false;
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return Err(Some(Closing::bad_message("a message is a text".to_owned()))),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(None),
        };
        match FromClient::parse(text.as_str()).map_err(|it| Some(Closing::bad_message(it)))? {
            FromClient::Init(payload) => self.shake_hands(&payload, socket).await,
            FromClient::Ping(payload) => send(socket, &ToClient::Pong { payload }).await,
            FromClient::Pong => Ok(()),
            FromClient::Subscribe { id, request } => self.begin(id, request, socket).await,
            FromClient::Complete { id } => {
                if let Some(operation) = self.operations.remove(&id) {
                    operation.task.abort();
                }
                Ok(())
            }
        }
    }

    async fn shake_hands(&mut self, payload: &Map<String, Value>, socket: &mut WebSocket) -> Result<(), Ending> {
        if self.caller.is_some() {
            return Err(Some(Closing::twice()));
        }
        let identity = match &self.door {
            Door::Knows(identity) => identity.clone(),
            Door::Asks(door) => Some(identified(door, payload).await?),
        };
        self.caller = Some(caller_of(&self.shared.app, identity));
        self.due_at = Instant::now() + PING_TIME;
        send(socket, &ToClient::ConnectionAck).await
    }

    /// Begins an operation of any kind.
    async fn begin(
        &mut self,
        id: String,
        request: Result<Parameters, Error>,
        socket: &mut WebSocket,
    ) -> Result<(), Ending> {
        let Some(caller) = self.caller.clone() else {
            return Err(Some(Closing::unauthorized("Unauthorized: shake hands first")));
        };
        if self.operations.contains_key(&id) {
            return Err(Some(Closing::taken(&id)));
        }
        let request = request.and_then(|it| if self.is_full() { Err(too_many_operations()) } else { Ok(it) });
        let parameters = match request {
            Ok(parameters) => parameters,
            Err(error) => {
                let answer = Answer::refusal(vec![problem(error, None)], self.shared.app.scrubber());
                return send(socket, &ToClient::Error { id: &id, payload: &answer.errors }).await;
            }
        };
        while self.tasks.try_join_next().is_some() {}
        self.next_number += 1;
        let number = self.next_number;
        let line = Line { id: id.clone(), number, outbox: self.outbox.clone() };
        let task = self.tasks.spawn(carry_out(Arc::clone(&self.shared), caller, parameters, line));
        self.operations.insert(id, Operation { number, task });
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.operations.len() >= limits::GRAPHQL_OPERATIONS_PER_SOCKET_MAX
    }

    /// Hands on what an operation says, unless the client has done with it.
    async fn tell(&mut self, step: Step, socket: &mut WebSocket) -> Result<(), Ending> {
        let Step { id, number, news } = step;
        if self.operations.get(&id).is_none_or(|it| it.number != number) {
            return Ok(());
        }
        match news {
            News::Answer(answer) => send(socket, &ToClient::Next { id: &id, payload: &answer }).await,
            News::Refused(answer) => {
                self.operations.remove(&id);
                send(socket, &ToClient::Error { id: &id, payload: &answer.errors }).await
            }
            News::Done => {
                self.operations.remove(&id);
                send(socket, &ToClient::Complete { id: &id }).await
            }
        }
    }

    async fn time_is_up(&mut self, socket: &mut WebSocket) -> Result<(), Ending> {
        if self.caller.is_none() {
            return Err(Some(Closing::too_late()));
        }
        if self.waits_for_pong {
            return Err(Some(Closing::silent()));
        }
        self.waits_for_pong = true;
        self.due_at = Instant::now() + PING_TIME;
        send(socket, &ToClient::Ping).await
    }
}

fn too_many_operations() -> Error {
    let most = limits::GRAPHQL_OPERATIONS_PER_SOCKET_MAX;
    Error::limit("TOO_MANY_STREAMS", format!("{most} operations are open on this socket"))
        .hint("complete those that are no longer read")
}

/// Who the handshake says it is.
async fn identified(door: &LateComer, payload: &Map<String, Value>) -> Result<Identity, Ending> {
    let named = payload.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let Some(Value::String(text)) = named.map(|(_, value)| value) else {
        return Err(Some(Closing::unauthorized("Unauthorized: send {\"Authorization\": \"Bearer TOKEN\"}")));
    };
    let Some((scheme, token)) = text.split_once(' ') else { return Err(Some(Closing::forbidden("Forbidden"))) };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Some(Closing::forbidden("Forbidden")));
    }
    door.identify(token.trim()).await.map_err(|error| {
        tracing::warn!(code = error.code(), "a client could not be recognised: {}", error.chain());
        Some(Closing::forbidden("Forbidden"))
    })
}

async fn send(socket: &mut WebSocket, message: &ToClient<'_>) -> Result<(), Ending> {
    match timeout(SEND_TIME, socket.send(Message::Text(message.to_text().into()))).await {
        Ok(Ok(())) => Ok(()),
        // Gone, or as good as gone.
        Ok(Err(_)) | Err(_) => Err(None),
    }
}

/// The way from an operation to the socket.
struct Line {
    id: String,
    number: u64,
    outbox: mpsc::Sender<Step>,
}

impl Line {
    async fn say(&self, news: News) {
        // Fails when the connection has ended, and with it this.
        let _ = self.outbox.send(Step { id: self.id.clone(), number: self.number, news }).await;
    }
}

/// Carries one operation out. A bug that stops it is an answer like any other.
async fn carry_out(shared: Arc<Shared>, caller: Caller, parameters: Parameters, line: Line) {
    let work = AssertUnwindSafe(answers(&shared, caller, parameters, &line)).catch_unwind();
    let news = work.await.unwrap_or_else(|_| {
        let error = Error::internal("the operation stopped unexpectedly");
        News::Refused(Answer::refusal(vec![problem(error, None)], shared.app.scrubber()))
    });
    line.say(news).await;
}

/// Says every answer of an operation and returns how it ended.
async fn answers(shared: &Shared, caller: Caller, parameters: Parameters, line: &Line) -> News {
    let built = shared.schema.built();
    let scrubber = shared.app.scrubber();
    let Checked { request, operation, order } = match check(parameters, &built.rules) {
        Ok(checked) => checked,
        Err(problem) => return News::Refused(Answer::refusal(vec![problem], scrubber)),
    };
    let mut responses = built.schema.execute_stream(request.data(caller).data(Files::default()));
    let mut is_first = true;
    while let Some(response) = responses.next().await {
        let answer = Answer::of(response, &order, scrubber);
        // A subscription that has nothing to follow never began.
        let is_failed_start = is_first && operation == OperationType::Subscription && answer.is_nothing();
        if !answer.was_carried_out() || is_failed_start {
            return News::Refused(answer);
        }
        is_first = false;
        line.say(News::Answer(answer)).await;
    }
    News::Done
}
