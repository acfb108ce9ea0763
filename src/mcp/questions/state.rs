//! The name of a question, sealed: what a modern client carries from the result that asks to the call that
//! answers. Readable by anybody and made by nobody but us: it is bound to who asked, to the tool and to its
//! arguments.
//!
//! It names one round of one question and is used up with it: the first valid answer closes the round, and
//! whatever comes with the same state after that is refused as `ALREADY_ANSWERED`, by any process on the database.

use rmcp::model::{JsonObject, RequestStateCodec, SealOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::config::sha256;
use crate::error::Error;
use crate::handlers::questions::Asked;

/// How long a form may stay open, in milliseconds (mcp.md 2.5).
pub const OPEN_MS_MAX: i64 = 10 * 60 * 1_000;

/// What travels with a form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    pub asked: Asked,
    /// Answers to this question that were refused so far.
    pub n_refused: u32,
    /// Milliseconds since 1970.
    expires_at: i64,
}

impl Pending {
    /// A form that is shown at `now`.
    pub fn new(asked: Asked, n_refused: u32, now: Timestamp) -> Self {
        Self { asked, n_refused, expires_at: now.plus_ms(OPEN_MS_MAX).0 }
    }
}

/// Seals and opens for one caller and one call.
pub struct Seal {
    codec: RequestStateCodec,
    context: String,
}

impl Seal {
    /// Makes the seal of a call of `tool` by `principal`.
    ///
    /// # Errors
    ///
    /// `INTERNAL` when the key is too short.
    pub fn new(key: [u8; 32], principal: &str, tool: &str, arguments: &JsonObject) -> Result<Self, Error> {
        let codec = RequestStateCodec::try_new(key.to_vec())
            .map_err(|error| Error::internal("the key for request states is unfit").source(error))?;
        // Clients may write the arguments of the second call in another order.
        let digest = sha256(&sorted(&Value::Object(arguments.clone())).to_string());
        Ok(Self { codec, context: json!(["tools/call", principal, tool, digest]).to_string() })
    }

    /// Seals `pending` into one text.
    ///
    /// # Errors
    ///
    /// `INTERNAL` when it has no JSON form.
    pub fn seal(&self, pending: &Pending) -> Result<String, Error> {
        let payload = serde_json::to_vec(pending)
            .map_err(|error| Error::internal("a request state has no JSON form").source(error))?;
        Ok(self.codec.seal_with(&payload, &SealOptions::new().associated_data(self.context.as_bytes())))
    }

    /// Opens what a client sent back.
    ///
    /// # Errors
    ///
    /// `INVALID_REQUEST_STATE` when it was not sealed for this call, `REQUEST_STATE_EXPIRED`.
    pub fn open(&self, text: &str, now: Timestamp) -> Result<Pending, Error> {
        let opened = self.codec.open_with(text, self.context.as_bytes()).map_err(invalid)?;
        let pending: Pending = serde_json::from_slice(&opened).map_err(invalid)?;
        if pending.expires_at < now.0 {
            let id = &pending.asked.execution_id;
            return Err(Error::conflict("REQUEST_STATE_EXPIRED", format!("the form of `{id}` was open for too long"))
                .hint(format!(
                    "see_result {{\"execution_id\":\"{id}\",\"wait_seconds\":20}} shows what it waits for now"
                )));
        }
        Ok(pending)
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid("INVALID_REQUEST_STATE", "`requestState` was not made by this server for this call")
        .hint("send it back unchanged, as the same user, with the same arguments; or call the tool without it")
        .source(error)
}

/// The same value with the keys of its objects in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            Value::Object(keys.into_iter().map(|(key, it)| (key.clone(), sorted(it))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_323_045_678);

    fn pending() -> Pending {
        let asked = Asked {
            execution_id: "exec_1".into(),
            asking_id: "exec_2".into(),
            node_id: "node_1".into(),
            iteration: 3,
            number: 1,
        };
        Pending::new(asked, 1, NOW)
    }

    fn seal(key: u8, principal: &str, tool: &str, arguments: Value) -> Seal {
        let arguments = arguments.as_object().cloned().expect("an object");
        Seal::new([key; 32], principal, tool, &arguments).expect("the key is long enough")
    }

    #[test]
    fn a_state_opens_for_the_same_call_of_the_same_caller_only() {
        let sealed = seal(1, "ada", "dipeo_run", json!({"a": {"x": 1, "y": [2]}, "b": 2})).seal(&pending());
        let sealed = sealed.expect("sealed");
        let same = seal(1, "ada", "dipeo_run", json!({"b": 2, "a": {"y": [2], "x": 1}}));
        assert_eq!(same.open(&sealed, NOW).expect("it opens"), pending());
        for (name, other) in [
            ("key", seal(2, "ada", "dipeo_run", json!({"a": {"x": 1, "y": [2]}, "b": 2}))),
            ("principal", seal(1, "bob", "dipeo_run", json!({"a": {"x": 1, "y": [2]}, "b": 2}))),
            ("tool", seal(1, "ada", "see_result", json!({"a": {"x": 1, "y": [2]}, "b": 2}))),
            ("arguments", seal(1, "ada", "dipeo_run", json!({"a": {"x": 1, "y": [3]}, "b": 2}))),
        ] {
            assert_eq!(other.open(&sealed, NOW).expect_err(name).code(), "INVALID_REQUEST_STATE", "{name}");
        }
    }

    #[test]
    fn whatever_is_changed_in_a_state_breaks_it() {
        let seal = seal(1, "ada", "dipeo_run", json!({}));
        let sealed = seal.seal(&pending()).expect("sealed");
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(bytes).expect("ASCII");
            // The last character of a part may hold bits that mean nothing.
            if let Ok(opened) = seal.open(&text, NOW) {
                assert_eq!(opened, pending(), "{at}");
            }
        }
        for text in ["", ".", "rs1..", "rs1.AAAA.AAAA", &sealed[..sealed.len() - 4]] {
            assert_eq!(seal.open(text, NOW).expect_err(text).code(), "INVALID_REQUEST_STATE", "{text}");
        }
    }

    #[test]
    fn a_state_expires_after_ten_minutes_and_says_where_to_go_on() {
        let seal = seal(1, "ada", "dipeo_run", json!({}));
        let sealed = seal.seal(&pending()).expect("sealed");
        seal.open(&sealed, NOW.plus_ms(OPEN_MS_MAX)).expect("just in time");
        let error = seal.open(&sealed, NOW.plus_ms(OPEN_MS_MAX + 1)).expect_err("too late");
        assert_eq!(error.code(), "REQUEST_STATE_EXPIRED");
        assert!(error.hint_text().is_some_and(|it| it.contains("exec_1")), "{error:?}");
    }
}
