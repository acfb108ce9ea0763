//! A hook that writes its inputs to a file.

use serde_json::{Value, json};

use super::envelope;
use crate::error::Error;
use crate::nodes::content::pretty;
use crate::nodes::file_format::FileFormat;
use crate::nodes::paths::PathField;
use crate::nodes::{Fields, NodeContext, Output};

pub(super) struct File {
    path: Option<PathField>,
    format: FileFormat,
}

pub(super) fn read(fields: &mut Fields<'_>) -> File {
    let path = PathField::read(fields, "file_path");
    if path.is_none() && fields.tree("file_path").is_none_or(|it| it.as_text().is_some_and(|it| it.trim().is_empty())) {
        fields.missing("file_path");
    }
    let format = match fields.choice("format", &["json", "yaml", "text"]) {
        Some("yaml") => FileFormat::Yaml,
        Some("text") => FileFormat::Text,
        _ => FileFormat::Json,
    };
    File { path, format }
}

impl File {
    pub(super) async fn run(&self, cx: &NodeContext) -> Result<Output, Error> {
        let path = self.path.as_ref().ok_or_else(|| Error::internal("a file hook without a path"))?.render(cx)?;
        let value = Value::Object(envelope(cx));
        let text = match self.format {
            FileFormat::Text => pretty(&value),
            format => format.encode(&value, &path)?,
        };
        cx.ports.files.write(&path, text.as_bytes(), &cx.rights).await?;
        Ok(Output::value(json!({"operation": "write", "path": path, "bytes": text.len()})))
    }
}
