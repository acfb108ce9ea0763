//! Reads the fields of an object that a client sent: each by name, every problem at once, and what nobody asked for is
//! a problem too.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::nearest::nearest;

/// Longest part of a bad value that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// An object that is being read.
pub(super) struct Fields {
    rest: Map<String, Value>,
    known: Vec<&'static str>,
    problems: Vec<String>,
}

impl Fields {
    /// Nothing is read yet. What is `null` is absent.
    pub fn new(mut object: Map<String, Value>) -> Self {
        object.retain(|_, value| !value.is_null());
        Self { rest: object, known: Vec::new(), problems: Vec::new() }
    }

    /// Takes a field, whatever it holds.
    pub fn value(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.rest.remove(name)
    }

    /// Takes a text.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) => Some(text),
            other => self.refuse(name, "a text", &other),
        }
    }

    /// Takes a text that must be there; empty when it is not.
    pub fn needed_text(&mut self, name: &'static str) -> String {
        let is_there = self.rest.contains_key(name);
        let text = self.text(name);
        if !is_there {
            self.problem(format!("`{name}` is missing"));
        }
        text.unwrap_or_default()
    }

    /// Takes a whole number that is not negative.
    pub fn number(&mut self, name: &'static str) -> Option<u64> {
        let value = self.value(name)?;
        match value.as_u64() {
            Some(number) => Some(number),
            None => self.refuse(name, "a whole number from 0 on", &value),
        }
    }

    /// Takes a list of texts.
    pub fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        let value = self.value(name)?;
        let texts = value.as_array().map(|it| it.iter().map(|it| it.as_str().map(str::to_owned)).collect());
        match texts {
            Some(Some(texts)) => Some(texts),
            _ => self.refuse(name, "a list of texts", &value),
        }
    }

    /// Notes that something else is wrong.
    pub fn problem(&mut self, message: String) {
        self.problems.push(message);
    }

    fn refuse<T>(&mut self, name: &str, wanted: &str, found: &Value) -> Option<T> {
        self.problem(format!("`{name}` must be {wanted}, not `{}`", cut(&found.to_string())));
        None
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` with every problem.
    pub fn finish(mut self) -> Result<(), Error> {
        for name in self.rest.keys() {
            let near = nearest(name, self.known.iter().copied());
            let near = near.map(|it| format!(", did you mean `{it}`?")).unwrap_or_default();
            self.problems.push(format!("there is no `{}`{near}", cut(name)));
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        let known: Vec<String> = self.known.iter().map(|it| format!("`{it}`")).collect();
        Err(Error::invalid("INVALID_INPUT", self.problems.join("; "))
            .hint(format!("what can be given is {}", known.join(", "))))
    }
}

/// As much of a text as a message repeats.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_problem_is_told_at_once() {
        let object = json!({"node": 7, "sinec": 3, "since": -1, "breakpoints": ["a", 1], "reason": null});
        let mut fields = Fields::new(object.as_object().cloned().expect("an object"));
        assert_eq!(fields.text("node"), None);
        assert_eq!(fields.number("since"), None);
        assert_eq!(fields.texts("breakpoints"), None);
        assert_eq!(fields.text("reason"), None);
        assert_eq!(fields.needed_text("topic"), "");
        let error = fields.finish().expect_err("five problems");
        assert_eq!(
            error.message(),
            "`node` must be a text, not `7`; `since` must be a whole number from 0 on, not `-1`; `breakpoints` \
             must be a list of texts, not `[\"a\",1]`; `topic` is missing; there is no `sinec`, did you mean `since`?"
        );
        assert_eq!(error.hint_text(), Some("what can be given is `node`, `since`, `breakpoints`, `reason`, `topic`"));
    }
}
