//! A problem in the text of a diagram, as data: code, place, and what to do. Adapters render it.

use super::tree::Span;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The diagram does not run.
    Error,
    /// It runs; somebody should know.
    Warning,
}

/// One problem. Codes are those of diagrams.md 4.2: `E…` is an error, `W…` a warning.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub code: &'static str,
    /// Lower case, no full stop, the offending value in backticks.
    pub message: String,
    pub node_id: Option<String>,
    /// The node's label, `connection <index>`, a top-level key or a person.
    pub at: Option<String>,
    pub field: Option<String>,
    pub span: Span,
    /// What to write instead.
    pub hint: Option<String>,
    /// A repair that a machine can apply.
    pub patch: Option<Patch>,
}

/// Replaces `len` bytes at `offset` by `replacement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    pub offset: usize,
    pub len: usize,
    pub replacement: String,
}

impl Diagnostic {
    /// Makes a diagnostic; the rest is added with the methods below.
    pub fn new(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), node_id: None, at: None, field: None, span, hint: None, patch: None }
    }

    /// Names the place in words: node label, `connection <index>`, key, person.
    #[must_use]
    pub fn at(mut self, at: impl Into<String>) -> Self {
        self.at = Some(at.into());
        self
    }

    /// Names the node.
    #[must_use]
    pub fn node(mut self, id: impl Into<String>, label: impl Into<String>) -> Self {
        self.node_id = Some(id.into());
        self.at = Some(label.into());
        self
    }

    /// Names the field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says what to write.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Gives a repair: the text at `span` becomes `replacement`.
    #[must_use]
    pub fn patch(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.patch = Some(Patch { offset: span.offset, len: span.len, replacement: replacement.into() });
        self
    }

    /// Error or warning, by the first letter of the code.
    pub fn severity(&self) -> Severity {
        if self.code.starts_with('E') { Severity::Error } else { Severity::Warning }
    }

    /// The phase that found it, by the hundreds of the code (diagrams.md 4.1).
    pub fn phase(&self) -> &'static str {
        match self.code.as_bytes().get(1) {
            Some(b'1') => "PARSING",
            Some(b'2') => "VALIDATION",
            Some(b'3') => "CONNECTION_RESOLUTION",
            Some(b'4') => "NODE_TRANSFORMATION",
            Some(b'5') => "REFERENCES",
            Some(b'6') => "EXPRESSIONS",
            Some(b'8') => "MANIFEST",
            _ => "RIGHTS",
        }
    }
}
