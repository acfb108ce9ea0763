//! How a piece of code can fail, as data that crosses a process border, and its translation into the
//! error a node fails with. The text of the code itself is only quoted in hints.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::Error;
use crate::limits;

/// Longest quotation of code or output in an error, in characters.
const QUOTE_CHARS_MAX: usize = 200;
/// How much of what failing code had printed goes with its error, in characters.
const PRINTED_CHARS_MAX: usize = 2_000;

/// Why a piece of code has no value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Failure {
    /// The code raised an exception or is no valid code.
    Raised { exception: String, message: String, line: Option<u32> },
    /// It did not end within its time limit.
    TimedOut,
    /// It needed more memory than it may have.
    OutOfMemory,
    /// What it printed or returned is too large; `what` says which.
    TooLarge { what: String },
    /// It asked for something that only a host interpreter has.
    NeedsHost { what: String, line: Option<u32> },
    /// Its interpreter ended without an answer.
    Crashed,
    /// The interpreter of the host is not there.
    NotInstalled { program: String, reason: String },
    /// A template could not be rendered.
    Template { message: String, hint: String },
    /// A source to outline does not parse; the place is within it, from 1.
    Unparsable { message: String, line: u32, column: u32 },
    /// A bug of ours.
    Bug { message: String },
}

impl Failure {
    /// A value that is not JSON.
    pub(super) fn not_json(path: &str, what: &str) -> Self {
        let place = if path.is_empty() { "the value".to_owned() } else { format!("the value at `{path}`") };
        Self::Raised {
            exception: "TypeError".into(),
            message: format!("{place} is {what}, which is not JSON"),
            line: None,
        }
    }

    /// Translates into what a code node fails with.
    pub(super) fn into_error(self, source: &str, time_limit: Duration, printed: &str) -> Error {
        let error = match self {
            Self::Raised { exception, message, line } => {
                let error = failed(message).exception(exception);
                match line.and_then(|it| quote_line(source, it)) {
                    Some(quoted) => error.hint(quoted),
                    None => error,
                }
            }
            Self::TimedOut => time_out(time_limit),
            Self::OutOfMemory => failed(out_of_memory_text())
                .exception("MemoryError")
                .hint("work on smaller pieces, or give the node `runtime: host`"),
            Self::TooLarge { what } => {
                failed(format!("{what} is larger than {} MiB", limits::CODE_OUTPUT_BYTES_MAX / (1024 * 1024)))
                    .hint("write large data to a file and return its path")
            }
            Self::NeedsHost { what, line } => needs_host(&what, line, source),
            Self::Crashed => failed("the code ran out of memory or was nested too deep")
                .exception("MemoryError")
                .hint("only this piece of code was stopped; make its data smaller or its recursion flatter"),
            Self::NotInstalled { program, reason } => failed(format!("`{program}` is not installed"))
                .hint(format!("install `{program}` or leave out `runtime: host` ({reason})"))
                .retryable(false),
            Self::Template { message, hint } => Error::invalid("TEMPLATE_FAILED", message).hint(hint),
            Self::Unparsable { message, line, column } => unparsable(&message, line, column),
            Self::Bug { message } => Error::internal(message),
        };
        if printed.is_empty() { error } else { error.details(json!({"printed": tail(printed)})) }
    }

    /// Says in a few words what happened, for the message of a failed expression.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Raised { exception, message, .. } if message == exception => exception.clone(),
            Self::Raised { exception, message, .. } => format!("{exception}: {message}"),
            Self::TimedOut => "it did not end in time".into(),
            Self::OutOfMemory => out_of_memory_text(),
            Self::TooLarge { what } => format!("{what} is too large"),
            Self::NeedsHost { what, .. } => format!("an expression cannot use {what}"),
            Self::Crashed => "it ran out of memory or was nested too deep".into(),
            Self::NotInstalled { program, .. } => format!("`{program}` is not installed"),
            Self::Template { message, .. } | Self::Unparsable { message, .. } | Self::Bug { message } => {
                message.clone()
            }
        }
    }
}

/// What a node fails with when its code did not end in time.
pub(super) fn time_out(limit: Duration) -> Error {
    Error::limit("NODE_TIMEOUT", format!("the code did not end within {} s", limit.as_secs_f64()))
        .hint("look for an endless loop, or raise the node's `timeout`")
}

/// What a node fails with when a source is not what it has to be.
pub(super) fn unparsable(message: &str, line: u32, column: u32) -> Error {
    Error::invalid("PARSE_FAILED", format!("line {line}, column {column}: {message}"))
        .details(json!({"line": line, "column": column}))
}

fn failed(message: impl Into<String>) -> Error {
    Error::external("CODE_FAILED", message).retryable(true)
}

fn out_of_memory_text() -> String {
    format!("the code used more than {} MiB of memory", limits::CODE_MEMORY_BYTES_MAX / (1024 * 1024))
}

fn needs_host(what: &str, line: Option<u32>, source: &str) -> Error {
    let place = line.map(|it| format!(" (line {it})")).unwrap_or_default();
    let quoted = line.and_then(|it| quote_line(source, it)).map(|it| format!("{it}; ")).unwrap_or_default();
    Error::refused("TRUST_REQUIRED", format!("the sandbox has no {what}{place}")).hint(format!(
        "{quoted}give the node `runtime: host`; host code must be allowed by `policy.workspace.host_code = true` in \
         dipeo.toml, or by `dipeo trust NAME` for a submitted diagram"
    ))
}

/// Returns `line 3: `x = foo(a)``, or nothing when there is no such line.
fn quote_line(source: &str, line: u32) -> Option<String> {
    let text = source.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?.trim();
    let shown: String = text.chars().take(QUOTE_CHARS_MAX).collect();
    Some(format!("line {line}: `{shown}`"))
}

fn tail(text: &str) -> &str {
    let n_chars = text.chars().count();
    let start = text.char_indices().nth(n_chars.saturating_sub(PRINTED_CHARS_MAX)).map_or(0, |(at, _)| at);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_code_and_says_whether_to_try_again() {
        let raised = Failure::Raised { exception: "NameError".into(), message: "no a".into(), line: Some(2) };
        let host = Failure::NeedsHost { what: "module `csv`".into(), line: Some(1) };
        let cases = [
            (raised, "CODE_FAILED", true, "no a", "line 2: `y = a`"),
            (Failure::TimedOut, "NODE_TIMEOUT", false, "did not end within 1.5 s", "endless loop"),
            (Failure::OutOfMemory, "CODE_FAILED", true, "more than 64 MiB", "smaller pieces"),
            (Failure::TooLarge { what: "the value".into() }, "CODE_FAILED", true, "the value is larger", "file"),
            (host, "TRUST_REQUIRED", false, "no module `csv` (line 1)", "policy.workspace.host_code"),
            (Failure::Crashed, "CODE_FAILED", true, "nested too deep", "only this piece"),
            (Failure::Bug { message: "oh".into() }, "INTERNAL", false, "oh", "report"),
        ];
        for (failure, code, retryable, message, hint) in cases {
            let error = failure.into_error("import csv\n  y = a", Duration::from_millis(1_500), "");
            assert_eq!((error.code(), error.is_retryable()), (code, retryable));
            assert!(error.message().contains(message), "{error}");
            assert!(error.hint_text().is_some_and(|it| it.contains(hint)), "{:?}", error.hint_text());
        }
    }

    #[test]
    fn what_failing_code_printed_last_goes_with_the_error() {
        let printed = format!("{}end", "x".repeat(5_000));
        let error = Failure::TimedOut.into_error("", Duration::from_secs(1), &printed);
        let shown = error.details_value().and_then(|it| it["printed"].as_str()).unwrap_or_default();
        assert_eq!(shown.len(), PRINTED_CHARS_MAX);
        assert!(shown.ends_with("end"));
    }
}
