//! What a reply becomes: the value, its forms, the two messages to store, and the facts about the call.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::images;
use super::schema::Schema;
use crate::diagram::{Person, Service};
use crate::error::Error;
use crate::nodes::content;
use crate::nodes::memory::conversation::{self, Turn};
use crate::nodes::memory::recall::Recalled;
use crate::nodes::memory::{SYSTEM, message_id};
use crate::nodes::ports::{ModelReply, one_line_json};
use crate::nodes::{Forms, NewMessage, NodeContext, Output, Question, spent};

/// The text of a reply that is an image alone.
const ONLY_AN_IMAGE: &str = "[image]";

/// A call that was answered.
pub(super) struct Answered<'a> {
    pub person: &'a Person,
    pub service: Service,
    pub prompt: &'a str,
    pub recalled: &'a Recalled,
    /// The parsed reply, when a schema was asked for.
    pub object: Option<Value>,
    /// References to the images of the reply.
    pub images: Vec<Value>,
    pub reply: ModelReply,
}

impl<'a> Answered<'a> {
    /// A question that the caller answered: a text, or with a schema any JSON value.
    pub(super) fn by_caller(person: &'a Person, question: &'a Question, recalled: &'a Recalled, answer: Value) -> Self {
        let is_text = question.schema.is_none();
        let text = if is_text { content::as_text(&answer) } else { one_line_json(&answer) };
        let object = (!is_text).then_some(answer);
        let reply = ModelReply { text, ..ModelReply::default() };
        Self { person, service: Service::Caller, prompt: &question.prompt, recalled, object, images: Vec::new(), reply }
    }

    /// Returns what the node publishes and stores.
    pub(super) fn output(mut self, cx: &NodeContext, publishes_conversation: bool) -> Output {
        let with_images = (!self.images.is_empty()).then(|| images::value(&self.reply.text, &self.images));
        let is_image_alone = with_images.as_ref().is_some_and(content::is_binary);
        if is_image_alone {
            // What a conversation shows of it, and what others remember.
            self.reply.text = ONLY_AN_IMAGE.to_owned();
        }
        let model = self.model();
        let conversation = if publishes_conversation { self.conversation(cx, model.as_deref()) } else { Value::Null };
        let meta = self.meta(model.as_deref());
        let messages = self.messages(model);
        let text = self.reply.text;
        let object = self.object.or(with_images);
        let body = Arc::new(object.clone().unwrap_or_else(|| Value::String(text.clone())));
        let forms = Forms { text, object, conversation };
        // An image alone has no text: whoever asks for one gets the reference.
        let forms = (publishes_conversation || !is_image_alone).then(|| Arc::new(forms));
        Output { body, forms, meta, messages, ..Output::default() }
    }

    /// The model that answered, if that is known: which one the caller used is not.
    fn model(&self) -> Option<String> {
        match self.service {
            Service::Caller => None,
            _ => self.reply.model.clone().or_else(|| self.person.model.clone()),
        }
    }

    fn conversation(&self, cx: &NodeContext, model: Option<&str>) -> Value {
        let id = |k| message_id(&cx.execution_id, (&cx.node_id, cx.iteration), k);
        let turn = Turn {
            person_id: &self.person.id,
            model,
            prompt: self.prompt,
            prompt_id: id(0),
            reply: &self.reply.text,
            reply_id: id(1),
        };
        conversation::published(&self.recalled.window(&cx.messages), &turn)
    }

    fn meta(&self, model: Option<&str>) -> Map<String, Value> {
        let mut meta = Map::new();
        meta.insert("person_id".into(), self.person.id.clone().into());
        meta.insert("model".into(), model.unwrap_or(self.service.name()).into());
        spent::note(&mut meta, &self.reply, self.recalled);
        meta.insert("memory".into(), self.recalled.to_meta());
        if !self.images.is_empty() {
            meta.insert("images".into(), self.images.clone().into());
        }
        if let Some(reason) = &self.reply.finish_reason {
            meta.insert("finish_reason".into(), reason.clone().into());
        }
        meta
    }

    fn messages(&self, model: Option<String>) -> Vec<NewMessage> {
        let message = |from: &str, to: &str, role: &str, content: &str| NewMessage {
            from: from.to_owned(),
            to: to.to_owned(),
            person_id: self.person.id.clone(),
            role: role.to_owned(),
            content: content.to_owned(),
            kind: "message".to_owned(),
            token_count: None,
            model: None,
        };
        let id = self.person.id.as_str();
        let prompt = message(SYSTEM, id, "user", self.prompt);
        let mut reply = message(id, SYSTEM, "assistant", &self.reply.text);
        reply.token_count = Some(self.reply.usage.output).filter(|it| *it > 0);
        reply.model = model;
        vec![prompt, reply]
    }
}

/// Reads the reply of a model by `schema`.
///
/// # Errors
///
/// `REPLY_INVALID` with the first problem; a repeated call may do better.
pub(super) fn object(schema: &Schema, text: &str, person: &str) -> Result<Value, Error> {
    schema.read(text).map_err(|problem| {
        let excerpt = content::excerpt(&Value::String(text.to_owned()));
        Error::external("REPLY_INVALID", format!("the reply of `{person}` does not fit `text_format`: {problem}"))
            .hint("say in the prompt what form the reply must have, or give the node a `retry`")
            .details(json!({"reply": excerpt}))
            .retryable(true)
    })
}

/// Checks what a caller answered: without a schema a text that is not blank (a number or boolean is taken
/// as its text); with one the JSON value, or its JSON text, that fits.
///
/// # Errors
///
/// `INVALID_ANSWER`, saying what is wrong.
pub(super) fn checked_answer(schema: Option<&Value>, answer: Value) -> Result<Value, Error> {
    let Some(schema) = schema else { return checked_text(answer) };
    let schema = Schema::new(schema.clone())
        .map_err(|problem| Error::internal(format!("the schema of a stored question is none: {problem}")))?;
    let checked = match &answer {
        Value::String(text) => schema.read(text),
        value => schema.check(value).map(|()| value.clone()),
    };
    checked.map_err(|problem| {
        Error::invalid("INVALID_ANSWER", format!("the answer does not fit the schema: {problem}"))
            .hint("answer with JSON that fits the `schema` of the question")
    })
}

fn checked_text(answer: Value) -> Result<Value, Error> {
    match answer {
        Value::String(text) if text.trim().is_empty() => Err(not_a_text("the answer is blank")),
        Value::String(_) => Ok(answer),
        Value::Number(_) | Value::Bool(_) => Ok(Value::String(answer.to_string())),
        Value::Null => Err(not_a_text("the answer is null")),
        Value::Array(_) => Err(not_a_text("the answer is a list, and a text is asked for")),
        Value::Object(_) => Err(not_a_text("the answer is an object, and a text is asked for")),
    }
}

fn not_a_text(message: &str) -> Error {
    Error::invalid("INVALID_ANSWER", message).hint("answer with the reply as one text")
}
