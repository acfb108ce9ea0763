//! Asks a waiting question at the terminal.

use std::io::{BufRead, IsTerminal, Write};

use serde_json::Value;

use crate::error::Error;
use crate::handlers::execution_object::Waiting;

/// Whether questions can be asked here.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Shows a question on stderr and reads one line. `None` at the end of the input.
///
/// # Errors
///
/// `FILE_FAILED` when the terminal cannot be read.
pub fn ask(waiting: &Waiting) -> Result<Option<Value>, Error> {
    let mut stderr = std::io::stderr().lock();
    let mut text = String::new();
    match &waiting.person {
        Some(person) => {
            text.push_str(&format!("\n{} asks for {person}'s reply:\n", waiting.label));
            for message in &waiting.messages {
                let part = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
                text.push_str(&format!("  {}: {}\n", part("role"), part("content")));
            }
        }
        None => text.push_str(&format!("\n{}\n", waiting.prompt)),
    }
    if let Some(options) = &waiting.options {
        let options: Vec<String> =
            options.iter().map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned)).collect();
        text.push_str(&format!("({})\n", options.join(" / ")));
    }
    if let Some(schema) = &waiting.schema {
        text.push_str(&format!("(as JSON that fits {schema})\n"));
    }
    if let Some(deadline) = &waiting.deadline {
        text.push_str(&format!("(until {deadline})\n"));
    }
    // If the prompt cannot be shown, reading the answer will fail too and say so.
    let _ = write!(stderr, "{text}> ");
    let _ = stderr.flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read {
        Ok(0) => Ok(None),
        Ok(_) => {
            let wants_json = waiting.schema.is_some() || waiting.reason == "budget";
            Ok(Some(value_of(line.trim_end_matches(['\n', '\r']), wants_json)))
        }
        Err(e) => Err(Error::external("FILE_FAILED", "cannot read the answer from the terminal").source(e)),
    }
}

/// What was typed: JSON where a schema asks for it and it parses, else the text itself.
pub fn value_of(text: &str, wants_json: bool) -> Value {
    if wants_json && let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    Value::String(text.to_owned())
}
