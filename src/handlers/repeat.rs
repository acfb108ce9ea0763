//! What a replay begins with, and how its result stands to what it repeats.

use std::collections::BTreeMap;

use serde_json::Value;

use super::begin::Beginning;
use super::execution_object::Repeated;
use super::launch::{self, StoredOptions};
use super::supervisor::Supervisor;
use super::wait::not_found;
use super::workspace;
use crate::engine::Status;
use crate::engine::event::Event;
use crate::engine::run::Mode;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::shown;
use crate::store::{ExecutionRow, Parent, Store};

/// Labels of nodes that are named when results differ.
const DIFFERENCES_MAX: usize = 20;
/// Characters of such a label.
const LABEL_CHARS_MAX: usize = 80;

/// Makes the beginning of a replay of `source`, below `parent`. A replay is repeated from what it repeats itself.
/// It belongs to nobody yet.
///
/// # Errors
///
/// `EXECUTION_NOT_FOUND`, `NOT_ENDED`, `NOT_RECORDED`, `INTERRUPTED` when its diagram cannot be read any more.
pub(super) fn repetition(supervisor: &Supervisor, source: &ExecutionId, parent: Parent) -> Result<Beginning, Error> {
    let store = supervisor.store();
    let (root, row) = root_of(store, source)?;
    let options = StoredOptions::of(&row);
    require_recording(&root, &row, &options)?;
    let rights = launch::rights_of(&row)?;
    let (text, compiled) = launch::recompile(store, supervisor, &row, &options, &rights)?;
    let inherited = match options.inherits {
        Some(count) => launch::messages_of(store, &parent.execution_id, Some(count))?,
        None => Vec::new(),
    };
    Ok(Beginning {
        execution_id: ExecutionId::random(),
        source: workspace::Source {
            text: text.content,
            sha256: text.sha256,
            diagram_id: row.head.diagram_id.clone().unwrap_or_default(),
            path: None,
            is_in_workspace: false,
        },
        compiled,
        options: StoredOptions {
            mode: None,
            breakpoints: Vec::new(),
            replay_of: Some(root.to_string()),
            paid_above: false,
            ..options
        },
        rights,
        variables: inputs_of(store, &root)?,
        principal: None,
        parent: Some(parent),
        idempotency: None,
        inherited,
        in_background: false,
        is_held: false,
    })
}

/// The execution whose recordings answer a replay of `source`.
fn root_of(store: &Store, source: &ExecutionId) -> Result<(ExecutionId, ExecutionRow), Error> {
    let row = store.execution(source)?.ok_or_else(|| not_found(source))?;
    let Some(root) = StoredOptions::of(&row).replay_of else { return Ok((source.clone(), row)) };
    let root = ExecutionId::parse(&root)?;
    let gone = || {
        Error::not_found("NOT_RECORDED", format!("`{root}`, which `{source}` repeats, is deleted"))
            .hint("its recordings went with it; run the diagram again")
    };
    let row = store.execution(&root)?.ok_or_else(gone)?;
    Ok((root, row))
}

fn require_recording(root: &ExecutionId, row: &ExecutionRow, options: &StoredOptions) -> Result<(), Error> {
    if !row.head.status.has_ended() {
        let message = format!("`{root}` is {}; only what has ended can be replayed", row.head.status.name());
        return Err(Error::conflict("NOT_ENDED", message)
            .hint("wait for its end with `see_result` or `dipeo results`, or abort it"));
    }
    if options.is_recorded {
        return Ok(());
    }
    let why = match options.mode.as_deref() {
        Some(mode) if mode == Mode::Mock.name() => "it was a mock run, which asks nobody",
        _ => "it ran before dipeo kept recordings",
    };
    Err(Error::conflict("NOT_RECORDED", format!("`{root}` has no recording: {why}"))
        .hint("run the diagram again; that execution can be replayed"))
}

fn inputs_of(store: &Store, id: &ExecutionId) -> Result<serde_json::Map<String, Value>, Error> {
    for row in store.transitions(id, 0, Some(1))? {
        if let Some(Event::ExecutionStarted(started)) = Event::parse(&row.phase, &row.payload)? {
            return Ok(started.inputs);
        }
    }
    Err(Error::internal(format!("the log of `{id}` has no beginning")))
}

/// Compares what has become of a replay with what it repeats: status, outputs, every output and failure of every
/// node, byte for byte; ids of executions aside.
///
/// # Errors
///
/// What the database says.
pub(super) fn compared(store: &Store, source: &ExecutionId, replay: &ExecutionId) -> Result<Repeated, Error> {
    let (then, now) = (Results::of(store, source)?, Results::of(store, replay)?);
    let mut differs = Vec::new();
    if then.status != now.status || then.error_code != now.error_code {
        differs.push("status".to_owned());
    }
    if then.outputs != now.outputs {
        differs.push("outputs".to_owned());
    }
    let places: std::collections::BTreeSet<_> = then.nodes.keys().chain(now.nodes.keys()).collect();
    let other = places.into_iter().filter(|it| then.nodes.get(*it) != now.nodes.get(*it));
    let named = other.map(|(node, iteration)| {
        let label = then.labels.get(node).unwrap_or(node);
        format!("node {}:{iteration}", shown::line(label, LABEL_CHARS_MAX))
    });
    differs.extend(named);
    let is_equal = differs.is_empty();
    differs.truncate(DIFFERENCES_MAX);
    Ok(Repeated { execution_id: source.to_string(), is_equal, differs })
}

/// What came out of an execution.
#[derive(Default)]
struct Results {
    status: Option<Status>,
    error_code: Option<String>,
    outputs: Option<String>,
    labels: BTreeMap<String, String>,
    /// By node id and iteration.
    nodes: BTreeMap<(String, u32), String>,
}

impl Results {
    fn of(store: &Store, id: &ExecutionId) -> Result<Self, Error> {
        let mut results = Self { status: store.status(id)?, ..Self::default() };
        for row in store.transitions(id, 0, None)? {
            let Some(event) = Event::parse(&row.phase, &row.payload)? else { continue };
            results.take(row.node_id.unwrap_or_default(), event);
        }
        Ok(results)
    }

    fn take(&mut self, node: String, event: Event) {
        match event {
            Event::ExecutionStarted(it) => {
                self.labels = it.nodes.into_iter().map(|it| (it.id, it.label)).collect();
            }
            Event::NodeCompleted(it) => drop(self.nodes.insert((node, it.iteration), text_of(&it.output.body))),
            Event::NodeError(it) => {
                let mut error = it.error;
                // A crash makes an attempt more.
                error.as_object_mut().and_then(|it| it.shift_remove("attempts"));
                self.nodes.insert((node, it.iteration), text_of(&error));
            }
            Event::ExecutionCompleted(it) | Event::ExecutionError(it) | Event::ExecutionAborted(it) => {
                self.outputs = it.outputs.map(|it| text_of(&Value::Object(it)));
                self.error_code = it.error.and_then(|it| it.get("code")?.as_str().map(str::to_owned));
            }
            _ => {}
        }
    }
}

fn text_of(value: &Value) -> String {
    crate::ids::without_execution_ids(&value.to_string())
}
