//! A waiting question as one flat form, and a filled-in form as an answer. It must not know who shows the form:
//! a request of ours, the result of a call, or a task that waits for input.

use rmcp::model::{ElicitRequest, ElicitRequestParams, ElicitationSchema, InputRequest, JsonObject};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::handlers::execution_object::Waiting;

/// The name of the only field of a question that asks for one value.
const FIELD: &str = "answer";
/// What a person may add to a yes or no.
const COMMENT: &str = "comment";
/// Longest question a form shows, in characters: a form is read by a person, in one look.
const MESSAGE_CHARS_MAX: usize = 4_000;
/// Fields of one form, at most.
const FIELDS_MAX: usize = 20;
/// Options of one field, at most.
const OPTIONS_MAX: usize = 200;

/// What a flat form may say about a field, besides its type and options.
const KEYWORDS: [&str; 8] =
    ["title", "description", "default", "format", "minLength", "maxLength", "minimum", "maximum"];

/// Words of a question that asks for a secret. A form is no place for one: the client keeps what was typed.
const SECRET_WORDS: [&str; 16] = [
    "password",
    "passwort",
    "passphrase",
    "passcode",
    "secret",
    "api key",
    "api-key",
    "api_key",
    "apikey",
    "access key",
    "private key",
    "token",
    "credential",
    "credit card",
    "security code",
    "one-time code",
];

/// One question as a form.
#[derive(Clone, Debug)]
pub struct Form {
    label: String,
    prompt: String,
    deadline: Option<String>,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// One value, with its JSON Schema.
    One(Value),
    /// Yes or no, and a comment.
    Approval,
    /// An object of values: its properties and the names of those that must be given.
    Fields(Map<String, Value>, Vec<String>),
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The answer, as its node takes it.
    Answer(Value),
    /// The user declined or closed the form.
    Declined,
}

impl Form {
    /// Makes the form of a question that waits for a person. `None` for what no flat form can ask: a question
    /// for a model, for an operator, without a schema, with a nested one, or for a secret.
    pub fn of(waiting: &Waiting) -> Option<Self> {
        let shape = match waiting.reason.as_str() {
            "approval" => Shape::Approval,
            "input" => shape_of(waiting)?,
            _ => return None,
        };
        if asks_for_secret(waiting, &shape) {
            return None;
        }
        Some(Self {
            label: waiting.label.clone(),
            prompt: waiting.prompt.clone(),
            deadline: waiting.deadline.clone(),
            shape,
        })
    }

    /// The request that shows the form; `problem` says why an earlier answer was refused.
    pub fn params(&self, problem: Option<&str>) -> Result<ElicitRequestParams, Error> {
        let broken = |error| Error::internal("a question could not be made a form").source(error);
        Ok(ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: self.message(problem),
            requested_schema: ElicitationSchema::from_json_schema(self.schema()).map_err(broken)?,
        })
    }

    /// [`Form::params`] as one of the input requests of a result.
    pub fn input_request(&self, problem: Option<&str>) -> Result<InputRequest, Error> {
        Ok(InputRequest::Elicitation(ElicitRequest::new(self.params(problem)?)))
    }

    fn message(&self, problem: Option<&str>) -> String {
        let mut text = problem.map(|it| format!("{it}\n\n")).unwrap_or_default();
        let prompt = if self.prompt.trim().is_empty() { &self.label } else { &self.prompt };
        match prompt.char_indices().nth(MESSAGE_CHARS_MAX) {
            Some((end, _)) => text.extend([&prompt[..end], "…"]),
            None => text.push_str(prompt),
        }
        if let Some(deadline) = &self.deadline {
            text.push_str(&format!("\n\n(until {deadline})"));
        }
        text
    }

    fn schema(&self) -> JsonObject {
        let (properties, required) = match &self.shape {
            Shape::One(schema) => {
                let mut field = flat(schema).unwrap_or_default();
                field.entry("title").or_insert_with(|| self.label.clone().into());
                (json!({ FIELD: field }), json!([FIELD]))
            }
            Shape::Approval => {
                let decision = json!({"type": "boolean", "title": self.label, "description": "Yes or no"});
                let comment = json!({"type": "string", "title": "Comment"});
                (json!({ FIELD: decision, COMMENT: comment }), json!([FIELD]))
            }
            Shape::Fields(properties, required) => {
                let fields: Map<String, Value> =
                    properties.iter().filter_map(|(name, it)| Some((name.clone(), flat(it)?.into()))).collect();
                (Value::Object(fields), json!(required))
            }
        };
        Map::from_iter([
            ("type".to_owned(), "object".into()),
            ("properties".to_owned(), properties),
            ("required".to_owned(), required),
        ])
    }

    /// Reads what a client sends back: `{action, content}`.
    ///
    /// # Errors
    ///
    /// `INVALID_ANSWER` when it is no reply to this form.
    pub fn reply(&self, sent: &Value) -> Result<Reply, Error> {
        match sent.get("action").and_then(Value::as_str) {
            Some("decline" | "cancel") => Ok(Reply::Declined),
            Some("accept") => {
                let empty = Map::new();
                let content = sent.get("content").and_then(Value::as_object).unwrap_or(&empty);
                self.answer(content).map(Reply::Answer)
            }
            _ => Err(invalid("the reply to the form has no `action`", "send accept, decline or cancel")),
        }
    }

    fn answer(&self, content: &JsonObject) -> Result<Value, Error> {
        let given = |name: &str| content.get(name).filter(|it| !it.is_null());
        let missing = |name: &str| invalid(format!("`{name}` is missing"), "fill in the form");
        match &self.shape {
            Shape::One(schema) => given(FIELD).map(|it| restored(it, schema)).ok_or_else(|| missing(FIELD)),
            Shape::Approval => {
                let decision = given(FIELD).ok_or_else(|| missing(FIELD))?;
                Ok(match given(COMMENT) {
                    Some(Value::String(comment)) if !comment.trim().is_empty() => {
                        json!({"approved": decision, "comment": comment})
                    }
                    _ => decision.clone(),
                })
            }
            Shape::Fields(properties, required) => {
                if let Some(name) = required.iter().find(|it| given(it).is_none()) {
                    return Err(missing(name));
                }
                let fields = properties.iter();
                Ok(Value::Object(
                    fields.filter_map(|(name, it)| Some((name.clone(), restored(given(name)?, it)))).collect(),
                ))
            }
        }
    }
}

fn invalid(message: impl Into<String>, hint: &str) -> Error {
    Error::invalid("INVALID_ANSWER", message).hint(hint)
}

fn shape_of(waiting: &Waiting) -> Option<Shape> {
    if let Some(options) = &waiting.options {
        let one = json!({ "enum": options });
        return flat(&one).map(|_| Shape::One(one));
    }
    let schema = waiting.schema.as_ref()?;
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return flat(schema).map(|_| Shape::One(schema.clone()));
    }
    let properties = schema.get("properties")?.as_object()?;
    let is_flat = properties.values().all(|it| flat(it).is_some());
    if !is_flat || properties.is_empty() || properties.len() > FIELDS_MAX {
        return None;
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let required: Vec<String> = required.filter_map(|it| it.as_str().map(str::to_owned)).collect();
    let knows_all = required.iter().all(|it| properties.contains_key(it));
    knows_all.then(|| Shape::Fields(properties.clone(), required))
}

/// The schema of one value as a form may say it; `None` when it is no text, number, boolean or choice.
fn flat(schema: &Value) -> Option<JsonObject> {
    let schema = schema.as_object()?;
    let mut field = Map::new();
    if let Some(options) = schema.get("enum") {
        let options: Vec<String> = options.as_array()?.iter().map(option).collect::<Option<_>>()?;
        if options.is_empty() || options.len() > OPTIONS_MAX {
            return None;
        }
        field.insert("type".into(), "string".into());
        for keyword in ["title", "description"] {
            field.extend(schema.get(keyword).map(|it| (keyword.to_owned(), it.clone())));
        }
        field.insert("enum".into(), json!(options));
        field.extend(schema.get("default").and_then(option).map(|it| ("default".to_owned(), it.into())));
        return Some(field);
    }
    let kind = schema.get("type")?.as_str()?;
    if !matches!(kind, "string" | "number" | "integer" | "boolean") {
        return None;
    }
    field.insert("type".into(), kind.into());
    for keyword in KEYWORDS {
        field.extend(schema.get(keyword).map(|it| (keyword.to_owned(), it.clone())));
    }
    let is_known = |it: &Value| matches!(it.as_str(), Some("email" | "uri" | "date" | "date-time"));
    if field.get("format").is_some_and(|it| !is_known(it)) {
        field.remove("format");
    }
    // What the form's own types cannot say must not be sent: a node's check is wider than a form.
    let form = json!({"type": "object", "properties": {FIELD: field}});
    let Value::Object(form) = form else { return None };
    ElicitationSchema::from_json_schema(form).is_ok().then_some(field)
}

/// An option as a form shows it: forms know options of text only.
fn option(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The option that was meant, where a form could only show its text.
fn restored(given: &Value, schema: &Value) -> Value {
    let options = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let same = |it: &&Value| *it == given || (!it.is_string() && option(it).as_deref() == given.as_str());
    options.into_iter().find(same).unwrap_or(given).clone()
}

/// Whether somebody would type a secret into the form. Yes, no and choices give none away.
fn asks_for_secret(waiting: &Waiting, shape: &Shape) -> bool {
    let is_typed = |it: &Value| it.get("enum").is_none() && it.get("type").is_some_and(|it| it == "string");
    let is_marked = |it: &Value| {
        it.get("format").is_some_and(|it| it == "password") || it.get("writeOnly").is_some_and(|it| it == true)
    };
    match shape {
        Shape::Approval => false,
        Shape::One(schema) => {
            is_marked(schema) || is_typed(schema) && (names_secret(&waiting.label) || names_secret(&waiting.prompt))
        }
        Shape::Fields(properties, _) => {
            let text = |it: &Value, key: &str| it.get(key).and_then(Value::as_str).is_some_and(names_secret);
            let is_secret = |name: &str, it: &Value| {
                is_marked(it) || is_typed(it) && (names_secret(name) || text(it, "title") || text(it, "description"))
            };
            let types_any = properties.values().any(is_typed);
            properties.iter().any(|(name, it)| is_secret(name, it)) || types_any && names_secret(&waiting.prompt)
        }
    }
}

fn names_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_WORDS.iter().any(|it| text.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(fields: Value) -> Waiting {
        let mut all = json!({
            "node_id": "ask", "label": "ask", "reason": "input", "prompt": "Well?", "since": "2026-01-02T03:04:05Z",
        });
        all.as_object_mut().expect("a map").extend(fields.as_object().cloned().expect("a map"));
        serde_json::from_value(all).expect("a question")
    }

    fn shown(form: &Form) -> (String, Value) {
        let params = serde_json::to_value(form.params(None).expect("a form")).expect("JSON");
        assert_eq!(params["mode"], "form");
        (params["message"].as_str().expect("text").to_owned(), params["requestedSchema"].clone())
    }

    #[test]
    fn each_question_has_its_form_and_each_reply_its_answer() {
        for (question, field, typed, answer) in [
            (
                json!({"schema": {"type": "string"}}),
                json!({"type": "string", "title": "ask"}),
                json!("Ann"),
                json!("Ann"),
            ),
            (
                json!({"schema": {"type": "number", "minimum": 1, "x-own": 2}}),
                json!({"type": "number", "title": "ask", "minimum": 1.0}),
                json!(2.5),
                json!(2.5),
            ),
            (
                json!({"schema": {"type": "boolean"}}),
                json!({"type": "boolean", "title": "ask"}),
                json!(false),
                json!(false),
            ),
            (
                json!({"schema": {"enum": ["Red", 2, true]}, "options": ["Red", 2, true]}),
                json!({"type": "string", "title": "ask", "enum": ["Red", "2", "true"]}),
                json!("2"),
                json!(2),
            ),
            (
                json!({"schema": {"type": "string", "format": "date", "maxLength": 9}}),
                json!({"type": "string", "title": "ask", "maxLength": 9, "format": "date"}),
                json!("x"),
                json!("x"),
            ),
        ] {
            let form = Form::of(&waiting(question.clone())).expect("it is flat");
            let (message, schema) = shown(&form);
            let expected = json!({"type": "object", "properties": {"answer": field}, "required": ["answer"]});
            assert_eq!((message.as_str(), &schema), ("Well?", &expected), "{question}");
            let reply = form.reply(&json!({"action": "accept", "content": {"answer": typed, "more": 1}}));
            assert_eq!(reply.expect("it fits"), Reply::Answer(answer), "{question}");
        }
    }

    #[test]
    fn an_approval_asks_yes_or_no_and_may_have_a_comment() {
        let form = Form::of(&waiting(json!({"reason": "approval", "schema": {"type": "boolean"}}))).expect("flat");
        let (_, schema) = shown(&form);
        assert_eq!(schema["required"], json!(["answer"]));
        assert_eq!(schema["properties"]["comment"]["type"], "string");
        for (content, answer) in [
            (json!({"answer": true}), json!(true)),
            (json!({"answer": false, "comment": " "}), json!(false)),
            (json!({"answer": true, "comment": "fine"}), json!({"approved": true, "comment": "fine"})),
        ] {
            let reply = form.reply(&json!({"action": "accept", "content": content})).expect("it fits");
            assert_eq!(reply, Reply::Answer(answer));
        }
    }

    #[test]
    fn an_object_of_plain_fields_is_a_form_of_several() {
        let schema = json!({
            "type": "object", "required": ["name"],
            "properties": {"name": {"type": "string"}, "size": {"enum": [1, 2]}},
        });
        let form = Form::of(&waiting(json!({"schema": schema}))).expect("flat");
        assert_eq!(shown(&form).1["properties"]["size"], json!({"type": "string", "enum": ["1", "2"]}));
        let reply = |content: Value| form.reply(&json!({"action": "accept", "content": content}));
        let answer = reply(json!({"size": "2", "name": "Ann", "other": 1})).expect("it fits");
        assert_eq!(answer, Reply::Answer(json!({"name": "Ann", "size": 2})));
        assert_eq!(reply(json!({"size": "2"})).expect_err("no name").code(), "INVALID_ANSWER");
    }

    #[test]
    fn what_no_flat_form_can_ask_and_what_asks_for_a_secret_has_none() {
        for question in [
            json!({}),
            json!({"reason": "model", "schema": {"type": "string"}}),
            json!({"reason": "operator"}),
            json!({"schema": {"type": "array", "items": {"type": "string"}}}),
            json!({"schema": {"type": "object", "properties": {"a": {"type": "object"}}}}),
            json!({"schema": {"type": "object", "properties": {}}}),
            json!({"schema": {"type": ["string", "null"]}}),
            json!({"schema": {"enum": [[1]]}}),
            json!({"schema": {"type": "string"}, "prompt": "Your API key?"}),
            json!({"schema": {"type": "string", "format": "password"}}),
            json!({"schema": {"type": "string"}, "label": "Password"}),
            json!({"schema": {"type": "object", "properties": {"db_password": {"type": "string"}}}}),
        ] {
            assert!(Form::of(&waiting(question.clone())).is_none(), "{question}");
        }
        let harmless = json!({"reason": "approval", "prompt": "Replace the API key?"});
        assert!(Form::of(&waiting(harmless)).is_some(), "yes and no give no secret away");
    }

    #[test]
    fn declining_and_closing_are_no_answer_and_nonsense_is_refused() {
        let form = Form::of(&waiting(json!({"schema": {"type": "string"}}))).expect("flat");
        for action in ["decline", "cancel"] {
            assert_eq!(form.reply(&json!({"action": action})).expect("a reply"), Reply::Declined);
        }
        for sent in [json!({}), json!({"action": "maybe"}), json!({"action": "accept"}), json!(7)] {
            assert_eq!(form.reply(&sent).expect_err("no reply").code(), "INVALID_ANSWER", "{sent}");
        }
    }

    #[test]
    fn a_form_says_why_it_is_shown_again_and_until_when_and_is_not_endless() {
        let question = json!({"schema": {"type": "string"}, "prompt": "ä".repeat(9_000), "deadline": "2026-01-02"});
        let form = Form::of(&waiting(question)).expect("flat");
        let message = form.message(Some("`x` is not a number"));
        assert!(message.starts_with("`x` is not a number\n\nää") && message.ends_with("ä…\n\n(until 2026-01-02)"));
        assert_eq!(message.chars().filter(|it| *it == 'ä').count(), MESSAGE_CHARS_MAX);
    }
}
