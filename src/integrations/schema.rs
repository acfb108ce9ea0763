//! JSON Schemas of requests and replies. Nothing is fetched: references stay inside the schema.

use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use serde_json::Value;

use crate::error::Error;

/// Longest reason that a failure shows, in characters; the library quotes whole values.
const REASON_CHARS_MAX: usize = 300;
/// Most reasons one failure lists.
const REASONS_MAX: usize = 5;

/// A schema, made ready when it is first needed.
#[derive(Clone, Debug)]
pub struct Schema {
    value: Value,
    ready: Arc<OnceLock<Result<Validator, String>>>,
}

impl Schema {
    /// Takes a schema; whether it is one is known from [`Schema::problem`].
    pub fn new(value: Value) -> Self {
        Self { value, ready: Arc::default() }
    }

    /// The schema itself.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Why this is no JSON Schema, if it is none.
    pub fn problem(&self) -> Option<String> {
        self.validator().as_ref().err().cloned()
    }

    /// Checks `value`; `what` is its name in the message.
    ///
    /// # Errors
    ///
    /// `VALIDATION_FAILED` with the first reasons. Values of the data are not shown where `is_private` says so.
    pub fn check(&self, value: &Value, what: &str, is_private: bool) -> Result<(), Error> {
        let validator = self.validator().as_ref().map_err(|problem| {
            Error::invalid("VALIDATION_FAILED", format!("the schema of {what} is no JSON Schema: {problem}"))
                .hint("correct the manifest; `dipeo integrations validate` shows the line")
        })?;
        let reasons: Vec<String> = validator
            .iter_errors(value)
            .take(REASONS_MAX)
            .map(|it| {
                let text = if is_private { it.masked().to_string() } else { it.to_string() };
                let path = it.instance_path().as_str().to_owned();
                let place = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
                format!("{place}{}", text.chars().take(REASON_CHARS_MAX).collect::<String>())
            })
            .collect();
        if reasons.is_empty() {
            return Ok(());
        }
        Err(Error::invalid("VALIDATION_FAILED", format!("{what} does not fit its schema: {}", reasons.join("; ")))
            .hint("correct `config`, or the schema in the provider's manifest"))
    }

    fn validator(&self) -> &Result<Validator, String> {
        self.ready.get_or_init(|| {
            if !self.value.is_object() && !self.value.is_boolean() {
                return Err("it is neither a mapping nor a boolean".to_owned());
            }
            jsonschema::options()
                .offline()
                .build(&self.value)
                .map_err(|it| it.to_string().chars().take(REASON_CHARS_MAX).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let schema =
            Schema::new(json!({"type": "object", "required": ["a"], "properties": {"n": {"type": "integer"}}}));
        assert!(schema.check(&json!({"a": 1, "n": 2}), "the body", false).is_ok());
        let error = schema.check(&json!({"n": "two"}), "the body", false).expect_err("it does not fit");
        assert_eq!(error.code(), "VALIDATION_FAILED");
        assert!(error.message().contains("`/n`") && error.message().contains("\"a\""), "{error}");
        let error = schema.check(&json!({"a": 1, "n": "canary"}), "the body", true).expect_err("it does not fit");
        assert!(!error.message().contains("canary"), "{error}");
    }

    #[test]
    fn what_is_no_schema_or_reaches_outside_is_a_problem() {
        for value in [json!(3), json!({"type": 3}), json!({"$ref": "http://127.0.0.1:9/x"}), json!({"$ref": "#/nope"})]
        {
            assert!(Schema::new(value.clone()).problem().is_some(), "{value}");
        }
        assert_eq!(Schema::new(json!({"type": "string"})).problem(), None);
    }
}
