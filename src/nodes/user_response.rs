//! `user_response`: asks a person and waits durably for the answer (diagrams.md 2.8, 3.16).

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::content::excerpt;
use super::template::{Template, render};
use super::{
    Effect, FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Output, PauseReason, Preset, Question, Shape,
};
use crate::diagram::{NodeKind, TreeKind};
use crate::error::Error;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::UserResponse,
    summary: "Asks a person and waits for the answer.",
    fields: &[
        FieldSpec::new("prompt", Shape::Template, "What to ask.").required(),
        FieldSpec::new("default", Shape::Any, "The answer when nobody answers in time."),
        FieldSpec::new("validation_type", Shape::Choice(&["text", "number", "boolean"]), "What the answer must be.")
            .or(Preset::Text("text")),
        FieldSpec::new("options", Shape::List, "The answers to choose from."),
        FieldSpec::new("approval", Shape::Bool, "Ask yes or no, and publish a boolean.").or(Preset::Bool(false)),
        FieldSpec::new("human_only", Shape::Bool, "Only a person may answer, no model.").or(Preset::Bool(false)),
    ],
    read,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Text,
    Number,
    Boolean,
    /// Yes or no, with an optional comment.
    Approval,
}

struct UserResponse {
    prompt: Option<Template>,
    wanted: Wanted,
    options: Option<Vec<Value>>,
    /// Until the question expires, in milliseconds.
    timeout_ms: Option<i64>,
    default: Option<Value>,
    is_for_people: bool,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    let text = fields.required_text("prompt");
    let prompt = fields.template("prompt", &text);
    let kind = fields.choice("validation_type", &["text", "number", "boolean"]);
    let wanted = match kind {
        _ if fields.boolean("approval", false) => Wanted::Approval,
        Some("number") => Wanted::Number,
        Some("boolean") => Wanted::Boolean,
        _ => Wanted::Text,
    };
    let options = read_options(fields);
    let default = fields.is_given("default").then(|| fields.value("default").unwrap_or_default());
    if let (Some(default), Some(options)) = (default.as_ref().filter(|it| !it.is_null()), &options)
        && chosen(options, default).is_none()
    {
        let message = format!("the default `{}` is none of the options", excerpt(default));
        fields.problem("E403", "default", message, "write one of the options");
    }
    let is_for_people = fields.boolean("human_only", false);
    Box::new(UserResponse { prompt, wanted, options, timeout_ms: read_timeout(fields), default, is_for_people })
}

fn read_options(fields: &mut Fields<'_>) -> Option<Vec<Value>> {
    let tree = fields.tree("options")?;
    let is_plain =
        |it: &crate::diagram::Tree| !matches!(it.kind, TreeKind::List(_) | TreeKind::Map(_) | TreeKind::Null);
    if !matches!(tree.kind, TreeKind::List(_)) || !tree.items().iter().all(is_plain) {
        let message = "`options` must be a list of texts, numbers or booleans";
        fields.problem("E402", "options", message, "write `options: [red, green]`");
        return None;
    }
    Some(tree.items().iter().map(crate::diagram::Tree::to_json).collect()).filter(|it: &Vec<_>| !it.is_empty())
}

/// Reads `timeout` without complaints: the common fields report what is wrong with it.
fn read_timeout(fields: &mut Fields<'_>) -> Option<i64> {
    let seconds = match &fields.tree("timeout")?.kind {
        TreeKind::Number(number) => number.as_f64(),
        TreeKind::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    seconds.filter(|it| *it > 0.0).map(|it| (it * 1_000.0) as i64)
}

impl Node for UserResponse {
    fn effect(&self) -> Effect {
        Effect::Outside
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let prompt = self.prompt.as_ref().ok_or_else(|| Error::internal("a question without a prompt"))?;
            let reason = if self.wanted == Wanted::Approval { PauseReason::Approval } else { PauseReason::Input };
            let mut question = Question::new(reason, render(cx, prompt, &Map::new())?);
            question.options.clone_from(&self.options);
            question.schema = Some(self.schema());
            question.human_only = self.is_for_people;
            question.deadline = self.timeout_ms.map(|it| cx.ports.clock.now().plus_ms(it));
            Ok(Outcome::Wait(Box::new(question)))
        })
    }

    fn is_for_people(&self) -> bool {
        self.is_for_people
    }

    fn check_answer(&self, _: &Question, answer: Value) -> Result<Value, Error> {
        if self.wanted == Wanted::Approval {
            return approval(&answer).ok_or_else(|| refused(&answer, "yes or no", "answer `yes` or `no`"));
        }
        if let Some(options) = &self.options {
            let shown: Vec<String> = options.iter().map(excerpt).collect();
            let hint = format!("answer one of: {}", shown.join(", "));
            return chosen(options, &answer).ok_or_else(|| refused(&answer, "one of the options", &hint));
        }
        let checked = match self.wanted {
            Wanted::Text => text(&answer),
            Wanted::Number => number(&answer),
            Wanted::Boolean | Wanted::Approval => boolean(&answer).map(Value::Bool),
        };
        let (wanted, hint) = match self.wanted {
            Wanted::Text => ("a text", "answer with a text"),
            Wanted::Number => ("a number", "answer with a number such as 3 or 2.5"),
            Wanted::Boolean | Wanted::Approval => ("true or false", "answer `true` or `false`"),
        };
        checked.ok_or_else(|| refused(&answer, wanted, hint))
    }

    fn resume<'a>(
        &'a self,
        _: &'a NodeContext,
        _: &'a Question,
        answer: Value,
    ) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move { Ok(Outcome::Done(self.answered(answer))) })
    }

    fn expire(&self, _: &Question) -> Result<Outcome, Error> {
        match &self.default {
            Some(default) => {
                let mut output = Output::value(default.clone());
                output.meta.insert("expired".to_owned(), true.into());
                Ok(Outcome::Done(output))
            }
            None => Err(Error::external("ANSWER_TIMEOUT", "nobody answered in time")
                .hint("give the node a `default` or a longer `timeout`")),
        }
    }
}

impl UserResponse {
    /// The shape of an answer; what `check_answer` takes is wider, for people who type.
    fn schema(&self) -> Value {
        let kind = match self.wanted {
            Wanted::Text => "string",
            Wanted::Number => "number",
            Wanted::Boolean | Wanted::Approval => "boolean",
        };
        match &self.options {
            Some(options) if self.wanted != Wanted::Approval => json!({ "enum": options }),
            _ => json!({ "type": kind }),
        }
    }

    fn answered(&self, answer: Value) -> Output {
        match answer {
            Value::Object(mut given) if self.wanted == Wanted::Approval => {
                let mut output = Output::value(given.remove("approved").unwrap_or(Value::Bool(false)));
                output.meta.extend(given);
                output
            }
            plain => Output::value(plain),
        }
    }
}

/// Reads yes or no, alone or as `{approved, comment}`, into `{approved, comment?}` or a boolean.
fn approval(answer: &Value) -> Option<Value> {
    let Value::Object(map) = answer else { return boolean(answer).map(Value::Bool) };
    let decision = ["approved", "answer", "decision", "value"].iter().find_map(|it| map.get(*it))?;
    let approved = boolean(decision)?;
    match map.get("comment") {
        Some(Value::String(comment)) => Some(json!({ "approved": approved, "comment": comment })),
        Some(Value::Null) | None => Some(Value::Bool(approved)),
        Some(_) => None,
    }
}

fn boolean(answer: &Value) -> Option<bool> {
    match answer {
        Value::Bool(it) => Some(*it),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "yes" | "y" | "true" | "approve" | "approved" | "on" => Some(true),
            "no" | "n" | "false" | "reject" | "rejected" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn number(answer: &Value) -> Option<Value> {
    match answer {
        Value::Number(_) => Some(answer.clone()),
        Value::String(text) => {
            let text = text.trim();
            let text = text.strip_prefix('+').unwrap_or(text);
            let number: Value =
                serde_json::from_str(text).ok().or_else(|| text.parse::<f64>().ok().map(Value::from))?;
            // Texts such as `inf` parse and are no JSON numbers.
            number.is_number().then_some(number)
        }
        _ => None,
    }
}

fn text(answer: &Value) -> Option<Value> {
    match answer {
        Value::String(_) => Some(answer.clone()),
        Value::Number(_) | Value::Bool(_) => Some(Value::String(answer.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the option that `answer` names: the same value, else the same text in any case.
fn chosen(options: &[Value], answer: &Value) -> Option<Value> {
    let folded = |it: &Value| match it {
        Value::String(text) => text.trim().to_lowercase(),
        other => other.to_string(),
    };
    let same = options.iter().find(|it| *it == answer);
    same.or_else(|| options.iter().find(|it| folded(it) == folded(answer))).cloned()
}

fn refused(answer: &Value, wanted: &str, hint: &str) -> Error {
    Error::invalid("INVALID_ANSWER", format!("`{}` is not {wanted}", excerpt(answer))).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::super::harness::{Harness, codes};
    use super::*;

    async fn asked(fields: Value) -> (Harness, Question) {
        let harness = Harness::new(NodeKind::UserResponse, fields).inputs(json!({"default": {"who": "friend"}}));
        match harness.node.run(&harness.cx).await.expect("it asks") {
            Outcome::Wait(question) => (harness, *question),
            Outcome::Done(output) => panic!("it did not ask: {output:?}"),
        }
    }

    async fn check(fields: Value, answer: Value, expected: Option<Value>) {
        let (harness, question) = asked(fields.clone()).await;
        let checked = harness.node.check_answer(&question, answer.clone());
        let Some(expected) = expected else {
            assert_eq!(checked.expect_err("it is refused").code(), "INVALID_ANSWER", "{fields} {answer}");
            return;
        };
        let checked = checked.unwrap_or_else(|error| panic!("{fields} {answer}: {error}"));
        match harness.node.resume(&harness.cx, &question, checked).await.expect("it goes on") {
            Outcome::Done(output) => assert_eq!(*output.body, expected, "{fields} {answer}"),
            Outcome::Wait(_) => panic!("it asks again"),
        }
    }

    #[tokio::test]
    async fn answers_are_checked_and_typed() {
        let with = |more: Value| {
            let mut fields = json!({"prompt": "?"});
            fields.as_object_mut().expect("a map").extend(more.as_object().cloned().expect("a map"));
            fields
        };
        for (more, answer, expected) in [
            (json!({}), json!("Ann"), Some(json!("Ann"))),
            (json!({}), json!(3), Some(json!("3"))),
            (json!({}), json!({"a": 1}), None),
            (json!({"validation_type": "number"}), json!("30"), Some(json!(30))),
            (json!({"validation_type": "number"}), json!(2.5), Some(json!(2.5))),
            (json!({"validation_type": "number"}), json!(" +1e3 "), Some(json!(1000.0))),
            (json!({"validation_type": "number"}), json!("x"), None),
            (json!({"validation_type": "number"}), json!("inf"), None),
            (json!({"validation_type": "number"}), json!("[1]"), None),
            (json!({"validation_type": "boolean"}), json!("No"), Some(json!(false))),
            (json!({"validation_type": "boolean"}), json!("maybe"), None),
            (json!({"options": ["Red", 2]}), json!("red"), Some(json!("Red"))),
            (json!({"options": ["Red", 2]}), json!("2"), Some(json!(2))),
            (json!({"options": ["Red", 2]}), json!("blue"), None),
            (json!({"approval": true}), json!("approve"), Some(json!(true))),
            (json!({"approval": true}), json!(false), Some(json!(false))),
            (json!({"approval": true}), json!({"approved": "yes", "comment": "fine"}), Some(json!(true))),
            (json!({"approval": true}), json!("later"), None),
        ] {
            check(with(more), answer, expected).await;
        }
    }

    #[tokio::test]
    async fn the_question_is_rendered_and_has_its_deadline() {
        let (_, question) = asked(json!({"prompt": "Your name, {{who}}?", "timeout": 1.5})).await;
        assert_eq!((question.prompt.as_str(), question.reason), ("Your name, friend?", PauseReason::Input));
        assert_eq!(question.deadline.map(|it| it.0), Some(1_767_323_047_178));
        let (_, question) = asked(json!({"prompt": "Go on?", "approval": true})).await;
        assert_eq!((question.reason, question.deadline), (PauseReason::Approval, None));
    }

    #[tokio::test]
    async fn a_comment_stands_in_the_meta() {
        let (harness, question) = asked(json!({"prompt": "?", "approval": true})).await;
        let answer = json!({"approved": true, "comment": "fine"});
        let checked = harness.node.check_answer(&question, answer).expect("it fits");
        match harness.node.resume(&harness.cx, &question, checked).await.expect("it goes on") {
            Outcome::Done(output) => assert_eq!(output.meta["comment"], json!("fine")),
            Outcome::Wait(_) => panic!("it asks again"),
        }
    }

    #[tokio::test]
    async fn an_unanswered_question_takes_its_default_or_fails() {
        let (harness, question) = asked(json!({"prompt": "?", "timeout": 1, "default": "blue"})).await;
        match harness.node.expire(&question).expect("it has a default") {
            Outcome::Done(output) => assert_eq!(*output.body, json!("blue")),
            Outcome::Wait(_) => panic!("it asks again"),
        }
        let (harness, question) = asked(json!({"prompt": "?", "timeout": 1})).await;
        assert_eq!(harness.node.expire(&question).expect_err("no default").code(), "ANSWER_TIMEOUT");
    }

    #[test]
    fn diagnostics_name_each_mistake_once() {
        for (fields, expected) in [
            (json!({}), vec!["E401"]),
            (json!({"prompt": "{{#if x}}"}), vec!["E602"]),
            (json!({"prompt": "?", "options": "red"}), vec!["E402"]),
            (json!({"prompt": "?", "options": ["a"], "default": "b"}), vec!["E403"]),
            (json!({"prompt": "?", "validation_type": "nmber"}), vec!["E403"]),
            (json!({"prompt": "?", "timeout": 0}), vec!["E404"]),
        ] {
            assert_eq!(codes(NodeKind::UserResponse, fields.clone()), expected, "{fields}");
        }
    }
}
