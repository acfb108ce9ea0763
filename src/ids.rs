//! Identifiers. An id that came from outside is parsed here once; inside it is a type.

use std::fmt;

use crate::error::Error;

/// Names one execution: `exec_` and 32 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExecutionId(String);

impl ExecutionId {
    /// Makes a fresh, unguessable id (122 random bits): an id is also the handle to its execution.
    pub fn random() -> Self {
        Self(format!("exec_{}", uuid::Uuid::new_v4().simple()))
    }

    /// Reads an id that came from outside.
    ///
    /// # Errors
    ///
    /// `Invalid` when it is not `exec_` and 32 lower-case hex digits.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let digits = text.strip_prefix("exec_").unwrap_or_default();
        let is_hex = digits.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        if digits.len() != 32 || !is_hex {
            let shown: String = text.chars().take(80).collect();
            return Err(Error::invalid("INVALID_EXECUTION_ID", format!("`{shown}` is not an execution id"))
                .hint("use the `execution_id` that `dipeo_run` or `dipeo run` returned")
                .details(serde_json::json!({"expected_format": "exec_[32-char-hex]"})));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns `text` with `exec_` for each id of an execution: no two runs have the same.
pub fn without_execution_ids(text: &str) -> String {
    const PREFIX: &str = "exec_";
    const DIGITS: usize = 32;
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(PREFIX) {
        let (before, id) = rest.split_at(at + PREFIX.len());
        clean.push_str(before);
        let is_id = id.len() >= DIGITS && id.bytes().take(DIGITS).all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        rest = if is_id { &id[DIGITS..] } else { id };
    }
    clean.push_str(rest);
    clean
}

/// Makes the random name of a process that may own executions.
pub fn owner_id() -> String {
    format!("own_{}", uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_pattern_is_an_execution_id() {
        let good = format!("exec_{}", "0a".repeat(16));
        assert_eq!(ExecutionId::parse(&good).expect("well formed").as_str(), good);
        for bad in
            ["", "exec_", "exec_XYZ", "exec_0A", &format!("exec_{}", "A".repeat(32)), &good[5..], &format!("{good}0")]
        {
            assert_eq!(ExecutionId::parse(bad).expect_err(bad).code(), "INVALID_EXECUTION_ID");
        }
    }

    #[test]
    fn a_random_id_reads_back() {
        let id = ExecutionId::random();
        assert_eq!(ExecutionId::parse(id.as_str()).expect("own pattern"), id);
    }
}
