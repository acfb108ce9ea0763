//! `sub_diagram`: runs another diagram as an execution of its own and publishes its result (diagrams.md 2.13).
//! It must not know how executions are stored: children are started through the port.

mod mapping;
mod read;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use self::mapping::Mapping;
use super::batch::{Batch, Item};
use super::content;
use super::lookup::look_into;
use super::ports::children::{ChildEnd, ChildRequest, ChildSource, ChildState};
use super::template::{self, Template};
use super::{Effect, FieldSpec, Names, Node, NodeContext, NodeType, Outcome, Output, Preset, Question, Shape};
use crate::diagram::{Format, NodeKind};
use crate::error::Error;
use crate::ids::ExecutionId;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::SubDiagram,
    summary: "Runs another diagram and publishes its result.",
    fields: &[
        FieldSpec::new("diagram_name", Shape::Template, "The diagram to run, looked for beside this one first."),
        FieldSpec::new("diagram_data", Shape::Any, "The diagram itself, as a mapping or a text, instead of a name."),
        FieldSpec::new(
            "diagram_format",
            Shape::Choice(&["light", "readable", "native"]),
            "Its format, if not detected.",
        ),
        FieldSpec::new("input_mapping", Shape::Map, "Child variable to a path in this node's names."),
        FieldSpec::new("output_mapping", Shape::Map, "Name to a path in the child's result."),
        FieldSpec::new("pass_input_data", Shape::Bool, "Also pass this run's variables, below the inputs.")
            .or(Preset::Bool(false)),
        FieldSpec::new("isolate_conversation", Shape::Bool, "The child's memory is its own.").or(Preset::Bool(false)),
        FieldSpec::new("ignore_if_sub", Shape::Bool, "Hand the input on when this run is itself a child.")
            .or(Preset::Bool(false)),
        FieldSpec::new("wait_for_completion", Shape::Bool, "false: publish `{execution_id}` at once.")
            .or(Preset::Bool(true)),
        FieldSpec::new(
            "budget",
            Shape::Map,
            "What the model calls of its children may spend: `{usd, tokens, calls, seconds}`.",
        ),
        FieldSpec::new("batch", Shape::Bool, "Run one child for each item of a list.").or(Preset::Bool(false)),
        FieldSpec::new("batch_input_key", Shape::Text, "The input that holds the list.").or(Preset::Text("items")),
        FieldSpec::new("batch_parallel", Shape::Bool, "false: one item after the other.").or(Preset::Bool(true)),
        FieldSpec::new("max_concurrent", Shape::Whole(1), "Items that run at the same moment.").or(Preset::Whole(10)),
        FieldSpec::new("on_item_error", Shape::Choice(&["fail", "continue"]), "What a failing item does.")
            .or(Preset::Text("fail")),
    ],
    read: read::read,
};

struct SubDiagram {
    diagram: Which,
    format: Option<Format>,
    input_mapping: Option<Mapping>,
    output_mapping: Option<Mapping>,
    passes_variables: bool,
    is_isolated: bool,
    ignores_if_child: bool,
    is_awaited: bool,
    batch: Option<Batch>,
}

/// The diagram to run.
enum Which {
    Named(Template),
    Text(String),
    /// It could not be read; the diagram does not run.
    None,
}

impl Node for SubDiagram {
    fn effect(&self) -> Effect {
        Effect::Outside
    }

    fn is_batch(&self) -> bool {
        self.batch.is_some()
    }

    fn calls_models(&self) -> bool {
        self.is_awaited
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            if self.ignores_if_child && cx.is_child {
                return Ok(Outcome::Done(Output { body: cx.names.inputs.passed_on(), ..Output::default() }));
            }
            match &self.batch {
                None => self.run_child(cx, place(cx, None)).await,
                Some(batch) => {
                    let outcome = batch.run(cx, &|cx, item| self.run_item(cx, item)).await?;
                    self.with_memories(cx, outcome).await
                }
            }
        })
    }

    fn resume<'a>(
        &'a self,
        cx: &'a NodeContext,
        _question: &'a Question,
        _answer: Value,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        // The child that waited goes on or has ended: starting it again finds it.
        self.run(cx)
    }

    fn check_answer(&self, question: &Question, _answer: Value) -> Result<Value, Error> {
        let child = question.child.as_ref().map_or("the child", |it| &it.execution_id);
        Err(Error::conflict("NOT_PAUSED", format!("the question belongs to the child execution `{child}`"))
            .hint("answer it there; this node goes on by itself then"))
    }
}

impl SubDiagram {
    fn run_item(&self, cx: NodeContext, item: Item) -> BoxFuture<'_, Result<Outcome, Error>> {
        Box::pin(async move {
            let place = place(&cx, Some(item.index));
            self.run_child(&with_fields_of(cx, &item.value), place).await
        })
    }

    /// Starts the child and waits for it; a child that waits for somebody makes this node wait.
    async fn run_child(&self, cx: &NodeContext, place: String) -> Result<Outcome, Error> {
        let request = self.request(cx, place)?;
        let children = &cx.ports.children;
        let child = children.start(request).await?;
        if !self.is_awaited {
            let mut output = Output::value(json!({"execution_id": child.as_str()}));
            output.meta.insert("execution_id".into(), child.as_str().into());
            return Ok(Outcome::Done(output));
        }
        let mut guard = Guard { cx, child: Some(child.clone()) };
        let state = children.settled(&child).await?;
        guard.child = None;
        match state {
            ChildState::Waits(question) => Ok(Outcome::Wait(question)),
            ChildState::Ended(end) => {
                let output = self.output(&child, *end)?;
                if self.batch.is_some() {
                    return Ok(Outcome::Done(output));
                }
                self.with_memories(cx, Outcome::Done(output)).await
            }
        }
    }

    fn request(&self, cx: &NodeContext, place: String) -> Result<ChildRequest, Error> {
        let source = match &self.diagram {
            Which::Named(name) => {
                let name = template::render(cx, name, &Map::new())?;
                ChildSource::Named { name: name.trim().to_owned(), format: self.format }
            }
            Which::Text(text) => ChildSource::Text { text: text.clone(), format: self.format },
            Which::None => return Err(Error::internal("a sub_diagram without a diagram")),
        };
        Ok(ChildRequest {
            parent: cx.execution_id.clone(),
            place,
            source,
            variables: self.variables(cx),
            inherits: (!self.is_isolated).then(|| cx.messages.len()),
            rights: Arc::clone(&cx.rights),
            models: cx.models_override,
            strict: cx.strict_templates,
            mode: cx.mode,
            is_awaited: self.is_awaited,
            goes_on: cx.goes_on,
            replay_of: None,
            // What nobody waits for goes on when this run has ended, and pays for itself.
            purse: cx.purse.clone().filter(|_| self.is_awaited),
        })
    }

    /// The child's variables: what the mapping names; without one the fields of the unlabelled input, then
    /// the labelled inputs.
    fn variables(&self, cx: &NodeContext) -> Map<String, Value> {
        let mut variables = if self.passes_variables { cx.names.globals() } else { Map::new() };
        if let Some(mapping) = &self.input_mapping {
            variables.extend(mapping.values(cx));
            return variables;
        }
        for key in ["first", "default"] {
            match cx.names.inputs.get(key).map(|it| look_into(it).into_owned()) {
                Some(Value::Object(fields)) => variables.extend(fields),
                Some(other) => drop(variables.insert(key.to_owned(), other)),
                None => {}
            }
        }
        let labelled = cx.names.inputs.iter().filter(|(key, _)| !matches!(*key, "first" | "default"));
        variables.extend(labelled.map(|(key, value)| (key.to_owned(), Value::clone(value))));
        variables
    }

    fn output(&self, child: &ExecutionId, end: ChildEnd) -> Result<Output, Error> {
        if let Some(error) = end.error {
            let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let what = format!("the child execution `{child}` failed: {} {}", text("code"), text("message"));
            return Err(Error::external("SUB_DIAGRAM_FAILED", what)
                .hint(format!("look at it with `dipeo results {child}`"))
                .details(json!({"execution_id": child.as_str()}))
                .cause(error));
        }
        let body = match &self.output_mapping {
            None => end.result,
            Some(mapping) => Value::Object(mapping.picked(&end.result)),
        };
        let mut output = Output::value(body);
        output.meta.insert("execution_id".into(), child.as_str().into());
        if let Some(usage) = end.llm_usage {
            output.meta.insert("llm_usage".into(), usage);
        }
        if let Some(cost) = end.cost {
            output.meta.insert("cost".into(), cost);
        }
        Ok(output)
    }

    /// Adds what the children said to what this run remembers, in the order of the items.
    async fn with_memories(&self, cx: &NodeContext, outcome: Outcome) -> Result<Outcome, Error> {
        let Outcome::Done(mut output) = outcome else { return Ok(outcome) };
        if self.is_isolated || !self.is_awaited {
            return Ok(Outcome::Done(output));
        }
        let mut children = Vec::new();
        for id in child_ids(&output) {
            output.adopted.extend(cx.ports.children.messages(&id).await?);
            children.push(Value::from(id.as_str()));
        }
        output.meta.insert("children".into(), children.into());
        Ok(Outcome::Done(output))
    }
}

/// The children behind a value: the one, or those of the items that succeeded.
fn child_ids(output: &Output) -> Vec<ExecutionId> {
    let of_one = output.meta.get("execution_id").into_iter();
    let of_items = output.meta.get("execution_ids").and_then(Value::as_array).into_iter().flatten();
    of_one.chain(of_items).filter_map(|it| ExecutionId::parse(it.as_str()?).ok()).collect()
}

/// Where in the parent the child belongs.
fn place(cx: &NodeContext, index: Option<usize>) -> String {
    match index {
        None => format!("{}:{}", cx.node_id, cx.iteration),
        Some(index) => format!("{}:{}:{index}", cx.node_id, cx.iteration),
    }
}

/// The fields of an item that is a map are names of it, and stand in for the item as unlabelled input.
fn with_fields_of(mut cx: NodeContext, item: &Value) -> NodeContext {
    let mut inputs = super::Inputs::default();
    for (key, value) in cx.names.inputs.iter().filter(|(key, _)| *key != "default") {
        inputs.insert(key, Arc::clone(value));
    }
    if let Value::Object(fields) = look_into(item).as_ref() {
        for (key, value) in fields {
            inputs.insert(key.clone(), Arc::new(value.clone()));
        }
    }
    cx.names = Names { inputs, ..cx.names };
    cx
}

/// Aborts the child when its parent's node is given up while the child still runs.
struct Guard<'a> {
    cx: &'a NodeContext,
    child: Option<ExecutionId>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            self.cx.ports.children.abandon(child, "the node that ran it was given up");
        }
    }
}

/// For messages about what is not a diagram.
fn shown(value: &Value) -> String {
    content::excerpt(value)
}
