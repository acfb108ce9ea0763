//! What does not fit a schema, in our words where a reader meets it most.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use crate::nodes::content::excerpt;

/// Longest reason shown; the library quotes whole values.
const REASON_CHARS_MAX: usize = 300;

/// One place of the data that does not fit.
pub struct Problem {
    /// `$.rows[0].age`.
    pub path: String,
    /// Continues the sentence "`path` …".
    pub reason: String,
}

/// Describes what is wrong with the data.
pub fn of_data(error: &ValidationError<'_>) -> Problem {
    Problem { path: dotted(error.instance_path().as_str()), reason: reason(error) }
}

/// Describes what is wrong with the schema itself.
pub fn of_schema(error: &ValidationError<'_>) -> String {
    let path = dotted(error.instance_path().as_str());
    format!("`{path}` {}", reason(error))
}

fn reason(error: &ValidationError<'_>) -> String {
    let found = excerpt(error.instance());
    match error.kind() {
        ValidationErrorKind::Required { property } => match property {
            Value::String(name) => format!("is incomplete: `{name}` is missing"),
            other => format!("is incomplete: `{other}` is missing"),
        },
        ValidationErrorKind::Type { kind } => {
            let wanted = match kind {
                TypeKind::Single(name) => name.to_string(),
                TypeKind::Multiple(names) => names.iter().map(|it| it.to_string()).collect::<Vec<_>>().join(" or "),
            };
            format!("must be {wanted}, not `{found}`")
        }
        ValidationErrorKind::Enum { options } => format!("is `{found}`, which is none of {options}"),
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            format!("has unexpected fields: `{}`", unexpected.join("`, `"))
        }
        ValidationErrorKind::Minimum { limit } => format!("is {found}, less than {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("is {found}, more than {limit}"),
        ValidationErrorKind::Pattern { pattern } => format!("is `{found}`, which does not match `{pattern}`"),
        // The other rules are rarer; the library's words do.
        _ => error.to_string().chars().take(REASON_CHARS_MAX).collect(),
    }
}

/// Turns the JSON pointer `/rows/0/age` into `$.rows[0].age`.
fn dotted(pointer: &str) -> String {
    let mut path = String::from("$");
    for part in pointer.split('/').skip(1) {
        if part.parse::<usize>().is_ok() {
            path.push_str(&format!("[{part}]"));
        } else {
            path.push('.');
            path.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    path
}
