//! The published shape of a compile result, and its text form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Host interpreters it uses: `python3`, `bash`, `node`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub commands: Vec<String>,
    /// Files and patterns it reads or writes.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub paths: Vec<String>,
    /// Services and models it calls, as `service/model`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub models: Vec<String>,
    /// Whether it asks a person.
    #[serde(default)]
    pub asks: bool,
}
