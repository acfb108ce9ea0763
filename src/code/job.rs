//! One piece of code on its way to an interpreter, and what comes back. These are also the messages
//! between us and our worker processes, so everything here is plain data.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::failure::Failure;
use crate::nodes::ports::CodeJob;

/// What kind of text a job holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Dialect {
    Python,
    /// One Python expression with the additions of diagrams.md 3.10.
    Condition,
    JavaScript,
    TypeScript,
    /// TypeScript that is only to be made JavaScript.
    StripTypes,
    /// A Jinja2 template; `globals` are the variables of its node.
    Template,
    /// TypeScript of which the declarations are listed; `inputs` are the options.
    Outline,
}

/// A text with everything it may read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) dialect: Dialect,
    pub(super) source: Arc<str>,
    pub(super) function_name: String,
    pub(super) names: Map<String, Value>,
    pub(super) inputs: Map<String, Value>,
    pub(super) globals: Map<String, Value>,
    pub(super) node_id: String,
    /// Time limit in milliseconds.
    pub(super) time_ms: u64,
    /// What the clock says, in milliseconds since 1970: sandboxed code has no clock of its own.
    pub(super) now_ms: i64,
}

/// Names that mean the same everywhere; an input of that name is only reachable through `inputs`.
pub(super) const RESERVED: [&str; 4] = ["inputs", "globals", "node_id", "result"];

impl Job {
    /// Makes a job from what a code node asks for, without the values its text never mentions:
    /// large inputs are then neither copied nor sent.
    pub(super) fn new(dialect: Dialect, job: CodeJob, now_ms: i64) -> Self {
        let mut made = Self {
            dialect,
            source: job.source,
            function_name: job.function_name,
            names: job.names,
            inputs: job.inputs,
            globals: job.globals,
            node_id: job.node_id,
            time_ms: u64::try_from(job.timeout.as_millis()).unwrap_or(u64::MAX),
            now_ms,
        };
        made.drop_unmentioned();
        made
    }

    fn drop_unmentioned(&mut self) {
        let words: HashSet<&str> = words(&self.source).collect();
        self.names.retain(|name, _| words.contains(name.as_str()) && !RESERVED.contains(&name.as_str()));
        if !words.contains("inputs") && !words.contains(self.function_name.as_str()) {
            self.inputs.clear();
        }
        if !words.contains("globals") {
            self.globals.clear();
        }
    }
}

/// Returns everything in `source` that looks like a name, in any of our languages. Words in comments
/// and texts are among them, which only means that a value may be sent without need.
pub(super) fn words(source: &str) -> impl Iterator<Item = &str> {
    source
        .split(|it: char| !(it.is_alphanumeric() || it == '_' || it == '$'))
        .filter(|it| it.starts_with(|first: char| !first.is_ascii_digit()))
}

/// What an interpreter gave back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) outcome: Result<Done, Failure>,
    /// What the code printed before it ended, either way.
    pub(super) printed: String,
    /// Whether its process is better not used again, because the code left something behind.
    #[serde(default)]
    pub(super) retire: bool,
}

/// A value and, for a condition, its truth by Python's rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) value: Value,
    pub(super) truth: bool,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::nodes::ports::{Language, Runtime};

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn only_values_that_the_text_mentions_go_along() {
        let job = |source: &str| {
            let job = CodeJob {
                language: Language::Python,
                runtime: Runtime::Sandbox,
                source: source.into(),
                function_name: "main".into(),
                names: map(json!({"a": 1, "ab": 2, "result": 3, "inputs": 4})),
                inputs: map(json!({"a": 1})),
                globals: map(json!({"g": 1})),
                node_id: "node_1".into(),
                timeout: Duration::from_secs(1),
                now: None,
            };
            let job = Job::new(Dialect::Python, job, 0);
            json!([job.names, job.inputs, job.globals])
        };
        assert_eq!(job("result = a + 1"), json!([{"a": 1}, {}, {}]));
        assert_eq!(job("result = inputs['a']"), json!([{"a": 1}, {"a": 1}, {}]));
        assert_eq!(job("def main(x): return x"), json!([{}, {"a": 1}, {}]));
        assert_eq!(job("result = globals['g'] + ab"), json!([{"ab": 2}, {}, {"g": 1}]));
    }
}
