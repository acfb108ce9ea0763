//! Frames of `/ws`: what a client may say, read with every problem at once, and what it is answered
//! (platform.md 6.2).

use serde_json::{Map, Value, json};

use super::fields::{Fields, cut};
use crate::error::Error;
use crate::handlers::control_execution;
use crate::handlers::follow_execution::EventRecord;
use crate::ids::ExecutionId;
use crate::nearest::nearest;

/// What a client asks for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Auth { token: String },
    Subscribe { topic: Topic, since: Option<u64> },
    Unsubscribe { topic: Topic },
    Control(control_execution::Request),
    Inspect { execution_id: String, node: Option<String>, what: Option<What> },
}

const TYPES: [&str; 5] = ["auth", "subscribe", "unsubscribe", "control", "inspect"];

/// What can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// Beginnings, pauses and ends of all executions.
    Executions,
    Execution(ExecutionId),
}

/// The part of an execution that is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Variables,
    Messages,
    Inputs,
    Pending,
}

impl What {
    const ALL: [(&str, Self); 4] = [
        ("variables", Self::Variables),
        ("messages", Self::Messages),
        ("inputs", Self::Inputs),
        ("pending", Self::Pending),
    ];
}

impl Topic {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "executions" => Some(Self::Executions),
            Some(("execution", id)) => ExecutionId::parse(id).ok().map(Self::Execution),
            _ => None,
        }
    }

    /// The text that [`Topic::parse`] reads.
    pub fn name(&self) -> String {
        match self {
            Self::Executions => "executions".to_owned(),
            Self::Execution(id) => format!("execution:{id}"),
        }
    }
}

/// Reads the JSON object of one frame.
///
/// # Errors
///
/// `INVALID_JSON`.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(text).map_err(|e| {
        Error::invalid("INVALID_JSON", "the frame is not a JSON object")
            .hint("send one object in each text frame")
            .details(json!({"problem": e.to_string()}))
    })
}

/// Takes out what the client calls the frame by; answers to it say so.
pub(super) fn take_id(object: &mut Map<String, Value>) -> Option<Value> {
    let is_name = object.get("id").is_some_and(|it| it.is_string() || it.is_number());
    if is_name { object.remove("id") } else { None }
}

/// Reads a frame.
///
/// # Errors
///
/// `INVALID_INPUT` with every problem.
pub(super) fn read(object: Map<String, Value>) -> Result<Asked, Error> {
    let mut fields = Fields::new(object);
    let kind = fields.needed_text("type");
    let asked = match kind.as_str() {
        "auth" => Some(Asked::Auth { token: fields.needed_text("token") }),
        "subscribe" => {
            let topic = topic(&mut fields);
            let since = fields.number("since");
            topic.map(|topic| Asked::Subscribe { topic, since })
        }
        "unsubscribe" => topic(&mut fields).map(|topic| Asked::Unsubscribe { topic }),
        "control" => Some(Asked::Control(control(&mut fields))),
        "inspect" => Some(Asked::Inspect {
            execution_id: fields.needed_text("execution_id"),
            node: fields.text("node"),
            what: what(&mut fields),
        }),
        // Its other fields cannot be judged.
        other => return Err(unknown_type(other, &TYPES, "type")),
    };
    fields.finish()?;
    asked.ok_or_else(|| Error::internal("a frame without a topic was taken for a good one"))
}

fn topic(fields: &mut Fields) -> Option<Topic> {
    let text = fields.needed_text("topic");
    let topic = Topic::parse(&text);
    if topic.is_none() && !text.is_empty() {
        fields.problem(format!("`topic` must be `executions` or `execution:ID`, not `{}`", cut(&text)));
    }
    topic
}

/// The action of a control frame. Events tell what comes of it, so it waits for nothing unless asked.
fn control(fields: &mut Fields) -> control_execution::Request {
    control_execution::Request {
        execution_id: fields.needed_text("execution_id"),
        action: fields.needed_text("action"),
        node: fields.text("node"),
        value: fields.value("value"),
        wait_seconds: Some(u32::try_from(fields.number("wait_seconds").unwrap_or(0)).unwrap_or(u32::MAX)),
        reason: fields.text("reason"),
    }
}

/// Takes the part that is looked into.
pub(super) fn what(fields: &mut Fields) -> Option<What> {
    let text = fields.text("what")?;
    let found = What::ALL.iter().find(|(name, _)| *name == text).map(|it| it.1);
    if found.is_none() {
        let words: Vec<&str> = What::ALL.iter().map(|it| it.0).collect();
        fields.problem(format!("`what` must be one of {}, not `{}`", words.join(", "), cut(&text)));
    }
    found
}

/// The error for a word that says what a frame is, and is none of those known.
pub(super) fn unknown_type(found: &str, known: &[&'static str], field: &str) -> Error {
    let near = nearest(found, known.iter().copied()).map(|it| format!("did you mean `{it}`? ")).unwrap_or_default();
    let message = match found {
        "" => format!("the frame has no `{field}`"),
        _ => format!("there is no frame of {field} `{}`", cut(found)),
    };
    Error::invalid("INVALID_INPUT", message).hint(format!("{near}`{field}` is one of {}", known.join(", ")))
}

/// An event of a topic, flat.
pub(super) fn event(topic: &str, event: EventRecord) -> Value {
    let mut frame = Map::new();
    frame.insert("type".into(), "event".into());
    frame.insert("topic".into(), topic.into());
    frame.insert("event".into(), event.event.into());
    for (name, value) in event.data {
        frame.entry(name).or_insert(value);
    }
    Value::Object(frame)
}

/// An error; the socket stays open.
pub(super) fn error(error: &Error, id: Option<&Value>) -> Value {
    replying(json!({"type": "error", "error": error.to_json()}), id)
}

/// Adds which frame this answers.
pub(super) fn replying(mut frame: Value, id: Option<&Value>) -> Value {
    if let Some(id) = id {
        frame["in_reply_to"] = id.clone();
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "exec_00000000000000000000000000000001";

    fn message(text: &str) -> String {
        let read = object(text).and_then(read);
        read.map(|it| format!("{it:?}")).unwrap_or_else(|it| format!("{}: {}", it.code(), it.message()))
    }

    #[test]
    fn every_wrong_frame_has_its_sentence() {
        for (text, expected) in [
            ("", "INVALID_JSON: the frame is not a JSON object"),
            ("[]", "INVALID_JSON: the frame is not a JSON object"),
            ("{\"type\":", "INVALID_JSON: the frame is not a JSON object"),
            ("{}", "INVALID_INPUT: the frame has no `type`"),
            (r#"{"type":7}"#, "INVALID_INPUT: the frame has no `type`"),
            (r#"{"type":"subscrib"}"#, "INVALID_INPUT: there is no frame of type `subscrib`"),
            (r#"{"type":"subscribe"}"#, "INVALID_INPUT: `topic` is missing"),
            (
                r#"{"type":"subscribe","topic":"execution:7","sinec":1}"#,
                "INVALID_INPUT: `topic` must be `executions` or `execution:ID`, not `execution:7`; there is no `sinec`, \
                 did you mean `since`?",
            ),
            (
                r#"{"type":"unsubscribe","topic":"all"}"#,
                "INVALID_INPUT: `topic` must be `executions` or `execution:ID`, not `all`",
            ),
            (r#"{"type":"control"}"#, "INVALID_INPUT: `execution_id` is missing; `action` is missing"),
            (
                r#"{"type":"inspect","execution_id":"x","what":"all"}"#,
                "INVALID_INPUT: `what` must be one of variables, messages, inputs, pending, not `all`",
            ),
            (r#"{"type":"auth"}"#, "INVALID_INPUT: `token` is missing"),
        ] {
            assert_eq!(message(text), expected, "{text}");
        }
    }

    #[test]
    fn every_good_frame_is_read() {
        for (frame, expected) in [
            (json!({"type": "auth", "token": "t"}), "Auth { token: \"t\" }"),
            (json!({"type": "subscribe", "topic": "executions"}), "Subscribe { topic: Executions, since: None }"),
            (json!({"type": "unsubscribe", "topic": "executions"}), "Unsubscribe { topic: Executions }"),
            (
                json!({"type": "inspect", "execution_id": ID, "node": "a", "what": "inputs"}),
                "Inspect { execution_id: \"exec_00000000000000000000000000000001\", node: Some(\"a\"), what: Some(Inputs) }",
            ),
        ] {
            assert_eq!(message(&frame.to_string()), expected);
        }
        let frame =
            json!({"type": "control", "execution_id": ID, "action": "answer", "value": {"a": 1}, "reason": null});
        let Ok(Asked::Control(request)) = read(frame.as_object().cloned().expect("an object")) else { panic!() };
        assert_eq!((request.value, request.wait_seconds), (Some(json!({"a": 1})), Some(0)));
        let topic = Topic::parse(&format!("execution:{ID}")).expect("a topic");
        assert_eq!(topic.name(), format!("execution:{ID}"));
    }

    #[test]
    fn an_event_never_looks_like_another_frame() {
        let data = json!({"execution_id": "e", "seq": 1, "type": "error", "topic": "x"});
        let record = EventRecord { seq: 1, event: "message".into(), data: data.as_object().cloned().expect("it") };
        assert_eq!(
            event("execution:e", record),
            json!({"type": "event", "topic": "execution:e", "event": "message", "execution_id": "e", "seq": 1})
        );
    }
}
