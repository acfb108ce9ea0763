//! Checks texts when a diagram is compiled: do they parse, and can the sandbox run them?

use super::cache::Cache;
use super::deep_stack;
use super::javascript;
use super::python::{self, condition, needs};
use super::sandbox::check_length;
use crate::error::Error;
use crate::nodes::ports::classes::Class;
use crate::nodes::ports::{CodeFacts, HostNeed, Language, SyntaxProblem};

/// Longest text whose outcome is remembered, in bytes; a check needs a thread with a deep stack.
const REMEMBERED_BYTES_MAX: usize = 4 * 1024;

/// What came of earlier checks: a server compiles the same diagrams over and over.
#[derive(Default)]
pub(super) struct Checked {
    expressions: Cache<String, Result<(), SyntaxProblem>>,
    code: Cache<(Language, String), Result<CodeFacts, SyntaxProblem>>,
}

impl Checked {
    /// [`expression`], made once.
    ///
    /// # Errors
    ///
    /// As [`expression`].
    pub(super) fn expression(&self, text: &str) -> Result<(), SyntaxProblem> {
        if text.len() > REMEMBERED_BYTES_MAX {
            return expression(text);
        }
        self.expressions.get_or_make(text.to_owned(), || expression(text))
    }

    /// [`code`], made once.
    ///
    /// # Errors
    ///
    /// As [`code`].
    pub(super) fn code(&self, language: Language, source: &str) -> Result<CodeFacts, SyntaxProblem> {
        if source.len() > REMEMBERED_BYTES_MAX {
            return code(language, source);
        }
        self.code.get_or_make((language, source.to_owned()), || code(language, source))
    }
}

/// Checks that `expression` parses.
///
/// # Errors
///
/// The first problem with its place.
pub(super) fn expression(expression: &str) -> Result<(), SyntaxProblem> {
    check_size(expression)?;
    deep_stack::run(|| condition::check(expression)).unwrap_or_else(|error| Err(unchecked(&error)))
}

/// Checks that `source` parses and finds the first thing the sandbox cannot do.
///
/// # Errors
///
/// The first problem with its place.
pub(super) fn code(language: Language, source: &str) -> Result<CodeFacts, SyntaxProblem> {
    check_size(source)?;
    let found = match language {
        Language::Python => deep_stack::run(|| needs::find(source)),
        Language::JavaScript | Language::TypeScript => {
            let stack_bytes = javascript::parse::stack_bytes(source.len());
            deep_stack::run_with(stack_bytes, || javascript::parse::find(source, language == Language::TypeScript))
        }
        Language::Bash | Language::Shell => Ok(Ok(Some(HostNeed { what: format!("`{}`", language.name()), line: 1 }))),
    };
    let needs_host = found.unwrap_or_else(|error| Err(unchecked(&error)))?;
    Ok(CodeFacts { needs_host })
}

/// Reads the classes that `source` declares.
///
/// # Errors
///
/// The first problem with its place.
pub(super) fn classes(source: &str) -> Result<Vec<Class>, SyntaxProblem> {
    check_size(source)?;
    deep_stack::run(|| python::classes::read(source)).unwrap_or_else(|error| Err(unchecked(&error)))
}

fn check_size(text: &str) -> Result<(), SyntaxProblem> {
    check_length(text).map_err(|failure| SyntaxProblem { message: failure.describe(), line: 1, column: 1 })
}

fn unchecked(error: &Error) -> SyntaxProblem {
    SyntaxProblem { message: error.message().to_owned(), line: 1, column: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CODE_BYTES_MAX;

    #[test]
    fn every_language_says_whether_it_needs_the_host() {
        for (language, source, expected) in [
            (Language::Python, "result = 1", None),
            (Language::Python, "import csv", Some("module `csv`")),
            (Language::JavaScript, "return 1", None),
            (Language::TypeScript, "const a: string = await fetch('x'); return a", Some("`fetch`")),
            (Language::Bash, "echo (", Some("`bash`")),
        ] {
            let facts = code(language, source).unwrap();
            assert_eq!(facts.needs_host.map(|it| it.what).as_deref(), expected, "{source}");
        }
        assert!(code(Language::JavaScript, "const a: string = 1").is_err());
    }

    #[test]
    fn long_chains_and_deep_nesting_never_overflow() {
        for link in ["+1", ".b", "()", "[0]", " or a", " if a else a"] {
            let chain = format!("a{}", link.repeat((CODE_BYTES_MAX - 10) / link.len()));
            let _ = expression(&chain);
            let _ = code(Language::Python, &chain);
        }
        for opening in ["(", "[", "{", "not ", "-", "lambda: ", "f(", "a["] {
            let nested = opening.repeat((CODE_BYTES_MAX - 10) / opening.len());
            assert!(expression(&nested).is_err(), "{opening}");
            assert!(code(Language::Python, &nested).is_err(), "{opening}");
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        let long = "1".repeat(CODE_BYTES_MAX + 1);
        assert_eq!(expression(&long).unwrap_err().message, "SyntaxError: the code is longer than 64 KiB");
    }
}
