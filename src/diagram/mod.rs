//! What a diagram is, and text to [`Diagram`] for the three formats (diagrams.md section 1).
//!
//! Pure: no I/O, no clock, no tokio. Parsing keeps a [`Span`] for every node, field and connection,
//! reports all problems at once as [`Diagnostic`]s and never stops at the first.

pub mod budget;
pub mod diagnostic;
pub mod draw;
pub mod edit;
pub mod kinds;
pub mod model;
pub mod parse;
pub mod render;
pub mod tree;
pub mod write;

mod connections;
mod destination;
mod detect;
mod draft;
mod ends;
mod entries;
mod flow;
mod infer;
mod legacy;
mod light;
mod load;
mod native;
mod nested;
mod node;
mod persons;
mod readable;
mod sections;
mod settings;
mod slips;
#[cfg(test)]
mod testing;

pub use budget::{Budget, OnLimit, Price};
pub use diagnostic::{Diagnostic, Patch, Severity};
pub use kinds::{ContentType, Format, Handle, NodeKind, Service};
pub use legacy::{other_names, other_types, other_values};
pub use load::{Bounds, Loaded, comments, load_within};
pub use model::{Connection, Diagram, DiagramNode, Field, InputDeclaration, Person, Script, Settings};
pub use parse::{Parsed, parse};
pub use settings::is_tool_name;
pub use tree::{Span, Spanned, Tree, TreeKind};
