//! Takes a diagram from a client: compiled first, kept when it is valid, as submitted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::super::compile_diagram::{self, compile_diagram};
use super::super::workspace::SUFFIXES;
use super::super::{App, Caller};
use crate::compile::report::DiagnosticReport;
use crate::error::Error;
use crate::limits;

/// What the diagram is called.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Name of the file; the diagram gets it without its suffix.
    pub name: String,
    /// light, readable or native (detected).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub format: Option<String>,
}

/// Whether it was kept, and what compiling said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    pub success: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diagram_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<u64>,
    pub errors: Vec<DiagnosticReport>,
    pub warnings: Vec<DiagnosticReport>,
}

/// Reads `body`, compiles it and keeps it when it has no error. An invalid diagram is a result.
///
/// # Errors
///
/// `INSUFFICIENT_SCOPE`, `INVALID_NAME`, `INVALID_FORMAT` for what is no text, `TOO_LARGE`, `FILE_FAILED`,
/// `DIAGRAM_NOT_ALLOWED`; what the database says.
pub async fn upload_diagram(
    app: &App,
    caller: &Caller,
    request: Request,
    body: impl AsyncRead + Send,
) -> Result<Response, Error> {
    let suffix = SUFFIXES.iter().filter(|it| request.name.ends_with(**it)).max_by_key(|it| it.len());
    let name = suffix.map_or(request.name.as_str(), |it| &request.name[..request.name.len() - it.len()]);
    let request = compile_diagram::Request {
        content: text(body).await?,
        format_type: request.format,
        push_as: Some(name.to_owned()),
        fix: None,
    };
    let compiled = compile_diagram(app, caller, request, compile_diagram::Extras::default()).await?;
    Ok(Response {
        success: compiled.pushed_as.is_some(),
        diagram_id: compiled.pushed_as,
        revision: compiled.revision,
        errors: compiled.report.errors,
        warnings: compiled.report.warnings,
    })
}

async fn text(body: impl AsyncRead + Send) -> Result<String, Error> {
    let most = limits::DIAGRAM_BYTES_MAX as u64;
    let mut bytes = Vec::new();
    std::pin::pin!(body)
        .take(most + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| Error::external("FILE_FAILED", "the upload broke off").hint("send it again").source(error))?;
    if bytes.len() as u64 > most {
        return Err(Error::limit("TOO_LARGE", format!("a diagram may have {most} bytes"))
            .hint("keep data in files that nodes read"));
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::invalid("INVALID_FORMAT", "the file is no UTF-8 text").hint("save it as UTF-8"))
}
