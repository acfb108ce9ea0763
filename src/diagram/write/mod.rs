//! A [`Diagram`] to text in any of the three formats (diagrams.md 1.5). Two equal diagrams give equal
//! bytes: every section and every field has its place. Comments and layout of an earlier text are not
//! part of a diagram; [`crate::diagram::edit`] changes a text and keeps them.

mod connections;
mod fields;
mod light;
mod meaning;
mod native;
mod persons;
mod readable;
mod scalar;
mod sections;
mod yaml;

use serde_json::Value;

use super::kinds::{Format, NodeKind};
use super::model::Diagram;

pub use fields::KnownField;
pub use meaning::meaning;
pub use persons::fields as person_fields;
pub(super) use scalar::{in_block, in_flow, literal};

/// Says which fields a node type has, in the order they are written. Node types live above this room, so
/// whoever writes brings this along.
pub type Catalogue<'a> = &'a dyn Fn(NodeKind) -> Vec<KnownField>;

/// Returns `diagram` as text of `format`, ending with a line end.
///
/// What reading the text gives has the same [`meaning`] as `diagram`, provided that reading `diagram` found
/// no error: a node of unknown type has none that could be written.
pub fn write(diagram: &Diagram, format: Format, catalogue: Catalogue<'_>) -> String {
    match format {
        Format::Light => yaml::document(&light::document(diagram, catalogue)),
        Format::Readable => yaml::document(&readable::document(diagram, catalogue)),
        Format::Native => {
            let document = native::document(diagram, catalogue);
            let mut text = serde_json::to_string_pretty(&document).expect("JSON values can be written");
            text.push('\n');
            text
        }
    }
}

/// Returns a number as the whole number it is, else as it is.
pub(super) fn number(value: f64) -> Value {
    if is_whole(value) { Value::from(value as i64) } else { Value::from(value) }
}

/// Whether `value` is whole and small enough to be exact.
fn is_whole(value: f64) -> bool {
    // 2^53: from there on a double does not know its last digit.
    value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0
}
