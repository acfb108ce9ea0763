//! Makes an execution of a compiled diagram: its row is durable before anybody hears of it, then it runs here
//! unless somebody else is to take it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::held_children;
use super::launch::{self, StoredOptions};
use super::supervisor::Supervisor;
use super::workspace::Source;
use crate::clock::Timestamp;
use crate::compile::Compiled;
use crate::diagram::Format;
use crate::engine::event::Event;
use crate::engine::journal::Transition;
use crate::engine::run::{Launch, LogEntry, Mode};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::Rights;
use crate::nodes::memory::Message;
use crate::store::{self, Created, ExecutionKind, Idempotency, NewExecution, Parent};

/// An execution to be.
pub(super) struct Beginning {
    pub execution_id: ExecutionId,
    pub source: Source,
    pub compiled: Compiled,
    pub options: StoredOptions,
    pub rights: Rights,
    pub variables: Map<String, Value>,
    /// Whom it belongs to; a child to whom its parent does.
    pub principal: Option<String>,
    pub parent: Option<Parent>,
    pub idempotency: Option<Idempotency>,
    /// What it remembers of its parent's conversation.
    pub inherited: Vec<Message>,
    /// A living process of this database takes it, not this one.
    pub in_background: bool,
    /// It begins paused, because its parent is.
    pub is_held: bool,
}

/// Writes the row and starts the run. Returns the id, which is another one when the same request came before.
///
/// # Errors
///
/// `ALREADY_EXISTS`, `IDEMPOTENCY_CONFLICT`, what the database says.
pub(super) async fn begin(supervisor: &Arc<Supervisor>, mut beginning: Beginning) -> Result<ExecutionId, Error> {
    // A mock run hears nothing, and a replay what is recorded already.
    let hears = beginning.options.mode.as_deref() != Some(Mode::Mock.name()) && beginning.options.replay_of.is_none();
    beginning.options.is_recorded = hears;
    let recorded = launch::recorded(supervisor.store(), &beginning.options)?;
    if !beginning.in_background {
        supervisor.register().await?;
    }
    let now = supervisor.now();
    let event = first_event(&beginning);
    match supervisor.store().create_execution(new_row(supervisor, &beginning, &event, now)?).await? {
        Created::Same(existing) => return Ok(existing),
        Created::New => {}
    }
    let Beginning { execution_id, mut compiled, options, rights, inherited, in_background, is_held, .. } = beginning;
    if is_held {
        supervisor.store().add_control(held_children::pause_of(&execution_id)).await?;
    }
    if let Some(plan) = compiled.plan.take().filter(|_| !in_background) {
        let launch = Launch {
            execution_id: execution_id.clone(),
            owner: Arc::clone(supervisor.owner()),
            plan: Arc::new(plan),
            rights: Arc::new(rights),
            options: options.to_run_options(),
            log: vec![LogEntry { seq: 1, node_id: None, event, at: now }],
            messages: inherited,
            recorded,
            above: options.paid_above.then(|| supervisor.above(&execution_id)),
            on_token: None,
            awaits_order: is_held,
        };
        supervisor.start(execution_id.clone(), launch);
        if is_held {
            supervisor.look_at_controls()?;
        }
    }
    Ok(execution_id)
}

fn first_event(it: &Beginning) -> Event {
    let inputs = it.variables.clone();
    Event::ExecutionStarted(launch::first_event(&it.compiled, &it.options, &it.rights, &it.source.diagram_id, inputs))
}

/// The row of a new execution whose log begins with `event`.
///
/// # Errors
///
/// What the database says.
pub(super) fn new_row(
    supervisor: &Supervisor,
    it: &Beginning,
    event: &Event,
    now: Timestamp,
) -> Result<NewExecution, Error> {
    let is_child = it.parent.as_ref().is_some_and(|it| it.place.is_some());
    Ok(NewExecution {
        execution_id: it.execution_id.clone(),
        diagram_id: it.source.diagram_id.clone(),
        source: store::Source {
            sha256: it.source.sha256.clone(),
            format: it.compiled.format.map_or("light", Format::name).to_owned(),
            content: it.source.text.clone(),
        },
        revision: revision_of(supervisor, &it.source)?,
        origin: it.rights.origin,
        rights: serde_json::to_string(&it.rights).unwrap_or_default(),
        options: serde_json::to_string(&it.options).unwrap_or_default(),
        variables: Value::Object(it.variables.clone()).to_string(),
        kind: if is_child { ExecutionKind::Child } else { ExecutionKind::Run },
        parent: it.parent.clone(),
        mode: it.options.mode.clone(),
        principal: it.principal.clone(),
        idempotency: it.idempotency.clone(),
        started_at: now,
        owner: (!it.in_background).then(|| Arc::clone(supervisor.owner())),
        transitions: vec![Transition {
            seq: 1,
            node_id: None,
            phase: event.phase(),
            payload: event.payload(),
            created_at: now,
        }],
        messages: Vec::new(),
    })
}

/// The saved version of a diagram of the workspace that this text is, if it is the newest.
fn revision_of(supervisor: &Supervisor, source: &Source) -> Result<Option<u64>, Error> {
    if !source.is_in_workspace {
        return Ok(None);
    }
    let newest = supervisor.store().revision(&source.diagram_id, None)?;
    Ok(newest.filter(|it| it.sha256 == source.sha256).map(|it| it.n))
}
