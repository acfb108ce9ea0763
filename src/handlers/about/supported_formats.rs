//! The text forms of diagrams.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::caller::Scope;
use super::super::{App, Caller};
use crate::diagram::Format;
use crate::error::Error;

/// One text form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SupportedFormat {
    pub id: String,
    pub label: String,
    /// With the dot; the first is the one that new files get.
    pub extensions: Vec<String>,
    pub description: String,
    pub can_import: bool,
    pub can_export: bool,
}

/// Lists the forms that diagrams are read and written in.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`.
pub async fn supported_formats(_app: &App, caller: &Caller) -> Result<Vec<SupportedFormat>, Error> {
    caller.require(&[Scope::DiagramRead])?;
    Ok([Format::Light, Format::Readable, Format::Native].map(supported).to_vec())
}

fn supported(format: Format) -> SupportedFormat {
    let (label, others, description) = match format {
        Format::Light => (
            "Light YAML",
            &[".light.yml", ".yaml", ".yml"][..],
            "nodes by label and connections between them, written by hand; what is not meant is left out",
        ),
        Format::Readable => {
            ("Readable YAML", &[][..], "one entry per node and the flow as lines of arrows, for reading aloud")
        }
        Format::Native => {
            ("Native JSON", &[".json"][..], "every id, handle and position written out, for programs and editors")
        }
    };
    let extensions = std::iter::once(format.suffix()).chain(others.iter().copied());
    SupportedFormat {
        id: format.name().to_owned(),
        label: label.to_owned(),
        extensions: extensions.map(str::to_owned).collect(),
        description: description.to_owned(),
        can_import: true,
        can_export: true,
    }
}
