//! Runs every check and builds the plan.

use super::plan::Plan;
use crate::diagram::{Diagnostic, Diagram, Format};
use crate::nodes::Surroundings;

/// What compiling gives.
pub struct Compiled {
    /// The diagram as far as it could be read.
    pub diagram: Option<Diagram>,
    pub format: Option<Format>,
    /// Sorted by place; errors and warnings together.
    pub diagnostics: Vec<Diagnostic>,
    /// Only when there is no error.
    pub plan: Option<Plan>,
}

impl Compiled {
    /// Whether there is no error.
    pub fn is_valid(&self) -> bool {
        self.plan.is_some()
    }
}

/// Parses and compiles `text`; `asked` is the format an explicit flag names.
pub fn compile(_text: &str, _asked: Option<Format>, _surroundings: &dyn Surroundings) -> Compiled {
    Compiled { diagram: None, format: None, diagnostics: Vec::new(), plan: None }
}
