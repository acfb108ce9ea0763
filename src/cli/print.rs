//! Printing: one place that writes to stdout, so that a closed pipe ends quietly.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use console::style;
use serde::Serialize;
use serde_json::Value;

use super::args::Form;
use super::page::{Page, fenced};
use crate::engine::Status;
use crate::error::Error;

/// Whoever read stdout went away.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether stdout was closed by its reader (`| head`): nothing more need be said, and that is no failure.
pub fn is_closed() -> bool {
    IS_CLOSED.load(Ordering::Relaxed)
}

/// How and where to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub form: Form,
    /// Whether a terminal may be written to in colour; what is no terminal never is.
    pub colours: bool,
}

impl Output {
    /// Whether stdout carries one JSON document.
    pub fn is_json(self) -> bool {
        self.form == Form::Json
    }

    /// Prints lines to stdout, as they are.
    pub fn text(self, text: &str) {
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        let mut stdout = std::io::stdout().lock();
        if let Err(e) = write!(stdout, "{text}{newline}").and_then(|()| stdout.flush())
            && e.kind() == std::io::ErrorKind::BrokenPipe
        {
            IS_CLOSED.store(true, Ordering::Relaxed);
        }
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

    /// Prints a result: as one JSON document, or as the page that `page` makes of it.
    ///
    /// # Errors
    ///
    /// As [`Output::json`].
    pub fn show<T: Serialize>(self, value: &T, page: impl FnOnce(&T) -> Page) -> Result<(), Error> {
        if self.is_json() {
            return self.json(value);
        }
        self.text(&page(value).render(self.form));
        Ok(())
    }

    /// Prints a result: as one JSON document, or as text, which Markdown shows below a title as it is.
    ///
    /// # Errors
    ///
    /// As [`Output::json`].
    pub fn plain<T: Serialize>(self, value: &T, title: &str, text: impl FnOnce(&T) -> String) -> Result<(), Error> {
        match self.form {
            Form::Json => return self.json(value),
            Form::Text => self.text(&text(value)),
            Form::Markdown => self.text(&format!("# {title}\n\n{}", fenced(&text(value)))),
        }
        Ok(())
    }

    /// Prints a line to stderr. That nobody reads it is no failure and ends nothing.
    pub fn note(self, text: &str) {
        let newline = if text.ends_with('\n') { "" } else { "\n" };
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "{text}{newline}").and_then(|()| stderr.flush());
    }

    /// Whether a person watches stderr.
    pub fn is_watched(self) -> bool {
        std::io::stderr().is_terminal()
    }

    /// The word for a status on stdout, coloured where that shows.
    pub fn status(self, status: Status) -> String {
        let name = status.name();
        if !self.colours || self.form != Form::Text {
            return name.to_owned();
        }
        match status {
            Status::Completed => style(name).green().to_string(),
            Status::Failed | Status::Aborted => style(name).red().to_string(),
            Status::Paused => style(name).yellow().to_string(),
            Status::Pending | Status::Running | Status::Skipped | Status::MaxiterReached => name.to_owned(),
        }
    }
}

/// Prints an error: with `--json` as the error object on stdout, else two lines on stderr.
pub fn print_error(output: Output, error: &Error) {
    if output.is_json() {
        let object = serde_json::json!({ "error": error.to_json() });
        output.text(&serde_json::to_string_pretty(&object).unwrap_or_default());
        return;
    }
    let (mut name, mut hint_name) = (style("error:").for_stderr(), style("hint:").for_stderr());
    if output.colours {
        (name, hint_name) = (name.red().bold(), hint_name.cyan());
    }
    output.note(&format!("{name} {} {}", error.code(), error.message()));
    if let Some(hint) = error.hint_text() {
        output.note(&format!("{hint_name} {hint}"));
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
