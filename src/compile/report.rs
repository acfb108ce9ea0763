//! The published shape of a compile result, and its text form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Compiled;
use super::fix::Repair;
use super::terminal;
use crate::diagram::render::excerpt;
use crate::diagram::{Diagnostic, Severity};
use crate::error::Error;

/// One diagnostic as every surface shows it (surface.md 2.6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiagnosticReport {
    pub phase: String,
    pub code: String,
    pub message: String,
    /// `error` or `warning`.
    pub severity: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_id: Option<String>,
    /// Node label, `connection <index>`, top-level key or person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The source line.
    pub excerpt: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub patch: Option<PatchReport>,
}

/// Replace the text between two places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PatchReport {
    /// Byte offset in the text.
    pub offset: usize,
    /// Bytes to replace.
    pub len: usize,
    pub replacement: String,
}

/// A repair that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RepairReport {
    /// Of the diagnostic that brought it.
    pub code: String,
    /// From 1, before the repairs of its round.
    pub line: u32,
    /// The text that was there, cut where it is long.
    pub old: String,
    /// What stands there now, cut where it is long.
    pub new: String,
}

/// Longest text of a repair that is shown, in characters.
const REPAIR_CHARS_MAX: usize = 120;

impl RepairReport {
    /// Describes `repair`.
    pub fn new(repair: &Repair) -> Self {
        let cut = |text: &str| match text.char_indices().nth(REPAIR_CHARS_MAX) {
            Some((at, _)) => format!("{}…", &text[..at]),
            None => text.to_owned(),
        };
        Self { code: repair.code.to_owned(), line: repair.line, old: cut(&repair.old), new: cut(&repair.new) }
    }
}

/// What `compile` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    pub valid: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edge_count: Option<usize>,
    pub errors: Vec<DiagnosticReport>,
    pub warnings: Vec<DiagnosticReport>,
    /// What it would touch when run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capabilities: Option<Capabilities>,
}

/// What a diagram would touch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capabilities {
    /// Host interpreters it uses: `python3`, `bash`, `sh`, `node`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub commands: Vec<String>,
    /// Files and patterns it reads or writes.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub paths: Vec<String>,
    /// Hosts it calls, as far as the text names them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hosts: Vec<String>,
    /// Services and models it calls, as `service/model`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub models: Vec<String>,
    /// What its model calls may spend: `settings.budget`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget: Option<serde_json::Value>,
    /// Whether it asks a person.
    #[serde(default)]
    pub asks: bool,
}

impl Report {
    /// Describes what compiling `text` gave.
    pub fn new(compiled: &Compiled, text: &str) -> Self {
        let of = |severity: Severity| {
            let found = compiled.diagnostics.iter().filter(move |it| it.severity() == severity);
            found.map(|it| DiagnosticReport::new(it, text)).collect()
        };
        Self {
            valid: compiled.is_valid(),
            format: compiled.format.map(|it| it.name().to_owned()),
            node_count: compiled.diagram.as_ref().map(|it| it.nodes.len()),
            edge_count: compiled.diagram.as_ref().map(|it| it.connection_count),
            errors: of(Severity::Error),
            warnings: of(Severity::Warning),
            capabilities: compiled.capabilities.clone(),
        }
    }

    /// Writes what compiling `text`, read from `path`, gave, for a terminal and without colours.
    pub fn to_text(path: &str, compiled: &Compiled, text: &str) -> String {
        terminal::render(path, compiled, text)
    }
}

impl DiagnosticReport {
    /// Describes a problem of `text`.
    pub fn new(diagnostic: &Diagnostic, text: &str) -> Self {
        let patch = diagnostic.patch.as_ref();
        Self {
            phase: diagnostic.phase().to_owned(),
            code: diagnostic.code.to_owned(),
            message: diagnostic.message.clone(),
            severity: terminal::word(diagnostic.severity()).to_owned(),
            node_id: diagnostic.node_id.clone(),
            label: diagnostic.at.clone(),
            field: diagnostic.field.clone(),
            line: diagnostic.span.line,
            column: diagnostic.span.column,
            excerpt: excerpt(text, diagnostic.span).to_owned(),
            hint: diagnostic.hint.clone(),
            patch: patch.map(|it| PatchReport { offset: it.offset, len: it.len, replacement: it.replacement.clone() }),
        }
    }
}

/// Makes the error of an operation that needs a valid diagram; `report` becomes its `details`.
pub fn invalid(report: &Report) -> Error {
    let count = report.errors.len();
    let Some(first) = report.errors.first() else {
        return Error::invalid("INVALID_DIAGRAM", "the diagram is not valid");
    };
    let place = format!("{}:{} {} {}", first.line, first.column, first.code, first.message);
    let message = match count {
        1 => format!("the diagram has an error: {place}"),
        _ => format!("the diagram has {count} errors, first {place}"),
    };
    let error = Error::invalid("INVALID_DIAGRAM", message);
    let error = error.hint(first.hint.clone().unwrap_or_else(|| "correct it and compile again".to_owned()));
    match serde_json::to_value(report) {
        Ok(details) => error.details(details),
        Err(source) => error.source(source),
    }
}
