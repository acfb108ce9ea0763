//! Questions that an execution asks while a call waits for it. A client that can show forms is asked: a modern
//! one by a result that asks and is called again with the answer, an older one by a request of ours while its
//! call lasts. Everybody else gets the plain answer, which says what waits and how to answer it.
//!
//! It translates: what waits, and whether an answer is valid, is the handlers' business.

pub mod form;
mod legacy;
mod sampling;
mod state;

use std::future::Future;

use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, InputRequests, InputRequiredResult, InputResponses, JsonObject,
    ProtocolVersion,
};
use rmcp::service::RequestContext;
use serde_json::Value;

use self::form::{Form, Reply};
use self::state::{Pending, Seal};
use super::progress::Waits;
use super::server::McpServer;
use super::tools::ToolName;
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::Caller;
use crate::handlers::caller::{Door, Scope};
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::questions::{self, Asked};
use crate::handlers::run_diagram::Waiting;
use crate::handlers::see_result::{self, see_result};
use crate::limits::WAIT_SECONDS_DEFAULT;

/// The name of our request among the input requests of a result.
const KEY: &str = "answer";
/// Refused answers to one question after which the plain answer is given.
const REFUSED_MAX: u32 = 3;

/// What a modern client sends when it calls again with an answer.
#[derive(Default)]
pub struct Retry {
    state: Option<String>,
    responses: InputResponses,
}

impl Retry {
    /// Takes it out of the parameters of a call; the first call of a tool has none.
    pub fn of(params: &mut CallToolRequestParams) -> Self {
        Self { state: params.request_state.take(), responses: params.input_responses.take().unwrap_or_default() }
    }
}

/// What came of a call that waited.
pub enum Waited {
    /// The execution as it is now, and whether somebody answered in between.
    Done(Box<ExecutionObject>, bool),
    /// A modern client is asked.
    Asks(Box<InputRequiredResult>),
}

impl Waited {
    /// Makes a response: the execution in the form of `answer`, or the question.
    ///
    /// # Errors
    ///
    /// What `answer` says.
    pub fn respond<R: Into<CallToolResponse>>(
        self,
        answer: impl FnOnce(&ExecutionObject) -> Result<R, Error>,
    ) -> Result<CallToolResponse, Error> {
        match self {
            Self::Done(execution, _) => answer(&execution).map(Into::into),
            Self::Asks(asks) => Ok((*asks).into()),
        }
    }
}

/// How a client can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By a result.
    Result,
    /// By a request during the call: with a form, for a model's reply.
    Request {
        form: bool,
        sampling: bool,
    },
    Never,
}

/// One call of a tool that waits for an execution.
pub struct Call<'a> {
    server: &'a McpServer,
    context: &'a RequestContext<RoleServer>,
    caller: &'a Caller,
    tool: &'a str,
    arguments: JsonObject,
    retry: Retry,
    way: Way,
    waits: Waits<'a>,
}

impl<'a> Call<'a> {
    /// A call of `tool` as it came. Nothing is opened yet.
    pub fn new(
        server: &'a McpServer,
        context: &'a RequestContext<RoleServer>,
        caller: &'a Caller,
        (tool, arguments): (ToolName, &JsonObject),
        retry: Retry,
    ) -> Self {
        let waits = Waits::new(context, server.stop());
        // Who may not answer, or not see what is asked, is not asked.
        let may_answer = caller.scopes().has(Scope::ExecutionRead) && caller.scopes().has(Scope::ExecutionControl);
        let way = if may_answer { way_of(context) } else { Way::Never };
        // Only what is sealed is bound to the arguments, and they may be long.
        let is_sealed = way == Way::Result || retry.state.is_some();
        let arguments = if is_sealed { arguments.clone() } else { JsonObject::new() };
        Self { server, context, caller, tool: tool.name(), arguments, retry, way, waits }
    }

    /// Whether it brings no answer to an earlier result that asked.
    pub fn is_first(&self) -> bool {
        self.retry.state.is_none() && self.retry.responses.is_empty()
    }

    /// Carries the call out: with `first`, or, when it brings an answer, with that; asks what can be asked, one
    /// question after the other, and waits on after each answer. A call that does not wait asks nothing.
    ///
    /// # Errors
    ///
    /// What `first` says, and for an answer `INVALID_REQUEST_STATE`, `REQUEST_STATE_EXPIRED`, `ALREADY_ANSWERED`
    /// and what else `control_execution` says but `INVALID_ANSWER`: then the question is asked again.
    pub async fn carry_out<F>(
        mut self,
        wait_seconds: Option<u32>,
        first: impl FnOnce(Waiting) -> F,
    ) -> Result<Waited, Error>
    where
        F: Future<Output = Result<ExecutionObject, Error>>,
    {
        let wait_seconds = Some(wait_seconds.unwrap_or(WAIT_SECONDS_DEFAULT));
        if wait_seconds == Some(0) {
            self.way = Way::Never;
        }
        let retry = std::mem::take(&mut self.retry);
        let execution = match &retry.state {
            None if retry.responses.is_empty() => self.waits.during(first).await?,
            None => return Err(without_state()),
            Some(state) => match self.take_up(state, &retry.responses, wait_seconds).await? {
                TakenUp::Answered(execution) => *execution,
                done => return Ok(done.into_waited()),
            },
        };
        match self.way {
            Way::Result => self.ask_by_result(execution, retry.state.is_some()),
            Way::Request { form, sampling } => legacy::ask(&mut self, execution, wait_seconds, (form, sampling)).await,
            Way::Never => Ok(Waited::Done(Box::new(execution), retry.state.is_some())),
        }
    }

    fn ask_by_result(&self, execution: ExecutionObject, was_answered: bool) -> Result<Waited, Error> {
        if execution.status == Status::Paused {
            let open = questions::open_questions(self.server.app(), self.caller, &execution.execution_id)?;
            let next = open.questions.iter().find_map(|it| Some((it, Form::of(&it.waiting)?)));
            if let Some((question, form)) = next {
                match self.input_required(&question.asked, &form, 0, None) {
                    Ok(asks) => return Ok(Waited::Asks(Box::new(asks))),
                    // The plain answer says all that is needed, so a key that cannot be read is no reason to fail.
                    Err(error) => tracing::warn!("a question could not be sealed: {}", error.chain()),
                }
            }
        }
        Ok(Waited::Done(Box::new(execution), was_answered))
    }

    fn input_required(
        &self,
        asked: &Asked,
        form: &Form,
        n_refused: u32,
        problem: Option<&str>,
    ) -> Result<InputRequiredResult, Error> {
        let pending = Pending::new(asked.clone(), n_refused, self.server.app().clock.now());
        let requests = InputRequests::from([(KEY.to_owned(), form.input_request(problem)?)]);
        Ok(InputRequiredResult::new(Some(requests), Some(self.seal()?.seal(&pending)?)))
    }

    fn seal(&self) -> Result<Seal, Error> {
        let key = questions::seal_key(self.server.app())?;
        Seal::new(key, self.caller.principal(), self.tool, &self.arguments)
    }

    /// Takes the answer that a second call brings. It never starts anything.
    async fn take_up(
        &mut self,
        state: &str,
        responses: &InputResponses,
        wait_seconds: Option<u32>,
    ) -> Result<TakenUp, Error> {
        let pending = self.seal()?.open(state, self.server.app().clock.now())?;
        let open = questions::open_questions(self.server.app(), self.caller, &pending.asked.execution_id)?;
        let question = open.questions.into_iter().find(|it| it.asked == pending.asked);
        let form = question.as_ref().and_then(|it| Form::of(&it.waiting));
        let reply = match (responses.get(KEY), &form) {
            (Some(sent), Some(form)) => form.reply(sent),
            // Whoever declines what has been answered meanwhile loses nothing; whoever answers it is told.
            (Some(sent), None) if is_refusal(sent) => Ok(Reply::Declined),
            (Some(sent), None) => Ok(Reply::Answer(sent.get("content").cloned().unwrap_or_default())),
            (None, Some(form)) => {
                return self.input_required(&pending.asked, form, pending.n_refused, None).map(TakenUp::asks);
            }
            (None, None) => Ok(Reply::Declined),
        };
        let outcome = match reply {
            Ok(Reply::Declined) => return self.look(&pending.asked).await.map(TakenUp::Declined),
            Ok(Reply::Answer(value)) => self.answer(Door::Elicitation, &pending.asked, value, wait_seconds).await,
            Err(error) => Err(error),
        };
        match (outcome, form) {
            (Ok(execution), _) => Ok(TakenUp::Answered(Box::new(execution))),
            (Err(error), Some(form)) if error.code() == "INVALID_ANSWER" => {
                let n_refused = pending.n_refused + 1;
                if n_refused >= REFUSED_MAX || self.way != Way::Result {
                    return self.look(&pending.asked).await.map(TakenUp::Declined);
                }
                self.input_required(&pending.asked, &form, n_refused, Some(&reason(&error))).map(TakenUp::asks)
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn answer(
        &mut self,
        door: Door,
        asked: &Asked,
        value: Value,
        wait_seconds: Option<u32>,
    ) -> Result<ExecutionObject, Error> {
        let (app, caller) = (self.server.app(), self.caller.through(door));
        self.waits.during(|waiting| questions::answer(app, &caller, asked, value, wait_seconds, waiting)).await
    }

    /// The execution as it is now.
    async fn look(&self, asked: &Asked) -> Result<Box<ExecutionObject>, Error> {
        let request = see_result::Request { execution_id: asked.execution_id.clone(), ..Default::default() };
        see_result(self.server.app(), self.caller, request, Waiting::default()).await.map(Box::new)
    }
}

/// What came of an answer.
enum TakenUp {
    /// The execution went on.
    Answered(Box<ExecutionObject>),
    /// It stays as it is.
    Declined(Box<ExecutionObject>),
    Asks(Box<InputRequiredResult>),
}

impl TakenUp {
    fn asks(asks: InputRequiredResult) -> Self {
        Self::Asks(Box::new(asks))
    }

    fn into_waited(self) -> Waited {
        match self {
            Self::Answered(execution) | Self::Declined(execution) => Waited::Done(execution, true),
            Self::Asks(asks) => Waited::Asks(asks),
        }
    }
}

/// How the client of this very request can be asked. What a modern client said on another request counts for
/// nothing, and an older one that said nothing when it shook hands is not asked.
fn way_of(context: &RequestContext<RoleServer>) -> Way {
    let is_modern = context.meta.protocol_version().is_some_and(|it| it >= ProtocolVersion::V_2026_07_28);
    let capabilities = if is_modern {
        context.meta.client_capabilities()
    } else {
        context.peer.peer_info().map(|it| it.capabilities.clone())
    };
    let Some(capabilities) = capabilities else { return Way::Never };
    // `{}` is what clients declared before there was anything else than forms.
    let form = capabilities.elicitation.as_ref().is_some_and(|it| it.form.is_some() || it.url.is_none());
    let sampling = capabilities.sampling.is_some();
    match (is_modern, form || sampling) {
        (true, _) if form => Way::Result,
        (false, true) => Way::Request { form, sampling },
        _ => Way::Never,
    }
}

fn is_refusal(sent: &Value) -> bool {
    matches!(sent.get("action").and_then(Value::as_str), Some("decline" | "cancel"))
}

/// Why an answer was refused, in words for the person who gave it.
fn reason(error: &Error) -> String {
    match error.hint_text() {
        Some(hint) => format!("{}: {hint}", error.message()),
        None => error.message().to_owned(),
    }
}

fn without_state() -> Error {
    Error::invalid("INVALID_REQUEST_STATE", "`inputResponses` came without the `requestState` they belong to")
        .hint("send both back as they were received; or call the tool without them")
}
