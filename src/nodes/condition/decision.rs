//! `llm_decision`: a person decides, by a schema where its service can, and says why (diagrams.md 3.13). An
//! answer that is neither yes nor no is a failure unless the diagram says what it means.

use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value, json};

use crate::diagram::{Person, Service};
use crate::error::Error;
use crate::nodes::content;
use crate::nodes::memory::SYSTEM;
use crate::nodes::memory::conversation;
use crate::nodes::memory::recall::{Recalled, recall};
use crate::nodes::memory::window::{Memory, Preset};
use crate::nodes::ports::{ModelReply, ModelRequest, Purpose};
use crate::nodes::template::{self, Template};
use crate::nodes::{Fields, Names, NewMessage, NodeContext, Output, PauseReason, Question, spent};

/// What is asked for where a service takes a schema.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "type": "object",
        "properties": {"decision": {"type": "boolean"}, "reason": {"type": "string"}},
        "required": ["decision", "reason"],
        "additionalProperties": false,
    })
});

/// A decision as read from a diagram.
pub(super) struct Decision {
    person: Option<usize>,
    prompt: Option<Template>,
    memory: Memory,
    /// What an unclear answer means; `None`: it fails the node.
    on_unclear: Option<bool>,
}

/// What came of asking.
pub(super) enum Judgement {
    Verdict(Verdict),
    /// Whoever called decides.
    Asks(Box<Question>),
}

/// A decision that was made.
pub(super) struct Verdict {
    decision: bool,
    meta: Map<String, Value>,
    messages: Vec<NewMessage>,
}

impl Verdict {
    /// Puts reason, raw answer and messages into the node's output and returns the decision.
    pub(super) fn into_output(self, output: &mut Output) -> bool {
        output.meta.extend(self.meta);
        output.messages = self.messages;
        self.decision
    }
}

impl Decision {
    /// Reads the fields of a decision: E401 without a prompt, E502 without a person.
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let person = fields.person("person");
        let inline = fields.text_not_blank("judge_by");
        let file = fields.text_not_blank("judge_by_file");
        let prompt = match (inline, file) {
            (Some(text), _) => fields.template("judge_by", &text),
            (None, Some(file)) => fields.prompt_file("judge_by_file", &file),
            (None, None) => {
                fields.missing("judge_by");
                None
            }
        };
        let on_unclear = match fields.tree("on_unclear").map(|it| it.to_json()) {
            Some(Value::Bool(it)) => Some(it),
            Some(_) => fields.choice("on_unclear", &["fail", "true", "false"]).and_then(|it| it.parse().ok()),
            None => None,
        };
        Self { person, prompt, memory: Memory::of_decision(fields, Preset::Goldfish), on_unclear }
    }

    /// Asks the person; `exposed` is the condition's own index.
    pub(super) async fn ask(&self, cx: &NodeContext, exposed: &Map<String, Value>) -> Result<Judgement, Error> {
        let person = self.person(cx)?;
        let service = cx.service_of(person).ok_or_else(|| no_service(person))?;
        let prompt = self.prompt(cx, exposed)?;
        let recalled = recall(cx, &self.memory, (person, service), &prompt).await?;
        let messages = conversation::sent(person, &cx.persons, (&recalled.window(&cx.messages), &[]), &prompt);
        if service == Service::Caller {
            let state = serde_json::to_value(&recalled)
                .map_err(|it| Error::internal("a question cannot be stored").source(it))?;
            let question = Question {
                messages,
                person: Some(person.label.clone()),
                schema: Some(SCHEMA.clone()),
                state,
                ..Question::new(PauseReason::Model, prompt)
            };
            return Ok(Judgement::Asks(Box::new(question)));
        }
        let request = ModelRequest {
            schema: Some(SCHEMA.clone()),
            temperature: person.temperature,
            max_tokens: person.max_tokens,
            ..cx.model_request((person, service), messages, Purpose::Reply)
        };
        let reply = cx.call_model(request).await?;
        self.verdict(person, &prompt, &recalled, &reply).map(Judgement::Verdict)
    }

    /// Checks what a caller answered: it must be clear, unless the diagram says what an unclear answer means.
    pub(super) fn checked_answer(&self, answer: Value) -> Result<Value, Error> {
        if self.on_unclear.is_some() || read_value(&answer).is_some() {
            return Ok(answer);
        }
        Err(Error::invalid("INVALID_ANSWER", format!("`{}` is neither yes nor no", content::excerpt(&answer)))
            .hint("answer with `{\"decision\": true, \"reason\": \"…\"}`, or with yes or no"))
    }

    /// Takes the answer of whoever called.
    pub(super) fn by_caller(&self, cx: &NodeContext, question: &Question, answer: &Value) -> Result<Verdict, Error> {
        let recalled: Recalled = serde_json::from_value(question.state.clone())
            .map_err(|it| Error::internal("a stored question does not read back").source(it))?;
        let text = match answer {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let reply = ModelReply { text, ..ModelReply::default() };
        self.verdict(self.person(cx)?, &question.prompt, &recalled, &reply)
    }

    fn person<'a>(&self, cx: &'a NodeContext) -> Result<&'a Arc<Person>, Error> {
        self.person
            .and_then(|it| cx.persons.get(it))
            .ok_or_else(|| Error::internal(format!("the person of `{}` is not part of the plan", cx.label)))
    }

    /// The question, with what is to be judged below it unless the template takes it in itself.
    fn prompt(&self, cx: &NodeContext, exposed: &Map<String, Value>) -> Result<String, Error> {
        let template = self.prompt.as_ref().ok_or_else(|| Error::internal("a decision without a prompt"))?;
        let roots = template.roots();
        let extra = conversation::prompt_names(&cx.names.inputs, &cx.messages, &cx.persons, |it| roots.contains(&it));
        let mut all = Map::clone(&cx.names.exposed);
        all.extend(exposed.clone());
        let names = Names { exposed: Arc::new(all), ..cx.names.clone() };
        let asking = template::render(&NodeContext { names, ..cx.clone() }, template, &extra)?;
        if asking.trim().is_empty() {
            return Err(Error::invalid(
                "TEMPLATE_FAILED",
                format!("`{}` has a prompt that is blank once rendered", cx.label),
            )
            .hint("write a `judge_by` with text of its own"));
        }
        if roots.iter().any(|it| is_input(&cx.names, it)) {
            return Ok(asking);
        }
        let judged = content::as_text(&judged(&cx.names));
        Ok(format!("{asking}\n\n--- Content to Evaluate ---\n{judged}\n--- End of Content ---"))
    }

    fn verdict(
        &self,
        person: &Person,
        prompt: &str,
        recalled: &Recalled,
        reply: &ModelReply,
    ) -> Result<Verdict, Error> {
        let (decision, reason) = match (read_text(&reply.text), self.on_unclear) {
            (Some(clear), _) => clear,
            (None, Some(meant)) => (meant, None),
            (None, None) => return Err(spent::on_failure(unclear(person, &reply.text), &person.id, reply, recalled)),
        };
        let mut meta = Map::new();
        meta.insert("person_id".into(), person.id.clone().into());
        if let Some(reason) = reason {
            meta.insert("reason".into(), reason.into());
        }
        meta.insert("answer".into(), reply.text.clone().into());
        meta.insert("memory".into(), recalled.to_meta());
        if let Some(model) = &reply.model {
            meta.insert("model".into(), model.clone().into());
        }
        spent::note(&mut meta, reply, recalled);
        Ok(Verdict { decision, meta, messages: messages(person, prompt, reply) })
    }
}

fn messages(person: &Person, prompt: &str, reply: &ModelReply) -> Vec<NewMessage> {
    let message = |from: &str, to: &str, role: &str, content: &str| NewMessage {
        from: from.to_owned(),
        to: to.to_owned(),
        person_id: person.id.clone(),
        role: role.to_owned(),
        content: content.to_owned(),
        kind: "decision".to_owned(),
        token_count: None,
        model: None,
    };
    let asked = message(SYSTEM, &person.id, "user", prompt);
    let mut answered = message(&person.id, SYSTEM, "assistant", &reply.text);
    answered.token_count = Some(reply.usage.output).filter(|it| *it > 0);
    answered.model.clone_from(&reply.model);
    vec![asked, answered]
}

fn no_service(person: &Person) -> Error {
    Error::external("NO_MODEL", format!("nothing answers for person `{}`: its service is unknown", person.label))
        .hint("give the person a `service`, or run with `models: caller`")
}

fn unclear(person: &Person, text: &str) -> Error {
    let excerpt = content::excerpt(&Value::String(text.trim().to_owned()));
    Error::external("DECISION_UNCLEAR", format!("`{}` answered neither yes nor no: {excerpt}", person.label))
        .hint("ask for yes or no in `judge_by`, or say with `on_unclear` what an unclear answer means")
        .retryable(true)
}

/// Whether a template that names `root` takes an input in: by its key, or as a field of an unlabelled one.
fn is_input(names: &Names, root: &str) -> bool {
    let inputs_alone = Names { inputs: names.inputs.clone(), ..Names::default() };
    root == "inputs" || (!matches!(root, "globals" | "node_id") && inputs_alone.get(root).is_some())
}

/// What is judged: the unlabelled input, else `generated_output`, else all inputs.
fn judged(names: &Names) -> Value {
    let inputs = &names.inputs;
    let found = inputs.get("default").or_else(|| inputs.get("generated_output"));
    found.map_or_else(|| Value::Object(inputs.to_map()), |it| Value::clone(it))
}

/// Reads an answer: a JSON object with a boolean `decision`, else the first word. `None` = unclear.
fn read_text(text: &str) -> Option<(bool, Option<String>)> {
    if let Some(found) = content::json_in(text).as_ref().and_then(read_object) {
        return Some(found);
    }
    let word = text.split(|it: char| !it.is_alphanumeric()).find(|it| !it.is_empty())?;
    match word.to_lowercase().as_str() {
        "yes" | "true" => Some((true, None)),
        "no" | "false" => Some((false, None)),
        _ => None,
    }
}

fn read_value(value: &Value) -> Option<(bool, Option<String>)> {
    match value {
        Value::String(text) => read_text(text),
        Value::Bool(it) => Some((*it, None)),
        other => read_object(other),
    }
}

fn read_object(value: &Value) -> Option<(bool, Option<String>)> {
    let decision = value.get("decision")?.as_bool()?;
    Some((decision, value.get("reason").and_then(Value::as_str).map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_json_then_by_its_first_word_and_else_is_unclear() {
        for (text, expected) in [
            (r#"{"decision": false, "reason": "too short"}"#, Some((false, Some("too short".to_owned())))),
            ("```json\n{\"decision\": true}\n```", Some((true, None))),
            ("YES, it is.", Some((true, None))),
            ("**No**. It is wrong, yes?", Some((false, None))),
            ("true", Some((true, None))),
            ("Hard to say.", None),
            ("Nothing wrong here", None),
            (r#"{"decision": "yes"}"#, None),
            ("", None),
        ] {
            assert_eq!(read_text(text), expected, "{text}");
        }
    }
}
