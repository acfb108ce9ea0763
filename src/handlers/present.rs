//! Builds the execution object from the store: the last event of an ended execution, the fold of the log of
//! an open one. What is too long is cut, counted and linked.

mod adopted;
mod cursor;
mod fit;
mod for_model;
mod pages;

use serde_json::{Map, Value, json};

use self::cursor::Place;
use super::caller::Door;
use super::execution_object::{
    ExecutionObject, Inspection, Progress, RunWarning, ShownAnswer, ShownBudget, ShownEvent, ShownMessage, ShownNode,
    ShownUsage, Waiting,
};
use super::launch::fold;
use super::see_result::Detail;
use super::wait::not_found;
use super::{App, Caller};
use crate::engine::Status;
use crate::engine::event::{Closing, Event, ForkedFrom, SpentBudget, TokenUsage, Warning};
use crate::engine::state::{ExecutionState, GivenAnswer, NodeState};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::limits;
use crate::nodes::PauseReason;
use crate::nodes::budget::Scope;
use crate::shown::Hidden;
use crate::store::{ExecutionHead, MessageRow, Store};

pub use self::cursor::Cursor;
pub use self::for_model::{NOTICE, scrub_texts, warning};

/// Who reads what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// The whole object, byte for byte as it is stored (surface.md 1.4).
    Program,
    /// What a model needs to go on: nothing twice, foreign text cleaned and marked as data.
    Model,
}

impl Audience {
    /// Whoever comes by the protocol reads as a model does; at the terminal and over plain HTTP programs read.
    pub fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Terminal { .. } => Self::Program,
            Caller::Client(client) => match client.door {
                Door::Mcp | Door::Elicitation | Door::Sampling | Door::Task => Self::Model,
                Door::Http => Self::Program,
            },
        }
    }
}

/// How much of an execution to show, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub audience: Audience,
    pub detail: Detail,
    /// Only this node, by id or label.
    pub node: Option<String>,
    pub max_chars: usize,
    /// Also the events after this one.
    pub since_seq: Option<u64>,
    /// Nothing but what this names.
    pub cursor: Option<Cursor>,
}

impl View {
    /// The short form, for whoever calls.
    pub fn of(caller: &Caller) -> Self {
        Self { audience: Audience::of(caller), ..Self::default() }
    }
}

impl Default for View {
    fn default() -> Self {
        Self {
            audience: Audience::Program,
            detail: Detail::Summary,
            node: None,
            max_chars: limits::RESULT_CHARS_DEFAULT,
            since_seq: None,
            cursor: None,
        }
    }
}

/// Where the lists and texts that are shown begin, and what was taken out of them already.
#[derive(Default)]
struct Start {
    conversation: u64,
    /// The node whose conversation it is.
    node: Option<String>,
    nodes: u64,
    part: Option<Place>,
    hidden: Hidden,
}

/// Returns the execution as the store has it.
///
/// # Errors
///
/// `EXECUTION_NOT_FOUND`, `NODE_NOT_FOUND`, `INVALID_CURSOR`, what the database says.
pub fn execution(app: &App, id: &ExecutionId, view: &View) -> Result<ExecutionObject, Error> {
    inspected(app, id, view, None)
}

/// As [`execution`], with what was found inside it.
///
/// # Errors
///
/// As [`execution`].
pub fn inspected(
    app: &App,
    id: &ExecutionId,
    view: &View,
    inspection: Option<Box<Inspection>>,
) -> Result<ExecutionObject, Error> {
    let store = app.store()?;
    let row = store.head(id)?.ok_or_else(|| not_found(id))?;
    let mut object = base(&row);
    let mut start = Start::default();
    let is_brief =
        view.detail == Detail::Summary && view.node.is_none() && view.since_seq.is_none() && view.cursor.is_none();
    if is_brief && let Some(closing) = closing_of(store, id, &row)? {
        close(&mut object, &closing);
    } else {
        let mut state = ExecutionState::new();
        fold(&mut state, store.transitions(id, 0, None)?)?;
        if row.status.has_ended() && state.status == Status::Pending {
            adopted::describe(&mut object, store, id, view.detail)?;
        } else if let Some(cursor) = &view.cursor {
            let book = pages::Book { state: &state, store, id, audience: view.audience };
            book.turn(&mut object, cursor, &mut start)?;
        } else {
            describe(&mut object, &state, store, id)?;
            add_detail(&mut object, &state, store, id, view)?;
            start.node = view.node.as_ref().and_then(|it| state.find(it)).map(|it| state.nodes[it].outline.id.clone());
        }
    }
    if view.cursor.is_none() {
        object.parent_execution_id.clone_from(&row.parent_execution_id);
        object.parent_relation.clone_from(&row.parent_relation);
        object.forked_from = forked_from(store, id, &row)?;
        object.children = store.children(id)?.into_iter().map(|it| it.execution_id).collect();
        object.next = next_step(&object, view.audience);
    }
    object.inspection = inspection;
    if view.audience == Audience::Model {
        for_model::shape(&mut object, view);
        object = for_model::cleaned(object, app.scrubber(), start.hidden)?;
    }
    fit::fit(&mut object, view.max_chars, &start);
    Ok(object)
}

/// What the row alone says.
fn base(row: &ExecutionHead) -> ExecutionObject {
    ExecutionObject {
        data_notice: None,
        execution_id: row.execution_id.to_string(),
        session_id: Some(row.execution_id.to_string()),
        status: row.status,
        diagram_id: row.diagram_id.clone(),
        revision: row.revision,
        outputs: None,
        final_output: None,
        executed_nodes_count: Some(0),
        messages_count: Some(0),
        last_message: None,
        llm_usage: None,
        budget: None,
        started_at: Some(row.started_at.to_rfc3339()),
        ended_at: row.ended_at.map(|it| it.to_rfc3339()),
        duration_ms: row.ended_at.map(|it| it.since_ms(row.started_at)),
        warnings: Vec::new(),
        pause_reason: row.pause_reason.clone(),
        waiting_for: Vec::new(),
        error: None,
        handled_errors: Vec::new(),
        skipped_nodes: Vec::new(),
        recovered: None,
        parent_execution_id: None,
        parent_relation: None,
        forked_from: None,
        children: Vec::new(),
        repeats: None,
        progress: None,
        next: None,
        omitted: Vec::new(),
        executed_nodes: None,
        node_outputs: None,
        nodes: None,
        conversation: None,
        variables: None,
        exec_counts: None,
        events: None,
        last_seq: None,
        part: None,
        inspection: None,
    }
}

/// From where a fork went on.
///
/// # Errors
///
/// What the database says.
pub(super) fn forked_from(store: &Store, id: &ExecutionId, row: &ExecutionHead) -> Result<Option<ForkedFrom>, Error> {
    let first = if row.is_fork() { store.transitions(id, 0, Some(1))?.pop() } else { None };
    let event = first.map(|it| Event::parse(&it.phase, &it.payload)).transpose()?.flatten();
    Ok(match event {
        Some(Event::ExecutionStarted(started)) => started.forked_from,
        _ => None,
    })
}

/// The last event of an ended execution.
fn closing_of(store: &Store, id: &ExecutionId, row: &ExecutionHead) -> Result<Option<Closing>, Error> {
    if !row.status.has_ended() {
        return Ok(None);
    }
    let Some(last) = store.transitions(id, row.last_seq.saturating_sub(1), Some(1))?.pop() else {
        return Ok(None);
    };
    Ok(match Event::parse(&last.phase, &last.payload)? {
        Some(Event::ExecutionCompleted(it) | Event::ExecutionError(it) | Event::ExecutionAborted(it)) => Some(it),
        _ => None,
    })
}

fn close(object: &mut ExecutionObject, closing: &Closing) {
    set_outputs(object, closing.outputs.clone().unwrap_or_default());
    object.executed_nodes_count = Some(closing.counts.len() as u64);
    object.messages_count = Some(closing.messages_count);
    object.last_message = closing.last_message.as_ref().map(|it| ShownMessage {
        id: None,
        role: it.role.clone(),
        content: it.content.clone(),
        from: None,
        to: None,
        person_id: None,
        node_id: it.node_id.clone(),
        iteration: None,
        timestamp: it.timestamp.clone(),
    });
    object.llm_usage = shown_usage(closing.llm_usage);
    object.budget = shown_budget(&closing.budgets);
    object.error.clone_from(&closing.error);
    object.handled_errors.clone_from(&closing.handled_errors);
    object.skipped_nodes.clone_from(&closing.skipped);
    object.recovered = closing.recovered;
    object.warnings = closing.warnings.iter().map(shown_warning).collect();
}

/// Describes an execution from the fold of its log.
fn describe(
    object: &mut ExecutionObject,
    state: &ExecutionState,
    store: &Store,
    id: &ExecutionId,
) -> Result<(), Error> {
    if let Some(closing) = &state.closing {
        close(object, closing);
        return Ok(());
    }
    set_outputs(object, state.outputs());
    object.executed_nodes_count = Some(state.executed.len() as u64);
    object.llm_usage = shown_usage(state.usage);
    object.budget = shown_budget(&state.spent_budgets(state.last_at()));
    object.handled_errors.clone_from(&state.handled_errors);
    object.recovered = (state.recovered > 0).then_some(state.recovered);
    object.warnings = state.warnings.iter().map(shown_warning).collect();
    object.progress = Some(Progress { done: state.done, total: state.total });
    object.pause_reason = state.pause_reason().map(|it| it.name().to_owned());
    object.waiting_for = state.open_questions().iter().map(|(idx, _)| waiting(&state.nodes[*idx])).collect();
    let messages = store.get_execution_messages(id, None, None)?;
    object.messages_count = Some(messages.len() as u64);
    Ok(())
}

/// The result of an execution: its only output, else the map of them (diagrams.md 5.6).
pub fn result_of(outputs: &Map<String, Value>) -> Option<Value> {
    match outputs.len() {
        0 => None,
        1 => outputs.values().next().cloned(),
        _ => Some(Value::Object(outputs.clone())),
    }
}

fn set_outputs(object: &mut ExecutionObject, outputs: Map<String, Value>) {
    object.final_output = result_of(&outputs);
    object.outputs = (!outputs.is_empty()).then_some(outputs);
}

/// A question as results show it; only of nodes that wait.
pub(super) fn waiting(node: &NodeState) -> Waiting {
    let waiting = node.waiting.as_ref().expect("only waiting nodes are listed");
    let question = &waiting.question;
    Waiting {
        node_id: node.outline.id.clone(),
        label: node.outline.label.clone(),
        question: (question.reason == PauseReason::Model).then(|| waiting.name(&node.outline.id)),
        reason: question.reason.name().to_owned(),
        prompt: question.prompt.clone(),
        messages: question.messages.iter().map(|it| json!(it)).collect(),
        person: question.person.clone(),
        schema: question.schema.clone(),
        options: question.options.clone(),
        human_only: question.human_only,
        execution_id: question.child.as_ref().map(|it| it.execution_id.clone()),
        since: waiting.since.to_rfc3339(),
        deadline: question.deadline.map(|it| it.to_rfc3339()),
    }
}

fn add_detail(
    object: &mut ExecutionObject,
    state: &ExecutionState,
    store: &Store,
    id: &ExecutionId,
    view: &View,
) -> Result<(), Error> {
    if let Some(since_seq) = view.since_seq {
        let found = events(state, store, id, since_seq)?;
        object.last_seq = Some(found.last().map_or(since_seq, |it| it.seq));
        object.events = Some(found);
    }
    if let Some(reference) = &view.node {
        let idx = state.find(reference).ok_or_else(|| {
            let labels: Vec<&str> = state.nodes.iter().map(|it| it.outline.label.as_str()).collect();
            Error::not_found("NODE_NOT_FOUND", format!("the diagram has no node `{reference}`"))
                .hint(format!("its nodes are: {}", labels.join(", ")))
        })?;
        object.nodes = Some(vec![shown_node(&state.nodes[idx])]);
        object.conversation = Some(conversation(store, id, Some(&state.nodes[idx].outline.id))?);
        return Ok(());
    }
    if matches!(view.detail, Detail::Outputs | Detail::Full) {
        let outputs = state
            .nodes
            .iter()
            .filter_map(|it| it.output.as_ref().map(|value| (it.outline.id.clone(), Value::clone(value))));
        object.node_outputs = Some(outputs.collect());
    }
    if matches!(view.detail, Detail::Conversation | Detail::Full) {
        object.conversation = Some(conversation(store, id, None)?);
    }
    if view.detail == Detail::Full {
        object.executed_nodes = Some(state.executed.iter().map(|it| state.nodes[*it].outline.id.clone()).collect());
        object.nodes = Some(state.nodes.iter().map(shown_node).collect());
        object.variables = Some(state.variables.clone());
        object.exec_counts = Some(state.counts());
        if let Some(usage) = &mut object.llm_usage {
            usage.by_person = Some(usage_by_person(state)).filter(|it| !it.is_empty());
        }
    }
    Ok(())
}

/// The stored conversation, of one node or of all.
///
/// # Errors
///
/// What the database says.
pub fn conversation(store: &Store, id: &ExecutionId, node_id: Option<&str>) -> Result<Vec<ShownMessage>, Error> {
    let rows = match node_id {
        Some(node_id) => store.get_node_messages(id, node_id)?,
        None => store.get_execution_messages(id, None, None)?,
    };
    Ok(rows.into_iter().map(shown_message).collect())
}

/// A message as results show it.
pub(super) fn shown_message(row: MessageRow) -> ShownMessage {
    ShownMessage {
        id: Some(row.message.id),
        role: row.message.role,
        content: row.message.content,
        from: Some(row.message.from),
        to: Some(row.message.to),
        person_id: Some(row.message.person_id),
        node_id: row.message.node_id,
        iteration: Some(row.message.iteration),
        timestamp: row.created_at.to_rfc3339(),
    }
}

/// The log after `since_seq`, in short.
fn events(state: &ExecutionState, store: &Store, id: &ExecutionId, since_seq: u64) -> Result<Vec<ShownEvent>, Error> {
    let label = |id: String| state.node_idx(&id).map_or(id, |it| state.nodes[it].outline.label.clone());
    let rows = store.transitions(id, since_seq, None)?.into_iter();
    rows.map(|row| {
        let message = match Event::parse(&row.phase, &row.payload)? {
            Some(Event::ExecutionLog(it)) => Some(it.message),
            Some(Event::NodeError(it)) => it.error.get("code").and_then(Value::as_str).map(str::to_owned),
            // What the others carry is long, or stands in the rest of the result.
            _ => None,
        };
        let (node, at) = (row.node_id.map(label), row.created_at.to_rfc3339());
        Ok(ShownEvent { seq: row.seq, phase: row.phase, node, message, at })
    })
    .collect()
}

fn shown_node(node: &NodeState) -> ShownNode {
    ShownNode {
        node_id: node.outline.id.clone(),
        label: node.outline.label.clone(),
        node_type: node.outline.kind.clone(),
        status: node.status,
        iterations: node.started,
        started_at: node.started_at.map(|it| it.to_rfc3339()),
        ended_at: node.ended_at.map(|it| it.to_rfc3339()),
        duration_ms: node.duration_ms,
        output: node.output.as_ref().map(|it| Value::clone(it)),
        error: node.error.clone(),
        llm_usage: node.usage.and_then(shown_usage),
        answers: node.answers.iter().map(shown_answer).collect(),
    }
}

fn shown_answer(answer: &GivenAnswer) -> ShownAnswer {
    ShownAnswer { iteration: answer.iteration, by: answer.by.clone(), at: answer.at.to_rfc3339() }
}

/// Tokens and cost as results show them.
pub(super) fn shown_usage(usage: TokenUsage) -> Option<ShownUsage> {
    let is_billed = usage.cost_usd.is_some() || usage.unpriced_calls > 0;
    (usage.total > 0 || is_billed).then(|| ShownUsage {
        input_tokens: usage.input,
        output_tokens: usage.output,
        total_tokens: usage.total,
        cost_usd: usage.cost_usd.map(rounded),
        unpriced_calls: Some(usage.unpriced_calls).filter(|it| *it > 0),
        by_person: None,
    })
}

fn shown_budget(budgets: &[SpentBudget]) -> Option<ShownBudget> {
    let mut shown = ShownBudget::default();
    for it in budgets {
        let both = || json!({"limit": it.limit, "spent": it.spent});
        match &it.scope {
            Scope::Run => (shown.limit, shown.spent) = (it.limit.clone(), it.spent.clone()),
            Scope::Person(id) => drop(shown.persons.insert(id.clone(), both())),
            Scope::Node(id) => drop(shown.nodes.insert(id.clone(), both())),
        }
    }
    (!budgets.is_empty()).then_some(shown)
}

/// A billionth of a dollar is enough; sums of prices have digits that mean nothing.
pub(super) fn rounded(usd: f64) -> f64 {
    (usd * 1e9).round() / 1e9
}

fn usage_by_person(state: &ExecutionState) -> Map<String, Value> {
    let by_person = state.usage_by_person.iter();
    by_person.filter_map(|(person, usage)| Some((person.clone(), json!(shown_usage(*usage)?)))).collect()
}

fn shown_warning(warning: &Warning) -> RunWarning {
    RunWarning {
        code: warning.code.clone(),
        node: warning.node.clone(),
        name: warning.name.clone(),
        message: warning.message.clone(),
    }
}

/// The exact next call: for a model the tool's, for others the command's too.
fn next_step(object: &ExecutionObject, audience: Audience) -> Option<String> {
    let id = &object.execution_id;
    let (call, command) = match object.status {
        Status::Pending | Status::Running => (
            format!("see_result {{\"execution_id\":\"{id}\",\"wait_seconds\":20}}"),
            format!("dipeo results {id} --wait"),
        ),
        Status::Paused if is_paused_as_a_whole(object) => (
            format!("control_execution {{\"execution_id\":\"{id}\",\"action\":\"resume\"}}"),
            format!("dipeo control {id} resume"),
        ),
        Status::Paused => {
            let first = object.waiting_for.first()?;
            let reason = first.reason.as_str();
            let goes_on = is_decided_by_operator(reason);
            let (action, value, typed) = match reason {
                _ if goes_on => ("resume", "", ""),
                "budget" => ("resume", ",\"value\":…", " BUDGET"),
                _ => ("answer", ",\"value\":…", " VALUE"),
            };
            // Any of them names the node; a label is nicer to read as long as it is one.
            let is_short = first.label.chars().count() <= LABEL_CHARS_MAX;
            let node = first.question.as_ref().unwrap_or(if is_short { &first.label } else { &first.node_id });
            let node = serde_json::to_string(node).unwrap_or_default();
            let at_terminal = format!("dipeo control {id} {action}{typed} --node {node}");
            if first.human_only {
                return Some(format!("only a person may answer: the user, in a form or with: {at_terminal}"));
            }
            (
                format!(
                    "control_execution {{\"execution_id\":\"{id}\",\"action\":\"{action}\",\"node\":{node}{value}}}"
                ),
                at_terminal,
            )
        }
        _ => return None,
    };
    Some(match audience {
        Audience::Model => call,
        Audience::Program => format!("{call}, or: {command}"),
    })
}

/// Whether an operator paused the execution, and not one of its nodes waits for one.
fn is_paused_as_a_whole(object: &ExecutionObject) -> bool {
    object.pause_reason.as_deref() == Some(PauseReason::Operator.name())
        && !object.waiting_for.iter().any(|it| is_decided_by_operator(&it.reason))
}

/// Whether `resume` or `set_output` decides a question, and no answer.
pub(super) fn is_decided_by_operator(reason: &str) -> bool {
    reason == PauseReason::Operator.name() || reason == PauseReason::Breakpoint.name()
}

/// Longest label that the next call repeats, in characters.
const LABEL_CHARS_MAX: usize = 60;
