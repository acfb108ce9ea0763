//! Prompt templates: the original's mini-handlebars, done right (diagrams.md 3.11).

/// A parsed template.
#[derive(Clone, Debug)]
pub struct Template {}

/// Why a template does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateProblem {
    /// Lower case, no full stop, the offending tag in backticks.
    pub message: String,
    pub hint: String,
    /// Byte offset in the template.
    pub offset: usize,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// The first syntax error.
    pub fn parse(_text: &str) -> Result<Self, TemplateProblem> {
        Ok(Self {})
    }
}
