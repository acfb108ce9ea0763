//! What an execution did, step by step, from its log and its conversation.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::Compared;
use super::sides::Execution;
use crate::engine::event::{Event, TokenUsage};
use crate::engine::state::ExecutionState;
use crate::error::Error;
use crate::handlers::{launch, present};
use crate::nodes::{PauseReason, Published};
use crate::store::{Store, TransitionRow};

/// An execution, told.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub compared: Compared,
    /// Every node of its diagram, in file order.
    pub nodes: Vec<Told>,
    /// In the order in which they came to an end.
    pub steps: Vec<Step>,
}

/// What became of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    pub label: String,
    pub status: &'static str,
    pub runs: u32,
    pub usage: Option<TokenUsage>,
}

/// One run of a node that came to an end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub label: String,
    pub iteration: u32,
    pub outcome: Outcome,
    /// What the model or the person was asked.
    pub prompt: Option<String>,
    pub duration_ms: Option<i64>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Value(Arc<Value>, Published),
    /// The error object.
    Failed(Value),
}

/// Tells both executions. Where they name themselves or each other, they say the same.
///
/// # Errors
///
/// What the database says.
pub(super) fn both(store: &Store, a: &Execution, b: &Execution) -> Result<(Story, Story), Error> {
    let ids = [a.id.as_str(), b.id.as_str()];
    Ok((tell(store, a, ids)?, tell(store, b, ids)?))
}

/// What stands in both stories for either id.
const ITSELF: &str = "exec_…";

fn same_for_both(text: &str, ids: [&str; 2]) -> String {
    ids.iter().fold(text.to_owned(), |text, id| text.replace(id, ITSELF))
}

fn tell(store: &Store, execution: &Execution, ids: [&str; 2]) -> Result<Story, Error> {
    let mut prompts = prompts(store, execution, ids)?;
    let (mut state, mut steps) = (ExecutionState::new(), Vec::<Step>::new());
    for row in store.transitions(&execution.id, 0, None)? {
        let row = TransitionRow { payload: same_for_both(&row.payload, ids), ..row };
        let Some(entry) = launch::entry(row)? else { continue };
        let node = entry.node_id.as_deref().and_then(|it| state.node_idx(it));
        state.apply(&entry.event, node, entry.at);
        let (Some(node), Some(node_id)) = (node, entry.node_id) else { continue };
        if let Event::InteractivePrompt(it) = &entry.event
            && !matches!(it.question.reason, PauseReason::Breakpoint | PauseReason::Operator)
        {
            prompts.entry((node_id, it.iteration)).or_insert_with(|| it.question.prompt.clone());
            continue;
        }
        let (iteration, outcome) = match entry.event {
            Event::NodeCompleted(it) => (it.iteration, Outcome::Value(it.output.body, it.handles)),
            Event::NodeError(it) => (it.iteration, Outcome::Failed(it.error)),
            _ => continue,
        };
        let told = &state.nodes[node];
        let step = Step {
            label: told.outline.label.clone(),
            iteration,
            outcome,
            prompt: prompts.get(&(node_id, iteration)).cloned(),
            duration_ms: told.duration_ms,
        };
        // A failure that was repaired later is no step of its own.
        match steps.iter_mut().find(|it| it.label == step.label && it.iteration == iteration) {
            Some(earlier) => *earlier = step,
            None => steps.push(step),
        }
    }
    let nodes = state.nodes.iter().map(|it| Told {
        label: it.outline.label.clone(),
        status: it.status.name(),
        runs: it.started,
        usage: it.usage,
    });
    Ok(Story { nodes: nodes.collect(), steps, compared: compared(store, execution, &state)? })
}

fn compared(store: &Store, execution: &Execution, state: &ExecutionState) -> Result<Compared, Error> {
    let head = &execution.row.head;
    Ok(Compared {
        name: execution.id.to_string(),
        diagram_id: head.diagram_id.clone(),
        status: Some(head.status),
        duration_ms: head.ended_at.map(|it| it.since_ms(head.started_at)),
        llm_usage: present::shown_usage(state.usage),
        forked_from: present::forked_from(store, &execution.id, head)?,
    })
}

/// What was asked in each round, as it was sent: the messages that are no reply of the person.
fn prompts(store: &Store, execution: &Execution, ids: [&str; 2]) -> Result<HashMap<(String, u32), String>, Error> {
    let mut prompts: HashMap<(String, u32), String> = HashMap::new();
    for row in store.get_execution_messages(&execution.id, None, None)? {
        let it = row.message;
        if it.role != "user" || it.from == it.person_id {
            continue;
        }
        let prompt = prompts.entry((it.node_id, it.iteration)).or_default();
        if !prompt.is_empty() {
            prompt.push_str("\n\n");
        }
        prompt.push_str(&same_for_both(&it.content, ids));
    }
    Ok(prompts)
}
