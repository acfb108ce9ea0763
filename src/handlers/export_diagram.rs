//! Turns a diagram into a script, or says everything that stands against it; or into a picture. Writes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::opened::{Opened, open};
use super::{App, Caller};
use crate::compile::Compiled;
use crate::compile::report::{self, Report};
use crate::diagram::draw;
use crate::error::Error;
use crate::export::{self, Export};
use crate::nodes::FileScope;

/// What to export, and to what.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name or path of a diagram.
    pub diagram: String,
    /// `light`, `readable` or `native`; detected when absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format_type: Option<String>,
    /// `python`, `mermaid` or `dot`.
    pub to: String,
}

/// The exported text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub text: String,
}

/// Compiles a diagram and exports it.
///
/// # Errors
///
/// `DIAGRAM_NOT_FOUND`, `INVALID_DIAGRAM`, `INVALID_INPUT` for a target it does not know, `NOT_EXPORTABLE` with
/// every reason in the message and in `details.reasons`, `TRUST_REQUIRED` for a text that a client submitted:
/// a script runs with the rights of whoever starts it.
pub async fn export_diagram(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    let target = Target::parse(&request.to)?;
    let Opened { source, world, compiled } = open(app, caller, &request.diagram, request.format_type.as_deref())?;
    if target == Target::Python && world.rights.files == FileScope::FilesFolder {
        let message =
            format!("`{}` was submitted by a client; a script of it would run with your rights", request.diagram);
        return Err(Error::refused("TRUST_REQUIRED", message)
            .hint(format!("read it, then allow it with `dipeo trust {}`", request.diagram)));
    }
    let Compiled { diagram: Some(diagram), plan: Some(plan), .. } = &compiled else {
        return Err(report::invalid(&Report::new(&compiled, &source.text)));
    };
    let text = match target {
        Target::Mermaid => draw::mermaid(diagram),
        Target::Dot => draw::dot(diagram),
        Target::Python => {
            let file = source.diagram_id.rsplit('/').next().unwrap_or_default();
            let name = file.split('.').next().unwrap_or_default();
            let export = Export { name, diagram, plan, surroundings: &world };
            export::python(&export).map_err(|reasons| refused(&request.diagram, &reasons))?
        }
    };
    Ok(Response { text })
}

/// What a diagram can be exported to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Python,
    Mermaid,
    Dot,
}

impl Target {
    fn parse(name: &str) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_str() {
            "python" => Ok(Self::Python),
            "mermaid" => Ok(Self::Mermaid),
            "dot" => Ok(Self::Dot),
            _ => Err(Error::invalid("INVALID_INPUT", format!("`{name}` is nothing to export to"))
                .hint("export to python, mermaid or dot")),
        }
    }
}

fn refused(diagram: &str, reasons: &[String]) -> Error {
    Error::invalid("NOT_EXPORTABLE", format!("`{diagram}` cannot be exported to python: {}", reasons.join("; ")))
        .hint("run it with `dipeo run`, or do without what is named; nothing was written")
        .details(json!({ "reasons": reasons }))
}
