//! Exceptions of the interpreter as failures.

use monty_types::{ExcType, MontyException};

use super::outside::REFUSAL;
use crate::code::failure::Failure;
use crate::limits;

/// Translates what ended a program. Frames beyond `n_lines` are ours: they call the code.
pub(in crate::code) fn to_failure(exception: &MontyException, n_lines: u32) -> Failure {
    let line = exception.traceback().iter().rev().map(|it| it.start.line).find(|it| *it <= n_lines);
    let message = exception.message().unwrap_or_default();
    match exception.exc_type() {
        ExcType::TimeoutError if message.starts_with("time limit exceeded") => Failure::TimedOut,
        ExcType::MemoryError if message.ends_with(&format!("> {} bytes", limits::CODE_OUTPUT_BYTES_MAX)) => {
            Failure::TooLarge { what: "what the code printed".into() }
        }
        ExcType::MemoryError if message.starts_with("memory limit exceeded") => Failure::OutOfMemory,
        ExcType::ModuleNotFoundError => match quoted(message, 0) {
            Some(module) => Failure::NeedsHost { what: format!("module `{module}`"), line },
            None => raised(exception, line),
        },
        ExcType::ImportError => match (quoted(message, 0), quoted(message, 1)) {
            (Some(name), Some(module)) => {
                Failure::NeedsHost { what: format!("`{name}` in its module `{module}`"), line }
            }
            _ => raised(exception, line),
        },
        ExcType::PermissionError if message.starts_with(REFUSAL) => {
            Failure::NeedsHost { what: message[REFUSAL.len()..].to_owned(), line }
        }
        _ => raised(exception, line),
    }
}

/// Translates what a text failed to compile with.
pub(in crate::code) fn compile_failure(exception: &MontyException) -> Failure {
    let line = exception.traceback().last().map(|it| it.start.line);
    match unsupported(exception) {
        Some(what) => Failure::NeedsHost { what, line },
        None => raised(exception, line),
    }
}

/// Says what the interpreter does not know, when that is why a text does not compile.
pub(in crate::code) fn unsupported(exception: &MontyException) -> Option<String> {
    let message = exception.message().unwrap_or("syntax of this kind");
    // Chains count as nesting there, so this may well be right Python.
    if exception.exc_type() == ExcType::SyntaxError && message.contains("too deeply nested") {
        return Some("code nested this deeply".into());
    }
    if exception.exc_type() != ExcType::NotImplementedError {
        return None;
    }
    let what = message.split_once("does not yet support ").map_or(message, |(_, what)| what);
    Some(what.replace('\'', "`"))
}

fn raised(exception: &MontyException, line: Option<u32>) -> Failure {
    let name = exception.exc_type().to_string();
    let message = match exception.message() {
        None | Some("") => name.clone(),
        // As Python prints it: a bare key would not read as one.
        Some(key) if exception.exc_type() == ExcType::KeyError => format!("'{key}'"),
        Some(text) => text.to_owned(),
    };
    Failure::Raised { exception: name, message, line }
}

/// Returns the n-th text in single quotes.
fn quoted(message: &str, nth: usize) -> Option<&str> {
    message.split('\'').nth(2 * nth + 1)
}
