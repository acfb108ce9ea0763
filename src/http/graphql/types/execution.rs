//! Executions. What a list knows is there at once; the rest of an execution is looked up when a field asks for it,
//! and once for all of them.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use super::scalars::{DateTime, Json};
use super::words::{self, EventType, Status};
use crate::error::Error;
use crate::handlers::execution_metrics;
use crate::handlers::execution_object::{ExecutionObject, ShownNode};
use crate::handlers::follow_execution::EventRecord;
use crate::handlers::list_executions::ListedExecution;
use crate::handlers::run_diagram::Waiting;
use crate::handlers::see_result::{Detail, Request, see_result};
use crate::http::graphql::caller::desk;
use crate::limits;

/// An execution.
pub struct ExecutionStateType {
    head: ListedExecution,
    whole: OnceCell<Arc<ExecutionObject>>,
}

impl ExecutionStateType {
    /// As a list shows it.
    pub fn listed(head: ListedExecution) -> Self {
        Self { head, whole: OnceCell::new() }
    }

    /// As a handler answered it: with less than everything, so the rest is looked up.
    pub fn shown(object: &ExecutionObject) -> Self {
        Self::listed(ListedExecution {
            execution_id: object.execution_id.clone(),
            status: object.status,
            pause_reason: object.pause_reason.clone(),
            diagram_id: object.diagram_id.clone(),
            started_at: object.started_at.clone().unwrap_or_default(),
            ended_at: object.ended_at.clone(),
            duration_ms: object.duration_ms,
            error_code: object.error.as_ref().and_then(|it| it["code"].as_str()).map(str::to_owned),
            kind: None,
        })
    }

    /// With everything.
    pub fn whole(object: ExecutionObject) -> Self {
        let Self { head, .. } = Self::shown(&object);
        Self { head, whole: OnceCell::new_with(Some(Arc::new(object))) }
    }

    async fn all(&self, context: &Context<'_>) -> Result<&ExecutionObject, Error> {
        let look = || async {
            let (app, caller) = desk(context);
            let request = everything(self.head.execution_id.clone());
            see_result(app, caller, request, Waiting::default()).await.map(Arc::new)
        };
        self.whole.get_or_try_init(look).await.map(Arc::as_ref)
    }
}

/// A request for all that can be shown of an execution.
pub fn everything(execution_id: String) -> Request {
    Request {
        execution_id,
        detail: Some(Detail::Full),
        max_chars: Some(limits::RESULT_CHARS_MAX),
        ..Request::default()
    }
}

/// An execution: one run of a diagram.
#[Object(rename_fields = "snake_case")]
impl ExecutionStateType {
    async fn id(&self) -> ID {
        ID::from(&self.head.execution_id)
    }

    async fn status(&self) -> Status {
        words::read(self.head.status.name()).unwrap_or(Status::Pending)
    }

    async fn diagram_id(&self) -> Option<ID> {
        self.head.diagram_id.as_ref().map(ID::from)
    }

    async fn started_at(&self) -> Option<&str> {
        Some(self.head.started_at.as_str()).filter(|it| !it.is_empty())
    }

    async fn ended_at(&self) -> Option<&str> {
        self.head.ended_at.as_deref()
    }

    /// Why it failed: code, node, message.
    async fn error(&self, context: &Context<'_>) -> Result<Option<String>> {
        if self.head.error_code.is_none() {
            return Ok(None);
        }
        Ok(self.all(context).await?.error.as_ref().map(error_text))
    }

    async fn llm_usage(&self, context: &Context<'_>) -> Result<Option<LlmUsageType>> {
        let usage = self.all(context).await?.llm_usage.as_ref();
        Ok(usage.map(|it| LlmUsageType {
            input: it.input_tokens as f64,
            output: it.output_tokens as f64,
            cached: None,
            total: Some(it.total_tokens as f64),
        }))
    }

    /// Whether it has not ended.
    async fn is_active(&self) -> Option<bool> {
        Some(!self.head.status.has_ended())
    }

    async fn executed_nodes(&self, context: &Context<'_>) -> Result<Vec<String>> {
        Ok(self.all(context).await?.executed_nodes.clone().unwrap_or_default())
    }

    /// Node id to `{status, label, type, iteration, …}`.
    async fn node_states(&self, context: &Context<'_>) -> Result<Json> {
        let nodes = self.all(context).await?.nodes.iter().flatten();
        let states: Map<String, Value> = nodes.map(|it| (it.node_id.clone(), node_state(it))).collect();
        Ok(Value::Object(states).into())
    }

    /// Node id to value.
    async fn node_outputs(&self, context: &Context<'_>) -> Result<Json> {
        Ok(Value::Object(self.all(context).await?.node_outputs.clone().unwrap_or_default()).into())
    }

    async fn variables(&self, context: &Context<'_>) -> Result<Option<Json>> {
        Ok(self.all(context).await?.variables.clone().map(|it| Value::Object(it).into()))
    }

    /// Node id to how often it ran.
    async fn exec_counts(&self, context: &Context<'_>) -> Result<Json> {
        Ok(Value::Object(self.all(context).await?.exec_counts.clone().unwrap_or_default()).into())
    }

    /// Where the time and the tokens went.
    async fn metrics(&self, context: &Context<'_>) -> Result<Option<Json>> {
        let (app, caller) = desk(context);
        let request = execution_metrics::Request { execution_id: self.head.execution_id.clone() };
        Ok(Some(json!(execution_metrics::execution_metrics(app, caller, request).await?).into()))
    }

    /// What it waits for when it is paused.
    async fn pause_reason(&self) -> Option<&str> {
        self.head.pause_reason.as_deref()
    }

    /// The questions that are open.
    async fn waiting_for(&self, context: &Context<'_>) -> Result<Vec<Json>> {
        let waiting = &self.all(context).await?.waiting_for;
        Ok(waiting.iter().map(|it| json!(it).into()).collect())
    }

    /// What was cut from long values, and where the whole is.
    async fn omitted(&self, context: &Context<'_>) -> Result<Vec<Json>> {
        let omitted = &self.all(context).await?.omitted;
        Ok(omitted.iter().map(|it| json!(it).into()).collect())
    }
}

/// Tokens.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(name = "LLMUsageType", rename_fields = "snake_case")]
pub struct LlmUsageType {
    pub input: f64,
    pub output: f64,
    pub cached: Option<f64>,
    pub total: Option<f64>,
}

fn error_text(error: &Value) -> String {
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    let node = if text("label").is_empty() { text("node") } else { text("label") };
    match node {
        "" => format!("{}: {}", text("code"), text("message")),
        node => format!("{} in `{node}`: {}", text("code"), text("message")),
    }
}

fn node_state(node: &ShownNode) -> Value {
    let mut state = json!({
        "status": node.status,
        "label": node.label,
        "type": node.node_type,
        "iteration": node.iterations,
    });
    let optional = [
        ("started_at", node.started_at.as_ref().map(|it| json!(it))),
        ("ended_at", node.ended_at.as_ref().map(|it| json!(it))),
        ("error", node.error.clone()),
        ("llm_usage", node.llm_usage.as_ref().map(|it| json!(it))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            state[name] = value;
        }
    }
    state
}

/// Which executions.
#[derive(InputObject, Clone, Debug, Default)]
#[graphql(rename_fields = "snake_case")]
pub struct ExecutionFilterInput {
    pub diagram_id: Option<ID>,
    pub status: Option<Status>,
    pub started_after: Option<DateTime>,
    pub started_before: Option<DateTime>,
}

/// What to run: exactly one of `diagram_id` and `diagram_data`.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct ExecuteDiagramInput {
    pub diagram_id: Option<ID>,
    /// A whole diagram: its text, or the object of the native form.
    pub diagram_data: Option<Json>,
    pub variables: Option<Json>,
    /// Pauses before breakpoints, and can be stepped.
    pub debug_mode: Option<bool>,
    /// How often each node may run (100).
    pub max_iterations: Option<i32>,
    /// Seconds of running time (3600).
    pub timeout_seconds: Option<i32>,
    /// Has no effect: every execution can be followed.
    pub use_unified_monitoring: Option<bool>,
}

/// What to do with an execution.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct ExecutionControlInput {
    pub execution_id: ID,
    /// pause, resume, abort, complete, answer, step, set_breakpoints, set_output, inspect.
    pub action: String,
    pub reason: Option<String>,
    /// By id or label; needed when several wait.
    pub node_id: Option<ID>,
    /// Answer, output, breakpoints or budget.
    pub value: Option<Json>,
}

/// An answer to a node that waits.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct InteractiveResponseInput {
    pub execution_id: ID,
    pub node_id: ID,
    /// A text; JSON where the node wants it.
    pub response: String,
    /// Has no effect.
    pub metadata: Option<Json>,
}

/// What became of a node, by somebody who runs it elsewhere.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct UpdateNodeStateInput {
    pub execution_id: ID,
    pub node_id: ID,
    pub status: Status,
    pub output: Option<Json>,
    pub error: Option<String>,
}

/// A run of the terminal that is to be shown.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct RegisterCliSessionInput {
    pub execution_id: ID,
    pub diagram_name: String,
    pub diagram_format: words::DiagramFormat,
    pub diagram_data: Option<Json>,
}

/// A run of the terminal that is no longer to be shown.
#[derive(InputObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct UnregisterCliSessionInput {
    pub execution_id: ID,
}

/// Something that happened to an execution.
#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub struct ExecutionUpdateType {
    #[graphql(name = "type")]
    pub kind: EventType,
    pub execution_id: ID,
    pub node_id: Option<ID>,
    pub status: Option<Status>,
    pub result: Option<Json>,
    pub error: Option<String>,
    pub timestamp: Option<String>,
    pub total_tokens: Option<f64>,
    pub node_type: Option<String>,
    pub tokens: Option<f64>,
    /// `seq` and everything that the event carries.
    pub data: Option<Json>,
}

impl ExecutionUpdateType {
    /// An event of the log in the words of the schema.
    ///
    /// # Errors
    ///
    /// `INTERNAL` for an event that the schema has no word for.
    pub fn of(record: EventRecord) -> Result<Self, Error> {
        let EventRecord { event, data, .. } = record;
        let kind = words::read(&event)
            .ok_or_else(|| Error::internal(format!("the schema has no word for the event `{event}`")))?;
        let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
        let tokens =
            data.get("meta").and_then(|it| it.get("llm_usage")).and_then(|it| it.get("total")).and_then(Value::as_f64);
        Ok(Self {
            kind,
            execution_id: ID::from(text("execution_id").unwrap_or_default()),
            node_id: text("node_id").map(ID::from),
            status: status_after(kind),
            result: result_of(&data).map(Json::from),
            error: data.get("error").filter(|it| !it.is_null()).map(error_text),
            timestamp: text("ts"),
            total_tokens: None,
            node_type: text("node_type"),
            tokens,
            data: Some(Value::Object(data).into()),
        })
    }
}

/// What an event makes of the execution, or of the node it is about.
fn status_after(kind: EventType) -> Option<Status> {
    match kind {
        EventType::ExecutionStarted | EventType::ExecutionResumed | EventType::NodeStarted | EventType::NodeRetry => {
            Some(Status::Running)
        }
        EventType::ExecutionCompleted | EventType::NodeCompleted => Some(Status::Completed),
        EventType::ExecutionError | EventType::NodeError => Some(Status::Failed),
        EventType::ExecutionAborted => Some(Status::Aborted),
        EventType::ExecutionPaused | EventType::InteractivePrompt => Some(Status::Paused),
        EventType::NodeSkipped => Some(Status::Skipped),
        EventType::NodeOutput
        | EventType::ExecutionLog
        | EventType::InteractiveResponse
        | EventType::ToolCallStarted
        | EventType::ToolCallFinished
        | EventType::Message
        | EventType::Token
        | EventType::Control
        | EventType::BudgetReserved
        | EventType::BudgetSettled => None,
    }
}

/// The value that an event brings: of a node its output, of an execution its outputs.
fn result_of(data: &Map<String, Value>) -> Option<Value> {
    if let Some(output) = data.get("output") {
        return Some(output.get("body").unwrap_or(output).clone());
    }
    data.get("outputs").cloned()
}
