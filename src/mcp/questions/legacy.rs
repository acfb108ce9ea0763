//! Asking during a call: requests of ours to a client of the older revisions, whose call waits meanwhile.

use std::time::Duration;

use rmcp::model::{ClientResult, ElicitRequest, ServerRequest};
use rmcp::service::PeerRequestOptions;
use serde_json::{Value, json};

use super::form::{Form, Reply};
use super::{Call, REFUSED_MAX, Waited, reason, sampling};
use crate::engine::Status;
use crate::error::Error;
use crate::handlers::caller::Door;
use crate::handlers::execution_object::ExecutionObject;
use crate::handlers::questions::{self, Asked, OpenQuestion, Response};
use crate::handlers::see_result::{self, see_result};

/// How long a form may stay open, as in the newer revision.
const OPEN: Duration = Duration::from_millis(super::state::OPEN_MS_MAX.unsigned_abs());
/// How often a model is asked for one reply.
const REPLIES_MAX: u32 = 2;

/// How one question ended.
enum Outcome {
    /// The execution went on with our answer.
    Answered(Box<ExecutionObject>),
    /// Somebody else answered, or it expired.
    Gone,
    /// The user declined, the client failed, or no answer was valid.
    Refused,
    /// The call is over: cancelled by the client, or the server stops.
    Over,
}

/// What comes next.
enum Next {
    User(OpenQuestion, Form),
    Model(OpenQuestion),
}

/// Asks one question after the other while the execution is paused, and returns it as it is then.
pub(super) async fn ask(
    call: &mut Call<'_>,
    mut execution: ExecutionObject,
    wait_seconds: Option<u32>,
    (form, sampling): (bool, bool),
) -> Result<Waited, Error> {
    let mut was_answered = false;
    // A model that refuses leaves its prompt parked; a user who declines wants to be left alone.
    let mut parked = Vec::new();
    while execution.status == Status::Paused {
        let open = questions::open_questions(call.server.app(), call.caller, &execution.execution_id)?;
        let Some(next) = next(open, (form, sampling), &parked) else { break };
        let outcome = match &next {
            Next::User(question, form) => ask_user(call, question, form, wait_seconds).await?,
            Next::Model(question) => ask_model(call, question, wait_seconds).await?,
        };
        match (outcome, next) {
            (Outcome::Answered(now), _) => execution = *now,
            (Outcome::Gone, _) => execution = wait_on(call, &execution.execution_id, wait_seconds).await?,
            (Outcome::Refused, Next::Model(question)) => parked.push(question.asked),
            (Outcome::Refused, Next::User(..)) | (Outcome::Over, _) => break,
        }
        was_answered = true;
    }
    Ok(Waited::Done(Box::new(execution), was_answered))
}

fn next(open: Response, (form, sampling): (bool, bool), parked: &[Asked]) -> Option<Next> {
    let by_model = sampling && open.is_answered_by_caller;
    open.questions.into_iter().find_map(|question| {
        if question.waiting.reason == "model" {
            return (by_model && !parked.contains(&question.asked)).then_some(Next::Model(question));
        }
        let form = Form::of(&question.waiting).filter(|_| form)?;
        Some(Next::User(question, form))
    })
}

async fn ask_user(
    call: &mut Call<'_>,
    question: &OpenQuestion,
    form: &Form,
    wait_seconds: Option<u32>,
) -> Result<Outcome, Error> {
    let mut problem = None;
    for _ in 0..REFUSED_MAX {
        let params = form.params(problem.as_deref())?;
        let request = ServerRequest::ElicitRequest(ElicitRequest::new(params));
        let replied = match send(call, request, &question.asked).await {
            Sent::Replied(ClientResult::ElicitResult(result)) => form.reply(&json!(result)),
            Sent::Replied(_) => return Ok(Outcome::Refused),
            Sent::Not(outcome) => return Ok(outcome),
        };
        let answered = match replied {
            Ok(Reply::Declined) => return Ok(Outcome::Refused),
            Ok(Reply::Answer(value)) => call.answer(Door::Elicitation, &question.asked, value, wait_seconds).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(execution) => return Ok(Outcome::Answered(Box::new(execution))),
            Err(error) if error.code() == "INVALID_ANSWER" => problem = Some(reason(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(Outcome::Refused)
}

async fn ask_model(call: &mut Call<'_>, question: &OpenQuestion, wait_seconds: Option<u32>) -> Result<Outcome, Error> {
    let mut refused: Option<(String, String)> = None;
    for _ in 0..REPLIES_MAX {
        let again = refused.as_ref().map(|(reply, why)| (reply.as_str(), why.as_str()));
        let Some(request) = sampling::request(&question.waiting, again) else { return Ok(Outcome::Refused) };
        let reply = match send(call, request, &question.asked).await {
            Sent::Replied(result) => sampling::reply(&result),
            Sent::Not(outcome) => return Ok(outcome),
        };
        let Some(reply) = reply else { return Ok(Outcome::Refused) };
        let value = Value::String(reply.clone());
        match call.answer(Door::Sampling, &question.asked, value, wait_seconds).await {
            Ok(execution) => return Ok(Outcome::Answered(Box::new(execution))),
            Err(error) if error.code() == "INVALID_ANSWER" => refused = Some((reply, reason(&error))),
            Err(error) => return Err(error),
        }
    }
    Ok(Outcome::Refused)
}

/// What came of a request of ours.
enum Sent {
    Replied(ClientResult),
    Not(Outcome),
}

/// Sends a request and waits for its reply, as long as the question waits and the call lasts; then the request
/// is taken back.
async fn send(call: &mut Call<'_>, request: ServerRequest, asked: &Asked) -> Sent {
    let (app, peer) = (call.server.app(), &call.context.peer);
    let ask = async |cancel: tokio_util::sync::CancellationToken| {
        let Ok(mut handle) = peer.send_request_with_option(request, PeerRequestOptions::no_options()).await else {
            return Sent::Not(Outcome::Refused);
        };
        let (reason, outcome) = tokio::select! {
            replied = &mut handle.rx => return match replied {
                Ok(Ok(result)) => Sent::Replied(result),
                Ok(Err(_)) | Err(_) => Sent::Not(Outcome::Refused),
            },
            () = questions::gone(app, asked) => ("the question was answered elsewhere", Outcome::Gone),
            () = cancel.cancelled() => ("the call has ended", Outcome::Over),
            () = tokio::time::sleep(OPEN) => ("nobody answered in time", Outcome::Refused),
        };
        // A client that cannot be told any more shows nothing either.
        let _ = handle.cancel(Some(reason.to_owned())).await;
        Sent::Not(outcome)
    };
    call.waits.during(|waiting| ask(waiting.cancel)).await
}

async fn wait_on(call: &mut Call<'_>, execution_id: &str, wait_seconds: Option<u32>) -> Result<ExecutionObject, Error> {
    let (app, caller) = (call.server.app(), call.caller);
    let request = see_result::Request { execution_id: execution_id.to_owned(), wait_seconds, ..Default::default() };
    call.waits.during(|waiting| see_result(app, caller, request, waiting)).await
}
