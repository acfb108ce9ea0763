//! The conversation of an execution, message by message, oldest first (surface.md 6.4).

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::Scope;
use super::list_executions::checked_limit;
use super::{App, Caller};
use crate::engine::event::{Event, NodeOutline};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nearest::nearest;
use crate::store::{MessageRow, Store};

/// Which messages.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub execution_id: String,
    /// Only those of this node: its id or label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// Only what this person saw or said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub person: Option<String>,
    /// Only those after this `seq`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<u64>,
    /// At most so many (100, up to 1000).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// How many of the oldest to leave out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<usize>,
}

/// The messages found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub messages: Vec<StoredMessage>,
    /// How many there are in all that fit.
    pub total: usize,
}

/// A message as it was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoredMessage {
    pub id: String,
    /// Its place in the conversation.
    pub seq: u64,
    pub node_id: String,
    /// Of the node.
    pub label: String,
    /// Whose conversation it belongs to.
    pub person_id: String,
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    pub content: String,
    pub from: String,
    pub to: String,
    pub iteration: u32,
    /// As the service counted them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token_count: Option<u64>,
    pub timestamp: String,
}

/// Returns what was said in an execution, as it is stored.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_EXECUTION_ID`, `EXECUTION_NOT_FOUND`, `NODE_NOT_FOUND`, `INVALID_INPUT` for a
/// limit out of range.
pub async fn execution_messages(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    caller.require(&[Scope::ExecutionRead])?;
    let id = ExecutionId::parse(&request.execution_id)?;
    let limit = checked_limit(request.limit, 100)?;
    app.visible(caller, &id)?;
    let store = app.store()?;
    let nodes = outlines(store, &id)?;
    let node = request.node.as_deref().map(|it| find_node(&nodes, it)).transpose()?;
    let rows = match (&request.person, &node) {
        (Some(person), _) => store.get_person_messages(&id, person)?,
        (None, Some(node)) => store.get_node_messages(&id, node)?,
        (None, None) => store.get_execution_messages(&id, request.after, None)?,
    };
    let fits = |it: &MessageRow| {
        node.as_ref().is_none_or(|node| it.message.node_id == *node)
            && request.after.is_none_or(|after| it.message.seq > after)
    };
    let rows: Vec<MessageRow> = rows.into_iter().filter(fits).collect();
    let total = rows.len();
    let labels: HashMap<&str, &str> = nodes.iter().map(|it| (it.id.as_str(), it.label.as_str())).collect();
    let shown = rows.into_iter().skip(request.offset.unwrap_or(0)).take(limit);
    Ok(Response { messages: shown.map(|it| stored(app, it, &labels)).collect(), total })
}

fn stored(app: &App, row: MessageRow, labels: &HashMap<&str, &str>) -> StoredMessage {
    let MessageRow { message, token_count, created_at, .. } = row;
    let label = labels.get(message.node_id.as_str()).copied().unwrap_or(&message.node_id).to_owned();
    let mut content = message.content;
    app.scrubber().scrub(&mut content);
    StoredMessage {
        id: message.id,
        seq: message.seq,
        label,
        node_id: message.node_id,
        person_id: message.person_id,
        role: message.role,
        content,
        from: message.from,
        to: message.to,
        iteration: message.iteration,
        token_count,
        timestamp: created_at.to_rfc3339(),
    }
}

/// The nodes of an execution, from its first event; none of one that has not begun.
///
/// # Errors
///
/// What the database says.
pub(super) fn outlines(store: &Store, id: &ExecutionId) -> Result<Vec<NodeOutline>, Error> {
    let first = store.transitions(id, 0, Some(1))?.into_iter().next();
    let event = first.map(|it| Event::parse(&it.phase, &it.payload)).transpose()?.flatten();
    Ok(match event {
        Some(Event::ExecutionStarted(it)) => it.nodes,
        _ => Vec::new(),
    })
}

/// The id of the node that an id or a label names.
///
/// # Errors
///
/// `NODE_NOT_FOUND`; a label that several nodes have names none.
pub(super) fn find_node(nodes: &[NodeOutline], name: &str) -> Result<String, Error> {
    if let Some(it) = nodes.iter().find(|it| it.id == name) {
        return Ok(it.id.clone());
    }
    let labelled: Vec<&NodeOutline> = nodes.iter().filter(|it| it.label == name).collect();
    if let [it] = labelled[..] {
        return Ok(it.id.clone());
    }
    let shown: String = name.chars().filter(|it| !it.is_control()).take(80).collect();
    let error = Error::not_found("NODE_NOT_FOUND", format!("the execution has no node `{shown}`"));
    Err(match nearest(name, nodes.iter().map(|it| it.label.as_str())) {
        _ if labelled.len() > 1 => {
            let ids: Vec<&str> = labelled.iter().map(|it| it.id.as_str()).collect();
            error.hint(format!("several have this label; name one by its id: {}", ids.join(", ")))
        }
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("name a node by its label or id"),
    })
}
