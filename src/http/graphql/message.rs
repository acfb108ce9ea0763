//! The messages of `graphql-transport-ws`, in both directions.

use async_graphql::ServerError;
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::parameters::Parameters;
use crate::error::Error;

/// The subprotocol; others are older and less defined.
pub const PROTOCOL: &str = "graphql-transport-ws";

/// Most characters of an operation's id.
const ID_CHARS_MAX: usize = 200;

/// What a client says.
#[derive(Debug)]
pub enum FromClient {
    Init(Map<String, Value>),
    Ping(Option<Value>),
    Pong,
    Subscribe { id: String, request: Result<Parameters, Error> },
    Complete { id: String },
}

impl FromClient {
    /// Reads a message; what cannot be read says why.
    ///
    /// # Errors
    ///
    /// The reason for closing the connection.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut fields = match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err("a message is an object".to_owned()),
            Err(_) => return Err("the message is not JSON".to_owned()),
        };
        let kind = match fields.remove("type") {
            Some(Value::String(kind)) => kind,
            _ => return Err("the message has no `type`".to_owned()),
        };
        let payload = fields.remove("payload").filter(|it| !it.is_null());
        match kind.as_str() {
            "connection_init" => match payload {
                None => Ok(Self::Init(Map::new())),
                Some(Value::Object(map)) => Ok(Self::Init(map)),
                Some(_) => Err("the payload of `connection_init` is an object".to_owned()),
            },
            "ping" => Ok(Self::Ping(payload)),
            "pong" => Ok(Self::Pong),
            "subscribe" => {
                let id = id(&mut fields)?;
                let payload = payload.ok_or("`subscribe` has no `payload`")?;
                Ok(Self::Subscribe { id, request: Parameters::read(payload) })
            }
            "complete" => Ok(Self::Complete { id: id(&mut fields)? }),
            _ => Err("there is no message of that type".to_owned()),
        }
    }
}

fn id(fields: &mut Map<String, Value>) -> Result<String, String> {
    match fields.remove("id") {
        Some(Value::String(id)) if (1..=ID_CHARS_MAX).contains(&id.chars().count()) => Ok(id),
        _ => Err(format!("the `id` of an operation is a text of 1 to {ID_CHARS_MAX} characters")),
    }
}

/// What the server says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToClient<'m> {
    ConnectionAck,
    Ping,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Value>,
    },
    Next {
        id: &'m str,
        payload: &'m Answer,
    },
    Error {
        id: &'m str,
        payload: &'m [ServerError],
    },
    Complete {
        id: &'m str,
    },
}

impl ToClient<'_> {
    /// The text that is sent.
    pub fn to_text(&self) -> String {
        // An answer is made of values that are JSON.
        serde_json::to_string(self).unwrap_or_else(|error| {
            tracing::error!("a message is no JSON: {error}");
            String::new()
        })
    }
}

/// Why a connection is closed: the codes of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    pub code: u16,
    pub reason: String,
}

impl Closing {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        // A control frame holds 125 bytes, two of which are the code.
        let reason: String = reason.into();
        Self { code, reason: reason.chars().filter(char::is_ascii).take(120).collect() }
    }

    /// The server ends.
    pub fn going_away() -> Self {
        Self::new(1001, "the server stops")
    }

    /// The client gives no sign of life.
    pub fn silent() -> Self {
        Self::new(1001, "no answer to a ping")
    }

    /// What came is no message of the protocol.
    pub fn bad_message(reason: String) -> Self {
        Self::new(4400, reason)
    }

    /// Nobody said who they are, or an operation came before the handshake.
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        Self::new(4401, reason)
    }

    /// Whoever they say they are is not let in.
    pub fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(4403, reason)
    }

    /// Another subprotocol is spoken.
    pub fn unknown_protocol() -> Self {
        Self::new(4406, format!("speak `{PROTOCOL}`"))
    }

    /// The handshake did not come.
    pub fn too_late() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }

    /// The id of an operation is in use.
    pub fn taken(id: &str) -> Self {
        Self::new(4409, format!("Subscriber for {id} already exists"))
    }

    /// A second handshake.
    pub fn twice() -> Self {
        Self::new(4429, "Too many initialisation requests")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_are_none_say_why() {
        let long = format!("{{\"type\": \"complete\", \"id\": \"{}\"}}", "x".repeat(201));
        for (text, expected) in [
            ("", "the message is not JSON"),
            ("[]", "a message is an object"),
            ("{}", "the message has no `type`"),
            ("{\"type\": 1}", "the message has no `type`"),
            ("{\"type\": \"start\"}", "there is no message of that type"),
            ("{\"type\": \"connection_init\", \"payload\": 1}", "the payload of `connection_init` is an object"),
            ("{\"type\": \"subscribe\", \"id\": \"1\"}", "`subscribe` has no `payload`"),
            ("{\"type\": \"subscribe\", \"payload\": {}}", "the `id` of an operation is a text of 1 to 200 characters"),
            ("{\"type\": \"complete\", \"id\": 1}", "the `id` of an operation is a text of 1 to 200 characters"),
            (&long, "the `id` of an operation is a text of 1 to 200 characters"),
        ] {
            assert_eq!(FromClient::parse(text).expect_err(text), expected, "{text}");
        }
        let wrong = FromClient::parse("{\"type\": \"subscribe\", \"id\": \"1\", \"payload\": {\"query\": 1}}");
        let Ok(FromClient::Subscribe { request: Err(error), .. }) = wrong else { panic!("{wrong:?}") };
        assert_eq!(error.code(), "INVALID_INPUT");
    }

    #[test]
    fn a_reason_fits_into_a_frame() {
        assert!(Closing::taken(&"ä€x".repeat(200)).reason.len() <= 123);
        assert_eq!(Closing::taken("a").reason, "Subscriber for a already exists");
    }
}
