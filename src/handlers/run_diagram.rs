//! Starts an execution and waits for it a bounded time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::begin::{Beginning, begin};
use super::caller::{Door, Scope};
use super::execution_object::ExecutionObject;
use super::launch::StoredOptions;
use super::surroundings::World;
use super::workspace::Source;
use super::{App, Caller, inputs, present, wait};
use crate::compile::Compiled;
use crate::compile::report::{self, Report};
use crate::config::sha256;
use crate::diagram::{Format, Person, Service};
use crate::engine::Status;
use crate::engine::run::Mode;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::nodes::budget::Limit;
use crate::nodes::{Origin, Rights};
use crate::store::Idempotency;

/// What to run. Exactly one of `diagram` and `content`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name or URI of a diagram.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram: Option<String>,
    /// A whole diagram as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content: Option<String>,
    /// light, readable or native (detected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format_type: Option<String>,
    /// Values of the diagram's inputs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub input_data: Option<Map<String, Value>>,
    /// Seconds to wait for the end (20).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wait_seconds: Option<u32>,
    /// Seconds of running time (300).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub timeout: Option<f64>,
    /// usd, tokens, calls, seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget: Option<Map<String, Value>>,
    /// `caller`: you answer every prompt; `scripted`: the diagram's script does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub models: Option<String>,
    /// The same key within 24 h returns the first execution.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idempotency_key: Option<String>,
}

/// What adapters may ask besides.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// The id of the new execution.
    pub execution_id: Option<String>,
    /// Template warnings become failures.
    pub strict: bool,
    /// Write the row and return: a living process of this database takes the execution.
    pub background: bool,
    /// `mock` has no outside effect, `debug` pauses before the breakpoints.
    pub mode: Option<String>,
    /// Nodes, by label or id, before which a debug run pauses.
    pub breakpoints: Vec<String>,
    /// How often each node may run; the diagram's own limit holds as well.
    pub max_iterations: Option<u32>,
    /// Wait without limit: the terminal stays with its run.
    pub unbounded_wait: bool,
    /// The name under which the execution of a text is listed, instead of `inline`.
    pub listed_as: Option<String>,
    /// Wait no longer than this for a run that could be a task: one whose prompts nobody has to answer.
    pub task_after: Option<Duration>,
}

/// Called while a run is waited for: what has been committed so far.
pub type OnProgress = Box<dyn FnMut(&ProgressNote) + Send>;

/// One sign of life of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgressNote {
    /// Node executions committed.
    pub done: u64,
    /// In all, when the plan has no loops.
    pub total: Option<u64>,
    /// What happened, in words: `write done`.
    pub message: String,
    /// The node it happened to.
    pub label: String,
    /// `node_started`, `node_completed`, `node_error`, `node_retry`, `interactive_prompt` …
    pub phase: String,
    /// How long a completed node took, in milliseconds.
    pub duration_ms: Option<i64>,
}

impl ProgressNote {
    /// Says in words what happened to the node `label`; `None` for what is not worth a line. `counts` are the node
    /// executions committed, and in all.
    pub fn of(phase: &str, label: String, counts: (u64, Option<u64>), duration_ms: Option<i64>) -> Option<Self> {
        let verb = match phase {
            "node_started" => "runs",
            "node_completed" => "done",
            "node_error" => "failed",
            "node_retry" => "is tried again",
            "interactive_prompt" => "waits",
            "interactive_response" => "was answered",
            _ => return None,
        };
        Some(Self {
            done: counts.0,
            total: counts.1,
            message: format!("{label} {verb}"),
            label,
            duration_ms: duration_ms.filter(|_| phase == "node_completed"),
            phase: phase.to_owned(),
        })
    }
}

/// How a caller waits.
#[derive(Default)]
pub struct Waiting {
    /// Ends the wait, never the execution.
    pub cancel: CancellationToken,
    pub on_progress: Option<OnProgress>,
    /// Called with what models say while they say it, as far as this process runs the execution.
    pub on_token: Option<OnToken>,
}

/// Takes a piece of a reply: label of the node, text.
pub type OnToken = Box<dyn FnMut(&str, &str) + Send>;

/// Finds, compiles and starts a diagram; the row is durable before anything is returned. Waits at most
/// `wait_seconds` for the end or a pause and returns the execution as it is then.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `DIAGRAM_NOT_ALLOWED`, `DIAGRAM_NOT_FOUND`, `INVALID_DIAGRAM` (all diagnostics in `details`), `INVALID_INPUT`, `INVALID_FORMAT`,
/// `ALREADY_EXISTS`, conflicts of `idempotency_key`.
pub async fn run_diagram(
    app: &App,
    caller: &Caller,
    request: Request,
    extras: Extras,
    waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    Ok(run_or_task(app, caller, request, extras, waiting).await?.execution)
}

/// What came of a run.
pub struct Ran {
    pub execution: ExecutionObject,
    /// It still runs and was waited for only as long as a task is.
    pub is_task: bool,
}

/// As [`run_diagram`], for callers that can have a task: see [`Extras::task_after`].
///
/// # Errors
///
/// As [`run_diagram`].
pub async fn run_or_task(
    app: &App,
    caller: &Caller,
    request: Request,
    extras: Extras,
    waiting: Waiting,
) -> Result<Ran, Error> {
    caller.require(&[Scope::ExecutionRun])?;
    let limit = wait::seconds(request.wait_seconds, limits::WAIT_SECONDS_DEFAULT)?;
    let prepared = Prepared::new(app, caller, request, &extras)?;
    run_prepared(app, caller, prepared, limit, extras, waiting).await
}

/// Runs a text that a handler has made, with the rights that it gives it: what the caller brings comes in as input.
///
/// # Errors
///
/// As [`run_diagram`].
pub(super) async fn run_text(
    app: &App,
    caller: &Caller,
    (source, rights): (Source, Rights),
    request: Request,
    extras: Extras,
    waiting: Waiting,
) -> Result<ExecutionObject, Error> {
    caller.require(&[Scope::ExecutionRun])?;
    may_run(app, caller, None)?;
    let limit = wait::seconds(request.wait_seconds, limits::WAIT_SECONDS_DEFAULT)?;
    let prepared = Prepared::of(app, caller, (source, rights), request, &extras)?;
    Ok(run_prepared(app, caller, prepared, limit, extras, waiting).await?.execution)
}

async fn run_prepared(
    app: &App,
    caller: &Caller,
    prepared: Prepared,
    wait_seconds: Duration,
    extras: Extras,
    waiting: Waiting,
) -> Result<Ran, Error> {
    let task_after = extras.task_after.filter(|it| *it < wait_seconds && !prepared.asks_caller());
    let execution_id = begin(app.supervisor()?, prepared.into_beginning(caller, extras.background)).await?;
    if !extras.background {
        let limit = (!extras.unbounded_wait).then(|| task_after.unwrap_or(wait_seconds));
        wait::until_settled(app, &execution_id, limit, waiting).await?;
    }
    let execution = present::execution(app, &execution_id, &present::View::of(caller))?;
    let is_task = task_after.is_some() && matches!(execution.status, Status::Pending | Status::Running);
    Ok(Ran { execution, is_task })
}

/// A checked request: everything that can be wrong has been found.
struct Prepared {
    source: Source,
    compiled: Compiled,
    options: StoredOptions,
    rights: Rights,
    variables: Map<String, Value>,
    execution_id: ExecutionId,
    idempotency: Option<(String, String)>,
}

impl Prepared {
    fn new(app: &App, caller: &Caller, request: Request, extras: &Extras) -> Result<Self, Error> {
        let format = format_of(request.format_type.as_deref())?;
        if request.content.is_some() {
            may_run(app, caller, None)?;
        }
        let mut source = open(app, caller, &request, format)?;
        may_run(app, caller, Some(&source.diagram_id).filter(|_| source.is_in_workspace))?;
        if let Some(name) = &extras.listed_as {
            source.diagram_id.clone_from(name);
        }
        let rights = app.rights_of(origin_of(caller, &source), &source.sha256)?;
        Self::of(app, caller, (source, rights), request, extras)
    }

    /// Compiles a text that was opened and checks everything else.
    fn of(
        app: &App,
        caller: &Caller,
        (source, rights): (Source, Rights),
        request: Request,
        extras: &Extras,
    ) -> Result<Self, Error> {
        // How long the caller waits is no part of what is asked for.
        let asked = Request { wait_seconds: None, ..request.clone() };
        let mut asked = serde_json::to_string(&asked).unwrap_or_default();
        if extras.strict || extras.mode.is_some() || !extras.breakpoints.is_empty() || extras.max_iterations.is_some() {
            let Extras { strict, mode, breakpoints, max_iterations, .. } = extras;
            asked.push_str(&format!(" {strict} {mode:?} {breakpoints:?} {max_iterations:?}"));
        }
        let request_hash = sha256(&asked);
        let format = format_of(request.format_type.as_deref())?;
        let mut options = options_of(&request, extras, &source, longest_run(app, caller))?;
        let world = World {
            own_path: source.path.clone(),
            needs_no_keys: options.models.is_some(),
            persons: app.persons_for(caller)?,
            ..World::of(&app.config, (&app.languages, &app.ports), options.base_dir.clone(), rights.clone())
        };
        let compiled = app.parsed.compile(&source.text, format, &world);
        options.texts = world.into_read();
        if let Some(own) = compiled.plan.as_ref().and_then(|it| it.settings.timeout) {
            // What the caller asked for can only shorten what the diagram allows itself.
            options.timeout = Some(request.timeout.map_or(own, |it| it.min(own)));
        }
        let Some(plan) = &compiled.plan else {
            return Err(report::invalid(&Report::new(&compiled, &source.text)));
        };
        let own = plan.settings.budget.as_ref().map(Limit::of).unwrap_or_default();
        options.budget = Some(own.narrowed(&request.budget.unwrap_or_default())?).filter(|it| !it.is_none());
        if let Some(unknown) = extras.breakpoints.iter().find(|it| plan.find(it).is_none()) {
            return Err(Error::not_found(
                "NODE_NOT_FOUND",
                format!("the diagram has no node `{unknown}` to break before"),
            )
            .hint("name a node by its label or id"));
        }
        let variables = inputs::check(&plan.inputs, request.input_data.unwrap_or_default())?;
        let execution_id = match &extras.execution_id {
            Some(id) => ExecutionId::parse(id)?,
            None => ExecutionId::random(),
        };
        let idempotency = request.idempotency_key.map(|key| (key, request_hash));
        Ok(Self { source, compiled, options, rights, variables, execution_id, idempotency })
    }

    /// Whether prompts of the run go to whoever called.
    fn asks_caller(&self) -> bool {
        let caller = Some(Service::Caller);
        let is_caller = |it: &std::sync::Arc<Person>| it.service == caller;
        self.options.models.as_deref().and_then(Service::parse) == caller
            || self.compiled.plan.as_ref().is_some_and(|it| it.persons.iter().any(is_caller))
    }

    fn into_beginning(self, caller: &Caller, in_background: bool) -> Beginning {
        Beginning {
            execution_id: self.execution_id,
            source: self.source,
            compiled: self.compiled,
            options: self.options,
            rights: self.rights,
            variables: self.variables,
            principal: Some(caller.principal().to_owned()),
            parent: None,
            idempotency: self.idempotency.map(|(key, request_hash)| Idempotency { key, request_hash }),
            inherited: Vec::new(),
            in_background,
            is_held: false,
        }
    }
}

fn open(app: &App, caller: &Caller, request: &Request, format: Option<Format>) -> Result<Source, Error> {
    match (&request.diagram, &request.content) {
        (Some(name), None) => match caller {
            Caller::Terminal { working_dir } => app.workspace.open_typed(name, working_dir, format),
            Caller::Client(_) => app.workspace.open_named(name, format),
        },
        (None, Some(text)) => Ok(Source::inline(text.clone())),
        (None, None) => Err(Error::invalid("INVALID_INPUT", "neither `diagram` nor `content` is given")
            .hint("name a diagram of the workspace, or send a whole diagram as `content`")),
        (Some(_), Some(_)) => {
            Err(Error::invalid("INVALID_INPUT", "both `diagram` and `content` are given").hint("give one of them"))
        }
    }
}

/// Refuses a client what `--allow-diagrams` leaves out: other names, and every text that has none. What an allowed
/// diagram calls is its author's choice.
///
/// # Errors
///
/// `DIAGRAM_NOT_ALLOWED`.
pub(super) fn may_run(app: &App, caller: &Caller, name: Option<&String>) -> Result<(), Error> {
    let settings = &app.config.mcp;
    if matches!(caller, Caller::Terminal { .. }) || settings.allow_diagrams.is_empty() {
        return Ok(());
    }
    let globs = settings.allow_diagrams.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
    let what = match name {
        Some(name) if settings.allows(name) => return Ok(()),
        Some(name) => format!("clients may not run `{name}`"),
        None => "clients may not bring diagrams of their own".to_owned(),
    };
    Err(Error::refused("DIAGRAM_NOT_ALLOWED", what).hint(format!(
        "run a workspace diagram with a name like {globs}; the server was started with `--allow-diagrams`"
    )))
}

fn origin_of(caller: &Caller, source: &Source) -> Origin {
    match caller {
        // What a person types or pipes in at the terminal is theirs.
        Caller::Terminal { .. } => Origin::Local,
        Caller::Client(_) if source.is_in_workspace => Origin::Workspace,
        Caller::Client(_) => Origin::Submitted,
    }
}

/// Running time in seconds when neither the caller nor the diagram says one, by the way the request came.
fn longest_run(app: &App, caller: &Caller) -> f64 {
    match caller {
        Caller::Terminal { .. } => limits::RUN_TIMEOUT_S,
        Caller::Client(client) if client.door == Door::Http => app.config.timeouts.execution_s,
        Caller::Client(_) => app.config.timeouts.mcp_s,
    }
}

fn options_of(request: &Request, extras: &Extras, source: &Source, longest_run: f64) -> Result<StoredOptions, Error> {
    if let Some(models) = &request.models
        && !matches!(Service::parse(models), Some(Service::Caller | Service::Scripted))
    {
        return Err(Error::invalid("INVALID_INPUT", format!("`models` is `{models}`"))
            .hint("write `caller` to answer every prompt yourself, or `scripted`"));
    }
    if extras.max_iterations == Some(0) {
        return Err(Error::invalid("INVALID_INPUT", "`max_iterations` is 0").hint("write a number from 1"));
    }
    let timeout = request.timeout.unwrap_or(longest_run);
    if !(timeout.is_finite() && timeout > 0.0 && timeout <= 31_536_000.0) {
        return Err(Error::invalid("INVALID_INPUT", format!("`timeout` is {timeout}"))
            .hint("write a number of seconds above 0"));
    }
    Ok(StoredOptions {
        timeout: Some(timeout),
        models: request.models.clone(),
        strict: extras.strict,
        max_iterations: extras.max_iterations,
        mode: mode_of(extras)?,
        breakpoints: extras.breakpoints.clone(),
        base_dir: source.folder(),
        ..StoredOptions::default()
    })
}

/// Breakpoints ask for debug mode by themselves.
fn mode_of(extras: &Extras) -> Result<Option<String>, Error> {
    match extras.mode.as_deref() {
        None if !extras.breakpoints.is_empty() => Ok(Some(Mode::Debug.name().to_owned())),
        None => Ok(None),
        Some(text) => Mode::parse(text).map(|it| Some(it.name().to_owned())).ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{text}` is no mode")).hint("write full, mock or debug")
        }),
    }
}

/// Reads a format name.
///
/// # Errors
///
/// `INVALID_FORMAT`.
pub fn format_of(name: Option<&str>) -> Result<Option<Format>, Error> {
    match name {
        None => Ok(None),
        Some(name) => Format::parse(name).map(Some).ok_or_else(|| {
            Error::invalid("INVALID_FORMAT", format!("`{name}` is no diagram format"))
                .hint("write light, readable or native")
        }),
    }
}
