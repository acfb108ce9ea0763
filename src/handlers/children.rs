//! Runs diagrams for diagrams: the port `Children` over the supervisor and the store. A child is an execution
//! like any other, linked to the place in its parent that started it.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use serde_json::{Value, json};

use super::app::rights_of_text;
use super::begin::{Beginning, begin};
use super::held_children::{holds_what_starts, pause_of};
use super::launch::{self, StoredOptions, fold};
use super::persons::WorkspacePersons;
use super::reopen::{Reopening, reopen};
use super::supervisor::Supervisor;
use super::surroundings::World;
use super::workspace::{Source, Workspace};
use super::{inputs, present, repeat};
use crate::compile::Compiled;
use crate::compile::report::{self, Report};
use crate::diagram::Service;
use crate::engine::Status;
use crate::engine::event::{Event, TokenUsage};
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::nodes::budget::{Limit, Purse};
use crate::nodes::memory::Message;
use crate::nodes::ports::children::{ChildEnd, ChildRequest, ChildSource, ChildState, Children};
use crate::nodes::{ChildQuestion, Origin, PauseReason, Question, Rights};
use crate::store::{NewControl, Parent, ParentRelation, Store};

/// The children of this process's executions.
pub struct ChildRuns(Weak<Supervisor>);

impl ChildRuns {
    /// Runs children through `supervisor`.
    pub fn new(supervisor: Weak<Supervisor>) -> Self {
        Self(supervisor)
    }

    fn supervisor(&self) -> Result<Arc<Supervisor>, Error> {
        self.0.upgrade().ok_or_else(|| Error::internal("the process is ending"))
    }
}

impl Children for ChildRuns {
    fn start(&self, request: ChildRequest) -> BoxFuture<'_, Result<ExecutionId, Error>> {
        async move {
            let supervisor = self.supervisor()?;
            start(&supervisor, request).await.map_err(|error| {
                if error.code() == "SUB_DIAGRAM_FAILED" {
                    return error;
                }
                let what = format!("the child diagram cannot run: {} {}", error.code(), error.message());
                let hint = error.hint_text().unwrap_or("mend the child diagram, or what it is given").to_owned();
                Error::external("SUB_DIAGRAM_FAILED", what).hint(hint).cause(error.to_json())
            })
        }
        .boxed()
    }

    fn settled<'a>(&'a self, child: &'a ExecutionId) -> BoxFuture<'a, Result<ChildState, Error>> {
        async move {
            let supervisor = self.supervisor()?;
            let mut changes = supervisor.store().turns();
            loop {
                changes.mark_unchanged();
                match supervisor.store().status(child)? {
                    Some(status) if status.has_ended() => {
                        return ended(&supervisor, child).map(|it| ChildState::Ended(Box::new(it)));
                    }
                    Some(Status::Paused) => {
                        if let Some(question) = open_question(&supervisor, child)? {
                            return Ok(ChildState::Waits(Box::new(question)));
                        }
                    }
                    _ => {}
                }
                if changes.changed().await.is_err() {
                    return Err(Error::internal("the process is ending"));
                }
            }
        }
        .boxed()
    }

    fn moved(&self, asked: ChildQuestion) -> BoxFuture<'static, Option<String>> {
        let supervisor = self.0.clone();
        async move {
            let Some(mut changes) = supervisor.upgrade().map(|it| it.store().turns()) else {
                return std::future::pending().await;
            };
            loop {
                changes.mark_unchanged();
                if let Some(supervisor) = supervisor.upgrade()
                    && has_moved(supervisor.store(), &asked).unwrap_or(false)
                {
                    // The child goes on either way; only the record lacks a name then.
                    return answered_by(supervisor.store(), &asked).unwrap_or_default();
                }
                if changes.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
        .boxed()
    }

    fn pay(&self, child: &ExecutionId, purse: Purse) {
        if let Some(supervisor) = self.0.upgrade() {
            supervisor.pay(child, purse);
        }
    }

    fn abandon(&self, child: ExecutionId, reason: &'static str) {
        let Some(supervisor) = self.0.upgrade().filter(|it| !it.is_stopping()) else { return };
        let me = Arc::clone(&supervisor);
        supervisor.spawn(async move {
            let abort = NewControl {
                execution_id: child.clone(),
                action: "abort".into(),
                node: None,
                value: Some(Value::from(reason).to_string()),
                actor: Some("parent".into()),
            };
            let asked = async { me.store().add_control(abort).await.map(drop) };
            if let Err(e) = asked.and_then(|()| me.adopt(&child)).await
                && e.code() != "EXECUTION_ENDED"
            {
                tracing::warn!(execution.id = %child, "a child could not be aborted: {}", e.chain());
            }
        });
    }

    fn messages<'a>(&'a self, child: &'a ExecutionId) -> BoxFuture<'a, Result<Vec<Message>, Error>> {
        async move { launch::own_messages(self.supervisor()?.store(), child) }.boxed()
    }
}

/// Whether the child of a question no longer waits for its answer.
///
/// # Errors
///
/// What the database says.
pub(super) fn has_moved(store: &Store, asked: &ChildQuestion) -> Result<bool, Error> {
    let head = store.head(&ExecutionId::parse(&asked.execution_id)?)?;
    Ok(head.is_none_or(|it| it.status != Status::Paused || it.last_seq != asked.seq))
}

/// Who gave the first answer that the child took since it asked.
fn answered_by(store: &Store, asked: &ChildQuestion) -> Result<Option<String>, Error> {
    for row in store.transitions(&ExecutionId::parse(&asked.execution_id)?, asked.seq, None)? {
        if let Some(Event::InteractiveResponse(response)) = Event::parse(&row.phase, &row.payload)? {
            return Ok(Some(response.by));
        }
    }
    Ok(None)
}

async fn start(supervisor: &Arc<Supervisor>, request: ChildRequest) -> Result<ExecutionId, Error> {
    let store = supervisor.store();
    if let Some(earlier) = store.child_at(&request.parent, &request.place)? {
        let child = ExecutionId::parse(&earlier.execution_id)?;
        if let Some(purse) = &request.purse {
            supervisor.pay(&child, purse.clone());
        }
        match earlier.status {
            Status::Failed | Status::Aborted if request.goes_on => {
                let by_parent = Reopening { by: "parent".to_owned(), reason: None, budget: None };
                reopen(supervisor, &child, by_parent).await?;
                return Ok(child);
            }
            Status::Failed | Status::Aborted => {}
            status => {
                if !status.has_ended() {
                    supervisor.adopt(&child).await?;
                }
                return Ok(child);
            }
        }
    }
    let parent = store.execution(&request.parent)?.ok_or_else(|| Error::internal("the parent is not stored"))?;
    let above = StoredOptions::of(&parent);
    if above.depth >= limits::CHILD_DEPTH_MAX {
        let message = format!("sub-diagrams are nested more than {} deep", limits::CHILD_DEPTH_MAX);
        return Err(Error::external("SUB_DIAGRAM_FAILED", message).hint("let a condition end the recursion"));
    }
    let purse = request.purse.clone();
    let place = request.is_awaited.then(|| (request.parent.clone(), request.place.clone()));
    let holds = || place.as_ref().map_or(Ok(false), |(parent, place)| holds_what_starts(store, parent, place));
    let is_held = holds()?;
    let beginning = match request.replay_of.clone() {
        Some(source) => repeat::repetition(supervisor, &source, parent_of(&request))?,
        None => prepare(supervisor, request, &above)?,
    };
    let options = StoredOptions { paid_above: purse.is_some(), ..beginning.options };
    let beginning = Beginning { principal: parent.head.principal, options, is_held, ..beginning };
    if let Some(purse) = purse {
        supervisor.pay(&beginning.execution_id, purse);
    }
    let child = begin(supervisor, beginning).await?;
    // Its parent may have been paused while it began: whoever did that did not know of it yet.
    if !is_held && holds()? {
        match store.add_control(pause_of(&child)).await {
            Ok(_) => supervisor.look_at_controls()?,
            Err(e) if e.code() == "EXECUTION_ENDED" => {}
            Err(e) => return Err(e),
        }
    }
    Ok(child)
}

fn parent_of(request: &ChildRequest) -> Parent {
    let relation = if request.is_awaited { ParentRelation::Child } else { ParentRelation::Launched };
    Parent { execution_id: request.parent.clone(), relation, place: Some(request.place.clone()) }
}

fn prepare(supervisor: &Supervisor, request: ChildRequest, above: &StoredOptions) -> Result<Beginning, Error> {
    let source = open(supervisor, &request, above.base_dir.clone())?;
    let rights = rights_of(supervisor, &request, &source)?;
    let mut options = StoredOptions {
        timeout: None,
        models: request.models.map(|it| Service::name(it).to_owned()),
        strict: request.strict,
        mode: Some(request.mode.name().to_owned()),
        base_dir: source.folder().or_else(|| above.base_dir.clone()),
        depth: above.depth + 1,
        inherits: request.inherits,
        ..StoredOptions::default()
    };
    let compiled = compile_child(supervisor, &source, &request, &rights, &mut options)?;
    let plan = compiled.plan.as_ref().ok_or_else(|| report::invalid(&Report::new(&compiled, &source.text)))?;
    options.timeout = plan.settings.timeout;
    let parent = parent_of(&request);
    options.budget = plan.settings.budget.as_ref().map(Limit::of);
    let mut variables = request.variables;
    if !plan.inputs.is_empty() {
        // What was passed along unasked is not the child's mistake.
        variables.retain(|name, _| plan.inputs.iter().any(|it| it.name == *name));
    }
    let variables = inputs::check(&plan.inputs, variables)?;
    let inherited = match request.inherits {
        Some(count) => launch::messages_of(supervisor.store(), &request.parent, Some(count))?,
        None => Vec::new(),
    };
    Ok(Beginning {
        execution_id: ExecutionId::random(),
        source,
        compiled,
        options,
        rights,
        variables,
        principal: None,
        parent: Some(parent),
        idempotency: None,
        inherited,
        in_background: false,
        is_held: false,
    })
}

fn compile_child(
    supervisor: &Supervisor,
    source: &Source,
    request: &ChildRequest,
    rights: &Rights,
    options: &mut StoredOptions,
) -> Result<Compiled, Error> {
    let format = match &request.source {
        ChildSource::Named { format, .. } | ChildSource::Text { format, .. } => *format,
    };
    // Whom a child may name is whom its parent may.
    let principal = supervisor.store().head(&request.parent)?.and_then(|it| it.principal);
    let world = World {
        persons: WorkspacePersons::new(Some(Arc::clone(supervisor.store())), principal),
        own_path: source.path.clone(),
        needs_no_keys: request.models.is_some(),
        ..World::new(supervisor, options.base_dir.clone(), rights.clone())
    };
    let compiled = supervisor.parsed.compile(&source.text, format, &world);
    options.texts = world.into_read();
    Ok(compiled)
}

fn open(supervisor: &Supervisor, request: &ChildRequest, base_dir: Option<PathBuf>) -> Result<Source, Error> {
    match &request.source {
        ChildSource::Text { text, .. } => Ok(Source::inline(text.clone())),
        ChildSource::Named { name, format } => {
            let workspace = Workspace::new(supervisor.config().workspace.clone());
            let beside = base_dir.filter(|_| request.rights.origin == Origin::Local);
            workspace.open_child(name, beside.as_deref(), *format)
        }
    }
}

/// A child has its parent's rights at most, and those of its own text when that came from a client.
fn rights_of(supervisor: &Supervisor, request: &ChildRequest, source: &Source) -> Result<Rights, Error> {
    if source.path.is_none() {
        return Ok(Rights::clone(&request.rights));
    }
    let origin = request.rights.origin;
    let own = rights_of_text(Some(supervisor.store()), supervisor.config(), origin, &source.sha256)?;
    Ok(own.at_most(&request.rights))
}

fn ended(supervisor: &Supervisor, child: &ExecutionId) -> Result<ChildEnd, Error> {
    let mut state = ExecutionState::new();
    fold(&mut state, supervisor.store().transitions(child, 0, None)?)?;
    let outputs = state.closing.as_ref().and_then(|it| it.outputs.clone()).unwrap_or_default();
    let error = match state.status {
        Status::Completed => None,
        Status::Aborted => Some(json!({"code": "EXECUTION_ABORTED", "message": "it was aborted"})),
        _ => Some(state.closing.as_ref().and_then(|it| it.error.clone()).unwrap_or(Value::Null)),
    };
    let usage = state.usage;
    Ok(ChildEnd {
        result: present::result_of(&outputs).unwrap_or_default(),
        error,
        llm_usage: (usage.total > 0).then(
            || json!({"input": usage.input, "output": usage.output, "cached": usage.cached, "total": usage.total}),
        ),
        cost: cost_of(&usage),
    })
}

/// What the child's calls cost, as a node's meta says it; absent when nobody sends a bill.
fn cost_of(usage: &TokenUsage) -> Option<Value> {
    let is_priced = usage.unpriced_calls == 0;
    let mut cost = json!({"priced": is_priced});
    if let Some(usd) = usage.cost_usd {
        cost["usd"] = usd.into();
    }
    if !is_priced {
        cost["unpriced_calls"] = usage.unpriced_calls.into();
    }
    (usage.cost_usd.is_some() || !is_priced).then_some(cost)
}

/// The question that a paused child waits with longest, as its parent's node asks it.
fn open_question(supervisor: &Supervisor, child: &ExecutionId) -> Result<Option<Question>, Error> {
    let mut state = ExecutionState::new();
    let seq = fold(&mut state, supervisor.store().transitions(child, 0, None)?)?;
    if state.is_held {
        let prompt = format!("the child execution `{child}` is paused; `resume` lets it go on");
        let asked = Some(ChildQuestion { execution_id: child.to_string(), seq });
        return Ok(Some(Question { child: asked, ..Question::new(PauseReason::Operator, prompt) }));
    }
    let open = state.open_questions();
    let Some((_, waiting)) = open.first() else { return Ok(None) };
    let asked = &waiting.question;
    // A breakpoint or a decision after a crash is the child's own affair, and still somebody must see it.
    let reason = if asked.reason == PauseReason::Breakpoint { PauseReason::Operator } else { asked.reason };
    Ok(Some(Question {
        child: Some(ChildQuestion { execution_id: child.to_string(), seq }),
        state: Value::Null,
        deadline: None,
        reason,
        ..asked.clone()
    }))
}
