//! Starts an execution that takes over what another one did before a node, and goes on from there with what is
//! changed. Nothing that was paid for there is paid for again.
//!
//! | file | what it holds |
//! |---|---|
//! | `place` | from where it goes on |
//! | `text` | the diagram it goes on with, and its rights |
//! | `names` | which node of that diagram is which one of the old |
//! | `copy` | the log and the conversation it begins with |

mod copy;
mod names;
mod place;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::copy::{Copying, Given};
use self::text::NewText;
use super::begin::{self, Beginning};
use super::caller::Scope;
use super::execution_object::ExecutionObject;
use super::launch::{self, StoredOptions};
use super::persons::WorkspacePersons;
use super::present::View;
use super::run_diagram::{Waiting, may_run};
use super::surroundings::World;
use super::{App, Caller, caller, external, inputs, present, wait};
use crate::compile::report::{self, Report};
use crate::compile::{Compiled, Plan};
use crate::config::sha256;
use crate::diagram::NodeKind;
use crate::engine::event::{Event, ForkedFrom};
use crate::engine::fork::{Round, kept};
use crate::engine::run::LogEntry;
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::nodes::Rights;
use crate::store::{
    self, Created, ExecutionRow, Idempotency, NewExecution, Parent, ParentRelation, Store, TransitionRow,
};

/// Which execution goes on from where, and what is different.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The execution that is taken over.
    pub execution_id: String,
    /// The node it goes on from, by label or id; `NODE:N` for its N-th run. Absent: the node that failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// New values by `NODE.FIELD` or `PERSON.FIELD`.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub set: Map<String, Value>,
    /// New prompts by node.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub prompts: BTreeMap<String, String>,
    /// Other models by person.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub models: BTreeMap<String, String>,
    /// The value of the node, which does not run then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output: Option<Value>,
    /// The text of a changed diagram; its nodes are recognised by label, else by id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram: Option<String>,
    /// Other values of the diagram's inputs, for what has not run yet.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    pub inputs: Map<String, Value>,
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
    /// The folder of the changed diagram's file.
    pub base_dir: Option<PathBuf>,
    /// The same key within 24 h returns the first fork.
    pub idempotency_key: Option<String>,
}

/// Makes the fork, durably, waits at most `wait_seconds` for its end or a pause and returns it as it is then.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `EXECUTION_NOT_FOUND`, `NODE_NOT_FOUND`, `INVALID_INPUT` for a node that did not run and
/// for an edit that cannot be made, `FORK_MISMATCH` when the new diagram lacks a node that is taken over,
/// `INVALID_DIAGRAM`, `DIAGRAM_NOT_ALLOWED`, `DIAGRAM_NOT_FOUND` when the text of the execution is not stored,
/// `PERSON_REQUIRED` for a value that only a person may give, `IDEMPOTENCY_CONFLICT`.
pub async fn fork_execution(
    app: &App,
    caller: &Caller,
    request: Request,
    extras: Extras,
    waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    caller.require(&[Scope::ExecutionRun])?;
    let limit = wait::seconds(request.wait_seconds, limits::WAIT_SECONDS_DEFAULT)?;
    let id = ExecutionId::parse(&request.execution_id)?;
    external::require_run_here(&app.visible(caller, &id)?, &id, "be forked")?;
    let origin = Past::read(app.store()?, &id)?;
    let idempotency = extras.idempotency_key.clone().map(|key| {
        // How long the caller waits is no part of what is asked for.
        let asked = Request { wait_seconds: None, ..request.clone() };
        Idempotency { key, request_hash: sha256(&format!("fork {}", serde_json::json!(asked))) }
    });
    let row = NewExecution { idempotency, ..prepared(app, caller, &origin, request, &extras)? };
    let fork = start(app, row, extras.background).await?;
    if !extras.background {
        wait::until_settled(app, &fork, (!extras.unbounded_wait).then_some(limit), waiting).await?;
    }
    present::execution(app, &fork, &View::of(caller))
}

/// Writes the row and runs the execution from its log, as after a crash. Returns its id, which is another one when
/// the same request came before.
async fn start(app: &App, row: NewExecution, in_background: bool) -> Result<ExecutionId, Error> {
    let supervisor = app.supervisor()?;
    if !in_background {
        supervisor.register().await?;
    }
    let execution_id = row.execution_id.clone();
    if let Created::Same(existing) = app.store()?.create_execution(row).await? {
        return Ok(existing);
    }
    if !in_background {
        let launch = launch::from_store(app.store()?, supervisor, &execution_id)?;
        supervisor.start(execution_id.clone(), launch);
    }
    Ok(execution_id)
}

/// The execution that is taken over, as stored.
struct Past {
    id: ExecutionId,
    row: ExecutionRow,
    source: store::Source,
    options: StoredOptions,
    rights: Rights,
    rows: Vec<TransitionRow>,
    /// As many as `rows`.
    log: Vec<LogEntry>,
    state: ExecutionState,
}

impl Past {
    fn read(store: &Store, id: &ExecutionId) -> Result<Self, Error> {
        let row = store.execution(id)?.ok_or_else(|| wait::not_found(id))?;
        let no_text = || {
            Error::not_found("DIAGRAM_NOT_FOUND", format!("the text that `{id}` ran is not stored"))
                .hint("run the diagram anew")
        };
        let source = store.source(row.source_sha256.as_deref().unwrap_or_default())?.ok_or_else(no_text)?;
        let options = row.options.as_deref().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
        let rights = serde_json::from_str(row.rights.as_deref().unwrap_or_default()).map_err(|_| no_text())?;
        let (mut rows, mut log, mut state) = (Vec::new(), Vec::new(), ExecutionState::new());
        for it in store.transitions(id, 0, None)? {
            let Some(entry) = launch::entry(it.clone())? else { continue };
            let node = entry.node_id.as_deref().and_then(|it| state.node_idx(it));
            state.apply(&entry.event, node, entry.at);
            rows.push(it);
            log.push(entry);
        }
        Ok(Self { id: id.clone(), row, source, options, rights, rows, log, state })
    }

    /// How often each node ran, for messages.
    fn labels_that_ran(&self) -> String {
        let ran = self.state.executed.iter().map(|it| &self.state.nodes[*it]);
        let named = ran.map(|it| match it.started {
            1 => it.outline.label.clone(),
            n => format!("{} (x{n})", it.outline.label),
        });
        named.collect::<Vec<_>>().join(", ")
    }
}

/// Checks everything that can be wrong and returns the row of the fork with its log and conversation.
fn prepared(app: &App, caller: &Caller, past: &Past, request: Request, extras: &Extras) -> Result<NewExecution, Error> {
    let cut = place::find(past, request.node.as_deref())?;
    let kept = kept(&past.log, &cut).ok_or_else(|| place::never_ran(past, &cut))?;
    let text = text::new_text(past, &request)?;
    may_run(app, caller, text::workspace_name(app, past, &text).as_ref())?;
    let rights = text::rights(app, caller, past, &text)?;
    let (compiled, options) = compiled(app, past, &text, (&request, extras), &rights)?;
    let Some(plan) = &compiled.plan else {
        return Err(report::invalid(&Report::new(&compiled, &text.source.text)));
    };
    let names = names::matched(&past.state, plan, &kept)?;
    let given = given(caller, plan, (past, &cut), request.output)?;
    let variables = variables(past, plan, request.inputs)?;
    let store = app.store()?;
    let (supervisor, now) = (app.supervisor()?, app.clock.now());
    let node = &past.state.nodes[past.state.node_idx(&cut.node_id).unwrap_or_default()].outline.label;
    let mut first = launch::first_event(&compiled, &options, &rights, &text.source.diagram_id, variables.clone());
    let forked_from = ForkedFrom { execution_id: past.id.to_string(), node: node.clone(), iteration: cut.iteration };
    first.forked_from = Some(forked_from);
    let beginning = Beginning {
        execution_id: ExecutionId::random(),
        source: text.source,
        compiled,
        options,
        rights,
        variables,
        principal: Some(caller.principal().to_owned()),
        parent: Some(Parent { execution_id: past.id.clone(), relation: ParentRelation::Fork, place: None }),
        idempotency: None,
        inherited: Vec::new(),
        in_background: extras.background,
        is_held: false,
    };
    let row = begin::new_row(supervisor, &beginning, &Event::ExecutionStarted(first), now)?;
    let copying = Copying { past, fork: &beginning.execution_id, names: &names, now };
    let (messages, ids) = copying.messages(store, &kept)?;
    let mut transitions = row.transitions;
    copying.log(&kept, &ids, given.as_ref(), &mut transitions);
    Ok(NewExecution { transitions, messages, ..row })
}

/// Compiles the text it goes on with. Files of prompts stay as they were when the execution began, unless another
/// diagram is given.
fn compiled(
    app: &App,
    past: &Past,
    text: &NewText,
    (request, extras): (&Request, &Extras),
    rights: &Rights,
) -> Result<(Compiled, StoredOptions), Error> {
    let mut options = past.options.clone();
    let is_another = request.diagram.is_some() && text.is_changed;
    if is_another && options.base_dir.is_none() {
        options.base_dir.clone_from(&extras.base_dir);
    }
    let read = if is_another { BTreeMap::new() } else { options.texts.clone() };
    let world = World {
        needs_no_keys: options.models.is_some(),
        read: Mutex::new(read),
        persons: WorkspacePersons::new(app.existing_store()?.cloned(), past.row.head.principal.clone()),
        ..World::of(&app.config, (&app.languages, &app.ports), options.base_dir.clone(), rights.clone())
    };
    let compiled = app.parsed.compile(&text.source.text, text.format, &world);
    options.texts = world.into_read();
    if let Some(plan) = &compiled.plan {
        options.breakpoints.retain(|it| plan.find(it).is_some());
        if text.is_changed && plan.settings.timeout.is_some() {
            options.timeout = plan.settings.timeout;
        }
    }
    Ok((compiled, options))
}

/// What the node from which it goes on is given instead of running.
fn given(
    caller: &Caller,
    plan: &Plan,
    (past, cut): (&Past, &Round),
    output: Option<Value>,
) -> Result<Option<Given>, Error> {
    let Some(value) = output else { return Ok(None) };
    let outline = past.state.node_idx(&cut.node_id).map(|it| &past.state.nodes[it].outline);
    let found = outline.and_then(|it| names::find(plan, &it.label, &it.id));
    let Some(node) = found.map(|it| &plan.nodes[it]) else {
        return Err(Error::not_found("NODE_NOT_FOUND", format!("the new diagram has no node `{}`", cut.node_id))
            .hint("a value can only be given to a node that is there"));
    };
    if node.kind == NodeKind::Condition {
        let message = format!("`{}` is a condition: it takes a branch and makes no value", node.label);
        return Err(Error::invalid("INVALID_INPUT", message)
            .hint("change its expression, or give the node before it another value"));
    }
    if node.node.is_for_people() && caller::is_model(&caller.by()) {
        return Err(Error::refused("PERSON_REQUIRED", format!("only a person may answer `{}`", node.label))
            .hint("let the user fork it with `dipeo fork` at the terminal"));
    }
    let started = past.log.iter().find_map(|it| match &it.event {
        Event::NodeStarted(started)
            if it.node_id.as_deref() == Some(&*cut.node_id) && started.iteration == cut.iteration =>
        {
            Some(started.clone())
        }
        _ => None,
    });
    Ok(started.map(|started| Given { node_id: node.id.clone(), started, value, by: caller.by() }))
}

/// The inputs of the execution with those that are given now over them.
fn variables(past: &Past, plan: &Plan, given: Map<String, Value>) -> Result<Map<String, Value>, Error> {
    let mut variables = past.state.inputs.clone();
    if !plan.inputs.is_empty() {
        // What a changed diagram no longer declares is nobody's mistake.
        variables.retain(|name, _| plan.inputs.iter().any(|it| it.name == *name));
    }
    variables.extend(given);
    inputs::check(&plan.inputs, variables)
}
