//! Printing: one place that writes to stdout, so that a closed pipe ends quietly.

use std::io::{IsTerminal, Write};

use serde::Serialize;
use serde_json::Value;

use super::args::Form;
use crate::error::Error;

/// How and where to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub form: Form,
    pub colours: bool,
}

impl Output {
    /// Whether stdout carries one JSON document.
    pub fn is_json(self) -> bool {
        self.form == Form::Json
    }

    /// Prints lines to stdout.
    pub fn text(self, text: &str) {
        write_quietly(&mut std::io::stdout().lock(), text);
    }

    /// Prints one JSON document to stdout.
    ///
    /// # Errors
    ///
    /// `INTERNAL` when the value is no JSON.
    pub fn json(self, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|e| Error::internal("the result cannot be written as JSON").source(e))?;
        self.text(&text);
        Ok(())
    }

    /// Prints a line to stderr.
    pub fn note(self, text: &str) {
        write_quietly(&mut std::io::stderr().lock(), text);
    }

    /// Whether a person watches stderr.
    pub fn is_watched(self) -> bool {
        std::io::stderr().is_terminal()
    }
}

/// A reader that went away (`| head`) is no failure.
fn write_quietly(to: &mut impl Write, text: &str) {
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    if let Err(e) = write!(to, "{text}{newline}").and_then(|()| to.flush())
        && e.kind() == std::io::ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Prints an error: with `--json` as the error object on stdout, else two lines on stderr.
pub fn print_error(output: Output, error: &Error) {
    if output.is_json() {
        let object = serde_json::json!({ "error": error.to_json() });
        output.text(&serde_json::to_string_pretty(&object).unwrap_or_default());
        return;
    }
    output.note(&format!("error: {} {}", error.code(), error.message()));
    if let Some(hint) = error.hint_text() {
        output.note(&format!("hint: {hint}"));
    }
}

/// A value as a person reads it: text as is, everything else as indented JSON.
pub fn readable(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    }
}

/// Cuts a long text and says how to see the rest.
pub fn shortened(text: &str, chars_max: usize, where_the_rest_is: &str) -> String {
    let total = text.chars().count();
    if total <= chars_max {
        return text.to_owned();
    }
    let shown: String = text.chars().take(chars_max).collect();
    format!("{shown}…\n({} more characters: {where_the_rest_is})", total - chars_max)
}
