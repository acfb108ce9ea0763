//! Batches: one node works through a list, several items at a time (diagrams.md 3.15). Each item is durable by
//! itself, so a crash repeats only what was not done.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value, json};

use super::budget::{self, Purse};
use super::lookup::{Inputs, Names, look_into};
use super::policy::{repeat, timed_out};
use super::report::{ItemDone, Report};
use super::{Fields, NodeContext, OnError, Outcome, Output, Question};
use crate::error::Error;
use crate::limits;

/// Items that run at the same moment unless the node says otherwise.
const CONCURRENT_DEFAULT: usize = 10;
/// The input that holds the list unless the node says otherwise.
const INPUT_KEY: &str = "items";

/// How a node works through its list.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    input_key: String,
    /// At least 1.
    n_concurrent: usize,
    on_item_error: OnError,
}

/// The list, and the inputs without it.
struct Items {
    values: Vec<Value>,
    rest: Inputs,
}

/// What came of one item.
enum Ended {
    Done(Box<ItemDone>),
    /// It waits for somebody.
    Asks(usize, Box<Question>),
    Failed(usize, u32, Error),
}

/// Runs one item: its context names the item, its inputs are those of the batch without the list.
pub type RunItem<'a> = dyn Fn(NodeContext, Item) -> BoxFuture<'a, Result<Outcome, Error>> + Send + Sync + 'a;

/// Where an item stands in its batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub index: usize,
    pub value: Value,
    pub attempt: u32,
}

impl Batch {
    /// Reads the batch fields; `None` for a node that is no batch.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let is_batch = fields.boolean("batch", false);
        let input_key = fields.text_not_blank("batch_input_key");
        let is_parallel = fields.boolean("batch_parallel", true);
        let n_concurrent = fields.integer("max_concurrent", 1).and_then(|it| usize::try_from(it).ok());
        let on_item_error = fields.choice("on_item_error", &["fail", "continue"]);
        is_batch.then(|| Self {
            input_key: input_key.unwrap_or_else(|| INPUT_KEY.to_owned()),
            n_concurrent: if is_parallel { n_concurrent.unwrap_or(CONCURRENT_DEFAULT) } else { 1 },
            on_item_error: if on_item_error == Some("continue") { OnError::Continue } else { OnError::Fail },
        })
    }

    /// Works through the list. When an item waits for somebody nothing more starts, and the node waits with
    /// that item's question; [`Batch::resume`] goes on.
    ///
    /// # Errors
    ///
    /// `BATCH_INPUT` when there is no list, `BATCH_ITEM_FAILED` unless failed items are collected.
    pub async fn run<'a>(&self, cx: &'a NodeContext, run_item: &RunItem<'a>) -> Result<Outcome, Error> {
        let items = self.items(&cx.names)?;
        let done = cx.items_done.iter().map(|it| (it.index, it.clone())).collect();
        self.work(cx, &items, done, run_item).await
    }

    /// Goes on after the question of one item was answered; `answered` finishes that item.
    ///
    /// # Errors
    ///
    /// As [`Batch::run`].
    pub async fn resume<'a>(
        &self,
        cx: &'a NodeContext,
        question: &Question,
        answered: impl FnOnce(NodeContext, Question) -> BoxFuture<'a, Result<Outcome, Error>>,
        run_item: &RunItem<'a>,
    ) -> Result<Outcome, Error> {
        let items = self.items(&cx.names)?;
        let index = question.state.get("item").and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok());
        let index = index.filter(|it| *it < items.values.len());
        let index = index.ok_or_else(|| Error::internal("a stored question of a batch names no item"))?;
        let own = question.state.get("state").cloned().unwrap_or_default();
        let inner = Question { state: own, ..question.clone() };
        let mut done: BTreeMap<usize, ItemDone> = cx.items_done.iter().map(|it| (it.index, it.clone())).collect();
        let ended = match answered(items.context(cx, index, 1), inner).await {
            Ok(Outcome::Done(output)) => Ended::Done(Box::new(item_done(index, 1, output))),
            Ok(Outcome::Wait(question)) => Ended::Asks(index, question),
            Err(error) => match budget::question_of(&error) {
                Some(question) => Ended::Asks(index, Box::new(question)),
                None => Ended::Failed(index, 1, error),
            },
        };
        match self.take(cx, items.values.len(), ended, &mut done)? {
            Some(asks) => Ok(waiting(asks.0, *asks.1)),
            None => self.work(cx, &items, done, run_item).await,
        }
    }

    async fn work<'a>(
        &self,
        cx: &'a NodeContext,
        items: &Items,
        mut done: BTreeMap<usize, ItemDone>,
        run_item: &RunItem<'a>,
    ) -> Result<Outcome, Error> {
        let n_items = items.values.len();
        let open: Vec<usize> = (0..n_items).filter(|it| !done.contains_key(it)).collect();
        let mut open = open.into_iter();
        let mut running = FuturesUnordered::new();
        let mut asks: Option<(usize, Box<Question>)> = None;
        loop {
            while running.len() < self.n_concurrent && asks.is_none() {
                let Some(index) = open.next() else { break };
                running.push(attempts(cx, items, index, run_item));
            }
            let Some(ended) = running.next().await else { break };
            if let Some(more) = self.take(cx, n_items, ended, &mut done)?
                && asks.as_ref().is_none_or(|it| more.0 < it.0)
            {
                asks = Some(more);
            }
        }
        match asks {
            Some((index, question)) => Ok(waiting(index, *question)),
            None => Ok(Outcome::Done(summed_up(n_items, done.into_values().collect()))),
        }
    }

    /// Records what came of an item; gives back the question of one that waits.
    fn take(
        &self,
        cx: &NodeContext,
        n_items: usize,
        ended: Ended,
        done: &mut BTreeMap<usize, ItemDone>,
    ) -> Result<Option<(usize, Box<Question>)>, Error> {
        let item = match ended {
            Ended::Asks(index, question) => return Ok(Some((index, question))),
            Ended::Done(item) => *item,
            Ended::Failed(index, attempts, error) => {
                let object = error.to_json();
                if self.on_item_error == OnError::Fail {
                    let what = format!("item {index} of {n_items} failed: {} {}", error.code(), error.message());
                    return Err(Error::external("BATCH_ITEM_FAILED", what)
                        .hint("mend the item, or give the node `on_item_error: continue` to collect failures")
                        .details(json!({"index": index}))
                        .cause(object));
                }
                ItemDone { index, attempts, error: Some(object), ..ItemDone::default() }
            }
        };
        cx.reports.say(Report::Item(item.clone()));
        done.insert(item.index, item);
        Ok(None)
    }

    /// Finds the list: the input of that name, else that field of `default`, else `default` itself.
    fn items(&self, names: &Names) -> Result<Items, Error> {
        let mut rest = Inputs::default();
        let default = names.inputs.get("default").map(|it| look_into(it).into_owned());
        let mut list = names.inputs.get(&self.input_key).map(|it| Value::clone(it));
        if let Some(Value::Object(fields)) = &default {
            list = list.or_else(|| fields.get(&self.input_key).cloned());
            for (key, value) in fields.iter().filter(|(key, _)| **key != self.input_key) {
                rest.insert(key.clone(), Arc::new(value.clone()));
            }
        } else {
            list = list.or_else(|| default.clone());
        }
        for (key, value) in names.inputs.iter().filter(|(key, _)| *key != self.input_key && *key != "default") {
            rest.insert(key, Arc::clone(value));
        }
        match list.map(|it| look_into(&it).into_owned()) {
            Some(Value::Array(values)) => Ok(Items { values, rest }),
            found => Err(self.no_list(names, found.as_ref())),
        }
    }

    fn no_list(&self, names: &Names, found: Option<&Value>) -> Error {
        let what = match found {
            None => format!("there is no input `{}` to take the items from", self.input_key),
            Some(other) => format!("the items are {}, not a list", kind_of(other)),
        };
        let inputs: Vec<&str> = names.inputs.iter().map(|(key, _)| key).collect();
        Error::invalid("BATCH_INPUT", what)
            .hint(format!("label the connection `{}` or set `batch_input_key`", self.input_key))
            .details(json!({"inputs": inputs}))
    }
}

impl Items {
    /// The context of one item: what it is called, and the other inputs.
    fn context(&self, cx: &NodeContext, index: usize, attempt: u32) -> NodeContext {
        let mut inputs = self.rest.clone();
        let value = Arc::new(self.values[index].clone());
        inputs.insert("default", Arc::clone(&value));
        inputs.insert("item", value);
        inputs.insert("_batch_index", Arc::new(index.into()));
        inputs.insert("_batch_total", Arc::new(self.values.len().into()));
        let purse = cx.purse.as_ref().map(Purse::of_item);
        let ports = cx.ports.of_item(index, attempt);
        NodeContext { attempt, ports, names: Names { inputs, ..cx.names.clone() }, purse, ..cx.clone() }
    }
}

/// Runs one item until it is done, waits, or has failed for good: `retry` and `timeout` apply to each item.
async fn attempts<'a>(cx: &'a NodeContext, items: &Items, index: usize, run_item: &RunItem<'a>) -> Ended {
    let mut attempt = 1;
    loop {
        let item = Item { index, value: items.values[index].clone(), attempt };
        let item_cx = items.context(cx, index, attempt);
        let purse = item_cx.purse.clone();
        let work = run_item(item_cx, item);
        let outcome = match cx.timeout {
            Some(limit) => budget::within(limit, purse.as_ref(), work).await.unwrap_or_else(|| Err(timed_out(limit))),
            None => work.await,
        };
        match outcome {
            Ok(Outcome::Done(output)) => return Ended::Done(Box::new(item_done(index, attempt, output))),
            Ok(Outcome::Wait(question)) => return Ended::Asks(index, question),
            Err(error) => {
                if let Some(question) = budget::question_of(&error) {
                    return Ended::Asks(index, Box::new(question));
                }
                let attempts_max = cx.retry.max_attempts.min(limits::ATTEMPTS_MAX);
                if attempt >= attempts_max || !repeat::may_repeat(&error, cx.retry_given) {
                    return Ended::Failed(index, attempt, error);
                }
                attempt += 1;
                let usual = || cx.retry.delay(attempt, repeat::spread(index, attempt));
                if !cx.ports.is_replay() {
                    tokio::time::sleep(repeat::wished_delay(&error).unwrap_or_else(usual)).await;
                }
            }
        }
    }
}

fn item_done(index: usize, attempts: u32, output: Output) -> ItemDone {
    let execution_id = output.meta.get("execution_id").and_then(Value::as_str).map(str::to_owned);
    ItemDone {
        index,
        attempts,
        output: Some(Value::clone(&output.body)),
        error: None,
        execution_id,
        messages: output.messages,
        meta: output.meta,
    }
}

/// The question of one item becomes the node's.
fn waiting(index: usize, question: Question) -> Outcome {
    let state = json!({"item": index, "state": question.state});
    Outcome::Wait(Box::new(Question { state, ..question }))
}

fn summed_up(n_items: usize, done: Vec<ItemDone>) -> Output {
    let mut output = Output::default();
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    let (mut usages, mut children) = (Vec::new(), Vec::new());
    for item in done {
        let mut shown = Map::from_iter([("index".to_owned(), Value::from(item.index))]);
        match item.error {
            Some(error) => {
                shown.insert("error".into(), error);
                errors.push(Value::Object(shown));
            }
            None => {
                shown.insert("output".into(), item.output.unwrap_or_default());
                children.extend(item.execution_id.map(Value::from));
                results.push(Value::Object(shown));
            }
        }
        usages.push(item.meta);
        output.messages.extend(item.messages);
    }
    output.meta = sum_of_meta(&usages);
    if !children.is_empty() {
        output.meta.insert("execution_ids".into(), children.into());
    }
    // Each item counted its own calls when it was done.
    output.meta.insert("model_calls".into(), 0.into());
    output.body = Arc::new(json!({
        "total_items": n_items,
        "successful": results.len(),
        "failed": errors.len(),
        "results": results,
        "errors": errors,
    }));
    output
}

/// What several calls used together: tokens, and what they cost.
pub fn sum_of_meta(metas: &[Map<String, Value>]) -> Map<String, Value> {
    let mut sum = Map::new();
    for key in ["llm_usage", "cost"] {
        let mut total: Map<String, Value> = Map::new();
        for part in metas.iter().filter_map(|it| it.get(key)?.as_object()) {
            for (name, value) in part {
                let before = total.get(name).cloned();
                total.insert(name.clone(), added(before, value));
            }
        }
        if !total.is_empty() {
            sum.insert(key.into(), Value::Object(total));
        }
    }
    if let Some(person) = metas.iter().find_map(|it| it.get("person_id")) {
        sum.insert("person_id".into(), person.clone());
    }
    sum
}

/// Numbers add up, booleans must all be true, of anything else the last is kept.
fn added(before: Option<Value>, more: &Value) -> Value {
    match (before, more) {
        (Some(Value::Bool(a)), Value::Bool(b)) => Value::Bool(a && *b),
        (Some(Value::Number(a)), Value::Number(b)) => match (a.as_u64(), b.as_u64()) {
            (Some(a), Some(b)) => Value::from(a + b),
            _ => json!(a.as_f64().unwrap_or(0.0) + b.as_f64().unwrap_or(0.0)),
        },
        (_, more) => more.clone(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
