//! Runs an execution once more from its recordings: no network, no host effect, the same outputs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::begin::{Beginning, begin};
use super::caller::Scope;
use super::execution_object::ExecutionObject;
use super::present::{self, View};
use super::run_diagram::{Waiting, may_run};
use super::{App, Caller, external, repeat, wait};
use crate::config::sha256;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::store::{Idempotency, Parent, ParentRelation};

/// Which execution to repeat.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// An execution that has ended.
    pub execution_id: String,
    /// Seconds to wait for the end (20).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait_seconds: Option<u32>,
}

/// What adapters may ask besides.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Write the row and return: a living process of this database takes the execution.
    pub background: bool,
    /// Wait without limit: the terminal stays with its run.
    pub unbounded_wait: bool,
    /// The same key within 24 h returns the first replay.
    pub idempotency_key: Option<String>,
}

/// Makes a new execution of the text, files and inputs of an earlier one. Whatever its nodes ask of the outside is
/// answered from the recordings of that one, and `repeats` of the result says whether all is as it was. Clocks and
/// ids are its own.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `EXECUTION_NOT_FOUND`, `DIAGRAM_NOT_ALLOWED`, `NOT_ENDED`, `NOT_RECORDED`, `INTERRUPTED`, `IDEMPOTENCY_CONFLICT`. A
/// request that nobody recorded fails the new execution: `REPLAY_MISS`.
pub async fn replay_execution(
    app: &App,
    caller: &Caller,
    request: Request,
    extras: Extras,
    waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    caller.require(&[Scope::ExecutionRun])?;
    let source = ExecutionId::parse(&request.execution_id)?;
    let limit = wait::seconds(request.wait_seconds, limits::WAIT_SECONDS_DEFAULT)?;
    let head = app.visible(caller, &source)?;
    external::require_run_here(&head, &source, "be replayed")?;
    may_run(app, caller, head.diagram_id.as_ref())?;
    let parent = Parent { execution_id: source.clone(), relation: ParentRelation::Replay, place: None };
    let idempotency = extras.idempotency_key.map(|key| {
        let request_hash = sha256(&format!("replay {source}"));
        Idempotency { key, request_hash }
    });
    let beginning = Beginning {
        idempotency,
        principal: Some(caller.principal().to_owned()),
        in_background: extras.background,
        ..repeat::repetition(app.supervisor()?, &source, parent)?
    };
    let replay = begin(app.supervisor()?, beginning).await?;
    if !extras.background {
        wait::until_settled(app, &replay, (!extras.unbounded_wait).then_some(limit), waiting).await?;
    }
    compared(app, caller, &source, &replay)
}

/// Which replay to look at.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replayed {
    pub execution_id: String,
}

/// Returns a replay as it is now, once it has ended with `repeats`: for whoever did not wait for that.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `EXECUTION_NOT_FOUND`, also for an execution that is no replay.
pub async fn replayed(app: &App, caller: &Caller, request: Replayed) -> Result<ExecutionObject, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let replay = ExecutionId::parse(&request.execution_id)?;
    let head = app.visible(caller, &replay)?;
    let is_replay = head.parent_relation.as_deref() == Some(ParentRelation::Replay.name());
    let Some(source) = head.parent_execution_id.filter(|_| is_replay) else { return Err(wait::not_found(&replay)) };
    compared(app, caller, &ExecutionId::parse(&source)?, &replay)
}

fn compared(app: &App, caller: &Caller, source: &ExecutionId, replay: &ExecutionId) -> Result<ExecutionObject, Error> {
    let mut object = present::execution(app, replay, &View::of(caller))?;
    if object.status.has_ended() {
        object.repeats = Some(repeat::compared(app.store()?, source, replay)?);
    }
    Ok(object)
}
