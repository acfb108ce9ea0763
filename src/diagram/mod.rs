//! What a diagram is, and text to [`Diagram`] for the three formats (diagrams.md section 1).
//!
//! Pure: no I/O, no clock, no tokio. Parsing keeps a [`Span`] for every node, field and connection,
//! reports all problems at once as [`Diagnostic`]s and never stops at the first.

pub mod diagnostic;
pub mod kinds;
pub mod light;
pub mod load;
pub mod model;
pub mod native;
pub mod parse;
pub mod readable;
pub mod references;
pub mod sections;
pub mod tree;

pub use crate::nearest;
pub use diagnostic::{Diagnostic, Patch, Severity};
pub use kinds::{ContentType, Format, Handle, NodeKind, Service};
pub use model::{Connection, Diagram, DiagramNode, Field, InputDeclaration, Person, Script, Settings};
pub use parse::{Parsed, parse};
pub use tree::{Span, Spanned, Tree, TreeKind};
