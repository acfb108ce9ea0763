//! The session to watch: the newest unfinished execution that was started from a terminal or registered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::caller::Scope;
use super::super::launch::fold;
use super::super::{App, Caller};
use super::register::format_name;
use super::session_id;
use crate::diagram::write::write;
use crate::diagram::{Format, parse};
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::known_fields;

/// The session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    pub session_id: String,
    pub execution_id: String,
    pub diagram_name: String,
    pub diagram_format: String,
    pub started_at: String,
    pub is_active: bool,
    /// The diagram in the native form; as text when it cannot be read.
    pub diagram_data: Value,
    /// Node id to its state.
    pub node_states: Map<String, Value>,
}

/// Returns the session to watch, if there is one that the caller may know of.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`; what the database says.
pub async fn active_cli_session(app: &App, caller: &Caller) -> Result<Option<Session>, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let Some(store) = app.existing_store()? else { return Ok(None) };
    let Some(head) = store.active_session(caller.only_of().as_deref())? else { return Ok(None) };
    let id = ExecutionId::parse(&head.execution_id)?;
    let sha256 = store.execution(&id)?.and_then(|it| it.source_sha256);
    let source = sha256.as_deref().map_or(Ok(None), |it| store.source(it))?;
    let mut state = ExecutionState::new();
    fold(&mut state, store.transitions(&id, 0, None)?)?;
    Ok(Some(Session {
        session_id: session_id(&id),
        execution_id: head.execution_id,
        diagram_name: head.diagram_id.unwrap_or_default(),
        diagram_format: source.as_ref().map_or("light", |it| format_name(&it.format)).to_owned(),
        started_at: head.started_at.to_rfc3339(),
        is_active: true,
        diagram_data: source.map(|it| native(&it.content, Format::parse(&it.format))).unwrap_or_default(),
        node_states: serde_json::from_str(&state.projection().node_states).unwrap_or_default(),
    }))
}

fn native(text: &str, format: Option<Format>) -> Value {
    // What has a node of unknown type has no native form.
    let diagram = parse(text, format).diagram.filter(|it| it.nodes.iter().all(|node| node.kind.is_some()));
    let value = diagram.and_then(|it| serde_json::from_str(&write(&it, Format::Native, &known_fields)).ok());
    value.unwrap_or_else(|| text.into())
}
