//! Turns to the page that a cursor names: one long text or list of an execution, from where it was cut.

use serde_json::Value;

use super::cursor::{Cursor, Place, bad_cursor};
use super::{Audience, Start, conversation, events, shown_node};
use crate::engine::state::{ExecutionState, NodeState};
use crate::error::Error;
use crate::handlers::execution_object::{ExecutionObject, Part};
use crate::ids::ExecutionId;
use crate::shown;
use crate::store::Store;

/// What is shown in pages, and for whom.
pub(super) struct Book<'b> {
    pub state: &'b ExecutionState,
    pub store: &'b Store,
    pub id: &'b ExecutionId,
    pub audience: Audience,
}

impl Book<'_> {
    /// Puts what `cursor` names into `object`, from there to its end.
    pub(super) fn turn(&self, object: &mut ExecutionObject, cursor: &Cursor, start: &mut Start) -> Result<(), Error> {
        match &cursor.place {
            Place::Conversation(node) => {
                start.conversation = cursor.from;
                start.node.clone_from(node);
                let all = conversation(self.store, self.id, node.as_deref())?;
                object.conversation = Some(rest(all, cursor.from));
            }
            Place::Nodes => {
                start.nodes = cursor.from;
                object.nodes = Some(rest(self.state.nodes.iter().map(shown_node).collect(), cursor.from));
            }
            Place::Events => {
                object.events = Some(events(self.state, self.store, self.id, cursor.from)?);
                object.last_seq = Some(cursor.from);
            }
            place => {
                let value = self.long_value(place)?.ok_or_else(|| bad_cursor(&cursor.write()))?;
                object.part = Some(self.part(place, &value, cursor.from, start));
                start.part = Some(place.clone());
            }
        }
        Ok(())
    }

    /// The whole of what stands at a place that is one text; `None` when there is no such place.
    fn long_value(&self, place: &Place) -> Result<Option<Value>, Error> {
        let state = self.state;
        Ok(match place {
            Place::Output(label) => {
                let closed = state.closing.as_ref().and_then(|it| it.outputs.clone());
                closed.unwrap_or_else(|| state.outputs()).get(label).cloned()
            }
            Place::NodeOutput(id) => self.node(id).and_then(|it| it.output.as_ref()).map(|it| Value::clone(it)),
            Place::Prompt(id) => self.waiting(id).map(|it| Value::from(it.prompt.as_str())),
            Place::Window(id) => self.waiting(id).map(|it| serde_json::json!(it.messages)),
            Place::Error => state.closing.as_ref().and_then(|it| it.error.clone()),
            Place::Variables => Some(Value::Object(state.variables.clone())),
            Place::Message(node, position) => {
                let all = conversation(self.store, self.id, node.as_deref())?;
                let message = usize::try_from(*position).ok().and_then(|it| all.into_iter().nth(it));
                message.map(|it| Value::from(it.content))
            }
            Place::Nodes | Place::Conversation(_) | Place::Events => None,
        })
    }

    fn node(&self, id: &str) -> Option<&NodeState> {
        self.state.node_idx(id).map(|it| &self.state.nodes[it])
    }

    fn waiting(&self, id: &str) -> Option<&crate::nodes::Question> {
        self.node(id).and_then(|it| it.waiting.as_ref()).map(|it| &it.question)
    }

    /// The text of `value` behind its first `from` characters. Positions count characters that are shown.
    fn part(&self, place: &Place, value: &Value, from: u64, start: &mut Start) -> Part {
        let mut value = value.clone();
        if self.audience == Audience::Model {
            shown::clean_value(&mut value, &mut start.hidden);
        }
        let whole = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let text: String = whole.chars().skip(usize::try_from(from).unwrap_or(usize::MAX)).collect();
        Part { what: place.what(), from, of: whole.chars().count() as u64, text }
    }
}

/// The items from `from` on; none when the list has become shorter.
fn rest<T>(all: Vec<T>, from: u64) -> Vec<T> {
    all.into_iter().skip(usize::try_from(from).unwrap_or(usize::MAX)).collect()
}
