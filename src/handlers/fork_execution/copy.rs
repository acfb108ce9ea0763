//! The log and the conversation that a fork begins with: the rows that are taken over, under its own id and with
//! the names its diagram has for the nodes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Past;
use super::names::Names;
use crate::clock::Timestamp;
use crate::engine::event::{ControlApplied, Event, ExecutionResumed, NodeCompleted, NodeStarted, StoredOutput};
use crate::engine::fork::{BY_FORK, Kept};
use crate::engine::journal::Transition;
use crate::error::Error;
use crate::handlers::launch;
use crate::ids::ExecutionId;
use crate::nodes::Published;
use crate::nodes::memory::message_id;
use crate::store::{MessageRow, Store, TransitionRow};

/// The new ids of messages, by the old ones.
pub(super) type MessageIds = HashMap<String, String>;

/// What is copied from where to where.
pub(super) struct Copying<'a> {
    pub past: &'a Past,
    pub fork: &'a ExecutionId,
    pub names: &'a Names,
    /// When the copies are written: the fork's own time begins now, whatever its nodes took elsewhere.
    pub now: Timestamp,
}

/// A value for the node from which a fork goes on.
pub(super) struct Given {
    pub node_id: Arc<str>,
    /// How it started in the execution that is taken over.
    pub started: NodeStarted,
    pub value: Value,
    /// Who gave it.
    pub by: String,
}

impl Copying<'_> {
    /// Copies what was said in the rounds that are taken over. What their children said stays with the children
    /// and is counted, so that what is said next comes behind it.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub(super) fn messages(&self, store: &Store, kept: &Kept) -> Result<(Vec<MessageRow>, MessageIds), Error> {
        let mut said: HashMap<(String, u32), Vec<MessageRow>> = HashMap::new();
        for row in store.get_execution_messages(&self.past.id, None, None)? {
            said.entry((row.message.node_id.clone(), row.message.iteration)).or_default().push(row);
        }
        let children = self.children();
        let (mut rows, mut ids) = (Vec::new(), MessageIds::new());
        let mut seq = self.past.options.inherits.unwrap_or(0) as u64;
        for round in &kept.done {
            let Some(named) = self.names.get(&round.node_id) else { continue };
            let key = (round.node_id.clone(), round.iteration);
            for (k, mut row) in said.remove(&key).unwrap_or_default().into_iter().enumerate() {
                seq += 1;
                let id = message_id(self.fork, (&named.id, round.iteration), k);
                ids.insert(std::mem::replace(&mut row.message.id, id.clone()), id);
                row.message.seq = seq;
                row.message.node_id = named.id.to_string();
                row.execution_id = self.fork.to_string();
                rows.push(row);
            }
            for child in children.get(&key).into_iter().flatten() {
                seq += launch::own_messages(store, &ExecutionId::parse(child)?)?.len() as u64;
            }
        }
        Ok((rows, ids))
    }

    /// The children that took part in each round.
    fn children(&self) -> HashMap<(String, u32), Vec<&str>> {
        let completed = self.past.log.iter().filter_map(|it| match &it.event {
            Event::NodeCompleted(completed) => Some((it.node_id.clone()?, completed)),
            _ => None,
        });
        let named =
            completed.filter_map(|(node, it)| Some(((node, it.iteration), it.meta.get("children")?.as_array()?)));
        named.map(|(key, children)| (key, children.iter().filter_map(Value::as_str).collect())).collect()
    }

    /// Adds the rows that are taken over to `log`, which holds the first event, then what is given to the node from
    /// which the fork goes on, and that it does.
    pub(super) fn log(&self, kept: &Kept, ids: &MessageIds, given: Option<&Given>, log: &mut Vec<Transition>) {
        for at in &kept.entries {
            let (row, event) = (&self.past.rows[*at], &self.past.log[*at].event);
            let Some(named) = row.node_id.as_ref().and_then(|it| self.names.get(it)) else { continue };
            let payload = self.payload(row, event, ids);
            self.push(log, Some(Arc::clone(&named.id)), event.phase(), payload);
        }
        for event in given.into_iter().flat_map(|it| self.given(it)) {
            let node_id = given.map(|it| Arc::clone(&it.node_id));
            self.push(log, node_id, event.phase(), event.payload());
        }
        let goes_on = Event::ExecutionResumed(ExecutionResumed { by: BY_FORK.to_owned() });
        self.push(log, None, goes_on.phase(), goes_on.payload());
    }

    fn push(&self, log: &mut Vec<Transition>, node_id: Option<Arc<str>>, phase: &'static str, payload: String) {
        let seq = log.len() as u64 + 1;
        log.push(Transition { seq, node_id, phase, payload, created_at: self.now });
    }

    /// The payload of a row with the fork's names for nodes and messages. Most rows name none and stay as they are.
    fn payload(&self, row: &TransitionRow, event: &Event, ids: &MessageIds) -> String {
        let names_messages = row.payload.contains(self.past.id.as_str());
        let names_nodes = matches!(event, Event::NodeStarted(_) | Event::NodeError(_));
        if !names_messages && !names_nodes {
            return row.payload.clone();
        }
        let Ok(mut payload) = serde_json::from_str::<Value>(&row.payload) else { return row.payload.clone() };
        if names_messages {
            rename_messages(&mut payload, ids);
        }
        match event {
            Event::NodeStarted(_) => self.rename_sources(&mut payload),
            Event::NodeError(_) => self.rename_failed(row, &mut payload),
            _ => {}
        }
        payload.to_string()
    }

    /// Inputs say where they came from: `<node id>:<iteration>`.
    fn rename_sources(&self, payload: &mut Value) {
        for source in
            payload.get_mut("inputs").and_then(Value::as_object_mut).into_iter().flat_map(|it| it.values_mut())
        {
            let renamed = source.as_str().and_then(|it| self.source(it));
            if let Some(renamed) = renamed {
                *source = renamed.into();
            }
        }
    }

    fn source(&self, source: &str) -> Option<String> {
        let (node, iteration) = source.rsplit_once(':')?;
        Some(format!("{}:{iteration}", self.names.get(node)?.id))
    }

    fn rename_failed(&self, row: &TransitionRow, payload: &mut Value) {
        let named = row.node_id.as_ref().and_then(|it| self.names.get(it));
        let error = payload.get_mut("error").and_then(Value::as_object_mut);
        if let (Some(named), Some(error)) = (named, error) {
            error.insert("node".into(), Value::from(&*named.label));
            error.insert("node_id".into(), Value::from(&*named.id));
        }
    }

    /// The node starts, so that it takes its tokens, and has its value.
    fn given(&self, given: &Given) -> [Event; 3] {
        let Given { started, value, by, .. } = given;
        let renamed = |(name, source): (&String, &String)| (name.clone(), self.source(source).unwrap_or_default());
        let inputs: BTreeMap<String, String> = started.inputs.iter().map(renamed).collect();
        let started = NodeStarted { attempt: 1, inputs, ..started.clone() };
        let completed = NodeCompleted {
            iteration: started.iteration,
            attempt: 1,
            output: StoredOutput { body: Arc::new(value.clone()), forms: None },
            handles: Published::Normal,
            duration_ms: 0,
            store_ms: 0,
            meta: Map::new(),
            variables: Map::new(),
            exposed: Map::new(),
            warnings: Vec::new(),
        };
        let control = ControlApplied::new("set_output", by);
        [Event::Control(control), Event::NodeStarted(started), Event::NodeCompleted(completed)]
    }
}

/// Conversations that a value carries name their messages; a person is shown none twice because of that.
fn rename_messages(value: &mut Value, ids: &MessageIds) {
    match value {
        Value::String(text) => {
            if let Some(id) = ids.get(text.as_str()) {
                text.clone_from(id);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| rename_messages(it, ids)),
        Value::Object(map) => map.values_mut().for_each(|it| rename_messages(it, ids)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
