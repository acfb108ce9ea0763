//! Text of any format to a [`Diagram`]: detects the format from the content and reads it.

use super::{Diagnostic, Diagram, Format};

/// What came out of a text: the diagram as far as it could be read, and every problem.
#[derive(Debug, Default)]
pub struct Parsed {
    /// `None` when nothing could be read (E101-E105).
    pub diagram: Option<Diagram>,
    /// The format the content shows, also when nothing else could be read.
    pub format: Option<Format>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads `text`; `asked` is the format an explicit flag names (E105 when the content contradicts it).
pub fn parse(_text: &str, _asked: Option<Format>) -> Parsed {
    Parsed::default()
}
