//! `person_job`: a person answers a prompt. Chooses the prompt, fetches the memory, calls the person's
//! model (or asks whoever called), and publishes the reply in the forms its connections ask for
//! (diagrams.md 2.3). It must not know providers or how messages are stored.

mod images;
mod prompt;
mod pydantic;
mod read;
mod reply;
mod schema;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use self::prompt::Prompts;
use self::reply::Answered;
use self::schema::{ReplyFormat, Schema};
use super::batch::Batch;
use super::memory::conversation;
use super::memory::recall::{Recalled, recall};
use super::memory::window::Memory;
use super::output::ChatMessage;
use super::ports::models::ModelTool;
use super::ports::{ModelRequest, Purpose};
use super::{
    Effect, FieldSpec, Node, NodeContext, NodeType, Outcome, PauseReason, Preset, Question, Retry, Shape, spent,
};
use crate::diagram::{NodeKind, Person, Service};
use crate::error::Error;
use crate::limits;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::PersonJob,
    summary: "Sends a prompt to a person (an LLM agent) and publishes the reply.",
    fields: &[
        FieldSpec::new("person", Shape::Person, "Who answers.").required(),
        FieldSpec::new("default_prompt", Shape::Template, "What the person is asked."),
        FieldSpec::new("first_only_prompt", Shape::Template, "What the person is asked in its first run."),
        FieldSpec::new("prompt_file", Shape::Path, "A file that holds the prompt; it wins over `default_prompt`."),
        FieldSpec::new("first_prompt_file", Shape::Path, "A file that holds the first prompt."),
        // No preset: written out, even the usual number ends a loop for certain (W206).
        FieldSpec::new(
            "max_iteration",
            Shape::Whole(1),
            "After so many runs the node never runs again; 100 if absent.",
        ),
        FieldSpec::new(
            "memorize_to",
            Shape::Text,
            "Which messages the person sees: a preset such as ALL_INVOLVED, or a description.",
        ),
        FieldSpec::new("at_most", Shape::Whole(1), "How many messages the person sees."),
        FieldSpec::new("ignore_person", Shape::Texts, "Persons whose messages are left out."),
        FieldSpec::new("tools", Shape::Any, "What the person may use while it answers."),
        FieldSpec::new("text_format", Shape::Any, "A JSON Schema, or Pydantic source, that the reply must fit."),
        FieldSpec::new(
            "text_format_file",
            Shape::Path,
            "A file that holds the schema of the reply; it wins over `text_format`.",
        ),
        FieldSpec::new("temperature", Shape::Within(0.0, 2.0), "How freely the model answers; the person's if absent."),
        FieldSpec::new("max_tokens", Shape::Whole(1), "The longest reply; the person's if absent."),
        FieldSpec::new("budget", Shape::Map, "What its model calls may spend: `{usd, tokens, calls, seconds}`."),
        FieldSpec::new("batch", Shape::Bool, "Run once per item of a list.").or(Preset::Bool(false)),
        FieldSpec::new("batch_input_key", Shape::Text, "The input that holds the list.").or(Preset::Text("items")),
        FieldSpec::new("batch_parallel", Shape::Bool, "Whether items run at the same time.").or(Preset::Bool(true)),
        FieldSpec::new("max_concurrent", Shape::Whole(1), "How many items run at the same time.").or(Preset::Whole(10)),
        FieldSpec::new("on_item_error", Shape::Choice(&["fail", "continue"]), "What happens when an item fails.")
            .or(Preset::Text("fail")),
    ],
    read: read::read,
};

struct PersonJob {
    /// Position among the persons of the plan; `None` was reported when the diagram was compiled.
    person: Option<usize>,
    prompts: Prompts,
    memory: Memory,
    format: ReplyFormat,
    max_iteration: u32,
    temperature: Option<f64>,
    max_tokens: Option<u64>,
    /// The node's own, else the person's.
    tools: Vec<ModelTool>,
    /// Whether a connection asks for `conversation_state`. Nobody else reads the conversation, and with
    /// its window it is by far the largest form.
    publishes_conversation: bool,
    batch: Option<Batch>,
}

impl Node for PersonJob {
    fn effect(&self) -> Effect {
        Effect::Outside
    }

    fn mocked(&self, label: &str) -> Option<Value> {
        Some(Value::String(format!("(mock reply of {label})")))
    }

    fn traits(&self) -> super::Traits {
        super::Traits {
            max_iteration: Some(self.max_iteration),
            skippable: false,
            only_first_prompt: self.prompts.only_first(),
        }
    }

    fn timeout_default(&self) -> Option<f64> {
        Some(limits::MODEL_TIMEOUT_S)
    }

    fn retry_default(&self) -> Retry {
        Retry::PROVIDER
    }

    fn is_batch(&self) -> bool {
        self.batch.is_some()
    }

    fn calls_models(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        match &self.batch {
            None => Box::pin(self.ask(cx)),
            Some(batch) => Box::pin(async move { batch.run(cx, &|cx, _| self.ask_item(cx)).await }),
        }
    }

    fn check_answer(&self, question: &Question, answer: Value) -> Result<Value, Error> {
        reply::checked_answer(question.schema.as_ref(), answer)
    }

    fn resume<'a>(
        &'a self,
        cx: &'a NodeContext,
        question: &'a Question,
        answer: Value,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        let Some(batch) = &self.batch else {
            return Box::pin(async move { self.answered(cx, question, answer) });
        };
        Box::pin(async move {
            let answered = |cx: NodeContext, question: Question| -> BoxFuture<'a, Result<Outcome, Error>> {
                Box::pin(async move { self.answered(&cx, &question, answer) })
            };
            batch.resume(cx, question, answered, &|cx, _| self.ask_item(cx)).await
        })
    }
}

impl PersonJob {
    fn ask_item(&self, cx: NodeContext) -> BoxFuture<'_, Result<Outcome, Error>> {
        Box::pin(async move { self.ask(&cx).await })
    }

    fn answered(&self, cx: &NodeContext, question: &Question, answer: Value) -> Result<Outcome, Error> {
        let person = self.person(cx)?;
        let recalled: Recalled = serde_json::from_value(question.state.clone())
            .map_err(|it| Error::internal("a stored question does not read back").source(it))?;
        let answered = Answered::by_caller(person, question, &recalled, answer);
        Ok(Outcome::Done(answered.output(cx, self.publishes_conversation)))
    }

    async fn ask(&self, cx: &NodeContext) -> Result<Outcome, Error> {
        let person = self.person(cx)?;
        let service = cx.service_of(person).ok_or_else(|| no_service(person))?;
        let prompt = self.prompts.text(cx)?;
        let schema = self.schema(cx).await?;
        let recalled = recall(cx, &self.memory, (person, service), &prompt).await?;
        let window = recalled.window(&cx.messages);
        let handed = conversation::handed_over(&cx.names.inputs, &window, &person.id);
        let mut messages = conversation::sent(person, &cx.persons, (&window, &handed), &prompt);
        let images = images::of_inputs(cx);
        if let Some(prompt) = messages.last_mut() {
            prompt.images.clone_from(&images);
        }
        if service == Service::Caller {
            let question = question(person, prompt, messages, schema.as_deref(), &recalled)?;
            return Ok(Outcome::Wait(Box::new(question)));
        }
        let request = self.request(cx, (person, service), messages, schema.as_deref());
        let request = ModelRequest { images: images::bytes_of(cx, &images).await?, ..request };
        let mut reply = cx.call_model(request).await?;
        let object = schema.map(|it| reply::object(&it, &reply.text, &person.label)).transpose();
        let object = object.map_err(|it| spent::on_failure(it, &person.id, &reply, &recalled))?;
        let images = images::keep(cx, std::mem::take(&mut reply.images)).await?;
        let answered = Answered { person, service, prompt: &prompt, recalled: &recalled, object, images, reply };
        Ok(Outcome::Done(answered.output(cx, self.publishes_conversation)))
    }

    fn person<'a>(&self, cx: &'a NodeContext) -> Result<&'a Arc<Person>, Error> {
        self.person
            .and_then(|it| cx.persons.get(it))
            .ok_or_else(|| Error::internal(format!("the person of `{}` is not part of the plan", cx.label)))
    }

    async fn schema(&self, cx: &NodeContext) -> Result<Option<Arc<Schema>>, Error> {
        match &self.format {
            ReplyFormat::Text => Ok(None),
            ReplyFormat::Schema(schema) => Ok(Some(Arc::clone(schema))),
            ReplyFormat::File(file) => Ok(Some(Arc::new(schema::load(cx, file).await?))),
        }
    }

    fn request(
        &self,
        cx: &NodeContext,
        (person, service): (&Arc<Person>, Service),
        messages: Vec<ChatMessage>,
        schema: Option<&Schema>,
    ) -> ModelRequest {
        ModelRequest {
            schema: schema.map(|it| it.value().clone()),
            temperature: self.temperature.or(person.temperature),
            max_tokens: self.max_tokens.or(person.max_tokens),
            tools: self.tools.clone(),
            ..cx.model_request((person, service), messages, Purpose::Reply)
        }
    }
}

fn no_service(person: &Person) -> Error {
    Error::external("NO_MODEL", format!("nothing answers for person `{}`: its service is unknown", person.label))
        .hint("give the person a `service`, or run with `models: caller`")
}

/// What whoever called is asked: everything a model would be sent, and what it takes to go on.
fn question(
    person: &Person,
    prompt: String,
    messages: Vec<ChatMessage>,
    schema: Option<&Schema>,
    recalled: &Recalled,
) -> Result<Question, Error> {
    let state =
        serde_json::to_value(recalled).map_err(|it| Error::internal("a question cannot be stored").source(it))?;
    Ok(Question {
        messages,
        person: Some(person.label.clone()),
        schema: schema.map(|it| it.value().clone()),
        state,
        ..Question::new(PauseReason::Model, prompt)
    })
}
