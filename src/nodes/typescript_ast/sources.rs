//! Which sources a node parses: a path or a text, from the field or from an input, one or several.

use serde_json::Value;

use crate::error::Error;
use crate::nodes::file_format::Encoding;
use crate::nodes::lookup::look_into;
use crate::nodes::paths::PathField;
use crate::nodes::{Fields, NodeContext};

/// Suffixes of files that hold TypeScript, or JavaScript, which is read the same way.
const SUFFIXES: [&str; 8] = [".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"];

/// One source.
pub(super) struct Source {
    pub(super) text: String,
    /// Where it came from, if from a file.
    pub(super) path: Option<String>,
}

/// The field `source`.
pub(super) enum SourceField {
    Path(PathField),
    Text(String),
}

impl SourceField {
    /// Reads the field, if it is given.
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let text = fields.text_not_blank("source")?;
        if !is_path(&text) {
            return Some(Self::Text(text));
        }
        let path = PathField::of(fields, "source", text.trim())?;
        if path.literal().is_some_and(|it| !is_pattern(it)) {
            // Says that the file is not there yet.
            let _ = path.content_now(fields, "source");
        }
        Some(Self::Path(path))
    }
}

/// Whether a text names a file: one line with the suffix of a source, or with slashes and nothing that only
/// code has.
fn is_path(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.contains(['\n', ';', '=', '(', ')', '<', '>', '"', '\'', '`']) {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    SUFFIXES.iter().any(|it| lower.ends_with(it)) || (text.contains('/') && !text.contains(char::is_whitespace))
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Returns the one source of a node: its field, else the name `source`, else its only input.
pub(super) async fn only(field: Option<&SourceField>, cx: &NodeContext) -> Result<Source, Error> {
    match field {
        Some(SourceField::Text(text)) => return Ok(Source { text: text.clone(), path: None }),
        Some(SourceField::Path(path)) => return file(path.render(cx)?, cx).await,
        None => {}
    }
    let named = cx.names.get("source");
    let given = named.as_deref().or_else(|| cx.names.inputs.only().map(AsRef::as_ref));
    match given {
        Some(Value::String(text)) if is_path(text) => file(text.trim().to_owned(), cx).await,
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Source { text: text.clone(), path: None }),
        _ => Err(Error::invalid("PARSE_FAILED", "there is no TypeScript source to parse")
            .hint("give the node a `source`, or an input `source` that is a path or the text itself")),
    }
}

/// Returns the sources of a batch by name: the files that the field names, else what stands under `key`, else
/// the only input. It is a map from path to text, or a list of paths.
pub(super) async fn batch(
    field: Option<&SourceField>,
    key: &str,
    cx: &NodeContext,
) -> Result<Vec<(String, Source)>, Error> {
    match field {
        Some(SourceField::Path(path)) => {
            let path = path.render(cx)?;
            let paths = if is_pattern(&path) { cx.ports.files.glob(&path, &cx.rights).await? } else { vec![path] };
            return files(paths, cx).await;
        }
        Some(SourceField::Text(_)) => {
            let message = "`source` of a batch is a text, not a path";
            return Err(Error::invalid("BATCH_INPUT", message).hint("name files, as in `files/**/*.ts`"));
        }
        None => {}
    }
    let named = cx.names.get(key);
    let given = named.as_deref().or_else(|| cx.names.inputs.only().map(AsRef::as_ref));
    let wrong = |what: String| {
        Error::invalid("BATCH_INPUT", what)
            .hint(format!("give an input `{key}`: a map from path to text, or a list of paths"))
    };
    let Some(given) = given else { return Err(wrong(format!("there is no input `{key}` with sources"))) };
    match look_into(given).into_owned() {
        Value::Object(map) => map
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) => Ok((name.clone(), Source { text, path: Some(name) })),
                _ => Err(wrong(format!("the source `{name}` is no text"))),
            })
            .collect(),
        Value::Array(items) => {
            let paths = items.into_iter().map(|it| match it {
                Value::String(path) if is_path(&path) => Ok(path.trim().to_owned()),
                _ => Err(wrong("an item of the list of sources is no path".to_owned())),
            });
            files(paths.collect::<Result<_, _>>()?, cx).await
        }
        _ => Err(wrong(format!("`{key}` is neither a map nor a list"))),
    }
}

async fn files(paths: Vec<String>, cx: &NodeContext) -> Result<Vec<(String, Source)>, Error> {
    let mut sources = Vec::with_capacity(paths.len());
    for path in paths {
        sources.push((path.clone(), file(path, cx).await?));
    }
    Ok(sources)
}

async fn file(path: String, cx: &NodeContext) -> Result<Source, Error> {
    let text = Encoding::Utf8.decode(cx.ports.files.read(&path, &cx.rights).await?, &path)?;
    Ok(Source { text, path: Some(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_from_code() {
        for text in ["files/a.ts", "a.tsx", " my files/a.d.ts ", "{{ dir }}/x.ts", "files/{name}", "files/*.mts"] {
            assert!(is_path(text), "{text}");
        }
        for text in ["", "interface A {}", "type A = 1", "a\nb.ts", "f()", "x.ts;", "export * from './a.ts'", "a / b"] {
            assert!(!is_path(text), "{text}");
        }
    }
}
