//! Looks into an execution: what a node would see if it ran now, and what starts next. It changes nothing.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::caller::Scope;
use super::execution_object::{ExecutionObject, InspectedNode, Inspection};
use super::present::{self, View};
use super::{App, Caller, external, launch};
use crate::engine::run;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::secret::Scrubber;

/// Returns the execution with what `node` would see; without a node, the only one that waits or is next.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `NODE_NOT_FOUND`, `CONTENT_TYPE` when an input
/// cannot be converted, `INTERRUPTED` when the stored diagram does not compile any more.
pub fn inspect_execution(
    app: &App,
    caller: &Caller,
    execution_id: &str,
    node: Option<&str>,
) -> Result<ExecutionObject, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let id = ExecutionId::parse(execution_id)?;
    external::require_run_here(&app.visible(caller, &id)?, &id, "be looked into")?;
    let launch = launch::from_store(app.store()?, app.supervisor()?, &id)?;
    let found = run::inspect(launch, Arc::clone(&app.ports), node)?;
    present::inspected(app, &id, &View::of(caller), Some(Box::new(shown(found, app.scrubber()))))
}

/// Everything that is stored was scrubbed then; this is for secrets that became known later.
fn shown(found: run::Inspection, scrubber: &Scrubber) -> Inspection {
    let scrubbed = |map: Map<String, Value>| -> Map<String, Value> {
        map.into_iter().map(|(name, value)| (name, without_secrets(value, scrubber))).collect()
    };
    Inspection {
        node: found.node.map(|it| InspectedNode {
            node_id: it.node_id,
            label: it.label,
            node_type: it.kind.to_owned(),
            status: it.status,
            iteration: it.iteration,
            inputs: scrubbed(it.inputs),
            sources: it.sources.into_iter().map(|(input, source)| (input, Value::String(source))).collect(),
            waits_for: it.waits_for,
            given: it.given.map(|it| without_secrets(it, scrubber)),
        }),
        variables: scrubbed(found.variables),
        ready: found.ready,
        under_way: found.under_way,
        breakpoints: found.breakpoints,
    }
}

fn without_secrets(mut value: Value, scrubber: &Scrubber) -> Value {
    present::scrub_texts(&mut value, scrubber);
    value
}
